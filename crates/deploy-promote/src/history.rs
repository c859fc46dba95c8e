//! `deploy-promote history`: the releases that were confirmed, and which of them a rollback reaches.

use shipkit_core::history::Entry;
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

use crate::project::Project;
use crate::report;

/// The releases, where the target keeps any.
pub(crate) fn kept(entries: Option<Vec<Entry>>) -> Result<Vec<Entry>, Failure> {
    entries.ok_or_else(|| {
        Failure::usage("a cluster does not keep the releases that were confirmed there")
            .with_hint("`rollback` goes to the release before, and `deploy` to any of the registry; where `target.manifests` is given, they are kept")
    })
}

/// Reads the target and lists them.
pub(crate) async fn run(project: &Project<'_>, runner: &Runner) -> Result<Outcome, Failure> {
    let target = project.target(runner).await?;
    let observed = project.observe(&target).await?;
    let entries = kept(project.history(&target, runner).await?)?;
    if runner.is_json() {
        runner.data(&report::history_json(target.place(), &entries, &observed).to_string());
    } else {
        runner.data(&report::history(target.place(), &entries, &observed));
    }
    runner.summary(&report::history_summary(target.place(), &entries, &observed))?;
    Ok(Outcome::pass(report::serves(&project.config, &observed)))
}
