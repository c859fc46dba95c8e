//! `Reached`: a port that only the host sees, at an address of this machine.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::{Host, HostError, Machine};
use crate::ssh::Ssh;

/// An address that leads to a port as the host sees it, as long as this is kept.
#[derive(Debug)]
pub struct Reached {
    address: SocketAddr,
    forwarding: Option<JoinHandle<()>>,
}

impl Reached {
    /// The address on this machine.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        if let Some(forwarding) = &self.forwarding {
            forwarding.abort();
        }
    }
}

impl Host {
    /// Makes a port that the host sees reachable from here. Whether anything answers there is not known then: a connection
    /// for which nothing does is closed.
    ///
    /// # Errors
    /// When the host is one over SSH that makes no such connections or is lost.
    pub(crate) async fn reach(&self, there: SocketAddr) -> Result<Reached, HostError> {
        let Machine::Ssh(ssh) = &self.machine else {
            return Ok(Reached { address: there, forwarding: None });
        };
        // Asked once before anybody relies on it: to a client, a connection that is forbidden looks like one that is refused.
        drop(ssh.forward(there).await?);
        let here = |error: std::io::Error| self.failed(&format!("reach `{there}`"), &error.to_string());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(here)?;
        let address = listener.local_addr().map_err(here)?;
        let forwarding = tokio::spawn(forward(listener, ssh.clone(), there));
        Ok(Reached { address, forwarding: Some(forwarding) })
    }
}

/// Passes connections on until it is dropped, and they with it.
async fn forward(listener: TcpListener, ssh: Ssh, there: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut here, _)) = listener.accept().await {
        let ssh = ssh.clone();
        connections.spawn(async move {
            // What breaks off here breaks off for who asked, who judges it.
            if let Ok(Some(mut channel)) = ssh.forward(there).await {
                copy_bidirectional(&mut here, &mut channel).await.ok();
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
