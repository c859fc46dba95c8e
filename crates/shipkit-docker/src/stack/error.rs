//! `StackError`: why stack files are not read or not put in place.

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;
use shipkit_core::stack::BadStackFile;

use crate::error::SwarmError;
use crate::host::HostError;

/// Why stack files are not read or not put in place.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The Swarm cannot be asked, or refused.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// The host does not do what it is told.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The host is one that `docker stack` cannot run on.
    #[error("stack files cannot be deployed to `{0}`: `docker stack` runs where the Docker host is")]
    BadHost(String),
    /// What is called `docker` there does not say what it is.
    #[error("`docker --version` on the Docker host says `{0}`, which is no version")]
    NoVersion(String),
    /// Its `docker` cannot render files. With its major version.
    #[error("`docker` on the Docker host is of version {0}, and `docker stack config` came with 23.0")]
    TooOld(u32),
    /// `docker stack config` refuses the files.
    #[error("`docker stack config` refuses the stack files: {0}")]
    NotRendered(String),
    /// They say what cannot be done, or cannot be understood.
    #[error(transparent)]
    BadFile(#[from] BadStackFile),
    /// The files do not name a service that they need to.
    #[error("the stack files hold no service `{0}`")]
    NotInFiles(String),
    /// Services mount what is not on the host.
    #[error("stack files are brought to the host, and services mount what lies beside them: {0}")]
    NotBrought(String),
    /// Something that others make is not there.
    #[error("{kind} `{name}` does not exist on the Swarm")]
    Missing {
        /// What it is.
        kind: &'static str,
        /// Its full name.
        name: String,
    },
    /// A config is made from a file that has changed.
    #[error("config `{0}` has another content on the Swarm, where none can be changed")]
    ConfigChanged(String),
    /// `docker stack deploy` did not do it.
    #[error("`docker stack deploy` failed: {0}")]
    Refused(String),
}

impl Hint for StackError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Swarm(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::BadFile(error) => error.hint(),
            Self::BadHost(_) => Some("use `host: ssh://user@host`, or a socket of this machine".to_owned()),
            Self::NoVersion(_) | Self::TooOld(_) => {
                Some("install Docker's own client there, 23.0 or newer".to_owned())
            }
            Self::NotInFiles(name) => {
                Some(format!("add `services.{name}` to them, or name further `target.files`"))
            }
            Self::NotBrought(_) => {
                Some("mount absolute paths of the host, volumes or configs in their place".to_owned())
            }
            Self::Missing { kind, name } => {
                Some(format!("create it there: `docker {kind} create {name} ...`"))
            }
            Self::ConfigChanged(_) => {
                Some("give it another `name` in the stack files, as `name: nginx-2`".to_owned())
            }
            Self::NotRendered(_) | Self::Refused(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Swarm(error) => error.exit_code(),
            Self::Host(error) => error.exit_code(),
            Self::BadFile(error) => error.exit_code(),
            Self::BadHost(_)
            | Self::NoVersion(_)
            | Self::TooOld(_)
            | Self::NotRendered(_)
            | Self::NotInFiles(_)
            | Self::NotBrought(_)
            | Self::Missing { .. }
            | Self::ConfigChanged(_) => ExitCode::Usage,
            Self::Refused(_) => ExitCode::No,
        }
    }
}
