//! `deploy-promote status`: what runs where, since when, by which run.

use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

use crate::project::Project;
use crate::report;

/// Reads the target and says what is there.
pub(crate) async fn run(project: &Project<'_>, runner: &Runner) -> Result<Outcome, Failure> {
    let stack = project.stack()?;
    let observed = project.swarm(runner).await?.observe(stack).await?;
    if runner.is_json() {
        runner.data(&report::status_json(stack, &observed).to_string());
    } else {
        runner.data(&report::status(stack, &observed));
    }
    runner.output("url", project.environment.url.as_deref().unwrap_or_default())?;
    runner.output("digests", &report::digests(&observed).to_string())?;
    runner.summary(&report::status_summary(stack, &observed))?;
    Ok(Outcome::pass(report::serves(&project.config, &observed)))
}
