//! `${NAME}` in what a check sends and expects.

use std::collections::BTreeMap;

use serde_json::Value;
use shipkit_core::Secret;

/// What variables stand for: what was captured, or else what the check brings.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) captured: &'a BTreeMap<String, Value>,
    pub(crate) own: &'a BTreeMap<String, Secret>,
}

impl Values<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        let own = || self.own.get(name).map(|secret| Value::from(secret.reveal()));
        self.captured.get(name).cloned().or_else(own)
    }

    /// The value of one, as a text.
    pub(crate) fn text_of(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| shown(&value))
    }

    /// A text with values in it.
    pub(crate) fn text(&self, text: &str) -> Result<String, Unfilled> {
        fill(text, &|name| self.text_of(name))
    }

    /// A pattern with values in it, which stand for themselves there.
    pub(crate) fn pattern(&self, pattern: &str) -> Result<String, Unfilled> {
        fill(pattern, &|name| self.text_of(name).map(|text| regex::escape(&text)))
    }

    /// A value with values in its texts.
    pub(crate) fn value(&self, value: &Value) -> Result<Value, Unfilled> {
        fill_in(value, &|name| self.get(name))
    }
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Why a text cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfilled {
    /// What stands behind `${` is no name with a brace at its end.
    Broken,
    /// Nobody knows this one.
    Unknown(String),
}

/// The pieces. `$${` is `${` as it stands; any other `$` is itself.
fn parts(text: &str) -> Result<Vec<Part<'_>>, Unfilled> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            parts.extend([Part::Text(before), Part::Text("${")]);
            rest = after;
            continue;
        }
        let (name, after) =
            after.split_once('}').filter(|(name, _)| is_name(name)).ok_or(Unfilled::Broken)?;
        parts.extend([Part::Text(before), Part::Name(name)]);
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// Whether it can stand between the braces: a name as environment variables have them (POSIX.1-2017 8.1).
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The names in a text.
pub(crate) fn names(text: &str) -> Result<Vec<String>, Unfilled> {
    let name = |part| match part {
        Part::Name(name) => Some(name.to_owned()),
        Part::Text(_) => None,
    };
    Ok(parts(text)?.into_iter().filter_map(name).collect())
}

/// The names in all texts of a value.
pub(crate) fn names_in(value: &Value) -> Result<Vec<String>, Unfilled> {
    match value {
        Value::String(text) => names(text),
        Value::Array(items) => all_names(items.iter()),
        Value::Object(fields) => all_names(fields.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Vec::new()),
    }
}

fn all_names<'a>(values: impl Iterator<Item = &'a Value>) -> Result<Vec<String>, Unfilled> {
    values.map(names_in).collect::<Result<Vec<_>, _>>().map(|names| names.concat())
}

/// The text with its variables replaced.
pub(crate) fn fill(text: &str, look: &dyn Fn(&str) -> Option<String>) -> Result<String, Unfilled> {
    let fill = |part| match part {
        Part::Text(text) => Ok(text.to_owned()),
        Part::Name(name) => look(name).ok_or_else(|| Unfilled::Unknown(name.to_owned())),
    };
    parts(text)?.into_iter().map(fill).collect()
}

/// The value with the variables in its texts replaced. A text that is one variable and nothing else becomes its value, which
/// may be a number.
fn fill_in(value: &Value, look: &dyn Fn(&str) -> Option<Value>) -> Result<Value, Unfilled> {
    Ok(match value {
        Value::String(text) => match parts(text)?.as_slice() {
            [Part::Text(""), Part::Name(name), Part::Text("")] => {
                look(name).ok_or_else(|| Unfilled::Unknown((*name).to_owned()))?
            }
            _ => Value::String(fill(text, &|name| look(name).map(|value| shown(&value)))?),
        },
        Value::Array(items) => items.iter().map(|item| fill_in(item, look)).collect::<Result<_, _>>()?,
        Value::Object(fields) => {
            let filled = fields.iter().map(|(key, field)| Ok((key.clone(), fill_in(field, look)?)));
            Value::Object(filled.collect::<Result<_, _>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// A value in a text.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// A value as one part of a path, or one value of a query: all but the unreserved characters is percent-encoded (RFC 3986 2.3).
/// `None` where it would not stay one part: what is empty, `.` and `..` change the path (RFC 3986 5.2.4).
pub(crate) fn as_part(value: &str) -> Option<String> {
    if matches!(value, "" | "." | "..") {
        return None;
    }
    let is_free = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let one = |b: u8| if is_free(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    Some(value.bytes().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn look(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".to_owned()),
            "B2_" => Some("${A}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_variable_is_replaced_once_and_what_is_none_is_left() {
        for (text, filled) in [
            ("", ""),
            ("x${A}y${A}", "xaya"),
            ("${B2_}", "${A}"),
            ("$A $ $$ {A} 5$", "$A $ $$ {A} 5$"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("$${${A}", "${a"),
        ] {
            assert_eq!(fill(text, &look).as_deref(), Ok(filled), "{text}");
        }
        assert_eq!(names("${A}$${B}${C}"), Ok(vec!["A".to_owned(), "C".to_owned()]));
    }

    #[test]
    fn what_is_no_variable_and_what_nobody_knows_is_told() {
        for text in ["${", "${}", "${A", "${A B}", "${1A}", "x${A:-b}"] {
            assert_eq!(fill(text, &look), Err(Unfilled::Broken), "{text}");
        }
        assert_eq!(fill("${A}${NO}", &look), Err(Unfilled::Unknown("NO".to_owned())));
    }

    #[test]
    fn a_whole_text_becomes_the_value_itself() {
        let look = |name: &str| (name == "N").then(|| json!(7));
        let filled = fill_in(&json!({"${N}": ["${N}", "n${N}", 1, null, {"a": "${N}"}]}), &look);
        assert_eq!(filled, Ok(json!({"${N}": [7, "n7", 1, null, {"a": 7}]})));
        assert_eq!(names_in(&json!({"a": ["${N}", {"b": "${M}"}], "c": 1})).unwrap(), ["N", "M"]);
    }

    #[test]
    fn a_value_stays_one_part_of_a_path() {
        assert_eq!(as_part("a/b?c#d%e é").as_deref(), Some("a%2Fb%3Fc%23d%25e%20%C3%A9"));
        assert_eq!(as_part("a.b-c_d~").as_deref(), Some("a.b-c_d~"));
        for value in ["", ".", ".."] {
            assert_eq!(as_part(value), None, "{value}");
        }
    }
}
