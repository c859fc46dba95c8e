//! `RawCheck`: one entry of `smoke` as it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::check::WantedHeader;
use super::values::{Span, Text};

/// One check: exactly one of `get`, `post`, `ws`, `socketio`, `tcp`, `tls`, `redirect`, `page`, `security_headers`, `promql`, `openapi`, `rate_limit`, `run` and
/// `release`. Paths are asked below the `url` of the environment.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping, one check")]
#[schemars(extend("oneOf" = [
    {"required": ["get"]}, {"required": ["post"]}, {"required": ["ws"]}, {"required": ["socketio"]}, {"required": ["tcp"]}, {"required": ["tls"]},
    {"required": ["redirect"]}, {"required": ["page"]}, {"required": ["security_headers"]}, {"required": ["promql"]}, {"required": ["openapi"]}, {"required": ["rate_limit"]},
    {"required": ["run"]}, {"required": ["release"]}
]))]
pub(super) struct RawCheck {
    /// Its name. Default: what it does.
    pub(super) name: Option<String>,
    /// The service it is about.
    pub(super) service: Option<String>,
    /// A GET request to a path or address.
    pub(super) get: Option<String>,
    /// A POST request to a path or address.
    pub(super) post: Option<String>,
    /// The body of `post`: JSON, or a text as it is.
    pub(super) body: Option<Value>,
    /// A WebSocket handshake with a path or address.
    pub(super) ws: Option<String>,
    /// A conversation by socket.io: the path of the service, or more.
    pub(super) socketio: Option<Brief<RawSocketIo>>,
    /// A TCP connection to `host:port`.
    pub(super) tcp: Option<String>,
    /// The TLS side of `url`.
    pub(super) tls: Option<RawTls>,
    /// A path or address that must redirect.
    pub(super) redirect: Option<String>,
    /// Where `redirect` must lead. Default: from http to https of the same host.
    pub(super) to: Option<String>,
    /// A page, whose scripts, styles and icons must be there.
    pub(super) page: Option<String>,
    /// Headers that protect visitors: `baseline`, `strict`, `api`, or more.
    pub(super) security_headers: Option<Brief<RawSecurityHeaders>>,
    /// A query for Prometheus that must give something.
    pub(super) promql: Option<String>,
    /// An OpenAPI file whose GET operations without parameters must answer.
    pub(super) openapi: Option<String>,
    /// A path that must refuse when asked too often.
    pub(super) rate_limit: Option<String>,
    /// A command on the host that must succeed.
    pub(super) run: Option<String>,
    /// A path that says which release runs; it must be the one that was shipped.
    pub(super) release: Option<String>,
    /// Headers that the answer must have: names, or names and exact values.
    pub(super) headers: Option<Headers>,
    /// What the answer must be: a status, or more.
    pub(super) expect: Option<RawExpect>,
    /// How often it is tried again.
    pub(super) retries: Option<u64>,
    /// What a bad answer means. Default: `gate`.
    pub(super) severity: Option<CheckSeverity>,
}

/// What a bad answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckSeverity {
    /// The whole run fails.
    Gate,
    /// It is reported.
    Warn,
}

/// What TLS must be like.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawTls {
    /// The oldest version that is spoken. Default: `1.2`.
    pub(super) min_version: Option<RawTlsVersion>,
    /// The certificate must be valid for at least this long. Default: 14 days, or a third of its whole life where that is less.
    pub(super) expires_in: Option<Span>,
    /// Whether HSTS must be announced, for six months at least.
    pub(super) hsts: Option<bool>,
    /// Whether an OCSP response must be stapled.
    pub(super) ocsp_stapling: Option<bool>,
    /// Whether HTTP/2 must be spoken.
    pub(super) http2: Option<bool>,
}

/// A version of TLS, in quotes.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(super) enum RawTlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// What is said by socket.io.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawSocketIo {
    /// Path or address of the service. Default: `/socket.io/`.
    pub(super) path: Option<String>,
    /// The namespace that is joined. Default: `/`.
    #[schemars(regex(pattern = "^/[^,?]*$"))]
    pub(super) namespace: Option<String>,
    /// What the namespace is told when it is joined.
    pub(super) auth: Option<Value>,
    /// The name of an event and what comes with it, which the service has to acknowledge.
    pub(super) emit: Option<Vec<Value>>,
}

/// Which headers are looked for, and where.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawSecurityHeaders {
    /// Which headers. Default: `baseline`.
    pub(super) profile: Option<RawProfile>,
    /// The paths that are asked. Default: `/`, a file that it names, and two paths that do not exist, one of them below `/api/`.
    #[schemars(length(min = 1))]
    pub(super) paths: Option<Vec<String>>,
}

/// Which headers are looked for.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawProfile {
    /// What every site has.
    Baseline,
    /// The same, and what isolates it from others.
    Strict,
    /// What an API has, which no browser shows.
    Api,
}

/// What is written as one word, or as a mapping where there is more to say.
#[derive(Debug, Clone)]
pub(super) struct Brief<T>(pub(super) T);

/// A mapping that one word can stand for.
pub(super) trait FromWord: Sized {
    /// The word alone.
    type Word: for<'de> Deserialize<'de> + JsonSchema;
    /// Everything else as if it was not said.
    fn from_word(word: Self::Word) -> Self;
}

impl FromWord for RawSocketIo {
    type Word = String;
    fn from_word(path: String) -> Self {
        Self { path: Some(path), ..Self::default() }
    }
}

impl FromWord for RawSecurityHeaders {
    type Word = RawProfile;
    fn from_word(profile: RawProfile) -> Self {
        Self { profile: Some(profile), paths: None }
    }
}

/// Names of headers, or names and values.
#[derive(Debug, Clone)]
pub(super) struct Headers(pub(super) Vec<WantedHeader>);

/// What an answer must be.
#[derive(Debug, Clone, Default)]
pub(super) struct RawExpect {
    pub(super) status: Option<u16>,
    pub(super) json: Option<BTreeMap<String, Value>>,
    pub(super) body: Option<String>,
    pub(super) p95: Option<Span>,
    pub(super) within: Option<Span>,
}

/// What an answer must be, in full.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct FullExpect {
    /// The status.
    #[schemars(range(min = 100, max = 599))]
    status: Option<u16>,
    /// Values by dotted path in the JSON answer.
    json: Option<BTreeMap<String, Value>>,
    /// A text that the body contains.
    body: Option<String>,
    /// The 95th percentile of response times.
    p95: Option<Span>,
    /// How soon the answer must come.
    within: Option<Span>,
}

impl<'de, T: FromWord + Deserialize<'de>> Deserialize<'de> for Brief<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: FromWord + Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Brief<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one word, or a mapping")
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<Brief<T>, E> {
                T::Word::deserialize(word.into_deserializer()).map(T::from_word).map(Brief)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Brief<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Brief)
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Headers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names, or names with their values")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some(name) = names.next_element()? {
                    headers.push(WantedHeader { name, value: None });
                }
                Ok(Headers(headers))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some((name, Text(value))) = entries.next_entry()? {
                    headers.push(WantedHeader { name, value: Some(value) });
                }
                Ok(Headers(headers))
            }
        }
        deserializer.deserialize_any(Reader)
    }
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
                let bad = |_too_large| E::custom(format!("`{status}` is not an HTTP status"));
                Ok(RawExpect { status: Some(u16::try_from(status).map_err(bad)?), ..RawExpect::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawExpect, A::Error> {
                let FullExpect { status, json, body, p95, within } =
                    FullExpect::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawExpect { status, json, body, p95, within })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<T: FromWord + JsonSchema> JsonSchema for Brief<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Brief{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<T::Word>();
        let full = generator.subschema_for::<T>();
        json_schema!({ "oneOf": [word, full] })
    }
}

impl JsonSchema for Headers {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let names = generator.subschema_for::<Vec<String>>();
        let values = generator.subschema_for::<BTreeMap<String, Text>>();
        json_schema!({ "oneOf": [names, values] })
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
