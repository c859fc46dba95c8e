//! `Check`: one entry of `smoke`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Number, Value};

use super::dns::Dns;
use super::request::{Method, Request};
use super::statuses::Statuses;
use super::units::BasisPoints;
use crate::project_path::ProjectPath;

/// One check after a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name; by default what it does: `get /health`.
    pub name: String,
    /// The service it is about; `None` is whoever answers at the `url` of the environment.
    pub service: Option<String>,
    /// What is asked.
    pub kind: CheckKind,
    /// Headers that the answer must have.
    pub headers: Vec<WantedHeader>,
    /// What the answer must be.
    pub expect: Expect,
    /// How often it is tried again.
    pub retries: Option<u64>,
    /// Whether it may change something where people use the environment.
    pub writes: bool,
    /// Whether a bad answer is only reported.
    pub only_warns: bool,
    /// Whether a good answer after a bad one is a failure.
    pub flaky_fails: bool,
    /// The line of the entry in the file, from 1.
    pub line: usize,
}

/// What a check asks. Paths and addresses are as written: an address with a scheme, or a path below `url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// A request.
    Http(Request),
    /// A WebSocket handshake.
    Ws(String),
    /// A conversation by socket.io.
    SocketIo(SocketIo),
    /// A TCP connection to `host:port`.
    Tcp(String),
    /// The addresses of a name, and what else its name servers say about it.
    Dns(Dns),
    /// The TLS side of `url`.
    Tls(Tls),
    /// A redirect.
    Redirect {
        /// Path or address that is asked.
        url: String,
        /// Where it must lead; `None` is from http to https of the same host.
        to: Option<String>,
    },
    /// The metrics that an application shows.
    Metrics(Exposition),
    /// What Prometheus says about itself, and the alerts that fire.
    Alerts(Alerts),
    /// A page, whose scripts, styles and icons must be there.
    Page(String),
    /// A page that browsers must ask about anew, and whose files they may keep.
    Caching(String),
    /// A page that must come compressed, with its scripts and styles.
    Compression(String),
    /// The origin that is let in from browsers, and no other.
    Cors(Cors),
    /// Headers that protect visitors.
    SecurityHeaders(SecurityHeaders),
    /// A query for Prometheus that must give something.
    Promql(String),
    /// Every GET operation without parameters of an `OpenAPI` file.
    Openapi(Openapi),
    /// A path that must refuse when asked too often.
    RateLimit(String),
    /// A command on the host.
    Run(String),
    /// Hurl files, by patterns, which an installed `hurl` runs.
    Hurl(Vec<String>),
    /// A path that says which release runs; it must be the one that was shipped.
    Release(Running),
}

/// Who is asked which release runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Path or address.
    pub path: String,
    /// Whether every address of the host is asked for itself.
    pub every_address: bool,
}

/// What an application must show to Prometheus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposition {
    /// Path or address.
    pub path: String,
    /// Series that must be there: `name`, or `name{label="value"}`.
    pub series: Vec<String>,
    /// The same, of those that must grow when something is asked for.
    pub grows: Vec<String>,
    /// What is asked for; `None` is `/`.
    pub by: Option<String>,
}

/// The description of an API, and what its operations are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Openapi {
    /// The file, beside the configuration.
    pub file: String,
    /// Headers to send, such as a login.
    pub send: BTreeMap<String, String>,
}

/// What Prometheus must say about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alerts {
    /// Jobs whose targets must be up.
    pub jobs: Vec<String>,
    /// Names of alerts that may fire.
    pub allow: Vec<String>,
}

/// Which headers are looked for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityHeaders {
    /// Which headers.
    pub profile: Profile,
    /// Paths or addresses; empty leaves them to the check.
    pub paths: Vec<String>,
}

/// Which headers are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// What every site has.
    Baseline,
    /// The same, and what isolates it from others.
    Strict,
    /// What an API has, which no browser shows.
    Api,
}

/// Which origins are let in from browsers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Path or address that is asked.
    pub path: String,
    /// The origin that is let in: scheme, host and port.
    pub origin: String,
    /// What pages of the origin may send.
    pub method: Method,
    /// Whether they may send cookies and passwords.
    pub credentials: bool,
}

/// What is said by socket.io.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketIo {
    /// Path or address of the service.
    pub path: String,
    /// The namespace that is joined; begins with `/`.
    pub namespace: String,
    /// What the namespace is told when it is joined.
    pub auth: Option<Value>,
    /// The name of an event and what comes with it, which the service has to acknowledge; empty sends none.
    pub emit: Vec<Value>,
}

/// What TLS must be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The oldest version that is spoken; `None` is 1.2 (RFC 9325 3.1.1).
    pub min_version: Option<TlsVersion>,
    /// The certificate must be valid for at least this long; `None` is 14 days, or a third of its life where that is less.
    pub expires_in: Option<Duration>,
    /// Whether HSTS must be announced.
    pub hsts: bool,
    /// Whether an OCSP response must be stapled.
    pub ocsp_stapling: bool,
    /// Whether HTTP/2 must be spoken.
    pub http2: bool,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

/// A header that an answer must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedHeader {
    /// Its name.
    pub name: String,
    /// What its value must be: a text, a mapping of matchers, or a list of both; `None` accepts any.
    pub value: Option<Value>,
}

/// What an answer must be. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// The status; `None` leaves it to the kind of check.
    pub status: Option<Statuses>,
    /// Values, or mappings of matchers, in the JSON answer: by dotted path (`checks.database.status`), or by `JSONPath` (RFC 9535)
    /// where it begins with `$`.
    pub json: BTreeMap<String, Value>,
    /// Values, or mappings of matchers, in the HTML answer: by CSS selector, or by `SELECTOR::attr(NAME)`.
    pub html: BTreeMap<String, Value>,
    /// A text that the body contains, a mapping of matchers, or a list of both.
    pub body: Option<Value>,
    /// A file with the JSON Schema that the body must fit.
    pub schema: Option<ProjectPath>,
    /// The 95th percentile of response times.
    pub p95: Option<Duration>,
    /// How many times that of the last good run, or of the release that serves, it may be.
    pub max_regress: Option<Number>,
    /// The share of requests that may fail.
    pub errors: Option<BasisPoints>,
    /// How soon the answer must come.
    pub within: Option<Duration>,
    /// Names of cookies that the answer must set, and which are for a login. Where some are given, all are judged.
    pub cookies: Vec<String>,
    /// What the values of a query must be.
    pub bounds: Bounds,
}

/// What the values that a query for Prometheus gives must be. Without limits it must give something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Every value must be above this.
    pub over: Option<Number>,
    /// Every value must be below this.
    pub under: Option<Number>,
    /// How many values there must be at least, one for each series; `None` is one.
    pub samples: Option<u64>,
}

impl CheckKind {
    /// The word in `shipkit.yml`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Http(request) => request.method.key(),
            Self::Ws(_) => "ws",
            Self::SocketIo(_) => "socketio",
            Self::Tcp(_) => "tcp",
            Self::Dns(_) => "dns",
            Self::Tls(_) => "tls",
            Self::Redirect { .. } => "redirect",
            Self::Metrics(_) => "metrics",
            Self::Alerts(_) => "alerts",
            Self::Page(_) => "page",
            Self::Caching(_) => "caching",
            Self::Compression(_) => "compression",
            Self::Cors(_) => "cors",
            Self::SecurityHeaders(_) => "security_headers",
            Self::Promql(_) => "promql",
            Self::Openapi(_) => "openapi",
            Self::RateLimit(_) => "rate_limit",
            Self::Run(_) => "run",
            Self::Hurl(_) => "hurl",
            Self::Release(_) => "release",
        }
    }
}
