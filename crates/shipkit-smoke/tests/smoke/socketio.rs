//! `socketio`: against real nodes of socket.io, which `scripts/bed up socketio` fetches, alone and behind a real nginx.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shipkit_core::Verdict;
use shipkit_core::config::SocketIo;
use shipkit_smoke::{Check, CheckReport, Kind, Options};
use url::Url;

use crate::fixture::{Reply, answer, serve, status};
use crate::nginx::Nginx;

/// A node, which ends with this.
struct Node {
    process: Child,
    url: Url,
}

impl Node {
    fn start(options: &Value) -> Self {
        let modules =
            std::env::var("SOCKETIO_MODULES").expect("`scripts/bed up socketio` says where they are");
        let mut process = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smoke/socketio.cjs"))
            .arg(options.to_string())
            .env("NODE_PATH", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let url = format!("http://127.0.0.1:{}", port.trim()).parse().unwrap();
        Self { process, url }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The main namespace, and nothing else.
fn plain() -> SocketIo {
    SocketIo { path: "/socket.io/".to_owned(), namespace: "/".to_owned(), auth: None, emit: Vec::new() }
}

fn chat(token: &str) -> SocketIo {
    SocketIo {
        namespace: "/chat".to_owned(),
        auth: Some(json!({ "token": token })),
        emit: vec![json!("echo"), json!({"a": 1})],
        ..plain()
    }
}

async fn asked_within(url: &Url, said: SocketIo, timeout: Duration) -> CheckReport {
    let options = Options {
        timeout,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    };
    let check = Check::new("socketio", Kind::SocketIo(said));
    shipkit_smoke::run(url, vec![check], &options).await.unwrap().checks.remove(0)
}

async fn asked(url: &Url, said: SocketIo) -> CheckReport {
    asked_within(url, said, Duration::from_mins(1)).await
}

#[track_caller]
fn check(report: &CheckReport, verdict: Verdict, part: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{report:?}");
    assert!(report.outcome.cause.contains(part), "{report:?}");
}

/// nginx before nodes, with these lines for the choice of the node and for its location.
async fn before(nodes: &[Node], choice: &str, location: &str) -> Nginx {
    let server = |node: &Node| format!("server 127.0.0.1:{};", node.url.port().unwrap());
    let servers = nodes.iter().map(server).collect::<Vec<_>>().concat();
    let http = format!("upstream nodes {{ {choice} {servers} }}\n");
    Nginx::start(&http, &format!("location /socket.io/ {{ proxy_pass http://nodes; {location} }}")).await
}

const UPGRADES: &str =
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

#[tokio::test]
async fn a_node_answers_by_polling_by_upgrade_and_by_websocket_alone() {
    let node = Node::start(&json!({}));
    let report = asked(&node.url, plain()).await;
    check(&report, Verdict::Pass, "a session of 10 requests on new connections, upgraded to a WebSocket in ");
    check(&report, Verdict::Pass, "; a session by WebSocket alone in ");
    let repeat = format!("curl -sS -i --max-time 5 '{}socket.io/?EIO=4&transport=polling'", node.url);
    assert_eq!(report.repeat, repeat);
}

#[tokio::test]
async fn a_namespace_is_joined_with_what_it_wants_to_be_told_and_acknowledges_an_event() {
    let node = Node::start(&json!({}));
    check(&asked(&node.url, chat("right")).await, Verdict::Pass, "upgraded to a WebSocket");
    check(
        &asked(&node.url, chat("wrong")).await,
        Verdict::Fail,
        "the namespace was not joined: `wrong token`",
    );
    let nowhere = SocketIo { namespace: "/nowhere".to_owned(), ..plain() };
    check(&asked(&node.url, nowhere).await, Verdict::Fail, "`Invalid namespace`");
    let unheard = SocketIo { emit: vec![json!("sing")], ..plain() };
    let report = asked_within(&node.url, unheard, Duration::from_secs(2)).await;
    check(&report, Verdict::Fail, "no whole answer within");
}

#[tokio::test]
async fn what_a_service_does_not_take_is_told() {
    let polling = Node::start(&json!({"transports": ["polling"]}));
    check(&asked(&polling.url, chat("right")).await, Verdict::Pass, "; the service takes no WebSockets");
    let sockets = Node::start(&json!({"transports": ["websocket"]}));
    let report = asked(&sockets.url, chat("right")).await;
    check(&report, Verdict::Pass, "; the service takes no other");
    let elsewhere = Node::start(&json!({"path": "/live"}));
    let report = asked(&elsewhere.url, plain()).await;
    check(&report, Verdict::Fail, "the first request was answered with status 404, and not by socket.io");
    let there = SocketIo { path: "/live/".to_owned(), ..plain() };
    check(&asked(&elsewhere.url, there).await, Verdict::Pass, "by WebSocket alone");
}

#[tokio::test]
async fn sessions_stay_with_their_node_or_break() {
    let nodes = [Node::start(&json!({})), Node::start(&json!({}))];
    let scattered = before(&nodes, "", UPGRADES).await;
    let report = asked(&scattered.url, plain()).await;
    check(&report, Verdict::Fail, "sessions are not sticky: request 1 of a session, on a new connection");
    assert_eq!(report.attempts.len(), 1, "time does not mend it: {report:?}");
    let sticky = before(&nodes, "ip_hash;", UPGRADES).await;
    check(&asked(&sticky.url, chat("right")).await, Verdict::Pass, "upgraded to a WebSocket");
    let forgotten = before(&nodes, "ip_hash;", "").await;
    let report = asked(&forgotten.url, plain()).await;
    check(&report, Verdict::Fail, "a proxy before the service has to pass `upgrade` and `connection` on");
}

#[tokio::test]
async fn what_is_no_socket_io_ends_with_its_name() {
    let page = serve(|_, _| answer(200, "text/html", "<!doctype html>")).await;
    let report = asked(&page.url, plain()).await;
    check(&report, Verdict::Fail, "`<!doctype html>` is no packet of socket.io");
    assert_eq!(page.asked(), 1);
    let opens_twice = serve(|_, _| answer(200, "text/plain", r#"0{"sid":"x"}"#)).await;
    let report = asked(&opens_twice.url, plain()).await;
    check(&report, Verdict::Fail, "20 answers came");
    assert_eq!(opens_twice.asked(), 22);
    let down = serve(|_, _| status(503)).await;
    check(&asked(&down.url, plain()).await, Verdict::Fail, "status 503, and not by socket.io (3 times)");
    let head = b"HTTP/1.1 200 x\r\ncontent-type: text/plain\r\n\r\n";
    let endless = serve(|_, _| Reply::Endless(head.to_vec())).await;
    let report = asked(&endless.url, plain()).await;
    check(&report, Verdict::Fail, "larger than any of socket.io");
}
