//! Targets that nobody has changed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_smoke::{Check, Http, Kind, Method, Options, READY_PATHS, Report, Wanted};
use tokio::sync::Barrier;

use crate::fixture::{Reply, Server, json, serve, status};

fn settled() -> Options {
    Options {
        deadline: Duration::from_mins(1),
        timeout: Duration::from_mins(1),
        between: Duration::from_millis(1),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        is_settled: true,
        ..Options::default()
    }
}

async fn run(server: &Server, checks: Vec<Check>) -> Report {
    shipkit_smoke::run(&server.url, checks, &settled()).await.unwrap()
}

/// A server that says `answer` to the `n`th request of a path, from 0, and the paths in the order in which they were asked.
async fn told(
    answer: impl Fn(usize, &str, &[String]) -> Reply + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = asked.clone();
    let server = serve(move |_, head| {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let mut asked = noted.lock().unwrap();
        let n = asked.iter().filter(|before| **before == path).count();
        asked.push(path.clone());
        answer(n, &path, &asked)
    })
    .await;
    (server, asked)
}

fn once(method: Method) -> Check {
    let http = Http { method, path: "/x".to_owned(), ..Http::default() };
    Check { retries: 0, ..Check::new("x", Kind::Http(http)) }
}

#[tokio::test]
async fn readiness_and_twenty_checks_take_one_round_trip() {
    let all = Arc::new(Barrier::new(21));
    let server = serve(move |_, _| Reply::Together(all.clone())).await;
    let checks = (0..20).map(|n| Check::get(format!("/{n}")));
    let report = run(&server, std::iter::once(Check::ready(["/health"])).chain(checks).collect()).await;
    assert_eq!((report.outcome.verdict, report.count(Verdict::Pass)), (Verdict::Pass, 21), "{report:?}");
    assert_eq!(report.checks[0].outcome.cause, "ready: its first answer is good");
    assert_eq!(server.asked(), 21);
}

#[tokio::test]
async fn the_usual_paths_are_asked_at_once_and_the_first_that_exists_counts() {
    let all = Arc::new(Barrier::new(READY_PATHS.len()));
    let server = serve(move |_, _| Reply::Together(all.clone())).await;
    let report = run(&server, vec![Check::ready(READY_PATHS)]).await;
    assert!(
        report.outcome.verdict == Verdict::Pass && report.checks[0].url.ends_with("/health/ready"),
        "{report:?}"
    );
}

#[tokio::test]
async fn what_is_answered_before_it_is_ready_counts_for_nothing() {
    // `/x` is good only after the third good answer in a row.
    let (server, asked) = told(|n, path, asked| match path {
        "/health" => status(if n == 0 { 503 } else { 200 }),
        _ => status(if asked.iter().filter(|path| *path == "/health").count() < 4 { 500 } else { 200 }),
    })
    .await;
    let report = run(&server, vec![Check::ready(["/health"]), once(Method::Get)]).await;
    assert_eq!(report.outcome.verdict, Verdict::Pass, "{report:?}");
    assert!(report.checks[0].outcome.cause.contains("3 good answers in a row"), "{report:?}");
    let asked = asked.lock().unwrap();
    assert_eq!(
        (asked.iter().filter(|path| *path == "/health").count(), asked.last().unwrap().as_str()),
        (4, "/x")
    );
}

#[tokio::test]
async fn what_may_change_something_waits_for_a_good_answer() {
    for bad in [0, 1] {
        let (server, asked) =
            told(move |n, path, _| status(if path == "/health" && n < bad { 503 } else { 200 })).await;
        let report = run(&server, vec![once(Method::Post), Check::ready(["/health"])]).await;
        assert_eq!(report.outcome.verdict, Verdict::Pass, "{report:?}");
        let asked = asked.lock().unwrap().join(" ");
        let expected = if bad == 0 { "/health /x" } else { "/health /health /health /health /x" };
        assert_eq!(asked, expected);
    }
}

#[tokio::test]
async fn what_is_not_ready_at_all_skips_the_rest() {
    let (server, _) = told(|_, path, _| status(if path == "/health" { 401 } else { 200 })).await;
    let report = run(&server, vec![Check::ready(["/health"]), once(Method::Get), once(Method::Post)]).await;
    let verdicts: Vec<_> = report.checks.iter().map(|check| check.outcome.verdict).collect();
    assert_eq!(verdicts, [Verdict::Fail, Verdict::Skipped, Verdict::Skipped], "{report:?}");
}

#[tokio::test]
async fn where_a_release_is_asked_for_it_comes_after_the_whole_readiness_and_before_the_rest() {
    let (server, asked) = told(|_, path, _| match path {
        "/version" => json(r#"{"version":"1.4.0"}"#),
        _ => status(200),
    })
    .await;
    let release = Check::release("/version", Wanted::from_text("1.4.0"));
    let report = run(&server, vec![once(Method::Get), release, Check::ready(["/health"])]).await;
    assert_eq!(report.outcome.verdict, Verdict::Pass, "{report:?}");
    let expected = [&["/health"; 3][..], &["/version"; 20], &["/x"]].concat();
    assert_eq!(*asked.lock().unwrap(), expected);
}
