//! `ComposeError`: why a Compose project cannot be seen or does not do what it is asked.

use shipkit_core::Hint;
use shipkit_core::compose::{BadKamalState, BadModel, BadState, ProxyKind, Refusal};
use shipkit_core::exit::ExitCode;

use crate::error::SwarmError;
use crate::host::HostError;

/// Why a Compose project cannot be seen or does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The engine cannot be asked, or refused.
    #[error(transparent)]
    Engine(#[from] SwarmError),
    /// The host is one that `docker compose` cannot run on.
    #[error("a Compose project cannot be deployed to `{0}`: `docker compose` runs where the Docker host is")]
    BadHost(String),
    /// The host does not do what it is told.
    #[error(transparent)]
    Host(#[from] HostError),
    /// `docker` has no `compose`.
    #[error("`docker` has no `compose` on the Docker host: {0}")]
    NoCompose(String),
    /// `docker compose` did not do it.
    #[error("`docker compose` could not {what}: {reason}")]
    Compose {
        /// What was asked.
        what: String,
        /// Its own words.
        reason: String,
        /// Whether the files are wrong, and not what was to be done with them.
        is_usage: bool,
    },
    /// What Compose rendered is no project.
    #[error(transparent)]
    Model(#[from] BadModel),
    /// What is remembered on the host cannot be read.
    #[error(transparent)]
    State(#[from] BadState),
    /// The Compose files say something that cannot be replaced as it is asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The Compose files do not name a service that they need to.
    #[error("the Compose files hold no service `{0}`")]
    NotInFiles(String),
    /// The Compose files mean files beside them, and those are not on the host.
    #[error(
        "only the Compose files themselves are brought to the host, and they name files beside them: {0}"
    )]
    NotBrought(String),
    /// The proxy is not there or does not run.
    #[error("{kind}, the service `{service}`, does not run", kind = .kind.name())]
    ProxyDown {
        /// What it is.
        kind: ProxyKind,
        /// Its service.
        service: String,
    },
    /// The proxy does not take its configuration.
    #[error("{kind}, the service `{service}`, refuses its configuration: {reason}", kind = .kind.name())]
    ProxyRefused {
        /// What it is.
        kind: ProxyKind,
        /// Its service.
        service: String,
        /// Its own words.
        reason: String,
    },
    /// What kamal-proxy keeps cannot be read.
    #[error(transparent)]
    KamalState(#[from] BadKamalState),
    /// kamal-proxy does not send the traffic of a service elsewhere.
    #[error(
        "kamal-proxy, the service `{proxy}`, does not send the traffic of `{service}` elsewhere: {reason}"
    )]
    NotSwitched {
        /// Its service.
        proxy: String,
        /// The service.
        service: String,
        /// Its own words.
        reason: String,
    },
    /// kamal-proxy asks a service before it passes requests on, and nothing says at which path.
    #[error(
        "kamal-proxy asks the containers of `{0}` whether they can serve, and nothing says at which path"
    )]
    NoReadyPath(String),
    /// Traefik would not see what is written for it.
    #[error("no file provider of Traefik, the service `{service}`, watches `{directory}`")]
    NotWatched {
        /// Its service.
        service: String,
        /// The folder in its container.
        directory: String,
    },
    /// What is written for the proxy would be gone with its container.
    #[error("`{directory}` of the service `{service}`, which is {kind}, is not on a volume", kind = .kind.name())]
    NoVolume {
        /// What it is.
        kind: ProxyKind,
        /// Its service.
        service: String,
        /// The folder in its container.
        directory: String,
    },
    /// A service that shipkit only starts does not run.
    #[error("service `{service}` does not come up: {reason}")]
    NotUp {
        /// The service.
        service: String,
        /// What was seen.
        reason: String,
    },
    /// A container is in no network in which its host could reach it.
    #[error("the container of `{0}` has no address")]
    NoAddress(String),
    /// The migration of another release has not ended.
    #[error("a migration of another release still runs as `{0}`")]
    StillMigrating(String),
    /// A container has the name of the one that migrates.
    #[error("the container `{0}` is in the way of the migration, and shipkit did not make it")]
    NotOurs(String),
    /// The host does not say how much room is left.
    #[error("it is not known how much room is left in `{folder}` on the host: {reason}")]
    NoSpaceSaid {
        /// The folder.
        folder: String,
        /// The words of `df`.
        reason: String,
    },
    /// The service does not remember a good release.
    #[error("service `{0}` remembers no good release to go back to")]
    NothingBefore(String),
    /// A plan names a service that the desired state does not hold.
    #[error("the plan names service `{0}`, which is not desired")]
    NotDesired(String),
}

impl ComposeError {
    /// Whether an engine that restarts would say the same.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Engine(error) if error.may_pass())
    }

    /// Why a container will not start, now or later. What could not be found out stays an error.
    pub(crate) fn refusal(self) -> Result<String, Self> {
        match self {
            Self::Engine(SwarmError::Refused { message, .. }) => Ok(message),
            Self::Compose { reason, .. } => Ok(reason),
            Self::NothingBefore(_) => Ok("its containers are gone and cannot be made again".to_owned()),
            Self::Engine(_)
            | Self::BadHost(_)
            | Self::NoCompose(_)
            | Self::Host(_)
            | Self::Model(_)
            | Self::State(_)
            | Self::Refused(_)
            | Self::NotInFiles(_)
            | Self::NotBrought(_)
            | Self::ProxyDown { .. }
            | Self::ProxyRefused { .. }
            | Self::KamalState(_)
            | Self::NotSwitched { .. }
            | Self::NoReadyPath(_)
            | Self::NotWatched { .. }
            | Self::NoVolume { .. }
            | Self::NotUp { .. }
            | Self::NoAddress(_)
            | Self::StillMigrating(_)
            | Self::NotOurs(_)
            | Self::NoSpaceSaid { .. }
            | Self::NotDesired(_) => Err(self),
        }
    }
}

impl Hint for ComposeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::BadHost(_) => Some("use `host: ssh://user@host`, or a socket of this machine".to_owned()),
            Self::NoCompose(_) => {
                Some("install Docker's plugin `compose` there, 2.20 or newer".to_owned())
            }
            Self::Model(error) => error.hint(),
            Self::State(error) => error.hint(),
            Self::Refused(error) => error.hint(),
            Self::NotInFiles(name) => Some(format!("add `services.{name}` to them, or name further `files`")),
            Self::NotBrought(_) => Some(
                "put those files on the host, and name the folder that the paths begin at as `target.directory`".to_owned(),
            ),
            Self::ProxyDown { service, .. } => {
                Some(format!("see `docker compose logs {service}`, then start it"))
            }
            Self::ProxyRefused { .. } => {
                Some("correct its configuration; what it had before is in force".to_owned())
            }
            Self::KamalState(error) => error.hint(),
            Self::NotSwitched { proxy, .. } => Some(format!(
                "see `docker compose logs {proxy}`: each container has to answer at its health check path; what was before is in force"
            )),
            Self::NoReadyPath(service) => Some(format!("add `services.{service}.healthcheck.ready` to shipkit.yml")),
            Self::NotWatched { directory, .. } => Some(format!(
                "start it with `--providers.file.directory={directory}`, and do not switch its `watch` off"
            )),
            Self::NoVolume { directory, .. } => Some(format!("mount a named volume at `{directory}`")),
            Self::NotUp { service, .. } => Some(format!("see `docker compose logs {service}`")),
            Self::NoAddress(_) => Some("give it a network".to_owned()),
            Self::StillMigrating(name) => {
                Some(format!("wait for it, or end it with `docker rm --force {name}`"))
            }
            Self::NotOurs(name) => Some(format!("remove it with `docker rm {name}`, or give it another name")),
            Self::NothingBefore(_) => Some("deploy an earlier release by its version".to_owned()),
            Self::Compose { .. } | Self::NoSpaceSaid { .. } | Self::NotDesired(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Engine(error) => error.exit_code(),
            Self::Host(error) => error.exit_code(),
            Self::Model(error) => error.exit_code(),
            Self::State(error) => error.exit_code(),
            Self::KamalState(error) => error.exit_code(),
            Self::Refused(error) => error.exit_code(),
            Self::NoSpaceSaid { .. } => ExitCode::Unknown,
            Self::Compose { is_usage: true, .. }
            | Self::BadHost(_)
            | Self::NoCompose(_)
            | Self::NotInFiles(_)
            | Self::NotBrought(_)
            | Self::NotWatched { .. }
            | Self::NoReadyPath(_)
            | Self::NoVolume { .. }
            | Self::NoAddress(_)
            | Self::NotDesired(_) => ExitCode::Usage,
            Self::Compose { .. }
            | Self::ProxyDown { .. }
            | Self::ProxyRefused { .. }
            | Self::NotSwitched { .. }
            | Self::NotUp { .. }
            | Self::StillMigrating(_)
            | Self::NotOurs(_)
            | Self::NothingBefore(_) => ExitCode::No,
        }
    }
}
