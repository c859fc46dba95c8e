//! Values of the file that are more than a text: each reads one form or several, and knows its JSON Schema.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::units::{self, BadUnit, BasisPoints};

/// A text, or a number or boolean that is meant as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

/// One text or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts(pub(super) Vec<String>);

/// The command of a health check, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HealthTest(pub(super) Vec<String>);

/// A duration with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// Whole days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days(pub(super) u16);

/// A size with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// A percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Percent(pub(super) BasisPoints);

/// One limit, which is critical, or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits<T> {
    pub(super) warning: Option<T>,
    pub(super) critical: Option<T>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "`warning` and `critical`")]
struct BothLimits<T> {
    warning: Option<T>,
    critical: Option<T>,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, number or boolean")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Text, E> {
                // As in the file: numbers that would look different were read as texts.
                Ok(Text(serde_json::Value::from(value).to_string()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = entries.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for HealthTest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = HealthTest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command, or a list that begins with `CMD`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<HealthTest, E> {
                Ok(HealthTest(vec!["CMD-SHELL".to_owned(), text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<HealthTest, A::Error> {
                let mut words: Vec<String> = Vec::new();
                while let Some(word) = entries.next_element()? {
                    words.push(word);
                }
                match (words.first().map(String::as_str), words.len()) {
                    (Some("NONE"), 1) | (Some("CMD-SHELL"), 2) | (Some("CMD"), 2..) => Ok(HealthTest(words)),
                    _ => Err(A::Error::custom(
                        "not a health check; write a command, `[CMD, ...]`, `[CMD-SHELL, \"...\"]` or `[NONE]`",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de, T: Deserialize<'de> + TryFrom<String, Error = BadUnit>> Deserialize<'de> for Limits<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + TryFrom<String, Error = BadUnit>> Visitor<'de> for Reader<T> {
            type Value = Limits<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit with its unit, or `warning` and `critical`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Limits<T>, E> {
                let critical = T::try_from(text.to_owned()).map_err(E::custom)?;
                Ok(Limits { warning: None, critical: Some(critical) })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Limits<T>, A::Error> {
                let both = BothLimits::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Limits { warning: both.warning, critical: both.critical })
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Limits<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Limits_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        let both = generator.subschema_for::<BothLimits<T>>();
        json_schema!({ "oneOf": [one, both] })
    }
}

/// A text with a unit: how it is read and what its schema says.
macro_rules! with_unit {
    ($name:ident, $read:path, $expecting:literal, $pattern:literal) => {
        impl TryFrom<String> for $name {
            type Error = BadUnit;

            fn try_from(text: String) -> Result<Self, BadUnit> {
                $read(&text).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;
                impl Visitor<'_> for Reader {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        $read(text).map($name).map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Reader)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

with_unit!(Span, units::duration, "a duration with its unit, as in `10s`", "^[0-9]+(ms|s|m|h|d)$");
with_unit!(Days, units::days, "a number of days, as in `14d`", "^[0-9]+d$");
with_unit!(
    Size,
    units::size,
    "a size with its unit, as in `250MB`",
    r"^[0-9]+(\.[0-9]{1,3})?(k|K|M|G|Ki|Mi|Gi|MB|GB)$"
);
with_unit!(Percent, units::percent, "a percentage, as in `5%`", r"^[0-9]+(\.[0-9]{1,2})?%$");

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl JsonSchema for HealthTest {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "HealthTest".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "string" }, { "type": "array", "minItems": 1, "items": { "type": "string" } }] })
    }
}

impl JsonSchema for Texts {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}
