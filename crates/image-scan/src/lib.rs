//! What `image-scan` does: reads images by digest, judges them by the policy, stores the verdict as evidence.

pub mod advisories;
mod archive;
mod args;
mod base;
mod before;
mod build;
mod cache;
mod configured;
mod context;
mod daemon;
mod exploits;
mod facts;
mod foreign;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod inventory;
mod kept;
mod layer;
mod leaks;
mod listed;
mod local;
mod locks;
pub mod osv;
mod places;
mod platform;
mod policy;
mod report;
mod reports;
mod sbom;
pub mod severity;
mod source;
mod support;
mod traces;
mod tree;
pub mod version;
mod vex;
mod vulnerabilities;

use std::path::Path;
use std::sync::Arc;

use advisories::{Advisories, Api, Artifact, Folder};
pub use args::{Args, Command, ContextArgs, IndexArgs, IndexCommand};
use base::Bases;
use before::{Before, Old, bases, pushed};
use cache::Cache;
use configured::Configured;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use inventory::Inventory;
use kept::Kept;
use listed::Listed;
use places::Places;
pub use platform::{NotAPlatform, Platforms, Wanted};
use policy::policy;
use report::{Found, Judged, Wanted as Files};
use shipkit_core::config::{Config, Environment, ImageScan, ScanBaseline};
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::plan::{release_repository, service_of};
use shipkit_core::policy::vex::Document;
use shipkit_core::policy::{
    Baseline, Build, Exploits, ImageFacts, Policy, Traces, Vex, Vulnerabilities, judge, judge_packages,
};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{Digest, ImageRef, Release, Repository};
use shipkit_registry::{Credentials, Manifest, Registry};
use shipkit_runner::{Failure, Runner, env};
use source::{Contents, Known, Source};
use vulnerabilities::{Sought, placed, together};

/// The configuration, where no other one is named.
const CONFIG: &str = "shipkit.yml";
/// How many images are read at once.
const AT_ONCE: usize = 2;

/// Does what the command line says: judges images, if it says nothing else.
///
/// # Errors
/// With one sentence, a hint where one is known, and the exit code. What could not be read is exit 3, never a pass.
pub async fn run(args: Args, runner: Runner) -> Result<Outcome, Failure> {
    match &args.command {
        Some(Command::Context(context)) => return context::run(context, &runner),
        Some(Command::Index(IndexCommand::Build(index))) => return build::run(index, &runner).await,
        None => {}
    }
    if let Some(password) = &args.registry_password {
        runner.mask(password);
    }
    let configured = Configured::read(&args, &runner)?;
    let config = configured.config.as_ref();
    let environment = environment(&args, config)?;
    if let Some(one) = environment
        && one.scan.is_none()
    {
        let name = &one.name;
        return Ok(Outcome::skipped(format!(
            "`{name}` has no `policy.scan`: the scan of the release counts there"
        )));
    }
    let findings = environment.and_then(|one| one.scan.as_ref());
    let findings = findings.or(config.map(|config| &config.scan.image));
    let files = Files::of(args.output.as_deref(), &args.directory, config)?;
    let stored = Stored::of(&args, &runner)?;
    let judged = judged(&args, &configured, findings, stored, &runner).await?;
    if let Some(folder) = &args.sbom {
        sbom::write(&args.directory.join(folder), &judged, runner.now())?;
    }
    let file = args.config.as_deref().unwrap_or(Path::new(CONFIG));
    let places = Places::read(&runner.env().workspace(), &args.directory, file, config);
    Ok(finish(&report::show(&judged, &places, files.as_ref(), &runner)?, stored))
}

/// Judges all that the command line names.
async fn judged(
    args: &Args,
    configured: &Configured,
    findings: Option<&ImageScan>,
    stored: Stored,
    runner: &Runner,
) -> Result<Vec<Judged>, Failure> {
    let config = configured.config.as_ref();
    let reports = reports::read(&args.reports)?;
    let listed = listed::read(args, config)?;
    let (images, before) = if listed.is_some() {
        // Packages that are in no image are compared with none.
        (Vec::new(), Before::Nothing)
    } else {
        let (images, release) = images(args, config, runner).await?;
        let baseline = findings.and_then(|findings| findings.baseline.as_ref());
        (images, before(args, config.zip(baseline), release.as_ref(), runner).await?)
    };
    let advisories = advisories(args, configured, runner).await?;
    let vex = vex::read(&configured.folder, config)?;
    let exploits = findings.map(|findings| exploits::read(&configured.folder, findings)).transpose()?;
    let cache = cache(args, runner).map(Arc::new);
    let scan = Scan {
        args,
        advisories: advisories.as_ref(),
        before,
        config,
        findings,
        exploits: Arc::new(exploits.unwrap_or_default()),
        reports: &reports,
        vex: &vex,
        runner,
        known: Known::new(cache.clone()),
        stored,
        bases: Bases::default(),
    };
    let judged: Vec<Vec<Judged>> =
        stream::iter(images).map(|image| scan.judged(image)).buffered(AT_ONCE).try_collect().await?;
    cache.iter().flat_map(|cache| cache.told()).for_each(|text| runner.say(&text));
    let mut judged = judged.into_iter().flatten().collect::<Vec<_>>();
    if let Some(listed) = listed {
        judged.push(scan.listed(listed).await?);
    }
    Ok(judged)
}

/// Where what was read of layers is kept, if anywhere.
fn cache(args: &Args, runner: &Runner) -> Option<Cache> {
    let home = || Cache::folder_of(runner.env().get(env::XDG_CACHE_HOME), runner.env().get(env::HOME));
    args.cache.as_ref().map(|folder| args.directory.join(folder)).or_else(home).map(Cache::new)
}

/// What is the same for all images of a run.
struct Scan<'a> {
    args: &'a Args,
    config: Option<&'a Config>,
    /// What is done with findings, here or in the environment that is asked for.
    findings: Option<&'a ImageScan>,
    exploits: Arc<Exploits>,
    reports: &'a reports::Reports,
    advisories: Option<&'a Advisories>,
    before: Before,
    vex: &'a [Document],
    runner: &'a Runner,
    known: Known,
    stored: Stored,
    bases: Bases,
}

/// What becomes of the verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// They are evidence beside the images.
    Beside,
    /// Nobody asked for it, or there is no registry.
    Nowhere,
    /// The run may not write.
    ReadOnly,
}

impl Stored {
    fn of(args: &Args, runner: &Runner) -> Result<Self, Failure> {
        let is_here = args.image.is_none() && args.release.is_none();
        if is_here || args.dry_run {
            return Ok(Self::Nowhere);
        }
        Ok(if runner.has_read_only_token()? { Self::ReadOnly } else { Self::Beside })
    }
}

impl Scan<'_> {
    /// Judges one image, every platform of it, and stores the verdict.
    async fn judged(&self, image: Image) -> Result<Vec<Judged>, Failure> {
        let Self { args, config, reports, runner, known, .. } = self;
        runner.say(&format!("reading {}", image.name));
        let contents = image.source.images(&image.manifest, args.platform.wanted(), known).await?;
        let digests: Vec<_> = facts_digests(&image.manifest);
        let reported = reports::of(reports, &image.name, &digests)?;
        let today = runner.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let policy = Policy {
            exploits: Arc::clone(&self.exploits),
            ..policy(config.zip(self.findings), &image.name, today)?
        };
        let (mut own, mut inventories, name) = (Vec::new(), Vec::new(), &image.name);
        for contents in contents {
            let client = |repository: &Repository| client(args, *config, runner, repository);
            let old = self.before.image((name, &contents), &image.bases, client, known).await?;
            let base = self.bases.of(&contents, &image.bases, client).await;
            let Contents { digest, facts, inventory, steps, .. } = contents;
            let facts = ImageFacts { support: inventory.support.clone(), ..facts };
            inventories.push((digest.clone(), Kept::of(&facts, &inventory)));
            let image = vec![digest.to_string(), image.manifest.digest.to_string()];
            let policy = Policy { vex: Vex { documents: self.vex.to_vec(), image }, ..policy.clone() };
            let (vulnerabilities, baseline) = self.matched(&inventory, old, reported.clone()).await?;
            let vulnerabilities = vulnerabilities.map(|known| placed(known, &inventory));
            let judgement = judge(&facts, vulnerabilities.as_ref(), baseline.as_ref(), &policy);
            own.push(Judged {
                findings: vulnerabilities.map(|known| Found::all(known.findings, &policy, &judgement)),
                digest,
                name: name.clone(),
                judgement,
                platform: facts.platform,
                traces: facts.traces,
                ended: inventory.support.iter().filter_map(|one| one.end_of_life(today)).collect(),
                inventory,
                build: Build { base, steps },
                listing: None,
            });
        }
        if let (Source::Registry(registry, repository), Stored::Beside) = (&image.source, self.stored) {
            // What is said of an index is said of all its platforms.
            let digest = match args.platform {
                Platforms::All => &image.manifest.digest,
                Platforms::One(_) => own.first().map_or(&image.manifest.digest, |judged| &judged.digest),
            };
            let record = record(&own, args.environment.as_deref(), runner);
            for (digest, kept) in inventories {
                kept.put(registry, repository, &digest, runner).await?;
            }
            registry.put_evidence(repository, digest, &record).await?;
        }
        Ok(own)
    }

    /// Judges packages that are in no image. There is nowhere to store a verdict about them.
    async fn listed(&self, listed: Listed) -> Result<Judged, Failure> {
        let Listed { name, digest, images, inventory, listing } = listed;
        let reported = reports::of(self.reports, &name, &images)?;
        let today = self.runner.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let vex = Vex { documents: self.vex.to_vec(), image: images };
        let exploits = Arc::clone(&self.exploits);
        let policy = Policy { vex, exploits, ..policy(self.config.zip(self.findings), &name, today)? };
        let (vulnerabilities, _) = self.matched(&inventory, None, reported).await?;
        let mut vulnerabilities = vulnerabilities.ok_or_else(|| {
            Failure::usage(format!("neither advisories nor a report are about `{name}`"))
                .with_hint("name advisories in `scan.image.advisories` of shipkit.yml")
        })?;
        vulnerabilities.findings.iter_mut().for_each(|finding| finding.layer = None);
        let judgement = judge_packages(&vulnerabilities, &policy);
        Ok(Judged {
            findings: Some(Found::all(vulnerabilities.findings, &policy, &judgement)),
            digest,
            name,
            judgement,
            platform: listing.what.to_owned(),
            traces: Traces::default(),
            ended: Vec::new(),
            inventory,
            build: Build::default(),
            listing: Some(listing),
        })
    }

    /// What advisories and the report of a scanner say, none if there is neither; and of what was there before the same advisories, which
    /// may have changed since it was judged.
    async fn matched(
        &self,
        inventory: &Inventory,
        before: Option<Old>,
        reported: Option<Vulnerabilities>,
    ) -> Result<(Option<Vulnerabilities>, Option<Baseline>), Failure> {
        let sought = Sought::of(&inventory.packages, &inventory.doubts);
        let old = before.map(|old| (Sought::of(&old.packages, &[]), old));
        let known = match self.advisories {
            Some(advisories) => {
                let of_both =
                    Sought::all([&sought].into_iter().chain(old.as_ref().map(|(sought, _)| sought)));
                Some(advisories.about(&of_both.packages()).await?)
            }
            None => None,
        };
        let baseline = old.map(|(sought, Old { what, unpacked, .. })| Baseline {
            what,
            findings: known.as_ref().map(|known| sought.vulnerabilities(known).findings).unwrap_or_default(),
            packages: sought.named_or_built(),
            unpacked,
        });
        let found = known.map(|known| sought.vulnerabilities(&known));
        let vulnerabilities = match (found, reported) {
            (Some(found), Some(reported)) => Some(together(found, reported)),
            (found, reported) => found.or(reported),
        };
        Ok((vulnerabilities, baseline))
    }
}

/// What images are compared with, if the configuration says so.
async fn before(
    args: &Args,
    wanted: Option<(&Config, &ScanBaseline)>,
    judged: Option<&(Digest, Release)>,
    runner: &Runner,
) -> Result<Before, Failure> {
    let Some((config, wanted)) = wanted else { return Ok(Before::Nothing) };
    let repository = releases(args, Some(config), runner)?;
    let home = (client(args, Some(config), runner, &repository)?, repository);
    Before::find(wanted, home, judged.map(|(digest, _)| digest), runner).await
}

/// Where advisories are looked up, if anywhere.
async fn advisories(
    args: &Args,
    configured: &Configured,
    runner: &Runner,
) -> Result<Option<Advisories>, Failure> {
    let config = configured.config.as_ref();
    let Some(source) = config.and_then(|config| config.scan.image.advisories.as_deref()) else {
        return Ok(None);
    };
    if source == "osv" {
        return Ok(Some(Advisories::Api(Api::new(Api::ADDRESS)?)));
    }
    // No folder has such a name but by a very bad accident.
    if source.contains("@sha256:") {
        let index: ImageRef = source.parse().map_err(Failure::usage)?;
        let registry = client(args, config, runner, &index.repository)?;
        return Ok(Some(Advisories::Artifact(Artifact::open(registry, index, runner.now()).await?)));
    }
    Ok(Some(Advisories::Folder(Folder::new(configured.folder.join(source)))))
}

/// One image to judge.
struct Image {
    name: String,
    source: Source,
    manifest: Manifest,
    /// What it may have been built upon.
    bases: Vec<(String, ImageRef)>,
}

/// The images to judge, and the release that they are of, if they are of one.
async fn images(
    args: &Args,
    config: Option<&Config>,
    runner: &Runner,
) -> Result<(Vec<Image>, Option<(Digest, Release)>), Failure> {
    if let Some(path) = &args.layout {
        return Ok((local::images(path, config, runner)?, None));
    }
    if let Some(name) = &args.daemon {
        runner.say(&format!("reading {name} of the Docker engine"));
        let archive = daemon::read(name, runner.env().get(env::DOCKER_HOST)).await?;
        return Ok((local::of_engine(archive, name, config, runner), None));
    }
    if let Some(image) = &args.image {
        // Size limits and reports are those of the service, also where its image is named by itself.
        let repository = runner.env().get(env::GITHUB_REPOSITORY);
        let service = config.and_then(|config| service_of(&image.repository, repository, config));
        let name = service.unwrap_or_else(|| image.repository.path()).to_owned();
        let (source, manifest) = pushed(&client(args, config, runner, &image.repository)?, image).await?;
        return Ok((vec![Image { name, source, manifest, bases: Vec::new() }], None));
    }
    let repository = releases(args, config, runner)?;
    let registry = client(args, config, runner, &repository)?;
    let name = args.release.as_deref().unwrap_or_default();
    let digest = registry.find_release(&repository, name).await?;
    let release = registry.release(&repository, &digest).await?;
    let mut images = Vec::new();
    for (name, service) in &release.services {
        let (source, manifest) = pushed(&registry, &service.image()).await?;
        images.push(Image { name: name.clone(), source, manifest, bases: bases(&release, name) });
    }
    Ok((images, Some((digest, release))))
}

/// A client for a registry. The login is for that of the images, or else of the releases, and no other one sees it.
fn client(
    args: &Args,
    config: Option<&Config>,
    runner: &Runner,
    repository: &Repository,
) -> Result<Registry, Failure> {
    let of_image = args.image.as_ref().map(|image| image.repository.clone());
    let own = of_image.or_else(|| releases(args, config, runner).ok());
    let (username, password) = match own {
        Some(own) if own.registry() == repository.registry() => {
            (args.registry_username.as_deref(), args.registry_password.as_ref())
        }
        Some(_) | None => (None, None),
    };
    let docker_config = runner.env().docker_config();
    Ok(Registry::new(Credentials::new(repository.registry(), username, password, docker_config))?)
}

/// The repository of releases.
fn releases(args: &Args, config: Option<&Config>, runner: &Runner) -> Result<Repository, Failure> {
    match (&args.repository, config) {
        (Some(repository), _) => Ok(repository.clone()),
        (None, Some(config)) => Ok(release_repository(runner.env().get(env::GITHUB_REPOSITORY), config)?),
        (None, None) => Err(Failure::usage("the repository of the release is not known")
            .with_hint("give it with `--repository`")),
    }
}

/// The digests that a scanner may have written into its report about this image.
fn facts_digests(manifest: &Manifest) -> Vec<String> {
    let platforms = match &manifest.kind {
        shipkit_registry::ManifestKind::Index { manifests } => {
            manifests.iter().map(|entry| entry.digest.to_string()).collect()
        }
        shipkit_registry::ManifestKind::Image { .. } => Vec::new(),
    };
    std::iter::once(manifest.digest.to_string()).chain(platforms).collect()
}

/// The environment that is asked for, if one is.
fn environment<'a>(args: &Args, config: Option<&'a Config>) -> Result<Option<&'a Environment>, Failure> {
    let Some(name) = &args.environment else { return Ok(None) };
    let all = config.map(|config| &config.environments[..]).unwrap_or_default();
    let found = all.iter().find(|one| one.name == *name);
    let hint = "name one of those under `environments` in shipkit.yml";
    let missing = || Failure::usage(format!("there is no environment `{name}`")).with_hint(hint);
    found.map(Some).ok_or_else(missing)
}

fn record(judged: &[Judged], environment: Option<&str>, runner: &Runner) -> Record {
    let outcome = report::outcome(judged);
    let run = runner.env().get(env::GITHUB_RUN_ID).map(str::to_owned);
    Record {
        kind: Kind::Scan,
        verdict: outcome.verdict,
        cause: outcome.cause,
        environment: environment.map(str::to_owned),
        time: runner.now(),
        by: concat!("image-scan ", env!("CARGO_PKG_VERSION")).to_owned(),
        run,
        details: report::json(judged),
    }
}

/// The sentence of the whole: what became of the evidence is said where that is worth a word.
fn finish(outcome: &Outcome, stored: Stored) -> Outcome {
    // It is not signed yet, and whoever reads it should know.
    let evidence = match stored {
        Stored::Beside if outcome.verdict == Verdict::Pass => " (evidence is unsigned)",
        Stored::ReadOnly => " (evidence: skipped(read-only token))",
        Stored::Beside | Stored::Nowhere => "",
    };
    Outcome { verdict: outcome.verdict, cause: format!("{}{evidence}", outcome.cause) }
}
