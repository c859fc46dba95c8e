//! What `deploy-promote` does: `deploy` a release to an environment, `rollback`, `status`, `history`, `adopt`, `logs`.

mod access;
mod admission;
mod adopt;
mod analysis;
mod args;
mod candidate;
mod checks;
mod cloud;
mod command;
mod compose;
mod deploy;
mod desired;
mod docker;
mod github;
mod glass;
mod history;
mod hold;
mod hooks;
mod ledger;
mod logs;
mod manifests;
mod prepare;
mod preview;
mod problems;
mod project;
mod reconcile;
mod report;
mod rollback;
mod rollout;
mod rule_files;
mod shell;
mod space;
mod stack;
mod status;
mod story;
mod target;

pub use args::Args;
use args::Command;
use shipkit_core::config::TargetKind;
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

/// Does what the command line asks for. When it is cancelled, what runs on the target is left as it is: every step is
/// one request that the target carries out wholly or not at all. A Swarm or a cluster finishes or undoes an update by itself;
/// in a Compose project the next run does.
///
/// # Errors
/// With one sentence, a hint where one is known, and the exit code.
pub async fn run(args: Args, runner: Runner) -> Result<Outcome, Failure> {
    let is_deploy =
        matches!(args.command, Command::Deploy(_) | Command::Check(_) | Command::Reconcile | Command::Adopt);
    let project = project::Project::open(&args.target, is_deploy, &runner)?;
    if project.environment.target.kind == TargetKind::Command {
        return command::run(&project, &args.command, &runner).await;
    }
    match &args.command {
        Command::Deploy(deploy) => deploy::run(&project, deploy, &runner).await,
        Command::Check(deploy) => prepare::check(&project, deploy, &runner).await,
        Command::Rollback(rollback) => rollback::run(&project, rollback, &runner).await,
        Command::Reconcile => Box::pin(reconcile::run(&project, &runner)).await,
        Command::Status => status::run(&project, &runner).await,
        Command::History => history::run(&project, &runner).await,
        Command::Adopt => adopt::run(&project, &runner).await,
        Command::Logs(logs) => logs::run(&project, logs, &runner).await,
    }
}
