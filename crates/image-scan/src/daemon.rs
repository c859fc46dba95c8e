//! An image that a Docker engine on this machine has: as the engine sends it, never on disk and never whole in memory.
//!
//! This is one question of the engine's API, so the client of whoever drives an engine is not needed for it.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::archive::{Archive, ArchiveError};

const SOCKET: &str = "unix:///var/run/docker.sock";
/// No more than this is read of what is not an image.
const ANSWER: usize = 4 * 1024 * 1024;
/// How long the engine may send nothing: those before 25 gather the whole image before they begin.
const SILENCE: Duration = Duration::from_mins(10);
/// How many pieces may wait to be read.
const WAITING: usize = 8;

/// Why an engine does not give an image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    #[error("`DOCKER_HOST` is `{0}`, and only an engine at a socket of this machine is asked")]
    Host(String),
    #[error("`{0}` is no name of an image")]
    Name(String),
    #[error("the Docker engine at `{socket}` cannot be asked")]
    Client { socket: String, source: reqwest::Error },
    #[error("the Docker engine at `{socket}` has no image `{name}`")]
    Missing { socket: String, name: String },
    #[error("the Docker engine at `{socket}` answers with status {status}")]
    Status { socket: String, status: u16 },
    #[error("the Docker engine at `{socket}` does not say which image `{name}` is")]
    Answer { socket: String, name: String },
    #[error("what the Docker engine sends of `{name}` cannot be read")]
    Archive { name: String, source: ArchiveError },
    #[error("reading was stopped")]
    Stopped(#[source] tokio::task::JoinError),
}

impl Hint for DaemonError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Host(_) => {
                Some("save the image there with `docker save`, and give that to `--layout`".to_owned())
            }
            Self::Client { .. } => {
                Some("start it, or name its socket in `DOCKER_HOST`: `unix:///run/docker.sock`".to_owned())
            }
            Self::Missing { .. } => Some("`docker images` tells which there are".to_owned()),
            Self::Archive { source, .. } => source.hint(),
            Self::Name(_) | Self::Status { .. } | Self::Answer { .. } | Self::Stopped(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Host(_) | Self::Name(_) | Self::Missing { .. } => ExitCode::Usage,
            Self::Client { .. }
            | Self::Status { .. }
            | Self::Answer { .. }
            | Self::Archive { .. }
            | Self::Stopped(_) => ExitCode::Unknown,
        }
    }
}

/// Reads an image of the engine that `DOCKER_HOST` names, or of the one at the usual place.
///
/// # Errors
/// When the engine does not answer or has no such image, or when what it sends is not one.
pub(crate) async fn read(name: &str, host: Option<&str>) -> Result<Archive, DaemonError> {
    let host = host.filter(|host| !host.is_empty()).unwrap_or(SOCKET);
    let socket = host.strip_prefix("unix://").filter(|path| path.starts_with('/'));
    let socket = socket.ok_or_else(|| DaemonError::Host(host.to_owned()))?.to_owned();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    if name.is_empty()
        || !name.bytes().all(is_name)
        || name.split('/').any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(DaemonError::Name(name.to_owned()));
    }
    let failed = |source| DaemonError::Client { socket: socket.clone(), source };
    let client = client(&socket).map_err(failed)?;
    let ask = |path: String| client.get(format!("http://docker/images/{path}")).send();
    let answer = ask(format!("{name}/json")).await.map_err(failed)?;
    let answer = checked(answer, &socket, name)?;
    let id = id(answer).await.map_err(failed)?;
    let id = id.ok_or_else(|| DaemonError::Answer { socket: socket.clone(), name: name.to_owned() })?;
    // By what it is: a name without a tag would be all that have it, and another image may get it meanwhile.
    let answer = checked(ask(format!("{id}/get")).await.map_err(failed)?, &socket, name)?;
    let (to, from) = channel(WAITING);
    let reading = tokio::task::spawn_blocking(move || Archive::read(Pieces { from, piece: Bytes::new() }));
    let (read, ()) = tokio::join!(reading, feed(answer, to));
    let read = read.map_err(DaemonError::Stopped)?;
    read.map_err(|source| DaemonError::Archive { name: name.to_owned(), source })
}

fn client(socket: &str) -> Result<Client, reqwest::Error> {
    // Nothing is encrypted here, and still a client wants to know how.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|tls| tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth());
    let builder = Client::builder().unix_socket(socket).redirect(reqwest::redirect::Policy::none());
    let builder = builder.no_proxy().read_timeout(SILENCE);
    match tls {
        Ok(tls) => builder.tls_backend_preconfigured(tls).build(),
        Err(_) => builder.build(),
    }
}

fn checked(answer: Response, socket: &str, name: &str) -> Result<Response, DaemonError> {
    let (socket, name) = (socket.to_owned(), name.to_owned());
    match answer.status() {
        StatusCode::OK => Ok(answer),
        StatusCode::NOT_FOUND => Err(DaemonError::Missing { socket, name }),
        status => Err(DaemonError::Status { socket, status: status.as_u16() }),
    }
}

/// What the engine calls an image itself.
async fn id(mut answer: Response) -> Result<Option<String>, reqwest::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Inspected {
        id: shipkit_core::Digest,
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        bytes.extend_from_slice(&piece);
        if ANSWER < bytes.len() {
            return Ok(None);
        }
    }
    Ok(serde_json::from_slice(&bytes).ok().map(|Inspected { id }| id.to_string()))
}

/// Passes all pieces on, as long as somebody reads; also that there will be no more of them.
async fn feed(mut answer: Response, to: Sender<io::Result<Bytes>>) {
    loop {
        let piece = match answer.chunk().await {
            Ok(Some(piece)) => Ok(piece),
            Ok(None) => return,
            Err(error) => Err(io::Error::other(error)),
        };
        let is_last = piece.is_err();
        if to.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

/// What the engine sends. Reading blocks until there is some.
struct Pieces {
    from: Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.from.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
