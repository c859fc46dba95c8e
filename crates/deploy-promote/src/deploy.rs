//! `deploy-promote deploy`.

use jiff::Timestamp;
use serde_json::{Value, json};
use shipkit_core::config::{OnInconclusive, Rollback};
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::plan::{deployed_tag, release_repository};
use shipkit_core::target::{Change, Desired, Observed, Stamp, plan};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{Digest, Release, Repository};
use shipkit_registry::{Move, Registry};
use shipkit_runner::{Annotation, Failure, Level, Runner, env};
use url::Url;

use crate::admission::{self, Admission};
use crate::args::DeployArgs;
use crate::github;
use crate::project::Project;
use crate::rollout::{Ended, Rollout};
use crate::target::Target;
use crate::{checks, desired, report};

/// What a run says that was cancelled early enough.
const UNTOUCHED: &str = "nothing was changed";

/// A release that was found, and where.
pub(crate) struct Shipped {
    /// The repository that holds it.
    pub(crate) repository: Repository,
    /// Its identity.
    pub(crate) digest: Digest,
    /// What it says.
    pub(crate) release: Release,
}

/// Everything that a deploy needs, read before anything changes.
pub(crate) struct Ready<'a> {
    pub(crate) project: &'a Project<'a>,
    pub(crate) shipped: Shipped,
    registry: Registry,
    target: Target,
    pub(crate) observed: Observed,
    desired: Desired,
    pub(crate) changes: Vec<Change>,
    checks: Option<(Url, Vec<shipkit_smoke::Check>)>,
    deadline: std::time::Duration,
    run: Option<String>,
}

/// What looking around came to.
enum Prepared<'a> {
    /// It ends here: the release is not admitted, or nothing should change.
    Ended(Outcome),
    /// The target may be changed.
    Ready(Box<Ready<'a>>),
}

/// The smoke evidence: the verdict, and what each check found.
type Smoke = (Outcome, Value);

/// Admission, preflight, rollout, verification, record; what fails after the first change is taken back as a whole.
pub(crate) async fn run(
    project: &Project<'_>,
    args: &DeployArgs,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
    let prepared = tokio::select! {
        biased;
        _signal = runner.cancelled() => Prepared::Ended(Outcome::inconclusive(UNTOUCHED)),
        prepared = prepare(project, args, runner) => prepared?,
    };
    match prepared {
        Prepared::Ended(outcome) => Ok(outcome),
        Prepared::Ready(ready) => carry_out(&ready, runner).await,
    }
}

/// Reads everything and decides, and changes nothing.
async fn prepare<'a>(
    project: &'a Project<'a>,
    args: &DeployArgs,
    runner: &Runner,
) -> Result<Prepared<'a>, Failure> {
    desired::refuse_what_is_missing(&project.config, &project.environment)?;
    project.kind()?;
    for remark in desired::ignored(&project.config, &project.environment) {
        warn(runner, "not acted upon", &remark);
    }
    let (registry, shipped) = release(project, args, runner).await?;
    let checks = checks::of(project, &shipped.release)?;
    let needs = &project.environment.needs;
    let admission =
        admission::ask(&registry, &shipped.repository, &shipped.digest, &shipped.release, needs).await;
    report::admission(&admission, runner);
    if admission.outcome.verdict != Verdict::Pass {
        return refused(project, &shipped, &admission, runner).map(Prepared::Ended);
    }
    let target = project.target(runner).await?;
    let observed = project.observe(&target).await?;
    let run = run_url(runner);
    let stamp = stamp(project, &shipped, run.clone(), runner.now());
    let desired = match &target {
        Target::Swarm { stack, .. } => {
            desired::stack(project, &shipped.release, (stack, stamp), &registry, &observed).await?
        }
        Target::Cluster(cluster) => {
            desired::workloads(project, &shipped.release, (cluster.namespace(), stamp))?
        }
    };
    for remark in target.preflight(&desired, &observed).await? {
        warn(runner, "before the rollout", &remark);
    }
    let changes = plan(&desired, &observed);
    if project.args.dry_run {
        runner.data(&report::changes(&changes));
        return Ok(Prepared::Ended(Outcome::pass("dry run: nothing was changed")));
    }
    let deadline = args.timeout.unwrap_or(project.environment.timeout);
    let ready =
        Ready { project, shipped, registry, target, observed, desired, changes, checks, deadline, run };
    Ok(Prepared::Ready(Box::new(ready)))
}

/// From here on the target changes. A cancelled run stops waiting and says what serves.
async fn carry_out(ready: &Ready<'_>, runner: &Runner) -> Result<Outcome, Failure> {
    let (project, shipped) = (ready.project, &ready.shipped);
    let shipment = github::Shipment::of(&shipped.digest, &shipped.release);
    let record = tokio::select! {
        biased;
        _signal = runner.cancelled() => return Ok(Outcome::inconclusive(UNTOUCHED)),
        record = github::Record::begin(project, &shipment, ready.run.as_deref(), runner) => record,
    };
    let outcome = tokio::select! {
        biased;
        _signal = runner.cancelled() => cancelled(ready).await,
        outcome = roll_out_and_verify(ready, runner) => outcome,
    };
    record.end(&outcome, runner).await;
    let now = ready.project.observe(&ready.target).await.ok();
    report::deployed(ready, &outcome, now.as_ref(), runner)?;
    Ok(outcome)
}

async fn roll_out_and_verify(ready: &Ready<'_>, runner: &Runner) -> Outcome {
    let login = ready.project.login(ready.shipped.repository.registry());
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
    let goes_back = match outcome.verdict {
        Verdict::Pass | Verdict::Skipped => false,
        Verdict::Fail => ready.project.environment.rollback == Rollback::Auto,
        Verdict::Inconclusive | Verdict::Unreachable => {
            ready.project.environment.on_inconclusive == OnInconclusive::Rollback
        }
    };
    let outcome =
        if goes_back { back(&outcome, &mut rollout, ready, runner).await } else { settled(&outcome, ready) };
    let mut outcome =
        if outcome.verdict == Verdict::Pass { confirmed(outcome, ready, runner).await } else { outcome };
    outcome.cause = ready.project.redact(&outcome.cause);
    let outcome = keep_evidence(ready, &outcome, smoke, runner).await;
    if outcome.verdict == Verdict::Pass {
        point_at_it(ready, runner).await;
    }
    outcome
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

async fn back(outcome: &Outcome, rollout: &mut Rollout<'_>, ready: &Ready<'_>, runner: &Runner) -> Outcome {
    runner.say(&format!("taking back: {}", outcome.cause));
    let stuck = rollout.back(runner).await;
    let cause = if !has_changed(ready) {
        format!("{}; nothing had changed, so nothing was taken back", outcome.cause)
    } else if stuck.is_empty() {
        format!("rolled back: {}; {}", outcome.cause, serves(ready).await)
    } else {
        format!("the rollback failed as well: {}; it began because {}", stuck.join("; "), outcome.cause)
    };
    Outcome { verdict: outcome.verdict, cause }
}

/// Whether there is something to take back: what this run changes, or what a killed one left.
fn has_changed(ready: &Ready<'_>) -> bool {
    let is_left = |change: &Change| matches!(change, Change::Keep { .. } | Change::LeaveStateful { .. });
    !ready.changes.iter().all(is_left) || ready.observed.services.iter().any(|service| !service.is_confirmed)
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

async fn confirmed(outcome: Outcome, ready: &Ready<'_>, runner: &Runner) -> Outcome {
    match ready.target.confirm(&ready.desired, runner.now()).await {
        Ok(()) => outcome,
        Err(error) => Outcome::inconclusive(format!(
            "{}; but that could not be written to the target: {error}",
            outcome.cause
        )),
    }
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

async fn cancelled(ready: &Ready<'_>) -> Outcome {
    let name = &ready.project.environment.name;
    let (serves, left) = (serves(ready).await, ready.target.when_left_alone());
    Outcome::inconclusive(format!(
        "in the middle of a rollout; {serves}; {left}; \
         deploy again to finish the rest, or go back with `deploy-promote rollback --environment {name}`"
    ))
}

async fn release(
    project: &Project<'_>,
    args: &DeployArgs,
    runner: &Runner,
) -> Result<(Registry, Shipped), Failure> {
    let repository = match &args.repository {
        Some(repository) => repository.clone(),
        None => release_repository(runner.env().get(env::GITHUB_REPOSITORY), &project.config)?,
    };
    let registry = project.registry(&repository, runner)?;
    let digest = registry.find_release(&repository, &args.release).await?;
    let release = registry.release(&repository, &digest).await?;
    if release.name != project.config.name {
        return Err(Failure::usage(format!(
            "release {} is of `{}`, and this is `{}`",
            release.version, release.name, project.config.name
        )));
    }
    Ok((registry, Shipped { repository, digest, release }))
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

fn refused(
    project: &Project<'_>,
    shipped: &Shipped,
    admission: &Admission,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let outcome = Outcome {
        verdict: admission.outcome.verdict,
        cause: format!(
            "{} is not admitted to {}: {}",
            shipped.release.version, project.environment.name, admission.outcome.cause
        ),
    };
    runner.summary(&report::refusal(&outcome, admission))?;
    Ok(outcome)
}

fn stamp(project: &Project<'_>, shipped: &Shipped, run: Option<String>, time: Timestamp) -> Stamp {
    Stamp {
        release: shipped.digest.clone(),
        version: shipped.release.version.clone(),
        commit: shipped.release.commit.clone(),
        environment: project.environment.name.clone(),
        run,
        time,
    }
}

pub(crate) fn run_url(runner: &Runner) -> Option<String> {
    let env = runner.env();
    let (server, repository) = (env.get(env::GITHUB_SERVER_URL)?, env.get(env::GITHUB_REPOSITORY)?);
    let (id, attempt) = (env.get(env::GITHUB_RUN_ID)?, env.get(env::GITHUB_RUN_ATTEMPT).unwrap_or("1"));
    Some(format!("{server}/{repository}/actions/runs/{id}/attempts/{attempt}"))
}

fn warn(runner: &Runner, title: &str, message: &str) {
    let (title, message) = (title.to_owned(), message.to_owned());
    runner.annotate(Annotation { level: Level::Warning, title, message, file: None, line: None });
}
