//! `build-tag publish`.

use std::fmt::Write as _;

use serde_json::json;
use shipkit_core::admission::{Found, Required, admit, judge, required};
use shipkit_core::evidence::Kind;
use shipkit_core::plan::release_repository;
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{ImageRef, Release, Tag};
use shipkit_registry::{Move, Registry, Tagged, version_tag};
use shipkit_runner::{Failure, Runner, markdown};

use crate::args::PublishArgs;
use crate::login;

/// One tag to give.
struct Job {
    image: ImageRef,
    tag: Tag,
    may: Move,
}

/// Asks for the scans, then for every tag whether it may be given, and only then gives them: permanent ones first.
pub(crate) async fn run(args: &PublishArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let repository = if let Some(repository) = &args.repository {
        repository.clone()
    } else {
        let config = runner.config(&args.project.directory.join(&args.project.config))?;
        let config = config.in_group(args.project.group.as_deref())?;
        let event = crate::event::find(runner, None, &args.project.directory)?.0;
        release_repository(event.repository.as_deref(), &config)?
    };
    let registry = login::registry(runner, &args.registry, &repository)?;
    let digest = registry.find_release(&repository, &args.release).await?;
    let release = registry.release(&repository, &digest).await?;
    let gate = gate(&registry, &release).await;
    if gate.verdict != Verdict::Pass {
        return Ok(Outcome { cause: format!("nothing was published: {}", gate.cause), ..gate });
    }
    let jobs = jobs(&release, &repository.at(&digest))?;
    let mut planned = Vec::new();
    for job in &jobs {
        planned.push(registry.plan_tag(&job.image, &job.tag, job.may).await?);
    }
    let report = report(&jobs, &planned);
    if args.dry_run {
        runner.data(&report);
        return Ok(Outcome::pass("dry run: nothing was tagged"));
    }
    for job in &jobs {
        registry.tag(&job.image, &job.tag, job.may).await?;
    }
    outputs(&release, &jobs, runner)?;
    runner.say(&report);
    runner.summary(&summary(&release, &jobs, &planned))?;
    Ok(Outcome::pass(format!("published {} with {} tags", release.version, jobs.len())))
}

/// Whether every image of the release passed its scan, going by the evidence at the registry.
async fn gate(registry: &Registry, release: &Release) -> Outcome {
    let images = release.services.iter().map(|(name, service)| (name, service.image()));
    let mut judged = Vec::new();
    for wanted in required(images, &[]) {
        if let Required::Scan { image, .. } = &wanted {
            let found = match registry.evidence(&image.repository, &image.digest, &[(Kind::Scan, None)]).await
            {
                Ok(evidence) => Found::Records(evidence.records),
                Err(error) => Found::Unreadable(error.to_string()),
            };
            judged.push(judge(&wanted, &found));
        }
    }
    admit(&judged)
}

/// Permanent tags of every service, then the version of the release itself, then the tags that move.
fn jobs(release: &Release, artifact: &ImageRef) -> Result<Vec<Job>, Failure> {
    let give = |tags: &[Tag], may: Move| {
        let images = release.services.values().map(shipkit_core::release::ServiceImage::image);
        images
            .flat_map(|image| {
                tags.iter()
                    .map(move |tag| Job { image: image.clone(), tag: tag.clone(), may })
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    let mut jobs = give(&release.tags.permanent, Move::Permanent);
    jobs.push(Job { image: artifact.clone(), tag: version_tag(&release.version)?, may: Move::Permanent });
    jobs.extend(give(&release.tags.moving, Move::Moving));
    Ok(jobs)
}

fn report(jobs: &[Job], planned: &[Tagged]) -> String {
    let mut text = String::new();
    for (job, tagged) in jobs.iter().zip(planned) {
        let what = match tagged {
            Tagged::Created => "new".to_owned(),
            Tagged::Moved { from } => format!("moved from {}", from.short()),
            Tagged::Unchanged => "as before".to_owned(),
        };
        // Writing to a String cannot fail.
        writeln!(text, "{}:{} -> {} ({what})", job.image.repository, job.tag, job.image.digest.short()).ok();
    }
    text
}

fn outputs(release: &Release, jobs: &[Job], runner: &Runner) -> Result<(), Failure> {
    let tags: Vec<_> = jobs.iter().map(|job| format!("{}:{}", job.image.repository, job.tag)).collect();
    runner.output("tags", &json!(tags).to_string())?;
    runner.output("version", &release.version)?;
    if runner.is_json() {
        runner.data(&format!("{:#}\n", json!({"version": release.version, "tags": tags})));
    }
    Ok(())
}

fn summary(release: &Release, jobs: &[Job], planned: &[Tagged]) -> String {
    let mut text = format!("### Published {}\n\n", markdown::text(&release.version));
    for line in report(jobs, planned).lines() {
        writeln!(text, "- {}", markdown::text(line)).ok();
    }
    text
}
