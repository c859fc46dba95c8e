//! `Client`: the only place that sends requests. Everything that comes back is hostile: it is capped in size and time.

mod connect;
mod kept;
mod request;

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use shipkit_core::config::Method;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::class::Class;
use crate::error::SmokeError;
use crate::report::exact_millis;
use connect::{Connection, Place};
use kept::Kept;

/// What is read of a body: enough for a health answer or a page, and no more, whatever the server sends.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;

/// A connection that speaks another protocol now.
pub(crate) type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// An HTTP client with one policy for its connections. Only HTTP/1.1 is spoken: over HTTP/2 many requests would share one connection,
/// and one replica.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    tls: Arc<rustls::ClientConfig>,
    reuse: Reuse,
    /// How long a connection may take: less than the request may, so that silence can be told from a slow answer.
    connect: Duration,
    kept: Arc<Kept>,
    /// Where connections go, whatever addresses the host has.
    at: Option<SocketAddr>,
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

/// A request as it goes over the wire, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    place: Arc<Place>,
    request: Request<Full<Bytes>>,
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
    pub(crate) phases: Phases,
}

/// How long the parts of a request took. On a kept connection the first three are zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Phases {
    /// Until the name had addresses.
    #[serde(rename = "dnsMs", serialize_with = "exact_millis")]
    pub dns: Duration,
    /// Until one of them took the connection.
    #[serde(rename = "connectMs", serialize_with = "exact_millis")]
    pub connect: Duration,
    /// The handshake of TLS.
    #[serde(rename = "tlsMs", serialize_with = "exact_millis")]
    pub tls: Duration,
    /// From the request to the head of its answer.
    #[serde(rename = "firstByteMs", serialize_with = "exact_millis")]
    pub first_byte: Duration,
    /// The rest of the answer.
    #[serde(rename = "bodyMs", serialize_with = "exact_millis")]
    pub body: Duration,
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

    /// The same, ready to be sent.
    pub(crate) fn prepared(&self) -> Result<Prepared, Bad> {
        Ok(Prepared { place: Arc::new(Place::of(&self.url)?), request: request::of(self)? })
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
        Ok(Self::over(tls, reuse, timeout))
    }

    /// A client that takes any certificate, for answers without a secret in their questions.
    pub(crate) fn blind(timeout: Duration) -> Result<Self, SmokeError> {
        let tls = crate::tls::blind().map_err(|error| SmokeError::Client(error.to_string()))?;
        Ok(Self::over(tls, Reuse::Never, timeout))
    }

    fn over(tls: rustls::ClientConfig, reuse: Reuse, timeout: Duration) -> Self {
        Self { tls: Arc::new(tls), reuse, connect: timeout * 4 / 5, kept: Arc::default(), at: None }
    }

    /// The same, which takes this address for that of a host. What is sent is for the host, and so is TLS.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { at: Some(address), kept: Arc::default(), ..self.clone() }
    }

    /// Sends one request and reads its answer, all until `deadline`. Nothing is followed, unpacked or tried again.
    pub(crate) async fn ask(&self, ask: &Ask, deadline: Instant) -> Result<Answer, Bad> {
        self.ask_up_to(BODY_LIMIT, ask, deadline).await
    }

    /// The same, and more or less of the body is read.
    pub(crate) async fn ask_up_to(&self, limit: usize, ask: &Ask, deadline: Instant) -> Result<Answer, Bad> {
        self.answered(ask.prepared()?, Instant::now(), deadline).await?.read(self, limit).await
    }

    /// The same for a request that is sent more than once.
    pub(crate) async fn ask_again(&self, ask: Prepared, deadline: Instant) -> Result<Answer, Bad> {
        self.answered(ask, Instant::now(), deadline).await?.read(self, BODY_LIMIT).await
    }

    /// Asks for another protocol on the connection of the request (RFC 9110 7.8). If the answer is 101, there is the connection.
    pub(crate) async fn upgrade(
        &self,
        ask: &Ask,
        deadline: Instant,
    ) -> Result<(Answer, Option<Upgraded>), Bad> {
        let start = Instant::now();
        let answered = self.answered(ask.prepared()?, start, deadline).await?;
        if answered.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return answered.read(self, BODY_LIMIT).await.map(|answer| (answer, None));
        }
        let Answered { mut response, mut connection, phases, .. } = answered;
        let headers = std::mem::take(response.headers_mut());
        match timeout_at(deadline, connection.driver.drive(hyper::upgrade::on(response))).await {
            Ok(Ok(connection)) => {
                let (body, took) = (Vec::new(), start.elapsed());
                let answer = Answer { status: 101, headers, body, is_whole: true, took, phases };
                Ok((answer, Some(TokioIo::new(connection))))
            }
            Ok(Err(error)) => Err(classify(&error, Class::Protocol)),
            Err(_elapsed) => Err(late(start, deadline)),
        }
    }

    async fn answered(&self, ask: Prepared, start: Instant, deadline: Instant) -> Result<Answered, Bad> {
        let Prepared { place, mut request } = ask;
        let sent = Sent { place, start, deadline };
        while let Some(mut connection) = self.kept.take(&sent.place) {
            let began = Instant::now();
            match timeout_at(sent.deadline, reused(&mut connection, request)).await {
                Ok(Ok(response)) => {
                    return Ok(Answered::of(sent, connection, response, Phases::default(), began));
                }
                // The server has closed it meanwhile, and nothing of the request was sent (RFC 9112 9.3.1).
                Ok(Err(Unanswered::NotSent(same))) => request = *same,
                Ok(Err(Unanswered::Bad(bad))) => return Err(bad),
                Err(_elapsed) => return Err(late(sent.start, sent.deadline)),
            }
        }
        let (mut connection, phases) = self.connected(&sent).await?;
        let began = Instant::now();
        let answer = connection.driver.drive(connection.requests.send_request(request));
        match timeout_at(sent.deadline, answer).await {
            Ok(Ok(response)) => Ok(Answered::of(sent, connection, response, phases, began)),
            Ok(Err(error)) => Err(classify(&error, Class::Protocol)),
            Err(_elapsed) => Err(late(sent.start, sent.deadline)),
        }
    }

    async fn connected(&self, sent: &Sent) -> Result<(Connection, Phases), Bad> {
        let until = sent.deadline.min(sent.start + self.connect);
        match timeout_at(until, sent.place.connect(&self.tls, self.at, until)).await {
            Ok(connected) => connected,
            Err(_elapsed) if until < sent.deadline => {
                Err(Bad::new(Class::ConnectTimeout, "no connection in time"))
            }
            Err(_elapsed) => Err(late(sent.start, sent.deadline)),
        }
    }
}

/// A request that is under way.
struct Sent {
    place: Arc<Place>,
    start: Instant,
    deadline: Instant,
}

/// Why a kept connection gave no answer.
enum Unanswered {
    NotSent(Box<Request<Full<Bytes>>>),
    Bad(Bad),
}

/// Sends a request over a connection that has served another one.
async fn reused(
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Unanswered> {
    let Connection { requests, driver } = connection;
    if driver.drive(requests.ready()).await.is_err() {
        return Err(Unanswered::NotSent(Box::new(request)));
    }
    driver.drive(requests.try_send_request(request)).await.map_err(|mut error| match error.take_message() {
        Some(request) => Unanswered::NotSent(Box::new(request)),
        None => Unanswered::Bad(classify(error.error(), Class::Protocol)),
    })
}

/// An answer whose body was not read yet.
struct Answered {
    sent: Sent,
    connection: Connection,
    response: Response<Incoming>,
    phases: Phases,
}

impl Answered {
    fn of(
        sent: Sent,
        connection: Connection,
        response: Response<Incoming>,
        phases: Phases,
        began: Instant,
    ) -> Self {
        Self { sent, connection, response, phases: Phases { first_byte: began.elapsed(), ..phases } }
    }

    async fn read(self, client: &Client, limit: usize) -> Result<Answer, Bad> {
        let Self { sent: Sent { place, start, deadline }, mut connection, response, mut phases } = self;
        let began = Instant::now();
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        let is_whole = loop {
            match timeout_at(deadline, connection.driver.drive(incoming.frame())).await {
                Ok(None) => break true,
                Ok(Some(Ok(frame))) => {
                    let Some(chunk) = frame.data_ref() else { continue };
                    let room = limit.saturating_sub(body.len());
                    body.extend(chunk.iter().take(room));
                    if room < chunk.len() {
                        break false;
                    }
                }
                Ok(Some(Err(error))) => return Err(classify(&error, Class::Protocol)),
                Err(_elapsed) => return Err(late(start, deadline)),
            }
        };
        phases.body = began.elapsed();
        if is_whole && client.reuse == Reuse::Allowed {
            client.kept.put(place, connection);
        }
        let (status, headers, took) = (head.status.as_u16(), head.headers, start.elapsed());
        Ok(Answer { status, headers, body, is_whole, took, phases })
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

/// What went wrong, from the chain of causes; `otherwise` if none of them tells it.
fn classify(error: &(dyn StdError + 'static), otherwise: Class) -> Bad {
    let mut class = None;
    let mut last = error.to_string();
    let mut cause = Some(error);
    while let Some(inner) = cause {
        class = class.or_else(|| class_of(inner));
        last = inner.to_string();
        // An `io::Error` that wraps another error hides it from `source`.
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = wrapped.map(|inner| -> &(dyn StdError + 'static) { inner }).or_else(|| inner.source());
    }
    Bad::new(class.unwrap_or(otherwise), crate::judge::short(&last))
}

/// What went wrong, as far as this error itself tells.
pub(crate) fn class_of(error: &(dyn StdError + 'static)) -> Option<Class> {
    if error.is::<rustls::Error>() {
        return Some(Class::Tls);
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return class_of_io(error);
    }
    let is_cut = |error: &hyper::Error| error.is_incomplete_message() || error.is_canceled();
    // That a body has ended too early has no name in hyper.
    let is_short = || error.to_string().contains("end of file before message");
    (error.downcast_ref::<hyper::Error>().is_some_and(is_cut) || is_short()).then_some(Class::Reset)
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
