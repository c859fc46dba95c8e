//! The client against a registry in memory that fails as told, and against Debian's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod auth;
mod content;
mod copied_evidence;
mod copy;
mod copy_faults;
mod evidence;
mod faults;
mod layout;
mod pieces;
mod real;
mod releases;
mod tag_list;

use std::time::Duration;

use serde_json::json;
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::{Digest, Repository, Verdict};
use shipkit_registry::{Credentials, Login, Options, Registry, Target};
use shipkit_tests::server::registry::{self as server, PASSWORD, USERNAME};

fn anonymous() -> Registry {
    Registry::new(Credentials::default()).unwrap()
}

fn logged_in(host: &str) -> Registry {
    let login = Login { registry: host.to_owned(), username: USERNAME.to_owned(), password: PASSWORD.into() };
    Registry::new(Credentials::default().and(login)).unwrap()
}

fn with(options: Options) -> Registry {
    Registry::with(Credentials::default(), options).unwrap()
}

fn repository(server: &server::Registry, name: &str) -> Repository {
    format!("{}/{name}", server.host()).parse().unwrap()
}

fn seed(server: &server::Registry, name: &str) -> Digest {
    server.seed_image(name, &json!({"os": "linux", "architecture": "amd64"}), &[b"layer"])
}

fn by_digest(digest: &Digest) -> Target {
    Target::Digest(digest.clone())
}

fn record(kind: Kind, environment: Option<&str>, second: usize) -> Record {
    Record {
        kind,
        verdict: Verdict::Pass,
        cause: format!("written by {second}"),
        environment: environment.map(str::to_owned),
        time: format!("2026-01-02T03:04:{second:02}Z").parse().unwrap(),
        by: "test 1".to_owned(),
        run: None,
        details: json!(null),
    }
}

fn impatient() -> Options {
    Options { idle: Duration::from_secs(1), ..Options::default() }
}
