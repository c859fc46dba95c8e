//! `FakeGitHub`: GitHub's deployments in memory.
//!
//! It refuses every request that GitHub's own description of the API does not allow, and behaves like a repository
//! whose default branch has moved on and whose checks still run: a request that leaves `auto_merge` or
//! `required_contexts` to GitHub gets 202 or 409, as it would there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a fake server stops the test at the first surprise"
)]

mod description;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::{Json, Router, response::IntoResponse as _};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use self::description::{Description, Operation, pairs};

/// The one repository that the fake knows.
pub const REPOSITORY: &str = "acme/shop";
/// The one token that it takes.
pub const TOKEN: &str = "ghs_FakeTokenOfTheTests";
const TIME: &str = "2026-01-02T03:04:05Z";

/// A running fake; it ends when it is dropped.
#[derive(Debug)]
pub struct FakeGitHub {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

/// One deployment that GitHub has.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its number.
    pub id: u64,
    /// The body that created it.
    pub body: Value,
    /// The bodies of its statuses, the oldest first.
    pub statuses: Vec<Value>,
}

/// What goes wrong from now on.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// Requests of this method get this answer, so many times.
    Answers {
        /// `GET` or `POST`.
        method: &'static str,
        /// The HTTP status.
        status: u16,
        /// A further header.
        header: Option<(&'static str, &'static str)>,
        /// The body, sent as it is.
        body: String,
        /// How many requests.
        times: usize,
    },
    /// The next POST does its work, and its answer is lost: 502.
    LosesAnAnswer,
    /// After so many POSTs each further one gets 503.
    StopsAfter {
        /// How many still work.
        posts: usize,
    },
    /// No request is ever answered.
    Silence,
}

#[derive(Debug, Default)]
struct Shared {
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    deployments: Vec<Recorded>,
    requests: Vec<String>,
    refused: Vec<String>,
    trouble: Option<Trouble>,
}

impl FakeGitHub {
    /// Starts on a free port, on a thread of its own: tests without a runtime can use it too.
    #[must_use]
    pub fn start() -> Self {
        Description::shared();
        let shared = Arc::new(Shared::default());
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

    /// The address of the API: `http://127.0.0.1:...`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All deployments, the oldest first.
    #[must_use]
    pub fn deployments(&self) -> Vec<Recorded> {
        self.shared.lock().deployments.clone()
    }

    /// Every request so far: method, path and query.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    /// Why requests were refused as not described by GitHub; a test ends by finding this empty.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.shared.lock().refused.clone()
    }

    /// Adds a deployment that somebody else made, with these states; the answer is its number.
    #[expect(clippy::must_use_candidate, reason = "few tests need the number")]
    pub fn seed(&self, environment: &str, payload: &Value, states: &[&str]) -> u64 {
        let body = json!({ "ref": "f".repeat(40), "environment": environment, "payload": payload });
        let mut inside = self.shared.lock();
        let id = inside.add(body);
        let statuses = states.iter().map(|state| json!({ "state": state })).collect();
        inside.deployments.last_mut().unwrap().statuses = statuses;
        id
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        self.shared.lock().trouble = None;
    }

    /// From now on this goes wrong.
    pub fn trouble(&self, trouble: Trouble) {
        self.shared.lock().trouble = Some(trouble);
    }
}

impl Recorded {
    /// The states it went through, the oldest first.
    #[must_use]
    pub fn states(&self) -> Vec<&str> {
        self.statuses.iter().map(|status| status["state"].as_str().unwrap()).collect()
    }

    fn environment(&self) -> &str {
        self.body["environment"].as_str().unwrap_or("production")
    }

    fn is_production(&self) -> bool {
        self.body["production_environment"].as_bool().unwrap_or(self.environment() == "production")
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "node_id": format!("DE_{}", self.id),
            "sha": self.body["ref"],
            "ref": self.body["ref"],
            "task": self.body.get("task").unwrap_or(&json!("deploy")),
            "environment": self.environment(),
            "original_environment": self.environment(),
            "creator": null,
            "payload": self.body.get("payload").unwrap_or(&json!("")),
            "description": self.body.get("description").unwrap_or(&Value::Null),
            "production_environment": self.is_production(),
            "statuses_url": format!("https://api.github.com/repos/{REPOSITORY}/deployments/{}/statuses", self.id),
            "repository_url": format!("https://api.github.com/repos/{REPOSITORY}"),
            "url": format!("https://api.github.com/repos/{REPOSITORY}/deployments/{}", self.id),
            "created_at": TIME,
            "updated_at": TIME,
        })
    }

    fn status_json(&self, index: usize) -> Value {
        let (id, status) = (self.id, &self.statuses[index]);
        let number = id * 1000 + u64::try_from(index).unwrap();
        let text = |key: &str| status.get(key).cloned().unwrap_or(json!(""));
        let url = format!("https://api.github.com/repos/{REPOSITORY}/deployments/{id}");
        json!({
            "id": number,
            "node_id": format!("DES_{number}"),
            "state": status["state"],
            "creator": null,
            "description": text("description"),
            "environment": self.environment(),
            "environment_url": text("environment_url"),
            "log_url": text("log_url"),
            "target_url": text("log_url"),
            "deployment_url": url,
            "repository_url": format!("https://api.github.com/repos/{REPOSITORY}"),
            "url": format!("{url}/statuses/{number}"),
            "created_at": TIME,
            "updated_at": TIME,
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }
}

impl Inside {
    fn add(&mut self, body: Value) -> u64 {
        let id = 1000 + u64::try_from(self.deployments.len()).unwrap();
        self.deployments.push(Recorded { id, body, statuses: Vec::new() });
        id
    }

    /// What GitHub answers to a request that it describes.
    fn act(&mut self, operation: &Operation, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let number = path.split('/').nth(5).and_then(|part| part.parse().ok()).unwrap_or(0);
        match operation.name() {
            ("get", "/deployments") => (200, self.list(query)),
            ("post", "/deployments") => self.create(body),
            ("get", "/deployments/{deployment_id}") => match self.find(number) {
                Some(found) => (200, found.json()),
                None => not_found(),
            },
            ("get", "/deployments/{deployment_id}/statuses") => match self.find(number) {
                Some(found) => {
                    let newest_first = (0..found.statuses.len()).rev().map(|index| found.status_json(index));
                    (200, page(newest_first.collect(), query))
                }
                None => not_found(),
            },
            ("post", "/deployments/{deployment_id}/statuses") => self.add_status(number, body),
            other => panic!("the fake does not know {other:?} yet"),
        }
    }

    fn list(&self, query: &str) -> Value {
        let asked = pairs(query);
        let fits = |found: &Value| {
            ["sha", "ref", "task", "environment"]
                .iter()
                .all(|key| asked.get(*key).is_none_or(|wanted| found[*key] == *wanted))
        };
        let newest_first = self.deployments.iter().rev().map(Recorded::json).filter(fits);
        page(newest_first.collect(), query)
    }

    fn create(&mut self, body: Value) -> (u16, Value) {
        if body.get("auto_merge") != Some(&json!(false)) {
            return said(202, "Auto-merged main into topic on deployment.");
        }
        if body.get("required_contexts") != Some(&json!([])) {
            return said(409, "Conflict: Commit status checks failed for topic.");
        }
        let git_ref = body["ref"].as_str().unwrap_or_default();
        if git_ref.len() != 40 || !git_ref.bytes().all(|b| b.is_ascii_hexdigit()) {
            return said(422, &format!("No ref found for: {git_ref}"));
        }
        self.add(body);
        (201, self.deployments.last().unwrap().json())
    }

    fn add_status(&mut self, id: u64, body: Value) -> (u16, Value) {
        if 140 < body["description"].as_str().unwrap_or_default().chars().count() {
            return said(422, "Validation Failed: description is too long (maximum is 140 characters)");
        }
        let Some(index) = self.deployments.iter().position(|found| found.id == id) else {
            return not_found();
        };
        let is_success = body["state"] == "success";
        if is_success && body.get("auto_inactive") != Some(&json!(false)) {
            let environment = self.deployments[index].environment().to_owned();
            for earlier in &mut self.deployments[..index] {
                let was_success = earlier.states().last() == Some(&"success");
                if was_success && !earlier.is_production() && earlier.environment() == environment {
                    earlier.statuses.push(json!({ "state": "inactive" }));
                }
            }
        }
        let deployment = &mut self.deployments[index];
        deployment.statuses.push(body);
        (201, deployment.status_json(deployment.statuses.len() - 1))
    }

    /// What goes wrong with this request, and what that leaves for the next ones.
    fn next_trouble(&mut self, method: &str) -> Option<Trouble> {
        match &mut self.trouble {
            Some(Trouble::Answers { method: troubled, times, .. }) if *troubled == method && 0 < *times => {
                *times -= 1;
                self.trouble.clone()
            }
            Some(Trouble::StopsAfter { posts }) if method == "POST" && 0 < *posts => {
                *posts -= 1;
                None
            }
            Some(Trouble::StopsAfter { .. }) if method == "POST" => self.trouble.clone(),
            Some(Trouble::LosesAnAnswer) if method == "POST" => self.trouble.take(),
            Some(Trouble::Silence) => self.trouble.clone(),
            Some(Trouble::Answers { .. } | Trouble::StopsAfter { .. } | Trouble::LosesAnAnswer) | None => {
                None
            }
        }
    }

    fn find(&self, id: u64) -> Option<&Recorded> {
        self.deployments.iter().find(|found| found.id == id)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let (method, path) = (head.method.as_str(), head.uri.path());
    let query = head.uri.query().unwrap_or_default();
    shared.lock().requests.push(format!("{method} {}", head.uri));
    let trouble = shared.lock().next_trouble(method);
    let loses_the_answer = match trouble {
        Some(Trouble::Silence) => std::future::pending().await,
        Some(Trouble::Answers { status, header, body, .. }) => return plain(status, header, body),
        Some(Trouble::StopsAfter { .. }) => return plain(503, None, String::new()),
        Some(Trouble::LosesAnAnswer) => true,
        None => false,
    };
    if let Some((status, answer)) = refuse_stranger(&head.headers, path) {
        return reply(status, answer);
    }
    match Description::shared().allows(method, path, query, &body) {
        Ok(operation) => {
            let (status, answer) = shared.lock().act(operation, path, query, &body);
            if status != 404 {
                operation.check_answer(status, &answer);
            }
            if loses_the_answer { plain(502, None, String::new()) } else { reply(status, answer) }
        }
        Err(why) => {
            shared.lock().refused.push(format!("{method} {}: {why}", head.uri));
            reply(400, json!({ "message": why }))
        }
    }
}

/// GitHub wants a user agent and a token, and says 404 about a repository that the token may not see.
fn refuse_stranger(headers: &HeaderMap, path: &str) -> Option<(u16, Value)> {
    if !headers.contains_key(header::USER_AGENT) {
        return Some(said(403, "Request forbidden by administrative rules."));
    }
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token != Some(&format!("Bearer {TOKEN}")) {
        return Some(said(401, "Bad credentials"));
    }
    (!path.starts_with(&format!("/repos/{REPOSITORY}/"))).then(not_found)
}

fn not_found() -> (u16, Value) {
    said(404, "Not Found")
}

fn said(status: u16, message: &str) -> (u16, Value) {
    (status, json!({ "message": message, "documentation_url": "https://docs.github.com/rest" }))
}

fn page(all: Vec<Value>, query: &str) -> Value {
    let asked = pairs(query);
    let number = |key: &str, default: usize| asked.get(key).map_or(default, |text| text.parse().unwrap());
    let (size, page) = (number("per_page", 30).min(100), number("page", 1).max(1));
    all.into_iter().skip(size * (page - 1)).take(size).collect()
}

fn reply(status: u16, answer: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(answer)).into_response()
}

fn plain(status: u16, header: Option<(&'static str, &'static str)>, body: String) -> Response {
    let mut response = Response::builder().status(status);
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}
