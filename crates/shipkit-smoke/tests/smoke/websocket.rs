//! `ws`: what opens a WebSocket, and what answers in place of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_smoke::{Check, CheckReport, Expect, Kind, Options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::Url;

use crate::fixture::{Reply, answer, head, serve, status};
use crate::nginx::Nginx;

const PING: u8 = 9;
const PONG: u8 = 10;
const CLOSE: u8 = 8;

/// What a server does after the handshake.
#[derive(Clone)]
enum Peer {
    /// Answers pings, and closes when asked.
    Polite,
    /// The same, with texts, pings and pongs of its own before each answer.
    Chatty,
    /// Answers pings with bytes of its own.
    Mocks,
    /// Answers pings, and says nothing more when asked to close.
    Lingers,
    /// Answers pings, and hangs up when asked to close.
    HangsUp,
    /// Sends these bytes and then nothing.
    Says(Vec<u8>),
    /// Sends this block until the client has had enough.
    Floods(Vec<u8>),
}

/// A server and how many connections it has had.
struct Sockets {
    url: Url,
    asked: Arc<AtomicUsize>,
}

async fn sockets(peer: Peer) -> Sockets {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(converse(stream, peer.clone()));
        }
    });
    Sockets { url, asked }
}

/// The answer to this handshake; `None` if it is none.
fn switched(head: &str) -> Option<String> {
    let value = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    value("upgrade").filter(|to| to == "websocket")?;
    let accept = derive_accept_key(value("sec-websocket-key")?.as_bytes());
    Some(format!(
        "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    ))
}

async fn converse(mut stream: TcpStream, peer: Peer) -> Option<()> {
    let head = head(&mut stream).await?;
    let Some(switched) = switched(&head) else {
        let refusal = b"HTTP/1.1 426 x\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n";
        return stream.write_all(refusal).await.ok();
    };
    stream.write_all(switched.as_bytes()).await.ok()?;
    match &peer {
        Peer::Says(bytes) => {
            stream.write_all(bytes).await.ok()?;
            return std::future::pending().await;
        }
        Peer::Floods(block) => loop {
            stream.write_all(block).await.ok()?;
        },
        Peer::Polite | Peer::Chatty | Peer::Mocks | Peer::Lingers | Peer::HangsUp => {}
    }
    loop {
        let (opcode, payload) = frame(&mut stream).await?;
        match (opcode, &peer) {
            (PING, Peer::Chatty) => {
                let own =
                    [said(1, b"hello"), said(PING, b"you"), said(PONG, b""), said(PONG, &payload)].concat();
                stream.write_all(&own).await.ok()?;
            }
            (PING, Peer::Mocks) => stream.write_all(&said(PONG, b"mock")).await.ok()?,
            (PING, _) => stream.write_all(&said(PONG, &payload)).await.ok()?,
            (CLOSE, Peer::Lingers) => {}
            (CLOSE, Peer::HangsUp) => return None,
            (CLOSE, _) => return stream.write_all(&said(CLOSE, &payload)).await.ok(),
            (_, _) => {}
        }
    }
}

/// A short frame of the client, which masks it (RFC 6455 5.2).
async fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut start = [0; 6];
    stream.read_exact(&mut start).await.ok()?;
    assert!(start[1] & 0x80 != 0, "a client masks what it sends");
    let mut payload = vec![0; usize::from(start[1] & 0x7f)];
    stream.read_exact(&mut payload).await.ok()?;
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= start[2 + at % 4];
    }
    Some((start[0] & 0x0f, payload))
}

/// A short frame of the server, which does not.
fn said(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [&[0x80 | opcode, u8::try_from(payload.len()).unwrap()], payload].concat()
}

async fn asked(url: &Url, path: &str, expect: Expect) -> CheckReport {
    let quick = Options {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    };
    let check = Check::new("ws", Kind::Ws { path: path.to_owned(), expect });
    shipkit_smoke::run(url, vec![check], &quick).await.unwrap().checks.remove(0)
}

/// Enough for a machine with much to do, where an answer is wanted; and no longer than needed where none comes.
fn within(time: Duration) -> Expect {
    Expect { within: Some(time), ..Expect::default() }
}

#[track_caller]
fn check(report: &CheckReport, verdict: Verdict, part: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{report:?}");
    assert!(report.outcome.cause.contains(part), "{report:?}");
}

async fn polite(peer: Peer, verdict: Verdict, part: &str) {
    check(&asked(&sockets(peer).await.url, "/socket", within(Duration::from_mins(1))).await, verdict, part);
}

async fn silent(peer: Peer, part: &str) {
    let server = sockets(peer).await;
    let report = asked(&server.url, "/socket", within(Duration::from_secs(2))).await;
    check(&report, Verdict::Fail, part);
    assert_eq!((report.attempts.len(), server.asked.load(Ordering::SeqCst)), (3, 3), "{report:?}");
}

#[tokio::test]
async fn a_websocket_opens_answers_pings_and_closes() {
    for peer in [Peer::Polite, Peer::Chatty] {
        polite(peer, Verdict::Pass, "(median of 5), closed cleanly").await;
    }
}

#[tokio::test]
async fn a_whole_address_has_the_schemes_of_websockets() {
    let server = sockets(Peer::Polite).await;
    let address = server.url.join("/socket").unwrap().to_string().replace("http://", "ws://");
    let report = asked(&"http://127.0.0.1:1".parse().unwrap(), &address, Expect::default()).await;
    check(&report, Verdict::Pass, "closed cleanly");
    assert!(
        report.repeat.contains("curl -sS -i --max-time 5 --http1.1 -H 'connection: Upgrade'"),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_close_that_nobody_answers_is_not_clean() {
    silent(Peer::Lingers, "the handshake went well, but no close frame came within 2.0s").await;
    polite(Peer::HangsUp, Verdict::Fail, "after the handshake").await;
}

#[tokio::test]
async fn silence_after_the_handshake_is_a_fail_after_three_tries() {
    let part = "the handshake went well, but no pong came within 2.0s";
    tokio::join!(silent(Peer::Says(Vec::new()), part), silent(Peer::Mocks, part));
}

#[tokio::test]
async fn a_flood_in_place_of_a_pong_ends_in_time() {
    let server = sockets(Peer::Floods(said(1, b"hello").repeat(1000))).await;
    let kind = Kind::Ws { path: "/socket".to_owned(), expect: within(Duration::from_secs(2)) };
    let once = Check { retries: 0, ..Check::new("ws", kind) };
    let report = shipkit_smoke::run(&server.url, vec![once], &Options::default()).await.unwrap();
    check(&report.checks[0], Verdict::Fail, "no pong came within 2.0s");
}

#[tokio::test]
async fn nonsense_after_the_handshake_ends_at_once_and_is_not_asked_again() {
    // A frame of the server with a length of 2^33 and of 2^63, one that is masked, one with a reserved bit, a text that is none.
    let frames: [&[u8]; 6] = [
        // Read as a frame, it announces 84 bytes.
        &b"HTTP/1.1 200 OK\r\n\r\n".repeat(5),
        &[0x82, 0x7f, 0, 0, 0, 2, 0, 0, 0, 0],
        &[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0],
        &[0x81, 0x80, 0, 0, 0, 0],
        &[0xf1, 0],
        &[0x81, 2, 0xff, 0xfe],
    ];
    for frame in frames {
        let server = sockets(Peer::Says(frame.to_vec())).await;
        let report = asked(&server.url, "/socket", within(Duration::from_mins(1))).await;
        check(&report, Verdict::Fail, "after the handshake");
        assert_eq!(server.asked.load(Ordering::SeqCst), 1, "{frame:?}: {report:?}");
    }
}

#[tokio::test]
async fn who_closes_before_a_ping_is_answered_is_asked_again_and_quoted() {
    let close = said(CLOSE, &[&[0x03, 0xf0], b"no login".as_slice()].concat());
    polite(Peer::Says(close), Verdict::Fail, "before it answered a ping (1008 `no login`) (3 times)").await;
}

#[tokio::test]
async fn what_is_no_handshake_is_named() {
    let page = serve(|_, _| answer(200, "text/html; charset=utf-8", "<!doctype html>")).await;
    let part =
        "status 200, not 101 with a body (`text/html; charset=utf-8`): who answers every path with a page";
    check(&asked(&page.url, "/socket", Expect::default()).await, Verdict::Fail, part);
    let moved = b"HTTP/1.1 302 x\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n";
    let moved = serve(|_, _| Reply::Bytes(moved.to_vec())).await;
    check(
        &asked(&moved.url, "/socket", Expect::default()).await,
        Verdict::Fail,
        "status 302, not 101 (to `/login`)",
    );
    assert_eq!((page.asked(), moved.asked()), (1, 1));
    let down = serve(|_, _| status(503)).await;
    check(
        &asked(&down.url, "/socket", Expect::default()).await,
        Verdict::Fail,
        "status 503, not 101 (3 times)",
    );
    let of_another =
        "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n";
    let of_another = serve(|_, _| Reply::Bytes(of_another.to_owned().into_bytes())).await;
    let part = "`sec-websocket-accept` does not belong to the key";
    check(&asked(&of_another.url, "/socket", Expect::default()).await, Verdict::Fail, part);
    let silent = serve(|_, _| Reply::Silence).await;
    let report = asked(&silent.url, "/socket", within(Duration::from_millis(50))).await;
    check(&report, Verdict::Fail, "no whole answer within ");
}

#[tokio::test]
async fn a_handshake_may_have_to_be_refused() {
    let expect = |status| Expect { status: Some(status), ..Expect::default() };
    let closed = serve(|_, _| status(401)).await;
    check(&asked(&closed.url, "/socket", expect(401)).await, Verdict::Pass, "status 401");
    let open = sockets(Peer::Polite).await;
    check(&asked(&open.url, "/socket", expect(401)).await, Verdict::Fail, "status 101, not 401");
    check(&asked(&open.url, "/socket", expect(101)).await, Verdict::Pass, "closed cleanly");
}

#[tokio::test]
async fn the_answer_to_a_handshake_has_the_headers_that_are_expected() {
    let server = sockets(Peer::Polite).await;
    let expect = Expect { headers: [("x-node".to_owned(), None)].into(), ..Expect::default() };
    let report = asked(&server.url, "/socket", expect).await;
    check(&report, Verdict::Fail, "header `x-node` is missing");
}

#[tokio::test]
async fn nginx_passes_a_websocket_on_only_where_it_is_told_to() {
    let backend = sockets(Peer::Polite).await;
    let to = format!("proxy_pass {};", backend.url.as_str().trim_end_matches('/'));
    let server = format!(
        "location = /socket {{ {to} proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
         proxy_set_header Connection upgrade; }}\nlocation = /forgotten {{ {to} }}\n\
         location / {{ default_type text/html; return 200 '<!doctype html>'; }}"
    );
    let nginx = Nginx::start("", &server).await;
    check(&asked(&nginx.url, "/socket", Expect::default()).await, Verdict::Pass, "closed cleanly");
    let forgotten = asked(&nginx.url, "/forgotten", Expect::default()).await;
    check(&forgotten, Verdict::Fail, "status 426, not 101: the service saw no `upgrade`, which a proxy");
    let elsewhere = asked(&nginx.url, "/elsewhere", Expect::default()).await;
    check(&elsewhere, Verdict::Fail, "who answers every path with a page does not pass WebSockets on");
}
