//! `cors`: a real nginx that lets one origin in, every origin, or none.

use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_core::config::{Cors, Method};
use shipkit_smoke::{Check, CheckReport, Kind, Options};
use url::Url;

use crate::nginx::Nginx;

const APP: &str = "https://app.example.com";

async fn asked(url: &Url, path: &str, credentials: bool) -> CheckReport {
    let options = Options {
        timeout: Duration::from_mins(1),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    };
    let wanted = Cors { path: path.to_owned(), origin: APP.to_owned(), method: Method::Get, credentials };
    let check = Check::new("cors", Kind::Cors(wanted));
    shipkit_smoke::run(url, vec![check], &options).await.unwrap().checks.remove(0)
}

#[track_caller]
fn check(report: &CheckReport, verdict: Verdict, part: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{report:?}");
    assert!(report.outcome.cause.contains(part), "{report:?}");
}

#[tokio::test]
async fn one_origin_is_let_in_and_others_are_not() {
    let known = format!("map $http_origin $known {{ default ''; '{APP}' $http_origin; }}\n");
    let allow = |origin: &str| {
        format!("add_header Access-Control-Allow-Origin {origin} always; add_header Vary Origin always;")
    };
    let server = [
        format!("location = /known {{ {} return 204; }}\n", allow("$known")),
        format!(
            "location = /with {{ {} add_header Access-Control-Allow-Credentials true always; return 204; }}\n",
            allow("$known")
        ),
        format!("location = /echo {{ {} return 204; }}\n", allow("$http_origin")),
        format!("location = /star {{ {} return 204; }}\n", allow("'*'")),
        // As many have it: the question before the request is answered, and the request itself is not.
        format!(
            "location = /half {{ if ($request_method = OPTIONS) {{ {} return 204; }} return 200; }}\n",
            allow("$known")
        ),
        "location = /none { return 204; }\n".to_owned(),
    ];
    let nginx = Nginx::start(&known, &server.concat()).await;
    let report = asked(&nginx.url, "/known", false).await;
    check(&report, Verdict::Pass, "`https://app.example.com` is let in, and others are not");
    assert!(report.repeat.contains("-X OPTIONS -H 'origin: https://app.example.com'"), "{report:?}");
    let part = "without `access-control-allow-credentials: true`";
    check(&asked(&nginx.url, "/known", true).await, Verdict::Fail, part);
    check(&asked(&nginx.url, "/with", true).await, Verdict::Pass, "is let in");
    let part = "any origin is let in (`access-control-allow-origin: https://shipkit-smoke.invalid`)";
    check(&asked(&nginx.url, "/echo", false).await, Verdict::Fail, part);
    check(&asked(&nginx.url, "/star", false).await, Verdict::Fail, "any origin is let in");
    check(&asked(&nginx.url, "/star", true).await, Verdict::Fail, "which browsers refuse with credentials");
    check(
        &asked(&nginx.url, "/half", false).await,
        Verdict::Fail,
        "the request from `https://app.example.com` is answered without",
    );
    check(&asked(&nginx.url, "/none", false).await, Verdict::Fail, "the question before it from");
}
