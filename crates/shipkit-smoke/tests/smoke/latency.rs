//! `expect.p95` by real requests.

use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_smoke::{Baseline, Check, CheckReport, Expect, Http, Kind, Options};
use tokio::time::Instant;

use crate::fixture::{Reply, Server, serve, status};

async fn asked(server: &Server, p95: Duration) -> CheckReport {
    beside(server, p95, None).await
}

/// The same, of which 1.25 times as long as before are allowed.
async fn beside(server: &Server, p95: Duration, baseline: Option<&str>) -> CheckReport {
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
        beside(&quick, minute, Some(&slower)),
        beside(&quick, minute, Some(&as_before)),
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
