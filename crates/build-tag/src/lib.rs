//! What `build-tag` does: `plan` what to build, `keep` what tests left, record the `release`, `publish` it.

mod args;
mod event;
mod folder;
mod git;
mod keep;
mod login;
mod plan;
mod publish;
mod release;

pub use args::Args;
use args::Command;
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

/// Does what the command line asks for.
///
/// # Errors
/// With one sentence, a hint where one is known, and the exit code.
pub async fn run(args: Args, runner: Runner) -> Result<Outcome, Failure> {
    match args.command {
        Command::Plan(args) => plan::run(&args, &runner),
        Command::Keep(args) => keep::run(&args, &runner).await,
        Command::Release(args) => release::run(&args, &runner).await,
        Command::Publish(args) => publish::run(&args, &runner).await,
    }
}
