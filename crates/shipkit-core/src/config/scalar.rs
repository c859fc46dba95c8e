//! What a plain scalar of a manifest is: as kubectl reads it, which is YAML 1.1 as far as Go's `yaml.v2` has it.

use serde_json::{Number, Value};

/// Numbers beyond it are not all different from each other.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads a plain scalar: `yes`, `on` and `y` are true, `0644` is octal, `1_000` a number, `1e3` too.
///
/// # Errors
/// When JSON has no such value.
pub(super) fn by_kubectl(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err(format!(
            "`{text}` is a number that no manifest can hold: write it in quotes if it is a text"
        ));
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Ok(text.into());
    }
    let bare = text.replace('_', "");
    let number = whole(&bare).or_else(|| is_decimal(&bare).then(|| fraction(&bare)).flatten());
    Ok(number.map_or_else(|| text.into(), Value::Number))
}

/// A whole number, in base ten unless its beginning says otherwise.
fn whole(text: &str) -> Option<Number> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if !is_negative {
        return Some(size.into());
    }
    i64::try_from(size).ok().map(|size| Number::from(size.wrapping_neg()))
}

/// Whether it is written as a decimal number with digits before or after the point, and perhaps an exponent.
fn is_decimal(text: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    is_digits(before)
        && is_digits(after)
        && !(before.is_empty() && after.is_empty())
        && exponent.is_none_or(|digits| !digits.is_empty() && is_digits(digits))
}

/// A number as JSON writes it: without a fraction where it has none.
fn fraction(text: &str) -> Option<Number> {
    let value: f64 = text.parse().ok()?;
    if value.fract() == 0.0 && value.abs() < EXACT {
        return format!("{value:.0}").parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_what_kubectl_makes_of_them() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("n", json!(false)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("-017", json!(-15)),
            ("08", json!(8)),
            ("0", json!(0)),
            ("+5", json!(5)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            ("1.10", json!(1.1)),
            (".5", json!(0.5)),
            ("-2.50", json!(-2.5)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775807", json!(i64::MIN + 1)),
        ] {
            assert_eq!(by_kubectl(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn everything_else_is_a_text() {
        for text in [
            "yEs",
            "1.2.3",
            "10m",
            "1Gi",
            "-",
            "+",
            ".",
            "0x",
            "1e",
            "e3",
            "0-0",
            "2024-01-01",
            "12:30",
            "5%",
            "_1",
            "0xg",
            "++1",
        ] {
            assert_eq!(by_kubectl(text).unwrap(), json!(text), "{text}");
        }
        assert!(by_kubectl("-.inf").is_err() && by_kubectl(".nan").is_err());
        assert!(by_kubectl("1e999").unwrap().is_string());
    }
}
