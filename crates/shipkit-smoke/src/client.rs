//! `Client`: the only place that sends requests. Everything that comes back is hostile: it is capped in size and time.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use reqwest::Upgraded;
use reqwest::header::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use shipkit_core::config::Method;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::class::Class;
use crate::error::SmokeError;

/// What is read of a body: enough for a health answer or a page, and no more, whatever the server sends.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;

/// An HTTP client with one policy for its connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    made: Made,
}

/// What it was made of.
#[derive(Debug, Clone)]
struct Made {
    tls: rustls::ClientConfig,
    reuse: Reuse,
    timeout: Duration,
}

/// Whether a connection may serve more than one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Name, load balancer and TLS are gone through anew for each request.
    Never,
    /// As browsers do.
    Allowed,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Its first bytes: [`BODY_LIMIT`], if nothing else was said.
    pub(crate) body: Vec<u8>,
    /// Whether that is all.
    pub(crate) is_whole: bool,
    pub(crate) took: Duration,
}

/// Why there is no answer, or not a good one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) class: Class,
    pub(crate) detail: String,
}

impl Bad {
    pub(crate) fn new(class: Class, detail: impl Into<String>) -> Self {
        Self { class, detail: detail.into() }
    }
}

impl Ask {
    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::Get, url, headers: HeaderMap::new(), body: None }
    }
}

impl Client {
    /// A client that trusts the roots of the web and the certificates in `ca_pem`.
    pub(crate) fn new(ca_pem: Option<&[u8]>, reuse: Reuse, timeout: Duration) -> Result<Self, SmokeError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| SmokeError::Client(error.to_string()))?
            .with_root_certificates(roots(ca_pem)?)
            .with_no_client_auth();
        Self::of(Made { tls, reuse, timeout }, None)
    }

    /// A client that takes any certificate, for answers without a secret in their questions.
    pub(crate) fn blind(timeout: Duration) -> Result<Self, SmokeError> {
        let tls = crate::tls::blind().map_err(|error| SmokeError::Client(error.to_string()))?;
        Self::of(Made { tls, reuse: Reuse::Never, timeout }, None)
    }

    /// The same, which takes this address for that of a host. What is sent is for the host, and so is TLS.
    pub(crate) fn at(&self, host: &str, address: SocketAddr) -> Result<Self, SmokeError> {
        Self::of(self.made.clone(), Some((host, address)))
    }

    fn of(made: Made, known: Option<(&str, SocketAddr)>) -> Result<Self, SmokeError> {
        let Made { tls, reuse, timeout } = made.clone();
        let idle = match reuse {
            Reuse::Never => 0,
            Reuse::Allowed => usize::MAX,
        };
        let mut builder = reqwest::Client::builder();
        if let Some((host, address)) = known {
            builder = builder.resolve(host, address);
        }
        let http = builder
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Only HTTP/1.1 is offered: over HTTP/2 many requests would share one connection, and one replica.
            .http1_only()
            // Earlier than the request's own limit, so that silence can be told from a slow answer.
            .connect_timeout(timeout * 4 / 5)
            .pool_max_idle_per_host(idle)
            .user_agent(concat!("shipkit-smoke/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SmokeError::Client(error.to_string()))?;
        Ok(Self { http, made })
    }

    /// Sends one request and reads its answer, all until `deadline`. Nothing is followed, unpacked or tried again.
    pub(crate) async fn ask(&self, ask: &Ask, deadline: Instant) -> Result<Answer, Bad> {
        self.ask_up_to(BODY_LIMIT, ask, deadline).await
    }

    /// The same, and more or less of the body is read.
    pub(crate) async fn ask_up_to(&self, limit: usize, ask: &Ask, deadline: Instant) -> Result<Answer, Bad> {
        let start = Instant::now();
        self.answered(ask, start, deadline).await?.read(limit).await
    }

    /// Asks for another protocol on the connection of the request (RFC 9110 7.8). If the answer is 101, there is the connection.
    pub(crate) async fn upgrade(
        &self,
        ask: &Ask,
        deadline: Instant,
    ) -> Result<(Answer, Option<Upgraded>), Bad> {
        let start = Instant::now();
        let mut answered = self.answered(ask, start, deadline).await?;
        if answered.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return answered.read(BODY_LIMIT).await.map(|answer| (answer, None));
        }
        let headers = std::mem::take(answered.response.headers_mut());
        match timeout_at(deadline, answered.response.upgrade()).await {
            Ok(Ok(connection)) => {
                let took = start.elapsed();
                Ok((
                    Answer { status: 101, headers, body: Vec::new(), is_whole: true, took },
                    Some(connection),
                ))
            }
            Ok(Err(error)) => Err(classify(error)),
            Err(_elapsed) => Err(late(start, deadline)),
        }
    }

    async fn answered(&self, ask: &Ask, start: Instant, deadline: Instant) -> Result<Answered, Bad> {
        let mut request = self.http.request(method(ask.method), ask.url.clone()).headers(ask.headers.clone());
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => Ok(Answered { response, start, deadline }),
            Ok(Err(error)) => Err(classify(error)),
            Err(_elapsed) => Err(late(start, deadline)),
        }
    }
}

/// An answer whose body was not read yet.
struct Answered {
    response: reqwest::Response,
    start: Instant,
    deadline: Instant,
}

impl Answered {
    async fn read(self, limit: usize) -> Result<Answer, Bad> {
        let Self { mut response, start, deadline } = self;
        let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        let is_whole = loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(None)) => break true,
                Ok(Ok(Some(chunk))) => {
                    let room = limit.saturating_sub(body.len());
                    body.extend(chunk.iter().take(room));
                    if room < chunk.len() {
                        break false;
                    }
                }
                Ok(Err(error)) => return Err(classify(error)),
                Err(_elapsed) => return Err(late(start, deadline)),
            }
        };
        Ok(Answer { status, headers, body, is_whole, took: start.elapsed() })
    }
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Options => reqwest::Method::OPTIONS,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

fn late(start: Instant, deadline: Instant) -> Bad {
    let after = deadline.saturating_duration_since(start);
    Bad::new(Class::Timeout, format!("no whole answer within {after:.1?}"))
}

/// The header lines of a check.
pub(crate) fn headers<'a>(
    check: &str,
    lines: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<HeaderMap, SmokeError> {
    lines
        .into_iter()
        .map(|(name, value)| {
            let bad = || SmokeError::Header { check: check.to_owned(), header: name.clone() };
            let (name, mut value) = HeaderName::try_from(name.as_str())
                .ok()
                .zip(HeaderValue::try_from(value.as_str()).ok())
                .ok_or_else(bad)?;
            // It may be the password of a login.
            value.set_sensitive(true);
            Ok((name, value))
        })
        .collect()
}

/// The roots of the web and the certificates in `ca_pem`.
pub(crate) fn roots(ca_pem: Option<&[u8]>) -> Result<rustls::RootCertStore, SmokeError> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let Some(pem) = ca_pem else {
        return Ok(roots);
    };
    let bad = |why: &dyn std::fmt::Display| SmokeError::Certificates(why.to_string());
    let mut count = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
        count += 1;
    }
    if count == 0 { Err(bad(&"it holds none")) } else { Ok(roots) }
}

/// What went wrong, from the chain of causes: reqwest itself tells little more than the stage.
fn classify(error: reqwest::Error) -> Bad {
    // The address may hold what nobody may see; it is reported elsewhere.
    let error = error.without_url();
    let mut class = None;
    let mut last = error.to_string();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(inner) = cause {
        class = class.or_else(|| class_of(inner));
        last = inner.to_string();
        // An `io::Error` that wraps another error hides it from `source`.
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = wrapped.map(|inner| -> &(dyn StdError + 'static) { inner }).or_else(|| inner.source());
    }
    let fallback = match (error.is_connect(), error.is_timeout()) {
        (true, true) => Class::ConnectTimeout,
        (true, false) => Class::NoRoute,
        (false, true) => Class::Timeout,
        (false, false) => Class::Protocol,
    };
    Bad::new(class.unwrap_or(fallback), crate::judge::short(&last))
}

/// What went wrong, as far as this error itself tells.
pub(crate) fn class_of(error: &(dyn StdError + 'static)) -> Option<Class> {
    if error.is::<rustls::Error>() {
        return Some(Class::Tls);
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return class_of_io(error);
    }
    // These errors have no public type: hyper-util names the stage, hyper the state of the message.
    let text = error.to_string();
    if text.starts_with("dns error") {
        Some(Class::Dns)
    } else if text.starts_with("connection closed before message completed")
        || text.contains("end of file before message")
    {
        Some(Class::Reset)
    } else {
        None
    }
}

/// How a connection ended, where the system says it.
#[expect(clippy::wildcard_enum_match_arm, reason = "`ErrorKind` is not ours and grows")]
pub(crate) fn class_of_io(error: &std::io::Error) -> Option<Class> {
    match error.kind() {
        ErrorKind::ConnectionRefused => Some(Class::Refused),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Some(Class::Reset),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Some(Class::NoRoute),
        ErrorKind::TimedOut => Some(Class::ConnectTimeout),
        _ => None,
    }
}
