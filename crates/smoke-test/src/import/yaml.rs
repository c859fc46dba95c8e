//! Writes a check as YAML, each key on a line of its own and values in flow style.

use serde_json::{Map, Value};

/// Words that YAML 1.1 or 1.2 takes for something else than a text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// An entry of a list.
pub(super) fn entry(check: &Map<String, Value>) -> String {
    let line = |(number, (key, value)): (usize, (&String, &Value))| {
        let lead = if number == 0 { "  - " } else { "    " };
        format!("{lead}{}: {}\n", scalar(key), flow(value))
    };
    check.iter().enumerate().map(line).collect()
}

fn flow(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(flow))),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{{}}}", joined(fields))
        }
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A text as it stands where it cannot be taken for anything else, and otherwise as JSON writes it.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./$?=&%+;() ".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || "_/$".contains(c));
    let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    let number = text.strip_suffix("ms").or_else(|| text.strip_suffix("xx")).unwrap_or_default();
    if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
        return text.to_owned();
    }
    if begins && !is_word && !text.ends_with(' ') && text.chars().all(is_plain) {
        return text.to_owned();
    }
    // What JSON leaves as it is and YAML does not print (YAML 1.2 5.1).
    let one = |c: char| match c {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(c))
        }
        c => c.to_string(),
    };
    Value::from(text).to_string().chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shipkit_core::config;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in any::<String>(), key in "[a-z$./ -]{1,8}") {
            let check = Map::from_iter([(key, Value::from(vec![Value::from(text)]))]);
            let read = config::document("x", &format!("smoke:\n{}", entry(&check))).unwrap();
            prop_assert_eq!(&read["smoke"][0], &Value::from(check));
        }
    }

    #[test]
    fn texts_are_quoted_only_where_they_must_be() {
        for (text, written) in [
            ("/orders?page=1&q=a%20b", "/orders?page=1&q=a%20b"),
            ("$.items", "$.items"),
            ("application/json", "application/json"),
            ("a: b", "\"a: b\""),
            ("200", "\"200\""),
            ("200ms", "200ms"),
            ("2xx", "2xx"),
            ("No", "\"No\""),
            ("${a}", "\"${a}\""),
            ("", "\"\""),
            ("a\u{85}", "\"a\\u0085\""),
        ] {
            assert_eq!(scalar(text), written);
        }
    }
}
