//! `compression`: a real nginx that compresses all, a part, or the wrong thing, and servers that send bombs.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use shipkit_core::Verdict;
use shipkit_smoke::{Check, CheckReport, Kind};
use tempfile::TempDir;

use crate::fixture::{Reply, Server, answer, serve};
use crate::nginx::Nginx;
use crate::pages::{TYPES, asked, check};

const GZIP: &str = "gzip on; gzip_min_length 1000; gzip_types text/css text/javascript; gzip_vary on;";

/// A page with a long script and a short style.
fn site() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let page = format!(
        "<!doctype html><link rel=stylesheet href=/a.css><script src=/a.js></script>{}",
        "<p>Hello".repeat(500)
    );
    for (file, text) in
        [("index.html", page), ("a.css", "a {}".to_owned()), ("a.js", "f(12345);\n".repeat(1000))]
    {
        fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

fn compression() -> Check {
    Check::new("compression", Kind::Compression { path: "/".to_owned() })
}

async fn seen(site: &TempDir, lines: &str) -> CheckReport {
    let nginx = Nginx::start(TYPES, &format!("root {};\n{lines}", site.path().display())).await;
    asked(&nginx.url, compression()).await
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_is_long_enough_comes_as_gzip() {
    let site = site();
    let report = seen(&site, GZIP).await;
    let length = |name: &str| fs::metadata(site.path().join(name)).unwrap().len();
    let all = length("index.html") + length("a.js");
    check(&report, Verdict::Pass, &format!("2 of 3 answers have 2048 bytes or more, {all} in all, and "));
    assert!(report.repeat.contains("-H 'accept-encoding: gzip'"), "{report:?}");
}

#[tokio::test]
async fn what_is_not_compressed_is_told() {
    let report = seen(&site(), "").await;
    check(&report, Verdict::Fail, "`/`, `/a.js`: it is not compressed");
    assert_eq!(report.attempts.len(), 1, "time does not mend it: {report:?}");
    // Without types, nginx compresses pages alone.
    let report = seen(&site(), "gzip on; gzip_vary on;").await;
    check(&report, Verdict::Fail, "`/a.js`: it is not compressed");
    assert!(!report.outcome.cause.contains("`/`"), "{report:?}");
}

#[tokio::test]
async fn caches_must_know_that_there_are_two() {
    let report = seen(&site(), &GZIP.replace("gzip_vary on;", "")).await;
    check(&report, Verdict::Fail, "`/`, `/a.js`: it is without `vary: accept-encoding`");
}

#[tokio::test]
async fn a_file_that_was_compressed_before_is_the_same_file() {
    let site = site();
    let name = site.path().join("a.js.gz");
    let of = |text: &[u8]| fs::write(&name, packed(text)).unwrap();
    let lines = format!("{GZIP} gzip_static on;");
    of("f(12345);\n".repeat(1000).as_bytes());
    check(&seen(&site, &lines).await, Verdict::Pass, "2 of 3 answers");
    of("f(12344);\n".repeat(1000).as_bytes());
    check(&seen(&site, &lines).await, Verdict::Fail, "`/a.js`: compressed, it is not what it is without");
    fs::write(&name, "f(12345);\n".repeat(1000)).unwrap();
    check(&seen(&site, &lines).await, Verdict::Fail, "`/a.js`: it cannot be unpacked: ");
    of("f(12345);\n".repeat(1000).as_bytes());
    let always = format!("{GZIP} gzip_static always;");
    check(&seen(&site, &always).await, Verdict::Fail, "also for who takes `identity` alone");
}

#[tokio::test]
async fn that_http3_is_offered_is_told() {
    let offered = format!("{GZIP} add_header Alt-Svc 'h3=\":443\"; ma=86400';");
    check(&seen(&site(), &offered).await, Verdict::Pass, "; it offers HTTP/3");
    assert!(!seen(&site(), GZIP).await.outcome.cause.contains("HTTP/3"));
}

/// A page of some length that differs with the number of the request, as gzip where it is asked for.
async fn dynamic(page: impl Fn(usize, bool) -> Vec<u8> + Send + Sync + 'static) -> Server {
    serve(move |n, head| {
        let is_gzip = head.to_ascii_lowercase().contains("accept-encoding: gzip");
        let body = page(n, is_gzip);
        let coding = if is_gzip { "content-encoding: gzip\r\nvary: accept-encoding\r\n" } else { "" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 x\r\ncontent-type: text/html\r\n{coding}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        Reply::Bytes([head.into_bytes(), body].concat())
    })
    .await
}

#[tokio::test]
async fn what_is_another_one_each_time_is_not_compared() {
    let server = dynamic(|n, is_gzip| {
        let page = format!("<p>{n}{}", "x".repeat(5000));
        if is_gzip { packed(page.as_bytes()) } else { page.into_bytes() }
    })
    .await;
    let report = asked(&server.url, compression()).await;
    check(&report, Verdict::Pass, "not compared, because it is another one each time: `/`");
}

#[tokio::test]
async fn a_bomb_is_unpacked_no_further_than_what_it_should_be() {
    // A megabyte that unpacks to a gigabyte.
    let bomb = packed(&vec![b'x'; 10 << 20]).repeat(100);
    let server =
        dynamic(move |_, is_gzip| if is_gzip { bomb.clone() } else { "x".repeat(5000).into_bytes() }).await;
    check(
        &asked(&server.url, compression()).await,
        Verdict::Fail,
        "`/`: compressed, it is not what it is without",
    );
}

#[tokio::test]
async fn without_end_there_is_a_limit() {
    const SCRIPT: &[u8] = b"HTTP/1.1 200 x\r\ncontent-type: text/javascript\r\n";
    let endless = serve(|_, head| {
        let head = head.to_ascii_lowercase();
        if head.starts_with("get / ") {
            return answer(200, "text/html", "<script src=/a.js></script>");
        }
        let is_gzip = head.contains("accept-encoding: gzip");
        let coding: &[u8] =
            if is_gzip { b"content-encoding: gzip\r\nvary: accept-encoding\r\n\r\n" } else { b"\r\n" };
        Reply::Endless([SCRIPT, coding].concat())
    })
    .await;
    let report = asked(&endless.url, compression()).await;
    check(&report, Verdict::Fail, "`/a.js`: there is more than 4 MiB of it, compressed");
}
