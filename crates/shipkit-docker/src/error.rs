//! `SwarmError`: why a Swarm cannot be asked or does not do what it is asked.

use shipkit_core::exit::ExitCode;
use shipkit_core::journal::JournalError;
use shipkit_core::lease::BadLease;
use shipkit_core::{Hint, ssh::NotAnSshAddress};

use crate::ssh::SshError;

/// Why a Swarm cannot be asked or does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// The host is neither `unix://` with an absolute path, `tcp://` with host and port, nor `ssh://`.
    #[error("`{0}` is not the address of a Docker host")]
    BadHost(String),
    /// The host begins with `ssh://` and is no such address.
    #[error(transparent)]
    BadSshHost(#[from] NotAnSshAddress),
    /// A certificate or key for TLS cannot be read.
    #[error("the `{what}` for TLS cannot be read: {reason}")]
    BadPem {
        /// Which one: `ca`, `certificate` or `key`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The host does not show the right certificate, or does not take ours.
    #[error("no TLS with Docker at `{host}`: {reason}")]
    Tls {
        /// The host as it was given.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The host is not reached over SSH.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// There is no socket at this path.
    #[error("there is no Docker socket at `{0}`")]
    SocketAbsent(String),
    /// The socket may not be opened.
    #[error("the Docker socket `{0}` may not be opened by this user")]
    Denied(String),
    /// Nobody answers, or not in time.
    #[error("no answer from Docker at `{host}`: {reason}")]
    NoAnswer {
        /// The host as it was given.
        host: String,
        /// What happened.
        reason: String,
    },
    /// Somebody answers, but not as the Engine API does.
    #[error("what answers at `{host}` is not the Docker Engine API: {reason}")]
    Garbled {
        /// The host as it was given.
        host: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The engine is older than what a start-first update with rollback needs.
    #[error("Docker at `{host}` speaks API {api}, and 1.40 is the oldest that works")]
    TooOld {
        /// The host as it was given.
        host: String,
        /// Its newest API version.
        api: String,
    },
    /// Swarm mode is not active.
    #[error("Docker at `{0}` is not part of a Swarm")]
    NotASwarm(String),
    /// It is a worker, and only managers can be asked.
    #[error("Docker at `{0}` is a worker of its Swarm, and only a manager can deploy")]
    NotAManager(String),
    /// The engine refused a request.
    #[error("Docker refused to {what}: {message} (status {status})")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// Secrets that services name do not exist on the target: all of them.
    #[error("secrets do not exist on the Swarm: {}", quoted(.0))]
    MissingSecrets(Vec<String>),
    /// A service that the plan names is not (or no longer) there.
    #[error("service `{0}` is not there")]
    NoSuchService(String),
    /// Somebody else deployed to the service after it was first read.
    #[error("service `{service}` was changed by another deploy at the same time")]
    Overtaken {
        /// The full name of the service.
        service: String,
    },
    /// What should be a lease is none.
    #[error(transparent)]
    BadLease(#[from] BadLease),
    /// What should be a journal is none, or says that somebody must look.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another run has the lease now.
    #[error("another run has the lease on stack `{0}` now")]
    LeaseLost(String),
    /// The migration of another release has not ended.
    #[error("a migration of another release still runs as `{service}`")]
    StillMigrating {
        /// The full name of the job.
        service: String,
    },
    /// The service does not remember a good specification, or what it remembers cannot be read.
    #[error("service `{0}` remembers no good release to go back to")]
    NothingBefore(String),
    /// A service is to be replaced by a shift and nothing passes requests on to it.
    #[error("service `{0}` is `strategy: blue-green`, and no Traefik passes requests on to it")]
    Unreached(String),
    /// There is no service of Traefik.
    #[error("neither stack `{stack}` nor the Swarm has a service `{service}`, which should be Traefik")]
    NoEdge {
        /// The stack.
        stack: String,
        /// The service.
        service: String,
    },
    /// Nothing says that Traefik reads services.
    #[error(
        "service `{0}` was not started with Traefik's provider for a Swarm, as far as its arguments and environment say"
    )]
    BlindEdge(String),
    /// Traefik does not reach the services.
    #[error(
        "service `{service}` is not attached to the network of stack `{stack}`, so Traefik does not reach its services"
    )]
    ApartEdge {
        /// The stack.
        stack: String,
        /// The service.
        service: String,
    },
    /// The operating system gives no random numbers.
    #[error("there are no random numbers for a word that nobody else knows")]
    NoRandomness,
    /// A plan names a service that the desired state does not hold.
    #[error("the plan names service `{0}`, which is not desired")]
    NotDesired(String),
}

impl SwarmError {
    /// Whether an engine that restarts, or a manager that looks for its leader, would say the same.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::Refused { status: 500.., .. })
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Hint for SwarmError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::BadHost(_) => {
                Some("write `unix:///var/run/docker.sock`, `tcp://host:port` or `ssh://user@host`".to_owned())
            }
            Self::BadSshHost(_) => Some("write `ssh://user@host:port`".to_owned()),
            Self::Ssh(error) => error.hint(),
            Self::BadPem { .. } => Some("give the text of the file, from `-----BEGIN` on".to_owned()),
            Self::Tls { .. } => Some(
                "the host's certificate must name it as it is addressed and be signed by the given `ca`, and the given \
                 `certificate` by that of the host"
                    .to_owned(),
            ),
            Self::SocketAbsent(_) => {
                Some("start Docker there, or mount its socket into this step".to_owned())
            }
            Self::Denied(_) => Some("run as root or as a member of the socket's group".to_owned()),
            Self::NotASwarm(_) => Some("run `docker swarm init` on that host once".to_owned()),
            Self::NotAManager(_) => Some("name a manager: `docker node ls` shows them".to_owned()),
            Self::MissingSecrets(names) => names
                .first()
                .map(|name| format!("create each of them, as in `docker secret create {name} -`")),
            Self::TooOld { .. } => Some("Docker 19.03 is the oldest that works".to_owned()),
            Self::Overtaken { .. } => Some("look at the status, then deploy again".to_owned()),
            Self::BadLease(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::LeaseLost(_) => Some("see what it does, then try again".to_owned()),
            Self::StillMigrating { service } => {
                Some(format!("wait for it, or end it with `docker service rm {service}`"))
            }
            Self::NothingBefore(_) => Some("deploy an earlier release by its version".to_owned()),
            Self::Unreached(_) => Some("give `target.proxy: {traefik: SERVICE}`, and the service its `port`".to_owned()),
            Self::NoEdge { .. } => Some("create it first, or name the one that is there".to_owned()),
            Self::BlindEdge(_) => Some("start it with `--providers.swarm.endpoint=unix:///var/run/docker.sock`".to_owned()),
            Self::ApartEdge { stack, service } => Some(format!(
                "create the network with `docker network create --driver overlay --attachable {stack}` if it is not there, then \
                 `docker service update --network-add {stack}` the service of `{service}`"
            )),
            Self::NoAnswer { .. }
            | Self::Garbled { .. }
            | Self::Refused { .. }
            | Self::NoSuchService(_)
            | Self::NoRandomness
            | Self::NotDesired(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Ssh(error) => error.exit_code(),
            // What Docker itself could not do, as without a leader, says nothing about what was asked.
            Self::Refused { status: 500.., .. }
            | Self::NoAnswer { .. }
            | Self::Garbled { .. }
            | Self::LeaseLost(_)
            | Self::NoRandomness
            | Self::Tls { .. } => ExitCode::Unknown,
            Self::BadLease(error) => error.exit_code(),
            Self::Journal(error) => error.exit_code(),
            Self::BadHost(_)
            | Self::BadSshHost(_)
            | Self::BadPem { .. }
            | Self::SocketAbsent(_)
            | Self::Denied(_)
            | Self::TooOld { .. }
            | Self::NotASwarm(_)
            | Self::NotAManager(_)
            | Self::MissingSecrets(_)
            | Self::Unreached(_)
            | Self::NoEdge { .. }
            | Self::BlindEdge(_)
            | Self::ApartEdge { .. }
            | Self::NotDesired(_) => ExitCode::Usage,
            Self::Refused { .. }
            | Self::NoSuchService(_)
            | Self::Overtaken { .. }
            | Self::StillMigrating { .. }
            | Self::NothingBefore(_) => ExitCode::No,
        }
    }
}
