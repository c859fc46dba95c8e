//! `build-tag publish`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use shipkit_core::admission::{Found, Required, admit, judge, required};
use shipkit_core::config::Needed;
use shipkit_core::evidence::Kind;
use shipkit_core::plan::{Channel, Place, channel, places, release_repository};
use shipkit_core::release::ServiceImage;
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{ImageRef, Release, Repository, Tag};
use shipkit_registry::{Manifest, Move, Registry, Tagged, Target, version_tag};
use shipkit_runner::{Failure, Runner, markdown};

use crate::args::PublishArgs;
use crate::login;
use crate::mirror::{self, Mirrored};

/// How many tags are asked for at once.
const AT_ONCE: usize = 8;

/// One tag to give.
#[derive(Clone)]
struct Job {
    /// The image, where the release has it.
    image: ImageRef,
    /// The repository that gets the tag: the image's own, or a mirror's.
    at: Repository,
    tag: Tag,
    may: Move,
}

impl Job {
    /// A tag in the image's own repository.
    fn at_home(image: ImageRef, tag: Tag, may: Move) -> Self {
        Self { at: image.repository.clone(), image, tag, may }
    }
}

/// What is decided about the channels of a release.
#[derive(Default)]
struct Channels {
    jobs: Vec<Job>,
    /// A sentence for each, whether it moves or not.
    because: Vec<String>,
}

/// Asks for the scans, then which channels move, then for every tag whether it may be given. Only then mirrors get the
/// images, and then all places their tags: permanent ones first, those that move last. So a run that stops anywhere is
/// finished by the next one, and a mirror that takes no image moves no tag anywhere.
pub(crate) async fn run(args: &PublishArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let (repository, mirrors) = whereto(args, runner)?;
    let registry = login::with_mirrors(runner, args, &repository, &mirrors)?;
    let digest = registry.find_release(&repository, &args.release).await?;
    let release = registry.release(&repository, &digest).await?;
    let copies = copies(&release, &mirrors)?;
    let gate = gate(&registry, &release).await;
    if gate.verdict != Verdict::Pass {
        return Ok(Outcome { cause: format!("nothing was published: {}", gate.cause), ..gate });
    }
    let channels = channels(&registry, &release).await?;
    let because = channels.because.join("\n");
    let jobs = jobs(&release, &repository.at(&digest), channels.jobs, &copies)?;
    let planned = planned(&registry, &jobs).await?;
    let whole =
        |lines: &str| format!("{because}\n{lines}{}", report(&jobs, &planned)).trim_start().to_owned();
    if args.dry_run {
        runner.data(&whole(&mirror::report(&copies, &mirror::missing(&registry, &copies).await?)));
        return Ok(Outcome::pass("dry run: nothing was tagged"));
    }
    let manifests = manifests(&registry, &jobs, &planned).await?;
    let brought = mirror::copy(&registry, &copies, runner).await?;
    give(&registry, &jobs, &planned, &manifests).await?;
    outputs(&release, &jobs, runner)?;
    let report = whole(&mirror::report(&copies, &brought));
    runner.say(&report);
    runner.summary(&summary(&release, &report))?;
    Ok(Outcome::pass(format!("published {} with {} tags", release.version, jobs.len())))
}

/// The repository that holds the release, and the prefixes of mirrors.
fn whereto(args: &PublishArgs, runner: &Runner) -> Result<(Repository, Vec<Repository>), Failure> {
    let project = &args.project;
    let config = runner.config_for(&project.directory, &project.config, Needed::Names)?;
    let mirrors = config.mirrors.clone();
    if let Some(repository) = &args.repository {
        return Ok((repository.clone(), mirrors));
    }
    let config = config.in_group(args.project.group.as_deref())?;
    let event = crate::event::find(runner, None, &args.project.directory)?.0;
    Ok((release_repository(event.repository.as_deref(), &config)?, mirrors))
}

/// What mirrors are to have.
fn copies(release: &Release, mirrors: &[Repository]) -> Result<Vec<Mirrored>, Failure> {
    let homes = release.services.iter();
    let homes = homes.map(|(name, service)| (name.as_str(), &service.repository)).collect();
    let copy = |place: Place| {
        let image = release.services.get(&place.service)?.image();
        Some(Mirrored { image, to: place.repository })
    };
    Ok(places(&homes, mirrors)?.into_iter().filter_map(copy).collect())
}

/// Whether every image of the release passed its scan, going by the evidence at the registry.
async fn gate(registry: &Registry, release: &Release) -> Outcome {
    let images = release.services.iter().map(|(name, service)| (name, service.image()));
    let mut judged = Vec::new();
    for wanted in required(images, &[], None) {
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
                    channels.jobs.push(Job::at_home(service.image(), tag.clone(), Move::Moving));
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
/// Among their like those at mirrors come first: what the registry names is everywhere.
fn jobs(
    release: &Release,
    artifact: &ImageRef,
    channels: Vec<Job>,
    copies: &[Mirrored],
) -> Result<Vec<Job>, Failure> {
    let give = |service: &ServiceImage, tags: &[Tag], may: Move| {
        let image = service.image();
        tags.iter().map(|tag| Job::at_home(image.clone(), tag.clone(), may)).collect::<Vec<_>>()
    };
    let services = || release.services.values();
    let tags = &release.tags;
    let of_version = tags.version.as_ref().map(|version| version.permanent.as_slice()).unwrap_or_default();
    let mut permanent = Vec::new();
    permanent.extend(services().flat_map(|service| give(service, &tags.permanent, Move::Permanent)));
    permanent.extend(versioned(release).flat_map(|(_, service)| give(service, of_version, Move::Permanent)));
    permanent.push(Job::at_home(artifact.clone(), version_tag(&release.version)?, Move::Permanent));
    let moving = services().flat_map(|service| give(service, &tags.moving, Move::Moving)).collect();
    Ok([permanent, moving, channels].into_iter().flat_map(|jobs| everywhere(jobs, copies)).collect())
}

/// The same tags at all mirrors, and then these.
fn everywhere(jobs: Vec<Job>, copies: &[Mirrored]) -> Vec<Job> {
    let at_mirrors = |job: &Job| {
        let job = job.clone();
        let places = copies.iter().filter(|copy| copy.image == job.image).map(|copy| copy.to.clone());
        places.map(|at| Job { at, ..job.clone() }).collect::<Vec<_>>()
    };
    let mut all: Vec<Job> = jobs.iter().flat_map(at_mirrors).collect();
    all.extend(jobs);
    all
}

/// What each tag would do: all are asked for before the first is written, and one that may not be given stops them all.
async fn planned(registry: &Registry, jobs: &[Job]) -> Result<Vec<Tagged>, Failure> {
    let ask = |job: &Job| {
        let (registry, image) = (client(registry, job), job.at.at(&job.image.digest));
        let (tag, may) = (job.tag.clone(), job.may);
        async move { registry.plan_tag(&image, &tag, may).await }
    };
    Ok(stream::iter(jobs).map(ask).buffered(AT_ONCE).try_collect().await?)
}

/// The client for the place of a tag. That a registry has what it released is certain; a mirror may not even have the
/// repository.
fn client(registry: &Registry, job: &Job) -> Registry {
    if job.at == job.image.repository { registry.clone() } else { registry.writing_to(&job.at) }
}

/// The tags that are not there yet.
fn wanted<'a>(jobs: &'a [Job], planned: &'a [Tagged]) -> impl Iterator<Item = &'a Job> {
    jobs.iter().zip(planned).filter(|(_, tagged)| **tagged != Tagged::Unchanged).map(|(job, _)| job)
}

/// The manifest of every image that gets a tag, each read once and before the first write.
async fn manifests(
    registry: &Registry,
    jobs: &[Job],
    planned: &[Tagged],
) -> Result<BTreeMap<ImageRef, Manifest>, Failure> {
    let mut manifests = BTreeMap::new();
    for job in wanted(jobs, planned) {
        if let Entry::Vacant(entry) = manifests.entry(job.image.clone()) {
            let target = Target::Digest(job.image.digest.clone());
            entry.insert(registry.manifest(&job.image.repository, &target).await?);
        }
    }
    Ok(manifests)
}

/// Writes the tags that are not there yet, one after the other.
async fn give(
    registry: &Registry,
    jobs: &[Job],
    planned: &[Tagged],
    manifests: &BTreeMap<ImageRef, Manifest>,
) -> Result<(), Failure> {
    for job in wanted(jobs, planned) {
        if let Some(manifest) = manifests.get(&job.image) {
            client(registry, job).put_tag(&job.at, &job.tag, manifest).await?;
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
        writeln!(text, "{}:{} -> {} ({what})", job.at, job.tag, job.image.digest.short()).ok();
    }
    text
}

fn outputs(release: &Release, jobs: &[Job], runner: &Runner) -> Result<(), Failure> {
    let tags: Vec<_> = jobs.iter().map(|job| format!("{}:{}", job.at, job.tag)).collect();
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
