//! `Engine`: requests and answers of the Docker Engine API, as JSON.
//!
//! Specifications stay JSON on their way through: a typed model drops what it does not know, and an update would then
//! erase it. (One published model calls the field `HealthCheck`; the engine writes `Healthcheck`.)

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::error::SwarmError;
use crate::ssh::{Ssh, SshError};
use crate::swarm::{Access, Login};
use crate::tls::Tls;

/// No answer that we ask for comes near this: more is not read.
const BODY_LIMIT: usize = 32 << 20;
/// One request, and connecting for it.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How long a host that was reached before may be gone: an engine restarts in less on a busy machine, and a lease lasts longer.
const AWAY: Duration = Duration::from_secs(25);
const JSON: &str = "application/json";
/// Reading is repeated this often, because a manager that has just changed its leader answers with an error.
const READ_TRIES: u32 = 4;
/// The API version that everything here was written against, and the oldest that has what is needed.
const WRITTEN_FOR: (u32, u32) = (1, 41);
const OLDEST: (u32, u32) = (1, 40);

/// A Docker host and the API version that is spoken with it.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    host: String,
    address: Address,
    version: String,
    /// Since when it has not been reached, by anyone who asks: whoever is gone for good is waited for once.
    away_since: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug, Clone)]
enum Address {
    Unix(String),
    Tcp(String),
    Tls(String, Tls),
    Ssh(Ssh),
}

/// What is asked of the engine.
struct Ask<'a> {
    method: Method,
    path: &'a str,
    body: Bytes,
    content: &'static str,
    login: Option<&'a Login>,
    /// How long the answer may take.
    time: Duration,
}

/// What bytes go through to a host.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An answer whose status may be an error.
struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Address {
    async fn of(host: &str, access: &Access) -> Result<Self, SwarmError> {
        let bad = || SwarmError::BadHost(host.to_owned());
        if host.starts_with("ssh://") {
            return Ok(Self::Ssh(Ssh::connect(&host.parse()?, &access.ssh).await?));
        }
        if let Some(path) = host.strip_prefix("unix://") {
            return path.starts_with('/').then(|| Self::Unix(path.to_owned())).ok_or_else(bad);
        }
        let is_authority =
            |a: &&str| a.rsplit_once(':').is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok());
        let authority = |scheme| {
            host.strip_prefix(scheme).map(|rest: &str| rest.trim_end_matches('/')).filter(is_authority)
        };
        match (authority("tcp://"), &access.tls) {
            (Some(authority), Some(tls)) => Ok(Self::Tls(authority.to_owned(), Tls::read(tls, authority)?)),
            (plain, _) => {
                let plain = plain.or_else(|| authority("http://")).ok_or_else(bad)?;
                Ok(Self::Tcp(plain.to_owned()))
            }
        }
    }
}

impl Engine {
    /// Finds out which API version to speak.
    pub(crate) async fn connect(host: &str, access: &Access) -> Result<Self, SwarmError> {
        let address = Address::of(host, access).await?;
        let mut engine =
            Self { host: host.to_owned(), address, version: String::new(), away_since: Arc::default() };
        let answer = engine.get("ask for its version", "/version").await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
        let newest =
            parse_version(text("ApiVersion")).ok_or_else(|| engine.garbled("it names no API version"))?;
        if newest < OLDEST {
            return Err(SwarmError::TooOld { host: host.to_owned(), api: text("ApiVersion").to_owned() });
        }
        let oldest = parse_version(text("MinAPIVersion")).unwrap_or(OLDEST);
        let (major, minor) = WRITTEN_FOR.max(oldest).min(newest);
        engine.version = format!("/v{major}.{minor}");
        Ok(engine)
    }

    /// The host as it was given.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Reads; `what` completes "Docker refused to". Tried again when nobody answers or the engine has an inner error.
    pub(crate) async fn get(&self, what: &str, path: &str) -> Result<Value, SwarmError> {
        let answer = self.get_bytes(what, path).await?;
        serde_json::from_slice(&answer).map_err(|error| self.garbled(&error.to_string()))
    }

    /// Reads what is not JSON.
    pub(crate) async fn get_bytes(&self, what: &str, path: &str) -> Result<Bytes, SwarmError> {
        let mut tried = 1;
        loop {
            let answer = self.request(Method::GET, path, None, None).await;
            let may_pass = match &answer {
                Ok(answer) => answer.status.is_server_error(),
                Err(error) => matches!(error, SwarmError::NoAnswer { .. }) && !self.version.is_empty(),
            };
            if !may_pass || READ_TRIES <= tried {
                return answer?.into_success(what);
            }
            tracing::debug!(path, tried, "reading again");
            tokio::time::sleep(Duration::from_millis(200).saturating_mul(1 << tried)).await;
            tried += 1;
        }
    }

    /// Reads one object; `None` if it does not exist.
    pub(crate) async fn find(&self, what: &str, path: &str) -> Result<Option<Value>, SwarmError> {
        match self.get(what, path).await {
            Ok(value) => Ok(Some(value)),
            Err(SwarmError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the engine finds an image at its registry, with this login.
    pub(crate) async fn find_image(&self, image: &str, login: Option<&Login>) -> Result<(), SwarmError> {
        let answer = self.request(Method::GET, &format!("/distribution/{image}/json"), None, login).await?;
        answer.into_success(&format!("find `{image}`")).map(drop)
    }

    /// Changes something, once. `login` is handed to the nodes, for pulling.
    pub(crate) async fn post(
        &self,
        what: &str,
        path: &str,
        body: &Value,
        login: Option<&Login>,
    ) -> Result<Value, SwarmError> {
        let answer = self.request(Method::POST, path, Some(body), login).await?.into_success(what)?;
        serde_json::from_slice(&answer).map_err(|error| self.garbled(&error.to_string()))
    }

    /// Changes something where the answer is empty, once.
    pub(crate) async fn change(&self, what: &str, path: &str, body: &Value) -> Result<(), SwarmError> {
        self.request(Method::POST, path, Some(body), None).await?.into_success(what).map(drop)
    }

    /// Removes something; that it is already gone is fine.
    pub(crate) async fn delete(&self, what: &str, path: &str) -> Result<(), SwarmError> {
        let answer = self.request(Method::DELETE, path, None, None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        answer.into_success(what).map(drop)
    }

    /// As [`change`](Self::change), where the answer may take as long as `time`; that it is already so is fine.
    pub(crate) async fn change_within(
        &self,
        what: &str,
        path: &str,
        time: Duration,
    ) -> Result<(), SwarmError> {
        let ask = Ask { method: Method::POST, path, body: Bytes::new(), content: JSON, login: None, time };
        let answer = self.ask(ask).await?;
        if answer.status == StatusCode::NOT_MODIFIED { Ok(()) } else { answer.into_success(what).map(drop) }
    }

    /// Changes something where the answer is no JSON document and may take as long as `time`.
    pub(crate) async fn post_for_bytes(
        &self,
        what: &str,
        path: &str,
        body: &Value,
        (login, time): (Option<&Login>, Duration),
    ) -> Result<Bytes, SwarmError> {
        let body = Bytes::from(body.to_string());
        self.ask(Ask { method: Method::POST, path, body, content: JSON, login, time })
            .await?
            .into_success(what)
    }

    /// Unpacks a tar archive into a folder of a container.
    pub(crate) async fn put_archive(&self, what: &str, path: &str, tar: Vec<u8>) -> Result<(), SwarmError> {
        let (method, body) = (Method::PUT, Bytes::from(tar));
        let ask = Ask { method, path, body, content: "application/x-tar", login: None, time: TIME_LIMIT };
        self.ask(ask).await?.into_success(what).map(drop)
    }

    pub(crate) fn garbled(&self, reason: &str) -> SwarmError {
        SwarmError::Garbled { host: self.host.clone(), reason: reason.to_owned() }
    }

    fn no_answer(&self, reason: &impl ToString) -> SwarmError {
        SwarmError::NoAnswer { host: self.host.clone(), reason: reason.to_string() }
    }

    fn silent(&self, time: Duration) -> SwarmError {
        self.no_answer(&format!("nothing within {} s", time.as_secs()))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        login: Option<&Login>,
    ) -> Result<Answer, SwarmError> {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.ask(Ask { method, path, body, content: JSON, login, time: TIME_LIMIT }).await
    }

    async fn open(&self) -> Result<Box<dyn Stream>, SwarmError> {
        let tcp = async |authority: &str| {
            TcpStream::connect(authority).await.map_err(|error| self.no_answer(&error))
        };
        Ok(match &self.address {
            Address::Unix(socket) => {
                let stream = UnixStream::connect(socket).await;
                Box::new(stream.map_err(|error| self.cannot_open(socket, &error))?)
            }
            Address::Tcp(authority) => Box::new(tcp(authority).await?),
            Address::Tls(authority, tls) => {
                let stream = tls.shake_hands(tcp(authority).await?).await;
                Box::new(stream.map_err(|error| self.broken(&error))?)
            }
            Address::Ssh(ssh) => {
                let tunnel = ssh.tunnel(ssh.address().socket()).await;
                Box::new(tunnel.map_err(|error| self.no_tunnel(error))?)
            }
        })
    }

    /// Asks, and again while it is away.
    async fn ask(&self, ask: Ask<'_>) -> Result<Answer, SwarmError> {
        loop {
            let (told, is_away) = self.ask_once(&ask).await;
            if !self.is_waited_for(is_away) {
                return told;
            }
            tracing::debug!(path = ask.path, "asking again");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether one that was reached before is away for a while: it does not let anybody connect, or has not joined its Swarm again.
    fn is_waited_for(&self, is_away: bool) -> bool {
        let mut since = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = is_away.then(|| since.unwrap_or_else(Instant::now));
        !self.version.is_empty() && since.is_some_and(|since| since.elapsed() < AWAY)
    }

    /// Asks once, and tells whether it is away: then nothing was done, whatever was asked.
    async fn ask_once(&self, ask: &Ask<'_>) -> (Result<Answer, SwarmError>, bool) {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{}{}", self.version, ask.path))
            .header("host", "docker")
            .header("content-type", ask.content);
        if let Some(login) = ask.login {
            request = request.header("x-registry-auth", auth_header(login));
        }
        let request = match request.body(Full::new(ask.body.clone())) {
            Ok(request) => request,
            Err(error) => return (Err(self.garbled(&error.to_string())), false),
        };
        let opened = tokio::time::timeout(TIME_LIMIT, self.open()).await;
        let stream = match opened.unwrap_or_else(|_elapsed| Err(self.silent(TIME_LIMIT))) {
            Ok(stream) => stream,
            Err(error) => {
                let is_away = matches!(error, SwarmError::NoAnswer { .. });
                return (Err(error), is_away);
            }
        };
        let told = tokio::time::timeout(ask.time, self.exchange(stream, request)).await;
        let told = told.unwrap_or_else(|_elapsed| Err(self.silent(ask.time)));
        let is_away = told.as_ref().is_ok_and(Answer::is_of_no_manager);
        (told, is_away)
    }

    /// A socket that was there before is gone while its engine restarts.
    fn cannot_open(&self, socket: &str, error: &std::io::Error) -> SwarmError {
        let was_there = !self.version.is_empty();
        if error.kind() == ErrorKind::NotFound && !was_there {
            SwarmError::SocketAbsent(socket.to_owned())
        } else if error.kind() == ErrorKind::PermissionDenied {
            SwarmError::Denied(socket.to_owned())
        } else {
            self.no_answer(error)
        }
    }

    /// A host that is not reached is like an engine that does not answer, and so is a socket that was there before.
    fn no_tunnel(&self, error: SshError) -> SwarmError {
        let is_gone = matches!(error, SshError::SocketAbsent { .. } | SshError::NoForwarding { .. });
        if let SshError::Unreachable { reason, .. } = &error {
            self.no_answer(reason)
        } else if is_gone && !self.version.is_empty() {
            self.no_answer(&error)
        } else {
            error.into()
        }
    }

    /// What TLS says is wrong is wrong every time; a connection that breaks off may be made again.
    fn broken(&self, error: &std::io::Error) -> SwarmError {
        if error.kind() == ErrorKind::InvalidData {
            SwarmError::Tls { host: self.host.clone(), reason: error.to_string() }
        } else {
            self.no_answer(error)
        }
    }

    async fn exchange(
        &self,
        stream: Box<dyn Stream>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, SwarmError> {
        let failed = |error: hyper::Error| {
            let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
            match cause {
                _ if error.is_parse() => self.garbled(&error.to_string()),
                Some(cause) => self.broken(cause),
                None => self.no_answer(&error),
            }
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // Ends by itself when the answer is read or the sender is dropped; its error shows in the answer.
        tokio::spawn(async { connection.await.ok() });
        let (parts, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
        let body = Limited::new(body, BODY_LIMIT)
            .collect()
            .await
            .map_err(|error| self.no_answer(&format!("its answer breaks off: {error}")))?;
        Ok(Answer { status: parts.status, body: body.to_bytes() })
    }
}

impl Answer {
    /// Whether it is no manager of a Swarm, as one says that has not joined its Swarm again: others are not connected to.
    fn is_of_no_manager(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE && self.message().contains("not a swarm manager")
    }

    /// What it says about an error, if it does.
    fn message(&self) -> String {
        let said = serde_json::from_slice::<Value>(&self.body).ok();
        let message = said.as_ref().and_then(|said| said.get("message")).and_then(Value::as_str);
        message.unwrap_or_default().chars().take(1000).collect()
    }

    fn into_success(self, what: &str) -> Result<Bytes, SwarmError> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let message = Some(self.message()).filter(|message| !message.is_empty());
        Err(SwarmError::Refused {
            what: what.to_owned(),
            status: self.status.as_u16(),
            message: message.unwrap_or_else(|| "it does not say why".to_owned()),
        })
    }
}

/// `X-Registry-Auth` as the engine reads it: JSON in URL-safe base64, padding included.
fn auth_header(login: &Login) -> String {
    let auth = json!({
        "username": login.username,
        "password": login.password.reveal(),
        "serveraddress": login.registry,
    });
    URL_SAFE.encode(auth.to_string())
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The `filters` query of a list.
pub(crate) fn filtered(path: &str, filters: &Value) -> String {
    let mut query = String::new();
    for byte in filters.to_string().bytes() {
        if byte.is_ascii_alphanumeric() {
            query.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(query, "%{byte:02X}").ok();
        }
    }
    format!("{path}?filters={query}")
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::UnixListener;

    use super::*;

    /// An engine that comes back to its socket after twenty seconds, and is no manager of its Swarm when it is asked first. Gives the
    /// first lines of what it was asked.
    async fn comes_back(socket: PathBuf) -> Vec<String> {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let listener = UnixListener::bind(socket).unwrap();
        let mut asked = Vec::new();
        for (status, body) in [(503, r#"{"message": "This node is not a swarm manager. So."}"#), (200, "{}")]
        {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut first = String::new();
            stream.read_line(&mut first).await.unwrap();
            asked.push(first);
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    }

    fn reached(folder: &Path) -> Engine {
        let socket = folder.join("docker.sock").to_str().unwrap().to_owned();
        let (host, address) = (format!("unix://{socket}"), Address::Unix(socket));
        Engine { host, address, version: "/v1.41".to_owned(), away_since: Arc::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_restarts_is_asked_again_also_to_change_something() {
        let folder = tempfile::tempdir().unwrap();
        let engine = reached(folder.path());
        let returns = tokio::spawn(comes_back(folder.path().join("docker.sock")));
        let told = engine.post("update a service", "/services/x/update", &json!({}), None).await;
        assert_eq!(told.unwrap(), json!({}));
        let asked = returns.await.unwrap();
        assert_eq!(asked, ["POST /v1.41/services/x/update HTTP/1.1\r\n"; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_gone_for_good_is_waited_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let engine = reached(folder.path());
        let start = Instant::now();
        for _ in 0..5 {
            let told = engine.clone().change("update a service", "/services/x/update", &json!({})).await;
            assert!(matches!(told, Err(SwarmError::NoAnswer { .. })), "{told:?}");
        }
        assert!((AWAY..AWAY * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
        let engine = Engine { version: String::new(), ..reached(folder.path()) };
        let start = Instant::now();
        let told = engine.get("ask for its version", "/version").await;
        assert!(matches!(told, Err(SwarmError::SocketAbsent(_))) && start.elapsed().is_zero(), "{told:?}");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parse_version("1.9").unwrap() < parse_version("1.41").unwrap());
        assert_eq!(parse_version("x"), None);
    }

    #[test]
    fn filters_are_escaped_whatever_a_name_holds() {
        assert_eq!(
            filtered("/tasks", &json!({"a": ["é&"]})),
            "/tasks?filters=%7B%22a%22%3A%5B%22%C3%A9%26%22%5D%7D"
        );
    }

    #[test]
    fn a_login_never_shows_its_password() {
        let login =
            Login { registry: "r".to_owned(), username: "u".to_owned(), password: "pässword".into() };
        assert!(!format!("{login:?}").contains("pässword"));
        let decoded = URL_SAFE.decode(auth_header(&login)).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&decoded).unwrap(),
            json!({"username": "u", "password": "pässword", "serveraddress": "r"})
        );
    }
}
