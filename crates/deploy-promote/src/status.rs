//! `deploy-promote status`: what runs where, since when, by which run, and what somebody has changed since.

use serde_json::json;
use shipkit_core::history::drift;
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

use crate::project::Project;
use crate::report;

/// Reads the target and says what is there.
pub(crate) async fn run(project: &Project<'_>, runner: &Runner) -> Result<Outcome, Failure> {
    let target = project.target(runner).await?;
    let observed = project.observe(&target).await?;
    let place = target.place();
    // Without it, what runs can still be told.
    let entries = project.history(&target, runner).await.unwrap_or_else(|error| {
        runner.say(&format!("whether somebody has changed what was left cannot be found out: {error}"));
        None
    });
    let entries = entries.unwrap_or_default();
    let mut drift = drift(&entries, &observed);
    let (further, told) = target.drift(&entries).await;
    drift.extend(further);
    if let Err(error) = told {
        runner.say(&format!("what else somebody has changed cannot be found out: {error}"));
    }
    let shares = target.shares().await.unwrap_or_else(|error| {
        runner.say(&format!("which release gets which share of requests cannot be found out: {error}"));
        Vec::new()
    });
    if runner.is_json() {
        let mut status = report::status_json(place, &observed, &drift);
        if let Some(fields) = status.as_object_mut() {
            fields.insert("shares".to_owned(), json!(shares));
        }
        runner.data(&status.to_string());
    } else {
        let shares = shares.iter().map(|one| format!("{one}\n")).collect::<Vec<_>>().concat();
        runner.data(&format!("{}{shares}", report::status(place, &observed, &drift)));
    }
    runner.output("url", project.environment.url.as_deref().unwrap_or_default())?;
    runner.output("digests", &report::digests(&observed).to_string())?;
    runner.summary(&report::status_summary(place, &observed, &drift))?;
    let serves = report::serves(&project.config, &observed);
    Ok(Outcome::pass([&[serves], &shares[..], &drift[..]].concat().join("; ")))
}
