//! `promql`: a real Prometheus and an application whose numbers are made up, and what answers in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Number;
use shipkit_core::Verdict;
use shipkit_core::config::Bounds;
use shipkit_smoke::{Check, CheckReport, Kind, Options, SmokeError};

use crate::fixture::{Reply, Server, answer, json, nobody, serve, status};
use crate::prometheus::Prometheus;

fn check(name: &str, query: &str, bounds: Bounds) -> Check {
    Check::new(name, Kind::Promql { query: query.to_owned(), bounds })
}

fn under(limit: u32) -> Bounds {
    Bounds { under: Some(limit.into()), ..Bounds::default() }
}

fn options(prometheus: shipkit_smoke::Prometheus) -> Options {
    Options {
        deadline: Duration::from_mins(1),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        prometheus: Some(prometheus),
        ..Options::default()
    }
}

#[track_caller]
fn is(report: &CheckReport, verdict: Verdict, part: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{report:?}");
    assert!(report.outcome.cause.contains(part), "{report:?}");
}

/// An application that has served ten more requests at each scrape, and failed as often as it is told.
async fn app() -> (Server, Arc<AtomicU64>) {
    let failing = Arc::new(AtomicU64::new(1));
    let fails = Arc::clone(&failing);
    let app = serve(move |n, _| {
        let (served, failing) = (10 * n, fails.load(Ordering::SeqCst));
        answer(
            200,
            "text/plain; version=0.0.4",
            &format!("app_requests_total {served}\napp_failing {failing}\napp_share NaN\n"),
        )
    });
    (app.await, failing)
}

#[tokio::test]
async fn prometheus_is_asked_about_what_was_after_the_beginning_of_the_run() {
    let (app, failing) = app().await;
    let prometheus = Prometheus::start(&app, "groups: []").await;
    prometheus.until("max_over_time(app_failing[1s]) == 1").await;
    prometheus.until("rate(app_requests_total[1s])").await;
    failing.store(0, Ordering::SeqCst);
    let checks = vec![
        check("failing", "max_over_time(app_failing[2s])", under(1)),
        check("rate", "rate(app_requests_total{job=\"app\"}[2s])", under(1)),
        check("many", "up{job=\"app\"}", Bounds { samples: Some(2), ..Bounds::default() }),
        check("none", "app_nothing", Bounds::default()),
        check("nan", "app_share", under(1)),
        check("long", "rate(app_requests_total[1h])", Bounds::default()),
        check("wrong", "sum(", Bounds::default()),
        check("no", "app_requests_total < bool 0", Bounds::default()),
        check("fine", "app_requests_total", Bounds { over: Number::from_f64(0.5), ..Bounds::default() }),
    ];
    let report = shipkit_smoke::run(&app.url, checks, &options(prometheus.client.clone())).await.unwrap();
    let [failing, rate, many, none, nan, long, wrong, no, fine] = report.checks.as_slice() else { panic!() };
    is(failing, Verdict::Pass, "`failing` gives 0");
    assert!(
        failing.repeat.ends_with("--data-urlencode 'query=max_over_time(app_failing[2s])'"),
        "{failing:?}"
    );
    is(rate, Verdict::Fail, "which is not under 1");
    is(many, Verdict::Inconclusive, "`many` gives too few samples: 1, and 2 are needed");
    is(none, Verdict::Inconclusive, "`none` gives nothing");
    is(nan, Verdict::Inconclusive, "`nan` gives something that is not a number");
    let part = "lies after the beginning of this run in 3600.4 s, and the time is up after 60 s";
    is(long, Verdict::Inconclusive, part);
    is(wrong, Verdict::Inconclusive, "Prometheus cannot run `sum(`: ");
    is(no, Verdict::Fail, "`no` says no");
    is(fine, Verdict::Pass, "`fine` gives ");
    // One answer each: nothing is asked again that would be answered in the same way.
    assert!(report.checks.iter().all(|check| check.attempts.len() <= 1), "{report:?}");
}

/// What stands where Prometheus should answers this to queries; its targets are scraped each millisecond.
async fn asked(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> CheckReport {
    let server = serve(move |n, head| {
        let targets =
            r#"{"status":"success","data":{"activeTargets":[{"health":"up","scrapeInterval":"1ms"}]}}"#;
        if head.contains("/api/v1/targets?state=active ") { json(targets) } else { reply(n) }
    });
    let prometheus = shipkit_smoke::Prometheus::new(server.await.url.as_str()).unwrap();
    let checks = vec![check("c", "up", Bounds::default())];
    let base = nobody().await;
    shipkit_smoke::run(&base, checks, &options(prometheus)).await.unwrap().checks.remove(0)
}

const ONE: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#;

#[tokio::test]
async fn what_is_no_answer_of_prometheus_is_no_fail_of_the_release() {
    let unreachable = Verdict::Unreachable;
    is(&asked(|_| status(500)).await, unreachable, "answers 500: nothing more");
    let page = asked(|_| answer(200, "text/html", "<!doctype html><title>Grafana</title>")).await;
    is(&page, unreachable, "answers 200, and not as Prometheus does");
    assert_eq!(page.attempts.len(), 3, "{page:?}");
    is(&asked(|_| answer(401, "text/plain", "Unauthorized")).await, unreachable, "answers 401: Unauthorized");
    is(&asked(|_| Reply::Reset(Vec::new())).await, unreachable, "cannot be reached: ");
    let endless = b"HTTP/1.1 200 x\r\ncontent-type: application/json\r\n\r\n{\"status\":\"";
    let large = asked(|_| Reply::Endless(endless.to_vec())).await;
    is(&large, Verdict::Inconclusive, "the answer to `up` is larger than 1 MiB");
    assert_eq!(large.attempts.len(), 1, "{large:?}");
}

#[tokio::test]
async fn a_prometheus_that_comes_back_is_asked_again() {
    let report = asked(|n| if n == 0 { status(503) } else { json(ONE) }).await;
    is(&report, Verdict::Pass, "`c` gives 1");
    assert!(report.is_flaky, "{report:?}");
}

/// Time passes as soon as nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_prometheus_that_says_nothing_is_waited_for_until_it_is_too_long() {
    is(&asked(|_| Reply::Silence).await, Verdict::Unreachable, "cannot be reached: ");
}

#[tokio::test]
async fn where_nobody_says_how_often_it_scrapes_it_is_a_minute() {
    let server = serve(|_, head| if head.contains("/targets") { status(404) } else { json(ONE) }).await;
    let prometheus = shipkit_smoke::Prometheus::new(server.url.as_str()).unwrap();
    let checks = vec![check("c", "up", Bounds::default())];
    let report = shipkit_smoke::run(&server.url, checks, &options(prometheus)).await.unwrap();
    let part = "lies after the beginning of this run in 120 s, and the time is up after 60 s";
    is(&report.checks[0], Verdict::Inconclusive, part);
}

#[tokio::test]
async fn without_prometheus_nothing_is_asked() {
    let checks = vec![check("c", "up", Bounds::default())];
    let error = shipkit_smoke::run(&nobody().await, checks, &Options::default()).await.unwrap_err();
    assert!(matches!(error, SmokeError::WherePrometheus(_)), "{error}");
}
