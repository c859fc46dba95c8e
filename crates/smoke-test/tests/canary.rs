//! What the environment gives to checks, and what they capture, stands in nothing that `smoke-test run` writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::path::Path;
use std::process::{Command, Output};

use axum::http::{HeaderMap, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

const PASSWORD: &str = "canary-from-the-environment";
const TOKEN: &str = "canary that was captured/\"1\"";

/// A service that says again what it is sent, to who has logged in; returns its address.
async fn parrot() -> String {
    let login = |Json(body): Json<Value>| async move {
        assert_eq!(body["password"], PASSWORD);
        Json(json!({"token": TOKEN, "you_said": body}))
    };
    let echo = |uri: Uri, headers: HeaderMap| async move {
        let headers: Vec<_> = headers.values().map(|value| value.to_str().unwrap().to_owned()).collect();
        let body = json!({"uri": uri.to_string(), "headers": headers, "token": TOKEN, "long": format!("{}{TOKEN}", "x".repeat(90))});
        ([("location", TOKEN)], Json(body))
    };
    let app = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/login", post(login))
        .route("/echo/{*rest}", get(echo));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// A folder with these checks for an environment at this address.
fn folder(url: &str, checks: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nenvironments:\n  production:\n    url: {url}\n    smoke:\n{checks}"
    );
    std::fs::write(folder.path().join("shipkit.yml"), config).unwrap();
    folder
}

async fn smoke(folder: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smoke-test"));
    command.env_clear().current_dir(folder).args(args).envs(environment.iter().copied());
    for name in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
        let file = folder.join(name);
        std::fs::write(&file, "").unwrap();
        command.env(name, file);
    }
    command.env("GITHUB_WORKSPACE", folder);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Everything that was written, but for the lines that tell the runner what to mask, and these.
fn written(folder: &Path, output: &Output) -> (String, Vec<String>) {
    let mut all = String::new();
    let mut masks = Vec::new();
    let reports = ["json", "xml", "html"].map(|kind| format!("reports/smoke-test.{kind}"));
    let names = ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"].map(str::to_owned).into_iter().chain(reports);
    let files: Vec<_> = names.map(|name| std::fs::read(folder.join(name)).unwrap()).collect();
    for text in files.iter().chain([&output.stdout, &output.stderr]) {
        for line in String::from_utf8_lossy(text).lines() {
            match line.strip_prefix("::add-mask::") {
                Some(mask) => masks.push(mask.to_owned()),
                None => all.extend([line, "\n"]),
            }
        }
    }
    (all, masks)
}

const CHECKS: &str = "
      - {name: login, post: /login, body: {password: '${PASSWORD}'}, writes: true, capture: {token: $.token}}
      - name: good
        get: /echo/${token}
        send: {Authorization: 'Bearer ${token}', X-Password: '${PASSWORD}'}
        expect: {json: {token: '${token}'}}
      - name: bad
        get: /echo/${token}?password=${PASSWORD}
        send: {Authorization: 'Bearer ${token}'}
        headers: {location: 'x${token}'}
        expect: {json: {uri: '${PASSWORD}', long: '${token}', headers: '${token}'}, body: 'no ${PASSWORD}'}
";

#[tokio::test]
async fn nothing_that_is_written_holds_a_secret() {
    let url = parrot().await;
    let folder = folder(&url, CHECKS);
    for (args, actions) in [
        (&["run", "--environment", "production", "--report", "reports"][..], "true"),
        (&["--json", "run", "--environment", "production", "--report", "reports"][..], ""),
    ] {
        let environment = [("PASSWORD", PASSWORD), ("SHIPKIT_LOG", "trace"), ("GITHUB_ACTIONS", actions)];
        let output = smoke(folder.path(), args, &environment).await;
        let (all, masks) = written(folder.path(), &output);
        assert_eq!(output.status.code(), Some(1), "{all}");
        assert!(all.contains("login") && all.contains("/echo/${token}"), "{all}");
        assert!(all.contains("`token` is") || all.contains("`long` is"), "the bad check says why: {all}");
        for part in ["canary", "was captured", "was%20captured", "from-the-environment"] {
            assert!(!all.contains(part), "{part}: {all}");
        }
        let expected = if actions.is_empty() { vec![] } else { vec![PASSWORD, TOKEN] };
        assert_eq!(masks, expected);
    }
}

#[tokio::test]
async fn a_variable_that_nobody_knows_is_exit_2_with_its_line() {
    let folder = folder("http://127.0.0.1:1", CHECKS);
    let output = smoke(folder.path(), &["run", "--environment", "production"], &[]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let sentence =
        "check `login` (line 9) uses `${PASSWORD}`, which no check captures and no environment variable has";
    assert!(
        stderr.contains(sentence) && stderr.contains("set the environment variable `PASSWORD`"),
        "{stderr}"
    );
}
