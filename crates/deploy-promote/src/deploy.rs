//! `deploy-promote deploy`.

use serde_json::{Value, json};
use shipkit_core::config::{OnInconclusive, Rollback};
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::journal::{Journal, Migration};
use shipkit_core::plan::deployed_tag;
use shipkit_core::target::Change;
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_docker::Memory;
use shipkit_registry::Move;
use shipkit_runner::{Annotation, Failure, Level, Runner, env};

use crate::args::DeployArgs;
use crate::hold::{Diary, Hold};
use crate::prepare::{Prepared, Ready, prepare};
use crate::project::Project;
use crate::rollout::{Ended, Rollout};
use crate::{admission, github, report};

/// What a run says that was cancelled early enough.
pub(crate) const UNTOUCHED: &str = "nothing was changed";

/// The smoke evidence: the verdict, and what each check found.
type Smoke = (Outcome, Value);

/// Admission, preflight, rollout, verification, record; what fails after the first change is taken back as a whole.
pub(crate) async fn run(
    project: &Project<'_>,
    args: &DeployArgs,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
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
    let hold = match Hold::take(&ready.target, ready.deadline, runner).await? {
        Ok(hold) => hold,
        Err(outcome) => return Ok(outcome),
    };
    // Another run may have been there between the look and the lease.
    let ended = match project.observe(&ready.target).await {
        Ok(observed) if observed == ready.observed => carry_out(&ready, &hold, runner).await,
        Ok(_) => match prepare().await {
            Ok(Prepared::Ready(ready)) => carry_out(&ready, &hold, runner).await,
            Ok(Prepared::Ended(outcome)) => Ok(outcome),
            Err(failure) => Err(failure),
        },
        Err(error) => Err(error.into()),
    };
    hold.end(runner).await;
    ended
}

/// From here on the target changes. A cancelled run stops waiting and says what serves.
async fn carry_out(ready: &Ready<'_>, hold: &Hold, runner: &Runner) -> Result<Outcome, Failure> {
    let (project, shipped) = (ready.project, &ready.shipped);
    if let Some(broken_glass) = &ready.broken_glass {
        let kept = ready.registry.put_evidence(&shipped.repository, &shipped.digest, broken_glass).await;
        kept.map_err(|error| Failure::from(error).context("why the release goes there could not be kept"))?;
    }
    let shipment = github::Shipment::of(&shipped.digest, &shipped.release);
    let record = tokio::select! {
        biased;
        _signal = runner.cancelled() => return Ok(Outcome::inconclusive(UNTOUCHED)),
        record = github::Record::begin(project, &shipment, ready.run.as_deref(), runner) => record,
    };
    let outcome = tokio::select! {
        biased;
        _signal = runner.cancelled() => cancelled(ready).await,
        why = hold.lost() => lost(&why, ready).await,
        outcome = roll_out_and_verify(ready, hold, runner) => outcome,
    };
    record.end(&outcome, runner).await;
    let now = ready.project.observe(&ready.target).await.ok();
    report::deployed(ready, &outcome, now.as_ref(), runner)?;
    Ok(outcome)
}

async fn roll_out_and_verify(ready: &Ready<'_>, hold: &Hold, runner: &Runner) -> Outcome {
    let migration = match &ready.project.environment.migrate {
        Some(migrate) if !migrate.compatible => Migration::Breaking,
        Some(_) | None => Migration::Compatible,
    };
    let mut diary = match hold.begin(&ready.desired.stamp, &ready.shipped.repository, migration).await {
        Ok(diary) => diary,
        Err(error) => return Outcome::inconclusive(format!("{UNTOUCHED}: {error}")),
    };
    let login = ready.project.login(ready.shipped.repository.registry());
    if let Err(outcome) = ready.hooks.run(ready, &mut diary, login.as_ref(), runner).await {
        let cause = format!("{}; nothing was rolled out, {}", outcome.cause, serves(ready).await);
        diary.note_or_say(Journal::end, runner).await;
        let outcome = Outcome { cause: ready.project.redact(&cause), ..outcome };
        return keep_evidence(ready, &outcome, None, runner).await;
    }
    let mut rollout = Rollout::new(&ready.target, &ready.desired, login, ready.deadline);
    let mut outcome = match rollout.forward(&ready.changes, runner).await {
        Ended::Done => Outcome::pass(""),
        Ended::Failed { cause, is_unknown: false } => Outcome::fail(cause),
        Ended::Failed { cause, is_unknown: true } => Outcome::inconclusive(cause),
    };
    let mut smoke = None;
    if outcome.verdict == Verdict::Pass {
        let found = verify(ready, runner).await;
        outcome = found.0.clone();
        smoke = Some(found);
    }
    let outcome = if goes_back(outcome.verdict, ready) && has_changed(ready) {
        back(&outcome, &mut rollout, &mut diary, ready, runner).await
    } else {
        settled(&outcome, ready)
    };
    let mut outcome = if outcome.verdict == Verdict::Pass {
        confirmed(outcome, ready, &diary, runner).await
    } else {
        outcome
    };
    outcome.cause = ready.project.redact(&outcome.cause);
    diary.note_or_say(Journal::end, runner).await;
    let outcome = keep_evidence(ready, &outcome, smoke, runner).await;
    if outcome.verdict == Verdict::Pass {
        point_at_it(ready, runner).await;
    }
    outcome
}

/// Whether the environment wants back what was there, after such a verdict.
fn goes_back(verdict: Verdict, ready: &Ready<'_>) -> bool {
    match verdict {
        Verdict::Pass | Verdict::Skipped => false,
        Verdict::Fail => ready.project.environment.rollback == Rollback::Auto,
        Verdict::Inconclusive | Verdict::Unreachable => {
            ready.project.environment.on_inconclusive == OnInconclusive::Rollback
        }
    }
}

/// Moves the tag that names what is deployed: for people, and for `build-tag plan`, which says what changed since. What
/// runs is the target's to say, so a tag that could not be moved is a remark.
async fn point_at_it(ready: &Ready<'_>, runner: &Runner) {
    let Ok(tag) = deployed_tag(&ready.project.environment.name) else { return };
    let image = ready.shipped.repository.at(&ready.shipped.digest);
    if let Err(error) = ready.registry.tag(&image, &tag, Move::Moving).await {
        warn(runner, "after the rollout", &format!("the tag `{tag}` could not be moved: {error}"));
    }
}

/// Asks the running release. Without a `url` nothing can be asked, and that is said.
async fn verify(ready: &Ready<'_>, runner: &Runner) -> Smoke {
    let Some((url, checks)) = &ready.checks else {
        return (Outcome::skipped("the environment has no `url`, so nothing was verified"), Value::Null);
    };
    runner.say(&format!("verifying {url}"));
    let options = shipkit_smoke::Options { deadline: ready.deadline, ..shipkit_smoke::Options::default() };
    match shipkit_smoke::run(url, checks.clone(), &options).await {
        Ok(report) => {
            report::smoke(&report, &ready.project.args.config, runner);
            let details = ready.project.redact_all(json!(report.checks));
            (report.outcome, details)
        }
        Err(error) => {
            (Outcome::inconclusive(format!("the verification could not be run: {error}")), Value::Null)
        }
    }
}

async fn back(
    outcome: &Outcome,
    rollout: &mut Rollout<'_>,
    diary: &mut Diary,
    ready: &Ready<'_>,
    runner: &Runner,
) -> Outcome {
    let (verdict, name) = (outcome.verdict, &ready.project.environment.name);
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
    match ready.project.observe(&ready.target).await {
        Ok(observed) => report::serves(&ready.project.config, &observed),
        Err(error) => format!("what serves could not be found out: {error}"),
    }
}

fn settled(outcome: &Outcome, ready: &Ready<'_>) -> Outcome {
    let version = &ready.shipped.release.version;
    let (name, cause) = (&ready.project.environment.name, &outcome.cause);
    let cause = match outcome.verdict {
        Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable
            if goes_back(outcome.verdict, ready) && !has_changed(ready) =>
        {
            format!("{cause}; nothing had changed, so nothing was taken back")
        }
        Verdict::Pass => format!("{version} serves in {name}: {cause}"),
        Verdict::Skipped => format!("{version} runs in {name}: {cause}"),
        Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable => {
            format!(
                "{cause}; nothing was rolled back, `deploy-promote rollback --environment {name}` does it"
            )
        }
    };
    // Deployed and not verified is a deployment; that nothing was verified stands in the smoke evidence.
    let verdict = if outcome.verdict == Verdict::Skipped { Verdict::Pass } else { outcome.verdict };
    Outcome { verdict, cause }
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
        Ok(Memory::Kept) => return,
        Ok(Memory::OnlyListed { bytes }) => {
            format!("its specifications have {} kB, and the engine keeps fewer than 500 kB", bytes / 1024)
        }
        Err(error) => error.to_string(),
    };
    let version = &ready.shipped.release.version;
    warn(
        runner,
        "after the rollout",
        &format!("`rollback --to {version}` will not reach this release: {why}"),
    );
}

/// Writes what was found as evidence on the release. Evidence that cannot be written turns a pass into `inconclusive`:
/// the next environment could not admit the release.
async fn keep_evidence(
    ready: &Ready<'_>,
    outcome: &Outcome,
    smoke: Option<Smoke>,
    runner: &Runner,
) -> Outcome {
    let environment = &ready.project.environment.name;
    let mut records =
        vec![admission::record(Kind::Deployment, outcome, environment, runner.now(), ready.run.clone())];
    if let Some((found, details)) = smoke {
        let found = Outcome { cause: ready.project.redact(&found.cause), ..found };
        let record = admission::record(Kind::Smoke, &found, environment, runner.now(), ready.run.clone());
        records.push(Record { details, ..record });
    }
    for record in &records {
        if let Err(error) =
            ready.registry.put_evidence(&ready.shipped.repository, &ready.shipped.digest, record).await
        {
            let said = format!(
                "{}; but the {} evidence could not be stored: {error}",
                outcome.cause,
                record.kind.word()
            );
            let verdict =
                if outcome.verdict == Verdict::Fail { Verdict::Fail } else { Verdict::Inconclusive };
            return Outcome { verdict, cause: said };
        }
    }
    outcome.clone()
}

/// Somebody else has the target now.
async fn lost(why: &str, ready: &Ready<'_>) -> Outcome {
    Outcome::inconclusive(format!("in the middle of a rollout, {why}; {}", serves(ready).await))
}

async fn cancelled(ready: &Ready<'_>) -> Outcome {
    let name = &ready.project.environment.name;
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
