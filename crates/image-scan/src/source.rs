//! Where an image is read from, and what is read: manifests, configuration, and every layer once.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use shipkit_core::policy::{ImageFacts, Traces};
use shipkit_core::{Digest, Repository};
use shipkit_registry::layout::Layout;
use shipkit_registry::{Descriptor, Manifest, ManifestKind, Registry, Target};
use shipkit_runner::Failure;
use tokio::sync::OnceCell;

use crate::archive::{Archive, ArchiveError};
use crate::cache::Cache;
use crate::facts::{self, Configuration};
use crate::inventory::Inventory;
use crate::layer::{Layer, LayerError, Limits, Packing};
use crate::platform::Wanted;
use crate::traces;
use crate::tree::Tree;

const CONFIG_LIMIT: u64 = 8 * 1024 * 1024;
/// How many layers of an image are read at once: more than a machine has processors would not be faster.
const AT_ONCE: usize = 3;
/// What one layer may grow to: no real one is larger, and only bombs grow so much.
pub(crate) const GROWTH: Limits =
    Limits { unpacked: 64 * 1024 * 1024 * 1024, ratio: 200, ratio_from: 256 * 1024 * 1024 };
/// The most layers of one image: no engine makes more than 128, and more take long to put over one another.
const LAYER_LIMIT: usize = 512;
/// The most memory that all layers of an image may take, those that occur twice counted twice.
const KEPT: usize = 512 * 1024 * 1024;
/// The most platforms that one index may have.
const PLATFORM_LIMIT: usize = 64;

/// What there is to know about an image of one platform.
pub(crate) struct Contents {
    /// Its digest.
    pub(crate) digest: Digest,
    /// What rules are about.
    pub(crate) facts: ImageFacts,
    /// Its packages.
    pub(crate) inventory: Inventory,
    /// What made each of its layers, the lowest first; none where that is not told.
    pub(crate) steps: Vec<String>,
    /// Its layers, the lowest first.
    pub(crate) layers: Vec<Arc<Layer>>,
    /// The repository that it was read from; none of what is on this machine.
    pub(crate) home: Option<Repository>,
}

/// A place to read images from.
pub(crate) enum Source {
    /// A repository at a registry.
    Registry(Registry, Repository),
    /// A layout on this machine.
    Layout(Layout),
    /// What was read of an archive of Docker.
    Archive(Arc<Archive>),
}

/// Why an image cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// An index or artifact where an image is needed.
    #[error("`{0}` is no image: {1}")]
    NoImage(Digest, &'static str),
    /// The configuration is not one.
    #[error("the configuration of `{0}` is not one")]
    Configuration(Digest, #[source] serde_json::Error),
    /// A layer in a form that is not known.
    #[error("layer `{0}` has the media type `{1}`, which cannot be unpacked here")]
    MediaType(Digest, String),
    /// A layer that cannot be read.
    #[error("layer `{0}` cannot be read")]
    Layer(Digest, #[source] LayerError),
    /// The configuration is about another one.
    #[error("the configuration of `{image}` says that layer {number} is `{said}`, and it is `{found}`")]
    OtherLayer { image: Digest, number: usize, said: String, found: Digest },
    /// The configuration is for another platform than the index.
    #[error("the configuration of `{image}` is for `{found}`, and its index says that it is for `{said}`")]
    OtherPlatform { image: Digest, said: String, found: String },
    /// The image is not there for the platform that was asked for.
    #[error("there is no image for `{wanted}`")]
    Platform { wanted: String, there: Vec<String> },
    /// Too much of it would have to be kept.
    #[error(
        "the paths in the layers of `{0}`, and what is found in their files, take more than {KEPT} bytes"
    )]
    Kept(Digest),
    /// Links that lead over links.
    #[error("the links among the folders of `{0}` are too many to follow, as only an attack has them")]
    Tangled(Digest),
    /// The program ends before it is done.
    #[error("unpacking was stopped")]
    Stopped(#[source] tokio::task::JoinError),
}

impl Hint for ImageError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::MediaType(..) => Some("push the image with gzip or zstd layers".to_owned()),
            Self::Platform { there, .. } => Some(format!("there is one for `{}`", there.join("`, `"))),
            Self::NoImage(..)
            | Self::Configuration(..)
            | Self::Layer(..)
            | Self::OtherLayer { .. }
            | Self::OtherPlatform { .. }
            | Self::Kept(..)
            | Self::Tangled(..)
            | Self::Stopped(..) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Platform { .. } => ExitCode::Usage,
            // A gate that could not read the image has not passed, and has not failed either.
            Self::NoImage(..)
            | Self::Configuration(..)
            | Self::MediaType(..)
            | Self::Layer(..)
            | Self::OtherLayer { .. }
            | Self::OtherPlatform { .. }
            | Self::Kept(..)
            | Self::Tangled(..)
            | Self::Stopped(..) => ExitCode::Unknown,
        }
    }
}

impl Source {
    fn home(&self) -> Option<&Repository> {
        match self {
            Self::Registry(_, repository) => Some(repository),
            Self::Layout(_) | Self::Archive(_) => None,
        }
    }

    /// What there is to know about the images that `manifest` stands for: of every platform, or of the one that is `wanted`. Attestations
    /// are not images. Layers that are `known` are not read again.
    pub(crate) async fn images(
        &self,
        manifest: &Manifest,
        wanted: Option<&Wanted>,
        known: &Known,
    ) -> Result<Vec<Contents>, Failure> {
        let is_wanted = |platform: &str| wanted.is_none_or(|wanted| wanted.is(platform));
        let missing = |there: Vec<String>| {
            let wanted = wanted.map(ToString::to_string).unwrap_or_default();
            ImageError::Platform { wanted, there }
        };
        let ManifestKind::Index { manifests } = &manifest.kind else {
            // Before its layers are read.
            let (config, _) = parts(manifest)?;
            let platform = self.configuration(config).await?.facts.platform;
            if !is_wanted(&platform) {
                return Err(missing(vec![platform]).into());
            }
            return Ok(vec![self.contents(manifest, known).await?]);
        };
        let platform = |entry: &Descriptor| entry.platform.as_ref().map(ToString::to_string);
        let is_image =
            |entry: &&Descriptor| platform(entry).is_none_or(|platform| platform != "unknown/unknown");
        let images: Vec<_> = manifests.iter().filter(is_image).collect();
        if images.is_empty() || PLATFORM_LIMIT < images.len() {
            return Err(ImageError::NoImage(
                manifest.digest.clone(),
                "an index without images, or with too many",
            )
            .into());
        }
        let mut found = Vec::new();
        for image in &images {
            // What does not say for which platform it is may be for any.
            if platform(image).is_some_and(|platform| !is_wanted(&platform)) {
                continue;
            }
            let manifest = self.manifest(image).await?;
            let contents = self.contents(&manifest, known).await?;
            agree(image, &contents)?;
            found.extend(is_wanted(&contents.facts.platform).then_some(contents));
        }
        if found.is_empty() {
            return Err(missing(images.into_iter().filter_map(platform).collect()).into());
        }
        Ok(found)
    }

    /// What there is to know about the image of one platform, if there is one.
    pub(crate) async fn of_platform(
        &self,
        manifest: &Manifest,
        platform: &str,
        known: &Known,
    ) -> Result<Option<Contents>, Failure> {
        let listed = listed(manifest, platform);
        let Some(manifest) = self.manifest_of(manifest, platform).await? else { return Ok(None) };
        let contents = self.contents(&manifest, known).await?;
        if let Some(entry) = listed {
            agree(entry, &contents)?;
        }
        Ok((contents.facts.platform == platform).then_some(contents))
    }

    /// The digests of the tars of the layers of the image of one platform, if there is one.
    pub(crate) async fn diff_ids(
        &self,
        manifest: &Manifest,
        platform: &str,
    ) -> Result<Option<Vec<Digest>>, Failure> {
        let Some(manifest) = self.manifest_of(manifest, platform).await? else { return Ok(None) };
        let (config, _) = parts(&manifest)?;
        Ok(Some(self.configuration(config).await?.diff_ids))
    }

    async fn manifest_of(&self, manifest: &Manifest, platform: &str) -> Result<Option<Manifest>, Failure> {
        if let ManifestKind::Image { .. } = &manifest.kind {
            return Ok(Some(manifest.clone()));
        }
        match listed(manifest, platform) {
            Some(entry) => Ok(Some(self.manifest(entry).await?)),
            None => Ok(None),
        }
    }

    async fn contents(&self, manifest: &Manifest, known: &Known) -> Result<Contents, Failure> {
        let (config, layers) = parts(manifest)?;
        let Configuration { mut facts, diff_ids, steps } = self.configuration(config).await?;
        let reading = stream::iter(layers).map(|descriptor| known.layer(self, descriptor));
        let mut reading = reading.buffered(AT_ONCE);
        let (mut all, mut kept) = (Vec::new(), 0_usize);
        while let Some(layer) = reading.try_next().await? {
            kept = layer.entries.iter().fold(kept, |sum, entry| sum.saturating_add(entry.weight()));
            if KEPT < kept {
                return Err(ImageError::Kept(manifest.digest.clone()).into());
            }
            all.push(layer);
        }
        check(&manifest.digest, &diff_ids, &all)?;
        facts.layers = u64::try_from(all.len()).unwrap_or(u64::MAX);
        facts.compressed = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        facts.unpacked = all.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.unpacked));
        let (digest, home) = (manifest.digest.clone(), self.home().cloned());
        let looking = tokio::task::spawn_blocking(move || {
            let layers: Vec<&Layer> = all.iter().map(AsRef::as_ref).collect();
            let tree = Tree::of(&layers);
            // Neither needs the other but in the end, and each takes as long.
            let (inventory, traces) = thread::scope(|scope| {
                let traces = scope.spawn(|| traces::of(&layers, &tree, &steps));
                (Inventory::of(&layers, &tree), traces.join().unwrap_or_else(|panic| resume_unwind(panic)))
            });
            let Traces { leaks, .. } = std::mem::replace(&mut facts.traces, traces);
            facts.traces.unknown_owners = traces::unknown_owners(&layers, &tree, &inventory);
            // Those of the configuration come first.
            facts.traces.leaks.splice(..0, leaks);
            if tree.is_tangled() {
                return Err(ImageError::Tangled(digest));
            }
            drop(tree);
            Ok(Contents { digest, facts, inventory, steps, layers: all, home })
        });
        Ok(looking.await.map_err(ImageError::Stopped)??)
    }

    async fn configuration(&self, config: &Descriptor) -> Result<Configuration, Failure> {
        let bytes = self.blob(config, CONFIG_LIMIT).await?;
        let read = facts::read(&bytes);
        Ok(read.map_err(|source| ImageError::Configuration(config.digest.clone(), source))?)
    }

    async fn layer(&self, descriptor: &Descriptor) -> Result<Arc<Layer>, Failure> {
        let (digest, media_type) = (descriptor.digest.clone(), descriptor.media_type.clone());
        let Some(packing) = Packing::of(&media_type) else {
            return Err(ImageError::MediaType(digest, media_type).into());
        };
        let size = descriptor.size;
        // Unpacking is work for a processor, which another layer may use at the same time.
        let read = match self {
            Self::Registry(registry, repository) => {
                let reading =
                    |pieces| tokio::task::spawn_blocking(move || Layer::read(pieces, size, packing, GROWTH));
                registry.read_blob(repository, descriptor, reading).await?
            }
            Self::Layout(layout) => {
                let blob = layout.read_blob(descriptor)?;
                tokio::task::spawn_blocking(move || Layer::read(blob, size, packing, GROWTH)).await
            }
            Self::Archive(archive) => return Ok(archive.layer(&digest)?),
        };
        let read = read.map_err(ImageError::Stopped)?.map_err(|source| ImageError::Layer(digest, source))?;
        Ok(Arc::new(read))
    }

    /// The manifest that a descriptor points at.
    pub(crate) async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Failure> {
        match self {
            Self::Registry(registry, repository) => {
                Ok(registry.manifest(repository, &Target::Digest(descriptor.digest.clone())).await?)
            }
            Self::Layout(layout) => Ok(layout.manifest(descriptor)?),
            Self::Archive(archive) => {
                Ok(Manifest::read(archive.text(&descriptor.digest)?, Some(&descriptor.media_type))
                    .map_err(ArchiveError::Manifest)?)
            }
        }
    }

    async fn blob(&self, descriptor: &Descriptor, max: u64) -> Result<Bytes, Failure> {
        match self {
            Self::Registry(registry, repository) => Ok(registry.blob(repository, descriptor, max).await?),
            Self::Layout(layout) => Ok(layout.blob(descriptor, max)?),
            Self::Archive(archive) => Ok(archive.text(&descriptor.digest)?),
        }
    }
}

/// The layers that were read: services of one release have many in common, and each is read once.
pub(crate) struct Known {
    layers: Mutex<BTreeMap<Digest, Arc<OnceCell<Arc<Layer>>>>>,
    /// Those of other runs.
    cache: Option<Arc<Cache>>,
}

impl Known {
    /// None yet, but those that a cache keeps.
    pub(crate) fn new(cache: Option<Arc<Cache>>) -> Self {
        Self { layers: Mutex::default(), cache }
    }

    /// A layer that was read, is being read, or is read now.
    async fn layer(&self, source: &Source, descriptor: &Descriptor) -> Result<Arc<Layer>, Failure> {
        let cell = {
            let mut cells = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(descriptor.digest.clone()).or_default())
        };
        cell.get_or_try_init(|| self.read(source, descriptor)).await.map(Arc::clone)
    }

    async fn read(&self, source: &Source, descriptor: &Descriptor) -> Result<Arc<Layer>, Failure> {
        // What an archive holds was read before its layers are asked for.
        let cache = self.cache.as_ref().filter(|_| !matches!(source, Source::Archive(_)));
        let Some(cache) = cache else { return source.layer(descriptor).await };
        let (kept, digest) = (Arc::clone(cache), descriptor.digest.clone());
        let found = tokio::task::spawn_blocking(move || kept.get(&digest)).await;
        if let Some(layer) = found.map_err(ImageError::Stopped)? {
            return Ok(Arc::new(layer));
        }
        let layer = source.layer(descriptor).await?;
        let (to, digest, read) = (Arc::clone(cache), descriptor.digest.clone(), Arc::clone(&layer));
        tokio::task::spawn_blocking(move || to.put(&digest, &read)).await.map_err(ImageError::Stopped)?;
        Ok(layer)
    }
}

/// What an index lists for a platform.
pub(crate) fn listed<'index>(manifest: &'index Manifest, platform: &str) -> Option<&'index Descriptor> {
    let ManifestKind::Index { manifests } = &manifest.kind else { return None };
    manifests.iter().find(|entry| entry.platform.as_ref().is_some_and(|found| found.to_string() == platform))
}

/// Whether an image is for the platform that its index says. A variant may be left out.
fn agree(entry: &Descriptor, image: &Contents) -> Result<(), ImageError> {
    let Some(said) = &entry.platform else { return Ok(()) };
    let found = &image.facts.platform;
    let mut parts = found.split('/');
    let is_same = parts.next() == Some(&said.os) && parts.next() == Some(&said.architecture);
    let variants = (parts.next(), said.variant.as_deref());
    if is_same && !matches!(variants, (Some(found), Some(said)) if found != said) {
        return Ok(());
    }
    let (image, said) = (image.digest.clone(), said.to_string());
    Err(ImageError::OtherPlatform { image, said, found: found.clone() })
}

/// The configuration and the layers of the image of one platform.
fn parts(manifest: &Manifest) -> Result<(&Descriptor, &[Descriptor]), ImageError> {
    let no_image = |why| ImageError::NoImage(manifest.digest.clone(), why);
    match &manifest.kind {
        ManifestKind::Index { .. } => Err(no_image("an index inside an index")),
        ManifestKind::Image { artifact_type: Some(_), .. } => Err(no_image("an artifact")),
        ManifestKind::Image { layers, .. } if LAYER_LIMIT < layers.len() => {
            Err(no_image("more than 512 layers"))
        }
        ManifestKind::Image { config, layers, .. } => Ok((config, layers)),
    }
}

/// Whether the layers are those that the configuration is about.
fn check(image: &Digest, diff_ids: &[Digest], layers: &[Arc<Layer>]) -> Result<(), ImageError> {
    for (number, layer) in layers.iter().enumerate() {
        let said = diff_ids.get(number);
        if said != Some(&layer.diff_id) {
            let said = said.map_or_else(|| "none".to_owned(), ToString::to_string);
            let (image, found) = (image.clone(), layer.diff_id.clone());
            return Err(ImageError::OtherLayer { image, number, said, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_those_of_the_configuration_or_the_image_cannot_be_judged() {
        let layer =
            |text: &[u8]| Arc::new(Layer { entries: Vec::new(), diff_id: Digest::of(text), unpacked: 0 });
        let (layers, image) = ([layer(b"a"), layer(b"b")], Digest::of(b"image"));
        let ids = [Digest::of(b"a"), Digest::of(b"b")];
        check(&image, &ids, &layers).unwrap();
        for wrong in [&[][..], &ids[..1], &[ids[1].clone(), ids[0].clone()]] {
            let error = check(&image, wrong, &layers).unwrap_err();
            assert!(matches!(error, ImageError::OtherLayer { .. }) && error.exit_code() == ExitCode::Unknown);
        }
    }
}
