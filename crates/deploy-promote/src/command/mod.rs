//! Environments that the user's own commands deploy to. There is no target that could be asked what runs or be given a lease:
//! what was begun and what passed stands at the registry, beside the releases.

mod deploy;
mod lock;
mod memory;
mod rollback;
mod status;
mod variables;

use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

use crate::args::Command;
use crate::project::Project;

/// Does what the command line asks for.
pub(crate) async fn run(
    project: &Project<'_>,
    command: &Command,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    match command {
        Command::Deploy(args) => deploy::run(project, args, runner).await,
        Command::Check(args) => deploy::check(project, args, runner).await,
        Command::Rollback(args) => rollback::run(project, args, runner).await,
        Command::Status => status::run(project, runner).await,
        Command::Reconcile => Err(Failure::usage(
            "`reconcile` knows what a run has left on a target, and nothing but its own commands can reach this one",
        )
        .with_hint("`status` says what was begun; deploy it again, or roll back")),
        Command::Adopt | Command::Logs(_) => Err(Failure::usage(
            "`adopt` and `logs` look at what runs on a target, and nothing but its own commands can reach this one",
        )
        .with_hint("the program that the commands call knows what runs")),
        Command::History => Err(Failure::usage("commands keep no list of the releases that passed here").with_hint(
            "`status` names the last one, `rollback` goes to the one before, and `deploy` to any of the registry",
        )),
    }
}
