//! The page in a real browser: it fits, it can be read, and it asks nobody for anything.

use std::path::Path;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use crate::browser::Page;
use crate::fixture::{run, shop, step};

/// Looks at the page as a phone and a desk show it, in light and in dark; gives what was seen last.
async fn looked_at(page: &mut Page, file: &Path, charts: usize) -> Value {
    let mut last = Value::Null;
    for (width, scheme) in [(360, "dark"), (360, "light"), (1280, "dark"), (1280, "light")] {
        page.show(file, width, scheme).await;
        // What is folded must fit as well.
        page.eval("document.querySelectorAll('details').forEach((e) => { e.open = true; })").await;
        let seen = page.eval(include_str!("page.js")).await;
        for wrong in ["outside", "cut", "pale", "faint", "small", "mute", "cells"] {
            assert_eq!(seen[wrong], json!([]), "{wrong} at {width} in {scheme}");
        }
        assert_eq!(
            (&seen["scripts"], &seen["images"], &seen["dark"]),
            (&json!(0), &json!(0), &json!(scheme == "dark"))
        );
        let pictures = seen["charts"].as_array().unwrap();
        assert_eq!(pictures.len(), charts, "{pictures:?}");
        for picture in pictures {
            let at = |n: usize| picture[n].as_f64().unwrap();
            assert!(200.0 < at(0) && 10.0 < at(1) && 1.0 < at(2), "{picture}");
        }
        let headings: Vec<i64> =
            seen["headings"].as_array().unwrap().iter().filter_map(Value::as_i64).collect();
        assert_eq!(headings.first(), Some(&1));
        assert!(headings.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{headings:?}");
        for kind in ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"] {
            assert_eq!(page.events(kind), Vec::<&Value>::new());
        }
        let own = json!(format!("file://{}", file.display()));
        let asked: Vec<&Value> =
            page.events("Network.requestWillBeSent").iter().map(|sent| &sent["request"]["url"]).collect();
        assert_eq!(asked, [&own]);
        keep(page, file, width, scheme).await;
        last = seen;
    }
    last
}

/// For people who want to look themselves: `PICTURES` names a folder.
async fn keep(page: &mut Page, file: &Path, width: u32, scheme: &str) {
    let Some(folder) = std::env::var_os("PICTURES") else { return };
    let name = format!(
        "{}-{width}-{scheme}.png.base64",
        if file.to_string_lossy().contains("watch") { "watch" } else { "run" }
    );
    std::fs::write(Path::new(&folder).join(name), page.picture().await).unwrap();
}

#[tokio::test]
async fn the_page_of_a_run_is_whole_in_a_browser() {
    let checks = [
        "release: /version",
        "get: /flaky",
        "{get: /broken, retries: 2}",
        "{get: /hostile, expect: {json: {said: ok}}}",
        "{get: /long, expect: {json: {said: ok}}}",
        "{get: /items, expect: {p95: 500ms}}",
        "{get: /limited, expect: {p95: 500ms}}",
        "rate_limit: /items",
    ];
    let url = format!("http://{}", shop().await);
    let step = run(&url, &checks, &["--release", "1.4.0", "--report", "out"], &[]).await.ends_with(1);
    let file = step.folder.path().join("out/smoke-test.html");
    let mut page = Page::open().await;
    // The strips of the eight checks that were asked, and the curve of one: the other was measured once.
    let seen = looked_at(&mut page, &file, 9).await;
    let text = seen["text"].as_str().unwrap();
    for part in [
        "Smoke test: fail",
        "</td><script>alert(1)</script>",
        "curl -sS -i --max-time 5",
        "after a retry",
        "Times of answers",
        "before them 20 that are not judged",
        "First byte",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(step.output("p95-ms").unwrap().parse::<u64>().is_ok());
    let summary = step.file("GITHUB_STEP_SUMMARY");
    assert!(summary.contains("```mermaid\nxychart-beta\n"), "{summary}");
    assert!(summary.contains("| Name | Connection | TLS | First byte | Rest |"), "{summary}");
    let curve = step.json()["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|check| check["measured"]["curveMs"].as_array().cloned());
    assert_eq!(curve.unwrap().len(), 200);
}

#[tokio::test]
async fn the_page_of_a_watch_is_whole_in_a_browser_and_lets_no_request_out() {
    let url = format!("http://{}", shop().await);
    let args = [
        "watch",
        "--url",
        &url,
        "--rate",
        "50",
        "--duration",
        "2s",
        "--revision-path",
        "/rolling",
        "--report",
        "watch",
    ];
    let step = step("", &args, &[]).await.ends_with(1);
    let mut page = Page::open().await;
    let seen = looked_at(&mut page, &step.folder.path().join("watch/smoke-test.html"), 2).await;
    let text = seen["text"].as_str().unwrap();
    for part in [
        "Watch: fail",
        "Rollout window",
        "1.3.0",
        "1.4.0",
        "status 502",
        "The longest time without a good answer was",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // Even if something got into the page that asks for more.
    let trap = serve_picture().await;
    let fetched = page
        .eval(&format!("new Promise((done) => {{ const i = new Image(); i.onload = () => done('fetched'); i.onerror = () => done('refused'); i.src = 'http://{trap}/'; }})"))
        .await;
    assert_eq!(fetched, "refused");
    let told = page.events("Log.entryAdded");
    assert!(
        told.iter().any(|told| told["entry"]["text"].as_str().unwrap().contains("Content Security Policy")),
        "{told:?}"
    );
}

/// A picture that any page may fetch.
async fn serve_picture() -> String {
    let svg = "<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>";
    let app =
        Router::new().route("/", get(move || async move { ([("content-type", "image/svg+xml")], svg) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    place
}
