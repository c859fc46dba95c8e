//! A chat service with its data in a real `PostgreSQL` is asked in all of its six operations, as somebody who registers, logs in, opens a
//! room and writes there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod server;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;
use server::{Fault, serve};
use shipkit_tests::container::docker;
use shipkit_tests::soon;
use tempfile::TempDir;
use tokio_postgres::NoTls;

const PASSWORD: &str = "canary-for-the-chat";

/// A `PostgreSQL` in a container; it ends with this.
struct Database {
    container: String,
    address: String,
    _folder: TempDir,
}

impl Database {
    fn start() -> Self {
        let registry = std::env::var("REGISTRY").expect("`scripts/bed up` starts it");
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("password");
        fs::write(&secret, "of-the-database").unwrap();
        let mount = format!("{}:/password:ro", secret.display());
        let container = docker(&[
            "run",
            "--detach",
            "--publish",
            "127.0.0.1::5432",
            "--volume",
            &mount,
            "--env",
            "POSTGRES_PASSWORD_FILE=/password",
            &format!("{registry}/shop-base/postgres:15"),
        ]);
        let place = docker(&["port", &container, "5432/tcp"]);
        let (host, port) = place.rsplit_once(':').unwrap();
        let address = format!("host={host} port={port} user=postgres password=of-the-database");
        let database = Self { container, address, _folder: folder };
        let is_ready = || {
            let mut asked = Command::new("docker");
            asked.args(["exec", &database.container, "pg_isready", "--quiet", "--host=127.0.0.1"]);
            asked.status().unwrap().success()
        };
        soon("PostgreSQL does not answer", is_ready);
        database
    }

    /// An empty database of this name.
    async fn make(&self, name: &str) -> String {
        let (client, connection) = tokio_postgres::connect(&self.address, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        format!("{} dbname={name}", self.address)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.container]);
    }
}

/// How a run ended: its exit code, and verdict and cause of each check.
struct Run {
    exit: Option<i32>,
    checks: BTreeMap<String, (String, String)>,
    all: String,
}

impl Run {
    /// The names of those that did not pass, with how they ended.
    fn bad(&self) -> Vec<(&str, &str)> {
        let bad = self.checks.iter().filter(|(_, (verdict, _))| verdict != "pass");
        bad.map(|(name, (verdict, _))| (name.as_str(), verdict.as_str())).collect()
    }
}

async fn smoke(url: &str, run: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let config = include_str!("shipkit.yml").replace("url: URL", &format!("url: {url}"));
    fs::write(folder.path().join("shipkit.yml"), config).unwrap();
    fs::write(folder.path().join("openapi.yaml"), include_str!("openapi.yaml")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_smoke-test"));
    command.env_clear().current_dir(&folder).args([
        "--json",
        "run",
        "--environment",
        "staging",
        "--deadline",
        "10s",
    ]);
    command.env("RUN", run).env("SMOKE_PASSWORD", PASSWORD);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let [said, log] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{log}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    let checks = checks
        .map(|check| {
            (text(&check["name"]), (text(&check["outcome"]["verdict"]), text(&check["outcome"]["cause"])))
        })
        .collect();
    Run { exit: output.status.code(), checks, all: format!("{said}{log}") }
}

#[tokio::test]
async fn all_operations_are_asked_and_faults_are_found() {
    let database = Database::start();

    let good = serve(&database.make("good").await, Fault::None).await;
    for run in ["one", "two"] {
        let run = smoke(&good, run).await;
        assert_eq!((run.exit, run.bad()), (Some(0), vec![]), "{}", run.all);
        assert!(!run.all.contains(PASSWORD), "{}", run.all);
    }
    let again = smoke(&good, "one").await;
    assert_eq!(again.exit, Some(1), "{}", again.all);
    assert_eq!(again.checks["register"].0, "fail", "{}", again.all);
    assert_eq!(again.checks["read"], ("skipped".to_owned(), "needs `login`".to_owned()), "{}", again.all);

    let faults = [
        (Fault::OpenToAll, vec![("rooms without login", "fail")]),
        (Fault::AnyPassword, vec![("wrong password", "fail")]),
        (Fault::OtherShape, vec![("openapi openapi.yaml", "fail"), ("read", "fail")]),
    ];
    for (fault, bad) in faults {
        let url = serve(&database.make(&format!("{fault:?}").to_lowercase()).await, fault).await;
        let run = smoke(&url, "run").await;
        assert_eq!((run.exit, run.bad()), (Some(1), bad), "{fault:?}: {}", run.all);
    }

    let says_ready = serve(&database.make("says_ready").await, Fault::SaysReady).await;
    docker(&["stop", "--time", "10", &database.container]);
    let run = smoke(&good, "three").await;
    assert_eq!(run.checks["ready"].0, "fail", "{}", run.all);
    assert!(run.checks["ready"].1.contains("503"), "{}", run.all);
    assert_eq!(run.checks["register"].0, "skipped", "{}", run.all);
    let run = smoke(&says_ready, "three").await;
    assert_eq!(run.checks["ready"].0, "pass", "{}", run.all);
    assert_eq!(run.checks["register"].0, "fail", "{}", run.all);
    assert_eq!(run.checks["login"], ("skipped".to_owned(), "needs `register`".to_owned()), "{}", run.all);
}
