//! `Sshd`: Debian's own sshd with keys and a configuration of its own, and what else belongs to a login.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "tests stop at the first surprise"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shipkit_core::SshAddress;
use tempfile::TempDir;

/// An SSH server on a port of this machine. Every connection is a process of its own, and they end when this is dropped.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    port: u16,
    sessions: Arc<Mutex<Vec<Child>>>,
}

/// What a program says; it must succeed.
pub fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect(program);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Makes a key pair and gives the path of the private one.
pub fn key(folder: &Path, name: &str, options: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let mut arguments = vec!["-q", "-C", "test", "-f", path.to_str().unwrap()];
    arguments.extend(if options.is_empty() { &["-t", "ed25519", "-N", ""] } else { options });
    output("ssh-keygen", &arguments);
    path
}

/// The line of the public key beside a private one.
pub fn public(key: &Path) -> String {
    fs::read_to_string(key.with_extension("pub")).unwrap().trim().to_owned()
}

/// `SHA256:...` as ssh-keygen shows it.
pub fn fingerprint(key: &Path) -> String {
    let line = output("ssh-keygen", &["-l", "-f", key.to_str().unwrap()]);
    line.split(' ').nth(1).unwrap().to_owned()
}

/// Waits for what another process does, which nobody can be told about.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::task::yield_now().await;
    }
}

/// A pipe with a name, and the first line that somebody writes into it.
pub fn pipe(path: &Path) -> tokio::task::JoinHandle<String> {
    output("mkfifo", &[path.to_str().unwrap()]);
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || fs::read_to_string(path).unwrap().trim().to_owned())
}

impl Sshd {
    /// With nothing but what every test needs.
    pub fn start() -> Self {
        Self::with("")
    }

    /// With further lines of `sshd_config`, in which `FOLDER` is the folder of this server. Programs in `FOLDER/bin` come
    /// first, and what the user of this test has in `.bashrc` is not run: bash takes a login over SSH at this depth for
    /// none.
    pub fn with(further: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let user = key(folder.path(), "user", &[]);
        fs::write(folder.path().join("authorized"), public(&user)).unwrap();
        key(folder.path(), "host", &[]);
        let host = if further.contains("HostKey") { "" } else { "HostKey FOLDER/host\n" };
        let config = format!(
            "{host}{further}\nSetEnv SHLVL=9 PATH=FOLDER/bin:/usr/bin:/bin\nAuthorizedKeysFile FOLDER/authorized\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        );
        fs::write(folder.path().join("config"), config.replace("FOLDER", path)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sshd = Self { port: listener.local_addr().unwrap().port(), folder, sessions: Arc::default() };
        let (config, log) = (sshd.path("config"), fs::File::create(sshd.path("log")).unwrap());
        let sessions = Arc::clone(&sshd.sessions);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let stream = OwnedFd::from(stream);
                let mut command = Command::new("/usr/sbin/sshd");
                command.args(["-i", "-e", "-f"]).arg(&config);
                command.stdin(stream.try_clone().unwrap()).stdout(stream).stderr(log.try_clone().unwrap());
                let started = command.spawn();
                sessions.lock().unwrap().push(started.expect("sshd: `scripts/bed up ssh` installs it"));
            }
        });
        sshd
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as a text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// `ssh://<user of this test>@127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}", output("id", &["-un"]), self.port)
    }

    /// The same, read.
    pub fn address(&self) -> SshAddress {
        self.host().parse().unwrap()
    }

    /// Sends a signal to sshd itself, for every connection there is, and not to what it has started.
    pub fn signal(&self, name: &str) {
        for session in self.sessions.lock().unwrap().iter() {
            for process in family(session.id()) {
                Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
            }
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.signal("KILL");
        for mut session in self.sessions.lock().unwrap().drain(..) {
            session.wait().ok();
        }
    }
}

/// A process, and those of its children that are sshd as well: the part of it that has the rights of the user.
fn family(process: u32) -> Vec<u32> {
    let is_sshd =
        fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.starts_with("sshd"));
    if !is_sshd {
        return Vec::new();
    }
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let below = children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(family);
    std::iter::once(process).chain(below).collect()
}

/// An SSH agent with these keys.
#[derive(Debug)]
pub struct Agent {
    process: Child,
    /// Where it listens.
    pub socket: PathBuf,
}

impl Agent {
    /// Starts one, and gives it the keys.
    pub fn start(socket: &Path, keys: &[PathBuf]) -> Self {
        let mut process = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(socket)
            .stdout(Stdio::piped())
            .spawn()
            .expect("ssh-agent: `scripts/bed up ssh` installs it");
        // It says so when it listens.
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut add = Command::new("ssh-add");
        let added = add.arg("-q").args(keys).env("SSH_AUTH_SOCK", socket).status().unwrap();
        assert!(added.success());
        Self { process, socket: socket.to_owned() }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
