//! `deploy-promote rollback`: needs nothing but the target.

use shipkit_core::journal::Journal;
use shipkit_core::rollout::Next;
use shipkit_core::target::{WayBack, way_back};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_runner::{Failure, Runner};

use crate::args::RollbackArgs;
use crate::deploy::{refuse_pull_requests, run_url, warn};
use crate::github::{Record, Shipment};
use crate::hold::Hold;
use crate::prepare::reason;
use crate::project::Project;
use crate::target::Target;
use crate::{report, rollout};

/// Puts every service of the last release back to the one before, all together.
pub(crate) async fn run(
    project: &Project<'_>,
    args: &RollbackArgs,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
    let reason = reason(args.break_glass.as_deref())?;
    let target = project.target(runner).await?;
    if project.args.dry_run {
        return Ok(match find(project, &target).await? {
            Ok(back) => {
                runner.data(&report::way_back(&back.returns));
                Outcome::pass("dry run: nothing was changed")
            }
            Err(none) => none,
        });
    }
    // What cannot go back needs no lease to say so.
    if let Err(none) = find(project, &target).await? {
        return Ok(none);
    }
    let hold = match Hold::take(&target, project.environment.timeout, runner).await? {
        Ok(hold) => hold,
        Err(outcome) => return Ok(outcome),
    };
    let ended = go_back(project, &target, &hold, reason, runner).await;
    hold.end(runner).await;
    ended
}

/// The way back; `Err` says that there is none.
async fn find(project: &Project<'_>, target: &Target) -> Result<Result<WayBack, Outcome>, Failure> {
    let observed = project.observe(target).await?;
    Ok(way_back(target.place().name, &observed)
        .map_err(|error| Outcome::fail(format!("{error}; {}", report::serves(&project.config, &observed)))))
}

/// Under the lease.
pub(crate) async fn go_back(
    project: &Project<'_>,
    target: &Target,
    hold: &Hold,
    reason: Option<&str>,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let back = match find(project, target).await? {
        Ok(back) => back,
        Err(none) => return Ok(none),
    };
    let mut diary = hold.diary(hold.journal().await?);
    match (diary.why_not_back(), reason) {
        (Some(why), None) => {
            let hint = "`--break-glass REASON` goes back all the same";
            return Ok(Outcome::fail(format!("nothing was rolled back: {why}; {hint}")));
        }
        (Some(why), Some(reason)) => warn(runner, "break-glass", &format!("{reason}; it was held: {why}")),
        (None, _) => {}
    }
    runner.say(&report::way_back(&back.returns));
    diary.note_or_say(|journal| journal.turn_back("it was asked for"), runner).await;
    let outcome = tokio::select! {
        biased;
        _signal = runner.cancelled() => Outcome::inconclusive(format!(
            "in the middle of a rollback; run `deploy-promote rollback --environment {}` again to finish it", project.environment.name
        )),
        why = hold.lost() => Outcome::inconclusive(format!("in the middle of a rollback, {why}")),
        outcome = put_back(target, project, &back, runner) => outcome,
    };
    if outcome.verdict == Verdict::Pass {
        diary.note_or_say(Journal::end, runner).await;
    }
    record(project, &back, &outcome, runner).await;
    let now = project.observe(target).await?;
    runner.summary(&report::status_summary(target.place(), &now))?;
    if runner.is_json() {
        runner.data(&report::status_json(target.place(), &now).to_string());
    }
    Ok(outcome)
}

/// Tells GitHub, afterwards: nothing there can hold a rollback up.
async fn record(project: &Project<'_>, back: &WayBack, outcome: &Outcome, runner: &Runner) {
    if let Some(shipment) = Shipment::returned(back)
        && !runner.is_cancelled()
    {
        let run = run_url(runner);
        Record::begin(project, &shipment, run.as_deref(), runner).await.end(outcome, runner).await;
    }
}

async fn put_back(target: &Target, project: &Project<'_>, back: &WayBack, runner: &Runner) -> Outcome {
    let mut failed = Vec::new();
    // All are put back before one is waited for: a mixture of releases should not last. One that cannot be put back is
    // no reason to leave the others.
    let mut arriving = Vec::new();
    for service in &back.returns {
        let registry =
            service.to.image.as_ref().map(|image| image.repository.registry().to_owned()).unwrap_or_default();
        match target.restore(service, project.login(&registry).as_ref()).await {
            Ok(applied) => arriving.push(applied),
            Err(error) => failed.push(format!("`{}`: {error}", service.service)),
        }
    }
    for applied in &arriving {
        match rollout::arrive(applied, runner).await {
            Ok(Next::Done | Next::Wait(_)) => runner.say(&format!("`{}` is back", applied.service())),
            Ok(
                Next::RollBack { cause }
                | Next::RolledBack { cause }
                | Next::Overtaken { cause }
                | Next::Stuck { cause },
            ) => failed.push(cause),
            Err(error) => failed.push(format!("`{}`: {error}", applied.service())),
        }
    }
    if !failed.is_empty() {
        let again =
            format!("`deploy-promote status --environment {}` shows what serves", project.environment.name);
        return Outcome::fail(format!("the rollback failed: {}; {again}", failed.join("; ")));
    }
    let unmoved = if back.stay.is_empty() {
        String::new()
    } else {
        format!("; {} came with the release that was left, and stays", back.stay.join(", "))
    };
    let version = back
        .returns
        .iter()
        .find_map(|service| service.to.stamp.as_ref())
        .map_or("what was there before", |stamp| &stamp.version);
    Outcome::pass(format!("{version} serves in {} again{unmoved}", project.environment.name))
}
