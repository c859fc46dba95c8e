//! `deploy-promote adopt`: what other tools started is written down as what serves, and nothing of it restarts.

use shipkit_core::config::{Service, Source};
use shipkit_core::target::{Adoption, Candidate, adoption};
use shipkit_core::verdict::Outcome;
use shipkit_docker::Memory;
use shipkit_kubernetes::{Cluster, TakeOver};
use shipkit_runner::{Failure, Runner};

use crate::deploy::{refuse_pull_requests, run_url, warn};
use crate::hold::Hold;
use crate::problems::Problems;
use crate::project::Project;
use crate::target::Target;
use crate::{desired, manifests, report};

/// Looks at what is there, refuses what cannot be adopted, and adopts the rest all together.
pub(crate) async fn run(project: &Project<'_>, runner: &Runner) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
    let target = project.target(runner).await?;
    if let Target::Cluster(cluster) = &target
        && cluster.has_manifests()
    {
        return take_over(project, (cluster, &target), runner).await;
    }
    // What cannot be adopted needs no lease to say so.
    let adoption = look(project, &target, runner).await?;
    if project.args.dry_run {
        runner.data(&report::adoption(&adoption));
        return Ok(Outcome::pass("dry run: nothing was changed"));
    }
    let hold = match Hold::take(&target, project.environment.timeout, runner).await? {
        Ok(hold) => hold,
        Err(outcome) => return Ok(outcome),
    };
    let ended = adopt(project, (&target, &hold), runner).await;
    hold.end(runner).await;
    ended
}

/// Manifests: what `kubectl` and Helm have applied becomes ours, as it is.
async fn take_over(
    project: &Project<'_>,
    (cluster, target): (&Cluster, &Target),
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let found = cluster.applied_by_others(manifests::read(project)?).await?;
    let lines: Vec<_> =
        found.iter().map(|one| format!("take over `{}` from {}", one.object, one.from.join(", "))).collect();
    if project.args.dry_run {
        runner.data(&lines.join("\n"));
        return Ok(Outcome::pass("dry run: nothing was changed"));
    }
    if found.is_empty() {
        return Ok(Outcome::pass("nothing was left to adopt"));
    }
    let hold = match Hold::take(target, project.environment.timeout, runner).await? {
        Ok(hold) => hold,
        Err(outcome) => return Ok(outcome),
    };
    let each = async {
        for (one, line) in found.iter().zip(&lines) {
            runner.say(line);
            cluster.take_over(one).await?;
        }
        Ok::<(), Failure>(())
    };
    let ended = tokio::select! {
        biased;
        _signal = runner.cancelled() => Ok(stopped(project, "in the middle of it")),
        why = hold.lost() => Ok(stopped(project, &why)),
        ended = each => ended.map(|()| Outcome::pass(format!("adopted as it is: {}", objects(&found)))),
    };
    hold.end(runner).await;
    ended
}

fn objects(found: &[TakeOver]) -> String {
    found.iter().map(|one| one.object.as_str()).collect::<Vec<_>>().join(", ")
}

/// Under the lease: another run may have been there since the first look.
async fn adopt(
    project: &Project<'_>,
    (target, hold): (&Target, &Hold),
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let adoption = look(project, target, runner).await?;
    runner.say(&report::adoption(&adoption));
    let memory = tokio::select! {
        biased;
        _signal = runner.cancelled() => return Ok(stopped(project, "in the middle of it")),
        why = hold.lost() => return Ok(stopped(project, &why)),
        memory = target.adopt(&adoption, runner.now()) => memory?,
    };
    if let Memory::OnlyListed { .. } = memory {
        warn(
            runner,
            "after the adoption",
            "`rollback --to adopted` will not reach it: it is too large to be kept",
        );
    }
    let now = project.observe(target).await?;
    runner.output("url", project.environment.url.as_deref().unwrap_or_default())?;
    runner.output("digests", &report::digests(&now).to_string())?;
    runner.summary(&report::status_summary(target.place(), &now, &[]))?;
    if runner.is_json() {
        runner.data(&report::status_json(target.place(), &now, &[]).to_string());
    }
    let names: Vec<&str> = adoption.services.iter().map(|one| one.service.as_str()).collect();
    Ok(Outcome::pass(if names.is_empty() {
        "nothing was left to adopt".to_owned()
    } else {
        format!("adopted as it runs: {}", names.join(", "))
    }))
}

fn stopped(project: &Project<'_>, why: &str) -> Outcome {
    let again =
        format!("run `deploy-promote adopt --environment {}` again to finish it", project.environment.name);
    Outcome::inconclusive(format!("the adoption was stopped: {why}; nothing has restarted; {again}"))
}

/// What can be adopted.
///
/// # Errors
/// With everything that is in the way.
async fn look(project: &Project<'_>, target: &Target, runner: &Runner) -> Result<Adoption, Failure> {
    let services: Vec<(&str, &Service)> = project
        .config
        .services
        .iter()
        .filter(|(_, service)| belongs_to_a_release(target, service))
        .map(|(name, service)| (name.as_str(), service))
        .collect();
    let mut problems = Problems::default();
    if let Target::Compose { compose, .. } = target {
        for (name, service) in services.iter().filter(|(_, service)| !service.stateful) {
            let update = desired::update(project, service);
            let refusals = compose.refusals_of(name, update, service.deploy.replicas).await;
            for refusal in problems.note(refusals).unwrap_or_default() {
                problems.note::<()>(Err(refusal));
            }
        }
    }
    let names: Vec<&str> = services.iter().map(|(name, _)| *name).collect();
    let Some(found) = target.found(&names).await? else {
        return Err(Failure::usage("a cluster has nothing to adopt where no `target.manifests` are given")
            .with_hint("`deploy` goes on from the deployments that are there, and back to them"));
    };
    let candidates: Vec<Candidate> = services
        .iter()
        .zip(found)
        .map(|((name, service), found)| Candidate {
            service: (*name).to_owned(),
            is_stateful: service.stateful,
            found,
        })
        .collect();
    let of = (project.environment.name.as_str(), run_url(runner), runner.now());
    match adoption(target.place().name, &candidates, of) {
        Ok(adoption) => {
            problems.told()?;
            Ok(adoption)
        }
        Err(refused) => {
            for one in refused {
                problems.note::<()>(Err(one));
            }
            problems.ended()
        }
    }
}

/// Whether a deploy to this target replaces it, or would create it: what is not built here belongs to the Compose files
/// alone.
fn belongs_to_a_release(target: &Target, service: &Service) -> bool {
    match target {
        Target::Compose { .. } => matches!(service.source, Source::Build(_)),
        Target::Swarm { .. } | Target::Cluster(_) => true,
    }
}
