//! What may answer at a Docker socket besides a healthy manager, played by a scripted server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use shipkit_core::exit::ExitCode;
use shipkit_core::target::{Change, Desired, DesiredService, Settings, Stamp};
use shipkit_core::{Digest, Hint as _};
use shipkit_docker::{Swarm, SwarmError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// One expected request and its answer; `None` closes the connection without one.
type Step = (&'static str, Option<(u16, Value)>);

/// Looked for whenever a service is: none here has a second slot.
const SECOND: &str = "GET /v1.41/services/shop_api-green ";
/// In an answer: the specification as it was last posted.
const POSTED: &str = "as posted";

struct Script {
    folder: TempDir,
    rest: Arc<Mutex<VecDeque<Step>>>,
    surprises: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Answers these requests in this order, each named by how its first line begins.
    fn start(steps: Vec<Step>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Self { folder, rest: Arc::new(Mutex::new(steps.into())), surprises: Arc::default() };
        let listener = UnixListener::bind(script.socket()).unwrap();
        let (rest, surprises) = (Arc::clone(&script.rest), Arc::clone(&script.surprises));
        tokio::spawn(async move {
            let mut posted = Value::Null;
            while let Ok((mut stream, _)) = listener.accept().await {
                let (request, body) = read_request(&mut stream).await;
                if request.starts_with("POST") {
                    posted = body;
                }
                let step = if request.starts_with(SECOND) {
                    Some((SECOND, Some((404, json!({"message": "service shop_api-green not found"})))))
                } else {
                    rest.lock().unwrap().pop_front()
                };
                let Some((_, answer)) = step.filter(|(expected, _)| request.starts_with(expected)) else {
                    surprises.lock().unwrap().push(request);
                    continue;
                };
                let Some((status, mut body)) = answer else { continue };
                if body["Spec"] == POSTED {
                    body["Spec"] = posted.clone();
                }
                let body = body.to_string();
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        });
        script
    }

    fn done(&self) {
        assert_eq!(*self.surprises.lock().unwrap(), [""; 0], "not expected");
        assert!(self.rest.lock().unwrap().is_empty(), "not asked: {:?}", self.rest.lock().unwrap());
    }
}

/// The head of a request, and its body as JSON.
async fn read_request(stream: &mut UnixStream) -> (String, Value) {
    let mut request = String::new();
    loop {
        let mut part = vec![0; 64 * 1024];
        let length = stream.read(&mut part).await.unwrap();
        request.push_str(std::str::from_utf8(&part[..length]).unwrap());
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let announced = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if announced.is_none_or(|number| number.parse() == Ok(body.len())) {
            return (head.to_owned(), serde_json::from_str(body).unwrap_or_default());
        }
    }
}

fn version(api: &str, oldest: &str) -> Step {
    ("GET /version ", Some((200, json!({"ApiVersion": api, "MinAPIVersion": oldest}))))
}

fn info(path: &'static str, state: &str, is_manager: bool) -> Step {
    (path, Some((200, json!({"Swarm": {"LocalNodeState": state, "ControlAvailable": is_manager}}))))
}

fn manager() -> Vec<Step> {
    vec![version("1.41", "1.12"), info("GET /v1.41/info ", "active", true)]
}

async fn refusal(steps: Vec<Step>) -> SwarmError {
    let script = Script::start(steps);
    let error = Swarm::connect(&script.host()).await.unwrap_err();
    script.done();
    error
}

#[tokio::test]
async fn an_absent_socket_is_named_and_is_exit_2() {
    let error = Swarm::connect("unix:///nowhere/docker.sock").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no Docker socket at `/nowhere/docker.sock`");
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

#[tokio::test]
async fn a_host_that_is_none_is_exit_2() {
    for host in ["", "docker.sock", "unix://relative", "tcp://host", "tcp://host:x", "npipe:x"] {
        let error = Swarm::connect(host).await.unwrap_err();
        assert!(matches!(error, SwarmError::BadHost(_)), "{host}: {error}");
    }
}

#[tokio::test]
async fn a_socket_that_nobody_serves_is_exit_3() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    drop(UnixListener::bind(&path).unwrap());
    let error = Swarm::connect(&format!("unix://{}", path.display())).await.unwrap_err();
    assert!(matches!(error, SwarmError::NoAnswer { .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

#[tokio::test]
async fn an_inactive_swarm_is_exit_2_with_the_command_that_helps() {
    let error = refusal(vec![version("1.41", "1.12"), info("GET /v1.41/info ", "inactive", false)]).await;
    assert!(matches!(error, SwarmError::NotASwarm(_)), "{error}");
    assert!(error.hint().unwrap().contains("docker swarm init"));
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

#[tokio::test]
async fn a_worker_is_told_from_a_manager() {
    let error = refusal(vec![version("1.41", "1.12"), info("GET /v1.41/info ", "active", false)]).await;
    assert!(matches!(error, SwarmError::NotAManager(_)), "{error}");
}

#[tokio::test]
async fn an_old_engine_is_refused_and_a_new_one_is_spoken_to_in_its_oldest_version() {
    let error = refusal(vec![version("1.39", "1.12")]).await;
    assert!(error.to_string().contains("API 1.39"), "{error}");
    let script = Script::start(vec![version("1.53", "1.44"), info("GET /v1.44/info ", "active", true)]);
    Swarm::connect(&script.host()).await.unwrap();
    script.done();
}

#[tokio::test]
async fn another_server_at_the_socket_is_not_taken_for_docker() {
    let error = refusal(vec![("GET /version ", Some((200, json!("hello"))))]).await;
    assert!(matches!(error, SwarmError::Garbled { .. }), "{error}");
}

fn desired() -> Desired {
    let repository: shipkit_core::Repository = "ghcr.io/a/api".parse().unwrap();
    let stamp = Stamp {
        release: Digest::of(b"two"),
        version: "2".to_owned(),
        commit: "c".to_owned(),
        environment: "staging".to_owned(),
        run: None,
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    let service = DesiredService {
        name: "api".to_owned(),
        image: repository.at(&Digest::of(b"image")),
        platforms: BTreeSet::new(),
        revision: "r".to_owned(),
        depends_on: Vec::new(),
        stateful: false,
        settings: Settings::default(),
    };
    Desired { stack: "shop".to_owned(), stamp, services: vec![service] }
}

fn relabel() -> Change {
    Change::Relabel { service: "api".to_owned(), at: Digest::of(b"image") }
}

fn service(version: u64, labels: &Value) -> (u16, Value) {
    let spec = json!({"Name": "shop_api", "Labels": labels});
    (200, json!({"ID": "s1", "Version": {"Index": version}, "Spec": spec}))
}

fn released(release: &str) -> Value {
    json!({
        "dev.shipkit.release": Digest::of(release.as_bytes()).to_string(),
        "dev.shipkit.deployed": "2026-01-01T00:00:00Z",
        "dev.shipkit.confirmed": "2026-01-01T00:00:00Z",
    })
}

const OUT_OF_SEQUENCE: &str = "rpc error: code = Unknown desc = update out of sequence";
const READ: &str = "GET /v1.41/services/shop_api ";
const TASKS: &str = "GET /v1.41/tasks?";

#[tokio::test]
async fn a_change_by_somebody_else_is_read_again_and_built_upon() {
    let mut steps = manager();
    steps.extend([
        (READ, Some(service(7, &released("one")))),
        (READ, Some(service(7, &released("one")))),
        (TASKS, Some((200, json!([])))),
        ("POST /v1.41/services/s1/update?version=7 ", Some((500, json!({"message": OUT_OF_SEQUENCE})))),
        (READ, Some(service(9, &released("one")))),
        (TASKS, Some((200, json!([])))),
        ("POST /v1.41/services/s1/update?version=9 ", Some((200, json!({})))),
        (READ, Some(service(9, &released("one")))),
    ]);
    let script = Script::start(steps);
    let swarm = Swarm::connect(&script.host()).await.unwrap();
    assert!(swarm.apply(&desired(), &relabel(), None).await.unwrap().is_some());
    script.done();
}

#[tokio::test]
async fn another_deploy_in_between_is_not_overwritten() {
    let mut steps = manager();
    steps.extend([
        (READ, Some(service(7, &released("one")))),
        (READ, Some(service(7, &released("one")))),
        (TASKS, Some((200, json!([])))),
        ("POST /v1.41/services/s1/update?version=7 ", Some((500, json!({"message": OUT_OF_SEQUENCE})))),
        (READ, Some(service(9, &released("three")))),
        (TASKS, Some((200, json!([])))),
    ]);
    let script = Script::start(steps);
    let swarm = Swarm::connect(&script.host()).await.unwrap();
    let error = swarm.apply(&desired(), &relabel(), None).await.unwrap_err();
    assert_eq!(error.to_string(), "service `shop_api` was changed by another deploy at the same time");
    script.done();
}

/// What a manager is asked for a deploy, and by its undoing until that may not write: somebody was quicker.
fn overtaken_while_undone() -> Vec<Step> {
    let deployed = || Some((200, json!({"ID": "s1", "Version": {"Index": 8}, "Spec": POSTED})));
    let no_tasks = || (TASKS, Some((200, json!([]))));
    let mut steps = manager();
    steps.extend([
        (READ, Some(service(7, &released("one")))),
        (READ, Some(service(7, &released("one")))),
        no_tasks(),
        ("POST /v1.41/services/s1/update?version=7 ", Some((200, json!({})))),
        (READ, deployed()),
        (READ, deployed()),
        (READ, deployed()),
        no_tasks(),
        ("POST /v1.41/services/s1/update?version=8 ", Some((500, json!({"message": OUT_OF_SEQUENCE})))),
    ]);
    steps
}

#[tokio::test]
async fn a_swarm_that_goes_back_while_it_is_put_back_is_waited_for() {
    let went_back = |state: &str| {
        let (status, mut answer) = service(9, &released("one"));
        answer["UpdateStatus"] = json!({"State": state, "StartedAt": "2026-01-02T03:04:06Z", "Message": "x"});
        Some((status, answer))
    };
    let mut steps = overtaken_while_undone();
    steps.extend([
        (READ, went_back("rollback_started")),
        (TASKS, Some((200, json!([])))),
        (READ, went_back("rollback_started")),
        (READ, went_back("rollback_completed")),
        (TASKS, Some((200, json!([])))),
    ]);
    let script = Script::start(steps);
    let swarm = Swarm::connect(&script.host()).await.unwrap();
    let applied = swarm.apply(&desired(), &relabel(), None).await.unwrap().unwrap();
    assert!(swarm.undo(&applied, None).await.unwrap().is_none());
    script.done();
}

#[tokio::test]
async fn another_deploy_while_it_is_put_back_is_told() {
    let mut steps = overtaken_while_undone();
    steps.extend([
        (READ, Some(service(9, &released("three")))),
        (TASKS, Some((200, json!([])))),
        (READ, Some(service(9, &released("three")))),
    ]);
    let script = Script::start(steps);
    let swarm = Swarm::connect(&script.host()).await.unwrap();
    let applied = swarm.apply(&desired(), &relabel(), None).await.unwrap().unwrap();
    let error = swarm.undo(&applied, None).await.unwrap_err();
    assert!(matches!(error, SwarmError::Overtaken { .. }), "{error}");
    script.done();
}

#[tokio::test]
async fn an_update_whose_answer_is_lost_counts_only_if_it_was_made() {
    let before = released("one");
    let mut steps = manager();
    steps.extend([
        (READ, Some(service(7, &before))),
        (READ, Some(service(7, &before))),
        (TASKS, Some((200, json!([])))),
        ("POST /v1.41/services/s1/update?version=7 ", None),
        (READ, Some(service(7, &before))),
    ]);
    let script = Script::start(steps);
    let swarm = Swarm::connect(&script.host()).await.unwrap();
    let error = swarm.apply(&desired(), &relabel(), None).await.unwrap_err();
    assert!(matches!(error, SwarmError::NoAnswer { .. }), "{error}");
    script.done();
}

#[tokio::test]
async fn an_update_that_was_made_counts_though_its_answer_is_lost() {
    let mut steps = manager();
    let made = || Some((200, json!({"ID": "s1", "Version": {"Index": 8}, "Spec": POSTED})));
    steps.extend([
        (READ, Some(service(7, &released("one")))),
        (READ, Some(service(7, &released("one")))),
        (TASKS, Some((200, json!([])))),
        ("POST /v1.41/services/s1/update?version=7 ", None),
        (READ, made()),
        (READ, made()),
    ]);
    let script = Script::start(steps);
    let swarm = Swarm::connect(&script.host()).await.unwrap();
    assert!(swarm.apply(&desired(), &relabel(), None).await.unwrap().is_some());
    script.done();
}

#[tokio::test]
async fn reading_is_tried_again_and_a_refusal_is_told_in_the_engines_words() {
    let mut steps = manager();
    let leaderless = json!({"message": "rpc error: the swarm does not have a leader"});
    steps.extend([
        ("GET /v1.41/services?", Some((503, leaderless))),
        ("GET /v1.41/services?", Some((403, json!({"message": "no\tway"})))),
    ]);
    let script = Script::start(steps);
    let swarm = Swarm::connect(&script.host()).await.unwrap();
    let error = swarm.observe("shop").await.unwrap_err();
    assert_eq!(error.to_string(), "Docker refused to list services: no\tway (status 403)");
    script.done();
}
