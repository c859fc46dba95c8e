//! `expect.p95` by real requests.

use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_smoke::{Check, CheckReport, Expect, Http, Kind, Options};
use tokio::time::Instant;

use crate::fixture::{Reply, Server, serve, status};

async fn asked(server: &Server, p95: Duration) -> CheckReport {
    let expect = Expect { p95: Some(p95), ..Expect::default() };
    let http = Http { path: "/x".to_owned(), expect, ..Http::default() };
    let check = Check::new("get", Kind::Http(http));
    shipkit_smoke::run(&server.url, vec![check], &Options::default()).await.unwrap().checks.remove(0)
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
    let (stalls, quick) =
        tokio::join!(asked(&stalls, Duration::from_millis(500)), asked(&quick, Duration::from_mins(1)));
    check(&stalls, Verdict::Fail, "p95 is over 500ms");
    check(&quick, Verdict::Pass, "of 300 requests at 20 a second were not answered within it");
    assert!(!quick.is_flaky && quick.attempts.len() == 2, "{quick:?}");
    let json = serde_json::to_value(&stalls).unwrap();
    assert!(500 < json["measured"]["p95Ms"].as_u64().unwrap(), "{json}");
    assert!(300 <= json["measured"]["samples"].as_u64().unwrap(), "{json}");
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
