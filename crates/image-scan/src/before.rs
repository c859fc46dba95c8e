//! `Before`: what images are compared with.

use shipkit_core::config::ScanBaseline;
use shipkit_core::plan::deployed_tag;
use shipkit_core::{Digest, ImageName, ImageRef, Release, Repository, Tag};
use shipkit_registry::{Manifest, Registry, Target, is_named_inside};
use shipkit_runner::{Failure, Runner};

use crate::inventory::{Inventory, Package};
use crate::kept::Kept;
use crate::source::{Contents, ImageError, Known, Source, listed};
use crate::tree::Tree;

/// What images are compared with.
pub(crate) enum Before {
    /// With nothing: everything is new.
    Nothing,
    /// With those of a release.
    Release { what: String, registry: Registry, release: Box<Release> },
    /// Each with the image that it was built upon.
    BaseImage,
}

/// One image that was there before.
pub(crate) struct Old {
    /// Which one it is, in words.
    pub(crate) what: String,
    /// Its packages.
    pub(crate) packages: Vec<Package>,
    /// Bytes of its layers unpacked.
    pub(crate) unpacked: u64,
}

impl Before {
    /// The release that is meant, of those in a repository. Where there is none yet, that is said.
    ///
    /// # Errors
    /// When the registry does not tell.
    pub(crate) async fn find(
        wanted: &ScanBaseline,
        (registry, repository): (Registry, Repository),
        judged: Option<&Digest>,
        runner: &Runner,
    ) -> Result<Self, Failure> {
        let (found, what) = match wanted {
            ScanBaseline::BaseImage => return Ok(Self::BaseImage),
            ScanBaseline::Environment(name) => {
                let tag = deployed_tag(name).map_err(Failure::usage)?;
                (registry.resolve(&repository, &tag).await?, format!("what `{name}` has"))
            }
            ScanBaseline::LastRelease => {
                (last(&registry, &repository, judged).await?, "the last release".to_owned())
            }
        };
        let Some(digest) = found else {
            runner.say(&format!("{what} is not there yet: everything that is found is new"));
            return Ok(Self::Nothing);
        };
        let release = registry.release(&repository, &digest).await?;
        let what = format!("{what} (`{}`)", release.version);
        Ok(Self::Release { what, registry, release: Box::new(release) })
    }

    /// What the image of a service was before; nothing where it is new.
    ///
    /// # Errors
    /// When it cannot be read, or nobody knows which one it was.
    pub(crate) async fn image(
        &self,
        image: (&str, &Contents),
        bases: &[(String, ImageRef)],
        client: impl Fn(&Repository) -> Result<Registry, Failure>,
        known: &Known,
    ) -> Result<Option<Old>, Failure> {
        let (name, contents) = image;
        match self {
            Self::Nothing => Ok(None),
            Self::Release { what, registry, release } => {
                let Some(service) = release.services.get(name) else { return Ok(None) };
                let (source, manifest) = pushed(registry, &service.image()).await?;
                let (what, platform) = (what.clone(), &contents.facts.platform);
                let digest = listed(&manifest, platform).map_or(&manifest.digest, |entry| &entry.digest);
                let kept = Kept::get(registry, &service.repository, digest).await?;
                if let Some(Kept { packages, unpacked, .. }) = kept.filter(|kept| kept.platform == *platform)
                {
                    return Ok(Some(Old { what, packages, unpacked }));
                }
                let old = source.of_platform(&manifest, platform, known).await?;
                let old = old.map(|old| (old.inventory.packages, old.facts.unpacked));
                Ok(old.map(|(packages, unpacked)| Old { what, packages, unpacked }))
            }
            Self::BaseImage => {
                let (base, count) = base(contents, bases, client).await?.ok_or_else(|| {
                    Failure::unknown(format!("which image `{name}` was built upon is not known"))
                        .with_hint("label it with `org.opencontainers.image.base.name` and `.digest`, or compare it with an environment")
                })?;
                let layers: Vec<_> = contents.layers.iter().take(count).map(AsRef::as_ref).collect();
                let unpacked = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.unpacked));
                let tree = Tree::of(&layers);
                let inventory = Inventory::of(&layers, &tree);
                if tree.is_tangled() {
                    return Err(ImageError::Tangled(base.digest).into());
                }
                let packages = inventory.packages;
                Ok(Some(Old { what: format!("its base `{base}`"), packages, unpacked }))
            }
        }
    }
}

/// An image at a registry.
pub(crate) async fn pushed(registry: &Registry, image: &ImageRef) -> Result<(Source, Manifest), Failure> {
    let manifest = registry.manifest(&image.repository, &Target::Digest(image.digest.clone())).await?;
    Ok((Source::Registry(registry.clone(), image.repository.clone()), manifest))
}

/// The release with the highest version that is not the one that is judged.
async fn last(
    registry: &Registry,
    repository: &Repository,
    judged: Option<&Digest>,
) -> Result<Option<Digest>, Failure> {
    let tags = registry.tags(repository).await?;
    for tag in by_version(tags) {
        let found = registry.resolve(repository, &tag).await?;
        if found.is_some() && found.as_ref() != judged {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The tags that are versions, the highest first.
fn by_version(tags: impl IntoIterator<Item = Tag>) -> Vec<Tag> {
    // A tag has `_` where a version has `+`.
    let version = |tag: &Tag| semver::Version::parse(&tag.to_string().replace('_', "+")).ok();
    let mut versions: Vec<_> = tags.into_iter().filter_map(|tag| Some((version(&tag)?, tag))).collect();
    versions.sort_by(|(a, _), (b, _)| b.cmp(a));
    versions.into_iter().map(|(_, tag)| tag).collect()
}

/// Of the images that it may have been built upon the one with whose layers it begins, and how many those are. Of two the larger
/// one is meant: it was built upon the other.
async fn base(
    contents: &Contents,
    bases: &[(String, ImageRef)],
    client: impl Fn(&Repository) -> Result<Registry, Failure>,
) -> Result<Option<(ImageRef, usize)>, Failure> {
    let own: Vec<_> = contents.layers.iter().map(|layer| &layer.diff_id).collect();
    let mut best: Option<(ImageRef, usize)> = None;
    for (_, base) in labelled(contents).into_iter().chain(bases.iter().cloned()) {
        let (source, manifest) = pushed(&client(&base.repository)?, &base).await?;
        let Some(layers) = source.diff_ids(&manifest, &contents.facts.platform).await? else { continue };
        let begins = layers.len() <= own.len() && layers.iter().zip(&own).all(|(base, own)| base == *own);
        if begins && best.as_ref().is_none_or(|(_, count)| *count < layers.len()) {
            best = Some((base, layers.len()));
        }
    }
    Ok(best)
}

/// The base that labels name, with that name (OCI image-spec, annotations.md). Whoever built the image wrote them: they lead nowhere where
/// only this machine gets at.
pub(crate) fn labelled(contents: &Contents) -> Option<(String, ImageRef)> {
    let label = |key| contents.facts.labels.get(&format!("org.opencontainers.image.base.{key}"));
    let name = label("name")?;
    let repository = match name.parse().ok()? {
        ImageName::Fixed(image) => image.repository,
        ImageName::Tagged(repository, _) => repository,
    };
    let digest = label("digest")?.parse().ok()?;
    let is_open = !is_named_inside(contents.home.as_ref(), &repository);
    is_open.then(|| (name.clone(), repository.at(&digest)))
}

/// The images that a release says that a service was built upon, each with the name it has there.
pub(crate) fn bases(release: &Release, name: &str) -> Vec<(String, ImageRef)> {
    let of_service = release.services.get(name).into_iter().flat_map(|service| &service.bases);
    let image = |(name, digest): (&String, &Digest)| match name.parse().ok()? {
        ImageName::Fixed(image) => Some((name.clone(), image)),
        ImageName::Tagged(repository, _) => Some((name.clone(), repository.at(digest))),
    };
    of_service.filter_map(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_is_first_and_what_is_no_version_is_left_out() {
        let tags =
            ["1.9.0", "sha-abc", "1.10.0-rc.1", "1.10.0", "deployed-staging", "1.10.0_b.1", "api-2.0.0"];
        let sorted = by_version(tags.map(|tag| tag.parse().unwrap()));
        let names: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["1.10.0_b.1", "1.10.0", "1.10.0-rc.1", "1.9.0"]);
    }
}
