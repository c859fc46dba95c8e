//! `caching`: a real nginx that lets browsers keep what it should, and what it should not.

use std::fs;

use shipkit_core::Verdict;
use shipkit_smoke::{Check, CheckReport, Kind};
use tempfile::TempDir;

use crate::fixture::{Reply, Server, answer, serve};
use crate::nginx::Nginx;
use crate::pages::{TYPES, asked, check};

const PAGE: &str = "<!doctype html><link rel=stylesheet href=/assets/a-1f2e3d4c.css><script src=/assets/a-5b6a7f8e.js></script>\
    <link rel=icon href=/icon.svg>";
const YEAR: &str = "public, max-age=31536000, immutable";

fn site() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("assets")).unwrap();
    for (file, text) in [
        ("index.html", PAGE),
        ("assets/a-1f2e3d4c.css", "a {}"),
        ("assets/a-5b6a7f8e.js", "1"),
        ("icon.svg", "<svg/>"),
    ] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

fn caching() -> Check {
    Check::new("caching", Kind::Caching { path: "/".to_owned() })
}

/// What nginx does with these lines, where it says `page` of the page and `files` of those with a hash.
async fn seen(lines: &str, page: &str, files: &str) -> CheckReport {
    let site = site();
    let says = |control: &str| match control {
        "" => String::new(),
        _ => format!("add_header Cache-Control '{control}';"),
    };
    let (page, files) = (says(page), says(files));
    let server = format!("root {};\n{lines}\n{page}\nlocation /assets/ {{ {files} }}", site.path().display());
    let nginx = Nginx::start(TYPES, &server).await;
    asked(&nginx.url, caching()).await
}

#[tokio::test]
async fn a_page_is_asked_about_and_its_files_are_kept() {
    let good = "browsers ask about the page anew, and 2 of its 3 files have a hash in their name and are kept for a year";
    check(&seen("", "no-cache", YEAR).await, Verdict::Pass, good);
    check(&seen("", "no-store", YEAR).await, Verdict::Pass, good);
    check(&seen("etag off;", "max-age=0", YEAR).await, Verdict::Pass, good);
}

#[tokio::test]
async fn what_nginx_says_by_itself_lets_browsers_guess() {
    let report = seen("", "", YEAR).await;
    check(&report, Verdict::Fail, "`/`: browsers guess how long it is good");
    assert_eq!(report.attempts.len(), 1, "time does not mend it: {report:?}");
}

#[tokio::test]
async fn a_page_that_is_kept_and_files_that_are_not_are_told() {
    let report = seen("", "max-age=600", "max-age=600").await;
    check(&report, Verdict::Fail, "`/`: browsers use it for 600 seconds without asking about it anew");
    let part = "`/assets/a-1f2e3d4c.css`, `/assets/a-5b6a7f8e.js`: is not kept for a year by `max-age=31536000, immutable` \
                (`cache-control: max-age=600`)";
    check(&report, Verdict::Fail, part);
    assert_eq!(report.outcome.cause.matches("; ").count(), 1, "{report:?}");
    // A location without lines of its own has those of the server.
    let part = "is not kept for a year by `max-age=31536000, immutable` (`cache-control: no-cache`)";
    check(&seen("", "no-cache", "").await, Verdict::Fail, part);
}

#[tokio::test]
async fn whoever_asks_whether_it_has_changed_is_told() {
    let site = site();
    let lines = format!("root {}; add_header Cache-Control no-cache;", site.path().display());
    let part = |asked: &str| {
        format!("with `{asked}` it answers with status 200, not 304, though nothing has changed")
    };
    let without_tags = Nginx::start(TYPES, &format!("{lines} etag off; if_modified_since off;")).await;
    let report = asked(&without_tags.url, caching()).await;
    check(&report, Verdict::Fail, &part("if-modified-since"));
    // A proxy that takes the question away.
    let inner = Nginx::start(TYPES, &lines).await;
    let proxy = format!("location / {{ proxy_set_header If-None-Match ''; proxy_pass {}; }}", inner.url);
    let report = asked(&Nginx::start("", &proxy).await.url, caching()).await;
    check(&report, Verdict::Fail, &part("if-none-match"));
}

/// Another page each time, as one with a number of its own in it.
async fn changing() -> Server {
    serve(|n, _| {
        let head = format!(
            "HTTP/1.1 200 x\r\ncontent-type: text/html\r\netag: \"{n}\"\r\ncache-control: no-cache\r\n"
        );
        Reply::Bytes(format!("{head}content-length: 6\r\nconnection: close\r\n\r\n<p>x\r\n").into_bytes())
    })
    .await
}

#[tokio::test]
async fn what_is_new_each_time_need_not_be_304() {
    let part = "browsers ask about the page anew, and it names no files of its host";
    check(&asked(&changing().await.url, caching()).await, Verdict::Pass, part);
}

#[tokio::test]
async fn what_is_no_page_or_names_what_is_not_there_is_told() {
    let json = serve(|_, _| answer(200, "application/json", "{}")).await;
    check(&asked(&json.url, caching()).await, Verdict::Fail, "it is `application/json` and no page");
    let site = site();
    fs::remove_file(site.path().join("icon.svg")).unwrap();
    let server = format!("root {}; add_header Cache-Control no-cache;", site.path().display());
    let nginx = Nginx::start(TYPES, &server).await;
    let report = asked(&nginx.url, caching()).await;
    check(&report, Verdict::Fail, "`/icon.svg` has status 404");
    assert_eq!(report.attempts.len(), 3, "it may come: {report:?}");
    let endless = serve(|_, head| {
        if head.starts_with("GET / ") {
            return answer(200, "text/html", PAGE);
        }
        Reply::Endless(b"HTTP/1.1 200 x\r\ncontent-type: text/css\r\n\r\n".to_vec())
    })
    .await;
    check(&asked(&endless.url, caching()).await, Verdict::Fail, "`/assets/a-5b6a7f8e.js` is `text/css`");
}
