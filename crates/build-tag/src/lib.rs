//! What `build-tag` does: `plan` what to build, `keep` what tests left, record the `release`, `publish` it; `meta` names images by themselves.

mod args;
mod checkout;
mod event;
mod explain;
mod folder;
mod git;
mod keep;
mod known;
mod login;
mod meta;
mod mirror;
mod plan;
mod publish;
mod release;
mod reuse;

pub use args::Args;
use args::Command;
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

/// Does what the command line asks for.
///
/// # Errors
/// With one sentence, a hint where one is known, and the exit code.
pub async fn run(args: Args, runner: Runner) -> Result<Outcome, Failure> {
    let token = args.github_token.as_ref();
    match args.command {
        Command::Plan(args) => plan::run(&args, &runner).await,
        Command::Keep(args) => keep::run(&args, &runner).await,
        Command::Release(args) => release::run(&args, &runner).await,
        Command::Publish(args) => publish::run(&args, &runner).await,
        Command::Meta(args) => meta::run(&args, token, &runner).await,
        Command::Explain(args) => explain::run(&args, token, &runner).await,
    }
}
