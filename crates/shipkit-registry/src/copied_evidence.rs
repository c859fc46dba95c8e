//! Evidence that travels with its image: found at the source, stored at the destination, and listed there.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use shipkit_core::{Digest, Repository, Tag};

use crate::copy::blobs;
use crate::error::Error;
use crate::evidence::{CREATED, ENVIRONMENT, KIND, evidence_tag};
use crate::releases::pointer;
use crate::{Descriptor, Manifest, ManifestKind, Registry, Target};

/// How many subjects, and how many referrers of each, are looked at at once.
const AT_ONCE: usize = 4;

/// A referrer on its way.
struct Referrer {
    manifest: Manifest,
    artifact_type: String,
    annotations: BTreeMap<String, String>,
}

impl Registry {
    /// Brings what refers to these subjects, and returns how many referrers that were.
    pub(crate) async fn bring_evidence(
        &self,
        from: &Repository,
        to: &Repository,
        subjects: Vec<Digest>,
    ) -> Result<usize, Error> {
        let brought = stream::iter(subjects)
            .map(|subject| async move { self.bring_evidence_about(from, to, &subject).await })
            .buffer_unordered(AT_ONCE);
        brought.try_fold(0, |sum, count| async move { Ok(sum + count) }).await
    }

    async fn bring_evidence_about(
        &self,
        from: &Repository,
        to: &Repository,
        subject: &Digest,
    ) -> Result<usize, Error> {
        let mut entries = self.entries_about(from, subject).await?;
        if entries.is_empty() {
            return Ok(0);
        }
        let there = self.entries_about(to, subject).await?;
        entries.retain(|digest, _| !there.contains_key(digest));
        let found: Vec<Option<Referrer>> = stream::iter(entries.into_values())
            .map(|entry| async move { self.referrer(from, subject, &entry).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let referrers: Vec<Referrer> = found.into_iter().flatten().collect();
        if referrers.is_empty() {
            return Ok(0);
        }
        let parts: BTreeMap<_, _> = referrers
            .iter()
            .flat_map(|referrer| blobs(&referrer.manifest))
            .map(|blob| (blob.digest.clone(), blob))
            .collect();
        self.carry_all(from, to, parts.into_values().collect()).await?;
        let manifests: Vec<Manifest> = referrers.iter().map(|referrer| referrer.manifest.clone()).collect();
        self.put_all(to, &manifests).await?;
        let digests: Vec<Digest> = manifests.into_iter().map(|manifest| manifest.digest).collect();
        if !self.is_listed_by_api(to, subject, &digests).await? {
            self.list(to, subject, &referrers).await?;
        }
        Ok(referrers.len())
    }

    /// The manifest behind an entry of a listing; `None` when it is not there, or does not refer to `subject`.
    async fn referrer(
        &self,
        from: &Repository,
        subject: &Digest,
        entry: &Descriptor,
    ) -> Result<Option<Referrer>, Error> {
        let manifest = match self.manifest(from, &Target::Digest(entry.digest.clone())).await {
            Ok(manifest) => manifest,
            // As when evidence is read: a stranger's entry may dangle, and one of ours may not.
            Err(Error::NotFound { .. } | Error::Manifest { .. }) if !entry.annotations.contains_key(KIND) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let ManifestKind::Image { config, artifact_type, subject: about, annotations, .. } = &manifest.kind
        else {
            return Ok(None);
        };
        if about.as_ref() != Some(subject) {
            return Ok(None);
        }
        // What a listing says of a manifest is what the manifest says (distribution-spec, "Listing Referrers").
        let artifact_type = artifact_type.clone().unwrap_or_else(|| config.media_type.clone());
        let annotations = annotations.clone();
        Ok(Some(Referrer { manifest, artifact_type, annotations }))
    }

    /// Makes referrers known where no API does: by the listing, and the newest record of each kind by a tag of its own.
    async fn list(&self, to: &Repository, subject: &Digest, referrers: &[Referrer]) -> Result<(), Error> {
        for (tag, newest) in newest(subject, referrers) {
            let is_newer = match self.manifest(to, &Target::Tag(tag.clone())).await {
                Ok(found) => created(&found) < created(&newest.manifest),
                Err(error) if error.is_not_found() => true,
                Err(error) => return Err(error),
            };
            if is_newer {
                self.put_tag(to, &tag, &newest.manifest).await?;
            }
        }
        let entries = referrers.iter().map(|referrer| (referrer.manifest.digest.clone(), referrer.entry()));
        if self.enter(to, subject, &entries.collect()).await? {
            return Ok(());
        }
        // Nothing can be listed there, so only what has a tag of its own can be found.
        match referrers.iter().find(|referrer| own_tag(subject, referrer).is_none()) {
            None => Ok(()),
            Some(lost) => Err(Error::Lost {
                repository: to.clone(),
                subject: subject.clone(),
                evidence: lost.manifest.digest.clone(),
            }),
        }
    }
}

impl Referrer {
    /// The entry for a listing.
    fn entry(&self) -> Value {
        let mut entry = pointer(&self.manifest.descriptor());
        if let Some(fields) = entry.as_object_mut() {
            fields.insert("artifactType".to_owned(), json!(self.artifact_type));
            if !self.annotations.is_empty() {
                fields.insert("annotations".to_owned(), json!(self.annotations));
            }
        }
        entry
    }
}

/// The newest of our records for each tag.
fn newest<'a>(subject: &Digest, referrers: &'a [Referrer]) -> BTreeMap<Tag, &'a Referrer> {
    let mut newest: BTreeMap<Tag, &Referrer> = BTreeMap::new();
    for referrer in referrers {
        let Some(tag) = own_tag(subject, referrer) else { continue };
        let kept = newest.entry(tag).or_insert(referrer);
        if created(&kept.manifest) < created(&referrer.manifest) {
            *kept = referrer;
        }
    }
    newest
}

/// The tag of its own that a record of ours has; `None` for anybody else's referrer.
fn own_tag(subject: &Digest, referrer: &Referrer) -> Option<Tag> {
    let kind = referrer.annotations.get(KIND)?;
    let environment = referrer.annotations.get(ENVIRONMENT).map(String::as_str);
    evidence_tag(subject, kind, environment).ok()
}

/// When a record was made; `None`, which is before all times, where it does not say.
fn created(manifest: &Manifest) -> Option<Timestamp> {
    match &manifest.kind {
        ManifestKind::Image { annotations, .. } => annotations.get(CREATED)?.parse().ok(),
        ManifestKind::Index { .. } => None,
    }
}
