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

mod store;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request as HttpRequest, State};
use axum::http::Method;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use shipkit_core::Digest;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use store::{Reply, Repository, Store};
use wire::{Breakable, Switch};

/// The one user that the registry knows.
pub const USERNAME: &str = "user";
/// That user's password.
pub const PASSWORD: &str = "hunter2";
/// That user's identity token, which the token server takes in place of the password.
pub const IDENTITY: &str = "identity-7";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What the registry can do, and what goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether it has the referrers API.
    pub referrers: bool,
    /// How many referrers or tags it lists on a page; all if not given.
    pub page: Option<usize>,
    /// Whether it mounts blobs of other repositories.
    pub mount: bool,
    /// Who may do what.
    pub auth: Auth,
    /// The user's password, where it is not [`PASSWORD`].
    pub password: Option<&'static str>,
    /// Whether the token server refuses a token for more than one repository.
    pub narrow: bool,
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
    /// `/v2/<name>/tags/list`.
    Tags,
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
    /// The same, and somebody is told.
    Halt(Sender<()>),
    /// The first half of the body is followed by silence.
    Hang,
    /// The body comes byte by byte, for ever slow.
    Drip,
    /// This status with this code of the distribution-spec.
    Refusal(u16, &'static str),
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

    /// Changes what the registry can do, from now on.
    pub fn set(&self, change: impl FnOnce(&mut Options)) {
        change(&mut lock(&self.store).options);
    }

    /// Something more goes wrong from now on.
    pub fn fail(&self, fault: Fault) {
        lock(&self.store).options.faults.push(fault);
    }

    /// How many requests have not gone wrong yet although they were to.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        lock(&self.store).options.faults.iter().map(|fault| fault.times).sum()
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

    /// The digests of all blobs of a repository.
    #[must_use]
    pub fn blobs(&self, name: &str) -> Vec<String> {
        let store = lock(&self.store);
        store.repositories.get(name).map(|r| r.blobs.keys().cloned().collect()).unwrap_or_default()
    }

    /// A manifest as it is stored: its media type and its bytes.
    #[must_use]
    pub fn stored(&self, name: &str, digest: &Digest) -> Option<(String, Bytes)> {
        lock(&self.store).repositories.get(name)?.manifests.get(digest.as_str()).cloned()
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

    /// Takes a tag away; what it names stays.
    pub fn remove_tag(&self, name: &str, tag: &str) {
        self.change(name, |r| drop(r.tags.remove(tag)));
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
            switch.turn();
            return Response::default();
        }
        Some(Broken::Stall) => return std::future::pending().await,
        Some(Broken::Halt(tell)) => {
            tell.send(()).ok();
            return std::future::pending().await;
        }
        _ => {}
    }
    let Ok(body) = to_bytes(body, usize::MAX).await else { return Response::default() };
    let reply = match &fault {
        Some(Broken::Status(status, headers)) => Reply {
            status: *status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: Bytes::new(),
        },
        Some(Broken::Refusal(status, code)) => Reply::error(*status, code),
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
        Some(Broken::Unanswered) => switch.turn(),
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
        Some(Broken::Hang) => {
            response = response.header("content-length", bytes.len());
            bytes.truncate(bytes.len() / 2);
            let first = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from(bytes))]);
            Body::from_stream(first.chain(futures_util::stream::pending()))
        }
        Some(Broken::Drip) => {
            let drops = futures_util::stream::iter(bytes).then(|byte| async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, io::Error>(Bytes::from(vec![byte]))
            });
            Body::from_stream(drops)
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
        _ if path.ends_with("/tags/list") => Kind::Tags,
        _ => Kind::Other,
    }
}
