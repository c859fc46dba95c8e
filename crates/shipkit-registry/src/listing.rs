//! The listing of referrers at the tag `sha256-<hex>` (distribution-spec, "Referrers Tag Schema"): read, extended and
//! written back by every client, and compared by no registry. So a writer reads back until its own entry stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};
use shipkit_core::{Digest, Repository, Tag};
use tokio::time::Instant;

use crate::error::Error;
use crate::retry::{Tries, jitter};
use crate::{Manifest, ManifestKind, OCI_INDEX, Registry, Target};

/// How often an entry is written before it counts as lost. With eight writers at once two or three times are usual.
const WRITES: u32 = 20;
/// An entry that is still there after this many readings stays: a writer that could drop it has read the listing before
/// it was entered, and has written it back by then.
const READINGS: u32 = 3;
/// The pause between two readings, as long as another writer may need from its reading to its writing.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// What is at the tag of the listing.
pub(crate) enum Listing {
    Index(Box<Manifest>),
    Missing,
    /// GitLab answers a tag `sha256-<hex>` with the subject itself: nothing can be listed there.
    Something,
}

impl Registry {
    /// Enters evidence, by digest, into the listing until all of it stays there; `false` where there can be none.
    pub(crate) async fn enter(
        &self,
        repository: &Repository,
        subject: &Digest,
        evidence: &BTreeMap<Digest, Value>,
    ) -> Result<bool, Error> {
        let tag = Target::Tag(listing_tag(subject)?);
        let mut tries = Tries::until(self.deadline());
        let mut gone = BTreeSet::new();
        let mut slowest = SHORTEST;
        for write in 0..WRITES {
            if write != 0 {
                // Somebody writes at the same time; who waits longer writes later.
                tracing::debug!("write {write}: the listing of `{subject}` has lost an entry of ours");
                pause(SHORTEST * write.min(10)).await;
            }
            let begun = Instant::now();
            let Some(current) = self.current(repository, subject).await? else { return Ok(false) };
            let extended = extended(current, evidence, &gone);
            let call = self.put_call(repository, &tag, OCI_INDEX, extended)?;
            // One try only: what is sent again must be read again, or it drops what was entered in between.
            match self.transport.once(&call, tries.deadline).await {
                // What failed before has nothing to do with what may fail after this.
                Ok(answer) if answer.status.is_success() => tries.failed = 0,
                Ok(answer) if answer.status == StatusCode::BAD_REQUEST && gone.is_empty() => {
                    // A listing with an entry that was deleted is refused as a whole: leave out what is gone.
                    gone = self.gone(repository, subject, evidence).await?;
                    if gone.is_empty() {
                        return Err(call.status(&answer));
                    }
                    continue;
                }
                Ok(answer) => return Err(call.status(&answer)),
                Err(failure) => {
                    tries.wait(failure).await?;
                    continue;
                }
            }
            slowest = slowest.max(begun.elapsed()).min(LONGEST);
            if self.stays(repository, subject, evidence, slowest).await? {
                return Ok(true);
            }
        }
        let listed = self.entries(repository, subject).await?;
        let lost = evidence.keys().find(|digest| !listed.contains(digest)).or_else(|| evidence.keys().next());
        Err(Error::Lost {
            repository: repository.clone(),
            subject: subject.clone(),
            evidence: lost.unwrap_or(subject).clone(),
        })
    }

    /// Whether the entries are there at every one of some readings. The load that makes us slow makes others slow too, so
    /// the pauses grow with how long our own write took.
    async fn stays(
        &self,
        repository: &Repository,
        subject: &Digest,
        evidence: &BTreeMap<Digest, Value>,
        slowest: Duration,
    ) -> Result<bool, Error> {
        for reading in 0..READINGS {
            if reading != 0 {
                pause(slowest * 2).await;
            }
            let listed = self.entries(repository, subject).await?;
            if !evidence.keys().all(|digest| listed.contains(digest)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Which entries name a manifest that is not there any more.
    async fn gone(
        &self,
        repository: &Repository,
        subject: &Digest,
        evidence: &BTreeMap<Digest, Value>,
    ) -> Result<BTreeSet<Digest>, Error> {
        let mut gone = BTreeSet::new();
        for digest in self.entries(repository, subject).await? {
            match self.manifest(repository, &Target::Digest(digest.clone())).await {
                Err(error) if error.is_not_found() && !evidence.contains_key(&digest) => {
                    gone.insert(digest);
                }
                Err(Error::Manifest { .. }) | Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }

    async fn entries(&self, repository: &Repository, subject: &Digest) -> Result<BTreeSet<Digest>, Error> {
        match self.listing(repository, subject).await? {
            Listing::Index(manifest) => match manifest.kind {
                ManifestKind::Index { manifests } => Ok(manifests.into_iter().map(|m| m.digest).collect()),
                ManifestKind::Image { .. } => Ok(BTreeSet::new()),
            },
            Listing::Missing | Listing::Something => Ok(BTreeSet::new()),
        }
    }

    /// The listing as JSON, empty where there is none yet; `None` where there can be none.
    async fn current(&self, repository: &Repository, subject: &Digest) -> Result<Option<Value>, Error> {
        match self.listing(repository, subject).await? {
            Listing::Index(manifest) => Ok(Some(serde_json::from_slice(&manifest.bytes).unwrap_or_default())),
            Listing::Missing => Ok(Some(Value::Null)),
            Listing::Something => Ok(None),
        }
    }

    pub(crate) async fn listing(&self, repository: &Repository, subject: &Digest) -> Result<Listing, Error> {
        match self.manifest(repository, &Target::Tag(listing_tag(subject)?)).await {
            Ok(manifest) if manifest.digest == *subject => Ok(Listing::Something),
            Ok(manifest) => match manifest.kind {
                ManifestKind::Index { .. } => Ok(Listing::Index(Box::new(manifest))),
                ManifestKind::Image { .. } => Ok(Listing::Something),
            },
            Err(error) if error.is_not_found() => Ok(Listing::Missing),
            Err(error) => Err(error),
        }
    }
}

/// The listing with more entries and without those that are gone. The rest is kept as it is, unknown fields included.
fn extended(current: Value, evidence: &BTreeMap<Digest, Value>, gone: &BTreeSet<Digest>) -> Bytes {
    let mut index = if let Value::Object(fields) = current {
        fields
    } else {
        Map::from_iter([("schemaVersion".to_owned(), json!(2)), ("mediaType".to_owned(), json!(OCI_INDEX))])
    };
    if let Value::Array(manifests) = index.entry("manifests").or_insert_with(|| json!([])) {
        let is = |entry: &Value, digest: &Digest| {
            entry.get("digest").and_then(Value::as_str) == Some(digest.as_str())
        };
        manifests.retain(|listed| !gone.iter().any(|digest| is(listed, digest)));
        for (digest, entry) in evidence {
            if !manifests.iter().any(|listed| is(listed, digest)) {
                manifests.push(entry.clone());
            }
        }
    }
    Value::Object(index).to_string().into()
}

/// `sha256-<hex>`.
fn listing_tag(subject: &Digest) -> Result<Tag, Error> {
    format!("sha256-{}", subject.hex()).parse().map_err(Error::Name)
}

/// A random pause between half of this and this.
pub(crate) async fn pause(longest: Duration) {
    tokio::time::sleep(jitter(longest / 2, longest)).await;
}
