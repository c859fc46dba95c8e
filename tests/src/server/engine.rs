//! `Engine`: a Docker engine of the test's own, a Swarm of one node, that may be restarted and may have little room.
//!
//! It has namespaces of its own for processes, mounts and the network, so it meets nothing of the machine's engine, and all
//! of it ends with the first process of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "tests stop at the first surprise"
)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long an engine may take to answer, on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running engine; everything of it ends when this is dropped.
#[derive(Debug)]
pub struct Engine {
    folder: TempDir,
    /// Holds the namespaces.
    holder: Child,
    /// The process that is the first in them, as the machine counts.
    first: String,
    daemon: Child,
    registry: Child,
}

/// A program that must be run as root, in the namespaces of this process if one is given.
fn as_root(inside: Option<&str>, program: &str) -> Command {
    let sudo = (!is_root()).then_some("sudo");
    let enter = inside.map(|first| ["nsenter", "--target", first, "--net", "--mount", "--pid"]);
    let mut words = sudo.into_iter().chain(enter.into_iter().flatten()).chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words);
    command
}

fn is_root() -> bool {
    let said = Command::new("id").arg("-u").output().expect("the program `id`");
    said.stdout.trim_ascii() == b"0"
}

/// The last of the only children of a process: the one that all others only wait for.
fn last_child(process: u32) -> String {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    match children.split_whitespace().next() {
        Some(child) => last_child(child.parse().unwrap()),
        None => process.to_string(),
    }
}

impl Engine {
    /// It reaches the registry at `host` (`127.0.0.1:<port>`), which keeps its files in `storage`. Everything that it keeps
    /// itself has to fit into `room`, in megabytes.
    pub fn start(host: &str, storage: &Path, room: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let room =
            room.map(|room| format!("mount -t tmpfs -o size={room}m tmpfs \"$0\" && ")).unwrap_or_default();
        let script = format!("ip link set lo up && {room}echo ready && exec sleep infinity");
        let mut holder = as_root(None, "unshare");
        holder.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        holder.args(["sh", "-c", &script]).arg(&data);
        let mut holder = holder.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("unshare");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(
            line, "ready\n",
            "namespaces for an engine: `scripts/bed up docker` installs what they need"
        );
        let first = last_child(holder.id());
        let registry = registry(&folder, &first, host, storage);
        let daemon = dockerd(&folder, &first);
        let engine = Self { folder, holder, first, daemon, registry };
        engine.answers();
        engine.docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
        engine
    }

    /// `unix://` and the path of its socket.
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").to_str().unwrap())
    }

    /// Runs the client against it, which must succeed, and gives what it prints without the white space around it.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docker {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn ask(&self, arguments: &[&str]) -> std::process::Output {
        let output = Command::new("docker").args(["--host", &self.host()]).args(arguments).output();
        output.expect("the docker program")
    }

    /// Ends it as a service manager does, and starts it again. It answers when this returns.
    pub fn restart(&mut self) {
        self.end();
        self.daemon = dockerd(&self.folder, &self.first);
        self.answers();
    }

    fn end(&mut self) {
        let number = fs::read_to_string(self.folder.path().join("docker.pid")).unwrap_or_default();
        as_root(Some(&self.first), "kill").arg(number.trim()).status().ok();
        self.daemon.wait().ok();
    }

    /// Waits until it answers; its Swarm may take longer.
    fn answers(&self) {
        let start = Instant::now();
        while !self.ask(&["version"]).status.success() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "the engine never answered: {}", log());
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.ask(&["swarm", "leave", "--force"]);
        let listed = self.ask(&["ps", "--all", "--quiet"]);
        for container in String::from_utf8_lossy(&listed.stdout).lines() {
            self.ask(&["rm", "--force", container]);
        }
        self.end();
        // With it ends everything in its namespaces.
        as_root(None, "kill").args(["-KILL", &self.first]).status().ok();
        self.registry.wait().ok();
        self.holder.wait().ok();
    }
}

fn dockerd(folder: &TempDir, first: &str) -> Child {
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let log = File::options().create(true).append(true).open(path("log")).unwrap();
    let mut command = as_root(Some(first), "dockerd");
    command.args(["--host", &format!("unix://{}", path("docker.sock"))]);
    command.args([
        "--data-root",
        &path("data"),
        "--exec-root",
        &path("run"),
        "--pidfile",
        &path("docker.pid"),
    ]);
    // A containerd of the machine is shared, and nothing in it.
    command.args([
        "--containerd-namespace",
        "shipkit-test",
        "--containerd-plugins-namespace",
        "shipkit-test-plugins",
    ]);
    command.args(["--iptables=false", "--config-file", &path("daemon.json")]);
    fs::write(path("daemon.json"), "{}").unwrap();
    let (out, err) = (log.try_clone().unwrap(), log);
    command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("dockerd: `scripts/bed up docker`")
}

/// The same registry under the same address: another process with the same files.
fn registry(folder: &TempDir, first: &str, host: &str, storage: &Path) -> Child {
    let config = folder.path().join("registry.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{host}\"}}\n",
        storage.display()
    );
    fs::write(&config, text).unwrap();
    let mut command = as_root(Some(first), "docker-registry");
    command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("docker-registry: `scripts/bed up registry` installs it")
}
