//! `RawExpect`: what an answer must be, as it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use super::check::Bounds;
use super::statuses::Statuses;
use super::values::{Percent, Span, Text, Texts};

/// Which statuses are good.
#[derive(Debug, Clone)]
pub(super) struct RawStatuses(pub(super) Statuses);

/// What an answer must be.
#[derive(Debug, Clone, Default)]
pub(super) struct RawExpect {
    pub(super) status: Option<RawStatuses>,
    pub(super) json: Option<BTreeMap<String, Value>>,
    pub(super) html: Option<BTreeMap<String, Value>>,
    pub(super) body: Option<Value>,
    pub(super) schema: Option<String>,
    pub(super) p95: Option<Span>,
    pub(super) max_regress: Option<Number>,
    pub(super) errors: Option<Percent>,
    pub(super) within: Option<Span>,
    pub(super) cookies: Option<Texts>,
    pub(super) bounds: Bounds,
}

/// What an answer must be, in full.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct FullExpect {
    /// The status, a class of them (`2xx`), or a list of both.
    status: Option<RawStatuses>,
    /// Values, or mappings of matchers, in the JSON answer: by dotted path, or by `JSONPath` where it begins with `$`.
    json: Option<BTreeMap<String, Value>>,
    /// Values, or mappings of matchers, in the HTML answer: by CSS selector, or by `SELECTOR::attr(NAME)`.
    html: Option<BTreeMap<String, Value>>,
    /// A text that the body contains, a mapping of matchers, or a list of both.
    body: Option<Value>,
    /// A file with the JSON Schema (2020-12) that the body must fit.
    schema: Option<String>,
    /// The 95th percentile of response times.
    p95: Option<Span>,
    /// How many times the 95th percentile of the last good run, or of the release that serves, it may be, 1 or more.
    #[schemars(range(min = 1))]
    max_regress: Option<Number>,
    /// The share of requests that may fail, from 1% to 50%.
    errors: Option<Percent>,
    /// How soon the answer must come.
    within: Option<Span>,
    /// Names of cookies that the answer must set, and protect as those of a login.
    cookies: Option<Texts>,
    /// Every value of `promql` must be above this.
    over: Option<Number>,
    /// Every value of `promql` must be below this.
    under: Option<Number>,
    /// How many values `promql` must give at least, one for each series. Default: 1.
    samples: Option<u64>,
}

impl<'de> Deserialize<'de> for RawExpect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = RawExpect;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status, or a mapping of what the answer must be")
            }
            fn visit_u64<E: Error>(self, status: u64) -> Result<RawExpect, E> {
                Ok(RawExpect { status: Some(statuses(&status.to_string())?), ..RawExpect::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawExpect, A::Error> {
                let FullExpect {
                    status,
                    json,
                    html,
                    body,
                    schema,
                    p95,
                    max_regress,
                    errors,
                    within,
                    cookies,
                    over,
                    under,
                    samples,
                } = FullExpect::deserialize(MapAccessDeserializer::new(map))?;
                let bounds = Bounds { over, under, samples };
                Ok(RawExpect {
                    status,
                    json,
                    html,
                    body,
                    schema,
                    p95,
                    max_regress,
                    errors,
                    within,
                    cookies,
                    bounds,
                })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// One status or class of them.
fn statuses<E: Error>(text: &str) -> Result<RawStatuses, E> {
    text.parse().map(RawStatuses).map_err(E::custom)
}

impl<'de> Deserialize<'de> for RawStatuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = RawStatuses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status, a class of them (`2xx`), or a list of both")
            }
            fn visit_u64<E: Error>(self, status: u64) -> Result<RawStatuses, E> {
                statuses(&status.to_string())
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<RawStatuses, E> {
                statuses(text)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<RawStatuses, A::Error> {
                let mut all: Option<Statuses> = None;
                while let Some(Text(text)) = entries.next_element()? {
                    let RawStatuses(one) = statuses(&text)?;
                    all = Some(match all {
                        Some(all) => all.or(one),
                        None => one,
                    });
                }
                all.map(RawStatuses).ok_or_else(|| A::Error::custom("at least one status is needed"))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for RawStatuses {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "oneOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^[1-5]([0-9][0-9]|xx)$" }
        ] });
        json_schema!({ "oneOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

impl JsonSchema for RawExpect {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Expect".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<FullExpect>();
        json_schema!({ "oneOf": [{ "type": "integer", "minimum": 100, "maximum": 599 }, full] })
    }
}
