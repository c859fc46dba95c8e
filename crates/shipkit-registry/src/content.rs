//! Reading and writing content: manifests and blobs, by digest wherever a digest is known.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, StatusCode};
use shipkit_core::{Digest, Repository, Tag};
use tokio::time::Instant;
use url::Url;

use crate::error::Error;
use crate::manifest::{DOCKER_INDEX, DOCKER_MANIFEST, size_of};
use crate::retry::{Failure, Tries};
use crate::transport::{ANSWER_LIMIT, Access, Answer, Call, Redirects, location, never};
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

    /// Stores a blob unless it is there, and returns its descriptor, of type `application/octet-stream`.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn put_blob(
        &self,
        repository: &Repository,
        bytes: impl Into<Bytes>,
    ) -> Result<Descriptor, Error> {
        let body = bytes.into();
        let descriptor = Descriptor::of("application/octet-stream", &body);
        let mut tries = Tries::until(self.transport.deadline());
        // An upload that broke cannot be resumed everywhere, so each try begins anew; and asks first, because the
        // one before may have arrived although its answer did not.
        loop {
            match self.upload(repository, &descriptor.digest, &body, tries.deadline).await {
                Ok(()) => return Ok(descriptor),
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }

    /// HEAD, POST and one PUT: chunks are what registries disagree about.
    async fn upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut call = self.blob_call(repository, digest, Method::HEAD).map_err(never)?;
        call.redirects = Redirects::Answer;
        // The token must allow the push that follows, or a second one is needed.
        call.access = Access::Push;
        let head = self.transport.once(&call, deadline).await?.status;
        if head == StatusCode::OK || head.is_redirection() {
            return Ok(());
        }
        call.redirects = Redirects::Refuse;
        call.method = Method::POST;
        call.url = self.transport.url(repository, "blobs/uploads/").map_err(never)?;
        let answer = self.transport.once(&call, deadline).await?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(never(call.status(&answer)));
        }
        call.url = upload_url(&call, &answer, digest)?;
        call.method = Method::PUT;
        call.headers = vec![(CONTENT_TYPE, "application/octet-stream".to_owned())];
        call.body = body.clone();
        let answer = self.transport.once(&call, deadline).await?;
        match answer.status {
            StatusCode::CREATED => Ok(()),
            // The session is gone: a proxy sent the PUT elsewhere, or the registry restarted.
            StatusCode::NOT_FOUND => {
                Err(Failure { error: Box::new(call.status(&answer)), again: crate::retry::Again::Later })
            }
            _ => Err(never(call.status(&answer))),
        }
    }

    pub(crate) fn put_call<'a>(
        &self,
        repository: &'a Repository,
        target: &Target,
        media_type: &str,
        body: Bytes,
    ) -> Result<Call<'a>, Error> {
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

    fn manifest_call<'a>(&self, repository: &'a Repository, target: &Target) -> Result<Call<'a>, Error> {
        let url = self.transport.url(repository, &format!("manifests/{}", target.as_str()))?;
        let what = format!("the manifest `{}` of `{}`", target.as_str(), repository.path());
        Ok(self.get(repository, url, what))
    }

    fn blob_call<'a>(
        &self,
        repository: &'a Repository,
        digest: &Digest,
        method: Method,
    ) -> Result<Call<'a>, Error> {
        let url = self.transport.url(repository, &format!("blobs/{digest}"))?;
        let what = format!("the blob `{digest}` of `{}`", repository.path());
        Ok(Call { method, ..self.get(repository, url, what) })
    }

    /// A GET without anything special.
    #[expect(clippy::unused_self, reason = "it reads as what it is for: a call of this client")]
    pub(crate) fn get<'a>(&self, repository: &'a Repository, url: Url, what: String) -> Call<'a> {
        Call {
            repository,
            method: Method::GET,
            url,
            what,
            access: Access::Pull,
            headers: Vec::new(),
            body: Bytes::new(),
            limit: ANSWER_LIMIT,
            expect: None,
            size: None,
            redirects: Redirects::Refuse,
        }
    }
}

fn accepted() -> String {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].join(", ")
}

/// Whether a 404 is the registry's word that the thing is not there, and not a proxy's page. Harbor has a code of its own.
pub(crate) fn says_unknown(answer: &Answer) -> bool {
    let unknown = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];
    answer.codes().iter().any(|code| unknown.contains(&code.as_str()))
}

/// Where the upload goes on: the location may be relative, have a query, and be at another host, which then gets no
/// credentials; but never leaves https.
fn upload_url(call: &Call<'_>, answer: &Answer, digest: &Digest) -> Result<Url, Failure> {
    let mut url = location(&answer.headers, &call.url).map_err(|why| call.protocol(why))?;
    if call.url.scheme() == "https" && url.scheme() != "https" {
        return Err(call.protocol("an upload location that is not https".to_owned()));
    }
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    Ok(url)
}
