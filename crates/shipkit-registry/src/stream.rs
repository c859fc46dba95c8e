//! `Incoming` and uploads: blobs on their way, a few hundred kilobytes in memory at a time, every byte counted and hashed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use sha2::{Digest as _, Sha256};
use shipkit_core::Digest;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::Descriptor;
use crate::manifest::size_of;
use crate::retry::{Again, Failure};
use crate::transport::{Answer, Call, Transport, never};

/// What may lie in buffers between us and the registry when the last byte has been handed over.
const IN_FLIGHT: u64 = 4 * 1024 * 1024;
/// The slowest line on which an upload counts as alive, in bytes a second.
const SLOW_LINE: u64 = 64 * 1024;

/// A blob that is being read.
///
/// The last piece is held back until the digest of the whole is known to be right: what is passed on never adds up to
/// a whole blob of wrong bytes.
pub(crate) struct Incoming {
    call: Call,
    response: reqwest::Response,
    blob: Descriptor,
    idle: Duration,
    hash: Sha256,
    seen: u64,
    held: Option<Bytes>,
    is_done: bool,
    /// Its place among those that are under way at once, until it is read or given up.
    _lane: Option<OwnedSemaphorePermit>,
}

/// What the two ends of an upload tell each other.
#[derive(Debug)]
struct Passage {
    /// Since when it is the registry's turn; `None` while we wait for the source.
    since: Mutex<Option<Instant>>,
    /// Why the source broke off.
    failure: Mutex<Option<Failure>>,
    is_over: Mutex<bool>,
}

impl Transport {
    /// Begins to read a blob, in a lane that is free again when it is read or given up.
    pub(crate) async fn open(
        &self,
        call: Call,
        blob: &Descriptor,
        lane: Option<OwnedSemaphorePermit>,
    ) -> Result<Incoming, Failure> {
        let response = self.authorized(&call).await?;
        if response.status() != StatusCode::OK {
            let answer = call.judge(self.read(&call, response).await?)?;
            let is_missing = answer.status == StatusCode::NOT_FOUND;
            return Err(never(if is_missing { call.not_found() } else { call.status(&answer) }));
        }
        Ok(Incoming {
            call,
            response,
            blob: blob.clone(),
            idle: self.options.idle,
            hash: Sha256::new(),
            seen: 0,
            held: None,
            is_done: false,
            _lane: lane,
        })
    }

    /// Sends a blob while it is being read. The body cannot be sent twice, so a refused login is renewed and the whole
    /// told to be tried again.
    pub(crate) async fn put_stream(
        &self,
        call: &Call,
        incoming: Incoming,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let put = async {
            let authorization = self.authorization(call).await?;
            let home = self.home(call)?;
            let allowed = authorization.as_ref().filter(|_| call.url.origin() == home);
            let request = self.build(call, &call.url, allowed)?;
            let response = self.pass(call, request, incoming).await?;
            let answer = self.read(call, response).await?;
            if answer.status != StatusCode::UNAUTHORIZED || call.url.origin() != home {
                return call.judge(answer);
            }
            let again = if self.learn(call, &answer, authorization.as_ref()).await? {
                Again::Renewed
            } else {
                Again::Never
            };
            Err(Failure { again, ..call.denied(&answer) })
        };
        timeout_at(deadline, put).await.unwrap_or_else(|_elapsed| Err(call.too_late()))
    }

    /// Sends the body and waits for the answer, as long as something moves.
    async fn pass(
        &self,
        call: &Call,
        request: reqwest::RequestBuilder,
        incoming: Incoming,
    ) -> Result<reqwest::Response, Failure> {
        let size = incoming.blob.size;
        let passage = Arc::new(Passage::new());
        let body = reqwest::Body::wrap_stream(body(incoming, Arc::clone(&passage)));
        let sending = request.header(CONTENT_LENGTH, size).body(body).send();
        tokio::pin!(sending);
        let idle = self.options.idle;
        // After the last byte the buffers must empty, and the registry puts the blob where it belongs.
        let last = idle + Duration::from_secs(size.min(IN_FLIGHT) / SLOW_LINE);
        loop {
            let patience = if *lock(&passage.is_over) { last } else { idle };
            let since = *lock(&passage.since);
            tokio::select! {
                sent = &mut sending => {
                    return sent.map_err(|error| {
                        lock(&passage.failure).take().unwrap_or_else(|| call.broken(&error))
                    });
                }
                () = sleep_until(since.unwrap_or_else(Instant::now) + patience) => {
                    if since.is_some() && *lock(&passage.since) == since {
                        let why = format!("nothing moved for {patience:?} in an upload");
                        return Err(call.unreachable(why, Again::Later));
                    }
                }
            }
        }
    }
}

/// The body of an upload: what comes in, and a broken connection where that breaks off.
fn body(
    incoming: Incoming,
    passage: Arc<Passage>,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold((incoming, passage), |(mut incoming, passage)| async move {
        *lock(&passage.since) = None;
        let next = incoming.next().await;
        *lock(&passage.since) = Some(Instant::now());
        match next {
            Ok(Some(bytes)) => {
                incoming.call.session.meter.sent(size_of(&bytes));
                Some((Ok(bytes), (incoming, passage)))
            }
            Ok(None) => {
                *lock(&passage.is_over) = true;
                None
            }
            Err(failure) => {
                *lock(&passage.failure) = Some(failure);
                Some((Err(std::io::Error::other("the source broke off")), (incoming, passage)))
            }
        }
    })
}

impl Incoming {
    /// The next piece; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while !self.is_done {
            let Some(piece) = self.piece().await? else {
                self.is_done = true;
                self.check()?;
                break;
            };
            if let Some(ready) = self.held.replace(piece) {
                return Ok(Some(ready));
            }
        }
        Ok(self.held.take())
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        let idle = self.idle;
        let piece = timeout(idle, self.response.chunk())
            .await
            .map_err(|_elapsed| self.call.silent(idle))?
            .map_err(|error| self.call.broken(&error))?;
        if let Some(piece) = &piece {
            self.seen = self.seen.saturating_add(size_of(piece));
            self.call.session.meter.received(size_of(piece));
            if self.blob.size < self.seen {
                return Err(self.call.wrong_bytes(format!("more than {} bytes", self.blob.size)));
            }
            self.hash.update(piece);
        }
        Ok(piece)
    }

    fn check(&mut self) -> Result<(), Failure> {
        let found = Digest::from_sha256(self.hash.finalize_reset().as_ref());
        if found == self.blob.digest {
            return Ok(());
        }
        Err(self.call.wrong_bytes(format!("{} bytes of `{found}`", self.seen)))
    }
}

impl Passage {
    fn new() -> Self {
        Self { since: Mutex::new(Some(Instant::now())), failure: Mutex::default(), is_over: Mutex::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it holds is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
