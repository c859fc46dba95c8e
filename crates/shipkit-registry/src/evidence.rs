//! Evidence in a registry: in-toto statements that refer to a digest, verified after every write.
//!
//! Where the registry has the referrers API, that lists them. Most in use have none (GHCR, Debian's docker-registry),
//! and there the listing is an index under the tag `sha256-<hex>` that every client reads, extends and writes back
//! (distribution-spec, "Referrers Tag Schema"). No registry compares before it swaps, so two writers can lose each
//! other's entry: a writer here reads back until its own entry stays. Besides, the newest record of each kind and
//! environment has a tag of its own, which nobody else rewrites.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use shipkit_core::evidence::{BadEvidence, Kind, RECORD_KEY, Record, STATEMENT_MEDIA_TYPE};
use shipkit_core::{Digest, Repository, Tag};

use crate::error::Error;
use crate::releases::{EMPTY, EMPTY_TYPE, pointer};
use crate::{Descriptor, Manifest, ManifestKind, OCI_MANIFEST, Registry, Target};

pub(crate) const KIND: &str = "dev.shipkit.evidence.kind";
pub(crate) const ENVIRONMENT: &str = "dev.shipkit.evidence.environment";
/// When the record was made.
pub(crate) const CREATED: &str = "org.opencontainers.image.created";
const VERDICT: &str = "dev.shipkit.evidence.verdict";

const STATEMENT_LIMIT: u64 = 16 * 1024 * 1024;

/// A record that the registry has by digest.
struct Stored {
    digest: Digest,
    bytes: Bytes,
    /// How it is listed.
    entry: Value,
    /// The tag of the newest record of its kind and environment.
    own: Tag,
}

/// What was found at a digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Our records, newest first.
    pub records: Vec<Record>,
    /// How many referrers are not ours: signatures, SBOMs, statements of other programs.
    pub foreign: usize,
}

impl Registry {
    /// Stores a record as evidence about `subject`, makes sure that it can be found again, and returns the digest of
    /// its manifest.
    ///
    /// # Errors
    /// When the subject is not there, the registry does not take it, or ([`Error::Lost`]) does not list it.
    pub async fn put_evidence(
        &self,
        repository: &Repository,
        subject: &Digest,
        record: &Record,
    ) -> Result<Digest, Error> {
        let stored = self.put_all_evidence(repository, subject, std::slice::from_ref(record)).await?;
        stored.into_iter().next().ok_or_else(|| lost(repository, subject, subject))
    }

    /// Stores several records about `subject` at once, as [`put_evidence`](Self::put_evidence) stores one: who lists them is
    /// asked once. Gives the digests of their manifests, in the same order.
    ///
    /// # Errors
    /// As for one. Then some may have been stored, and none is promised to be.
    pub async fn put_all_evidence(
        &self,
        repository: &Repository,
        subject: &Digest,
        records: &[Record],
    ) -> Result<Vec<Digest>, Error> {
        let subject = self.manifest(repository, &Target::Digest(subject.clone())).await?;
        self.put_blob(repository, EMPTY).await?;
        let stored = records.iter().map(|record| self.put_record(repository, &subject, record));
        let stored: Vec<Stored> = try_join_all(stored).await?;
        let digests: Vec<Digest> = stored.iter().map(|one| one.digest.clone()).collect();
        if self.is_listed_by_api(repository, &subject.digest, &digests).await? {
            return Ok(digests);
        }
        // One after the other: of two records of one kind the last is the newest.
        for one in &stored {
            let own = Target::Tag(one.own.clone());
            self.put_manifest(repository, &own, OCI_MANIFEST, one.bytes.clone()).await?;
        }
        let entries = stored.iter().map(|one| (one.digest.clone(), one.entry.clone())).collect();
        if self.enter(repository, &subject.digest, &entries).await? {
            return Ok(digests);
        }
        // Without a listing its own tag is the only way to it; it must at least be that.
        let newest: BTreeMap<_, _> = stored.iter().map(|one| (&one.own, &one.digest)).collect();
        for (own, digest) in newest {
            if self.resolve(repository, own).await?.as_ref() != Some(digest) {
                return Err(lost(repository, &subject.digest, digest));
            }
        }
        Ok(digests)
    }

    /// Stores a record by digest, and says where it is to be listed.
    async fn put_record(
        &self,
        repository: &Repository,
        subject: &Manifest,
        record: &Record,
    ) -> Result<Stored, Error> {
        let statement = record.statement(&repository.to_string(), &subject.digest);
        let (entry, bytes) = evidence_manifest(subject, record, &statement);
        self.put_blob(repository, statement).await?;
        let digest = Digest::of(&bytes);
        let target = Target::Digest(digest.clone());
        self.put_manifest(repository, &target, OCI_MANIFEST, bytes.clone()).await?;
        let own = evidence_tag(&subject.digest, record.kind.word(), record.environment.as_deref())?;
        Ok(Stored { digest, bytes, entry, own })
    }

    /// All evidence about `subject`: what the referrers API and the fallback tag list, and what the tags of the
    /// `wanted` kinds and environments name.
    ///
    /// # Errors
    /// Whenever something could not be read, and for evidence of ours that is malformed: that is never "none".
    pub async fn evidence(
        &self,
        repository: &Repository,
        subject: &Digest,
        wanted: &[(Kind, Option<&str>)],
    ) -> Result<Evidence, Error> {
        let mut entries = self.entries_about(repository, subject).await?;
        for (kind, environment) in wanted {
            let tag = Target::Tag(evidence_tag(subject, kind.word(), *environment)?);
            match self.manifest(repository, &tag).await {
                Ok(manifest) => {
                    let ours = Descriptor {
                        annotations: BTreeMap::from([(KIND.to_owned(), kind.word().to_owned())]),
                        ..manifest.descriptor()
                    };
                    entries.insert(ours.digest.clone(), ours);
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let found: Vec<Option<Record>> = stream::iter(entries.into_values())
            .map(|entry| async move { self.record(repository, subject, &entry).await })
            .buffer_unordered(8)
            .try_collect()
            .await?;
        let total = found.len();
        let mut records: Vec<Record> = found.into_iter().flatten().collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.time));
        Ok(Evidence { foreign: total.saturating_sub(records.len()), records })
    }

    /// The record behind one entry of a listing; `None` when it is not ours.
    async fn record(
        &self,
        repository: &Repository,
        subject: &Digest,
        entry: &Descriptor,
    ) -> Result<Option<Record>, Error> {
        let is_said_to_be_ours = entry.annotations.contains_key(KIND);
        let manifest = match self.manifest(repository, &Target::Digest(entry.digest.clone())).await {
            Ok(manifest) => manifest,
            // A stranger's entry may dangle after a clean-up, or be no manifest at all.
            Err(Error::NotFound { .. } | Error::Manifest { .. }) if !is_said_to_be_ours => return Ok(None),
            Err(error) => return Err(error),
        };
        let ManifestKind::Image { layers, artifact_type, subject: about, annotations, .. } = manifest.kind
        else {
            return Ok(None);
        };
        let [layer] = layers.as_slice() else { return Ok(None) };
        let is_statement = artifact_type.as_deref() == Some(STATEMENT_MEDIA_TYPE)
            && layer.media_type == STATEMENT_MEDIA_TYPE;
        // A listing can be forged; what a manifest itself refers to cannot.
        if !is_statement || about.as_ref() != Some(subject) {
            return Ok(None);
        }
        let bytes = self.blob(repository, layer, STATEMENT_LIMIT).await?;
        match Record::from_statement(&bytes, subject) {
            Ok(record) => Ok(Some(record)),
            Err(source) if annotations.contains_key(KIND) || has_our_block(&bytes) => {
                Err(bad(repository, &entry.digest, source))
            }
            Err(_foreign) => Ok(None),
        }
    }
}

/// The manifest of one piece of evidence, and the entry that lists it.
fn evidence_manifest(subject: &Manifest, record: &Record, statement: &[u8]) -> (Value, Bytes) {
    let mut annotations = json!({
        CREATED: record.time,
        KIND: record.kind.word(),
        VERDICT: record.verdict.word(),
    });
    if let (Some(fields), Some(environment)) = (annotations.as_object_mut(), &record.environment) {
        fields.insert(ENVIRONMENT.to_owned(), json!(environment));
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": STATEMENT_MEDIA_TYPE,
        "config": pointer(&Descriptor::of(EMPTY_TYPE, EMPTY)),
        "layers": [pointer(&Descriptor::of(STATEMENT_MEDIA_TYPE, statement))],
        "subject": pointer(&subject.descriptor()),
        "annotations": annotations,
    });
    let bytes = Bytes::from(manifest.to_string());
    let mut entry = pointer(&Descriptor::of(OCI_MANIFEST, &bytes));
    if let Some(fields) = entry.as_object_mut() {
        fields.insert("artifactType".to_owned(), json!(STATEMENT_MEDIA_TYPE));
        fields.insert("annotations".to_owned(), annotations);
    }
    (entry, bytes)
}

/// `sha256-<hex>.shipkit-<kind>[-<environment>]`: the newest record of one kind in one environment. An environment that
/// does not fit into a tag is named by the beginning of its digest.
pub(crate) fn evidence_tag(subject: &Digest, kind: &str, environment: Option<&str>) -> Result<Tag, Error> {
    let suffix = match environment {
        None => String::new(),
        // 71 characters for the digest and 19 for the longest kind leave 37 of 128.
        Some(name) if name.len() <= 37 && name.parse::<Tag>().is_ok() => format!("-{name}"),
        Some(name) => format!("-{}", Digest::of(name.as_bytes()).hex().get(..32).unwrap_or_default()),
    };
    let text = format!("sha256-{}.shipkit-{kind}{suffix}", subject.hex());
    text.parse().map_err(Error::Name)
}

fn has_our_block(bytes: &[u8]) -> bool {
    let statement: Value = serde_json::from_slice(bytes).unwrap_or_default();
    statement.get("predicate").is_some_and(|predicate| predicate.get(RECORD_KEY).is_some())
}

fn lost(repository: &Repository, subject: &Digest, evidence: &Digest) -> Error {
    Error::Lost { repository: repository.clone(), subject: subject.clone(), evidence: evidence.clone() }
}

fn bad(repository: &Repository, evidence: &Digest, source: BadEvidence) -> Error {
    Error::BadEvidence { repository: repository.clone(), evidence: evidence.clone(), source }
}
