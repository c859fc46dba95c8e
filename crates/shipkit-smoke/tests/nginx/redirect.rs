//! From http to https.

use crate::nginx::{Nginx, Site};
use shipkit_core::{Outcome, Verdict};
use shipkit_smoke::Kind;

/// What comes of asking for a path with a query, where http is served so.
async fn seen(http: &str) -> Outcome {
    let nginx = Nginx::start(&Site { http: http.to_owned(), ..Site::fine() });
    nginx.ask(&nginx.http, Kind::Redirect { path: "/a?b=1".to_owned(), to: None }).await.outcome
}

#[track_caller]
fn check(outcome: &Outcome, verdict: Verdict, part: &str) {
    assert_eq!(outcome.verdict, verdict, "{outcome:?}");
    assert!(outcome.cause.contains(part), "{outcome:?}");
}

#[tokio::test]
async fn it_must_keep_path_and_query_and_be_for_good() {
    check(
        &seen("return 301 HTTPS$request_uri;").await,
        Verdict::Pass,
        "/a?b=1`, which answers with status 200",
    );
    check(
        &seen("return 308 HTTPS$request_uri;").await,
        Verdict::Pass,
        "/a?b=1`, which answers with status 200",
    );
    check(&seen("return 302 HTTPS$request_uri;").await, Verdict::Fail, "status 302, not 301 or 308");
    check(&seen("return 301 HTTPS$uri;").await, Verdict::Fail, "it does not keep path and query");
    check(&seen("rewrite ^ HTTPS/ permanent;").await, Verdict::Fail, "it does not keep path and query");
    check(&seen("return 200 ok;").await, Verdict::Fail, "status 200 is no redirect");
}

#[tokio::test]
async fn where_it_leads_must_be_trusted() {
    let nginx = Nginx::start(&Site { ca: None, ..Site::fine() });
    let report = nginx.ask(&nginx.http, Kind::Redirect { path: "/".to_owned(), to: None }).await;
    check(&report.outcome, Verdict::Fail, "UnknownIssuer");
    assert_eq!(report.attempts.len(), 1);
}
