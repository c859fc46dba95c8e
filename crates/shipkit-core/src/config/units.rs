//! Durations, sizes and percentages as people write them: a number and always a unit.

use std::time::Duration;

/// Hundredths of a percent: 5 % is 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BasisPoints(pub u32);

/// Why a text is no duration, size or percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUnit {
    /// Not a duration.
    #[error("`{0}` is not a duration: a whole number and `ms`, `s`, `m`, `h` or `d` make one, as in `10s`")]
    Duration(String),
    /// Not days.
    #[error("`{0}` is not a number of days: a whole number up to 65535 and `d` make one, as in `14d`")]
    Days(String),
    /// Not a size.
    #[error(
        "`{0}` is not a size: a number and `k`, `K`, `M`, `G`, `Ki`, `Mi`, `Gi`, `MB` or `GB` make one, as in `250MB`"
    )]
    Size(String),
    /// Not a percentage.
    #[error("`{0}` is not a percentage from 0% to 100% with at most two decimals, as in `5%` or `0.1%`")]
    Percent(String),
}

/// Reads `10s`, `5m`, `1h`, `500ms` or `2d`.
///
/// # Errors
/// When the number or the unit is missing, unknown or too large.
pub fn duration(text: &str) -> Result<Duration, BadUnit> {
    let bad = || BadUnit::Duration(text.to_owned());
    let (number, unit) = split(text).ok_or_else(bad)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().ok().ok_or_else(bad)?;
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(bad)
}

/// Reads `14d` as days.
///
/// # Errors
/// When the number or the unit is missing, another one, or too large.
pub(super) fn days(text: &str) -> Result<u16, BadUnit> {
    let number = split(text).filter(|(_, unit)| *unit == "d").and_then(|(number, _)| number.parse().ok());
    number.ok_or_else(|| BadUnit::Days(text.to_owned()))
}

/// Reads `250MB`, `1.5G` or `512Mi` as bytes. `k`, `K`, `M`, `G`, `MB` and `GB` are decimal, `Ki`, `Mi` and `Gi` binary.
///
/// # Errors
/// When the number or the unit is missing, unknown or too large.
pub fn size(text: &str) -> Result<u64, BadUnit> {
    let bad = || BadUnit::Size(text.to_owned());
    let (number, unit) = split(text).ok_or_else(bad)?;
    let bytes: u64 = match unit {
        "k" | "K" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(bad()),
    };
    let thousandths = decimal(number, 3).ok_or_else(bad)?;
    thousandths.checked_mul(bytes).map(|product| product / 1_000).ok_or_else(bad)
}

/// Reads `5%` or `0.25%`.
///
/// # Errors
/// When it is no number with `%`, has more than two decimals or is above 100 %.
pub fn percent(text: &str) -> Result<BasisPoints, BadUnit> {
    let points =
        text.strip_suffix('%').and_then(|number| decimal(number, 2)).filter(|points| *points <= 10_000);
    let points = points.and_then(|points| u32::try_from(points).ok());
    points.map(BasisPoints).ok_or_else(|| BadUnit::Percent(text.to_owned()))
}

/// The number and the unit behind it.
fn split(text: &str) -> Option<(&str, &str)> {
    text.split_at_checked(text.find(|c: char| !c.is_ascii_digit() && c != '.')?)
}

/// A decimal number times ten to the power of `places`; `None` if it has more decimals than that.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || places < fraction.len() {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, milliseconds) in
            [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000), ("2d", 172_800_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", "10", "s", "1.5s", "-1s", "1 s", "10min", "18446744073709551615d", "99999999999999999999s"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_are_whole() {
        for (text, expected) in [("0d", 0), ("14d", 14), ("65535d", 65_535)] {
            assert_eq!(days(text), Ok(expected), "{text}");
        }
        for text in ["", "14", "d", "1.5d", "48h", "-1d", "65536d"] {
            assert!(days(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_decimal_without_i_and_binary_with_it() {
        for (text, bytes) in
            [("250MB", 250_000_000), ("1.5G", 1_500_000_000), ("512Mi", 512 << 20), ("1k", 1_000)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "250", "MB", "1.2345M", ".5M", "1.M", "1T", "1..5M", "18446744073709551615G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_percentage_has_at_most_two_decimals_and_ends_at_100() {
        for (text, points) in [("5%", 500), ("0.1%", 10), ("0.25%", 25), ("100%", 10_000), ("0%", 0)] {
            assert_eq!(percent(text), Ok(BasisPoints(points)), "{text}");
        }
        for text in ["", "%", "5", "100.01%", "0.125%", "-1%", "5 %"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
