//! What `image-scan` does: reads images by digest, judges them by the policy, stores the verdict as evidence.

pub mod advisories;
mod args;
mod before;
mod build;
mod context;
mod facts;
mod inventory;
mod layer;
mod leaks;
mod listed;
mod locks;
pub mod osv;
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

use advisories::{Advisories, Api, Artifact, Folder};
pub use args::{Args, Command, ContextArgs, IndexArgs, IndexCommand};
use before::{Before, Old, bases, pushed};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use inventory::Inventory;
use jiff::civil::Date;
use listed::Listed;
use report::Judged;
use shipkit_core::config::{Config, Rule};
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::plan::{release_repository, service_of};
use shipkit_core::policy::vex::Document;
use shipkit_core::policy::{
    Baseline, Budget, ImageRule, Policy, Severity, Traces, Vex, Vulnerabilities, judge, judge_packages,
};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{Digest, ImageRef, Release, Repository};
use shipkit_registry::layout::Layout;
use shipkit_registry::{Credentials, Manifest, Registry};
use shipkit_runner::{Failure, Runner, env};
use source::{Contents, Known, Source};
use vulnerabilities::{Sought, together};

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
    let config = configuration(&args, &runner)?;
    let reports = reports::read(&args.reports)?;
    let listed = listed::read(&args, config.as_ref())?;
    let (images, before) = if listed.is_some() {
        // Packages that are in no image are compared with none.
        (Vec::new(), Before::Nothing)
    } else {
        let (images, release) = images(&args, config.as_ref(), &runner).await?;
        (images, before(&args, config.as_ref(), release.as_ref(), &runner).await?)
    };
    let advisories = advisories(&args, config.as_ref(), &runner).await?;
    let vex = vex::read(&args.directory, config.as_ref())?;
    let scan = Scan {
        args: &args,
        advisories: advisories.as_ref(),
        before,
        config: config.as_ref(),
        reports: &reports,
        vex: &vex,
        runner: &runner,
        known: Known::default(),
    };
    let judged: Vec<Vec<Judged>> =
        stream::iter(images).map(|image| scan.judged(image)).buffered(AT_ONCE).try_collect().await?;
    let mut judged = judged.into_iter().flatten().collect::<Vec<_>>();
    let is_stored = args.layout.is_none() && listed.is_none() && !args.dry_run;
    if let Some(listed) = listed {
        judged.push(scan.listed(listed).await?);
    }
    if let Some(folder) = &args.sbom {
        sbom::write(&args.directory.join(folder), &judged, runner.now())?;
    }
    finish(&judged, is_stored, &runner)
}

/// What is the same for all images of a run.
struct Scan<'a> {
    args: &'a Args,
    config: Option<&'a Config>,
    reports: &'a reports::Reports,
    advisories: Option<&'a Advisories>,
    before: Before,
    vex: &'a [Document],
    runner: &'a Runner,
    known: Known,
}

impl Scan<'_> {
    /// Judges one image, every platform of it, and stores the verdict.
    async fn judged(&self, image: Image) -> Result<Vec<Judged>, Failure> {
        let Self { args, config, reports, runner, known, .. } = self;
        runner.say(&format!("reading {}", image.name));
        let contents = image.source.images(&image.manifest, known).await?;
        let digests: Vec<_> = facts_digests(&image.manifest);
        let reported = reports::of(reports, &image.name, &digests)?;
        let today = runner.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let policy = policy(*config, &image.name, today)?;
        let (mut own, name) = (Vec::new(), &image.name);
        for contents in contents {
            let client = |repository: &Repository| client(args, *config, runner, repository);
            let old = self.before.image((name, &contents), &image.bases, client, known).await?;
            let Contents { digest, facts, inventory, steps, .. } = contents;
            let image = vec![digest.to_string(), image.manifest.digest.to_string()];
            let policy = Policy { vex: Vex { documents: self.vex.to_vec(), image }, ..policy.clone() };
            let (vulnerabilities, baseline) = self.matched(&inventory, old, reported.clone()).await?;
            let judgement = judge(&facts, vulnerabilities.as_ref(), baseline.as_ref(), &policy);
            own.push(Judged {
                digest,
                name: name.clone(),
                judgement,
                platform: facts.platform,
                traces: facts.traces,
                ended: inventory.support.iter().filter_map(|one| one.end_of_life(today)).collect(),
                inventory,
                steps,
                listing: None,
            });
        }
        if let (Source::Registry(registry, repository), false) = (&image.source, args.dry_run) {
            registry.put_evidence(repository, &image.manifest.digest, &record(&own, runner)).await?;
        }
        Ok(own)
    }

    /// Judges packages that are in no image. There is nowhere to store a verdict about them.
    async fn listed(&self, listed: Listed) -> Result<Judged, Failure> {
        let Listed { name, digest, images, inventory, listing } = listed;
        let reported = reports::of(self.reports, &name, &images)?;
        let today = self.runner.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let vex = Vex { documents: self.vex.to_vec(), image: images };
        let policy = Policy { vex, ..policy(self.config, &name, today)? };
        let (vulnerabilities, _) = self.matched(&inventory, None, reported).await?;
        let mut vulnerabilities = vulnerabilities.ok_or_else(|| {
            Failure::usage(format!("neither advisories nor a report are about `{name}`"))
                .with_hint("name advisories in `scan.image.advisories` of shipkit.yml")
        })?;
        vulnerabilities.findings.iter_mut().for_each(|finding| finding.layer = None);
        Ok(Judged {
            digest,
            name,
            judgement: judge_packages(&vulnerabilities, &policy),
            platform: listing.what.to_owned(),
            traces: Traces::default(),
            ended: Vec::new(),
            inventory,
            steps: Vec::new(),
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
        let sought = Sought::of(inventory);
        let old = before.map(|old| (Sought::of(&old.inventory), old));
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
    config: Option<&Config>,
    judged: Option<&(Digest, Release)>,
    runner: &Runner,
) -> Result<Before, Failure> {
    let Some((config, wanted)) =
        config.and_then(|config| Some((config, config.scan.image.baseline.as_ref()?)))
    else {
        return Ok(Before::Nothing);
    };
    let repository = releases(args, Some(config), runner)?;
    let home = (client(args, Some(config), runner, &repository)?, repository);
    Before::find(wanted, home, judged.map(|(digest, _)| digest), runner).await
}

/// Where advisories are looked up, if anywhere.
async fn advisories(
    args: &Args,
    config: Option<&Config>,
    runner: &Runner,
) -> Result<Option<Advisories>, Failure> {
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
    Ok(Some(Advisories::Folder(Folder::new(args.directory.join(source)))))
}

/// One image to judge.
struct Image {
    name: String,
    source: Source,
    manifest: Manifest,
    /// What it may have been built upon.
    bases: Vec<ImageRef>,
}

/// The images to judge, and the release that they are of, if they are of one.
async fn images(
    args: &Args,
    config: Option<&Config>,
    runner: &Runner,
) -> Result<(Vec<Image>, Option<(Digest, Release)>), Failure> {
    if let Some(path) = &args.layout {
        return Ok((layouts(path)?, None));
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

/// One layout, or every `<service>.tar` in a folder, as `build-tag plan` has a pull request build them.
fn layouts(path: &Path) -> Result<Vec<Image>, Failure> {
    let name = |path: &Path| {
        path.file_stem().map_or_else(|| "image".to_owned(), |stem| stem.to_string_lossy().into_owned())
    };
    if path.is_file() || path.join("index.json").is_file() {
        return Ok(vec![layout(name(path), path)?]);
    }
    let failed = |source: std::io::Error| {
        Failure::usage(format!("`{}` cannot be read: {source}", path.display()))
            .with_hint("give an OCI layout, its tar, or a folder of such tars")
    };
    let mut tars = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "tar") {
            tars.push(file);
        }
    }
    tars.sort();
    if tars.is_empty() {
        return Err(Failure::usage(format!(
            "`{}` holds neither an OCI layout nor a tar of one",
            path.display()
        )));
    }
    tars.iter().map(|tar| layout(name(tar), tar)).collect()
}

fn layout(name: String, path: &Path) -> Result<Image, Failure> {
    let layout = Layout::open(path)?;
    let [descriptor] = layout.manifests() else {
        let count = layout.manifests().len();
        return Err(Failure::usage(format!(
            "the layout `{}` lists {count} images, and one is needed",
            path.display()
        )));
    };
    let manifest = layout.manifest(descriptor)?;
    Ok(Image { name, source: Source::Layout(layout), manifest, bases: Vec::new() })
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

/// `shipkit.yml`; it may be missing only where one image is judged that needs nothing from it.
fn configuration(args: &Args, runner: &Runner) -> Result<Option<Config>, Failure> {
    let file = args.config.as_deref().unwrap_or(Path::new("shipkit.yml"));
    let path = args.directory.join(file);
    // A file that was asked for by name must be there: another policy in its place would not be the one that was meant.
    let is_needed = args.config.is_some() || args.release.is_some() && args.repository.is_none();
    if is_needed || !path.try_exists().is_ok_and(|exists| !exists) {
        return Ok(Some(runner.config(&args.directory, file)?));
    }
    runner.say(&format!("there is no `{}`: the default policy is used", path.display()));
    Ok(None)
}

fn policy(config: Option<&Config>, name: &str, today: Date) -> Result<Policy, Failure> {
    let Some(config) = config else {
        let rules = vec![ImageRule::NonRoot, ImageRule::Healthcheck, ImageRule::PinnedBase];
        return Ok(Policy {
            rules,
            port: None,
            budget: Budget::default(),
            severity: Severity::High,
            ignore_unfixed: true,
            ignores: Vec::new(),
            today,
            vex: Vex::default(),
        });
    };
    let mut rules = Vec::new();
    let mut missing = Vec::new();
    for rule in &config.scan.policy {
        match rule {
            Rule::NonRoot => rules.push(ImageRule::NonRoot),
            Rule::Healthcheck => rules.push(ImageRule::Healthcheck),
            Rule::PinnedBase => rules.push(ImageRule::PinnedBase),
            Rule::ReadOnly => missing.push("`read-only`"),
            Rule::NoNewPrivileges => missing.push("`no-new-privileges`"),
            Rule::NoSecrets => rules.push(ImageRule::NoSecrets),
            Rule::NoSetuid => rules.push(ImageRule::NoSetuid),
            Rule::NoPackageCache => rules.push(ImageRule::NoPackageCache),
            Rule::ExposedPorts => rules.push(ImageRule::ExposedPorts),
            Rule::Init => missing.push("`init`"),
        }
    }
    if !config.scan.source.is_empty() {
        missing.push("`source`");
    }
    if !missing.is_empty() {
        // A rule that is asked for and not judged must not look like one that passed.
        return Err(Failure::usage(format!(
            "`scan` asks for {}, which this version cannot judge",
            missing.join(", ")
        ))
        .with_hint(if config.scan.source.is_empty() {
            "take it out of `scan` in shipkit.yml"
        } else {
            "run those commands in a job and give what they report as `report`; lock files are judged by `source`"
        }));
    }
    let (service, limits) = (config.services.get(name), config.scan.image.limits);
    Ok(Policy {
        rules,
        port: service.and_then(|service| service.port),
        budget: Budget {
            unpacked: service.and_then(|service| service.size_limit).or(limits.unpacked),
            ..limits
        },
        severity: config.scan.image.severity,
        ignore_unfixed: config.scan.image.ignore_unfixed,
        ignores: config.scan.image.ignores.clone(),
        today,
        vex: Vex::default(),
    })
}

fn record(judged: &[Judged], runner: &Runner) -> Record {
    let outcome = report::outcome(judged);
    let run = runner.env().get(env::GITHUB_RUN_ID).map(str::to_owned);
    Record {
        kind: Kind::Scan,
        verdict: outcome.verdict,
        cause: outcome.cause,
        environment: None,
        time: runner.now(),
        by: concat!("image-scan ", env!("CARGO_PKG_VERSION")).to_owned(),
        run,
        details: report::json(judged),
    }
}

fn finish(judged: &[Judged], is_stored: bool, runner: &Runner) -> Result<Outcome, Failure> {
    let outcome = report::outcome(judged);
    let findings: usize = judged.iter().map(|image| image.judgement.blocking.len()).sum();
    runner.output("findings", &findings.to_string())?;
    let compared: Vec<_> = judged.iter().filter_map(|image| image.judgement.compared.as_ref()).collect();
    if !compared.is_empty() {
        let (new, fixed) = compared.iter().fold((0_usize, 0_usize), |(new, fixed), one| {
            (new.saturating_add(one.new.len()), fixed.saturating_add(one.fixed.len()))
        });
        runner.output("new", &new.to_string())?;
        runner.output("fixed", &fixed.to_string())?;
    }
    runner.summary(&report::summary(&outcome, judged))?;
    if runner.is_json() {
        runner.data(&report::whole(judged).to_string());
    } else {
        runner.say(&report::lines(judged));
    }
    // "advisory": the evidence is not signed yet, and whoever reads it should know.
    let is_passed = outcome.verdict == Verdict::Pass;
    let unsigned = if is_passed && is_stored { " (evidence is unsigned)" } else { "" };
    Ok(Outcome { cause: format!("{}{unsigned}", outcome.cause), ..outcome })
}
