//! `Pieces`: a blob as it comes, for who reads it on a thread of its own and needs it never whole.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use http::Method;
use shipkit_core::Repository;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout_at;

use crate::error::Error;
use crate::retry::{Failure, Tries};
use crate::stream::Incoming;
use crate::transport::{Redirects, never};
use crate::{Descriptor, Registry};

/// How many pieces may wait to be read, each of which is what the network gave at once.
const WAITING: usize = 8;

/// The bytes of a blob. Reading blocks until there are some.
#[derive(Debug)]
pub struct Pieces {
    from: Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.from.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Registry {
    /// Gives a blob to `read` while it comes. If the connection breaks, `read` is called again and gets it from its first byte; what the
    /// one before gave is dropped, and so it is where the bytes are not exactly those that the descriptor names. Who does not read to
    /// the end gets no such promise.
    ///
    /// # Errors
    /// When the registry does not give the blob, or gives something else.
    pub async fn read_blob<T, Reading: Future<Output = T>>(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        read: impl Fn(Pieces) -> Reading,
    ) -> Result<T, Error> {
        let mut tries = Tries::until(self.deadline());
        loop {
            let once = async {
                let mut call = self.blob_call(repository, &descriptor.digest, Method::GET).map_err(never)?;
                call.redirects = Redirects::Follow;
                let time_is_up = call.too_late();
                let opening = self.transport.open(call, descriptor, None);
                let incoming = timeout_at(tries.deadline, opening).await.map_err(|_elapsed| time_is_up)??;
                let (to, from) = channel(WAITING);
                let reading = read(Pieces { from, piece: Bytes::new() });
                let (fed, gave) = tokio::join!(feed(incoming, to), reading);
                fed.map(|()| gave)
            };
            match once.await {
                Ok(gave) => return Ok(gave),
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }
}

/// Passes all pieces on, as long as somebody reads.
async fn feed(mut incoming: Incoming, to: Sender<Bytes>) -> Result<(), Failure> {
    while let Some(piece) = incoming.next().await? {
        if to.send(piece).await.is_err() {
            break;
        }
    }
    Ok(())
}
