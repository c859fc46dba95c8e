//! `Bench`: a working folder, and the real binary run in it as one step of a workflow.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::{Digest, Repository};
use shipkit_registry::Credentials;
use tempfile::TempDir;

pub(crate) struct Bench {
    folder: TempDir,
}

/// What a step left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) outputs: Vec<(String, String)>,
    pub(crate) summary: String,
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

    /// One step with these variables, `INPUT_...` among them, in a scrubbed environment.
    pub(crate) fn step(&self, vars: &[(&str, &str)]) -> Done {
        let files = tempfile::tempdir().unwrap();
        let (output, summary) = (files.path().join("output"), files.path().join("summary"));
        std::fs::write(&output, "").unwrap();
        std::fs::write(&summary, "").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-scan"));
        command.env_clear().env("GITHUB_ACTIONS", "true").env("SHIPKIT_NOW", "2026-05-06T07:08:09Z");
        command.env("GITHUB_OUTPUT", &output).env("GITHUB_STEP_SUMMARY", &summary).env("GITHUB_RUN_ID", "7");
        command.envs(vars.iter().copied()).current_dir(self.path()).stdin(Stdio::null());
        let done = command.output().unwrap();
        Done {
            exit: done.status.code(),
            stdout: String::from_utf8(done.stdout).unwrap(),
            stderr: String::from_utf8(done.stderr).unwrap(),
            outputs: outputs(&std::fs::read_to_string(output).unwrap()),
            summary: std::fs::read_to_string(summary).unwrap(),
        }
    }
}

impl Done {
    #[track_caller]
    pub(crate) fn output(&self, name: &str) -> &str {
        let found = self.outputs.iter().find(|(output, _)| output == name);
        found.map_or_else(|| panic!("no output `{name}`: {self:#?}"), |(_, value)| value)
    }

    /// That it ended so, and that a sentence holds this.
    #[track_caller]
    pub(crate) fn check(&self, exit: i32, sentence: &str) {
        assert_eq!(self.exit, Some(exit), "{self:#?}");
        assert!(self.stderr.contains(sentence), "`{sentence}` is not in {self:#?}");
    }
}

fn outputs(file: &str) -> Vec<(String, String)> {
    let mut outputs = Vec::new();
    let mut lines = file.lines();
    while let Some((name, delimiter)) = lines.next().and_then(|line| line.split_once("<<")) {
        let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        outputs.push((name.to_owned(), value.join("\n")));
    }
    outputs
}

/// The scan records at a digest, as anybody reads them.
pub(crate) fn scans(host: &str, name: &str, digest: &Digest) -> Vec<Record> {
    let repository: Repository = format!("{host}/{name}").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = shipkit_registry::Registry::new(Credentials::default()).unwrap();
    runtime.block_on(client.evidence(&repository, digest, &[(Kind::Scan, None)])).unwrap().records
}

/// The configuration of an image that breaks no rule.
pub(crate) fn good() -> Value {
    json!({"os": "linux", "architecture": "amd64",
        "config": {"User": "app", "Healthcheck": {"Test": ["CMD", "/check"]},
            "Labels": {"org.opencontainers.image.base.name": "debian:12"}}})
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
