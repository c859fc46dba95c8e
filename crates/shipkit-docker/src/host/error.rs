//! `HostError`: why a host does not do what it is told.

use std::path::PathBuf;
use std::time::Duration;

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;
use shipkit_core::journal::JournalError;
use shipkit_core::lease::BadLease;

use crate::ssh::SshError;

/// Why a host does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The host is not reached over SSH, or runs nothing.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// Nobody knows where the user's folder is.
    #[error("the folder of the user {host} is not known: `HOME` is no absolute path")]
    NoHome {
        /// Where: `on this machine`.
        host: String,
    },
    /// A program is not on this machine, as in the image of the action, which holds nothing else.
    #[error("there is no program `{program}` where this runs")]
    NotHere {
        /// The program.
        program: String,
    },
    /// A program is not on the server.
    #[error("there is no program `{program}` on `{host}`")]
    NotThere {
        /// The server.
        host: String,
        /// The program.
        program: String,
    },
    /// A program on this machine does not start.
    #[error("`{program}` cannot be started: {reason}")]
    NotStarted {
        /// The program.
        program: String,
        /// What happened.
        reason: String,
    },
    /// A program on this machine did not end in time, and was killed.
    #[error("`{program}` did not end within {} s", .limit.as_secs_f32())]
    TooSlow {
        /// The program.
        program: String,
        /// What it had.
        limit: Duration,
    },
    /// A path that is none of a file.
    #[error("`{0}` is not the absolute path of a file")]
    BadPath(String),
    /// Something could not be done.
    #[error("could not {what} {host}: {reason}")]
    Failed {
        /// Where: `on this machine`.
        host: String,
        /// What was tried, with the path.
        what: String,
        /// What the host said.
        reason: String,
    },
    /// A file is larger than it may be.
    #[error("`{path}` {host} is larger than {limit} bytes")]
    TooLarge {
        /// Where: `on this machine`.
        host: String,
        /// The file.
        path: String,
        /// The most that is read, in bytes.
        limit: usize,
    },
    /// A file of the project cannot be read.
    #[error("`{}` cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// A file of the project is a link to something outside of it.
    #[error("`{path}` is a link out of the project's folder")]
    LeadsOut {
        /// The file.
        path: String,
    },
    /// A variable that cannot be given to a command.
    #[error("`{0}` cannot be a variable of a command: its name or its value does not fit")]
    BadVariable(String),
    /// What should be a lease is none.
    #[error("`{path}` {host} is no lease")]
    BadLease {
        /// Where: `on this machine`.
        host: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        source: BadLease,
    },
    /// What should be a journal is none, or says that somebody must look.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another run has the lease now.
    #[error("another run has the lease on stack `{0}` now")]
    LeaseLost(String),
}

impl Hint for HostError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Ssh(error) => error.hint(),
            Self::NotHere { .. } => Some(
                "run this on the Docker host itself, where `org/shipkit/setup` puts the programs of shipkit, or give \
                 `target.host` as `ssh://user@host`"
                    .to_owned(),
            ),
            Self::NotThere { host, program } => {
                Some(format!("install it on `{host}`, so that `ssh {host} {program}` finds it"))
            }
            Self::NoHome { .. } => Some("set `HOME`".to_owned()),
            Self::BadLease { path, .. } => {
                Some(format!("if no other run is under way, delete `{path}` there"))
            }
            Self::Journal(error) => error.hint(),
            Self::LeaseLost(_) => Some("see what it does, then try again".to_owned()),
            Self::LeadsOut { .. } => Some("put the file itself there".to_owned()),
            Self::BadVariable(_) => {
                Some("names are letters, digits and `_`, and no value has a NUL byte".to_owned())
            }
            Self::NotStarted { .. }
            | Self::TooSlow { .. }
            | Self::BadPath(_)
            | Self::Unreadable { .. }
            | Self::Failed { .. }
            | Self::TooLarge { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Ssh(error) => error.exit_code(),
            Self::BadLease { source, .. } => source.exit_code(),
            Self::Journal(error) => error.exit_code(),
            Self::NoHome { .. }
            | Self::NotHere { .. }
            | Self::NotThere { .. }
            | Self::BadPath(_)
            | Self::Unreadable { .. }
            | Self::LeadsOut { .. }
            | Self::BadVariable(_) => ExitCode::Usage,
            Self::NotStarted { .. }
            | Self::TooSlow { .. }
            | Self::Failed { .. }
            | Self::TooLarge { .. }
            | Self::LeaseLost(_) => ExitCode::Unknown,
        }
    }
}
