//! `Ssh`: a host that is reached over SSH, without any `ssh` program.

mod command;
mod connection;
mod error;
mod host_keys;
mod login;
mod tunnel;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shipkit_core::{Secret, SshAddress};
use tokio::sync::Mutex;

pub use command::{Ended, HostCommand, Output, Stream};
pub use error::SshError;

use connection::Connection;
pub(crate) use connection::Tunnel;
use host_keys::HostKeys;
use login::Login;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(15);

/// How to log in to a server, and which server is believed.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// The text of a private key, in OpenSSH's format or as PKCS#8.
    pub key: Option<Secret>,
    /// What opens the private key, if it is encrypted.
    pub passphrase: Option<Secret>,
    /// The socket of an SSH agent, whose keys are tried after the private key.
    pub agent: Option<PathBuf>,
    /// The text of a `known_hosts` file.
    pub known_hosts: String,
    /// Host keys of this server, each as `SHA256:...`, as a public key or as a line of `known_hosts`. If there are any, no
    /// other is believed.
    pub host_keys: Vec<String>,
    /// How long connecting and logging in may take, and how long a connection may be silent until it counts as lost.
    pub patience: Duration,
}

impl Default for SshOptions {
    fn default() -> Self {
        Self {
            key: None,
            passphrase: None,
            agent: None,
            known_hosts: String::new(),
            host_keys: Vec::new(),
            patience: PATIENCE,
        }
    }
}

/// A host that is reached over SSH. Clones share one connection; if that was lost, the next call makes another one.
#[derive(Clone)]
pub struct Ssh(Arc<Server>);

struct Server {
    address: SshAddress,
    host_keys: Arc<HostKeys>,
    login: Login,
    patience: Duration,
    connection: Mutex<Option<Arc<Connection>>>,
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssh({})", self.0.address)
    }
}

impl Ssh {
    /// Connects, makes sure that it is the server that was meant, and logs in.
    ///
    /// # Errors
    /// When what is given to log in with is no key, the server does not answer, is not the one that was meant, or lets
    /// nobody in.
    pub async fn connect(address: &SshAddress, options: &SshOptions) -> Result<Self, SshError> {
        let ssh = Self(Arc::new(Server {
            address: address.clone(),
            host_keys: Arc::new(HostKeys::read(address, &options.known_hosts, &options.host_keys)?),
            login: Login::read(address, options)?,
            patience: options.patience,
            connection: Mutex::new(None),
        }));
        ssh.connection().await?;
        Ok(ssh)
    }

    /// The server.
    #[must_use]
    pub fn address(&self) -> &SshAddress {
        &self.0.address
    }

    /// A connection that was alive a moment ago.
    async fn connection(&self) -> Result<Arc<Connection>, SshError> {
        let server = &self.0;
        let mut present = server.connection.lock().await;
        if let Some(connection) = present.as_ref().filter(|connection| connection.is_alive()) {
            return Ok(Arc::clone(connection));
        }
        let opening = Connection::open(&server.address, &server.host_keys, &server.login, server.patience);
        let opened = tokio::time::timeout(server.patience, opening).await;
        let silent =
            |_elapsed| self.unreachable(&format!("no login within {} s", server.patience.as_secs_f32()));
        let connection = Arc::new(opened.map_err(silent)??);
        *present = Some(Arc::clone(&connection));
        Ok(connection)
    }

    fn unreachable(&self, reason: &str) -> SshError {
        SshError::Unreachable { host: self.0.address.to_string(), reason: reason.to_owned() }
    }
}
