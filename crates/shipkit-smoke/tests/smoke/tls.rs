//! `tls` against servers that answer a hello with anything else than TLS. What real servers say stands in `tests/nginx`.

use std::time::Duration;

use shipkit_core::config::Tls;
use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::{Check, Kind, Options, SmokeError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

/// What a server does after it has spoken.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Wait,
}

/// Answers each first record of a client.
async fn answers(answer: impl Fn(&[u8]) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let answer = std::sync::Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut hello = vec![0; 5];
                stream.read_exact(&mut hello).await.ok();
                let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
                hello.resize(5 + length, 0);
                stream.read_exact(&mut hello[5..]).await.ok();
                let (bytes, then) = answer(&hello);
                stream.write_all(&bytes).await.ok();
                match then {
                    Then::Close => stream.shutdown().await.unwrap_or_default(),
                    Then::Wait => std::future::pending().await,
                }
            });
        }
    });
    url
}

/// Far longer than any answer takes.
const LONG: Duration = Duration::from_mins(1);

/// What comes of asking somebody who always says this.
async fn seen(bytes: &[u8], then: Then, timeout: Duration) -> Outcome {
    let bytes = bytes.to_vec();
    let url = answers(move |_| (bytes.clone(), then)).await;
    ask(&url, timeout).await.unwrap()
}

async fn ask(base: &Url, timeout: Duration) -> Result<Outcome, SmokeError> {
    let options = Options { timeout, ..Options::default() };
    let wanted = Tls { hsts: true, http2: true, ocsp_stapling: true, ..Tls::default() };
    let check = Check { retries: 0, ..Check::new("tls", Kind::Tls(wanted)) };
    Ok(shipkit_smoke::run(base, vec![check], &options).await?.checks.remove(0).outcome)
}

#[track_caller]
fn fails(outcome: &Outcome, part: &str) {
    assert_eq!(outcome.verdict, Verdict::Fail, "{outcome:?}");
    assert!(outcome.cause.contains(part), "{outcome:?}");
}

/// A `ServerHello` of this version, and an alert to whatever comes next.
fn server_hello(version: [u8; 2]) -> Vec<u8> {
    let mut record = vec![22, 3, version[1], 0, 42, 2, 0, 0, 38];
    record.extend(version);
    record.extend([9; 32]);
    record.extend([0, 0, 0x2f, 0]);
    record
}

#[tokio::test]
async fn what_is_no_tls_is_told() {
    let many_alerts = [21, 3, 3, 0, 2, 1, 112].repeat(100_000);
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"\xff\x00\xff\x00\xff\x00\xff\x00".to_vec(),
        vec![b'x'; 1024 * 1024],
        [22, 3, 3, 0, 0].repeat(100_000),
        [[22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xf0].to_vec(), vec![b'x'; 1024 * 1024]].concat(),
        many_alerts,
    ] {
        for then in [Then::Close, Then::Wait] {
            fails(&seen(&bytes, then, LONG).await, "is no TLS");
        }
    }
}

#[tokio::test]
async fn silence_and_half_a_record_end_with_the_time() {
    for bytes in [&[][..], &[22], &[22, 3, 3, 0, 42, 2, 0, 0, 38, 3], &[21, 3, 3, 0, 2, 2]] {
        let outcome = seen(bytes, Then::Wait, Duration::from_millis(300)).await;
        assert_eq!(
            outcome,
            Outcome::fail("no handshake with TLS 1.2 or 1.3: no end of the handshake in time")
        );
    }
}

#[tokio::test]
async fn who_hangs_up_or_says_no_to_everything_makes_no_handshake() {
    for bytes in [&[][..], &[22, 3, 3, 0, 42, 2, 0, 0, 38, 3]] {
        fails(&seen(bytes, Then::Close, LONG).await, "no handshake with TLS 1.2 or 1.3: ");
    }
    let refuses = seen(&[21, 3, 3, 0, 2, 2, 40], Then::Close, LONG).await;
    fails(&refuses, "no handshake with TLS 1.2 or 1.3: received fatal alert");
}

#[tokio::test]
async fn versions_that_no_library_here_speaks_any_more_are_found() {
    for (number, name) in [([3, 0], "SSL 3"), ([3, 1], "TLS 1.0"), ([3, 2], "TLS 1.1")] {
        let url = answers(move |hello| {
            let is_asked = hello[9..11] == number;
            (if is_asked { server_hello(number) } else { vec![21, 3, 1, 0, 2, 2, 70] }, Then::Close)
        })
        .await;
        fails(&ask(&url, LONG).await.unwrap(), &format!("; it speaks {name}, older than TLS 1.2 ({name})"));
    }
}

#[tokio::test]
async fn who_answers_every_hello_with_one_version_speaks_only_that() {
    let outcome = seen(&server_hello([3, 1]), Then::Close, LONG).await;
    fails(&outcome, "; it speaks TLS 1.0, older than TLS 1.2 (TLS 1.0)");
}

#[tokio::test]
async fn silence_about_old_versions_is_no_refusal() {
    let url = answers(|hello| match hello[9..11] {
        [3, 3] => (server_hello([3, 3]), Then::Close),
        _ => (Vec::new(), Then::Wait),
    })
    .await;
    // Long enough for those hellos that are answered.
    let outcome = ask(&url, Duration::from_secs(5)).await.unwrap();
    fails(&outcome, "it gave no answer in time that refuses SSL 3, TLS 1.0, TLS 1.1");
}

#[tokio::test]
async fn there_is_no_tls_without_https() {
    for base in ["http://127.0.0.1:1/", "https://a_b..c:1/"] {
        let ended = ask(&base.parse().unwrap(), LONG).await;
        assert!(matches!(ended, Err(SmokeError::NoTls { .. })), "{base}: {ended:?}");
    }
}

#[tokio::test]
async fn who_does_not_listen_has_no_tls_either() {
    let mut url = crate::fixture::nobody().await;
    url = url.as_str().replace("http:", "https:").parse().unwrap();
    fails(&ask(&url, LONG).await.unwrap(), "efused");
}
