//! `Check`: one question to a deployed service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use shipkit_core::Secret;
pub use shipkit_core::config::Capture;
use shipkit_core::config::{
    Alerts, Bounds, Cors, Dns, Exposition, Method, SecurityHeaders, SocketIo, Statuses, Tls,
};

use crate::openapi::Api;
use crate::variable::{Unfilled, names, names_in};

/// Where services say that they are ready, in the order in which [`Kind::Ready`] should try when nobody knows.
pub const READY_PATHS: [&str; 5] = ["/health/ready", "/health", "/healthz", "/ready", "/"];

/// One question, and what to do with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// How people call it.
    pub name: String,
    /// What is asked.
    pub kind: Kind,
    /// What a bad answer means for the whole.
    pub severity: Severity,
    /// Whether a good answer after a bad one is a failure.
    pub flaky_fails: bool,
    /// How often it is asked again when time may mend the answer. Readiness and release are asked until the deadline.
    pub retries: u32,
    /// Where it stands in the configuration, counted from 1.
    pub line: Option<u64>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Does it answer well, several times in a row? The first of `paths` that exists is asked.
    Ready {
        /// Paths below the base address, or whole addresses.
        paths: Vec<String>,
    },
    /// Is this the release that answers, on every one of several new connections?
    Release {
        /// Where the service says in JSON what it is.
        path: String,
        /// What it should say.
        wanted: Wanted,
        /// Whether every address of the host is asked for itself.
        every_address: bool,
    },
    /// Is the answer to a request as expected?
    Http(Http),
    /// Does every address of the host take connections?
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// Do all name servers say the same about a name, and what they should? Without one, about the host of the base address.
    Dns(Dns),
    /// Does it lead where it must? Without `to`, from http to https of the same host.
    Redirect {
        /// A path below the base address, or a whole address.
        path: String,
        /// The same, of where it must lead.
        to: Option<String>,
    },
    /// Is the TLS of the base address as it should be: versions, certificate, and what is asked for besides?
    Tls(Tls),
    /// Does it open a WebSocket, answer pings and close when asked (RFC 6455)?
    Ws {
        /// A path below the base address, or a whole address.
        path: String,
        /// What the answer to the handshake must be: status 101 if no other is given. There is no body to expect anything of,
        /// and `within` is for all of it, the close included.
        expect: Expect,
    },
    /// Does a conversation by socket.io go well: by polling on new connections, by the upgrade to a WebSocket, and by a WebSocket alone?
    SocketIo(SocketIo),
    /// Is a page there, with every script, style and icon of its own host that it names?
    Page {
        /// A path below the base address, or a whole address.
        path: String,
    },
    /// Do browsers ask about a page anew, keep its files whose name has a hash, and learn that nothing has changed (RFC 9111)?
    Caching {
        /// A path below the base address, or a whole address.
        path: String,
    },
    /// Do a page, its scripts and its styles come compressed to those who can unpack them (RFC 9110 8.4)?
    Compression {
        /// A path below the base address, or a whole address.
        path: String,
    },
    /// Are pages of an origin let in from browsers, and others not?
    Cors(Cors),
    /// Do answers have the headers that protect visitors?
    SecurityHeaders(SecurityHeaders),
    /// Does it refuse to answer a client that asks too often, with status 429 (RFC 6585 4), and say when to come again?
    RateLimit {
        /// A path below the base address, or a whole address.
        path: String,
    },
    /// Does it show metrics that Prometheus can read, with these series, and do they grow when it is asked for something?
    Metrics(Exposition),
    /// Is Prometheus itself well, and does no alert fire that did not fire before?
    Alerts(Alerts),
    /// Do the operations of an API that only read answer as its description says?
    Openapi(Api),
    /// Does a command of the project end well, on the machine that asks?
    Run {
        /// What the shell runs.
        command: String,
        /// How long it may take; otherwise as long as there is time.
        within: Option<Duration>,
    },
    /// Does an installed `hurl` find everything as these files say?
    Hurl {
        /// Patterns of the files, below the folder of the configuration.
        patterns: Vec<String>,
        /// How long all of them may take; otherwise as long as there is time.
        within: Option<Duration>,
    },
    /// Does Prometheus measure what it should, since this run began?
    Promql {
        /// The query.
        query: String,
        /// What its values must be.
        bounds: Bounds,
    },
}

/// A request and what its answer has to be. `${NAME}` in the path, the values of headers, the body and expected values stands for
/// what a check of the same run captures, or else for one of `variables`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Http {
    /// How it asks.
    pub method: Method,
    /// A path below the base address, or a whole address.
    pub path: String,
    /// Headers to send.
    pub headers: BTreeMap<String, String>,
    /// What to send: a text as it is, anything else as JSON.
    pub body: Option<Value>,
    /// What must come back.
    pub expect: Expect,
    /// What of the answer others may use, by name.
    pub captures: BTreeMap<String, Capture>,
    /// Values for names that no check captures. No report shows them.
    pub variables: BTreeMap<String, Secret>,
}

/// What an answer has to be. Every part that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expect {
    /// Which statuses are good; any of 200 to 299 if not given.
    pub status: Option<Statuses>,
    /// Headers by name: any value, exactly this text, a mapping of matchers, or a list of both (all lines of the header joined with `, `).
    pub headers: BTreeMap<String, Option<Value>>,
    /// Values, or mappings of matchers, in the JSON body: by dotted path (`info.database.status`, `items.0.id`), or by `JSONPath` where it
    /// begins with `$` (RFC 9535).
    pub json: BTreeMap<String, Value>,
    /// Values, or mappings of matchers, in the HTML body: the texts of the elements that a CSS selector names, or with
    /// `SELECTOR::attr(NAME)` their attribute.
    pub html: BTreeMap<String, Value>,
    /// A text in the body, a mapping of matchers, or a list of both.
    pub body: Option<Value>,
    /// The JSON Schema (2020-12) that the JSON body has to fit.
    pub schema: Option<Value>,
    /// How long the whole answer may take.
    pub within: Option<Duration>,
    /// How long nineteen of twenty answers may take, which is measured by some hundred requests after the first good answer.
    /// Nothing is measured where the request is no `GET`.
    pub p95: Option<Duration>,
    /// How many times as long as in the last good run, or as another release at the same time, these may take.
    pub max_regress: Option<f64>,
    /// The share of requests that may not be answered well, as of 1, which is measured in the same way.
    pub errors: Option<f64>,
    /// Names of cookies that the answer must set, and protect as those of a login (RFC 6265 8.3, 8.6). Where some are given, all that the
    /// answer sets are judged.
    pub cookies: Vec<String>,
}

/// What a bad answer means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The whole run fails.
    #[default]
    Gate,
    /// It is reported.
    Warn,
}

/// What the running release has to say about itself. What is `None` is not compared; one of the two must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The commit that the service was built from: of its image, not of the release, where a service did not change.
    pub revision: Option<String>,
    /// The version.
    pub version: Option<String>,
}

impl Check {
    /// Waits until one of these paths answers well.
    #[must_use]
    pub fn ready(paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let paths = paths.into_iter().map(Into::into).collect();
        Self::new("ready", Kind::Ready { paths })
    }

    /// Asks which release runs.
    #[must_use]
    pub fn release(path: impl Into<String>, wanted: Wanted) -> Self {
        Self::new("release", Kind::Release { path: path.into(), wanted, every_address: false })
    }

    /// Asks a path and expects 200 to 299.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        let path = path.into();
        Self::new(format!("get {path}"), Kind::Http(Http { path, ..Http::default() }))
    }

    /// The names that it captures.
    pub(crate) fn captures(&self) -> impl Iterator<Item = &String> {
        let http = if let Kind::Http(http) = &self.kind { Some(http) } else { None };
        http.into_iter().flat_map(|http| http.captures.keys())
    }

    /// The values that it brings for names.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Secret> {
        let http = if let Kind::Http(http) = &self.kind { Some(&http.variables) } else { None };
        let api = if let Kind::Openapi(api) = &self.kind { Some(&api.variables) } else { None };
        http.into_iter().chain(api).flat_map(BTreeMap::values)
    }

    /// The names that it uses. One that is not well written uses none; that is found when it is filled.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        if let Kind::Openapi(api) = &self.kind {
            return api.send.values().filter_map(|text| names(text).ok()).flatten().collect();
        }
        let Kind::Http(http) = &self.kind else { return BTreeSet::new() };
        http.names().unwrap_or_default()
    }

    /// A gate with two retries, after which it may pass.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind, severity: Severity::Gate, flaky_fails: false, retries: 2, line: None }
    }
}

impl Expect {
    /// Whether any answer with a good status will do.
    pub(crate) fn is_bare(&self) -> bool {
        self.headers.is_empty()
            && self.json.is_empty()
            && self.html.is_empty()
            && self.body.is_none()
            && self.schema.is_none()
    }
}

impl Http {
    /// The names that it uses.
    pub(crate) fn names(&self) -> Result<BTreeSet<String>, Unfilled> {
        let texts = self.headers.values().chain([&self.path]).map(|text| names(text));
        let values = self
            .body
            .iter()
            .chain(self.expect.json.values())
            .chain(self.expect.html.values())
            .chain(&self.expect.body);
        let values = values.chain(self.expect.headers.values().flatten()).map(names_in);
        let all: Vec<Vec<String>> = texts.chain(values).collect::<Result<_, _>>()?;
        Ok(all.into_iter().flatten().collect())
    }
}

impl Wanted {
    /// Tells a commit (7 to 64 lower-case hexadecimal digits) from a version (anything else).
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if 7 <= text.len() && text.len() <= 64 && text.bytes().all(is_hex) {
            Self { revision: Some(text.to_owned()), version: None }
        } else {
            Self { revision: None, version: Some(text.to_owned()) }
        }
    }
}
