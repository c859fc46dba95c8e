//! Copying an image from one repository to another, in one registry or between two.
//!
//! The order makes a copy that is broken off harmless: blobs, manifests of platforms, evidence, the image itself, and its
//! tags last, each of which is read back. Manifests are sent as the bytes that came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::header::ACCEPT;
use http::{Method, StatusCode};
use shipkit_core::{Digest, ImageRef, Repository, Tag};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::content::accepted;
use crate::error::Error;
use crate::session::Session;
use crate::transport::Access;
use crate::{Descriptor, Manifest, ManifestKind, Move, NotAManifest, Registry, Tagged, Target};

/// How many requests without a body of note are under way at once.
const AT_ONCE: usize = 16;
/// How many blobs go byte for byte at once; each takes one to two megabytes of memory.
const LANES: usize = 4;
/// An index of indexes is seen in the wild, a third level is not.
const DEPTH: usize = 3;
/// More than any image has platforms and attestations.
const WIDTH: usize = 1000;

/// What a copy takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// Everything that refers to the image or to one of its platforms: evidence, signatures, SBOMs.
    Evidence,
    /// The image alone.
    Nothing,
}

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest, which is that of the source.
    pub digest: Digest,
    /// Whether the image itself was sent; not if it was found at the destination.
    pub is_sent: bool,
    /// How many referrers were brought that were not there before.
    pub evidence: usize,
    /// How many requests it took, those for tokens included.
    pub requests: u64,
    /// How many bytes of bodies were sent.
    pub sent: u64,
    /// How many bytes of bodies were received.
    pub received: u64,
}

impl Registry {
    /// Copies an image, with everything that it consists of, and makes `tags` name it at the destination. The digest stays
    /// the same, whatever the registries are. The [`crate::Options::deadline`] counts for the whole copy.
    ///
    /// # Errors
    /// [`Error::Taken`] for a permanent tag that names something else, before anything is copied. Whatever the error, no
    /// tag at the destination names an image that is not whole.
    pub async fn copy(
        &self,
        source: &ImageRef,
        destination: &Repository,
        tags: &[(Tag, Move)],
        along: Along,
    ) -> Result<Copied, Error> {
        let within = self.between(&source.repository, destination);
        let (is_sent, evidence) = within.bring(source, destination, tags, along).await?;
        let (requests, sent, received) = within.session.meter.read();
        Ok(Copied { digest: source.digest.clone(), is_sent, evidence, requests, sent, received })
    }

    /// This client for what will be written to `repository`: its tokens allow that from the first request on. Some
    /// registries deny a repository that is not there yet to whoever asks to read it only.
    #[must_use]
    pub fn writing_to(&self, repository: &Repository) -> Self {
        let push = vec![format!("repository:{}:pull,push", repository.path())];
        let scopes = BTreeMap::from([(repository.registry().to_owned(), push)]);
        let session = Arc::new(Session { scopes, deadline: self.session.deadline, ..Session::default() });
        Self { transport: Arc::clone(&self.transport), session }
    }

    /// This client with one token for both repositories where they are at one registry, with one deadline, and with the
    /// count at zero.
    fn between(&self, from: &Repository, to: &Repository) -> Self {
        let mut scopes =
            BTreeMap::from([(to.registry().to_owned(), vec![format!("repository:{}:pull,push", to.path())])]);
        if from != to {
            let pull = format!("repository:{}:pull", from.path());
            scopes.entry(from.registry().to_owned()).or_default().push(pull);
        }
        let deadline = Some(self.deadline());
        let session = Arc::new(Session { scopes, deadline, ..Session::default() });
        Self { transport: Arc::clone(&self.transport), session }
    }

    /// Whether an image is there, going by its own manifest.
    ///
    /// # Errors
    /// When it could not be found out.
    pub async fn has(&self, image: &ImageRef) -> Result<bool, Error> {
        let mut call = self.manifest_call(&image.repository, &Target::Digest(image.digest.clone()))?;
        call.method = Method::HEAD;
        call.access = Access::Push;
        call.headers = vec![(ACCEPT, accepted())];
        let answer = self.transport.send(&call).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            // Whatever a 404 means, copying what may be there does no harm.
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(call.status(&answer)),
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.session.deadline(&self.transport.options)
    }

    /// Whether the image was sent, and how many referrers were.
    async fn bring(
        &self,
        source: &ImageRef,
        to: &Repository,
        tags: &[(Tag, Move)],
        along: Along,
    ) -> Result<(bool, usize), Error> {
        let (from, image) = (&source.repository, to.at(&source.digest));
        let mut done = BTreeSet::new();
        for (tag, may) in tags.iter().filter(|(_, may)| *may == Move::Permanent) {
            if self.plan_tag(&image, tag, *may).await? == Tagged::Unchanged {
                done.insert(tag);
            }
        }
        let mut is_there = from == to || !done.is_empty();
        let top = self.manifest(from, &source.digest.clone().into()).await?;
        // One image inside one registry costs no more to mount than to ask about: all its mounts go out at once. Without
        // a tag nothing else would tell that it is there.
        let is_cheap = from.registry() == to.registry()
            && matches!(top.kind, ManifestKind::Image { .. })
            && !tags.is_empty();
        if !is_there && !is_cheap {
            is_there = self.has(&image).await?;
        }
        if !is_there {
            self.bring_parts(from, to, &top).await?;
        }
        let evidence = match along {
            Along::Evidence if from != to => {
                let platforms = listed(&top).into_iter().map(|entry| entry.digest);
                let subjects = std::iter::once(top.digest.clone()).chain(platforms);
                self.bring_evidence(from, to, subjects.collect()).await?
            }
            Along::Evidence | Along::Nothing => 0,
        };
        if tags.is_empty() && !is_there {
            let target = Target::Digest(top.digest.clone());
            self.put_manifest(to, &target, &top.media_type, top.bytes.clone()).await?;
        }
        for (tag, _) in tags.iter().filter(|(tag, _)| !done.contains(tag)) {
            // Where nothing was known of the image, the tag cannot name it yet.
            if !is_there || self.resolve(to, tag).await?.as_ref() != Some(&top.digest) {
                self.put_tag(to, tag, &top).await?;
            }
        }
        Ok((!is_there, evidence))
    }

    /// Everything below the image itself: its blobs, and the manifests that an index lists.
    async fn bring_parts(&self, from: &Repository, to: &Repository, top: &Manifest) -> Result<(), Error> {
        let levels = self.below(from, top).await?;
        let manifests = levels.iter().flatten().chain([top]);
        let blobs: BTreeMap<_, _> =
            manifests.flat_map(blobs).map(|blob| (blob.digest.clone(), blob)).collect();
        self.carry_all(from, to, blobs.into_values().collect()).await?;
        // The deepest first: a registry takes no index whose entries it does not have.
        for level in levels.iter().rev() {
            self.put_all(to, level).await?;
        }
        Ok(())
    }

    pub(crate) async fn carry_all(
        &self,
        from: &Repository,
        to: &Repository,
        blobs: Vec<Descriptor>,
    ) -> Result<(), Error> {
        let lanes = &Arc::new(Semaphore::new(LANES));
        stream::iter(blobs)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |blob| async move { self.carry(from, to, &blob, lanes).await })
            .await
    }

    /// Stores manifests by digest, in any order.
    pub(crate) async fn put_all(&self, to: &Repository, manifests: &[Manifest]) -> Result<(), Error> {
        stream::iter(manifests)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |manifest| async move {
                let target = Target::Digest(manifest.digest.clone());
                self.put_manifest(to, &target, &manifest.media_type, manifest.bytes.clone()).await?;
                Ok(())
            })
            .await
    }

    /// The manifests below an index, level by level.
    async fn below(&self, from: &Repository, top: &Manifest) -> Result<Vec<Vec<Manifest>>, Error> {
        let mut levels = Vec::new();
        let mut count = 0;
        let mut wanted = unique(listed(top));
        while !wanted.is_empty() {
            count += wanted.len();
            if DEPTH <= levels.len() || WIDTH < count {
                return Err(Error::Protocol {
                    registry: from.registry().to_owned(),
                    what: format!("the manifests below `{}` of `{}`", top.digest, from.path()),
                    why: format!("they are more than {WIDTH}, or nested deeper than {DEPTH} levels"),
                });
            }
            let level: Vec<Manifest> = stream::iter(wanted)
                .map(|entry| async move { self.entry(from, &entry).await })
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            wanted = unique(level.iter().flat_map(listed).collect());
            levels.push(level);
        }
        Ok(levels)
    }

    /// The manifest behind an entry of an index, which must be what the index says.
    async fn entry(&self, from: &Repository, entry: &Descriptor) -> Result<Manifest, Error> {
        let manifest = self.manifest(from, &Target::Digest(entry.digest.clone())).await?;
        if manifest.media_type == entry.media_type {
            return Ok(manifest);
        }
        Err(Error::Manifest {
            registry: from.registry().to_owned(),
            what: format!("the manifest `{}` of `{}`", entry.digest, from.path()),
            source: NotAManifest::Disagree { served: entry.media_type.clone(), stated: manifest.media_type },
        })
    }
}

/// The blobs that a manifest names and that a registry is meant to keep.
pub(crate) fn blobs(manifest: &Manifest) -> Vec<Descriptor> {
    // Layers that may not be passed on are had from elsewhere (image-spec, "Non-Distributable Layers").
    let is_kept_elsewhere = |blob: &&Descriptor| {
        blob.media_type.contains(".nondistributable.") || blob.media_type.contains(".foreign.")
    };
    match &manifest.kind {
        ManifestKind::Index { .. } => Vec::new(),
        ManifestKind::Image { config, layers, .. } => {
            std::iter::once(config).chain(layers).filter(|blob| !is_kept_elsewhere(blob)).cloned().collect()
        }
    }
}

/// What an index lists; an image lists nothing.
fn listed(manifest: &Manifest) -> Vec<Descriptor> {
    match &manifest.kind {
        ManifestKind::Index { manifests } => manifests.clone(),
        ManifestKind::Image { .. } => Vec::new(),
    }
}

/// Each once: two platforms may share a manifest.
fn unique(entries: Vec<Descriptor>) -> Vec<Descriptor> {
    let mut by_digest: BTreeMap<Digest, Descriptor> = BTreeMap::new();
    for entry in entries {
        by_digest.entry(entry.digest.clone()).or_insert(entry);
    }
    by_digest.into_values().collect()
}
