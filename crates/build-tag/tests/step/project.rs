//! `Project`: a checkout in a temporary folder, and the real binary run in it as one step of a workflow.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use shipkit_tests::step::{Done, Files};
use tempfile::TempDir;

/// The commit in events that need no checkout of their own.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Two services and two environments.
pub(crate) const CONFIG: &str = "\
version: 1
name: shop
tags: {include: [sha, branch, semver], latest: default-branch}
services:
  api: {build: {context: api, args: {COMMIT: '${SHIPKIT_COMMIT}'}}}
  web: {build: {context: web}}
environments:
  staging:
    branches: [main]
    url: http://staging.localhost
    target: {type: swarm, files: [compose.yml]}
  production:
    tags: ['v*']
    needs: staging
    target: {type: swarm, files: [compose.yml]}
";

/// The least that a file needs besides its services.
pub(crate) const ONE_ENVIRONMENT: &str =
    "environments: {staging: {branches: [main], target: {type: swarm, files: [c.yml]}}}";

/// A checkout; it is removed when this is dropped.
pub(crate) struct Project {
    folder: TempDir,
}

impl Project {
    /// A folder with this `shipkit.yml`, and no git repository.
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shipkit.yml"), config).unwrap();
        Self { folder }
    }

    /// The same as a git repository on this branch, with one commit of a known moment.
    pub(crate) fn with_git(config: &str, branch: &str) -> Self {
        let project = Self::new(config);
        project.git(&["init", "-q", "-b", branch]);
        project.git(&["remote", "add", "origin", "git@github.com:Acme/Shop.git"]);
        project.git(&["add", "."]);
        project.git(&["commit", "-q", "-m", "first"]);
        project
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.path()).args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path());
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@example.com");
            command.env(format!("GIT_{who}_DATE"), "2026-01-02T03:04:05Z");
        }
        let done = command.output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file that the steps of one job hand on.
    pub(crate) fn handed_on(&self, name: &str) -> PathBuf {
        self.path().join(".shipkit").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.handed_on(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// One step: these variables over the ones that a runner sets, in a scrubbed environment.
    pub(crate) fn step(&self, vars: &[(&str, &str)]) -> Done {
        let files = Files::new();
        let runner = [
            ("GITHUB_REPOSITORY", "Acme/Shop"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_RUN_ATTEMPT", "2"),
            ("SHIPKIT_NOW", "2026-05-06T07:08:09Z"),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-tag"));
        files.step(&mut command, runner.into_iter().chain(vars.iter().copied()));
        files.done(command.current_dir(self.path()).stdin(Stdio::null()).output().unwrap())
    }

    /// On a terminal, as a process that can be killed.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-tag"));
        command.env_clear().args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// On a terminal: no runner.
    pub(crate) fn program(&self, vars: &[(&str, &str)], arguments: &[&str]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-tag"));
        command.env_clear().envs(vars.iter().copied()).args(arguments).current_dir(self.path());
        Done::from(command.stdin(Stdio::null()).output().unwrap())
    }

    /// `build-tag plan` for this event.
    pub(crate) fn plan(&self, name: &str, event: &Value, more: &[(&str, &str)]) -> Done {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), event.to_string()).unwrap();
        let mut vars = vec![
            ("INPUT_COMMAND", "plan"),
            ("GITHUB_EVENT_NAME", name),
            ("GITHUB_EVENT_PATH", file.path().to_str().unwrap()),
            ("GITHUB_SHA", COMMIT),
        ];
        vars.extend_from_slice(more);
        self.step(&vars)
    }
}

/// A push of this ref, as GitHub tells it.
pub(crate) fn push(git_ref: &str) -> Value {
    json!({
        "ref": git_ref, "after": COMMIT, "deleted": false,
        "head_commit": {"id": COMMIT, "timestamp": "2026-01-02T04:04:05+01:00"},
        "repository": {"full_name": "Acme/Shop", "default_branch": "main"},
    })
}
