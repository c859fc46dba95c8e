//! `expect.p95` by real requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_smoke::{Baseline, Beside, Check, CheckReport, Expect, Http, Kind, Marked, Options};
use tokio::net::TcpListener;
use tokio::time::Instant;
use url::Url;

use crate::fixture::{Reply, Server, answer, serve, status};

async fn asked(server: &Server, p95: Duration) -> CheckReport {
    after(server, p95, None).await
}

/// The same, of which 1.25 times as long as before are allowed.
async fn after(server: &Server, p95: Duration, baseline: Option<&str>) -> CheckReport {
    let max_regress = baseline.map(|_| 1.25);
    let expect = Expect { p95: Some(p95), max_regress, ..Expect::default() };
    let http = Http { path: "/x".to_owned(), expect, ..Http::default() };
    let check = Check::new("get", Kind::Http(http));
    let baseline = baseline.map(|json| Baseline::read(json.as_bytes()).unwrap());
    let options = Options { baseline, ..Options::default() };
    shipkit_smoke::run(&server.url, vec![check], &options).await.unwrap().checks.remove(0)
}

/// A run in which every answer took so many milliseconds.
fn before(millis: f64) -> String {
    format!(
        r#"{{"checks": [{{"name": "get", "outcome": {{"verdict": "pass"}}, "measured": {{"samples": 300, "failed": 0, "curveMs": {:?}}}}}]}}"#,
        [millis; 200]
    )
}

#[track_caller]
fn check(report: &CheckReport, verdict: Verdict, part: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{report:?}");
    assert!(report.outcome.cause.contains(part), "{report:?}");
}

/// Half a second is kept by five of six answers, which is what one sees who waits for each before the next.
#[tokio::test]
async fn a_server_that_stops_for_one_second_in_six_fails_and_a_quick_one_passes() {
    let start = Instant::now();
    let stalls = serve(move |_, _| {
        let now = Instant::now();
        let since = (now - start).as_millis() % 6000;
        let rest =
            Duration::from_secs(1).saturating_sub(Duration::from_millis(u64::try_from(since).unwrap()));
        Reply::At(now + rest)
    })
    .await;
    let quick = serve(|_, _| status(200)).await;
    let minute = Duration::from_mins(1);
    let (slower, as_before) = (before(0.001), before(50_000.0));
    let (stalls, slower, as_before, quick) = tokio::join!(
        asked(&stalls, Duration::from_millis(500)),
        after(&quick, minute, Some(&slower)),
        after(&quick, minute, Some(&as_before)),
        asked(&quick, minute)
    );
    check(&slower, Verdict::Fail, "the baseline has 1.0µs, of which 1.25 times are allowed");
    check(&as_before, Verdict::Pass, "the baseline has 50.0s, of which 1.25 times are allowed");
    check(&stalls, Verdict::Fail, "p95 is over 500ms");
    check(&quick, Verdict::Pass, "of 300 requests at 20 a second were not answered within it");
    assert!(!quick.is_flaky && quick.attempts.len() == 2, "{quick:?}");
    let json = serde_json::to_value(&stalls).unwrap();
    assert!(500 < json["measured"]["p95Ms"].as_u64().unwrap(), "{json}");
    assert!(300 <= json["measured"]["samples"].as_u64().unwrap(), "{json}");
    assert_eq!(json["measured"]["warmUp"]["samples"], 20, "{json}");
    // The parts make the whole, but for what happens between them.
    let phases = &json["measured"]["phases"];
    let of = |part: &str| phases[part].as_f64().unwrap();
    assert!(0.0 < of("connectMs") && 0.0 < of("firstByteMs") && phases["tlsMs"] == 0.0, "{json}");
}

#[tokio::test]
async fn a_path_that_does_not_answer_as_it_should_is_not_measured() {
    let server = serve(|_, _| status(404)).await;
    check(&asked(&server, Duration::from_millis(500)).await, Verdict::Fail, "status 404");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_server_that_limits_how_often_it_is_asked_shows_nothing_of_its_latency() {
    let server = serve(|n, _| status(if n < 3 { 200 } else { 429 })).await;
    let report = asked(&server, Duration::from_millis(500)).await;
    check(&report, Verdict::Inconclusive, "the server limits how often it is asked");
}

/// What all meet who ask now: half a second's work, and up to 100 ms more at some times than at others.
fn noise(start: Instant) -> Duration {
    let at = u64::try_from(start.elapsed().as_millis()).unwrap();
    Duration::from_millis(300 + at % 700 / 7)
}

/// A server that takes so many times as long as all others.
async fn noisy(start: Instant, times: u32) -> Server {
    serve(move |_, _| Reply::At(Instant::now() + noise(start) * times)).await
}

/// What is measured beside another release, of which 1.25 times are allowed.
async fn compared(server: &Server, expect: Expect, beside: Beside) -> CheckReport {
    let expect = Expect { max_regress: Some(1.25), ..expect };
    let headers = [("x-team".to_owned(), "shop".to_owned())].into();
    let http = Http { path: "/x".to_owned(), headers, expect, ..Http::default() };
    let check = Check { retries: 0, ..Check::new("get", Kind::Http(http)) };
    let options = Options { baseline: Some(Baseline::Beside(beside)), ..Options::default() };
    shipkit_smoke::run(&server.url, vec![check], &options).await.unwrap().checks.remove(0)
}

fn blue(url: &Url) -> Beside {
    Beside { url: url.clone(), name: "blue".to_owned(), is_before: false }
}

fn wide() -> Expect {
    Expect { p95: Some(Duration::from_mins(1)), ..Expect::default() }
}

/// Where nobody listens.
async fn nobody() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
}

#[tokio::test]
async fn what_both_meet_is_no_regression_though_an_earlier_run_was_quicker() {
    let start = Instant::now();
    let (same, slow, other) = tokio::join!(noisy(start, 1), noisy(start, 2), noisy(start, 1));
    let (at_night, bare) = (before(100.0), Expect::default());
    let earlier = after(&same, Duration::from_mins(1), Some(&at_night));
    let (beside, slow, earlier) = tokio::join!(
        compared(&same, wide(), blue(&other.url)),
        compared(&slow, bare, blue(&other.url)),
        earlier,
    );
    check(&earlier, Verdict::Fail, "the baseline has 100.0ms, of which 1.25 times are allowed");
    check(&beside, Verdict::Pass, "p95 is within 60s and p95 is within 1.25 times that of `blue`: p50 ");
    check(&slow, Verdict::Fail, "p95 is over 1.25 times that of `blue`: p50 ");
    let json = serde_json::to_value(&beside).unwrap();
    let of = &json["measured"]["beside"];
    assert_eq!(of["name"], "blue", "{json}");
    assert!(300 <= of["samples"].as_u64().unwrap() && 390 <= of["p95Ms"].as_u64().unwrap(), "{json}");
    check(&beside, Verdict::Pass, "; `blue` had ");
    check(&beside, Verdict::Pass, " ms at the same time");
    // The sentence rounds to a tenth, and the report cuts off.
    let told = beside.outcome.cause.split("`blue` had ").nth(1).unwrap().split(' ').next().unwrap();
    let off = told.parse::<f64>().unwrap() - of["p95Ms"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&off), "{told}: {json}");
}

#[tokio::test]
async fn another_release_that_does_not_answer_is_no_reason_to_pass() {
    let quick = serve(|_, _| status(200)).await;
    let breaks = serve(|n, _| status(if n == 0 { 200 } else { 503 })).await;
    let lacks = serve(|_, _| status(404)).await;
    let (nobody, before) = (nobody().await, Beside { is_before: true, ..blue(&lacks.url) });
    let (dead, alone, broken, unknown, new, both_new, itself) = tokio::join!(
        compared(&quick, wide(), blue(&nobody)),
        compared(&quick, Expect::default(), blue(&nobody)),
        compared(&quick, wide(), blue(&breaks.url)),
        compared(&quick, Expect::default(), blue(&lacks.url)),
        compared(&quick, wide(), before.clone()),
        compared(&quick, Expect::default(), before.clone()),
        compared(&quick, Expect::default(), blue(&quick.url)),
    );
    check(&dead, Verdict::Inconclusive, "p95 is within 60s: ");
    check(&dead, Verdict::Inconclusive, "; `blue` cannot be compared with: ");
    check(&alone, Verdict::Inconclusive, "`blue` cannot be compared with: ");
    check(&broken, Verdict::Inconclusive, "p95 cannot be compared: `blue` answered only 0 of 400 requests");
    check(&unknown, Verdict::Inconclusive, "`blue` cannot be compared with: status 404");
    check(&new, Verdict::Pass, "; `blue` does not know it yet, so it was not compared");
    check(&both_new, Verdict::Pass, "`blue` does not know it yet, so it was not compared");
    check(&itself, Verdict::Inconclusive, "`blue` is asked at the same address");
    // Once each, and nothing is measured of what does not answer.
    assert_eq!(lacks.asked(), 3);
}

/// What a proxy does with two releases at one address.
#[tokio::test]
async fn another_release_is_asked_the_same_without_the_marks_of_the_one_that_is_measured() {
    let start = Instant::now();
    let unmarked = Arc::new(AtomicUsize::new(0));
    let count = unmarked.clone();
    let proxy = serve(move |_, head| {
        assert!(head.starts_with("GET /x HTTP/1.1\r\n") && head.contains("x-team: shop\r\n"), "{head}");
        if head.contains("x-preview: word\r\n") {
            let head = "HTTP/1.1 200 x\r\nx-preview: green\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            return Reply::Bytes(head.into());
        }
        count.fetch_add(1, Ordering::SeqCst);
        // What stands in its answers is its own affair.
        if start.elapsed().as_millis().is_multiple_of(2) {
            answer(200, "text/plain", "old")
        } else {
            status(200)
        }
    })
    .await;
    let headers = [("x-team".to_owned(), "shop".to_owned())].into();
    let expect = Expect {
        max_regress: Some(1000.0),
        headers: [("x-preview".to_owned(), None)].into(),
        ..Expect::default()
    };
    let http = Http { path: "/x".to_owned(), headers, expect, ..Http::default() };
    let marked =
        Marked { header: "x-preview".to_owned(), ask: "word".to_owned().into(), answer: "green".to_owned() };
    let options = Options {
        marked: Some(marked),
        baseline: Some(Baseline::Beside(blue(&proxy.url))),
        ..Options::default()
    };
    let checks = vec![Check::new("get", Kind::Http(http))];
    let report = shipkit_smoke::run(&proxy.url, checks, &options).await.unwrap().checks.remove(0);
    check(&report, Verdict::Pass, "p95 is within 1000 times that of `blue`");
    let (of_other, all) = (unmarked.load(Ordering::SeqCst), proxy.asked());
    assert!(320 <= of_other && of_other <= all - of_other + 1, "{of_other} of {all}");
}

#[tokio::test]
async fn the_share_of_errors_is_measured_by_the_same_requests() {
    let each = |every: usize| serve(move |n, _| status(if n % every == every - 1 { 500 } else { 200 }));
    let (never, seldom, as_seldom, often) = tokio::join!(each(usize::MAX), each(50), each(50), each(10));
    let asked = async |server: &Server, errors: f64| {
        let http = Http {
            path: "/x".to_owned(),
            expect: Expect { errors: Some(errors), ..Expect::default() },
            ..Http::default()
        };
        let check = vec![Check::new("get", Kind::Http(http))];
        shipkit_smoke::run(&server.url, check, &Options::default()).await.unwrap().checks.remove(0)
    };
    let (never, some, unclear, often) =
        tokio::join!(asked(&never, 0.01), asked(&seldom, 0.05), asked(&as_seldom, 0.01), asked(&often, 0.01));
    check(
        &never,
        Verdict::Pass,
        "0 of 300 requests at 20 a second were not answered well (none dropped), which are at most 1 % of all",
    );
    check(&some, Verdict::Pass, "the share of errors is within 5 %: ");
    check(&some, Verdict::Pass, " status 500, none dropped)");
    check(
        &unclear,
        Verdict::Inconclusive,
        "the share of errors is neither within 1 % for sure nor over it: ",
    );
    check(&often, Verdict::Fail, "the share of errors is over 1 %: ");
}
