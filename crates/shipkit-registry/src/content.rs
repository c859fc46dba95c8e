//! Reading and writing content: manifests and blobs, by digest wherever a digest is known.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, StatusCode};
use shipkit_core::{Digest, Repository, Tag};
use url::Url;

use crate::error::Error;
use crate::manifest::{DOCKER_INDEX, DOCKER_MANIFEST, size_of};
use crate::transport::{Access, Answer, Call, Redirects};
use crate::{Descriptor, MANIFEST_LIMIT, Manifest, OCI_INDEX, OCI_MANIFEST, Registry, Target};

impl Registry {
    /// The manifest that `target` names. By digest the bytes are those of the digest, or it is an error.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the registry says there is none; see [`Error`] for the rest.
    pub async fn manifest(&self, repository: &Repository, target: &Target) -> Result<Manifest, Error> {
        let call = Call {
            headers: vec![(ACCEPT, accepted())],
            limit: MANIFEST_LIMIT,
            expect: match target {
                Target::Digest(digest) => Some(digest.clone()),
                Target::Tag(_) => None,
            },
            ..self.manifest_call(repository, target)?
        };
        let answer = self.transport.send(&call).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND if says_unknown(&answer) => return Err(call.not_found()),
            _ => return Err(call.status(&answer)),
        }
        let served = answer.header(CONTENT_TYPE).map(|value| value.split(';').next().unwrap_or(value).trim());
        Manifest::read(answer.body.clone(), served).map_err(|source| {
            let (registry, what) = (repository.registry().to_owned(), call.what.clone());
            Error::Manifest { registry, what, source }
        })
    }

    /// The digest that `tag` names now; `None` only when the registry itself says that there is no such tag or
    /// repository.
    ///
    /// # Errors
    /// Whenever it could not be found out.
    pub async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        let target = Target::Tag(tag.clone());
        let call = Call {
            method: Method::HEAD,
            headers: vec![(ACCEPT, accepted())],
            ..self.manifest_call(repository, &target)?
        };
        let answer = self.transport.send(&call).await?;
        let told = answer.header("docker-content-digest").and_then(|value| value.parse().ok());
        if answer.status == StatusCode::OK
            && let Some(digest) = told
        {
            return Ok(Some(digest));
        }
        // A HEAD has no body, so only a GET tells a missing tag from a missing page; and not all send the digest.
        match self.manifest(repository, &target).await {
            Ok(manifest) => Ok(Some(manifest.digest)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The content of `descriptor`, of exactly its size and digest.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it says it is larger than `max` bytes, before anything is asked for;
    /// [`Error::WrongBytes`] when the registry serves something else.
    pub async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        max: u64,
    ) -> Result<Bytes, Error> {
        let call = Call {
            size: Some(descriptor.size),
            expect: Some(descriptor.digest.clone()),
            redirects: Redirects::Follow,
            ..self.blob_call(repository, &descriptor.digest, Method::GET)?
        };
        if max < descriptor.size {
            let registry = repository.registry().to_owned();
            return Err(Error::TooLarge { registry, what: call.what, limit: max });
        }
        let answer = self.transport.send(&call).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            StatusCode::NOT_FOUND => Err(call.not_found()),
            _ => Err(call.status(&answer)),
        }
    }

    /// Stores a manifest as these very bytes and returns their digest. What it points at must be there already.
    ///
    /// # Errors
    /// When the registry does not take it, or says it stored something else.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        target: &Target,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Digest, Error> {
        let call = self.put_call(repository, target, media_type, bytes.into())?;
        let digest = Digest::of(&call.body);
        let answer = self.transport.send(&call).await?;
        if !answer.status.is_success() {
            return Err(call.status(&answer));
        }
        match answer.header("docker-content-digest") {
            Some(told) if told != digest.as_str() => {
                Err(*call.wrong_bytes(format!("it stored `{told}`")).error)
            }
            _ => Ok(digest),
        }
    }

    pub(crate) fn put_call(
        &self,
        repository: &Repository,
        target: &Target,
        media_type: &str,
        body: Bytes,
    ) -> Result<Call, Error> {
        let call = Call {
            method: Method::PUT,
            access: Access::Push,
            headers: vec![(CONTENT_TYPE, media_type.to_owned())],
            body,
            ..self.manifest_call(repository, target)?
        };
        if MANIFEST_LIMIT < size_of(&call.body) {
            let registry = repository.registry().to_owned();
            return Err(Error::TooLarge { registry, what: call.what, limit: MANIFEST_LIMIT });
        }
        Ok(call)
    }

    pub(crate) fn manifest_call(&self, repository: &Repository, target: &Target) -> Result<Call, Error> {
        let url = self.transport.url(repository, &format!("manifests/{}", target.as_str()))?;
        let what = format!("the manifest `{}` of `{}`", target.as_str(), repository.path());
        Ok(self.get(repository, url, what))
    }

    pub(crate) fn blob_call(
        &self,
        repository: &Repository,
        digest: &Digest,
        method: Method,
    ) -> Result<Call, Error> {
        let url = self.transport.url(repository, &format!("blobs/{digest}"))?;
        let what = format!("the blob `{digest}` of `{}`", repository.path());
        Ok(Call { method, ..self.get(repository, url, what) })
    }

    /// A GET without anything special.
    pub(crate) fn get(&self, repository: &Repository, url: Url, what: String) -> Call {
        Call::get(repository, url, what, &self.session)
    }
}

pub(crate) fn accepted() -> String {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].join(", ")
}

/// Whether a 404 is the registry's word that the thing is not there, and not a proxy's page. Harbor has a code of its own.
pub(crate) fn says_unknown(answer: &Answer) -> bool {
    let unknown = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];
    answer.codes().iter().any(|code| unknown.contains(&code.as_str()))
}
