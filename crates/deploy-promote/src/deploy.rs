//! `deploy-promote deploy`.

use std::time::Duration;

use serde_json::Value;
use shipkit_core::journal::{Journal, Migration};
use shipkit_core::target::{Change, Observed, Order, Replacement};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_docker::Memory;
use shipkit_runner::{Annotation, Failure, Level, Runner, env};

use crate::analysis::analyse;
use crate::args::DeployArgs;
use crate::candidate::Smoke;
use crate::hold::{Diary, Hold};
use crate::hooks;
use crate::prepare::{Prepared, Ready, prepare};
use crate::preview::compared;
use crate::project::Project;
use crate::report::{self, Done};
use crate::rollout::{Ended, Rollout};
use crate::story::Story;
use crate::target::Target;

/// What a run says that was cancelled early enough.
pub(crate) const UNTOUCHED: &str = "nothing was changed";

/// Admission, preflight, rollout, verification, record; what fails after the first change is taken back as a whole.
pub(crate) async fn run(
    project: &Project<'_>,
    args: &DeployArgs,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
    let mut story = Story::begin();
    let prepare = || async {
        tokio::select! {
            biased;
            _signal = runner.cancelled() => Ok(Prepared::Ended(Outcome::inconclusive(UNTOUCHED))),
            prepared = prepare(project, args, false, runner) => prepared,
        }
    };
    let ready = match prepare().await? {
        Prepared::Ended(outcome) => return Ok(outcome),
        Prepared::Ready(ready) => ready,
    };
    if let Target::Cluster(cluster) = &ready.target {
        cluster.make_namespace().await?;
    }
    let hold = match Hold::take(&ready.target, ready.candidate.deadline, runner).await? {
        Ok(hold) => hold,
        Err(outcome) => return Ok(outcome),
    };
    // Another run may have been there between the look and the lease.
    let ended = match project.observe(&ready.target).await {
        Ok(observed) if observed == ready.observed => carry_out(&ready, &hold, &mut story, runner).await,
        Ok(_) => match prepare().await {
            Ok(Prepared::Ready(ready)) => carry_out(&ready, &hold, &mut story, runner).await,
            Ok(Prepared::Ended(outcome)) => Ok(outcome),
            Err(failure) => Err(failure),
        },
        Err(error) => Err(error.into()),
    };
    hold.end(runner).await;
    ended
}

/// From here on the target changes. A cancelled run stops waiting and says what serves.
async fn carry_out(
    ready: &Ready<'_>,
    hold: &Hold,
    story: &mut Story,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    ready.candidate.keep_broken_glass().await?;
    let record = tokio::select! {
        biased;
        _signal = runner.cancelled() => return Ok(Outcome::inconclusive(UNTOUCHED)),
        record = ready.candidate.begin_record(runner) => record,
    };
    story.end("prepare");
    let outcome = tokio::select! {
        biased;
        _signal = runner.cancelled() => cancelled(ready).await,
        why = hold.lost() => lost(&why, ready).await,
        outcome = roll_out_and_verify(ready, hold, story, runner) => outcome,
    };
    record.end(&outcome, runner).await;
    let now = ready.candidate.project.observe(&ready.target).await.ok();
    report::deployed(&ready.candidate, &done(ready, story, now.as_ref()), &outcome, runner)?;
    Ok(outcome)
}

/// What was planned, what served before, and what serves now: after a failure that is not what was shipped.
fn done(ready: &Ready<'_>, story: &Story, now: Option<&Observed>) -> Done {
    let stamps = ready.observed.services.iter().filter_map(|service| service.stamp.as_ref());
    // What was adopted is no release that anybody could look up.
    let previous = stamps.max_by_key(|stamp| stamp.time).filter(|stamp| !stamp.is_adopted());
    Done {
        steps: ready.changes.iter().map(ToString::to_string).collect(),
        previous: previous.map(|stamp| stamp.release.clone()),
        digests: now.map_or(Value::Null, report::digests),
        timings: story.timings(),
        watched: story.seen(),
        analysed: story.analysed(),
    }
}

async fn roll_out_and_verify(ready: &Ready<'_>, hold: &Hold, story: &mut Story, runner: &Runner) -> Outcome {
    let candidate = &ready.candidate;
    let migration = match &candidate.project.environment.migrate {
        Some(migrate) if !migrate.compatible => Migration::Breaking,
        Some(_) | None => Migration::Compatible,
    };
    let mut diary = match hold.begin(&ready.desired.stamp, &candidate.shipped.repository, migration).await {
        Ok(diary) => diary,
        Err(error) => return Outcome::inconclusive(format!("{UNTOUCHED}: {error}")),
    };
    let login = candidate.project.login(candidate.shipped.repository.registry());
    if let Err(outcome) = ready.hooks.run(ready, &mut diary, login.as_ref(), runner).await {
        hooks::remove_what_was_made(&ready.target, runner).await;
        let cause = format!("{}; nothing was rolled out, {}", outcome.cause, serves(ready).await);
        diary.note_or_say(Journal::end, runner).await;
        let outcome = Outcome { cause: candidate.project.redact(&cause), ..outcome };
        return candidate.keep_evidence(&outcome, (Value::Null, None), runner).await;
    }
    story.end("hooks");
    let mut rollout = Rollout::new(ready, login);
    let (outcome, smoke) = forward(ready, &mut rollout, story, runner).await;
    let outcome = if candidate.goes_back(outcome.verdict) && has_changed(ready) {
        back(&outcome, &mut rollout, &mut diary, ready, runner).await
    } else {
        settled(&on_the_way(outcome, ready).await, ready)
    };
    let mut outcome = if outcome.verdict == Verdict::Pass {
        confirmed(outcome, ready, &diary, runner).await
    } else {
        outcome
    };
    outcome.cause = candidate.project.redact(&outcome.cause);
    diary.note_or_say(Journal::end, runner).await;
    let point = async {
        if outcome.verdict == Verdict::Pass {
            candidate.point_at_it(runner).await;
        }
    };
    tokio::join!(candidate.keep_evidence(&outcome, (story.details(), smoke), runner), point).0
}

/// Rolls out and asks what arrived; visitors are watched meanwhile.
async fn forward(
    ready: &Ready<'_>,
    rollout: &mut Rollout<'_>,
    story: &mut Story,
    runner: &Runner,
) -> (Outcome, Option<Smoke>) {
    let gate = async |_percent: u8| share(ready, runner).await;
    let changes = Box::pin(rollout.forward(&ready.changes, gate, runner));
    let (ended, seen) = if ready.changes.iter().all(Change::is_none) {
        (changes.await, Outcome::pass(""))
    } else {
        story.watching(&ready.candidate, may_stop(ready), changes, runner).await
    };
    story.end("rollout");
    let mut outcome = judged(ended).unwrap_or(Outcome::pass(""));
    if outcome.verdict == Verdict::Pass && seen.verdict == Verdict::Fail {
        outcome = seen;
    }
    if outcome.verdict != Verdict::Pass {
        return (outcome, None);
    }
    let smoke = ready.candidate.verify(&compared(&ready.previews), runner).await;
    story.end("verify");
    let mut outcome = smoke.0.clone();
    // Without a change there is no release that anything could be measured of.
    if matches!(outcome.verdict, Verdict::Pass | Verdict::Skipped)
        && !ready.changes.iter().all(Change::is_none)
    {
        let analysis = ready.candidate.project.environment.analysis.as_ref();
        let window = analysis.map_or(Duration::ZERO, |analysis| analysis.window);
        let analysed = Box::pin(analyse(&ready.candidate, &ready.target, window, runner)).await;
        outcome = story.note_analysis(outcome, analysed);
    }
    if matches!(outcome.verdict, Verdict::Pass | Verdict::Skipped) {
        outcome = judged(rollout.still(runner).await).unwrap_or(outcome);
    }
    (outcome, Some(smoke))
}

/// What users notice while a share of requests goes to the release, and what is measured then.
async fn share(ready: &Ready<'_>, runner: &Runner) -> Outcome {
    let candidate = &ready.candidate;
    let noticed = candidate.verify_share(&compared(&ready.previews), runner).await;
    if !matches!(noticed.verdict, Verdict::Pass | Verdict::Skipped) {
        return noticed;
    }
    let window = candidate.project.environment.canary.interval;
    let measured = Box::pin(analyse(candidate, &ready.target, window, runner)).await;
    measured.map_or(noticed, |(outcome, _)| outcome)
}

/// Whether the way of replacing lets a service stop before the next one serves.
fn may_stop(ready: &Ready<'_>) -> bool {
    let mut updates = ready.desired.services.iter().map(|service| &service.settings.update);
    updates.any(|update| update.order == Order::StopFirst || update.replacement == Replacement::Recreate)
}

/// How a rollout that failed ends.
fn judged(ended: Ended) -> Option<Outcome> {
    match ended {
        Ended::Done => None,
        Ended::Failed { cause, is_unknown: false } => Some(Outcome::fail(cause)),
        Ended::Failed { cause, is_unknown: true } => Some(Outcome::inconclusive(cause)),
    }
}

async fn back(
    outcome: &Outcome,
    rollout: &mut Rollout<'_>,
    diary: &mut Diary,
    ready: &Ready<'_>,
    runner: &Runner,
) -> Outcome {
    let (verdict, name) = (outcome.verdict, &ready.candidate.project.environment.name);
    if let Some(why) = diary.why_not_back() {
        let cause = format!(
            "{}; nothing was rolled back: {why}; {}; \
             `deploy-promote rollback --environment {name} --break-glass REASON` goes back all the same",
            outcome.cause,
            serves(ready).await
        );
        return Outcome { verdict, cause };
    }
    runner.say(&format!("taking back: {}", outcome.cause));
    diary.note_or_say(|journal| journal.turn_back(&outcome.cause), runner).await;
    let stuck = rollout.back(runner).await;
    let cause = if stuck.is_empty() {
        format!("rolled back: {}; {}", outcome.cause, serves(ready).await)
    } else {
        format!("the rollback failed as well: {}; it began because {}", stuck.join("; "), outcome.cause)
    };
    Outcome { verdict, cause }
}

/// Whether there is something to take back: what this run changes, or what a killed one left.
fn has_changed(ready: &Ready<'_>) -> bool {
    !ready.changes.iter().all(Change::is_none)
        || ready.observed.services.iter().any(|service| !service.is_confirmed)
}

/// Which release serves now, in one phrase.
async fn serves(ready: &Ready<'_>) -> String {
    match ready.candidate.project.observe(&ready.target).await {
        Ok(observed) => report::serves(&ready.candidate.project.config, &observed),
        Err(error) => format!("what serves could not be found out: {error}"),
    }
}

/// A release that stays in the middle of its steps: who gets what, and how it goes on.
async fn on_the_way(outcome: Outcome, ready: &Ready<'_>) -> Outcome {
    if matches!(outcome.verdict, Verdict::Pass | Verdict::Skipped) {
        return outcome;
    }
    // What cannot be found out is no reason to keep the outcome itself from being told.
    let shares = ready.target.shares().await.unwrap_or_default();
    if shares.is_empty() {
        return outcome;
    }
    let cause = format!("{}; {}; deploy again to go on from there", outcome.cause, shares.join(", "));
    Outcome { cause, ..outcome }
}

fn settled(outcome: &Outcome, ready: &Ready<'_>) -> Outcome {
    if ready.candidate.goes_back(outcome.verdict) && !has_changed(ready) {
        let cause = format!("{}; nothing had changed, so nothing was taken back", outcome.cause);
        return Outcome { verdict: outcome.verdict, cause };
    }
    ready.candidate.settled(outcome)
}

async fn confirmed(outcome: Outcome, ready: &Ready<'_>, diary: &Diary, runner: &Runner) -> Outcome {
    match ready.target.confirm(&ready.desired, runner.now()).await {
        Ok(()) => {
            remember(ready, diary, runner).await;
            outcome
        }
        Err(error) => Outcome::inconclusive(format!(
            "{}; but that could not be written to the target: {error}",
            outcome.cause
        )),
    }
}

/// Keeps what it takes to come back one day. The release serves, whether that can be kept or not.
async fn remember(ready: &Ready<'_>, diary: &Diary, runner: &Runner) {
    let migration = if diary.why_not_back().is_some() { Migration::Breaking } else { Migration::Compatible };
    let why = match ready.target.remember(&ready.desired, migration, runner.now()).await {
        Ok(Memory::Kept) => {
            if let Err(error) = ready.target.remove_what_is_left().await {
                let what = "what is no part of this release any more is not all removed";
                warn(runner, "after the rollout", &format!("{what}: {error}"));
            }
            return;
        }
        Ok(Memory::OnlyListed { bytes }) => {
            format!("its specifications have {} kB, and the engine keeps fewer than 500 kB", bytes / 1024)
        }
        Err(error) => error.to_string(),
    };
    let version = &ready.candidate.shipped.release.version;
    warn(
        runner,
        "after the rollout",
        &format!("`rollback --to {version}` will not reach this release: {why}"),
    );
}

/// Somebody else has the target now.
async fn lost(why: &str, ready: &Ready<'_>) -> Outcome {
    Outcome::inconclusive(format!("in the middle of a rollout, {why}; {}", serves(ready).await))
}

async fn cancelled(ready: &Ready<'_>) -> Outcome {
    let name = &ready.candidate.project.environment.name;
    let (serves, left) = (serves(ready).await, ready.target.when_left_alone());
    Outcome::inconclusive(format!(
        "in the middle of a rollout; {serves}; {left}; \
         deploy again to finish the rest, or go back with `deploy-promote rollback --environment {name}`"
    ))
}

/// Whoever opens a pull request controls what is built from it.
pub(crate) fn refuse_pull_requests(runner: &Runner) -> Result<(), Failure> {
    match runner.env().get(env::GITHUB_EVENT_NAME) {
        Some(name) if name.starts_with("pull_request") => {
            Err(Failure::usage(format!("a `{name}` event never changes an environment"))
                .with_hint("do it from a push, a tag or by hand"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn run_url(runner: &Runner) -> Option<String> {
    let env = runner.env();
    let (server, repository) = (env.get(env::GITHUB_SERVER_URL)?, env.get(env::GITHUB_REPOSITORY)?);
    let (id, attempt) = (env.get(env::GITHUB_RUN_ID)?, env.get(env::GITHUB_RUN_ATTEMPT).unwrap_or("1"));
    Some(format!("{server}/{repository}/actions/runs/{id}/attempts/{attempt}"))
}

pub(crate) fn warn(runner: &Runner, title: &str, message: &str) {
    let (title, message) = (title.to_owned(), message.to_owned());
    runner.annotate(Annotation { level: Level::Warning, title, message, file: None, line: None });
}
