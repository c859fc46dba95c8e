//! Cookies of servers that write what they like, over http.

use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::{Check, Expect, Http, Kind, Options};

use crate::fixture::{Reply, serve};

/// What comes of a request that is answered with these lines.
async fn outcome(lines: Vec<u8>, expect: Expect) -> Outcome {
    let answer =
        [b"HTTP/1.1 200 x\r\ncontent-length: 0\r\nconnection: close\r\n".as_slice(), &lines, b"\r\n"];
    let answer = answer.concat();
    let server = serve(move |_, _| Reply::Bytes(answer.clone())).await;
    let http = Http { path: "/".to_owned(), expect, ..Http::default() };
    let check = Check { retries: 0, ..Check::new("get", Kind::Http(http)) };
    let report =
        shipkit_smoke::run(&server.url, vec![check], &Options::default()).await.unwrap().checks.remove(0);
    assert!(!format!("{report:?}").contains("canary"), "{report:?}");
    report.outcome
}

fn named(name: &str) -> Expect {
    Expect { cookies: vec![name.to_owned()], ..Expect::default() }
}

#[tokio::test]
async fn over_http_nothing_is_secure_anyway() {
    let lines = b"set-cookie: sid=canary; HttpOnly; SameSite=Lax\r\n".to_vec();
    assert_eq!(outcome(lines, named("sid")).await.verdict, Verdict::Pass);
}

#[tokio::test]
async fn whatever_stands_there_is_some_cookie() {
    let mut lines =
        b"set-cookie: canary\r\nset-cookie: ;;=;canary\r\nset-cookie: \xff\xfe=canary; SameSite\r\n".to_vec();
    lines.extend(b"set-cookie: sess\xc3\xa9=canary; HttpOnly; SameSite=canary; Expires=canary; Max-Age=99999999999999999999\r\n");
    lines.extend([b"set-cookie: long=".as_slice(), &b"x".repeat(5000), b"\r\n"].concat());
    let judged = outcome(lines, named("sid")).await;
    assert_eq!(judged.verdict, Verdict::Fail, "{judged:?}");
    assert!(judged.cause.starts_with("cookie `sid` is not set; "), "{judged:?}");
    assert!(judged.cause.contains("a `SameSite` that browsers do not know"), "{judged:?}");
    assert!(judged.cause.contains("cookie `long` has 5004 bytes, and browsers take 4096"), "{judged:?}");
}

#[tokio::test]
async fn a_header_with_cookies_is_compared_and_their_values_are_not_told() {
    let headers = [("Set-Cookie".to_owned(), Some(serde_json::json!({"contains": "Secure"})))].into();
    let lines = b"set-cookie: sid=canary; HttpOnly\r\nset-cookie: a=1\r\n".to_vec();
    let cause = "header `Set-Cookie` is `sid=***; HttpOnly, a=***`, without `Secure`";
    assert_eq!(outcome(lines, Expect { headers, ..Expect::default() }).await, Outcome::fail(cause));
}
