//! `Registry`: a registry in memory (distribution-spec 1.1) that fails as it is told to.
//!
//! It runs on a thread of its own, so that a test may block. Like Debian's docker-registry it refuses a manifest whose
//! parts are missing, and like most registries in use it has no referrers API unless a test switches it on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "tests stop at the first surprise, and not every seed is looked at again"
)]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use shipkit_core::Digest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The one user that the registry knows.
pub const USERNAME: &str = "user";
/// That user's password.
pub const PASSWORD: &str = "hunter2";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// What the registry can do, and what goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether it has the referrers API.
    pub referrers: bool,
    /// How many referrers it lists on a page; all if not given.
    pub page: Option<usize>,
    /// Whether it mounts blobs of other repositories.
    pub mount: bool,
    /// Who may do what.
    pub auth: Auth,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// Who may do what.
#[derive(Debug, Clone, Copy, Default)]
pub enum Auth {
    /// Everybody everything.
    #[default]
    None,
    /// The user, by password.
    Basic,
    /// The user, by a token for each repository and action.
    Bearer {
        /// How long a token lives.
        ttl: Duration,
    },
}

/// Something that goes wrong with certain requests.
#[derive(Debug, Clone)]
pub struct Fault {
    method: Method,
    kind: Kind,
    skip: usize,
    times: usize,
    what: Broken,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/v2/<name>/manifests/...`.
    Manifest,
    /// `/v2/<name>/blobs/<digest>`.
    Blob,
    /// `/v2/<name>/blobs/uploads/...`.
    Upload,
    /// `/v2/<name>/referrers/...`.
    Referrers,
    /// The token server.
    Token,
    /// Anything else.
    Other,
}

/// How it goes wrong.
#[derive(Debug, Clone)]
pub enum Broken {
    /// This status with these headers instead of an answer.
    Status(u16, Vec<(&'static str, String)>),
    /// The connection breaks before the request has been looked at.
    Reset,
    /// The request is carried out and the connection breaks before the answer.
    Unanswered,
    /// The connection breaks in the middle of the body.
    Truncate,
    /// One bit of the body is wrong.
    Flip,
    /// The body is followed by something.
    Longer,
    /// There is no answer at all.
    Stall,
    /// This body and media type instead of the right one, with status 200.
    Body(&'static str, String),
    /// The right answer without this header.
    Without(&'static str),
    /// The right answer with another value of this header.
    Header(&'static str, String),
}

/// One request as it came in, and the status of its answer (0 if there was none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// `/v2/acme/api/manifests/latest`.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The status it was answered with.
    pub status: u16,
}

/// A running registry; it ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    store: Arc<Mutex<Store>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Store {
    host: String,
    options: Options,
    repositories: BTreeMap<String, Repository>,
    uploads: u64,
    tokens: BTreeMap<String, (Instant, Vec<String>)>,
    requests: Vec<Request>,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeMap<String, Bytes>,
    manifests: BTreeMap<String, (String, Bytes)>,
    tags: BTreeMap<String, String>,
}

/// One request, read.
struct Asked<'a> {
    method: Method,
    name: &'a str,
    rest: &'a str,
    query: BTreeMap<String, String>,
    headers: &'a HeaderMap,
    body: Bytes,
}

#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Fault {
    /// The first request of this method and kind goes wrong.
    #[must_use]
    pub fn new(method: &str, kind: Kind, what: Broken) -> Self {
        let method = method.parse().expect("a method");
        Self { method, kind, skip: 0, times: 1, what }
    }

    /// So many requests in a row go wrong.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// So many requests are answered well before.
    #[must_use]
    pub fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }
}

impl Registry {
    /// Starts a registry on a port of the system's choice.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("an address");
        let store = Arc::new(Mutex::new(Store { host: address.to_string(), options, ..Store::default() }));
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = Arc::clone(&store);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = Breakable(TcpListener::from_std(listener).unwrap());
                let router = Router::new().fallback(answer).with_state(shared);
                let service = router.into_make_service_with_connect_info::<Switch>();
                tokio::select! {
                    _ = axum::serve(listener, service) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, store, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1:<port>`, the first part of image names.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// All requests since the start, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.store).requests.clone()
    }

    /// Something more goes wrong from now on.
    pub fn fail(&self, fault: Fault) {
        lock(&self.store).options.faults.push(fault);
    }

    /// Every token given so far is refused from now on.
    pub fn expire_tokens(&self) {
        lock(&self.store).tokens.clear();
    }

    /// The tags of a repository and the digests they name.
    #[must_use]
    pub fn tags(&self, name: &str) -> BTreeMap<String, String> {
        lock(&self.store).repositories.get(name).map(|r| r.tags.clone()).unwrap_or_default()
    }

    /// The digests of all manifests of a repository.
    #[must_use]
    pub fn manifests(&self, name: &str) -> Vec<String> {
        let store = lock(&self.store);
        store.repositories.get(name).map(|r| r.manifests.keys().cloned().collect()).unwrap_or_default()
    }

    /// Stores a blob without a request and returns its digest.
    pub fn seed_blob(&self, name: &str, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.change(name, |r| drop(r.blobs.insert(digest.to_string(), bytes)));
        digest
    }

    /// Stores a manifest without a request and without a look at it, and returns its digest.
    pub fn seed_manifest(&self, name: &str, media_type: &str, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let kept = (media_type.to_owned(), bytes);
        self.change(name, |r| drop(r.manifests.insert(digest.to_string(), kept)));
        digest
    }

    /// Stores an image with this configuration and these layers, and returns its digest.
    pub fn seed_image(&self, name: &str, config: &Value, layers: &[&[u8]]) -> Digest {
        let mut parts = vec![("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes())];
        parts.extend(
            layers.iter().map(|layer| ("application/vnd.oci.image.layer.v1.tar+gzip", layer.to_vec())),
        );
        let mut pointers = parts.into_iter().map(|(media_type, bytes)| {
            let size = bytes.len();
            json!({"mediaType": media_type, "digest": self.seed_blob(name, bytes), "size": size})
        });
        let config = pointers.next();
        let layers: Vec<Value> = pointers.collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers});
        self.seed_manifest(name, MANIFEST_TYPE, manifest.to_string())
    }

    /// Makes a tag name a digest, whether it is there or not.
    pub fn set_tag(&self, name: &str, tag: &str, digest: &Digest) {
        self.change(name, |r| drop(r.tags.insert(tag.to_owned(), digest.to_string())));
    }

    /// Serves other bytes from now on where this digest, of a blob or a manifest, is asked for.
    pub fn tamper(&self, name: &str, digest: &Digest, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.change(name, |r| {
            if let Some(blob) = r.blobs.get_mut(digest.as_str()) {
                *blob = bytes.clone();
            }
            if let Some(manifest) = r.manifests.get_mut(digest.as_str()) {
                manifest.1 = bytes;
            }
        });
    }

    /// Removes a blob or a manifest; tags that name it stay.
    pub fn remove(&self, name: &str, digest: &Digest) {
        self.change(name, |r| {
            r.blobs.remove(digest.as_str());
            r.manifests.remove(digest.as_str());
        });
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Repository)) {
        change(lock(&self.store).repositories.entry(name.to_owned()).or_default());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Both only fail when the thread is gone already.
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers one request, well or as the faults say.
async fn answer(
    State(store): State<Arc<Mutex<Store>>>,
    ConnectInfo(switch): ConnectInfo<Switch>,
    request: HttpRequest,
) -> Response {
    let (parts, body) = request.into_parts();
    let (position, fault) = {
        let mut store = lock(&store);
        store.requests.push(Request {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            authorization: parts.headers.get("authorization").map(|v| v.to_str().unwrap().to_owned()),
            status: 0,
        });
        (store.requests.len() - 1, store.fault(&parts.method, kind_of(parts.uri.path())))
    };
    match fault {
        Some(Broken::Reset) => {
            switch.0.store(true, Ordering::SeqCst);
            return Response::default();
        }
        Some(Broken::Stall) => return std::future::pending().await,
        _ => {}
    }
    let Ok(body) = to_bytes(body, usize::MAX).await else { return Response::default() };
    let reply = match &fault {
        Some(Broken::Status(status, headers)) => Reply {
            status: *status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: Bytes::new(),
        },
        Some(Broken::Body(media_type, text)) => {
            Reply::new(200).with("content-type", *media_type).containing(text.clone())
        }
        _ => lock(&store).reply(&parts.method, &parts.uri, &parts.headers, body),
    };
    if !matches!(fault, Some(Broken::Unanswered)) {
        lock(&store).requests.get_mut(position).unwrap().status = reply.status;
    }
    respond(reply, fault.as_ref(), &switch)
}

fn respond(mut reply: Reply, fault: Option<&Broken>, switch: &Switch) -> Response {
    let mut response = Response::builder();
    match fault {
        Some(Broken::Unanswered) => switch.0.store(true, Ordering::SeqCst),
        Some(Broken::Without(header)) => reply.headers.retain(|(name, _)| name != header),
        Some(Broken::Header(header, value)) => {
            reply.headers.retain(|(name, _)| name != header);
            reply.headers.push(((*header).to_owned(), value.clone()));
        }
        _ => {}
    }
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let mut bytes = reply.body.to_vec();
    let body = match fault {
        Some(Broken::Flip) => {
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1;
            }
            Body::from(bytes)
        }
        Some(Broken::Longer) => {
            bytes.extend_from_slice(b" and more");
            Body::from(bytes)
        }
        Some(Broken::Truncate) => {
            response = response.header("content-length", bytes.len());
            bytes.truncate(bytes.len() / 2);
            let broken = Err(io::Error::other("cut off"));
            Body::from_stream(futures_util::stream::iter([Ok(Bytes::from(bytes)), broken]))
        }
        _ => Body::from(bytes),
    };
    response.status(reply.status).body(body).unwrap()
}

fn kind_of(path: &str) -> Kind {
    match path {
        "/token" => Kind::Token,
        _ if path.contains("/manifests/") => Kind::Manifest,
        _ if path.contains("/blobs/uploads/") => Kind::Upload,
        _ if path.contains("/blobs/") => Kind::Blob,
        _ if path.contains("/referrers/") => Kind::Referrers,
        _ => Kind::Other,
    }
}

/// Decodes `a=b&c=d` into pairs, keeping their order.
fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
                (b'%', Some(byte)) => {
                    bytes.push(byte);
                    rest = after.get(2..).unwrap_or_default();
                }
                (b'+', _) => {
                    bytes.push(b' ');
                    rest = after;
                }
                (byte, _) => {
                    bytes.push(*byte);
                    rest = after;
                }
            }
        }
        String::from_utf8(bytes).unwrap_or_default()
    };
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

impl Reply {
    fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn containing(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn json(self, body: &Value) -> Self {
        self.with("content-type", "application/json").containing(body.to_string())
    }

    fn error(status: u16, code: &str) -> Self {
        Self::new(status).json(&json!({"errors": [{"code": code, "message": code.to_lowercase()}]}))
    }
}

impl Store {
    fn fault(&mut self, method: &Method, kind: Kind) -> Option<Broken> {
        let fits = |fault: &&mut Fault| fault.method == *method && fault.kind == kind && 0 < fault.times;
        let fault = self.options.faults.iter_mut().find(fits)?;
        if 0 < fault.skip {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.what.clone())
    }

    fn reply(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Reply {
        let query = uri.query().unwrap_or_default();
        if uri.path() == "/token" {
            return self.token(query, headers);
        }
        let Some(path) = uri.path().strip_prefix("/v2/") else { return Reply::new(404) };
        let markers = ["/manifests/", "/blobs/uploads/", "/blobs/", "/referrers/", "/tags/"];
        let parted = markers.iter().find_map(|m| path.rsplit_once(m).map(|(name, rest)| (*m, name, rest)));
        let (marker, name, rest) = parted.unwrap_or(("", "", path));
        let query = pairs(query).into_iter().collect();
        let asked = Asked { method: method.clone(), name, rest, query, headers, body };
        if let Err(refusal) = self.admit(&asked) {
            return refusal;
        }
        match (marker, method.as_str()) {
            ("", "GET") => Reply::new(200).json(&json!({})),
            ("/manifests/", "GET" | "HEAD") => self.get_manifest(&asked),
            ("/manifests/", "PUT") => self.put_manifest(&asked),
            ("/manifests/", "DELETE") => self.delete_manifest(&asked),
            ("/blobs/", "GET" | "HEAD") => self.get_blob(&asked),
            ("/blobs/uploads/", "POST") => self.begin_upload(&asked),
            ("/blobs/uploads/", "PUT") => self.end_upload(&asked),
            ("/referrers/", "GET") if self.options.referrers => self.referrers(&asked),
            ("/tags/", "GET") => match self.repositories.get(name) {
                Some(r) => {
                    Reply::new(200).json(&json!({"name": name, "tags": r.tags.keys().collect::<Vec<_>>()}))
                }
                None => Reply::error(404, "NAME_UNKNOWN"),
            },
            _ => Reply::new(404).containing("404 page not found"),
        }
    }

    fn admit(&mut self, asked: &Asked<'_>) -> Result<(), Reply> {
        let authorization = asked.headers.get("authorization").and_then(|value| value.to_str().ok());
        let refusal =
            |challenge: String| Reply::error(401, "UNAUTHORIZED").with("www-authenticate", challenge);
        match self.options.auth {
            Auth::None => Ok(()),
            Auth::Basic if authorization == Some(&basic()) => Ok(()),
            Auth::Basic => Err(refusal("Basic realm=\"registry\"".to_owned())),
            Auth::Bearer { .. } => {
                let is_read = matches!(asked.method, Method::GET | Method::HEAD);
                let actions = if is_read { "pull" } else { "pull,push" };
                let scope = format!("repository:{}:{actions}", asked.name);
                let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
                let granted = token.and_then(|token| self.tokens.get(token));
                let allows = |scopes: &Vec<String>| {
                    let wider = format!("repository:{}:pull,push", asked.name);
                    let own = scopes.iter().any(|s| *s == scope || *s == wider);
                    let from = asked.query.get("from").map(|from| format!("repository:{from}:pull"));
                    own && from.is_none_or(|from| scopes.iter().any(|s| s.starts_with(&from)))
                };
                match granted {
                    Some((expires, scopes)) if Instant::now() < *expires && allows(scopes) => Ok(()),
                    _ => Err(refusal(format!(
                        "Bearer realm=\"http://{}/token\",service=\"in-test\",scope=\"{scope}\"",
                        self.host
                    ))),
                }
            }
        }
    }

    fn token(&mut self, query: &str, headers: &HeaderMap) -> Reply {
        let Auth::Bearer { ttl } = self.options.auth else { return Reply::new(404) };
        if headers.get("authorization").is_none_or(|value| *value != basic()) {
            return Reply::error(401, "UNAUTHORIZED");
        }
        let scopes =
            pairs(query).into_iter().filter(|(key, _)| key == "scope").map(|(_, value)| value).collect();
        let token = format!("token-{}", self.requests.len());
        self.tokens.insert(token.clone(), (Instant::now() + ttl, scopes));
        Reply::new(200).json(&json!({"token": token, "expires_in": ttl.as_secs()}))
    }

    fn get_manifest(&self, asked: &Asked<'_>) -> Reply {
        let Some(repository) = self.repositories.get(asked.name) else {
            return Reply::error(404, "NAME_UNKNOWN");
        };
        let digest = repository.tags.get(asked.rest).map_or(asked.rest, String::as_str);
        let Some((media_type, bytes)) = repository.manifests.get(digest) else {
            return Reply::error(404, "MANIFEST_UNKNOWN");
        };
        let reply = Reply::new(200).with("content-type", media_type).with("docker-content-digest", digest);
        asked.sending(reply, bytes)
    }

    fn put_manifest(&mut self, asked: &Asked<'_>) -> Reply {
        let digest = Digest::of(&asked.body).to_string();
        let is_digest = asked.rest.contains(':');
        let media_type = asked.headers.get("content-type").and_then(|value| value.to_str().ok());
        let Ok(manifest) = serde_json::from_slice::<Value>(&asked.body) else {
            return Reply::error(400, "MANIFEST_INVALID");
        };
        let stated = manifest.get("mediaType").and_then(Value::as_str);
        if media_type.is_none() || stated.is_some_and(|stated| Some(stated) != media_type) {
            return Reply::error(400, "MANIFEST_INVALID");
        }
        if is_digest && asked.rest != digest {
            return Reply::error(400, "DIGEST_INVALID");
        }
        let repository = self.repositories.entry(asked.name.to_owned()).or_default();
        let missing: Vec<Value> = repository
            .missing(&manifest)
            .into_iter()
            .map(|digest| json!({"code": "MANIFEST_BLOB_UNKNOWN", "detail": {"digest": digest}}))
            .collect();
        if !missing.is_empty() {
            return Reply::new(400).json(&json!({"errors": missing}));
        }
        let kept = (media_type.unwrap_or_default().to_owned(), asked.body.clone());
        repository.manifests.insert(digest.clone(), kept);
        if !is_digest {
            repository.tags.insert(asked.rest.to_owned(), digest.clone());
        }
        let reply = Reply::new(201)
            .with("location", format!("/v2/{}/manifests/{digest}", asked.name))
            .with("docker-content-digest", &digest);
        match manifest.pointer("/subject/digest").and_then(Value::as_str) {
            Some(subject) if self.options.referrers => reply.with("oci-subject", subject),
            _ => reply,
        }
    }

    fn delete_manifest(&mut self, asked: &Asked<'_>) -> Reply {
        let Some(repository) = self.repositories.get_mut(asked.name) else {
            return Reply::error(404, "NAME_UNKNOWN");
        };
        if repository.tags.remove(asked.rest).is_some() {
            return Reply::new(202);
        }
        if repository.manifests.remove(asked.rest).is_none() {
            return Reply::error(404, "MANIFEST_UNKNOWN");
        }
        repository.tags.retain(|_, digest| digest != asked.rest);
        Reply::new(202)
    }

    fn get_blob(&self, asked: &Asked<'_>) -> Reply {
        match self.repositories.get(asked.name).and_then(|r| r.blobs.get(asked.rest)) {
            None => Reply::error(404, "BLOB_UNKNOWN"),
            Some(bytes) => {
                let reply = Reply::new(200)
                    .with("content-type", "application/octet-stream")
                    .with("docker-content-digest", asked.rest);
                asked.sending(reply, bytes)
            }
        }
    }

    fn begin_upload(&mut self, asked: &Asked<'_>) -> Reply {
        let mounted = asked.query.get("mount").zip(asked.query.get("from")).filter(|_| self.options.mount);
        if let Some((digest, from)) = mounted
            && let Some(bytes) = self.repositories.get(from).and_then(|r| r.blobs.get(digest)).cloned()
        {
            self.repositories.entry(asked.name.to_owned()).or_default().blobs.insert(digest.clone(), bytes);
            return Reply::new(201).with("location", format!("/v2/{}/blobs/{digest}", asked.name));
        }
        self.uploads += 1;
        // With a query of its own, as docker-registry has one.
        Reply::new(202)
            .with("location", format!("/v2/{}/blobs/uploads/{}?_state=x%2Fy", asked.name, self.uploads))
    }

    fn end_upload(&mut self, asked: &Asked<'_>) -> Reply {
        let is_open = asked.rest.parse::<u64>().is_ok_and(|upload| upload <= self.uploads);
        if !is_open || asked.query.get("_state").is_none_or(|state| state != "x/y") {
            return Reply::error(404, "BLOB_UPLOAD_UNKNOWN");
        }
        let digest = Digest::of(&asked.body).to_string();
        if asked.query.get("digest") != Some(&digest) {
            return Reply::error(400, "DIGEST_INVALID");
        }
        let repository = self.repositories.entry(asked.name.to_owned()).or_default();
        repository.blobs.insert(digest.clone(), asked.body.clone());
        Reply::new(201)
            .with("location", format!("/v2/{}/blobs/{digest}", asked.name))
            .with("docker-content-digest", digest)
    }

    fn referrers(&self, asked: &Asked<'_>) -> Reply {
        let manifests = self.repositories.get(asked.name).map(|r| &r.manifests);
        let all: Vec<Value> = manifests
            .into_iter()
            .flatten()
            .filter_map(|(digest, (media_type, bytes))| {
                let manifest: Value = serde_json::from_slice(bytes).ok()?;
                let subject = manifest.pointer("/subject/digest")?.as_str()?;
                (subject == asked.rest).then(|| {
                    json!({
                        "mediaType": media_type, "digest": digest, "size": bytes.len(),
                        "artifactType": manifest.get("artifactType"), "annotations": manifest.get("annotations"),
                    })
                })
            })
            .collect();
        let from = asked.query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
        let page = self.options.page.unwrap_or(usize::MAX);
        let manifests: Vec<Value> = all.iter().skip(from).take(page).cloned().collect();
        let next = from.saturating_add(page);
        let reply = Reply::new(200);
        let reply = if next < all.len() {
            let path = format!("/v2/{}/referrers/{}", asked.name, asked.rest);
            reply.with("link", format!("<{path}?from={next}>; rel=\"next\""))
        } else {
            reply
        };
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests});
        reply.with("content-type", INDEX_TYPE).containing(index.to_string())
    }
}

impl Repository {
    /// What a manifest points at and is not here. Its subject need not be (distribution-spec, "Pushing Manifests with
    /// Subject").
    fn missing(&self, manifest: &Value) -> Vec<String> {
        let digest = |descriptor: &Value| descriptor.get("digest").and_then(Value::as_str).map(str::to_owned);
        let list = |key| manifest.get(key).and_then(Value::as_array).into_iter().flatten();
        let blobs = manifest.get("config").into_iter().chain(list("layers")).filter_map(digest);
        let children = list("manifests").filter_map(digest);
        blobs
            .filter(|digest| !self.blobs.contains_key(digest))
            .chain(children.filter(|digest| !self.manifests.contains_key(digest)))
            .collect()
    }
}

impl Asked<'_> {
    fn sending(&self, reply: Reply, bytes: &Bytes) -> Reply {
        if self.method == Method::HEAD {
            return reply.with("content-length", bytes.len().to_string());
        }
        reply.containing(bytes.clone())
    }
}

fn basic() -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{USERNAME}:{PASSWORD}")))
}

/// A connection that can be broken from inside: once switched, nothing is read or written any more.
#[derive(Debug, Clone, Default)]
struct Switch(Arc<AtomicBool>);

struct Breakable(TcpListener);

struct Wire {
    stream: TcpStream,
    switch: Switch,
}

impl Listener for Breakable {
    type Io = Wire;
    type Addr = Switch;

    async fn accept(&mut self) -> (Wire, Switch) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        let switch = Switch::default();
        (Wire { stream, switch: switch.clone() }, switch)
    }

    fn local_addr(&self) -> io::Result<Switch> {
        Ok(Switch::default())
    }
}

impl Connected<IncomingStream<'_, Breakable>> for Switch {
    fn connect_info(stream: IncomingStream<'_, Breakable>) -> Self {
        stream.remote_addr().clone()
    }
}

impl Wire {
    fn open(&self) -> io::Result<()> {
        let is_broken = self.switch.0.load(Ordering::SeqCst);
        if is_broken { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
