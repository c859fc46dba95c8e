//! `Ledger`: where the lease on a target lies, and the journal of its last run.

use std::time::Duration;

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;
use shipkit_core::journal::{Journal, JournalError};
use shipkit_core::lease::{Claim, Claimant};
use shipkit_docker::{Host, HostError, Swarm, SwarmError};
use shipkit_kubernetes::{Cluster, ClusterError};

/// Where the lease on a target lies, and the journal of its last run.
#[derive(Clone)]
pub(crate) enum Ledger {
    /// On the Swarm itself.
    Swarm {
        /// The Swarm.
        swarm: Swarm,
        /// The stack.
        stack: String,
    },
    /// On the host of a Compose project.
    Host {
        /// The host.
        host: Host,
        /// The project.
        stack: String,
    },
    /// In the namespace of a cluster.
    Cluster(Cluster),
}

/// Why a lease or journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The Swarm that they lie on.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// The host that they lie on.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The cluster that they lie in.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The journal says that somebody must look.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Ledger {
    /// Takes or renews the lease, if it can be had. [`Claim::Take`] and [`Claim::Renew`] are written when this returns.
    ///
    /// # Errors
    /// When the target cannot be asked, or what lies there is not a lease.
    pub(crate) async fn claim(&self, me: &Claimant, duration: Duration) -> Result<Claim, LedgerError> {
        Ok(match self {
            Self::Swarm { swarm, stack } => swarm.claim(stack, me, duration).await?,
            Self::Host { host, stack } => host.claim(stack, me, duration).await?,
            Self::Cluster(cluster) => cluster.claim(me, duration).await?,
        })
    }

    /// Gives the lease up, if it is still the one of this token.
    ///
    /// # Errors
    /// When the target cannot be asked.
    pub(crate) async fn give_up(&self, token: u64) -> Result<(), LedgerError> {
        match self {
            Self::Swarm { swarm, stack } => swarm.give_up(stack, token).await?,
            Self::Host { host, stack } => host.give_up(stack, token).await?,
            Self::Cluster(cluster) => cluster.give_up(token).await?,
        }
        Ok(())
    }

    /// The journal of the last run.
    ///
    /// # Errors
    /// When the target cannot be asked, or what lies there is not a journal.
    pub(crate) async fn journal(&self) -> Result<Option<Journal>, LedgerError> {
        Ok(match self {
            Self::Swarm { swarm, stack } => swarm.journal(stack).await?,
            Self::Host { host, stack } => host.journal(stack).await?,
            Self::Cluster(cluster) => cluster.journal().await?,
        })
    }

    /// Writes the journal of the run that holds the lease with this token.
    ///
    /// # Errors
    /// When the target cannot be asked, or the lease is not this run's any more.
    pub(crate) async fn write_journal(&self, token: u64, journal: &Journal) -> Result<(), LedgerError> {
        match self {
            Self::Swarm { swarm, stack } => swarm.write_journal(stack, token, journal).await?,
            Self::Host { host, stack } => host.write_journal(stack, token, journal).await?,
            Self::Cluster(cluster) => cluster.write_journal(token, journal).await?,
        }
        Ok(())
    }
}

impl Hint for LedgerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Swarm(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::Cluster(error) => error.hint(),
            Self::Journal(error) => error.hint(),
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Swarm(error) => error.exit_code(),
            Self::Host(error) => error.exit_code(),
            Self::Cluster(error) => error.exit_code(),
            Self::Journal(error) => error.exit_code(),
        }
    }
}
