//! Referrers: what the registry's API and the listing at the fallback tag say refers to a manifest.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, LINK};
use shipkit_core::{Digest, Repository};

use crate::error::Error;
use crate::listing::{Listing, pause};
use crate::{Descriptor, Manifest, ManifestKind, OCI_INDEX, Registry, Target};

const REFERRERS_LIMIT: usize = 1000;
/// How often the API is asked for a new entry before it counts as not listed there.
const API_READINGS: u32 = 3;

impl Registry {
    /// Everything that is listed as a referrer of `subject`, by the API or at the fallback tag. Either can be forged:
    /// only a manifest itself says what it refers to.
    pub(crate) async fn entries_about(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<BTreeMap<Digest, Descriptor>, Error> {
        let (api, listing) =
            tokio::try_join!(self.referrers(repository, subject), self.listing(repository, subject))?;
        let mut entries = api.unwrap_or_default();
        if let Listing::Index(manifest) = listing {
            entries.extend(listed(*manifest));
        }
        let entries: BTreeMap<_, _> =
            entries.into_iter().map(|entry| (entry.digest.clone(), entry)).collect();
        if REFERRERS_LIMIT < entries.len() {
            return Err(too_many(repository, subject));
        }
        Ok(entries)
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
                return Err(too_many(repository, subject));
            }
            let Some(next) = answer.header(LINK).and_then(next_page) else { return Ok(Some(entries)) };
            let next = url.join(next).map_err(|error| *call.protocol(error.to_string()).error)?;
            if next.origin() != url.origin() || next == url {
                return Err(*call.protocol("its next page is elsewhere".to_owned()).error);
            }
            url = next;
        }
    }

    /// Whether the API lists all of the new evidence, for long enough to see it there late.
    pub(crate) async fn is_listed_by_api(
        &self,
        repository: &Repository,
        subject: &Digest,
        evidence: &[Digest],
    ) -> Result<bool, Error> {
        for round in 0..API_READINGS {
            match self.referrers(repository, subject).await? {
                None => return Ok(false),
                Some(entries)
                    if evidence.iter().all(|digest| entries.iter().any(|entry| entry.digest == *digest)) =>
                {
                    // A registry was seen to list a manifest and to have lost it (facts of olareg).
                    for digest in evidence {
                        self.manifest(repository, &Target::Digest(digest.clone())).await?;
                    }
                    return Ok(true);
                }
                Some(_) => pause(Duration::from_millis(100) * (1 << round)).await,
            }
        }
        Ok(false)
    }
}

fn too_many(repository: &Repository, subject: &Digest) -> Error {
    Error::TooManyReferrers {
        repository: repository.clone(),
        subject: subject.clone(),
        limit: REFERRERS_LIMIT,
    }
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
