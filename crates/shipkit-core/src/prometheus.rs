//! Prometheus: where it is, and what it answers to an instant query (its HTTP API, version 1).

mod rules;
mod targets;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

pub use rules::{Rule, rules};
pub use targets::{Target, targets};

use crate::exit::ExitCode;
use crate::hint::Hint;

/// How much of a message of Prometheus is repeated.
const MESSAGE: usize = 300;

/// A Service in a cluster that Prometheus is behind: `service://NAMESPACE/NAME:PORT/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    namespace: String,
    /// `NAME:PORT`, as the API server's proxy names it.
    name: String,
    /// What stands before `/api`: empty, or begins with `/` and does not end with it.
    path: String,
}

/// Why a text is no address of a Service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a Service")]
pub struct NotAService(String);

impl ServiceAddress {
    /// How such addresses begin.
    pub const SCHEME: &str = "service://";

    /// The namespace of the Service.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name and port, as permissions name it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path at the API server that leads to `path` of Prometheus.
    #[must_use]
    pub fn proxied(&self, path: &str) -> String {
        let Self { namespace, name, path: base } = self;
        format!("/api/v1/namespaces/{namespace}/services/{name}/proxy{base}{path}")
    }
}

impl FromStr for ServiceAddress {
    type Err = NotAService;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || NotAService(text.to_owned());
        let rest = text.strip_prefix(Self::SCHEME).ok_or_else(bad)?;
        let (namespace, rest) = rest.split_once('/').ok_or_else(bad)?;
        let (service, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (name, port) = service.split_once(':').ok_or_else(bad)?;
        let is_word = |text: &str| {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !text.is_empty() && text.len() <= 63 && text.bytes().all(fits)
        };
        let is_step = |step: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            !step.is_empty() && step != "." && step != ".." && step.bytes().all(fits)
        };
        let path = path.trim_end_matches('/');
        if ![namespace, name, port].into_iter().all(is_word)
            || !(path.is_empty() || path.split('/').all(is_step))
        {
            return Err(bad());
        }
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { namespace: namespace.to_owned(), name: format!("{name}:{port}"), path })
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}{}", Self::SCHEME, self.namespace, self.name, self.path)
    }
}

/// One element of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels; none where the answer is a number by itself.
    pub labels: BTreeMap<String, String>,
    /// Its value; not a number where it is a native histogram.
    pub value: f64,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples {
    /// What it holds.
    pub samples: Vec<Sample>,
    /// What Prometheus says about it.
    pub warnings: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrometheusError {
    /// Prometheus cannot make sense of a query.
    #[error("Prometheus cannot run `{query}`: {message}")]
    Query {
        /// The query.
        query: String,
        /// What Prometheus says about it.
        message: String,
    },
    /// What answers does not do it.
    #[error("`{at}` answers {status}: {message}")]
    Refused {
        /// Who was asked.
        at: String,
        /// The HTTP status.
        status: u16,
        /// What it says about it.
        message: String,
    },
    /// What answers is not Prometheus, or not at this path.
    #[error("`{at}` answers {status}, and not as Prometheus does")]
    Foreign {
        /// Who was asked.
        at: String,
        /// The HTTP status.
        status: u16,
    },
    /// Nobody answers.
    #[error("Prometheus at `{at}` cannot be reached: {reason}")]
    Unreachable {
        /// Who was asked.
        at: String,
        /// What happened.
        reason: String,
    },
    /// More came than is read.
    #[error("the answer to `{query}` is larger than {mib} MiB")]
    TooLarge {
        /// The query.
        query: String,
        /// How much is read.
        mib: usize,
    },
}

impl Hint for PrometheusError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Query { .. } => {
                Some("try it in Prometheus; `analysis.promql` in shipkit.yml has it".to_owned())
            }
            Self::TooLarge { .. } => Some("let it give less, as with `sum`".to_owned()),
            Self::Refused { status: 401 | 403, .. } => Some(
                "a user and a password can stand in the address: `https://user:password@host`".to_owned(),
            ),
            Self::Foreign { .. } => {
                Some("`analysis.prometheus` in shipkit.yml is what stands before `/api/v1/query`".to_owned())
            }
            Self::Refused { .. } | Self::Unreachable { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Query { .. } | Self::TooLarge { .. } => ExitCode::Usage,
            Self::Refused { .. } | Self::Foreign { .. } | Self::Unreachable { .. } => ExitCode::Unknown,
        }
    }
}

#[derive(Deserialize)]
struct RawAnswer<T> {
    data: Option<T>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum RawData {
    Vector(Vec<RawSample>),
    Scalar((f64, String)),
    String(IgnoredAny),
    Matrix(IgnoredAny),
}

#[derive(Deserialize)]
struct RawSample {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

/// Reads what `at` has answered to `query`.
///
/// # Errors
/// When it says that it cannot, or is not Prometheus.
pub fn read(at: &str, query: &str, status: u16, body: &[u8]) -> Result<Samples, PrometheusError> {
    let wrong =
        |message: &str| PrometheusError::Query { query: query.to_owned(), message: message.to_owned() };
    let number = |text: &str| text.parse().unwrap_or(f64::NAN);
    let (found, warnings) = data(at, query, status, body)?;
    let samples = match found {
        RawData::Vector(all) => all
            .into_iter()
            .map(|one| Sample {
                labels: one.metric,
                value: one.value.map_or(f64::NAN, |(_, text)| number(&text)),
            })
            .collect(),
        RawData::Scalar((_, text)) => vec![Sample { labels: BTreeMap::new(), value: number(&text) }],
        RawData::Matrix(_) => {
            return Err(wrong("it gives a range of values, and one value for each series is needed"));
        }
        RawData::String(_) => return Err(wrong("it gives a text, and a number is needed")),
    };
    Ok(Samples { samples, warnings })
}

/// What is in an answer to `asked`, and what Prometheus says about it.
pub(crate) fn data<T: DeserializeOwned>(
    at: &str,
    asked: &str,
    status: u16,
    body: &[u8],
) -> Result<(T, Vec<String>), PrometheusError> {
    let answer = match serde_json::from_slice::<RawAnswer<T>>(body) {
        Ok(answer) => answer,
        Err(_not_its_form) if status == 401 || status == 403 || 500 <= status => {
            let message = String::from_utf8_lossy(body);
            let message = message.lines().next().map_or_else(|| "nothing more".to_owned(), short);
            return Err(PrometheusError::Refused { at: at.to_owned(), status, message });
        }
        Err(_not_its_form) => return Err(PrometheusError::Foreign { at: at.to_owned(), status }),
    };
    match (answer.data, answer.error) {
        (_, Some(error)) => {
            let is_query = matches!(answer.error_type.as_deref(), Some("bad_data" | "execution"));
            let (at, message) = (at.to_owned(), short(&error));
            Err(if is_query {
                PrometheusError::Query { query: asked.to_owned(), message }
            } else {
                PrometheusError::Refused { at, status, message }
            })
        }
        (Some(data), None) => Ok((data, answer.warnings.iter().map(|one| short(one)).collect())),
        // The API server of a cluster has an own form for what it says itself.
        (None, None) if status == 200 => Err(PrometheusError::Foreign { at: at.to_owned(), status }),
        (None, None) => {
            let said = serde_json::from_slice::<RawStatus>(body).ok().and_then(|said| said.message);
            let message = said.map_or_else(|| "nothing more".to_owned(), |message| short(&message));
            Err(PrometheusError::Refused { at: at.to_owned(), status, message })
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}

#[derive(Deserialize)]
struct RawStatus {
    message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_namespace_a_name_and_a_port() {
        let address: ServiceAddress = "service://monitoring/prometheus:9090".parse().unwrap();
        let path = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query";
        assert_eq!(address.proxied("/api/v1/query"), path);
        let below: ServiceAddress = "service://a/b:web/prom/x/".parse().unwrap();
        assert_eq!(below.proxied("/q"), "/api/v1/namespaces/a/services/b:web/proxy/prom/x/q");
        assert_eq!(below.to_string(), "service://a/b:web/prom/x");
        for text in [
            "http://a/b:1",
            "service://a",
            "service://a/b",
            "service:///b:1",
            "service://a/b:",
            "service://a/b:1:2",
            "service://A/b:1",
            "service://a/b:1/../x",
            "service://a/b:1/x?y",
            "service://a/b:1//x",
            "service://u@a/b:1",
        ] {
            assert!(text.parse::<ServiceAddress>().is_err(), "{text}");
        }
    }

    fn of(status: u16, body: &str) -> Result<Vec<f64>, PrometheusError> {
        read("http://p", "q", status, body.as_bytes())
            .map(|answer| answer.samples.iter().map(|one| one.value).collect())
    }

    #[test]
    fn vectors_and_numbers_are_answers() {
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"code":"200"},"value":[1.5,"4"]},{"metric":{},"value":[1.5,"+Inf"]}]},"warnings":["w"]}"#;
        assert_eq!(of(200, vector), Ok(vec![4.0, f64::INFINITY]));
        let read = read("http://p", "q", 200, vector.as_bytes()).unwrap();
        assert_eq!(read.samples[0].labels["code"], "200");
        assert_eq!(read.warnings, ["w"]);
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"2"]}}"#;
        assert_eq!(of(200, scalar), Ok(vec![2.0]));
        let none = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        assert_eq!(of(200, none), Ok(vec![]));
        let nan = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}}"#;
        assert!(of(200, nan).unwrap()[0].is_nan());
    }

    #[test]
    fn what_is_wrong_with_a_query_is_not_what_is_wrong_with_prometheus() {
        let error = |status, body: &str| of(status, body).unwrap_err();
        let bad = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert_eq!(error(400, bad).exit_code(), ExitCode::Usage);
        let range = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert_eq!(error(200, range).exit_code(), ExitCode::Usage);
        let text = r#"{"status":"success","data":{"resultType":"string","result":[1,"a"]}}"#;
        assert_eq!(error(200, text).exit_code(), ExitCode::Usage);
        let late = r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
        assert_eq!(error(503, late).to_string(), "`http://p` answers 503: query timed out");
        let status = r#"{"kind":"Status","status":"Failure","message":"no endpoints","code":503}"#;
        assert_eq!(error(503, status).to_string(), "`http://p` answers 503: no endpoints");
        assert_eq!(error(401, "Unauthorized").to_string(), "`http://p` answers 401: Unauthorized");
        for (status, body) in [(200, "<html>"), (404, "not found"), (302, ""), (200, "{}")] {
            assert!(matches!(error(status, body), PrometheusError::Foreign { .. }), "{status} {body}");
        }
        assert_eq!(error(404, "").exit_code(), ExitCode::Unknown);
    }
}
