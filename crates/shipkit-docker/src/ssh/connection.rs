//! `Connection`: one connection to an SSH server, logged in.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::client::{Config, DisconnectReason, Handle, Handler, Msg, connect_stream};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelOpenFailure, ChannelStream, Error, Preferred, SshId};
use shipkit_core::SshAddress;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::command::HostCommand;
use super::error::SshError;
use super::host_keys::HostKeys;
use super::login::Login;

/// A stream to a socket of the server, or to an address as the server sees it.
pub(crate) type Tunnel = ChannelStream<Msg>;

/// The most that is repeated of what a server says, in characters.
const WORDS: usize = 300;
/// A connection is lost when this many questions whether it is alive, at equal distances, have no answer.
const QUESTIONS: u32 = 3;
/// How long to wait until a server has room for one more command.
const ROOM: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Connection {
    address: SshAddress,
    handle: Handle<Guard>,
    end: Arc<OnceLock<String>>,
    /// Whether the server has run a command on it.
    had_session: AtomicBool,
}

/// Watches over a connection: whether it is the right server, and how it ends.
pub(super) struct Guard {
    host_keys: Arc<HostKeys>,
    end: Arc<OnceLock<String>>,
}

/// What ends a connection.
#[derive(Debug)]
pub(super) enum Broken {
    HostKey(SshError),
    Protocol(Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}

impl Handler for Guard {
    type Error = Broken;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Broken> {
        self.host_keys.check(&shown.public_key()).map_err(Broken::HostKey)?;
        Ok(true)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Broken>) -> Result<(), Broken> {
        let why = match &reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                format!("it ended the connection: {}", said.message.chars().take(WORDS).collect::<String>())
            }
            DisconnectReason::Error(Broken::Protocol(error)) => lost(error),
            DisconnectReason::Error(Broken::HostKey(error)) => error.to_string(),
        };
        // Whoever said it first is right.
        self.end.set(why).ok();
        Ok(())
    }
}

impl Connection {
    /// Connects and logs in. The caller limits the time.
    pub(super) async fn open(
        address: &SshAddress,
        host_keys: &Arc<HostKeys>,
        login: &Login,
        patience: Duration,
    ) -> Result<Self, SshError> {
        let unreachable = |reason: String| SshError::Unreachable { host: address.to_string(), reason };
        let stream = TcpStream::connect((address.host(), address.port())).await;
        let stream = stream.map_err(|error| unreachable(error.to_string()))?;
        // Only makes answers slower, where it does not work.
        stream.set_nodelay(true).ok();
        let end = Arc::new(OnceLock::new());
        let guard = Guard { host_keys: Arc::clone(host_keys), end: Arc::clone(&end) };
        let config = Arc::new(config(host_keys, patience));
        let handle = connect_stream(config, stream, guard).await.map_err(|broken| match broken {
            Broken::HostKey(error) => error,
            Broken::Protocol(error) => failed(address, &error),
        })?;
        let had_session = AtomicBool::new(false);
        let mut connection = Self { address: address.clone(), handle, end, had_session };
        let answer = login.log_in(&mut connection.handle, address).await;
        // A server that ends the connection meanwhile has refused nothing.
        if connection.is_alive() { answer.map(|()| connection) } else { Err(connection.ended()) }
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.handle.is_closed()
    }

    /// Why the connection is no more.
    pub(super) fn ended(&self) -> SshError {
        let reason = self.end.get().map_or("the connection was lost", String::as_str).to_owned();
        SshError::Unreachable { host: self.address.to_string(), reason }
    }

    /// What an error of the protocol says about this connection.
    pub(super) fn broken(&self, error: &Error) -> SshError {
        if self.is_alive() { failed(&self.address, error) } else { self.ended() }
    }

    pub(super) fn no_commands(&self) -> SshError {
        SshError::NoCommands(self.address.to_string())
    }

    pub(super) fn garbled(&self, reason: &str) -> SshError {
        SshError::Garbled { host: self.address.to_string(), reason: reason.to_owned() }
    }

    pub(super) fn too_slow(&self, command: &HostCommand<'_>) -> SshError {
        SshError::TooSlow {
            host: self.address.to_string(),
            command: command.argv.first().copied().unwrap_or_default().to_owned(),
            limit: command.time,
        }
    }

    /// A channel on which one command can be run. A server has room for few at once (`MaxSessions` of OpenSSH), and one that
    /// has just ended may still take its place: where there was one before, this one waits.
    pub(super) async fn session(&self) -> Result<Channel<Msg>, SshError> {
        let start = Instant::now();
        let mut is_first = true;
        loop {
            match self.handle.channel_open_session().await {
                Ok(channel) => {
                    self.had_session.store(true, Ordering::Relaxed);
                    return Ok(channel);
                }
                // The first time another one may just be coming to know that it has its place.
                Err(Error::ChannelOpenFailure(_))
                    if is_first || (self.had_session.load(Ordering::Relaxed) && start.elapsed() < ROOM) =>
                {
                    is_first = false;
                    sleep(LOOK_AGAIN).await;
                }
                Err(Error::ChannelOpenFailure(_)) => return Err(self.no_commands()),
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    /// Connects to a socket of the server; `None` if the server says only that this fails.
    pub(super) async fn tunnel(&self, socket: &str) -> Result<Option<Tunnel>, SshError> {
        let opened = self.handle.channel_open_direct_streamlocal(socket).await;
        self.opened(opened, |host| SshError::NoForwarding { host, socket: socket.to_owned() })
    }

    /// Connects to an address as the server sees it; `None` if the server says only that this fails.
    pub(super) async fn forward(&self, there: SocketAddr) -> Result<Option<Tunnel>, SshError> {
        let (ip, port) = (there.ip().to_string(), there.port().into());
        // Who asks is nobody in particular: servers only write it down.
        let opened = self.handle.channel_open_direct_tcpip(ip, port, "127.0.0.1", 0).await;
        self.opened(opened, |host| SshError::NoTcpForwarding { host, address: there })
    }

    fn opened(
        &self,
        opened: Result<Channel<Msg>, Error>,
        forbidden: impl FnOnce(String) -> SshError,
    ) -> Result<Option<Tunnel>, SshError> {
        match opened {
            Ok(channel) => Ok(Some(channel.into_stream())),
            Err(Error::ChannelOpenFailure(
                ChannelOpenFailure::AdministrativelyProhibited | ChannelOpenFailure::UnknownChannelType,
            )) => Err(forbidden(self.address.to_string())),
            Err(Error::ChannelOpenFailure(_)) => Ok(None),
            Err(error) => Err(self.broken(&error)),
        }
    }
}

fn config(host_keys: &HostKeys, patience: Duration) -> Config {
    Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-shipkit_", env!("CARGO_PKG_VERSION")))),
        preferred: Preferred { key: Cow::Owned(host_keys.kinds()), ..Preferred::default() },
        keepalive_interval: Some(patience / QUESTIONS),
        // The first of these intervals ends with a question, and the last with the end.
        keepalive_max: usize::try_from(QUESTIONS - 1).unwrap_or(1),
        // Ends what the questions do not: a server that takes nothing, and a handshake that nobody waits for any more.
        inactivity_timeout: Some(patience * 2),
        ..Config::default()
    }
}

/// What an error of the protocol says about the server.
pub(super) fn failed(address: &SshAddress, error: &Error) -> SshError {
    let host = address.to_string();
    if is_loss(error) {
        return SshError::Unreachable { host, reason: lost(error) };
    }
    let reason = if let Error::NoCommonAlgo { kind, theirs, .. } = error {
        format!("of {kind:?} algorithms it only knows {}", theirs.join(", "))
    } else if matches!(error, Error::Version) {
        "it does not greet as an SSH server".to_owned()
    } else {
        error.to_string()
    };
    SshError::Garbled { host, reason: reason.chars().take(WORDS).collect() }
}

/// Whether the connection broke off, and not what was said on it.
fn is_loss(error: &Error) -> bool {
    is_silence(error)
        || matches!(
            error,
            Error::IO(_) | Error::Disconnect | Error::HUP | Error::SendError | Error::RecvError
        )
}

fn is_silence(error: &Error) -> bool {
    matches!(error, Error::KeepaliveTimeout | Error::InactivityTimeout)
}

fn lost(error: &Error) -> String {
    if is_silence(error) {
        "it no longer answers".to_owned()
    } else if let Error::IO(error) = error {
        error.to_string()
    } else if is_loss(error) {
        "it closed the connection".to_owned()
    } else {
        error.to_string().chars().take(WORDS).collect()
    }
}
