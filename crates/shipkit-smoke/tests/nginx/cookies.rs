//! Cookies of a login over https, as an application behind nginx sets them.

use shipkit_core::Verdict;
use shipkit_smoke::{CheckReport, Expect, Http, Kind, Method};

use crate::nginx::{Nginx, Site};

const VALUE: &str = "s%3AhWq0canary";

/// What comes of a login that sets these cookies, of which `connect.sid` is expected.
async fn login(cookies: &[&str]) -> CheckReport {
    let set: Vec<String> =
        cookies.iter().map(|cookie| format!("add_header Set-Cookie '{cookie}' always;")).collect();
    let lines = format!("location = /login {{ {} return 204; }}", set.concat());
    let nginx = Nginx::start(&Site::fine().lines(&lines));
    let expect = Expect { cookies: vec!["connect.sid".to_owned()], ..Expect::default() };
    let http = Http { method: Method::Post, path: "/login".to_owned(), expect, ..Http::default() };
    nginx.ask(&nginx.https, Kind::Http(http)).await
}

#[track_caller]
fn check(report: &CheckReport, verdict: Verdict, cause: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{report:?}");
    assert!(report.outcome.cause.contains(cause), "{report:?}");
    assert!(!format!("{report:?}").contains(VALUE), "{report:?}");
    assert_eq!(report.attempts.len(), 1, "time does not mend it: {report:?}");
}

#[tokio::test]
async fn the_session_of_a_login_is_protected() {
    let good = format!("connect.sid={VALUE}; Path=/; HttpOnly; Secure; SameSite=Lax");
    let csrf = "XSRF-TOKEN=abc; Path=/; Secure; SameSite=Strict";
    check(&login(&[&good, csrf, "theme=dark"]).await, Verdict::Pass, "status 204");
    let bare = format!("connect.sid={VALUE}; Path=/");
    let cause = "cookie `connect.sid` has no `Secure`, has no `HttpOnly`, has no `SameSite`; cookie `XSRF-TOKEN` has no `Secure`";
    check(&login(&[&bare, "XSRF-TOKEN=abc; SameSite=Lax"]).await, Verdict::Fail, cause);
}

#[tokio::test]
async fn a_login_that_sets_no_session_is_none() {
    check(&login(&[]).await, Verdict::Fail, "cookie `connect.sid` is not set");
    let gone = format!("connect.sid={VALUE}; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    check(&login(&[&gone]).await, Verdict::Fail, "cookie `connect.sid` is removed");
}

#[tokio::test]
async fn what_browsers_throw_away_is_told_of_any_cookie() {
    let good = format!("connect.sid={VALUE}; Path=/; HttpOnly; Secure; SameSite=Lax");
    let cookies = [&good, "__Host-tab=1; Secure; Path=/shop", "ad=1; SameSite=None"];
    let cause = "cookie `__Host-tab` needs `Path=/` for its `__Host-`; cookie `ad` has `SameSite=None` without `Secure`";
    check(&login(&cookies).await, Verdict::Fail, cause);
}
