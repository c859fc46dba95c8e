//! `deploy-promote status`: what runs where, since when, by which run.

use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

use crate::project::Project;
use crate::report;

/// Reads the target and says what is there.
pub(crate) async fn run(project: &Project<'_>, runner: &Runner) -> Result<Outcome, Failure> {
    let target = project.target(runner).await?;
    let observed = project.observe(&target).await?;
    let place = target.place();
    if runner.is_json() {
        runner.data(&report::status_json(place, &observed).to_string());
    } else {
        runner.data(&report::status(place, &observed));
    }
    runner.output("url", project.environment.url.as_deref().unwrap_or_default())?;
    runner.output("digests", &report::digests(&observed).to_string())?;
    runner.summary(&report::status_summary(place, &observed))?;
    Ok(Outcome::pass(report::serves(&project.config, &observed)))
}
