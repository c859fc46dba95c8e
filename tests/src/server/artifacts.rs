//! `FakeArtifacts`: the artifact service of GitHub Actions and the blob store behind it, in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a fake server stops the test at the first surprise"
)]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};

use axum::body::to_bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;

const SERVICE: &str = "/twirp/github.actions.results.api.v1.ArtifactService/";

/// A running fake; it ends when it is dropped.
#[derive(Debug)]
pub struct FakeArtifacts {
    address: SocketAddr,
    shared: Arc<Mutex<Inside>>,
    _stop: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Inside {
    blocks: BTreeMap<String, Bytes>,
    joined: Option<Bytes>,
    stored: Option<Stored>,
    requests: Vec<String>,
    trouble: Option<Trouble>,
}

/// What was stored, once it is finished.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The body of `FinalizeArtifact`.
    pub body: Value,
    /// The zip.
    pub zip: Bytes,
    /// In how many blocks it came.
    pub blocks: usize,
}

/// What goes wrong from now on.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// Every request fails with this status the first time; the blob store has kept what it was sent.
    FirstTry(u16),
    /// The service answers this.
    Always(u16, Value),
    /// The address to write to begins with this.
    UploadTo(String),
}

impl FakeArtifacts {
    /// Starts on a free port, on a thread of its own.
    #[must_use]
    pub fn start(trouble: Option<Trouble>) -> Self {
        let shared = Arc::new(Mutex::new(Inside { trouble, ..Inside::default() }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    served = axum::serve(listener, router) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { address: told.recv().unwrap(), shared, _stop: stop }
    }

    /// What a runner sets: the address, with a path that does not matter.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/some/path", self.address)
    }

    /// The token that a runner sets: the scope names run and job.
    #[must_use]
    pub fn token() -> String {
        let claims = json!({"scp": "Actions.ExampleScope Actions.Results:run-7:job-8"}).to_string();
        format!("e30.{}.c2ln", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
    }

    /// What was stored and finished.
    #[must_use]
    pub fn stored(&self) -> Option<Stored> {
        self.shared.lock().unwrap().stored.clone()
    }

    /// Method and path of all requests, without the signature.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().unwrap().requests.clone()
    }
}

async fn answer(
    State(shared): State<Arc<Mutex<Inside>>>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 * 1024 * 1024).await.unwrap();
    let comp = query.get("comp").cloned().unwrap_or_default();
    let id = query.get("blockid").cloned().unwrap_or_default();
    let line = format!("{} {} {comp} {id}", parts.method, parts.uri.path().trim_start_matches(SERVICE));
    let line = line.trim().to_owned();
    let mut inside = shared.lock().unwrap();
    let is_first = !inside.requests.contains(&line);
    inside.requests.push(line);
    match &inside.trouble {
        Some(Trouble::FirstTry(status)) if is_first => {
            let status = StatusCode::from_u16(*status).unwrap();
            if comp == "block" {
                inside.blocks.insert(id, body);
            }
            return status.into_response();
        }
        Some(Trouble::Always(status, said)) => {
            return (StatusCode::from_u16(*status).unwrap(), Json(said.clone())).into_response();
        }
        Some(Trouble::FirstTry(_) | Trouble::UploadTo(_)) | None => {}
    }
    match (parts.uri.path().strip_prefix(SERVICE), &*comp) {
        (Some("CreateArtifact"), "") => inside.create(&parts.headers, &body),
        (Some("FinalizeArtifact"), "") => inside.finalize(&parts.headers, &body),
        (None, "block" | "blocklist") if parts.uri.path() == "/blob" && query["sig"] == "a+b/c=" => {
            // The address is the credential; the token of the run is not for the blob store.
            assert_eq!(parts.headers.get("authorization"), None);
            if comp == "block" {
                inside.blocks.insert(id, body);
            } else {
                inside.join(&body);
            }
            StatusCode::CREATED.into_response()
        }
        other => panic!("no such thing: {other:?}"),
    }
}

/// The body of a request by the run that the token means.
fn read(headers: &HeaderMap, body: &[u8]) -> Value {
    assert_eq!(headers["authorization"], format!("Bearer {}", FakeArtifacts::token()).as_str());
    assert_eq!(headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        (&body["workflow_run_backend_id"], &body["workflow_job_run_backend_id"]),
        (&json!("run-7"), &json!("job-8"))
    );
    body
}

impl Inside {
    fn create(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let body = read(headers, body);
        assert_eq!(body["version"], 4);
        let to = match &self.trouble {
            Some(Trouble::UploadTo(to)) => to.clone(),
            Some(Trouble::FirstTry(_) | Trouble::Always(..)) | None => {
                format!("http://{}", headers["host"].to_str().unwrap())
            }
        };
        Json(json!({"ok": true, "signed_upload_url": format!("{to}/blob?sig=a%2Bb%2Fc%3D&se=2026")}))
            .into_response()
    }

    /// Puts the blocks together in the order of the list.
    fn join(&mut self, list: &[u8]) {
        let list = std::str::from_utf8(list).unwrap();
        let ids: Vec<_> =
            list.split("<Latest>").skip(1).map(|rest| rest.split_once("</Latest>").unwrap().0).collect();
        assert!(ids.iter().all(|id| id.len() == ids[0].len()), "block ids have one length: {ids:?}");
        assert_eq!(ids.len(), self.blocks.len());
        self.joined = Some(ids.iter().flat_map(|id| self.blocks[*id].clone()).collect());
    }

    fn finalize(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let body = read(headers, body);
        let zip = self.joined.clone().expect("the blocks are joined first");
        assert_eq!(body["size"], json!(zip.len().to_string()));
        self.stored = Some(Stored { body, zip, blocks: self.blocks.len() });
        Json(json!({"ok": true, "artifact_id": "42"})).into_response()
    }
}
