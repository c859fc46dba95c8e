//! `build-tag release`.

use std::collections::BTreeMap;

use serde_json::json;
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use shipkit_core::plan::{Plan, PlannedService};
use shipkit_core::release::ServiceImage;
use shipkit_core::verdict::Outcome;
use shipkit_core::{Digest, Release, Tag};
use shipkit_registry::{Manifest, ManifestKind, Move, Registry, Target};
use shipkit_runner::{Failure, Runner, markdown};

use crate::args::ReleaseArgs;
use crate::{folder, login};

/// What the registry holds is not what was built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    /// The tag names another digest than the build reported.
    #[error("the registry's `{repository}:{tag}` is {found}, but `{service}` was built as `{built}`")]
    OtherDigest {
        /// The service.
        service: String,
        /// Its repository.
        repository: String,
        /// The throw-away tag.
        tag: Tag,
        /// What the tag names, if anything.
        found: String,
        /// What the build reported.
        built: Digest,
    },
    /// A platform was asked for and is not there.
    #[error("the image of `{service}` has no `{platform}`, which `build.platforms` asks for")]
    Platform {
        /// The service.
        service: String,
        /// The platform.
        platform: String,
    },
    /// A shard left no image.
    #[error("`{service}` has no image for `{platform}`: `{image}` is not at the registry")]
    NoShard {
        /// The service.
        service: String,
        /// The platform.
        platform: String,
        /// What was looked for.
        image: String,
    },
    /// A plan of one shard.
    #[error("this plan is for `{0}` alone, and a release is made of all platforms")]
    OneShard(String),
    /// A plan that pushes nothing makes no release.
    #[error("this event pushes nothing, so there is nothing to release")]
    NothingPushed,
}

impl Hint for ReleaseError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::OtherDigest { .. } => Some("build again: another run may use the same tag".to_owned()),
            Self::Platform { .. } => {
                Some("check that the builder can build it: `docker buildx inspect`".to_owned())
            }
            Self::NoShard { platform, .. } => Some(format!("let the job that builds `{platform}` run again")),
            Self::OneShard(_) => {
                Some("plan again with `shards` and without `shard`, once all shards are built".to_owned())
            }
            Self::NothingPushed => {
                Some("judge the images with `image-scan --layout .shipkit/layout`".to_owned())
            }
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::OtherDigest { .. } => ExitCode::Unknown,
            Self::Platform { .. } | Self::NoShard { .. } => ExitCode::No,
            Self::NothingPushed | Self::OneShard(_) => ExitCode::Usage,
        }
    }
}

/// Confirms every digest at the registry, then stores the release.
pub(crate) async fn run(args: &ReleaseArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let plan = folder::plan(&args.project.directory)?;
    if !plan.push {
        return Err(ReleaseError::NothingPushed.into());
    }
    if let Some(platform) = plan.shard {
        return Err(ReleaseError::OneShard(platform).into());
    }
    let built = folder::built(&args.project.directory, &plan)?;
    let registry = login::registry(runner, &args.registry, &plan.release_repository)?;
    let mut services = reused(&registry, &plan).await?;
    for (name, service) in &plan.services {
        let digest = match built.get(name) {
            Some(digest) => digest.clone(),
            None => joined(&registry, &plan, name, service).await?,
        };
        services.insert(name.clone(), confirm(&registry, &plan, name, service, &digest).await?);
    }
    let release = Release {
        name: plan.name.clone(),
        version: plan.version.clone(),
        commit: plan.commit.clone(),
        git_ref: plan.git_ref.clone(),
        created: plan.created,
        run: plan.run.clone(),
        services,
        tags: plan.tags.clone(),
    };
    if args.dry_run {
        runner.data(&format!("{:#}\n", json!(release)));
        return Ok(Outcome::pass("dry run: every digest is at the registry; nothing was stored"));
    }
    let digest = match recorded(&registry, &plan, &release).await? {
        Some(digest) => digest,
        None if takes_the_tag(&registry, &plan).await? => {
            registry.put_release(&plan.release_repository, &release).await?
        }
        None => registry.store_release(&plan.release_repository, &release).await?,
    };
    runner.output("release", digest.as_str())?;
    runner.output("repository", &plan.release_repository.to_string())?;
    runner.output("version", &release.version)?;
    if runner.is_json() {
        let found = json!({"release": digest, "repository": plan.release_repository, "content": release});
        runner.data(&format!("{found:#}"));
    } else {
        runner.data(digest.as_str());
    }
    runner.summary(&summary(&release, &digest))?;
    Ok(Outcome::pass(format!("release {} is {}@{digest}", release.version, plan.release_repository)))
}

/// The images that were not built. They keep what the earlier release says about them, and must still be there.
async fn reused(registry: &Registry, plan: &Plan) -> Result<BTreeMap<String, ServiceImage>, Failure> {
    let mut services = BTreeMap::new();
    for (name, reused) in &plan.reused {
        let image = &reused.image;
        registry.manifest(&image.repository, &Target::Digest(image.digest.clone())).await?;
        services.insert(name.clone(), image.clone());
    }
    Ok(services)
}

/// Whether this release becomes the one that its commit names. One that a protected branch recorded keeps the tag: later
/// plans look for its images, and a tag or another branch at the same commit must not hide them.
async fn takes_the_tag(registry: &Registry, plan: &Plan) -> Result<bool, Failure> {
    if plan.protects(&plan.git_ref) {
        return Ok(true);
    }
    match registry.find_release(&plan.release_repository, &plan.commit).await {
        Ok(digest) => {
            let there = registry.release(&plan.release_repository, &digest).await?;
            Ok(!plan.protects(&there.git_ref))
        }
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The same release, if an earlier run or attempt recorded it: a second one that differs in nothing but its run could
/// never be published, because its version is taken.
async fn recorded(registry: &Registry, plan: &Plan, release: &Release) -> Result<Option<Digest>, Failure> {
    let without_run = |release: &Release| Release { run: None, ..release.clone() };
    for name in [&release.commit, &release.version] {
        let digest = match registry.find_release(&plan.release_repository, name).await {
            Ok(digest) => digest,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        };
        let found = registry.release(&plan.release_repository, &digest).await?;
        if without_run(&found) == without_run(release) {
            return Ok(Some(digest));
        }
    }
    Ok(None)
}

/// The images that shards built for their platforms, put together under the tag that one built here would have. All must
/// be there: an image that lacks a platform is none.
async fn joined(
    registry: &Registry,
    plan: &Plan,
    name: &str,
    service: &PlannedService,
) -> Result<Digest, Failure> {
    let mut images = Vec::new();
    for (platform, tag) in &service.shards {
        let found = registry.resolve(&service.repository, tag).await?;
        images.push(found.ok_or_else(|| ReleaseError::NoShard {
            service: name.to_owned(),
            platform: platform.clone(),
            image: format!("{}:{tag}", service.repository),
        })?);
    }
    let digest = registry.index(&service.repository, &images, &BTreeMap::new()).await?;
    registry.tag(&service.repository.at(&digest), &plan.build_tag, Move::Moving).await?;
    Ok(digest)
}

/// The image of one service as the registry holds it, which must be what was built.
async fn confirm(
    registry: &Registry,
    plan: &Plan,
    name: &str,
    service: &PlannedService,
    built: &Digest,
) -> Result<ServiceImage, Failure> {
    let found = registry.resolve(&service.repository, &plan.build_tag).await?;
    if found.as_ref() != Some(built) {
        let found = found.map_or_else(|| "missing".to_owned(), |digest| format!("`{digest}`"));
        let (service_name, repository) = (name.to_owned(), service.repository.to_string());
        let (tag, built) = (plan.build_tag.clone(), built.clone());
        return Err(ReleaseError::OtherDigest { service: service_name, repository, tag, found, built }.into());
    }
    let manifest = registry.manifest(&service.repository, &Target::Digest(built.clone())).await?;
    let platforms = platforms(registry, service, &manifest).await?;
    if let Some(platform) = service.build.platforms.iter().find(|wanted| !platforms.contains_key(*wanted)) {
        return Err(ReleaseError::Platform { service: name.to_owned(), platform: platform.clone() }.into());
    }
    Ok(ServiceImage {
        repository: service.repository.clone(),
        digest: built.clone(),
        media_type: manifest.media_type,
        platforms,
        revision: plan.commit.clone(),
        version: Some(plan.version.clone()),
        key: service.key.clone(),
        created: Some(plan.created),
        bases: service.bases.clone(),
    })
}

/// The manifest of each platform. An index also lists attestations, whose platform is `unknown/unknown`: they are not
/// images.
async fn platforms(
    registry: &Registry,
    service: &PlannedService,
    manifest: &Manifest,
) -> Result<BTreeMap<String, Digest>, Failure> {
    match &manifest.kind {
        ManifestKind::Index { manifests } => Ok(manifests
            .iter()
            .filter_map(|entry| Some((entry.platform.as_ref()?.to_string(), entry.digest.clone())))
            .filter(|(platform, _)| platform != "unknown/unknown")
            .collect()),
        ManifestKind::Image { .. } => {
            let platform = registry.platform(&service.repository, manifest).await?;
            Ok(BTreeMap::from([(platform.to_string(), manifest.digest.clone())]))
        }
    }
}

fn summary(release: &Release, digest: &Digest) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "### Release {}\n\n`{digest}`\n\n| service | image | platforms |\n|---|---|---|\n",
        markdown::text(&release.version)
    );
    for (name, service) in &release.services {
        let platforms = service.platforms.keys().cloned().collect::<Vec<_>>().join(", ");
        // Writing to a String cannot fail.
        writeln!(
            text,
            "| {} | `{}` | {} |",
            markdown::text(name),
            service.image(),
            markdown::text(&platforms)
        )
        .ok();
    }
    text
}
