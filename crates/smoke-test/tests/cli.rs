//! `smoke-test` as one step: inputs in; outputs, summary and exit code out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::Value;

/// A service that is ready and says that it is `1.4.0`; returns its address.
async fn shop() -> String {
    let version = || async { axum::Json(serde_json::json!({"version": "1.4.0"})) };
    serve(Router::new().route("/health", get(|| async { "ok" })).route("/version", get(version))).await
}

/// The same with a path `/limited`, which takes five requests; returns its address.
async fn limited_shop() -> String {
    let left = Arc::new(AtomicI64::new(5));
    let limited = move || {
        let is_refused = left.fetch_sub(1, Ordering::SeqCst) <= 0;
        let status = if is_refused { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::NO_CONTENT };
        async move { (status, [("retry-after", "60")]) }
    };
    serve(Router::new().route("/health", get(|| async { "ok" })).route("/limited", get(limited))).await
}

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn smoke(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smoke-test"));
    command.env_clear().current_dir(folder).args(args);
    for name in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
        let file = folder.join(name);
        std::fs::write(&file, "").unwrap();
        command.env(name, file);
    }
    command.env("GITHUB_WORKSPACE", folder);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[track_caller]
fn check(output: &Output, exit: i32, part: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{stderr}");
    assert!(stderr.contains(part), "{stderr}");
}

#[tokio::test]
async fn the_release_that_answers_is_the_one_that_was_shipped() {
    let (folder, url) = (tempfile::tempdir().unwrap(), shop().await);
    let output =
        smoke(folder.path(), &["run", "--url", &url, "--release", "v1.4.0", "--get", "/health"]).await;
    check(&output, 0, "3 of 4 checks pass, 1 only warn");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("- {security_headers: api, severity: warn}"), "{stderr}");
    let outputs = std::fs::read_to_string(folder.path().join("GITHUB_OUTPUT")).unwrap();
    assert!(outputs.contains("passed") && outputs.contains("verdict"), "{outputs}");
    let summary = std::fs::read_to_string(folder.path().join("GITHUB_STEP_SUMMARY")).unwrap();
    assert!(summary.starts_with("### Smoke test: pass"), "{summary}");
}

#[tokio::test]
async fn one_good_answer_is_enough_where_nobody_says_that_something_was_changed() {
    let (folder, url) = (tempfile::tempdir().unwrap(), shop().await);
    for (changed, ready) in [
        (&[][..], "its first answer is good"),
        (&["--release", "1.4.0"], "3 good answers in a row"),
        (&["--since", "1m"], "3 good answers in a row"),
    ] {
        let output = smoke(folder.path(), &[&["run", "--url", &url], changed].concat()).await;
        check(&output, 0, "checks pass");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let line = stdout.lines().find(|line| line.contains(" ready: ")).unwrap();
        assert!(line.contains(ready), "{changed:?}: {line}");
    }
}

#[tokio::test]
async fn a_baseline_is_not_missed_before_the_first_run_and_has_to_be_a_report() {
    let (folder, url) = (tempfile::tempdir().unwrap(), shop().await);
    let run = |file: &'static str| {
        let (folder, url) = (folder.path().to_owned(), url.clone());
        async move { smoke(&folder, &["run", "--url", &url, "--baseline", file]).await }
    };
    check(
        &run("smoke-test.json").await,
        0,
        "there is no baseline `smoke-test.json` yet, so nothing is compared",
    );
    std::fs::write(folder.path().join("smoke-test.json"), "{}").unwrap();
    check(
        &run("smoke-test.json").await,
        2,
        "`baseline`: `smoke-test.json` is no report of a run: missing field `checks`",
    );
    let found = smoke(folder.path(), &["run", "--url", &url, "--report", "out"]).await;
    check(&found, 0, "checks pass");
    check(&run("out/smoke-test.json").await, 0, "checks pass");
}

#[tokio::test]
async fn another_release_at_an_address_is_measured_at_the_same_time() {
    let (new, old) = (shop().await, shop().await);
    let folder = configured(&new, "{get: /health, expect: {p95: 1m, max_regress: 1000}}, {get: /version}");
    let baseline = old.replace("http://", "http://me:hunter2@");
    let args = ["run", "--environment", "staging", "--baseline", &baseline, "--report", "out"];
    let output = smoke(folder.path(), &args).await;
    check(&output, 0, "3 of 3 checks pass");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let told = format!("; `{old}` had ");
    assert!(stdout.contains(" and p95 is within 1000 times that of `") && stdout.contains(&told), "{stdout}");
    let summary = std::fs::read_to_string(folder.path().join("GITHUB_STEP_SUMMARY")).unwrap();
    assert!(summary.contains(" had 95 % within ") && !summary.contains("hunter2"), "{summary}");
    let json: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("out/smoke-test.json")).unwrap()).unwrap();
    assert_eq!(json["checks"][1]["measured"]["beside"]["name"], old, "{json}");
    let page = std::fs::read_to_string(folder.path().join("out/smoke-test.html")).unwrap();
    assert!(page.contains(" had 95 % within ") && !page.contains("hunter2"), "{page}");
    let output =
        smoke(folder.path(), &["run", "--environment", "staging", "--baseline", "ftp://a.example"]).await;
    check(&output, 2, "`ftp` is not http or https; give the report of a run, or an address");
}

#[tokio::test]
async fn another_release_is_a_fail_with_a_command_to_repeat_it() {
    let (folder, url) = (tempfile::tempdir().unwrap(), shop().await);
    let args = ["run", "--url", &url, "--release", "1.5.0", "--deadline", "4s", "--ready-path", "/health"];
    let output = smoke(folder.path(), &args).await;
    check(&output, 1, "it says version `1.4.0`, not `1.5.0`");
    let summary = std::fs::read_to_string(folder.path().join("GITHUB_STEP_SUMMARY")).unwrap();
    assert!(summary.contains(&format!("curl -sS -i --max-time 5 '{url}/version'")), "{summary}");
}

#[tokio::test]
async fn every_kind_is_listed_that_the_configuration_knows_and_this_version_runs() {
    let folder = tempfile::tempdir().unwrap();
    let output = smoke(folder.path(), &["--json", "checks"]).await;
    check(&output, 0, "kinds of checks");
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed = listed.as_array().unwrap();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/shipkit.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let entries = schema["$defs"]["RawCheck"]["oneOf"].as_array().unwrap();
    let mut known: Vec<_> = entries.iter().map(|entry| entry["required"][0].as_str().unwrap()).collect();
    known.push("ready");
    known.sort_unstable();
    let mut kinds: Vec<_> = listed.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, known);
    let get = listed.iter().find(|entry| entry["kind"] == "get").unwrap();
    assert_eq!(get["defaults"]["p95: requests a second"], "20");
    let plain = smoke(folder.path(), &["checks"]).await;
    let plain = String::from_utf8_lossy(&plain.stdout);
    assert!(plain.starts_with("ready             one of the paths answers well"), "{plain}");
    assert!(plain.contains("\n                    min_version: 1.2\n"), "{plain}");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let digest = format!("sha256:{}", "a".repeat(64));
    check(&smoke(folder.path(), &["run"]).await, 2, "which address");
    let output = smoke(folder.path(), &["run", "--url", "http://127.0.0.1:1", "--release", &digest]).await;
    check(&output, 2, "which repository holds it");
    check(
        &smoke(folder.path(), &["watch", "--url", "http://127.0.0.1:1", "--rate", "0"]).await,
        2,
        "rate of 0",
    );
}

/// A folder whose `staging` is this address, and is asked these checks.
fn configured(url: &str, checks: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "version: 1\nname: shop\nservices:\n  api:\n    build: {{}}\nenvironments:\n  staging:\n    branches: [main]\n    \
         url: {url}\n    smoke: [{checks}]\n"
    );
    std::fs::write(folder.path().join("shipkit.yml"), config).unwrap();
    folder
}

#[tokio::test]
async fn the_checks_of_an_environment_are_asked_with_their_lines() {
    let url = shop().await;
    let place = url.strip_prefix("http://").unwrap();
    let folder = configured(&url, &format!("{{tcp: '{place}'}}, {{redirect: /version}}"));
    let output = smoke(folder.path(), &["run", "--environment", "staging"]).await;
    check(&output, 1, "redirect /version: `http://127.0.0.1:");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains(&format!("pass         tcp {place}: `{place}` takes connections")), "{shown}");
    let summary = std::fs::read_to_string(folder.path().join("GITHUB_STEP_SUMMARY")).unwrap();
    assert!(summary.contains("status 200 is no redirect"), "{summary}");
}

#[tokio::test]
async fn tls_is_asked_only_of_https_and_that_is_told_first() {
    let folder = configured("http://127.0.0.1:1", "{tls: {hsts: true}}");
    let output = smoke(folder.path(), &["run", "--environment", "staging"]).await;
    check(&output, 2, "check `tls` asks for the TLS of `http://127.0.0.1:1/`, which is no https address");
    let folder = configured("https://127.0.0.1:1", "{tls: {}}, {tcp: 'db:5432', expect: 200}");
    let output = smoke(folder.path(), &["run", "--environment", "staging"]).await;
    check(&output, 2, "this version cannot run `expect` of `tcp`");
}

/// A name server that says of every name that it has the address 192.0.2.1, and no other.
fn name_server() -> std::net::SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut bytes).unwrap();
            let mut reply = bytes[..length].to_vec();
            reply[2] |= 0x80;
            // The kind that is asked about stands before the class, which is last.
            if reply[length - 4..length - 2] == [0, 1] {
                reply[7] = 1;
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            }
            socket.send_to(&reply, from).unwrap();
        }
    });
    address
}

#[tokio::test]
async fn name_servers_are_asked_about_the_host_of_the_url_or_another() {
    let (url, server) = (shop().await, name_server());
    let url = url.replace("127.0.0.1", "localhost");
    let checks = format!(
        "{{dns: {{resolvers: '{server}'}}}}, {{dns: {{name: shop.example, addresses: [192.0.2.2], resolvers: ['{server}']}}}}"
    );
    let folder = configured(&url, &checks);
    let output = smoke(folder.path(), &["run", "--environment", "staging"]).await;
    let bad = format!(
        "dns shop.example: `{server}`: `shop.example` has IPv4 `192.0.2.1`, and should have IPv4 `192.0.2.2`"
    );
    check(&output, 1, &bad);
    let shown = String::from_utf8_lossy(&output.stdout);
    let good = "pass         dns: `localhost` has IPv4 `192.0.2.1` and no IPv6, TTL 60s; asked: ";
    assert!(shown.contains(good), "{shown}");
    let folder = configured("http://127.0.0.1:1", "{dns: {}}");
    let output = smoke(folder.path(), &["run", "--environment", "staging"]).await;
    check(&output, 2, "check `dns` asks name servers about `127.0.0.1`, which is no name");
    let folder = configured(&url, "{dns: shop.example, expect: 200}, {dns: 'shop.example:53'}");
    let output = smoke(folder.path(), &["run", "--environment", "staging"]).await;
    check(
        &output,
        2,
        "shipkit.yml:10:53: environments.staging.smoke[1].dns: `shop.example:53` is no name of a host",
    );
}

#[tokio::test]
async fn a_watch_reports_as_json() {
    let (folder, url) = (tempfile::tempdir().unwrap(), shop().await);
    let args =
        ["--json", "watch", "--url", &url, "--rate", "50", "--duration", "1s", "--revision-path", "/version"];
    let output = smoke(folder.path(), &args).await;
    check(&output, 0, "all 50 scheduled requests answered");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["scheduled"], &report["revisions"][0]["revision"]),
        (&Value::from(50), &Value::from("1.4.0"))
    );
}

#[tokio::test]
async fn bursts_are_for_environments_that_nobody_uses() {
    let (folder, url) = (tempfile::tempdir().unwrap(), limited_shop().await);
    let config = format!(
        "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\ndefaults:\n  url: {url}\n  smoke:\n    \
         - rate_limit: /limited\n    - {{ws: /health, expect: 200}}\n\
         environments:\n  staging: {{}}\n  production: {{needs: staging}}\n"
    );
    std::fs::write(folder.path().join("shipkit.yml"), config).unwrap();
    let output = smoke(folder.path(), &["run", "--environment", "staging"]).await;
    check(&output, 0, "3 of 3 checks pass");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("rate_limit /limited: refused with 429"), "{stdout}");
    let output = smoke(folder.path(), &["run", "--environment", "production"]).await;
    check(&output, 0, "2 of 3 checks pass, 1 skipped");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("skipped      rate_limit /limited: no burst of requests is sent"), "{stdout}");
}

#[tokio::test]
async fn a_name_in_upper_case_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let args =
        ["run", "--url", "http://127.0.0.1:1", "--release", "1.4.0", "--repository", "ghcr.io/Acme/Release"];
    let sentence = "`ghcr.io/Acme/Release` has upper-case letters, which no registry takes: write `ghcr.io/acme/release`";
    check(&smoke(folder.path(), &args).await, 2, sentence);
}

#[tokio::test]
async fn prometheus_is_asked_where_the_environment_has_one() {
    let folder = configured("http://127.0.0.1:1", "{promql: up}");
    let output = smoke(folder.path(), &["run", "--environment", "staging"]).await;
    check(&output, 2, "check `promql up` asks Prometheus, and no address of it is known");
}
