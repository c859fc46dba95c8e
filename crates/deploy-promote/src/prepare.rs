//! Before anything changes: everything is read, and every reason not to begin is found.

use jiff::Timestamp;
use shipkit_core::config::TargetKind;
use shipkit_core::target::{Change, Desired, Observed, Stamp, plan};
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

use crate::args::DeployArgs;
use crate::candidate::Candidate;
use crate::deploy::warn;
use crate::hooks::Hooks;
use crate::preview::{self, Previews};
use crate::problems::Problems;
use crate::project::Project;
use crate::target::Target;
use crate::{analysis, desired, manifests, report, rule_files, space, stack};

/// What a check says that found nothing.
pub(crate) const CLEAR: &str = "nothing is in the way";

/// Everything that a deploy needs, read before anything changes.
pub(crate) struct Ready<'a> {
    pub(crate) candidate: Candidate<'a>,
    pub(crate) target: Target,
    pub(crate) observed: Observed,
    pub(crate) desired: Desired,
    /// What runs before the first change.
    pub(crate) hooks: Hooks,
    pub(crate) changes: Vec<Change>,
    /// What new instances are asked before traffic goes to them.
    pub(crate) previews: Previews,
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
    let found = Candidate::find(project, args, is_check, &mut problems, runner).await?;
    let candidate = match found {
        Ok(candidate) => candidate,
        Err(refusal) => return Ok(Prepared::Ended(refusal)),
    };
    let shipped = &candidate.shipped;
    let previews = problems.note(preview::of(project, &shipped.release, runner)).unwrap_or_default();
    let Some(mut target) = problems.note(project.target(runner).await) else { return problems.ended() };
    if let Target::Cluster(cluster) = &mut target
        && project.environment.target.manifests.is_some()
    {
        let rendered = manifests::render(project, cluster, &shipped.release).await;
        let Some(remarks) = problems.note(rendered) else { return problems.ended() };
        for remark in remarks {
            warn(runner, "manifests", &remark);
        }
    }
    let Some(observed) = problems.note(project.observe(&target).await) else { return problems.ended() };
    let stamp = stamp(&candidate, runner.now());
    let wanted = wanted(&candidate, stamp, &target, &observed).await;
    let Some(desired) = problems.note(wanted) else { return problems.ended() };
    let login = project.login(shipped.repository.registry());
    for remark in target.preflight(&desired, &observed, login.as_ref(), &mut problems).await {
        warn(runner, "before the rollout", &remark);
    }
    let home = (&candidate.registry, shipped.repository.registry());
    problems.note(space::check(&target, &desired, &observed, home).await);
    analysis::check(&project.environment, Some(&target), &mut problems, runner).await;
    let previews = preview::can_be_asked(previews, &target, &mut problems, runner).await;
    let mut changes = plan(&desired, &observed);
    if let Target::Cluster(cluster) = &target {
        changes.extend(problems.note(cluster.objects().await).unwrap_or_default());
    }
    let way = if changes.iter().all(Change::is_none) { Ok(Vec::new()) } else { target.way().await };
    let way = problems.note(way).unwrap_or_default();
    let environment = &project.environment;
    let hooks = Hooks::of(environment, &changes);
    problems.note(hooks.check().await);
    problems.told()?;
    if is_check || project.args.dry_run {
        runner.data(&report::plan(&hooks, &changes, &way));
        let end = if is_check { CLEAR } else { "dry run: nothing was changed" };
        return Ok(Prepared::Ended(Outcome::pass(end)));
    }
    let ready = Ready { candidate, target, observed, desired, hooks, changes, previews };
    Ok(Prepared::Ready(Box::new(ready)))
}

/// What the configuration asks for and cannot be had. What it says that is not acted upon is told.
pub(crate) fn of_config(project: &Project<'_>, runner: &Runner) -> Result<Problems, Failure> {
    let mut problems = Problems::default();
    problems.note(desired::refuse_what_is_missing(&project.config, &project.environment));
    problems.note(desired::refuse_proxy_for_nobody(&project.config, &project.environment));
    if project.environment.target.kind != TargetKind::Command {
        project.kind()?;
    }
    problems.note(project.refuse_missing_secrets());
    rule_files::check(project, &mut problems);
    for remark in desired::ignored(&project.config, &project.environment) {
        warn(runner, "not acted upon", &remark);
    }
    Ok(problems)
}

/// The release in the words of the target.
async fn wanted(
    candidate: &Candidate<'_>,
    stamp: Stamp,
    target: &Target,
    observed: &Observed,
) -> Result<Desired, Failure> {
    let (project, release) = (candidate.project, &candidate.shipped.release);
    match target {
        Target::Swarm { files: Some(files), stack, .. } => {
            stack::wanted((project, files), release, (stack, stamp), &candidate.registry, observed).await
        }
        Target::Swarm { files: None, stack, .. } => {
            desired::stack(project, release, (stack, stamp), &candidate.registry, observed).await
        }
        Target::Compose { compose, stack, .. } => {
            let desired = desired::project(project, release, (stack, stamp))?;
            Ok(compose.complete(desired).await?)
        }
        Target::Cluster(cluster) => desired::workloads(project, release, (cluster, stamp)),
    }
}

fn stamp(candidate: &Candidate<'_>, time: Timestamp) -> Stamp {
    let Candidate { project, shipped, run, .. } = candidate;
    Stamp {
        release: shipped.digest.clone(),
        version: shipped.release.version.clone(),
        commit: shipped.release.commit.clone(),
        environment: project.environment.name.clone(),
        run: run.clone(),
        time,
    }
}
