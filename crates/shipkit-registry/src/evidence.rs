//! Evidence in a registry: in-toto statements that refer to a digest, verified after every write.
//!
//! Where the registry has the referrers API, that lists them. Most in use have none (GHCR, Debian's docker-registry),
//! and there the listing is an index under the tag `sha256-<hex>` that every client reads, extends and writes back
//! (distribution-spec, "Referrers Tag Schema"). No registry compares before it swaps, so two writers can lose each
//! other's entry: a writer here reads back until its own entry stays. Besides, the newest record of each kind and
//! environment has a tag of its own, which nobody else rewrites.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::StatusCode;
use http::header::{CONTENT_TYPE, LINK};
use serde_json::{Value, json};
use shipkit_core::evidence::{BadEvidence, Kind, RECORD_KEY, Record, STATEMENT_MEDIA_TYPE};
use shipkit_core::{Digest, Repository, Tag};

use crate::error::Error;
use crate::listing::{Listing, pause};
use crate::releases::{EMPTY, EMPTY_TYPE, pointer};
use crate::{Descriptor, Manifest, ManifestKind, OCI_INDEX, OCI_MANIFEST, Registry, Target};

const KIND: &str = "dev.shipkit.evidence.kind";
const ENVIRONMENT: &str = "dev.shipkit.evidence.environment";
const VERDICT: &str = "dev.shipkit.evidence.verdict";

const STATEMENT_LIMIT: u64 = 16 * 1024 * 1024;
const REFERRERS_LIMIT: usize = 1000;
/// How often the API is asked for a new entry before it counts as not listed there.
const API_READINGS: u32 = 3;
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
        let subject = self.manifest(repository, &Target::Digest(subject.clone())).await?;
        let statement = record.statement(&repository.to_string(), &subject.digest);
        let (entry, bytes) = evidence_manifest(&subject, record, &statement);
        self.put_blob(repository, EMPTY).await?;
        self.put_blob(repository, statement).await?;
        let digest = Digest::of(&bytes);
        let target = Target::Digest(digest.clone());
        self.put_manifest(repository, &target, OCI_MANIFEST, bytes.clone()).await?;
        if self.is_listed_by_api(repository, &subject.digest, &digest).await? {
            return Ok(digest);
        }
        let own = evidence_tag(&subject.digest, record.kind, record.environment.as_deref())?;
        self.put_manifest(repository, &Target::Tag(own.clone()), OCI_MANIFEST, bytes).await?;
        if self.enter(repository, &subject.digest, &digest, &entry).await? {
            return Ok(digest);
        }
        // Without a listing its own tag is the only way to it; it must at least be that.
        if self.resolve(repository, &own).await?.as_ref() == Some(&digest) {
            return Ok(digest);
        }
        Err(Error::Lost { repository: repository.clone(), subject: subject.digest, evidence: digest })
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
        let mut entries = BTreeMap::new();
        for entry in self.referrers(repository, subject).await?.unwrap_or_default() {
            entries.insert(entry.digest.clone(), entry);
        }
        if let Listing::Index(manifest) = self.listing(repository, subject).await? {
            for entry in listed(*manifest) {
                entries.insert(entry.digest.clone(), entry);
            }
        }
        for (kind, environment) in wanted {
            let tag = Target::Tag(evidence_tag(subject, *kind, *environment)?);
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
        if REFERRERS_LIMIT < entries.len() {
            return Err(self.too_many(repository, subject));
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

    /// What the referrers API lists; `None` where the registry has no such API.
    async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let mut entries = Vec::new();
        let mut url = self.transport.url(repository, &format!("referrers/{subject}"))?;
        loop {
            let what = format!("the referrers of `{subject}` in `{}`", repository.path());
            let call = self.get(repository, url.clone(), what);
            let answer = self.transport.send(&call).await?;
            // Registries without the API say 404, 400 or 405, or serve their web page.
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_IMPLEMENTED
                    if entries.is_empty() =>
                {
                    return Ok(None);
                }
                _ => return Err(call.status(&answer)),
            }
            let is_page = answer.header(CONTENT_TYPE).is_some_and(|value| value.starts_with("text/html"));
            if is_page && entries.is_empty() {
                return Ok(None);
            }
            let page = Manifest::read(answer.body.clone(), Some(OCI_INDEX)).map_err(|source| {
                let (registry, what) = (repository.registry().to_owned(), call.what.clone());
                Error::Manifest { registry, what, source }
            })?;
            entries.extend(listed(page));
            if REFERRERS_LIMIT < entries.len() {
                return Err(self.too_many(repository, subject));
            }
            let Some(next) = answer.header(LINK).and_then(next_page) else { return Ok(Some(entries)) };
            let next = url.join(next).map_err(|error| *call.protocol(error.to_string()).error)?;
            if next.origin() != url.origin() || next == url {
                return Err(*call.protocol("its next page is elsewhere".to_owned()).error);
            }
            url = next;
        }
    }

    /// Whether the API lists the new evidence, for long enough to see it there late.
    async fn is_listed_by_api(
        &self,
        repository: &Repository,
        subject: &Digest,
        evidence: &Digest,
    ) -> Result<bool, Error> {
        for round in 0..API_READINGS {
            match self.referrers(repository, subject).await? {
                None => return Ok(false),
                Some(entries) if entries.iter().any(|entry| entry.digest == *evidence) => {
                    // A registry was seen to list a manifest and to have lost it (facts of olareg).
                    self.manifest(repository, &Target::Digest(evidence.clone())).await?;
                    return Ok(true);
                }
                Some(_) => pause(Duration::from_millis(100) * (1 << round)).await,
            }
        }
        Ok(false)
    }

    #[expect(clippy::unused_self, reason = "an error of this client")]
    fn too_many(&self, repository: &Repository, subject: &Digest) -> Error {
        Error::TooManyReferrers {
            repository: repository.clone(),
            subject: subject.clone(),
            limit: REFERRERS_LIMIT,
        }
    }
}

/// The manifest of one piece of evidence, and the entry that lists it.
fn evidence_manifest(subject: &Manifest, record: &Record, statement: &[u8]) -> (Value, Bytes) {
    let mut annotations = json!({
        "org.opencontainers.image.created": record.time,
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
fn evidence_tag(subject: &Digest, kind: Kind, environment: Option<&str>) -> Result<Tag, Error> {
    let suffix = match environment {
        None => String::new(),
        // 71 characters for the digest and 19 for the longest kind leave 37 of 128.
        Some(name) if name.len() <= 37 && name.parse::<Tag>().is_ok() => format!("-{name}"),
        Some(name) => format!("-{}", Digest::of(name.as_bytes()).hex().get(..32).unwrap_or_default()),
    };
    let text = format!("sha256-{}.shipkit-{}{suffix}", subject.hex(), kind.word());
    text.parse().map_err(Error::Name)
}

fn has_our_block(bytes: &[u8]) -> bool {
    let statement: Value = serde_json::from_slice(bytes).unwrap_or_default();
    statement.get("predicate").is_some_and(|predicate| predicate.get(RECORD_KEY).is_some())
}

fn bad(repository: &Repository, evidence: &Digest, source: BadEvidence) -> Error {
    Error::BadEvidence { repository: repository.clone(), evidence: evidence.clone(), source }
}

fn listed(manifest: Manifest) -> Vec<Descriptor> {
    match manifest.kind {
        ManifestKind::Index { manifests } => manifests,
        ManifestKind::Image { .. } => Vec::new(),
    }
}

/// The target of `<...>; rel="next"` (RFC 8288).
pub(crate) fn next_page(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters.contains("next").then_some(target)
}
