//! `Error`: why GitHub did not record a deploy. Callers show it as a warning.

use std::time::Duration;

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;

/// Why GitHub did not record what was asked. No message holds the token, not even if the server sends it back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not `owner/name`.
    #[error("`{0}` is not a repository: it has the form `owner/name`")]
    BadRepository(String),
    /// Not an address that a token may be sent to. The address is not repeated: it may hold a password.
    #[error("the address of GitHub's API {0}")]
    BadApiUrl(&'static str),
    /// No token, or one that no HTTP header can carry.
    #[error("the token for GitHub is empty or has characters that no token has")]
    BadToken,
    /// The HTTP client could not be set up.
    #[error("no connection to GitHub could be prepared: {cause}")]
    Setup {
        /// What the library said.
        cause: String,
    },
    /// 401.
    #[error("GitHub does not accept the token: {message}")]
    WrongToken {
        /// What GitHub said.
        message: String,
    },
    /// 403.
    #[error("the token may not do this in `{repository}`: {message}")]
    NoPermission {
        /// `owner/name`.
        repository: String,
        /// What GitHub said.
        message: String,
    },
    /// 404: GitHub also says so where a token may not know that something exists.
    #[error("GitHub knows no `{path}`, or the token may not see it")]
    NotFound {
        /// The path of the request.
        path: String,
    },
    /// A redirect; it is not followed, because a token goes to the named server only.
    #[error("GitHub sends `{repository}` to another address (status {status})")]
    Moved {
        /// `owner/name`.
        repository: String,
        /// The HTTP status.
        status: u16,
    },
    /// 202 where a deployment was to be created: GitHub merged instead.
    #[error("GitHub merged a branch instead of recording a deployment: {message}")]
    Merged {
        /// What GitHub said.
        message: String,
    },
    /// 409.
    #[error("GitHub records no deployment of this commit because of a conflict: {message}")]
    Conflict {
        /// What GitHub said.
        message: String,
    },
    /// 400 or 422.
    #[error("GitHub refuses the request as invalid: {message}")]
    Invalid {
        /// What GitHub said.
        message: String,
    },
    /// 429, or 403 because of a limit.
    #[error("GitHub's rate limit is used up: {message}")]
    RateLimited {
        /// What GitHub said.
        message: String,
        /// When to ask again, if GitHub said so.
        retry_after: Option<Duration>,
    },
    /// 5xx, after three tries.
    #[error("GitHub has a fault of its own (status {status})")]
    Server {
        /// The HTTP status.
        status: u16,
    },
    /// Any other status.
    #[error("GitHub answered with status {status}: {message}")]
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// An answer that is too long, or not what GitHub promises.
    #[error("GitHub's answer to `{path}` cannot be read: {cause}")]
    Unreadable {
        /// The path of the request.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// No connection, after three tries.
    #[error("GitHub's API at `{host}` cannot be reached: {cause}")]
    Unreachable {
        /// The host and its port.
        host: String,
        /// The innermost reason.
        cause: String,
    },
    /// The time limit for one call of this crate is over.
    #[error("GitHub's API at `{host}` took longer than {} s", limit.as_secs_f32())]
    TooSlow {
        /// The host and its port.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// The success is recorded, but earlier deployments of the environment are still shown as active.
    #[error(
        "the success is recorded, but {turned} earlier deployments of `{environment}` were made inactive, not all"
    )]
    Earlier {
        /// The environment.
        environment: String,
        /// How many were made inactive.
        turned: usize,
        /// What stopped it.
        #[source]
        cause: Box<Self>,
    },
}

impl Error {
    /// Whether the same request may well work a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Server { .. } | Self::Unreachable { .. })
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::BadToken => Some("give the job's own token, `${{ github.token }}`".to_owned()),
            Self::NoPermission { .. } => Some("give the job `permissions: deployments: write`".to_owned()),
            Self::NotFound { .. } => Some(
                "check the repository's name, and give the job `permissions: deployments: write`".to_owned(),
            ),
            Self::RateLimited { retry_after: Some(wait), .. } => {
                Some(format!("GitHub takes requests again in {} s", wait.as_secs()))
            }
            Self::Earlier { .. } => Some("the next successful deploy goes on with them".to_owned()),
            Self::BadRepository(_)
            | Self::BadApiUrl(_)
            | Self::Setup { .. }
            | Self::WrongToken { .. }
            | Self::Moved { .. }
            | Self::Merged { .. }
            | Self::Conflict { .. }
            | Self::Invalid { .. }
            | Self::RateLimited { retry_after: None, .. }
            | Self::Server { .. }
            | Self::Unexpected { .. }
            | Self::Unreadable { .. }
            | Self::Unreachable { .. }
            | Self::TooSlow { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::BadRepository(_) | Self::BadApiUrl(_) | Self::BadToken => ExitCode::Usage,
            Self::Setup { .. }
            | Self::WrongToken { .. }
            | Self::NoPermission { .. }
            | Self::NotFound { .. }
            | Self::Moved { .. }
            | Self::Merged { .. }
            | Self::Conflict { .. }
            | Self::Invalid { .. }
            | Self::RateLimited { .. }
            | Self::Server { .. }
            | Self::Unexpected { .. }
            | Self::Unreadable { .. }
            | Self::Unreachable { .. }
            | Self::TooSlow { .. }
            | Self::Earlier { .. } => ExitCode::Unknown,
        }
    }
}
