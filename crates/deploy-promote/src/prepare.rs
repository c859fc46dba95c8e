//! Before anything changes: everything is read, and every reason not to begin is found.

use std::time::Duration;

use jiff::Timestamp;
use shipkit_core::evidence::Record;
use shipkit_core::plan::release_repository;
use shipkit_core::target::{Change, Desired, Observed, Stamp, plan};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{Digest, Release, Repository};
use shipkit_registry::Registry;
use shipkit_runner::{Failure, Runner, env};
use url::Url;

use crate::admission::{self, Admission};
use crate::args::DeployArgs;
use crate::deploy::{run_url, warn};
use crate::hooks::Hooks;
use crate::problems::Problems;
use crate::project::Project;
use crate::target::Target;
use crate::{checks, desired, report, space};

/// What a check says that found nothing.
const CLEAR: &str = "nothing is in the way";

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
    pub(crate) registry: Registry,
    pub(crate) target: Target,
    pub(crate) observed: Observed,
    pub(crate) desired: Desired,
    /// What runs before the first change.
    pub(crate) hooks: Hooks,
    pub(crate) changes: Vec<Change>,
    pub(crate) checks: Option<(Url, Vec<shipkit_smoke::Check>)>,
    pub(crate) deadline: Duration,
    pub(crate) run: Option<String>,
    /// What is kept before anything changes where the release is not admitted and goes there all the same.
    pub(crate) broken_glass: Option<Record>,
}

/// What looking around came to.
pub(crate) enum Prepared<'a> {
    /// It ends here: the release is not admitted, or nothing should change.
    Ended(Outcome),
    /// The target may be changed.
    Ready(Box<Ready<'a>>),
}

/// Finds everything that is in the way of a deploy.
pub(crate) async fn check(
    project: &Project<'_>,
    args: &DeployArgs,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    match prepare(project, args, true, runner).await? {
        Prepared::Ended(outcome) => Ok(outcome),
        Prepared::Ready(_) => Ok(Outcome::pass(CLEAR)),
    }
}

/// Reads everything and decides, and changes nothing. A release that is not admitted ends it; after that every problem is
/// looked for before the first is told. Where `is_check`, a refusal is one of them.
pub(crate) async fn prepare<'a>(
    project: &'a Project<'a>,
    args: &DeployArgs,
    is_check: bool,
    runner: &Runner,
) -> Result<Prepared<'a>, Failure> {
    let mut problems = of_config(project, runner)?;
    if !is_check {
        problems.told()?;
    }
    let (registry, shipped) = release(project, args, runner).await?;
    let checks = problems.note(checks::of(project, &shipped.release));
    let needs = &project.environment.needs;
    let admission =
        admission::ask(&registry, &shipped.repository, &shipped.digest, &shipped.release, needs).await;
    report::admission(&admission, runner);
    let broken_glass = broken_glass(project, args, &admission.outcome, runner)?;
    if admission.outcome.verdict != Verdict::Pass && broken_glass.is_none() {
        let refusal = not_admitted(project, &shipped, &admission);
        if !is_check {
            runner.summary(&report::refusal(&refusal, &admission))?;
            return Ok(Prepared::Ended(refusal));
        }
        problems.refused(&refusal);
    }
    let Some(target) = problems.note(project.target(runner).await) else { return problems.ended() };
    let Some(observed) = problems.note(project.observe(&target).await) else { return problems.ended() };
    let run = run_url(runner);
    let stamp = stamp(project, &shipped, run.clone(), runner.now());
    let wanted = wanted(project, &shipped, stamp, (&registry, &target, &observed)).await;
    let Some(desired) = problems.note(wanted) else { return problems.ended() };
    let login = project.login(shipped.repository.registry());
    for remark in target.preflight(&desired, &observed, login.as_ref(), &mut problems).await {
        warn(runner, "before the rollout", &remark);
    }
    let home = (&registry, shipped.repository.registry());
    problems.note(space::check(&target, &desired, &observed, home).await);
    let changes = plan(&desired, &observed);
    let environment = &project.environment;
    let hooks = Hooks::of(&environment.backup, environment.migrate.as_ref(), &changes);
    problems.note(hooks.check().await);
    problems.told()?;
    let Some(checks) = checks else { return problems.ended() };
    if is_check || project.args.dry_run {
        runner.data(&report::plan(&hooks, &changes));
        let end = if is_check { CLEAR } else { "dry run: nothing was changed" };
        return Ok(Prepared::Ended(Outcome::pass(end)));
    }
    let deadline = args.timeout.unwrap_or(project.environment.timeout);
    let ready = Ready {
        project,
        shipped,
        registry,
        target,
        observed,
        desired,
        hooks,
        changes,
        checks,
        deadline,
        run,
        broken_glass,
    };
    Ok(Prepared::Ready(Box::new(ready)))
}

/// What the configuration asks for and cannot be had. What it says that is not acted upon is told.
fn of_config(project: &Project<'_>, runner: &Runner) -> Result<Problems, Failure> {
    let mut problems = Problems::default();
    problems.note(desired::refuse_what_is_missing(&project.config, &project.environment));
    problems.note(desired::refuse_proxy_for_nobody(&project.config, &project.environment));
    project.kind()?;
    problems.note(project.refuse_missing_secrets());
    for remark in desired::ignored(&project.config, &project.environment) {
        warn(runner, "not acted upon", &remark);
    }
    Ok(problems)
}

/// The release in the words of the target.
async fn wanted(
    project: &Project<'_>,
    shipped: &Shipped,
    stamp: Stamp,
    (registry, target, observed): (&Registry, &Target, &Observed),
) -> Result<Desired, Failure> {
    match target {
        Target::Swarm { stack, .. } => {
            desired::stack(project, &shipped.release, (stack, stamp), registry, observed).await
        }
        Target::Compose { compose, stack, .. } => {
            let desired = desired::project(project, &shipped.release, (stack, stamp))?;
            Ok(compose.complete(desired).await?)
        }
        Target::Cluster(cluster) => {
            desired::workloads(project, &shipped.release, (cluster.namespace(), stamp))
        }
    }
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

/// The reason that `--break-glass` gives.
pub(crate) fn reason(given: Option<&str>) -> Result<Option<&str>, Failure> {
    let reason = given.map(str::trim);
    if reason.is_some_and(str::is_empty) {
        let empty = Failure::usage("`break-glass` gives no reason");
        return Err(empty.with_hint("say why, for those who read it later"));
    }
    Ok(reason)
}

/// Who gives a reason.
pub(crate) fn actor(runner: &Runner) -> Option<&str> {
    runner.env().get(env::GITHUB_ACTOR).or_else(|| runner.env().get(env::USER))
}

/// The record of a refusal that is passed over; `None` where none is, or where there is nothing to pass over.
fn broken_glass(
    project: &Project<'_>,
    args: &DeployArgs,
    admission: &Outcome,
    runner: &Runner,
) -> Result<Option<Record>, Failure> {
    let Some(reason) = reason(args.break_glass.as_deref())? else { return Ok(None) };
    if admission.verdict == Verdict::Pass {
        runner.say("break-glass: not needed, the release is admitted");
        return Ok(None);
    }
    let environment = &project.environment.name;
    let record =
        admission::break_glass(admission, &project.redact(reason), actor(runner), |kind, outcome| {
            admission::record(kind, outcome, environment, runner.now(), run_url(runner))
        });
    warn(runner, "break-glass", &record.cause);
    Ok(Some(record))
}

fn not_admitted(project: &Project<'_>, shipped: &Shipped, admission: &Admission) -> Outcome {
    let (version, name) = (&shipped.release.version, &project.environment.name);
    let cause = format!("{version} is not admitted to {name}: {}", admission.outcome.cause);
    Outcome { verdict: admission.outcome.verdict, cause }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something() {
        assert_eq!(reason(None).unwrap(), None);
        assert_eq!(reason(Some(" outage ")).unwrap(), Some("outage"));
        for blank in ["", " "] {
            assert!(reason(Some(blank)).unwrap_err().sentence().contains("gives no reason"));
        }
    }
}
