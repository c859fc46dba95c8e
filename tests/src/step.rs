//! A program run as one step of a workflow, and what it left behind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "tests stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// The runner's files of one step.
#[derive(Debug)]
pub struct Files {
    folder: TempDir,
}

/// What a step left behind.
#[derive(Debug)]
pub struct Done {
    /// Its exit code; `None` if a signal ended it.
    pub exit: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// Its outputs by name.
    pub outputs: BTreeMap<String, String>,
    /// Its step summary.
    pub summary: String,
}

impl Files {
    /// Empty files in a folder of their own, which goes when this is dropped.
    #[must_use]
    pub fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        for path in [files.output(), files.summary()] {
            std::fs::write(path, "").unwrap();
        }
        files
    }

    /// Makes `command` a step in a scrubbed environment: it knows these files and these variables, and nothing else.
    pub fn step<'a>(&self, command: &mut Command, vars: impl IntoIterator<Item = (&'a str, &'a str)>) {
        command.env_clear().env("GITHUB_ACTIONS", "true");
        command.env("GITHUB_OUTPUT", self.output()).env("GITHUB_STEP_SUMMARY", self.summary()).envs(vars);
    }

    /// What the step left behind.
    #[must_use]
    pub fn done(&self, output: Output) -> Done {
        let outputs = outputs(&std::fs::read_to_string(self.output()).unwrap());
        let summary = std::fs::read_to_string(self.summary()).unwrap();
        Done { outputs, summary, ..Done::from(output) }
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    fn summary(&self) -> PathBuf {
        self.folder.path().join("summary")
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Output> for Done {
    /// A program that was no step: it has neither outputs nor a summary.
    fn from(output: Output) -> Self {
        Self {
            exit: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            outputs: BTreeMap::new(),
            summary: String::new(),
        }
    }
}

impl Done {
    /// The output of this name, which must have been set.
    #[track_caller]
    #[must_use]
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("no output `{name}`: {self:#?}"))
    }

    /// Asserts that it ended so, and that stderr holds this sentence.
    #[track_caller]
    pub fn check(&self, exit: i32, sentence: &str) {
        assert_eq!(self.exit, Some(exit), "{self:#?}");
        assert!(self.stderr.contains(sentence), "`{sentence}` is not in {self:#?}");
    }
}

/// The entries `name<<delimiter`, value, delimiter of an output file.
#[must_use]
pub fn outputs(file: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = file.lines();
    while let Some((name, delimiter)) = lines.next().and_then(|line| line.split_once("<<")) {
        let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        outputs.insert(name.to_owned(), value.join("\n"));
    }
    outputs
}
