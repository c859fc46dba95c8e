//! From a tree to `RawConfig`, and serde's words in ours.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::Value;

use super::error::{Problem, list, suggestion};
use super::yaml::{Document, join};

/// Reads the whole document as `T`.
pub(super) fn read<T: DeserializeOwned>(document: &Document) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Strict(document.value.clone())).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        problem(document, &path, &error.into_inner().to_string())
    })
}

fn problem(document: &Document, path: &str, message: &str) -> Problem {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let (key, known) = word_and_list(rest);
        let ends_with_key = path == key || path.ends_with(&format!(".{key}"));
        let path = if ends_with_key { path.to_owned() } else { join(path, key) };
        return document.key_problem(&path, "unknown key", unknown_key_hint(key, &known));
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let (word, known) = word_and_list(rest);
        return document.problem(path, format!("`{word}` is not known here"), suggestion(word, &known));
    }
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return document.key_problem(path, format!("`{key}` is missing"), None);
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) =
            message.strip_prefix(prefix).and_then(|rest| rest.split_once(", expected "))
        {
            return document.problem(
                path,
                format!("expected {}, found {}", plain(expected), found_words(found)),
                None,
            );
        }
    }
    document.problem(path, message, None)
}

fn unknown_key_hint(key: &str, known: &[&str]) -> Option<String> {
    if key == "on" {
        return Some("events of environments are listed under `events`".to_owned());
    }
    suggestion(key, known)
}

/// ``stratgy`, expected one of `a`, `b`` as the word and the list.
fn word_and_list(rest: &str) -> (&str, Vec<&str>) {
    // The word is the file's own and may hold anything, but not what follows it.
    let (word, list) = rest.rsplit_once("`, expected ").unwrap_or((rest.trim_end_matches('`'), ""));
    (word, list.split('`').skip(1).step_by(2).collect())
}

/// What serde expects, for people.
fn plain(expected: &str) -> &str {
    match expected {
        "a string" | "string" | "a string key" => "a text",
        "u64" => "a whole number",
        "u16" => "a whole number up to 65535",
        "a map" => "a mapping",
        "a sequence" => "a list",
        "a boolean" => "`true` or `false`",
        other => other,
    }
}

/// What serde found, for people.
fn found_words(found: &str) -> String {
    match found {
        "null" | "unit value" => "nothing".to_owned(),
        "map" => "a mapping".to_owned(),
        "sequence" => "a list".to_owned(),
        _ => match found.split_once(' ') {
            Some(("string", text)) => format!("the text `{}`", text.trim_matches('"')),
            Some((_, value)) => format!("`{}`", value.rsplit(' ').next().unwrap_or(value).trim_matches('`')),
            None => found.to_owned(),
        },
    }
}

/// A value for serde that never reads a list as a structure: derived code would take its entries for the fields in
/// their order.
struct Strict(Value);

impl IntoDeserializer<'_, serde_json::Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => number.deserialize_any(visitor),
            Value::String(text) => visitor.visit_string(text),
            Value::Array(entries) => visitor.visit_seq(SeqDeserializer::new(entries.into_iter().map(Self))),
            Value::Object(entries) => visitor
                .visit_map(MapDeserializer::new(entries.into_iter().map(|(key, value)| (key, Self(value))))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if self.0.is_array() {
            return Err(Self::Error::invalid_type(Unexpected::Seq, &visitor));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(word.into_deserializer()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Err(Self::Error::custom(format!("one word is expected of {}", list(words))))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}
