//! `redirect` against servers that lead somewhere. They speak http only: that https answers is shown with nginx, in `tests/nginx`.

use std::time::Duration;

use crate::fixture::{Reply, nobody, serve, status};
use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::{Check, CheckReport, Kind, Options, SmokeError};
use url::Url;

fn quick() -> Options {
    Options {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    }
}

async fn ask(base: &Url, path: &str, to: Option<&str>) -> Result<CheckReport, SmokeError> {
    let kind = Kind::Redirect { path: path.to_owned(), to: to.map(str::to_owned) };
    let mut report = shipkit_smoke::run(base, vec![Check::new("redirect", kind)], &quick()).await?;
    Ok(report.checks.remove(0))
}

fn leads(status: u16, to: &str) -> Reply {
    let head =
        format!("HTTP/1.1 {status} x\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    Reply::Bytes(head.into_bytes())
}

#[track_caller]
fn check(outcome: &Outcome, verdict: Verdict, part: &str) {
    assert_eq!(outcome.verdict, verdict, "{outcome:?}");
    assert!(outcome.cause.contains(part), "{outcome:?}");
}

#[tokio::test]
async fn a_path_leads_to_a_path_below_the_same_address() {
    let server = serve(|_, head| match head.split(' ').nth(1) {
        Some("/shop/old") => leads(302, "/shop/older"),
        Some("/shop/older") => leads(302, "/shop/new?a=1"),
        _ => status(500),
    })
    .await;
    let base = server.url.join("/shop").unwrap();
    let report = ask(&base, "/old", Some("/new?a=1")).await.unwrap();
    check(&report.outcome, Verdict::Pass, "/shop/older` leads to `");
    // Where it leads is not asked any more.
    assert_eq!((server.asked(), report.url.as_str()), (2, server.url.join("/shop/old").unwrap().as_str()));
    assert!(
        report.repeat.starts_with("curl -sS -i --max-time 5 -L --max-redirs 3 'http"),
        "{}",
        report.repeat
    );
    let report = ask(&base, "/old", Some("/new")).await.unwrap();
    check(&report.outcome, Verdict::Fail, "it must lead to `");
}

#[tokio::test]
async fn a_circle_ends_and_is_not_asked_again() {
    let server = serve(|n, _| leads(302, if n % 2 == 0 { "/b" } else { "/a" })).await;
    let report = ask(&server.url, "/a", Some("/c")).await.unwrap();
    check(&report.outcome, Verdict::Fail, "leads in a circle");
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_way_without_end_ends_after_three() {
    let server = serve(|n, _| leads(302, &format!("/{n}"))).await;
    let report = ask(&server.url, "/a", Some("/c")).await.unwrap();
    check(&report.outcome, Verdict::Fail, "after 3 redirects");
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn http_must_lead_to_https_at_once() {
    let server = serve(|_, _| leads(301, "/b")).await;
    check(
        &ask(&server.url, "/b", None).await.unwrap().outcome,
        Verdict::Fail,
        "the first redirect is not to https",
    );
    let server = serve(|_, _| status(200)).await;
    check(&ask(&server.url, "/b", None).await.unwrap().outcome, Verdict::Fail, "status 200 is no redirect");
}

#[tokio::test]
async fn where_it_leads_must_answer() {
    let port = nobody().await.port().unwrap();
    let server = serve(move |_, _| leads(308, &format!("https://127.0.0.1:{port}/x"))).await;
    let report = ask(&server.url, "/x", None).await.unwrap();
    check(&report.outcome, Verdict::Fail, &format!("/x` leads to `https://127.0.0.1:{port}/x`: "));
}

#[tokio::test]
async fn what_time_can_mend_is_asked_again() {
    let server = serve(|n, _| if n == 0 { status(503) } else { leads(302, "/new") }).await;
    let report = ask(&server.url, "/old", Some("/new")).await.unwrap();
    assert_eq!((report.outcome.verdict, report.is_flaky), (Verdict::Pass, true), "{:?}", report.outcome);
}

#[tokio::test]
async fn a_password_is_not_sent_over_http_nor_shown() {
    let server =
        serve(|_, head| if head.contains("authorization") { leads(301, "/leaked") } else { status(404) })
            .await;
    let mut base = server.url.clone();
    base.set_username("me").unwrap();
    base.set_password(Some("hunter2")).unwrap();
    let report = ask(&base, "/x", None).await.unwrap();
    check(&report.outcome, Verdict::Fail, "status 404 is no redirect");
    assert!(!serde_json::to_string(&report).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn an_https_address_needs_to_say_where_it_leads() {
    let base: Url = "https://shop.invalid:8443/".parse().unwrap();
    let ended = ask(&base, "https://shop.invalid/old", None).await;
    assert!(matches!(ended, Err(SmokeError::Address { .. })), "{ended:?}");
    let ended = ask(&base, "/old", Some("ftp://x/")).await;
    assert!(matches!(ended, Err(SmokeError::Address { .. })), "{ended:?}");
    // Of an https address a path is asked over http, where browsers ask first.
    let report = ask(&base, "/old?a=1", None).await.unwrap();
    assert_eq!(report.url, "http://shop.invalid/old?a=1");
}
