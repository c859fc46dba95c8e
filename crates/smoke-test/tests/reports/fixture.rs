//! A service with good, bad, slow and hostile answers, and the step that asks it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a service says that wants to be more than text.
pub(crate) const HOSTILE: &str = "</td><script>alert(1)</script><img src=x onerror=alert(2)> \" ' & ##[error]x\n::error::y \u{ffff}\u{1b}[31m";

/// A service; gives its address as `host:port`.
pub(crate) async fn shop() -> String {
    let asked = Arc::new(AtomicUsize::new(0));
    let flaky = move || {
        let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if is_first { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK } }
    };
    let calls = Arc::new(AtomicUsize::new(0));
    // One revision after the other.
    let rolling = move || {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            match call {
                0..20 => Ok(axum::Json(json!({"version": "1.3.0"}))),
                20..24 => Err(StatusCode::BAD_GATEWAY),
                _ => Ok(axum::Json(json!({"version": "1.4.0"}))),
            }
        }
    };
    let app = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/version", get(|| async { axum::Json(json!({"version": "1.4.0"})) }))
        .route("/items", get(|| async { "[]" }))
        .route("/flaky", get(flaky))
        .route("/rolling", get(rolling))
        .route("/long", get(|| async { axum::Json(json!({ "said": "x".repeat(90) })) }))
        .route("/hostile", get(|| async { axum::Json(json!({ "said": HOSTILE })) }))
        .route("/limited", get(|| async { ([("ratelimit-remaining", "3")], "ok") }))
        .route("/broken", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route(
            "/echo",
            get(|headers: HeaderMap| async move {
                let said = password(&headers);
                axum::Json(json!({ "said": said, "version": said }))
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    place
}

/// What came as a password, in every spelling that a service may answer with.
fn password(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
    let digit = |c: u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|d| *d == c)
    };
    let bits =
        value.bytes().filter_map(digit).fold((Vec::new(), 0_usize, 0), |(mut bytes, bits, count), digit| {
            let (bits, count) = ((bits << 6 | digit) & 0xffff, count + 6);
            if count < 8 {
                return (bytes, bits, count);
            }
            bytes.push(u8::try_from(bits >> (count - 8) & 0xff).unwrap());
            (bytes, bits, count - 8)
        });
    let login = String::from_utf8(bits.0).ok()?;
    Some(login.split_once(':')?.1.to_owned())
}

/// A step, in a folder of its own.
pub(crate) struct Step {
    pub(crate) folder: TempDir,
    pub(crate) ended: Output,
}

/// The checks of `staging`, one a line, at this address.
pub(crate) async fn run(url: &str, checks: &[&str], args: &[&str], env: &[(&str, &str)]) -> Step {
    let lines: Vec<String> = checks.iter().map(|check| format!("      - {check}\n")).collect();
    let config = format!(
        "version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\nenvironments:\n  staging:\n    branches: [main]\n    \
         url: {url}\n    smoke:\n{}",
        lines.concat()
    );
    let args = [&["run", "--environment", "staging", "--ready-path", "/health"], args].concat();
    step(&config, &args, env).await
}

/// A step with this configuration.
pub(crate) async fn step(config: &str, args: &[&str], env: &[(&str, &str)]) -> Step {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shipkit.yml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_smoke-test"));
    command.env_clear().current_dir(folder.path()).args(args).env("GITHUB_WORKSPACE", folder.path());
    command.envs(env.iter().copied());
    for name in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
        let file = folder.path().join(name);
        std::fs::write(&file, "").unwrap();
        command.env(name, file);
    }
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    Step { folder, ended }
}

impl Step {
    #[track_caller]
    pub(crate) fn ends_with(self, exit: i32) -> Self {
        assert_eq!(self.ended.status.code(), Some(exit), "{}", self.stderr());
        self
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.ended.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.ended.stderr.clone()).unwrap()
    }

    #[track_caller]
    pub(crate) fn file(&self, name: impl AsRef<Path>) -> String {
        let path = self.folder.path().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.file("out/smoke-test.json")).unwrap()
    }

    /// The value of an output, without the line end.
    pub(crate) fn output(&self, name: &str) -> Option<String> {
        let text = self.file("GITHUB_OUTPUT");
        let (_, rest) = text.split_once(&format!("{name}<<"))?;
        let (delimiter, rest) = rest.split_once('\n')?;
        Some(rest.split_once(delimiter)?.0.trim_end_matches('\n').to_owned())
    }
}
