//! `Victim`: a folder with an image in a layout, and the real binary that looks at it with little memory and little time.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_tests::step::{Done, Files};
use tempfile::TempDir;

use crate::tars::gzip;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Enough for every attack that is refused early.
const LITTLE: u64 = 256 << 20;
/// Seconds of a processor: a build for tests is twenty times as slow as what is published, and must not fail on a machine that is busy.
const SECONDS: u64 = 200;

/// What is attacked.
pub(crate) struct Victim {
    folder: TempDir,
    layers: Vec<Value>,
    diff_ids: Vec<Digest>,
    memory: u64,
}

impl Victim {
    pub(crate) fn new() -> Self {
        let victim = Self {
            folder: tempfile::tempdir().unwrap(),
            layers: Vec::new(),
            diff_ids: Vec::new(),
            memory: LITTLE,
        };
        victim.write("layout/oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#);
        victim
    }

    /// With advisories about some package of each ecosystem, so that the packages of the image matter.
    pub(crate) fn with_advisories() -> Self {
        let victim = Self::new();
        victim.configure("advisories: advisories");
        for ecosystem in ["Debian:12", "Alpine:v3.21", "npm", "PyPI", "Go", "crates.io", "Maven"] {
            victim.advise(ecosystem, "some", &json!([{"introduced": "0"}, {"fixed": "1"}]));
        }
        victim
    }

    /// With these words of `scan.image`.
    pub(crate) fn configure(&self, image: &str) {
        let environments =
            "environments: {staging: {branches: [main], target: {type: swarm, files: [c.yml]}}}";
        let scan = format!("scan: {{image: {{{image}}}}}");
        let config =
            format!("version: 1\nname: shop\nservices: {{api: {{build: {{}}}}}}\n{scan}\n{environments}\n");
        self.write("shipkit.yml", config);
    }

    /// Adds a record of OSV about a package.
    pub(crate) fn advise(&self, ecosystem: &str, name: &str, events: &Value) {
        let affected = json!({"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]});
        let record = json!({"id": format!("X-{name:.20}"), "modified": "2026-05-01T00:00:00Z", "affected": [affected],
            "database_specific": {"severity": "HIGH"}});
        let family = ecosystem.split(':').next().unwrap();
        self.write(&format!("advisories/{family}/{name:.20}.json"), record.to_string());
    }

    /// With so much memory.
    pub(crate) fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Stores a blob, and gives what points at it.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        self.write(&format!("layout/blobs/sha256/{}", digest.hex()), bytes);
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Adds a layer of this tar.
    pub(crate) fn layer(self, tar: &[u8]) -> Self {
        let digest = Digest::of(tar);
        self.packed(GZIP, &gzip(tar), digest)
    }

    /// Adds a layer that is packed already, and unpacks to what has this digest.
    pub(crate) fn packed(mut self, media_type: &str, bytes: &[u8], diff_id: Digest) -> Self {
        let layer = self.blob(media_type, bytes);
        self.layers.push(layer);
        self.diff_ids.push(diff_id);
        self
    }

    /// The configuration of an image of these layers that breaks no rule.
    pub(crate) fn config(&self) -> Value {
        json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
            "config": {"User": "app", "Healthcheck": {"Test": ["CMD", "/check"]},
                "Labels": {"org.opencontainers.image.base.name": "debian:12"}}})
    }

    /// The manifest of these layers.
    pub(crate) fn manifest(&self) -> Value {
        let config = self.blob(CONFIG, self.config().to_string().as_bytes());
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": self.layers})
    }

    /// Looks at the image of these layers.
    pub(crate) fn scan(&self) -> Done {
        self.scan_manifest(self.manifest().to_string().as_bytes())
    }

    /// Looks at the image of this manifest.
    pub(crate) fn scan_manifest(&self, manifest: &[u8]) -> Done {
        let manifest = self.blob(MANIFEST, manifest);
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        self.write("layout/index.json", index.to_string());
        self.step(&[("INPUT_LAYOUT", "layout")])
    }

    /// One step with these variables.
    pub(crate) fn step(&self, vars: &[(&str, &str)]) -> Done {
        let files = Files::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-scan"));
        files.step(&mut command, [("SHIPKIT_NOW", "2026-05-06T07:08:09Z")]);
        command.envs(vars.iter().copied()).current_dir(self.path()).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        // What it may write to counts, which is what it took from the system.
        for (resource, limit) in [(Resource::Data, self.memory), (Resource::Cpu, SECONDS)] {
            prlimit(Some(pid), resource, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
        }
        files.done(child.wait_with_output().unwrap())
    }
}

/// That nobody can say what is in it, for this reason.
#[track_caller]
pub(crate) fn refused(done: &Done, sentence: &str) {
    done.check(3, sentence);
    assert_eq!(done.output("verdict"), "inconclusive", "{done:#?}");
}
