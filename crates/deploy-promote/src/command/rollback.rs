//! `deploy-promote rollback` where commands deploy: they are run with what passed before.

use shipkit_core::plan::release_repository;
use shipkit_core::standing::Standing;
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_runner::{Failure, Runner, env};

use super::lock::Lock;
use super::memory::Memory;
use super::variables::{Named, variables};
use crate::args::RollbackArgs;
use crate::deploy::{refuse_pull_requests, run_url};
use crate::github::{Record, Shipment};
use crate::project::Project;
use crate::report;
use crate::shell::Shell;

/// Goes back to the release that passed before.
pub(crate) async fn run(
    project: &Project<'_>,
    args: &RollbackArgs,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
    if args.to.is_some() {
        return Err(Failure::usage(
            "`to` chooses from a list of releases that passed, and commands keep none",
        )
        .with_hint("`deploy` goes to any release of the registry"));
    }
    project.refuse_missing_secrets()?;
    Shell::look("target.run").await?;
    let repository = release_repository(runner.env().get(env::GITHUB_REPOSITORY), &project.config)?;
    let registry = project.registry(&repository, runner)?;
    let name = &project.environment.name;
    let memory = Memory { registry: &registry, repository: &repository, environment: name };
    let _lock = match Lock::take(project, project.environment.timeout, runner).await? {
        Ok(lock) => lock,
        Err(outcome) => return Ok(outcome),
    };
    let going = async {
        let standing = memory.read(runner).await?;
        let to = match standing.way_back() {
            Ok(to) => memory.release(to).await?,
            Err(none) => return Ok(Outcome::fail(format!("nothing was rolled back: {none}"))),
        };
        if project.args.dry_run {
            runner.data(&format!("return to {}: {}", to.release.version, commands(project).join("; ")));
            return Ok(Outcome::pass("dry run: nothing was changed"));
        }
        go_back(project, (&memory, &standing), &to, runner).await
    };
    tokio::select! {
        biased;
        _signal = runner.cancelled() => Ok(Outcome::inconclusive(format!(
            "in the middle of a rollback; run `deploy-promote rollback --environment {name}` again to finish it"
        ))),
        ended = going => ended,
    }
}

async fn go_back(
    project: &Project<'_>,
    (memory, standing): (&Memory<'_>, &Standing),
    to: &Named,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let from = match standing.there() {
        Some(digest) => Some(memory.release(digest).await?),
        None => None,
    };
    let shipment = Shipment::of(&to.digest, &to.release);
    let record = Record::begin(project, &shipment, run_url(runner).as_deref(), runner).await;
    let variables = variables(&project.environment.name, to, from.as_ref());
    let shell = Shell::new(project, variables, project.environment.timeout, runner).knowing(&project.values);
    let (version, name) = (&to.release.version, &project.environment.name);
    let outcome = match put_back(project, &shell, runner).await {
        Err(why) => Outcome::fail(format!("the rollback failed: {why}")),
        Ok(()) => match memory.write(&standing.after_return(&to.digest)).await {
            Ok(()) => Outcome::pass(format!("{version} was put back in {name}")),
            Err(error) => Outcome::inconclusive(format!(
                "{version} was put back in {name}; but that could not be written to the registry: {}",
                error.sentence()
            )),
        },
    };
    let outcome = Outcome { cause: project.redact(&outcome.cause), ..outcome };
    record.end(&outcome, runner).await;
    let digests = if outcome.verdict == Verdict::Fail { serde_json::Value::Null } else { to.digests() };
    runner.output("url", project.environment.url.as_deref().unwrap_or_default())?;
    runner.output("digests", &digests.to_string())?;
    runner.summary(&report::headline(project, version, &outcome))?;
    Ok(outcome)
}

/// The commands that put a release back.
pub(super) fn commands<'a>(project: &'a Project<'_>) -> &'a [String] {
    let target = &project.environment.target;
    if target.rollback.is_empty() { &target.run } else { &target.rollback }
}

/// Runs them, one after the other, up to the first that fails.
pub(super) async fn put_back(project: &Project<'_>, shell: &Shell, runner: &Runner) -> Result<(), String> {
    for command in commands(project) {
        runner.say(&format!("putting back: {command}"));
        shell.run(command, runner).await?;
    }
    Ok(())
}
