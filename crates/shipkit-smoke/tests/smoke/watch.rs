//! `watch` against servers that stop, fail and change.

use std::future::{pending, ready};
use std::time::Duration;

use crate::fixture::{Reply, answer, json, nobody, serve, status};
use shipkit_core::Verdict;
use shipkit_smoke::{Connections, SmokeError, WatchOptions, WatchReport};
use tokio::time::Instant;
use url::Url;

fn options(url: &Url) -> WatchOptions {
    WatchOptions { rate: 100, duration: Some(Duration::from_millis(500)), ..WatchOptions::new(url.clone()) }
}

async fn watch(options: WatchOptions) -> WatchReport {
    shipkit_smoke::watch(options, pending::<()>()).await.unwrap()
}

#[tokio::test]
async fn every_scheduled_request_is_sent_and_counted() {
    let server = serve(|_, _| status(200)).await;
    for connections in [Connections::New, Connections::Kept, Connections::Both] {
        let report = watch(WatchOptions { connections, ..options(&server.url) }).await;
        assert_eq!(report.outcome.verdict, Verdict::Pass, "{:?}", report.outcome);
        assert_eq!((report.scheduled, report.answered), (50, 50));
    }
    assert_eq!(server.asked(), 150);
}

#[tokio::test]
async fn requests_are_sent_although_none_is_answered() {
    let server = serve(|_, _| Reply::Silence).await;
    let report = watch(WatchOptions { timeout: Duration::from_millis(200), ..options(&server.url) }).await;
    assert_eq!((report.scheduled, report.failures["timeout"]), (50, 50));
    assert_eq!((server.asked(), report.outcome.verdict), (50, Verdict::Fail));
}

#[tokio::test]
async fn a_server_that_stops_shows_as_gap_and_as_latency() {
    let start = Instant::now();
    let (stops, goes_on) = (start + Duration::from_millis(300), start + Duration::from_millis(1800));
    let server = serve(move |_, _| {
        let now = Instant::now();
        if stops < now && now < goes_on { Reply::At(goes_on) } else { status(200) }
    })
    .await;
    let report = watch(WatchOptions { duration: Some(Duration::from_secs(2)), ..options(&server.url) }).await;
    assert_eq!((report.scheduled, report.failed), (200, 0), "{report:?}");
    assert_eq!(report.outcome.verdict, Verdict::Fail, "more than a second: {report:?}");
    // More than half of the requests fell into the stop: a prober that waits for answers would have sent and counted one.
    assert!(Duration::from_millis(800) < report.latency.p95, "{report:?}");
    assert!(Duration::from_millis(900) < report.longest_gap, "{report:?}");
}

#[tokio::test]
async fn failures_are_counted_by_what_went_wrong() {
    let server = serve(|n, _| match n % 5 {
        0 => status(503),
        1 => answer(200, "text/html", "<p>"),
        2 => Reply::Reset(b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\nhalf".to_vec()),
        _ => json(r#"{"version":"1.4.0"}"#),
    })
    .await;
    let report = watch(WatchOptions { reads_revision: true, allow: 30, ..options(&server.url) }).await;
    let counts: Vec<_> = report.failures.iter().map(|(class, count)| (class.as_str(), *count)).collect();
    assert_eq!(counts, [("reset", 10), ("status 503", 10), ("wrong body", 10)]);
    assert_eq!(report.outcome.verdict, Verdict::Pass);
    assert_eq!((report.revisions[0].revision.as_str(), report.revisions[0].answers), ("1.4.0", 20));
    let strict = watch(WatchOptions { reads_revision: true, allow: 29, ..options(&server.url) }).await;
    assert_eq!(strict.outcome.verdict, Verdict::Fail);
}

#[tokio::test]
async fn a_server_that_wants_no_more_is_asked_no_more_by_who_yields() {
    let left = |n: usize| 70_usize.saturating_sub(n).to_string();
    for (header, after) in [("X-RateLimit-Remaining", 21), ("ratelimit-remaining", 21), ("x-other", 30)] {
        let server = serve(move |n, _| {
            let bytes = format!(
                "HTTP/1.1 200 x\r\n{header}: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                left(n)
            );
            if n < 30 { Reply::Bytes(bytes.into_bytes()) } else { status(429) }
        })
        .await;
        let yields = watch(WatchOptions { yields: true, ..options(&server.url) }).await;
        // What was sent before the answer came is sent.
        assert!((after..after + 9).contains(&yields.scheduled), "{header}: {yields:?}");
        assert_eq!(yields.outcome.verdict == Verdict::Pass, after == 21, "{header}: {yields:?}");
    }
    let server = serve(|_, _| status(429)).await;
    assert_eq!(watch(options(&server.url)).await.failures["status 429"], 50);
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let report = watch(options(&nobody().await)).await;
    assert_eq!(report.failures["refused"], 50);
}

#[tokio::test]
async fn both_releases_are_seen_with_their_times() {
    let server = serve(|n, _| json(if n < 25 { r#"{"commit":"old"}"# } else { r#"{"commit":"new"}"# })).await;
    let report = watch(WatchOptions { reads_revision: true, ..options(&server.url) }).await;
    let seen: Vec<_> = report.revisions.iter().map(|seen| (seen.revision.as_str(), seen.answers)).collect();
    assert_eq!(seen, [("old", 25), ("new", 25)]);
    assert!(report.revisions[0].first < report.revisions[1].last);
}

#[tokio::test]
async fn a_stop_before_the_first_request_shows_nothing() {
    let server = serve(|_, _| status(200)).await;
    let report = shipkit_smoke::watch(options(&server.url), ready(())).await.unwrap();
    assert_eq!((report.scheduled, report.outcome.verdict), (0, Verdict::Inconclusive));
}

#[tokio::test]
async fn a_rate_that_cannot_be_held_is_refused() {
    for rate in [0, 2001] {
        let ended = shipkit_smoke::watch(
            WatchOptions { rate, ..options(&"http://x".parse().unwrap()) },
            pending::<()>(),
        )
        .await;
        assert!(matches!(ended, Err(SmokeError::Rate(_))));
    }
}
