//! Pages: what they name is there, what their headers say, and whether they say anything; served by a real nginx.

use std::fs;
use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_core::config::{Profile, SecurityHeaders};
use shipkit_smoke::{Check, CheckReport, Kind, Options};
use tempfile::TempDir;
use url::Url;

use crate::fixture::{Reply, answer, serve};
use crate::nginx::Nginx;

pub(crate) const TYPES: &str =
    "types { text/html html; text/css css; text/javascript js; application/json json; }\n";
const PAGE: &str = "<!doctype html><link rel=stylesheet href=/assets/a-1.css><script type=module src=/assets/a-1.js></script>";
/// As many projects have it: for the whole server, and once more where the files are.
const HEADERS: &str = "add_header X-Content-Type-Options nosniff always; add_header X-Frame-Options DENY always; \
    add_header Referrer-Policy no-referrer always; add_header Content-Security-Policy \"default-src 'self'\" always;";

/// A front end of a page, a style and a script.
fn site() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("assets")).unwrap();
    for (file, text) in
        [("index.html", PAGE), ("assets/a-1.css", "a {}"), ("assets/a-1.js", "1"), ("health.json", "{}")]
    {
        fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

/// nginx before this folder, with these lines in its server.
async fn nginx(site: &TempDir, lines: &str) -> Nginx {
    Nginx::start(TYPES, &format!("root {};\n{lines}", site.path().display())).await
}

pub(crate) async fn asked(url: &Url, check: Check) -> CheckReport {
    let options = Options {
        timeout: Duration::from_mins(1),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        ..Options::default()
    };
    shipkit_smoke::run(url, vec![check], &options).await.unwrap().checks.remove(0)
}

fn page() -> Check {
    Check::new("page", Kind::Page { path: "/".to_owned() })
}

fn headers(profile: Profile, paths: &[&str]) -> Check {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Check::new("headers", Kind::SecurityHeaders(SecurityHeaders { profile, paths }))
}

#[track_caller]
pub(crate) fn check(report: &CheckReport, verdict: Verdict, part: &str) {
    assert_eq!(report.outcome.verdict, verdict, "{report:?}");
    assert!(report.outcome.cause.contains(part), "{report:?}");
}

#[tokio::test]
async fn a_page_is_whole_only_with_its_files() {
    let site = site();
    let nginx = nginx(&site, "location / { try_files $uri $uri/ =404; }").await;
    check(&asked(&nginx.url, page()).await, Verdict::Pass, "a page with its 2 files");
    fs::remove_file(site.path().join("assets/a-1.js")).unwrap();
    let part = "1 of the 2 files of the page: `/assets/a-1.js` has status 404";
    check(&asked(&nginx.url, page()).await, Verdict::Fail, part);
}

#[tokio::test]
async fn a_page_in_the_place_of_a_file_is_no_file() {
    let site = site();
    fs::remove_file(site.path().join("assets/a-1.js")).unwrap();
    let nginx = nginx(&site, "location / { try_files $uri /index.html; }").await;
    let part = "`/assets/a-1.js` is `text/html`, a page in its place";
    check(&asked(&nginx.url, page()).await, Verdict::Fail, part);
}

#[tokio::test]
async fn what_is_no_page_is_named() {
    let json = serve(|_, _| answer(200, "application/json", "{}")).await;
    check(&asked(&json.url, page()).await, Verdict::Fail, "it is `application/json` and no page");
    let down = serve(|_, _| answer(503, "text/html", PAGE)).await;
    check(&asked(&down.url, page()).await, Verdict::Fail, "503");
    let alone = serve(|_, _| answer(200, "text/html; charset=utf-8", "<p>Hello")).await;
    check(&asked(&alone.url, page()).await, Verdict::Pass, "a page that names no files of its host");
    let endless = serve(|n, _| match n {
        0 => answer(200, "text/html", PAGE),
        _ => Reply::Endless(b"HTTP/1.1 200 x\r\ncontent-type: text/css\r\n\r\n".to_vec()),
    })
    .await;
    check(&asked(&endless.url, page()).await, Verdict::Fail, "`/assets/a-1.js` is `text/css`");
}

#[tokio::test]
async fn headers_that_a_location_forgets_are_missed_there() {
    let site = site();
    let lines = |assets: &str| {
        format!(
            "{HEADERS}\nlocation /assets/ {{ add_header Cache-Control immutable; {assets} }}\nlocation /api/ {{ return 404; }}"
        )
    };
    let whole = nginx(&site, &lines(HEADERS)).await;
    let report = asked(&whole.url, headers(Profile::Baseline, &[])).await;
    check(&report, Verdict::Pass, "the headers of 4 answers");
    let forgets = nginx(&site, &lines("")).await;
    let report = asked(&forgets.url, headers(Profile::Baseline, &[])).await;
    check(&report, Verdict::Fail, "`x-content-type-options` is missing at `/assets/a-1.css`");
    assert_eq!(report.outcome.cause.matches("is missing").count(), 1, "{report:?}");
    assert_eq!(report.attempts.len(), 1, "time does not mend it: {report:?}");
    let of_one = asked(&forgets.url, headers(Profile::Baseline, &["/"])).await;
    check(&of_one, Verdict::Pass, "the headers of 1 answers");
    let strict = asked(&whole.url, headers(Profile::Strict, &["/"])).await;
    check(&strict, Verdict::Fail, "`permissions-policy` is missing at `/`");
}

#[tokio::test]
async fn headers_of_errors_count_and_a_server_that_breaks_has_none() {
    let site = site();
    let nginx =
        nginx(&site, "add_header X-Content-Type-Options nosniff; location /broken { return 502; }").await;
    let report = asked(&nginx.url, headers(Profile::Api, &["/health.json", "/nothing"])).await;
    check(&report, Verdict::Fail, "`x-content-type-options` is missing at `/nothing`");
    let strict = asked(&nginx.url, headers(Profile::Strict, &["/health.json", "/nothing"])).await;
    check(&strict, Verdict::Fail, "`cross-origin-resource-policy` is missing everywhere; `");
    let report = asked(&nginx.url, headers(Profile::Api, &["/health.json", "/broken"])).await;
    check(&report, Verdict::Fail, "`/broken`: status 502");
}

#[tokio::test]
async fn a_page_that_answers_every_path_proves_nothing() {
    let site = site();
    let nginx = nginx(&site, "location / { try_files $uri /index.html; }").await;
    let part = "status 200 with a page, which means nothing here: `/shipkit-smoke-";
    let report = asked(&nginx.url, Check::get("/health")).await;
    check(&report, Verdict::Fail, part);
    assert_eq!(report.attempts.len(), 1, "time does not mend it: {report:?}");
    check(&asked(&nginx.url, Check::ready(["/health"])).await, Verdict::Fail, part);
    check(&asked(&nginx.url, Check::get("/")).await, Verdict::Pass, "status 200");
    check(&asked(&nginx.url, Check::get("/health.json")).await, Verdict::Pass, "status 200");
}

#[tokio::test]
async fn a_page_among_paths_that_do_not_exist_is_one() {
    let site = site();
    fs::write(site.path().join("about.html"), "<p>us").unwrap();
    let nginx = nginx(&site, "location / { try_files $uri =404; }").await;
    check(&asked(&nginx.url, Check::get("/about.html")).await, Verdict::Pass, "status 200");
    check(&asked(&nginx.url, Check::ready(["/about.html"])).await, Verdict::Pass, "3 good answers in a row");
}
