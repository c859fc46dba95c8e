//! `SshError`: why a host is not reached over SSH, or does not do there what it is told.

use std::net::SocketAddr;
use std::time::Duration;

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;

/// Why a host is not reached over SSH, or does not do there what it is told.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// There is neither a key nor an agent to log in with.
    #[error("there is no key to log in to `{0}` with")]
    NoKey(String),
    /// The private key is no private key.
    #[error("the private key cannot be read: {0}")]
    BadKey(String),
    /// The private key is encrypted, and no passphrase is given.
    #[error("the private key is encrypted, and no passphrase is given")]
    KeyLocked,
    /// The passphrase does not fit the private key.
    #[error("the passphrase does not open the private key")]
    WrongPassphrase,
    /// Keys of this kind sign nothing here.
    #[error("a private key of the kind `{0}` cannot be used")]
    KeyKind(String),
    /// The agent cannot be asked.
    #[error("the SSH agent at `{socket}` cannot be asked: {reason}")]
    Agent {
        /// The path of its socket.
        socket: String,
        /// What happened.
        reason: String,
    },
    /// A host key was to be pinned that is none.
    #[error("`{0}` is no host key to pin")]
    BadPin(String),
    /// Nothing says what the host key should be.
    #[error("the host key of `{host}` is not known: it shows {algorithm} {fingerprint}")]
    UnknownHostKey {
        /// The server.
        host: String,
        /// The kind of key that it shows.
        algorithm: String,
        /// The fingerprint of that key, `SHA256:...`.
        fingerprint: String,
        /// The line that would make it known.
        line: String,
    },
    /// `known_hosts` has another key of the same kind.
    #[error(
        "the host key of `{host}` has changed: it shows {algorithm} {fingerprint}, and line {line} of the known \
         hosts has another"
    )]
    ChangedHostKey {
        /// The server.
        host: String,
        /// The kind of key that it shows.
        algorithm: String,
        /// The fingerprint of that key, `SHA256:...`.
        fingerprint: String,
        /// The line that has another, from 1.
        line: usize,
    },
    /// Keys are pinned, and it is none of them.
    #[error("the host key of `{host}` is not the pinned one: it shows {algorithm} {fingerprint}")]
    NotPinned {
        /// The server.
        host: String,
        /// The kind of key that it shows.
        algorithm: String,
        /// The fingerprint of that key, `SHA256:...`.
        fingerprint: String,
    },
    /// `known_hosts` says that this key is no longer to be believed.
    #[error("the host key of `{host}`, {fingerprint}, is revoked by line {line} of the known hosts")]
    RevokedHostKey {
        /// The server.
        host: String,
        /// The fingerprint of that key, `SHA256:...`.
        fingerprint: String,
        /// The line, from 1.
        line: usize,
    },
    /// The server does not let us in with any of the keys.
    #[error("`{host}` lets nobody in with {tried}")]
    LoginRefused {
        /// The server.
        host: String,
        /// The keys that were shown to it.
        tried: String,
    },
    /// Nobody answers, or no longer, or not in time.
    #[error("`{host}` is not reachable: {reason}")]
    Unreachable {
        /// The server.
        host: String,
        /// What happened.
        reason: String,
    },
    /// Somebody answers, but not as an SSH server does, or not in a way that both sides know.
    #[error("what answers at `{host}` cannot be talked to over SSH: {reason}")]
    Garbled {
        /// The server.
        host: String,
        /// What was wrong.
        reason: String,
    },
    /// The server runs no commands for this user, or no more of them at once.
    #[error("`{0}` runs no commands for this user")]
    NoCommands(String),
    /// A command that cannot be handed over.
    #[error("`{what}` cannot be handed to `{host}`: {reason}")]
    BadArgument {
        /// The server.
        host: String,
        /// The command.
        what: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A command did not end in time.
    #[error("`{command}` on `{host}` did not end within {} s", .limit.as_secs_f32())]
    TooSlow {
        /// The server.
        host: String,
        /// The program.
        command: String,
        /// What it had.
        limit: Duration,
    },
    /// There is no socket at this path on the server.
    #[error("there is no socket at `{socket}` on `{host}`")]
    SocketAbsent {
        /// The server.
        host: String,
        /// The path on the server.
        socket: String,
    },
    /// The socket may not be opened by the user who is logged in.
    #[error("the socket `{socket}` on `{host}` may not be opened by this user")]
    SocketDenied {
        /// The server.
        host: String,
        /// The path on the server.
        socket: String,
    },
    /// The socket is there, and the server makes no connection to it.
    #[error("`{host}` makes no connection to its socket `{socket}`")]
    NoForwarding {
        /// The server.
        host: String,
        /// The path on the server.
        socket: String,
    },
    /// The server makes no connections for who has logged in.
    #[error("`{host}` makes no connection to `{address}` for those who log in")]
    NoTcpForwarding {
        /// The server.
        host: String,
        /// The address as the server sees it.
        address: SocketAddr,
    },
}

impl Hint for SshError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoKey(_) => Some("give a private key or the socket of an SSH agent".to_owned()),
            Self::BadKey(_) => Some("give the whole file, from `-----BEGIN` to the line after `-----END`".to_owned()),
            Self::KeyLocked => Some("give its passphrase, or make a key without one for this job".to_owned()),
            Self::KeyKind(_) => {
                Some("make one with `ssh-keygen -t ed25519`, or load this one into an SSH agent".to_owned())
            }
            Self::BadPin(_) => Some(
                "write `SHA256:...` as `ssh-keygen -l` shows it, or a line as `ssh-keyscan` prints it".to_owned(),
            ),
            Self::UnknownHostKey { fingerprint, line, .. } => Some(format!(
                "if `ssh-keygen -l -f` says the same of the key in `/etc/ssh` on the server itself, pin \
                 `{fingerprint}`, or add `{line}` to the known hosts"
            )),
            Self::ChangedHostKey { .. } | Self::NotPinned { .. } => Some(
                "somebody may sit in between; replace the key that is known only if the server itself shows the new \
                 one, as after it was set up anew"
                    .to_owned(),
            ),
            Self::LoginRefused { .. } => {
                Some("is the public key in `~/.ssh/authorized_keys` of that user on the server?".to_owned())
            }
            Self::NoCommands(_) => Some("allow the user a shell on that server, and more sessions at once if it has none left (`MaxSessions`)".to_owned()),
            Self::SocketAbsent { .. } => Some("start Docker there, or put the socket's path behind the host".to_owned()),
            Self::SocketDenied { .. } => {
                Some("put the user into the group `docker` on that server, or log in as another".to_owned())
            }
            Self::NoForwarding { .. } => Some(
                "is Docker running there, and does its `sshd_config` say `AllowStreamLocalForwarding yes` (and \
                 `DisableForwarding no`)?"
                    .to_owned(),
            ),
            Self::NoTcpForwarding { .. } => Some(
                "let its `sshd_config` say `AllowTcpForwarding yes` (and `DisableForwarding no`)".to_owned(),
            ),
            Self::WrongPassphrase
            | Self::Agent { .. }
            | Self::RevokedHostKey { .. }
            | Self::Unreachable { .. }
            | Self::Garbled { .. }
            | Self::BadArgument { .. }
            | Self::TooSlow { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoKey(_)
            | Self::BadKey(_)
            | Self::KeyLocked
            | Self::WrongPassphrase
            | Self::KeyKind(_)
            | Self::BadPin(_)
            | Self::UnknownHostKey { .. }
            | Self::BadArgument { .. }
            | Self::NoCommands(_)
            | Self::SocketAbsent { .. }
            | Self::SocketDenied { .. } => ExitCode::Usage,
            Self::Agent { .. }
            | Self::ChangedHostKey { .. }
            | Self::NotPinned { .. }
            | Self::RevokedHostKey { .. }
            | Self::LoginRefused { .. }
            | Self::Unreachable { .. }
            | Self::Garbled { .. }
            | Self::TooSlow { .. }
            | Self::NoForwarding { .. }
            | Self::NoTcpForwarding { .. } => ExitCode::Unknown,
        }
    }
}
