//! `Named`: one step that names images: an event and inputs in, what `meta` or `explain` says about them out.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use shipkit_tests::step::{Done, Files};
use tempfile::TempDir;

/// The commit of most events.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A step that is not run yet, in an empty folder of its own.
pub(crate) struct Named {
    vars: Vec<(String, String)>,
    folder: TempDir,
}

impl Named {
    /// A step for this event.
    pub(crate) fn by(event: &str, git_ref: &str, commit: &str, payload: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("event.json");
        std::fs::write(&file, payload.to_string()).unwrap();
        Self { vars: Vec::new(), folder }
            .with("GITHUB_EVENT_NAME", event)
            .with("GITHUB_EVENT_PATH", file.to_str().unwrap())
            .with("GITHUB_REF", git_ref)
            .with("GITHUB_SHA", commit)
            .with("GITHUB_REPOSITORY", "Acme/Shop")
            .with("SHIPKIT_NOW", "2026-05-06T07:08:09Z")
    }

    /// With this variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.vars.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this input, by its name in `action.yml`.
    pub(crate) fn input(self, name: &str, value: &str) -> Self {
        self.with(&format!("INPUT_{}", name.to_uppercase()), value)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs it: no command is named, so this is `meta`.
    pub(crate) fn run(&self) -> Done {
        self.run_with(&[])
    }

    /// Runs it with real arguments.
    pub(crate) fn run_with(&self, arguments: &[&str]) -> Done {
        let files = Files::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-tag"));
        files.step(&mut command, self.vars.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        files.done(command.output().unwrap())
    }

    /// The bake file that an output names.
    pub(crate) fn file(&self, done: &Done, output: &str) -> Value {
        let text = std::fs::read_to_string(self.path().join(done.output(output))).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// The lines of an output; none for the empty one.
#[track_caller]
pub(crate) fn lines<'a>(done: &'a Done, output: &str) -> Vec<&'a str> {
    done.output(output).lines().collect()
}
