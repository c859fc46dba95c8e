//! `Artifact`: an index at a registry. Each of its blobs is a layer, so that only those that an image needs are fetched.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use shipkit_core::{Digest, ImageRef, Repository, Tag};
use shipkit_registry::{Descriptor, Error, Layer, ManifestKind, Move, Registry, Target};

use super::wanted::{Family, Wanted};
use super::{AdvisoriesError, Blob, Index, family, some};

/// What kind of artifact it is.
const ARTIFACT_TYPE: &str = "application/vnd.shipkit.advisories.v1";
/// What says which ecosystem a layer is about.
const ECOSYSTEM: &str = "dev.shipkit.advisories.ecosystem";
/// What says when it was built.
const CREATED: &str = "org.opencontainers.image.created";
/// The most bytes of one blob: the largest real one has a hundredth of that.
const LARGEST: u64 = 64 * 1024 * 1024;
/// How many blobs are fetched at once.
const AT_ONCE: usize = 4;
/// How old an index may be: what became known since it was built is not in it.
const OLDEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// An index at a registry, by digest.
#[derive(Debug)]
pub struct Artifact {
    registry: Registry,
    image: ImageRef,
    now: Timestamp,
    layers: BTreeMap<String, Descriptor>,
    /// Those that were fetched, for the other images of a release.
    fetched: Mutex<BTreeMap<String, Bytes>>,
}

impl Artifact {
    /// The index that a digest names. Its blobs are fetched when an image needs them.
    ///
    /// # Errors
    /// When it is not there, or is none.
    pub async fn open(registry: Registry, image: ImageRef, now: Timestamp) -> Result<Self, AdvisoriesError> {
        let manifest = registry.manifest(&image.repository, &Target::Digest(image.digest.clone())).await?;
        let layers = match manifest.kind {
            ManifestKind::Image { artifact_type: Some(kind), layers, .. } if kind == ARTIFACT_TYPE => layers,
            ManifestKind::Image { .. } | ManifestKind::Index { .. } => {
                return Err(AdvisoriesError::NoIndex(image.to_string()));
            }
        };
        let named = |layer: Descriptor| Some((layer.annotations.get(ECOSYSTEM)?.clone(), layer));
        let layers = layers.into_iter().filter_map(named).collect();
        Ok(Self { registry, image, now, layers, fetched: Mutex::default() })
    }

    /// The index of what these packages need.
    pub(super) async fn index(&self, wanted: &Wanted) -> Result<Index, AdvisoriesError> {
        let ecosystems = wanted.families.values().flat_map(Family::ecosystems);
        let mut needed = BTreeMap::new();
        for ecosystem in ecosystems {
            let here = [ecosystem.as_str(), family(ecosystem)];
            let found = here.into_iter().find_map(|name| self.layers.get_key_value(name));
            let (name, layer) = found.ok_or_else(|| AdvisoriesError::Missing {
                ecosystem: ecosystem.clone(),
                place: self.image.to_string(),
                there: some(self.layers.keys().map(String::as_str)),
            })?;
            needed.insert(name, layer);
        }
        let fetching = stream::iter(needed).map(|(name, layer)| self.blob(name, layer));
        let blobs: Vec<Bytes> = fetching.buffered(AT_ONCE).try_collect().await?;
        let index = Index::new(blobs)?;
        let is_old = |built: &Timestamp| OLDEST < self.now.duration_since(*built);
        if let Some(built) = index.blobs().map(|blob| blob.built).find(is_old) {
            return Err(AdvisoriesError::Old { place: self.image.to_string(), built });
        }
        Ok(index)
    }

    async fn blob(&self, name: &str, layer: &Descriptor) -> Result<Bytes, AdvisoriesError> {
        let fetched = || self.fetched.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = fetched().get(name).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let bytes = self.registry.blob(&self.image.repository, layer, LARGEST).await?;
        fetched().insert(name.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

/// Stores an index at a registry under a tag, and returns its digest, by which it is read. The same blobs have the same digest.
///
/// # Errors
/// When the registry does not take it.
pub async fn push(
    registry: &Registry,
    repository: &Repository,
    tag: &Tag,
    blobs: &[Blob],
) -> Result<Digest, Error> {
    let layer = |blob: &Blob| Layer {
        bytes: blob.bytes.clone(),
        annotations: BTreeMap::from([(ECOSYSTEM.to_owned(), blob.ecosystem.clone())]),
    };
    let built = blobs.iter().map(|blob| blob.built).max();
    let annotations = built.map(|built| (CREATED.to_owned(), built.to_string())).into_iter().collect();
    let layers = blobs.iter().map(layer).collect();
    let artifact = shipkit_registry::Artifact { kind: ARTIFACT_TYPE, layers, annotations };
    let digest = registry.put_artifact(repository, artifact).await?;
    registry.tag(&repository.at(&digest), tag, Move::Moving).await?;
    Ok(digest)
}
