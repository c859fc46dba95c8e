//! Bringing blobs into a repository: from memory, by a mount, or streamed from another one.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use shipkit_core::{Digest, Repository};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::error::Error;
use crate::retry::{Again, Failure, Tries};
use crate::transport::{Access, Answer, Call, Redirects, is_downgrade, location, never};
use crate::{Descriptor, Registry};

/// Where a blob comes from.
enum Source<'a> {
    Memory(&'a Bytes),
    /// In this lane, which is free again when the last byte has been handed over: the registry may take its time to put
    /// the blob where it belongs, and that needs no memory here.
    Repository(&'a Repository, Option<OwnedSemaphorePermit>),
}

/// What is to be where, until when.
#[derive(Clone, Copy)]
struct Wish<'a> {
    blob: &'a Descriptor,
    to: &'a Repository,
    deadline: Instant,
}

/// What a registry answers to the wish to upload.
enum Begun {
    /// It has the blob, or has just mounted it.
    There,
    /// It takes it here.
    At(Url),
}

impl Registry {
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
        let blob = Descriptor::of("application/octet-stream", &body);
        let mut tries = Tries::until(self.deadline());
        // An upload that broke cannot be resumed everywhere, so each try begins anew; and asks first, because the
        // one before may have arrived although its answer did not.
        loop {
            let wish = Wish { blob: &blob, to: repository, deadline: tries.deadline };
            match self.upload(wish, &body).await {
                Ok(()) => return Ok(blob),
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }

    /// Brings a blob from one repository into another: by a mount where both are at one registry and it can, else byte
    /// for byte and never whole in memory. `lanes` says how many go byte for byte at once.
    ///
    /// # Errors
    /// Those of either registry; after which nothing of it is at the destination, or all.
    pub(crate) async fn carry(
        &self,
        from: &Repository,
        to: &Repository,
        blob: &Descriptor,
        lanes: &Arc<Semaphore>,
    ) -> Result<(), Error> {
        let mut tries = Tries::until(self.deadline());
        let wish = Wish { blob, to, deadline: tries.deadline };
        loop {
            let carried = async {
                if 0 < tries.failed && self.has_blob(wish).await? {
                    return Ok(());
                }
                let at = match self.begin(wish, from).await? {
                    Begun::There => return Ok(()),
                    Begun::At(url) => url,
                };
                // The semaphore is never closed; without a lane it only goes faster than it should.
                let lane = Arc::clone(lanes).acquire_owned().await.ok();
                self.finish(wish, at, Source::Repository(from, lane)).await
            };
            match carried.await {
                Ok(()) => return Ok(()),
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }

    /// HEAD, POST and one PUT: chunks are what registries disagree about.
    async fn upload(&self, wish: Wish<'_>, bytes: &Bytes) -> Result<(), Failure> {
        if self.has_blob(wish).await? {
            return Ok(());
        }
        let call = self.upload_call(wish)?;
        let at = self.accepted(&call, wish).await?;
        self.finish(wish, at, Source::Memory(bytes)).await
    }

    /// Asks for an upload and returns where it goes on.
    async fn accepted(&self, call: &Call, wish: Wish<'_>) -> Result<Url, Failure> {
        let answer = self.transport.once(call, wish.deadline).await?;
        if answer.status == StatusCode::ACCEPTED {
            return upload_url(call, &answer, &wish.blob.digest);
        }
        Err(never(call.status(&answer)))
    }

    async fn has_blob(&self, wish: Wish<'_>) -> Result<bool, Failure> {
        let mut call = self.blob_call(wish.to, &wish.blob.digest, Method::HEAD).map_err(never)?;
        call.redirects = Redirects::Answer;
        // The token must allow the push that follows, or a second one is needed.
        call.access = Access::Push;
        let status = self.transport.once(&call, wish.deadline).await?.status;
        Ok(status == StatusCode::OK || status.is_redirection())
    }

    /// Asks for a mount, and for an upload in the same breath: a registry that does not mount answers with an upload
    /// (distribution-spec, "Mounting a blob from another repository"). Between two registries the mount is one from the
    /// destination itself, which saves what is there already.
    async fn begin(&self, wish: Wish<'_>, from: &Repository) -> Result<Begun, Failure> {
        let Wish { blob, to, .. } = wish;
        let mut call = self.upload_call(wish)?;
        let bare = call.url.clone();
        let at_home = if from.registry() == to.registry() { from } else { to };
        call.url
            .query_pairs_mut()
            .append_pair("mount", blob.digest.as_str())
            .append_pair("from", at_home.path());
        match self.transport.once(&call, wish.deadline).await {
            Ok(answer) if answer.status == StatusCode::CREATED => return Ok(Begun::There),
            Ok(answer) if answer.status == StatusCode::ACCEPTED => {
                return upload_url(&call, &answer, &blob.digest).map(Begun::At);
            }
            // It does not know mounts, or this login may not mount from there; it may still push.
            Ok(_) => {}
            Err(Failure { error, .. }) if matches!(*error, Error::Denied { .. }) => {}
            Err(failure) => return Err(failure),
        }
        call.url = bare;
        self.accepted(&call, wish).await.map(Begun::At)
    }

    /// The one PUT.
    async fn finish(&self, wish: Wish<'_>, at: Url, source: Source<'_>) -> Result<(), Failure> {
        let Wish { blob, deadline, .. } = wish;
        let mut call = self.upload_call(wish)?;
        call.url = at;
        call.method = Method::PUT;
        call.headers = vec![(CONTENT_TYPE, "application/octet-stream".to_owned())];
        let answer = match source {
            Source::Memory(bytes) => {
                call.body = bytes.clone();
                self.transport.once(&call, deadline).await?
            }
            Source::Repository(from, lane) => {
                let mut get = self.blob_call(from, &blob.digest, Method::GET).map_err(never)?;
                get.redirects = Redirects::Follow;
                let time_is_up = get.too_late();
                let opening = self.transport.open(get, blob, lane);
                let incoming = timeout_at(deadline, opening).await.map_err(|_elapsed| time_is_up)??;
                self.transport.put_stream(&call, incoming, deadline).await?
            }
        };
        let is_changed_on_the_way = || answer.codes().iter().any(|code| code == "DIGEST_INVALID");
        match answer.status {
            StatusCode::CREATED => Ok(()),
            // The session is gone: a proxy sent the PUT elsewhere, or the registry restarted.
            StatusCode::NOT_FOUND => {
                Err(Failure { error: Box::new(call.status(&answer)), again: Again::Later })
            }
            StatusCode::BAD_REQUEST if is_changed_on_the_way() => {
                Err(Failure { error: Box::new(call.status(&answer)), again: Again::Later })
            }
            _ => Err(never(call.status(&answer))),
        }
    }

    /// The POST that begins an upload.
    fn upload_call(&self, wish: Wish<'_>) -> Result<Call, Failure> {
        let mut call = self.blob_call(wish.to, &wish.blob.digest, Method::POST).map_err(never)?;
        call.access = Access::Push;
        call.url = self.transport.url(wish.to, "blobs/uploads/").map_err(never)?;
        Ok(call)
    }
}

/// Where the upload goes on: the location may be relative, have a query, and be at another host, which then gets no
/// credentials; but never leaves https.
fn upload_url(call: &Call, answer: &Answer, digest: &Digest) -> Result<Url, Failure> {
    let mut url = location(&answer.headers, &call.url).map_err(|why| call.protocol(why))?;
    if is_downgrade(&call.url, &url) {
        return Err(call.protocol("an upload location that is not https".to_owned()));
    }
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    Ok(url)
}
