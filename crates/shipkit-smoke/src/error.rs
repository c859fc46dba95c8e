//! `SmokeError`: what keeps checks from being asked at all. What the target answers is never an error, but an outcome.

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;

/// Why nothing could be asked.
#[derive(Debug, thiserror::Error)]
pub enum SmokeError {
    /// The certificates to trust cannot be read.
    #[error("the file with certificates to trust is no PEM file with certificates: {0}")]
    Certificates(String),
    /// The HTTP client could not be made.
    #[error("the HTTP client could not start: {0}")]
    Client(String),
    /// A path or address of a check is none.
    #[error("check `{check}` asks `{address}`, which is no path and no http address: {why}")]
    Address {
        /// The name of the check.
        check: String,
        /// What stands there.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// What a check should connect to is no host with a port.
    #[error("check `{check}` connects to `{address}`, which is no `host:port`")]
    Endpoint {
        /// The name of the check.
        check: String,
        /// What stands there.
        address: String,
    },
    /// There is no TLS where a check asks for it.
    #[error("check `{check}` asks for the TLS of `{address}`, which is no https address")]
    NoTls {
        /// The name of the check.
        check: String,
        /// The base address.
        address: String,
    },
    /// A check cannot be sent as it stands.
    #[error("check `{check}` has a header `{header}` that HTTP does not allow")]
    Header {
        /// The name of the check.
        check: String,
        /// The name of the header.
        header: String,
    },
    /// Checks that this version cannot run: found before anything is changed.
    #[error("this version cannot run {}", .0.join(", "))]
    Unsupported(Vec<String>),
    /// A check for the running release does not say which service it asks, or one that was not built.
    #[error(
        "check `{check}` asks for the running release of no service that was built; the release has {services}"
    )]
    WhichService {
        /// The name of the check.
        check: String,
        /// The services of the release.
        services: String,
    },
    /// A check for the running release, but nobody said which release it should be.
    #[error("check `{0}` asks for the running release, and no release to compare it with is known")]
    WhichRelease(String),
    /// What should be the address of Prometheus is none. It may hold a password, and is not repeated.
    #[error("the address of Prometheus is no http address")]
    Prometheus,
    /// A rate at which nothing would be asked, or more than this program can send.
    #[error("a rate of {0} requests a second cannot be held: it is between 1 and 2000")]
    Rate(u32),
}

impl Hint for SmokeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported(_) => Some(
                "checks that run today: `get`, `page`, `post`, `rate_limit`, `redirect`, `release`, `security_headers`, `socketio`, `tcp`, `tls`, `ws`; remove the others"
                    .to_owned(),
            ),
            Self::WhichService { .. } => Some("name the service: `service: api`".to_owned()),
            Self::WhichRelease(_) => Some("give the commit, version or digest as `release`".to_owned()),
            Self::Certificates(_)
            | Self::Client(_)
            | Self::Address { .. }
            | Self::Endpoint { .. }
            | Self::NoTls { .. }
            | Self::Header { .. }
            | Self::Prometheus
            | Self::Rate(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(_) => ExitCode::Unknown,
            Self::Certificates(_)
            | Self::Address { .. }
            | Self::Endpoint { .. }
            | Self::NoTls { .. }
            | Self::Header { .. }
            | Self::Unsupported(_)
            | Self::WhichService { .. }
            | Self::WhichRelease(_)
            | Self::Prometheus
            | Self::Rate(_) => ExitCode::Usage,
        }
    }
}
