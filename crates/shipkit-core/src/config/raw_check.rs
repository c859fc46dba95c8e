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
use super::dns::RawDns;
use super::raw_expect::RawExpect;
use super::request::{Capture, Method};
use super::values::{Span, Text, Texts};

/// One check: exactly one of `get`, `head`, `options`, `post`, `put`, `patch`, `delete`, `ws`, `socketio`, `tcp`, `dns`, `tls`, `redirect`,
/// `page`, `caching`, `compression`, `cors`, `security_headers`, `metrics`, `alerts`, `promql`, `openapi`, `rate_limit`, `run`, `hurl` and `release`. Paths are asked below the `url` of the environment.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping, one check")]
#[schemars(extend("oneOf" = [
    {"required": ["get"]}, {"required": ["head"]}, {"required": ["options"]}, {"required": ["post"]}, {"required": ["put"]},
    {"required": ["patch"]}, {"required": ["delete"]}, {"required": ["ws"]}, {"required": ["socketio"]}, {"required": ["tcp"]}, {"required": ["dns"]},
    {"required": ["tls"]}, {"required": ["redirect"]}, {"required": ["page"]}, {"required": ["caching"]}, {"required": ["compression"]},
    {"required": ["cors"]}, {"required": ["security_headers"]},
    {"required": ["metrics"]}, {"required": ["alerts"]}, {"required": ["promql"]}, {"required": ["openapi"]}, {"required": ["rate_limit"]},
    {"required": ["run"]}, {"required": ["hurl"]}, {"required": ["release"]}
]))]
pub(super) struct RawCheck {
    /// Its name. Default: what it does.
    pub(super) name: Option<String>,
    /// The service it is about.
    pub(super) service: Option<String>,
    /// A GET request to a path or address.
    pub(super) get: Option<String>,
    /// A HEAD request.
    pub(super) head: Option<String>,
    /// An OPTIONS request.
    pub(super) options: Option<String>,
    /// A POST request to a path or address.
    pub(super) post: Option<String>,
    /// A PUT request.
    pub(super) put: Option<String>,
    /// A PATCH request.
    pub(super) patch: Option<String>,
    /// A DELETE request.
    pub(super) delete: Option<String>,
    /// Headers to send with a request, or with those of `openapi`.
    pub(super) send: Option<BTreeMap<String, Text>>,
    /// The body of `post`, `put`, `patch` or `delete`: JSON, or a text as it is.
    pub(super) body: Option<Value>,
    /// Whether the request may change something where people use the environment. Default: it is not sent there.
    pub(super) writes: Option<bool>,
    /// A WebSocket handshake with a path or address.
    pub(super) ws: Option<String>,
    /// A conversation by socket.io: the path of the service, or more.
    pub(super) socketio: Option<Brief<RawSocketIo>>,
    /// A TCP connection to `host:port`.
    pub(super) tcp: Option<String>,
    /// What the name servers say about a name: the name, or more.
    pub(super) dns: Option<Brief<RawDns>>,
    /// The TLS side of `url`.
    pub(super) tls: Option<RawTls>,
    /// A path or address that must redirect.
    pub(super) redirect: Option<String>,
    /// Where `redirect` must lead. Default: from http to https of the same host.
    pub(super) to: Option<String>,
    /// A path or address that shows metrics to Prometheus.
    pub(super) metrics: Option<String>,
    /// Series that `metrics` must show: `name`, or `name{label="value"}`.
    pub(super) series: Option<Texts>,
    /// The same, of those that must grow when `by` is asked for.
    pub(super) grows: Option<Texts>,
    /// The path or address that is asked for so that something grows. Default: `/`.
    pub(super) by: Option<String>,
    /// What Prometheus says about itself, and the alerts that fire.
    pub(super) alerts: Option<RawAlerts>,
    /// A page, whose scripts, styles and icons must be there.
    pub(super) page: Option<String>,
    /// A page that browsers must ask about anew, and whose files they may keep.
    pub(super) caching: Option<String>,
    /// A page that must come compressed, with its scripts and styles.
    pub(super) compression: Option<String>,
    /// The origin that is let in from browsers, and no other.
    pub(super) cors: Option<RawCors>,
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
    /// Hurl files beside the file, by patterns, which an installed `hurl` runs.
    pub(super) hurl: Option<Texts>,
    /// A path that says which release runs; it must be the one that was shipped.
    pub(super) release: Option<Brief<RawRunning>>,
    /// What of the answer other checks use as `${NAME}`: by name a `JSONPath`, or `header` with the name of a header.
    pub(super) capture: Option<BTreeMap<String, RawCapture>>,
    /// Headers that the answer must have: names, or names and values, mappings of matchers or lists of both.
    pub(super) headers: Option<Headers>,
    /// What the answer must be: a status, or more.
    pub(super) expect: Option<RawExpect>,
    /// How often it is tried again.
    pub(super) retries: Option<u64>,
    /// What a bad answer means. Default: `gate`.
    pub(super) severity: Option<CheckSeverity>,
    /// What a good answer after a bad one means. Default: `pass`, and it is told.
    pub(super) flaky: Option<Flaky>,
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

/// What a good answer after a bad one means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Flaky {
    /// It passes.
    Pass,
    /// It fails.
    Fail,
}

/// What Prometheus must say about itself: its rules are evaluated, and no alert fires that did not fire before.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawAlerts {
    /// Jobs whose targets must be up.
    pub(super) job: Option<Texts>,
    /// Names of alerts that may fire.
    pub(super) allow: Option<Texts>,
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

/// Which origins are let in from browsers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawCors {
    /// Path or address that is asked.
    pub(super) path: String,
    /// The origin that is let in: `https://app.example.com`.
    pub(super) origin: String,
    /// What pages of the origin may send. Default: `GET`.
    pub(super) method: Option<RawMethod>,
    /// Whether they may send cookies and passwords. Default: `false`.
    pub(super) credentials: Option<bool>,
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum RawMethod {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
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

impl FromWord for RawRunning {
    type Word = String;
    fn from_word(path: String) -> Self {
        Self { path, addresses: None }
    }
}

impl FromWord for RawSecurityHeaders {
    type Word = RawProfile;
    fn from_word(profile: RawProfile) -> Self {
        Self { profile: Some(profile), paths: None }
    }
}

/// Where in an answer something is.
#[derive(Debug, Clone)]
pub(super) struct RawCapture(pub(super) Capture);

/// The header in which something is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
struct InHeader {
    /// Its name.
    header: String,
}

/// Names of headers, or names and values.
#[derive(Debug, Clone)]
pub(super) struct Headers(pub(super) Vec<WantedHeader>);

/// Who is asked which release runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawRunning {
    /// Path or address.
    pub(super) path: String,
    /// Which addresses of the host are asked. Default: one, as the system chooses.
    pub(super) addresses: Option<RawAddresses>,
}

/// Which addresses of a host are asked.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAddresses {
    /// Each for itself.
    All,
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

impl RawCheck {
    /// Where a request of this method goes, if the entry has one.
    pub(super) fn url_of(&self, method: Method) -> Option<&String> {
        match method {
            Method::Get => self.get.as_ref(),
            Method::Head => self.head.as_ref(),
            Method::Options => self.options.as_ref(),
            Method::Post => self.post.as_ref(),
            Method::Put => self.put.as_ref(),
            Method::Patch => self.patch.as_ref(),
            Method::Delete => self.delete.as_ref(),
        }
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
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    // A header is text, whatever it looks like.
                    let value = match value {
                        Value::Bool(_) | Value::Number(_) => Value::from(value.to_string()),
                        Value::String(_) | Value::Object(_) | Value::Array(_) => value,
                        Value::Null => {
                            return Err(A::Error::custom("a text, or a mapping of matchers, is expected"));
                        }
                    };
                    headers.push(WantedHeader { name, value: Some(value) });
                }
                Ok(Headers(headers))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for RawCapture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = RawCapture;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSONPath (`$.token`), or `header` with a name")
            }
            fn visit_str<E: Error>(self, path: &str) -> Result<RawCapture, E> {
                Ok(RawCapture(Capture::Json(path.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawCapture, A::Error> {
                let InHeader { header } = InHeader::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawCapture(Capture::Header(header)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for RawCapture {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Capture".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let header = generator.subschema_for::<InHeader>();
        json_schema!({ "oneOf": [{ "type": "string", "pattern": "^\\$" }, header] })
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
        let value = json_schema!({ "type": ["string", "number", "boolean", "object", "array"] });
        json_schema!({ "oneOf": [names, { "type": "object", "additionalProperties": value }] })
    }
}
