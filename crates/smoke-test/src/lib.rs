//! What `smoke-test` does: `run` the checks once, `watch` at a fixed rate, or `import` what others have written.

mod args;
mod import;
mod report;
mod run;
mod watch;

use std::path::{Path, PathBuf};

pub use args::Args;
use args::Command;
use shipkit_core::exit::ExitCode;
use shipkit_core::{Hint, Outcome};
use shipkit_runner::{Failure, Runner};

/// A file that was named and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be read", path.display())]
pub(crate) struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

impl Unreadable {
    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }
}

impl Hint for Unreadable {
    fn hint(&self) -> Option<String> {
        None
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// Does what the command line asks for.
///
/// # Errors
/// With one sentence, a hint where one is known, and the exit code.
pub async fn run(args: Args, runner: Runner) -> Result<Outcome, Failure> {
    match args.command {
        Command::Run(args) => run::run(&args, &runner).await,
        Command::Watch(args) => watch::watch(&args, &runner).await,
        Command::Checks => kinds(&runner),
        Command::Import(args) => import::import(&args, &runner),
    }
}

/// Lists the kinds of checks.
fn kinds(runner: &Runner) -> Result<Outcome, Failure> {
    let kinds = shipkit_smoke::kinds();
    if runner.is_json() {
        runner.data(&serde_json::to_string_pretty(&kinds).map_err(Failure::unknown)?);
    } else {
        for known in &kinds {
            runner.data(&format!("{:<17} {}", known.kind, known.passes_when));
            for (name, value) in &known.defaults {
                runner.data(&format!("{:<17}   {name}: {value}", ""));
            }
        }
    }
    Ok(Outcome::pass(format!("{} kinds of checks", kinds.len())))
}

/// The bytes of a file below the workspace.
pub(crate) fn read(runner: &Runner, file: &Path) -> Result<Vec<u8>, Unreadable> {
    let path = runner.env().workspace().join(file);
    std::fs::read(&path).map_err(|source| Unreadable { path, source })
}
