//! Checks that run a program: a command of the project, and an installed `hurl`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::timeout;

const SECRET: &str = "canary-of-the-step";

/// A service that is ready; returns its address.
async fn shop() -> String {
    let app = Router::new()
        .fallback(get(|| async { axum::Json(serde_json::json!({"id": 7, "version": "1.4.0"})) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// A folder below which `shop/shipkit.yml` has these checks.
fn configured(url: &str, checks: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("shop")).unwrap();
    let config = format!(
        "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nenvironments:\n  staging:\n    url: {url}\n    smoke:\n{checks}"
    );
    std::fs::write(folder.path().join("shop/shipkit.yml"), config).unwrap();
    folder
}

fn smoke(folder: &Path, path: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smoke-test"));
    command.env_clear().current_dir(folder).env("GITHUB_WORKSPACE", folder).env("PATH", path);
    command.env("CANARY", SECRET).env("HURL_VARIABLE_seven", "7");
    command.args(["run", "--environment", "staging", "--config", "shop/shipkit.yml", "--report", "report"]);
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[track_caller]
fn check(output: &Output, exit: i32, parts: &[&str]) {
    let all =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{all}");
    for part in parts {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(!all.contains(SECRET), "{all}");
}

fn path() -> String {
    std::env::var("PATH").unwrap()
}

#[tokio::test]
async fn a_command_runs_beside_the_configuration_and_knows_what_is_asked() {
    let url = shop().await;
    let checks = "      - run: test -f shipkit.yml && test \"$SHIPKIT_URL\" = \"$(cat url)\" && test \"$SHIPKIT_RELEASE\" = 1.4.0\n        writes: true\n";
    let folder = configured(&url, checks);
    std::fs::write(folder.path().join("shop/url"), &url).unwrap();
    let mut command = smoke(folder.path(), &path());
    command.args(["--release", "1.4.0"]);
    check(&output(command).await, 0, &["pass         run test -f shipkit.yml", "it ended well"]);
}

#[tokio::test]
async fn a_command_that_fails_shows_its_last_lines_without_secrets() {
    let url = shop().await;
    let checks = "      - {get: /a, send: {X-Key: \"${CANARY}\"}}\n      - run: seq 1 3000; echo \"it is $CANARY\" >&2; exit 3\n        writes: true\n";
    let folder = configured(&url, checks);
    let ended = output(smoke(folder.path(), &path())).await;
    check(&ended, 1, &["exit status: 3", "it is ***"]);
    let report = std::fs::read_to_string(folder.path().join("report/smoke-test.json")).unwrap();
    assert!(report.contains("it is ***") && !report.contains(SECRET), "{report}");
    assert!(!report.contains("\\n2000\\n") && report.len() < 8_000, "{report}");
    // Nobody knows what a command does when it is run twice.
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["checks"][2]["attempts"].as_array().unwrap().len(), 1, "{report}");
}

/// A command that says that it has begun, and leaves something behind that says more later, if it lives that long.
const LEAVES: &str = "(echo begun; sleep 120; echo survived) > fifo & wait";

/// More than anything here takes.
const LONG: Duration = Duration::from_mins(1);

/// Both ends of what `LEAVES` writes into, so that the command need not wait for us.
fn fifo(folder: &Path) -> (pipe::Receiver, PathBuf) {
    let path = folder.join("shop/fifo");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    (pipe::OpenOptions::new().read_write(true).open_receiver(&path).unwrap(), path)
}

/// Waits until the command has begun, runs `end`, and then waits until nobody is left who could write.
async fn check_ended(from: (pipe::Receiver, PathBuf), end: impl Future) {
    let (mut both, path) = from;
    let mut begun = [0; 6];
    timeout(LONG, both.read_exact(&mut begun)).await.expect("the command has not begun").unwrap();
    assert_eq!(&begun, b"begun\n");
    let mut rest = pipe::OpenOptions::new().open_receiver(path).unwrap();
    drop(both);
    end.await;
    let mut said = String::new();
    timeout(LONG, rest.read_to_string(&mut said)).await.expect("somebody is left").unwrap();
    assert_eq!(said, "");
}

#[tokio::test]
async fn what_a_command_has_started_ends_with_its_time() {
    let folder = configured(
        &shop().await,
        &format!("      - {{run: \"{LEAVES}\", writes: true, expect: {{within: 2s}}}}\n"),
    );
    let from = fifo(folder.path());
    let run = tokio::spawn(output(smoke(folder.path(), &path())));
    check_ended(from, async { check(&run.await.unwrap(), 1, &["it did not end within 2"]) }).await;
}

#[tokio::test]
async fn what_a_command_has_started_ends_with_the_run() {
    let folder = configured(&shop().await, &format!("      - {{run: \"{LEAVES}\", writes: true}}\n"));
    let from = fifo(folder.path());
    let mut command = smoke(folder.path(), &path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    check_ended(from, async {
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert!(!child.wait().unwrap().success());
    })
    .await;
}

#[tokio::test]
async fn without_a_shell_and_without_hurl_nothing_is_asked() {
    for (entry, program) in [("run: \"true\"", "sh"), ("hurl: \"*.hurl\"", "hurl")] {
        let folder = configured("http://127.0.0.1:1", &format!("      - {{{entry}, writes: true}}\n"));
        let empty = tempfile::tempdir().unwrap();
        let ended = output(smoke(folder.path(), empty.path().to_str().unwrap())).await;
        let sentence = format!("needs `{program}`, which is not here");
        check(&ended, 2, &[&sentence, "run it on the host"]);
    }
}

#[tokio::test]
async fn files_of_hurl_are_run_by_hurl_and_failures_have_file_and_line() {
    let program = std::env::var_os("HURL_PROGRAM").expect("`scripts/bed up hurl` says where it is");
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(program, bin.path().join("hurl")).unwrap();
    let path = format!("{}:{}", bin.path().display(), path());
    let url = shop().await;
    let folder = configured(
        &url,
        "      - {hurl: tests/*.hurl, writes: true}\n      - {hurl: [good.hurl], name: good, writes: true}\n",
    );
    let tests = folder.path().join("shop/tests");
    std::fs::create_dir(&tests).unwrap();
    let good = "GET {{url}}/a\nHTTP 200\n[Asserts]\njsonpath \"$.id\" == {{seven}}\n";
    std::fs::write(folder.path().join("shop/good.hurl"), good).unwrap();
    std::fs::write(tests.join("one.hurl"), good).unwrap();
    let ended = output(smoke(folder.path(), &path)).await;
    check(
        &ended,
        0,
        &["pass         hurl tests/*.hurl: 1 files with 1 requests", "pass         good: 1 files"],
    );
    std::fs::write(tests.join("two.hurl"), good.replace("{{seven}}", "8")).unwrap();
    let ended = output(smoke(folder.path(), &path)).await;
    check(
        &ended,
        1,
        &["fail         hurl tests/*.hurl: `tests/two.hurl:4`: Assert failure", "pass         good"],
    );
    std::fs::write(tests.join("two.hurl"), "GET {{url").unwrap();
    check(
        &output(smoke(folder.path(), &path)).await,
        1,
        &["fail         hurl tests/*.hurl: it ended with exit status: 2", "expecting '}}'"],
    );
}
