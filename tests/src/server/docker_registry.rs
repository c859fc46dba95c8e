//! `DockerRegistry`: Debian's own docker-registry as a process, for what a fake could get wrong.
#![allow(clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running docker-registry with a storage of its own; both end when this is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    host: String,
    process: Child,
    _folder: TempDir,
}

impl DockerRegistry {
    /// Starts one on a port of the system's choice.
    ///
    /// # Panics
    /// When the program is not installed: this test is not one that may be left out.
    #[must_use]
    pub fn start() -> Self {
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
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut process) = started else {
            panic!("`docker-registry` is not installed: `scripts/bed up registry` installs it");
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
        let Some(host) = host else { panic!("docker-registry does not listen: {seen}") };
        Self { host, process, _folder: folder }
    }

    /// `127.0.0.1:<port>`, the first part of image names.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
