//! `rate_limit`: limits that are applied, and limits that are only declared.

use std::time::Duration;

use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::{Check, CheckReport, Kind, Options};
use url::Url;

use crate::fixture::{Reply, serve, status};
use crate::nginx::Nginx;

fn burst(path: &str) -> Check {
    Check::new("limit", Kind::RateLimit { path: path.to_owned() })
}

async fn asked(url: &Url, path: &str) -> CheckReport {
    let options = Options { timeout: Duration::from_mins(1), ..Options::default() };
    shipkit_smoke::run(url, vec![burst(path)], &options).await.unwrap().checks.remove(0)
}

#[track_caller]
fn check(report: &CheckReport, verdict: Verdict, part: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{report:?}");
    assert!(report.outcome.cause.contains(part), "{report:?}");
}

/// Limits of one request in a minute and twenty more, so that a slow machine is refused, too.
#[tokio::test]
async fn nginx_limits_what_it_is_told_to_limit() {
    let zones = ["quiet", "told", "plain"]
        .map(|zone| format!("limit_req_zone $binary_remote_addr zone={zone}:1m rate=1r/m;\n"));
    let limit = |zone: &str, more: &str| {
        format!(
            "location = /{zone} {{ limit_req zone={zone} burst=20 nodelay; {more} try_files /none @ok; }}\n"
        )
    };
    let server = [
        limit("quiet", "limit_req_status 429;"),
        limit("told", "limit_req_status 429; add_header Retry-After 60 always;"),
        limit("plain", ""),
        "location = /declared { add_header X-RateLimit-Limit 100; return 204; }\n".to_owned(),
        "location = /large { add_header RateLimit-Limit 1000; return 204; }\n".to_owned(),
        "location @ok { return 204; }\n".to_owned(),
    ];
    let nginx = Nginx::start(&zones.concat(), &server.concat()).await;
    let told = asked(&nginx.url, "/told").await;
    check(&told, Verdict::Pass, "refused with 429 after");
    assert!(told.outcome.cause.ends_with("answers: `retry-after: 60`"), "{told:?}");
    let again = asked(&nginx.url, "/told").await;
    check(&again, Verdict::Pass, "refused with 429 ");
    let part = "but neither `retry-after` nor a RateLimit field says when to come again";
    check(&asked(&nginx.url, "/quiet").await, Verdict::Fail, part);
    let plain = asked(&nginx.url, "/plain").await;
    check(
        &plain,
        Verdict::Fail,
        "`limit_req` of nginx refuses with 503 unless `limit_req_status 429` is set",
    );
    let declared = asked(&nginx.url, "/declared").await;
    let part = "declared, not applied: `x-ratelimit-limit: 100`, but none of 120 requests was refused (120 with 204)";
    check(&declared, Verdict::Fail, part);
    let part = "`ratelimit-limit: 1000` declares a limit of 1000, which 120 requests do not exceed";
    check(&asked(&nginx.url, "/large").await, Verdict::Inconclusive, part);
}

#[tokio::test]
async fn no_more_is_asked_once_a_request_is_refused() {
    let refusal = b"HTTP/1.1 429 x\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = serve(move |n, _| if n < 30 { status(200) } else { Reply::Bytes(refusal.to_vec()) }).await;
    check(&asked(&server.url, "/").await, Verdict::Pass, "`retry-after: 1`");
    // Those that were under way go on.
    assert!(server.asked() <= 30 + 16 + 1, "{}", server.asked());
}

#[tokio::test]
async fn a_connection_that_ends_is_no_refusal() {
    let server = serve(|n, _| if n < 30 { status(200) } else { Reply::Reset(Vec::new()) }).await;
    let report = asked(&server.url, "/").await;
    check(&report, Verdict::Fail, " answers: ");
    assert_eq!(report.attempts.len(), 1, "{report:?}");
}

#[tokio::test]
async fn people_are_not_disturbed() {
    let server = serve(|_, _| status(200)).await;
    let options = Options { is_production: true, ..Options::default() };
    let checks = vec![burst("/"), Check::get("/")];
    let report = shipkit_smoke::run(&server.url, checks, &options).await.unwrap();
    assert_eq!(report.outcome, Outcome::pass("1 of 2 checks pass, 1 skipped"));
    check(
        &report.checks[1],
        Verdict::Skipped,
        "no burst of requests is sent to an environment that people use",
    );
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_burst_comes_last() {
    // After the first request that knows nothing of a limit, all are refused.
    let refusal = b"HTTP/1.1 429 x\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = serve(move |n, _| if n < 2 { status(200) } else { Reply::Bytes(refusal.to_vec()) }).await;
    let checks = vec![burst("/a"), Check::get("/b"), Check::get("/c")];
    let report = shipkit_smoke::run(&server.url, checks, &Options::default()).await.unwrap();
    let names: Vec<_> =
        report.checks.iter().map(|check| (check.name.as_str(), check.outcome.verdict)).collect();
    assert_eq!(names, [("get /b", Verdict::Pass), ("get /c", Verdict::Pass), ("limit", Verdict::Pass)]);
}
