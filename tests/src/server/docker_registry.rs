//! `DockerRegistry`: Debian's own docker-registry, or a newer release of it, as a process, for what a fake could get wrong.
#![allow(clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::env;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running docker-registry with a storage of its own; both end when this is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    name: &'static str,
    host: String,
    process: Child,
    folder: TempDir,
}

impl DockerRegistry {
    /// Starts one on a port of the system's choice.
    ///
    /// # Panics
    /// When the program is not installed: this test is not one that may be left out.
    #[must_use]
    pub fn start() -> Self {
        let Some(started) = Self::run("docker-registry", Path::new("docker-registry")) else {
            panic!("`docker-registry` is not installed: `scripts/bed up registry` installs it");
        };
        started
    }

    /// Starts the newer release that `scripts/bed up registry3` built; `None` where nobody did.
    #[must_use]
    pub fn newer() -> Option<Self> {
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/shipkit"));
        let cache = env::var_os("SHIPKIT_CACHE").map(PathBuf::from).or_else(home)?;
        Self::run("registry3", &cache.join("registry3"))
    }

    fn run(name: &'static str, program: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n",
            storage.display()
        );
        std::fs::write(&config, text).expect("a configuration");
        let started = Command::new(program)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => panic!("{}: {error}", program.display()),
        };
        let stderr = process.stderr.take().expect("its standard error");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let mut seen = String::new();
        // It says which port the system gave it: `msg="listening on 127.0.0.1:43210"`.
        let host = lines.by_ref().find_map(|line| {
            let after = line.split_once("listening on ").map(|(_, after)| after.to_owned());
            seen.push_str(&line);
            Some(after?.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect())
        });
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(host) = host else { panic!("{name} does not listen: {seen}") };
        Some(Self { name, host, process, folder })
    }

    /// Which one it is: `docker-registry` or `registry3`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// `127.0.0.1:<port>`, the first part of image names.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The folder where it keeps everything.
    #[must_use]
    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
