//! `build-tag publish`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use shipkit_core::admission::{Found, Required, admit, judge, required};
use shipkit_core::evidence::Kind;
use shipkit_core::plan::{Channel, channel, release_repository};
use shipkit_core::release::ServiceImage;
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{ImageRef, Release, Tag};
use shipkit_registry::{Move, Registry, Tagged, Target, version_tag};
use shipkit_runner::{Failure, Runner, markdown};

use crate::args::PublishArgs;
use crate::login;

/// How many tags are asked for at once.
const AT_ONCE: usize = 8;

/// One tag to give.
struct Job {
    image: ImageRef,
    tag: Tag,
    may: Move,
}

/// What is decided about the channels of a release.
#[derive(Default)]
struct Channels {
    jobs: Vec<Job>,
    /// A sentence for each, whether it moves or not.
    because: Vec<String>,
}

/// Asks for the scans, then which channels move, then for every tag whether it may be given, and only then gives them:
/// permanent ones first, those that move last. So a run that stops anywhere is finished by the next one.
pub(crate) async fn run(args: &PublishArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let repository = if let Some(repository) = &args.repository {
        repository.clone()
    } else {
        let config = runner.config(&args.project.directory, &args.project.config)?;
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
    let channels = channels(&registry, &release).await?;
    let because = channels.because.join("\n");
    let jobs = jobs(&release, &repository.at(&digest), channels.jobs)?;
    let planned = planned(&registry, &jobs).await?;
    let report = format!("{because}\n{}", report(&jobs, &planned)).trim_start().to_owned();
    if args.dry_run {
        runner.data(&report);
        return Ok(Outcome::pass("dry run: nothing was tagged"));
    }
    give(&registry, &jobs, &planned).await?;
    outputs(&release, &jobs, runner)?;
    runner.say(&report);
    runner.summary(&summary(&release, &report))?;
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

/// Which channels of the version move in the repository of each service that it is a version of, going by the versions
/// that are published there.
async fn channels(registry: &Registry, release: &Release) -> Result<Channels, Failure> {
    let mut channels = Channels::default();
    let Some(version) = release.tags.version.as_ref().filter(|version| !version.channels.is_empty()) else {
        return Ok(channels);
    };
    for (name, service) in versioned(release) {
        let present = registry.tags(&service.repository).await?;
        for tag in &version.channels {
            let because = match channel(tag, &version.version, &present) {
                Channel::Moves(because) => {
                    channels.jobs.push(Job { image: service.image(), tag: tag.clone(), may: Move::Moving });
                    because
                }
                Channel::Stays(because) => because,
            };
            channels.because.push(format!("{name}: {because}"));
        }
    }
    Ok(channels)
}

/// The services that the version of this release is one of: all of them, or the one that its git tag names.
fn versioned(release: &Release) -> impl Iterator<Item = (&String, &ServiceImage)> {
    let only = release.tags.version.as_ref().and_then(|version| version.service.as_ref());
    release.services.iter().filter(move |(name, _)| only.is_none_or(|only| only == *name))
}

/// Permanent tags of every service, then the version of the release itself, then the tags that move, channels last.
fn jobs(release: &Release, artifact: &ImageRef, channels: Vec<Job>) -> Result<Vec<Job>, Failure> {
    let give = |service: &ServiceImage, tags: &[Tag], may: Move| {
        let image = service.image();
        tags.iter().map(|tag| Job { image: image.clone(), tag: tag.clone(), may }).collect::<Vec<_>>()
    };
    let services = || release.services.values();
    let tags = &release.tags;
    let of_version = tags.version.as_ref().map(|version| version.permanent.as_slice()).unwrap_or_default();
    let mut jobs = Vec::new();
    jobs.extend(services().flat_map(|service| give(service, &tags.permanent, Move::Permanent)));
    jobs.extend(versioned(release).flat_map(|(_, service)| give(service, of_version, Move::Permanent)));
    jobs.push(Job { image: artifact.clone(), tag: version_tag(&release.version)?, may: Move::Permanent });
    jobs.extend(services().flat_map(|service| give(service, &tags.moving, Move::Moving)));
    jobs.extend(channels);
    Ok(jobs)
}

/// What each tag would do: all are asked for before the first is written, and one that may not be given stops them all.
async fn planned(registry: &Registry, jobs: &[Job]) -> Result<Vec<Tagged>, Failure> {
    let ask = |Job { image, tag, may }: &Job| {
        let (registry, image, tag, may) = (registry.clone(), image.clone(), tag.clone(), *may);
        async move { registry.plan_tag(&image, &tag, may).await }
    };
    Ok(stream::iter(jobs).map(ask).buffered(AT_ONCE).try_collect().await?)
}

/// Writes the tags that are not there yet, one after the other; the manifest of every image is read once, and before
/// the first.
async fn give(registry: &Registry, jobs: &[Job], planned: &[Tagged]) -> Result<(), Failure> {
    let wanted: Vec<_> =
        jobs.iter().zip(planned).filter(|(_, tagged)| **tagged != Tagged::Unchanged).collect();
    let mut manifests = BTreeMap::new();
    for (job, _) in &wanted {
        if let Entry::Vacant(entry) = manifests.entry(&job.image) {
            let target = Target::Digest(job.image.digest.clone());
            entry.insert(registry.manifest(&job.image.repository, &target).await?);
        }
    }
    for (job, _) in wanted {
        if let Some(manifest) = manifests.get(&job.image) {
            registry.put_tag(&job.image.repository, &job.tag, manifest).await?;
        }
    }
    Ok(())
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

fn summary(release: &Release, report: &str) -> String {
    let mut text = format!("### Published {}\n\n", markdown::text(&release.version));
    for line in report.lines() {
        writeln!(text, "- {}", markdown::text(line)).ok();
    }
    text
}
