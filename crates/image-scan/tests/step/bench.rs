//! `Bench`: a working folder, and the real binary run in it as one step of a workflow.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::{Digest, Repository};
use shipkit_registry::Credentials;
use shipkit_tests::step::{Done, Files};
use tempfile::TempDir;

pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn with_config(config: &str) -> Self {
        let bench = Self::new();
        let environments =
            "environments: {staging: {branches: [main], target: {type: swarm, files: [c.yml]}}}";
        bench.write("shipkit.yml", format!("version: 1\nname: shop\n{config}\n{environments}\n"));
        bench
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// The program with these words and variables, as a step of somebody's own has it.
    pub(crate) fn run(&self, words: &[&str], vars: &[(&str, &str)]) -> Done {
        let files = Files::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-scan"));
        files.step(&mut command, [("SHIPKIT_NOW", "2026-05-06T07:08:09Z")]);
        command.args(words).envs(vars.iter().copied()).current_dir(self.path()).stdin(Stdio::null());
        files.done(command.output().unwrap())
    }

    /// One step with these variables, `INPUT_...` among them, in a scrubbed environment.
    pub(crate) fn step(&self, vars: &[(&str, &str)]) -> Done {
        let files = Files::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-scan"));
        files.step(&mut command, [("SHIPKIT_NOW", "2026-05-06T07:08:09Z"), ("GITHUB_RUN_ID", "7")]);
        command.envs(vars.iter().copied()).current_dir(self.path()).stdin(Stdio::null());
        files.done(command.output().unwrap())
    }
}

/// The scan records at a digest, as anybody reads them.
pub(crate) fn scans(host: &str, name: &str, digest: &Digest) -> Vec<Record> {
    records(host, name, digest, Kind::Scan)
}

/// The records of one kind at a digest, as anybody reads them.
pub(crate) fn records(host: &str, name: &str, digest: &Digest, kind: Kind) -> Vec<Record> {
    let repository: Repository = format!("{host}/{name}").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = shipkit_registry::Registry::new(Credentials::default()).unwrap();
    let found = runtime.block_on(client.evidence(&repository, digest, &[(kind, None)])).unwrap().records;
    found.into_iter().filter(|record| record.kind == kind).collect()
}

/// The configuration of an image that breaks no rule.
pub(crate) fn good() -> Value {
    json!({"os": "linux", "architecture": "amd64",
        "config": {"User": "app", "Healthcheck": {"Test": ["CMD", "/check"]},
            "Labels": {"org.opencontainers.image.base.name": "debian:12"}}})
}

/// The same of an image with these layers.
pub(crate) fn of_layers(config: &Value, layers: &[&[u8]]) -> Value {
    let mut config = config.clone();
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    config
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
