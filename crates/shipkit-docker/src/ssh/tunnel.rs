//! A stream to a socket of the server, or to an address as the server sees it.

use std::net::SocketAddr;

use super::command::{Ended, HostCommand};
use super::{Ssh, SshError, Tunnel};

/// Argument: path.
const LOOK: &str = r#"
[ -S "$1" ] || exit 44
[ -r "$1" ] && [ -w "$1" ] || exit 45
"#;

/// How `LOOK` ends when there is no such socket, and when it may not be opened.
const ABSENT: u32 = 44;
const DENIED: u32 = 45;

impl Ssh {
    /// Connects to an address as the server sees it; `None` if nothing answers there.
    ///
    /// # Errors
    /// When the server makes no such connections, or it is lost.
    pub(crate) async fn forward(&self, there: SocketAddr) -> Result<Option<Tunnel>, SshError> {
        self.connection().await?.forward(there).await
    }

    /// Connects to a socket of the server.
    ///
    /// # Errors
    /// When there is no such socket, it may not be opened, the server makes no such connections, or it is lost.
    pub(crate) async fn tunnel(&self, socket: &str) -> Result<Tunnel, SshError> {
        if let Some(tunnel) = self.connection().await?.tunnel(socket).await? {
            return Ok(tunnel);
        }
        // The same answer for every reason, so the server's shell is asked.
        let looked = self.run(HostCommand::new(&["sh", "-c", LOOK, "sh", socket])).await;
        let (host, socket) = (self.address().to_string(), socket.to_owned());
        Err(match looked.map(|output| output.ended) {
            Ok(Ended::Code(ABSENT)) => SshError::SocketAbsent { host, socket },
            Ok(Ended::Code(DENIED)) => SshError::SocketDenied { host, socket },
            Err(SshError::Unreachable { host, reason }) => SshError::Unreachable { host, reason },
            Ok(_) | Err(_) => SshError::NoForwarding { host, socket },
        })
    }
}
