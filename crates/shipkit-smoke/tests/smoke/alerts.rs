//! `alerts`: a real Prometheus with rules, and what answers in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use shipkit_core::config::Alerts;
use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::{Check, CheckReport, Kind, Options, SmokeError};

use crate::fixture::{Reply, Server, answer, json, nobody, serve, status};
use crate::prometheus::Prometheus;

fn alerts(job: &str, allow: &[&str]) -> Alerts {
    let jobs = if job.is_empty() { Vec::new() } else { vec![job.to_owned()] };
    Alerts { jobs, allow: allow.iter().map(|name| (*name).to_owned()).collect() }
}

async fn asked(
    prometheus: &shipkit_smoke::Prometheus,
    alerts: Alerts,
    since: Option<Timestamp>,
) -> CheckReport {
    let options = Options {
        deadline: Duration::from_mins(1),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        prometheus: Some(prometheus.clone()),
        since,
        ..Options::default()
    };
    let checks = vec![Check::new("c", Kind::Alerts(alerts))];
    shipkit_smoke::run(&nobody().await, checks, &options).await.unwrap().checks.remove(0)
}

#[track_caller]
fn is(outcome: &Outcome, verdict: Verdict, part: &str) {
    assert_eq!(outcome.verdict, verdict, "{outcome:?}");
    assert!(outcome.cause.contains(part), "{outcome:?}");
}

/// An application with two troubles.
async fn app() -> (Server, [Arc<AtomicU64>; 2]) {
    let troubles = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let shown = troubles.clone();
    let app = serve(move |_, _| {
        let [noisy, failing] = shown.each_ref().map(|trouble| trouble.load(Ordering::SeqCst));
        let body = format!("noisy {noisy}\nfailing {failing}\npair{{n=\"1\"}} 1\npair{{n=\"2\"}} 1\n");
        answer(200, "text/plain; version=0.0.4", &body)
    });
    (app.await, troubles)
}

const RULES: &str = "groups:
- name: app
  rules:
  - {alert: Noisy, expr: noisy > 0}
  - {alert: Failing, expr: failing > 0, labels: {severity: page}}
  - {record: 'app:failing', expr: sum(failing)}
";

#[tokio::test]
async fn an_alert_is_the_fault_of_a_change_if_it_did_not_fire_before() {
    let (app, [noisy, failing]) = app().await;
    let prometheus = Prometheus::start(&app, RULES).await;
    let ask = |job, allow, since| asked(&prometheus.client, alerts(job, allow), since);
    prometheus.until("app:failing").await;
    let calm = Timestamp::now();
    is(
        &ask("app", &[], None).await.outcome,
        Verdict::Pass,
        "3 rules are evaluated, 1 targets are up, no alert fires",
    );
    is(&ask("gone", &[], None).await.outcome, Verdict::Fail, " of job `gone` is down: ");

    noisy.store(1, Ordering::SeqCst);
    prometheus.until("ALERTS{alertname=\"Noisy\",alertstate=\"firing\"}").await;
    let since = Timestamp::now();
    let report = ask("app", &[], Some(since)).await;
    is(&report.outcome, Verdict::Pass, "1 targets are up, alert `Noisy` fires as it did before");
    assert!(report.repeat.ends_with("'query=ALERTS{alertstate=\"firing\"}'"), "{report:?}");
    is(&ask("", &["Noisy"], None).await.outcome, Verdict::Pass, "alert `Noisy` fires, which is allowed");
    is(
        &ask("", &[], Some(calm)).await.outcome,
        Verdict::Fail,
        "alert `Noisy` fires for `{instance=\"127.0.0.1:",
    );
    let part = ", and nothing says since when, so no alert is forgiven";
    is(&ask("", &["Failing"], None).await.outcome, Verdict::Fail, part);

    failing.store(1, Ordering::SeqCst);
    prometheus.until("ALERTS{alertname=\"Failing\",alertstate=\"firing\"}").await;
    let report = ask("app", &[], Some(since)).await;
    is(&report.outcome, Verdict::Fail, "alert `Failing` fires for `{instance=\"127.0.0.1:");
    assert!(report.outcome.cause.ends_with("job=\"app\", severity=\"page\"}`"), "{report:?}");
    assert_eq!(report.attempts.len(), 1, "{report:?}");
}

#[tokio::test]
async fn rules_that_are_missing_or_broken_are_no_peace() {
    let (app, _) = app().await;
    let bare = Prometheus::start(&app, "groups: []").await;
    let outcome = asked(&bare.client, alerts("app", &[]), None).await.outcome;
    is(&outcome, Verdict::Fail, "no rules are loaded, so no alert can fire");
    let rules = "groups: [{name: g, rules: [{alert: Never, expr: pair + on (job) pair}]}]";
    let broken = Prometheus::start(&app, rules).await;
    broken.until_failed().await;
    let outcome = asked(&broken.client, alerts("", &[]), None).await.outcome;
    is(&outcome, Verdict::Fail, "rule `Never` of group `g` cannot be evaluated: ");
}

/// What stands where Prometheus should answers this to the question for its rules, by how often it was asked before.
async fn in_its_place(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> CheckReport {
    let asked_rules = AtomicU64::new(0);
    let server = serve(move |_, head| {
        if head.contains("/api/v1/rules ") {
            reply(usize::try_from(asked_rules.fetch_add(1, Ordering::SeqCst)).unwrap())
        } else if head.contains("/api/v1/targets?") {
            json(r#"{"status":"success","data":{"activeTargets":[]}}"#)
        } else {
            json(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#)
        }
    });
    let prometheus = shipkit_smoke::Prometheus::new(server.await.url.as_str()).unwrap();
    asked(&prometheus, alerts("", &[]), Some(Timestamp::UNIX_EPOCH)).await
}

fn rule(health: &str) -> Reply {
    let rule = format!(r#"{{"name":"A","health":"{health}"}}"#);
    json(&format!(r#"{{"status":"success","data":{{"groups":[{{"name":"g","rules":[{rule}]}}]}}}}"#))
}

#[tokio::test]
async fn what_is_no_answer_of_prometheus_is_no_fail_of_the_change() {
    let unreachable = Verdict::Unreachable;
    is(&in_its_place(|_| status(500)).await.outcome, unreachable, "answers 500: nothing more");
    let page = in_its_place(|_| answer(200, "text/html", "<!doctype html>")).await;
    is(&page.outcome, unreachable, "answers 200, and not as Prometheus does");
    assert_eq!(page.attempts.len(), 3, "{page:?}");
    is(&in_its_place(|_| Reply::Reset(Vec::new())).await.outcome, unreachable, "cannot be reached: ");
    let endless = b"HTTP/1.1 200 x\r\ncontent-type: application/json\r\n\r\n{\"status\":\"";
    let large = in_its_place(|_| Reply::Endless(endless.to_vec())).await;
    is(&large.outcome, Verdict::Inconclusive, "the answer to `/api/v1/rules` is larger than 8 MiB");
    assert_eq!(large.attempts.len(), 1, "{large:?}");
}

#[tokio::test]
async fn a_rule_that_was_not_evaluated_yet_is_waited_for() {
    let report = in_its_place(|n| rule(if n < 3 { "unknown" } else { "ok" })).await;
    is(&report.outcome, Verdict::Pass, "1 rules are evaluated, no alert fires");
    assert_eq!((report.attempts.len(), report.is_flaky), (4, true), "{report:?}");
}

#[tokio::test]
async fn without_prometheus_nothing_is_asked() {
    let checks = vec![Check::new("c", Kind::Alerts(Alerts::default()))];
    let error = shipkit_smoke::run(&nobody().await, checks, &Options::default()).await.unwrap_err();
    assert!(matches!(error, SmokeError::WherePrometheus(_)), "{error}");
}
