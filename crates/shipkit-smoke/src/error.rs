//! `SmokeError`: what keeps checks from being asked at all. What the target answers is never an error, but an outcome.

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;

use crate::kinds::kinds;

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
    /// A check asks name servers about what is no name.
    #[error("check `{check}` asks name servers about `{host}`, which is no name")]
    NoName {
        /// The name of the check.
        check: String,
        /// What there is in place of a name.
        host: String,
    },
    /// A check asks the name servers of this machine, and it says of none.
    #[error("check `{check}` asks the name servers of this machine, and {why}")]
    NameServers {
        /// The name of the check.
        check: String,
        /// What is wrong with where it should say so.
        why: String,
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
    /// A check uses a name that nobody knows.
    #[error("check `{check}`{} uses `${{{variable}}}`, which no check captures and no environment variable has", place(*line))]
    Variable {
        /// The name of the check.
        check: String,
        /// Where it stands.
        line: Option<u64>,
        /// The name.
        variable: String,
    },
    /// A check has a variable that is none.
    #[error("check `{check}`{} has a `${{` that no name with a `}}` follows", place(*line))]
    Broken {
        /// The name of the check.
        check: String,
        /// Where it stands.
        line: Option<u64>,
    },
    /// The value of a variable is no part of a path.
    #[error("`${{{name}}}` in the path of check `{check}` is empty, `.` or `..`, which is no part of a path")]
    Part {
        /// The name of the check.
        check: String,
        /// The name of the variable.
        name: String,
    },
    /// Two checks capture the same name.
    #[error("check `{check}`{} captures `{name}`, and so does `{other}`", place(*line))]
    CapturedTwice {
        /// The name of the second check.
        check: String,
        /// Where it stands.
        line: Option<u64>,
        /// What it captures.
        name: String,
        /// The name of the first check.
        other: Box<str>,
    },
    /// Checks that wait for each other.
    #[error("checks wait for what each other capture: {0}")]
    Circle(String),
    /// What a check captures is at no place.
    #[error("check `{check}`{} captures from nowhere: {why}", place(*line))]
    Capture {
        /// The name of the check.
        check: String,
        /// Where it stands.
        line: Option<u64>,
        /// What is wrong with the place.
        why: String,
    },
    /// What a check expects cannot be compared with anything.
    #[error("check `{check}`{} expects what cannot be compared: {why}", place(*line))]
    Expected {
        /// The name of the check.
        check: String,
        /// Where it stands.
        line: Option<u64>,
        /// What is wrong with it.
        why: String,
    },
    /// A file that a check needs cannot be read.
    #[error("check `{check}`{} needs the file `{file}`, which cannot be read: {why}", place(*line))]
    File {
        /// The name of the check.
        check: String,
        /// Where it stands.
        line: Option<u64>,
        /// The file.
        file: Box<str>,
        /// What is wrong with it.
        why: String,
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
    /// A program that a check runs is not on this machine.
    #[error("check `{check}` needs `{program}`, which is not here")]
    NotHere {
        /// The name of the check.
        check: String,
        /// The program.
        program: &'static str,
    },
    /// What should be the address of Prometheus is none. It may hold a password, and is not repeated.
    #[error("the address of Prometheus is no http address")]
    Prometheus,
    /// What a check looks for in metrics is no series.
    #[error("check `{check}` looks for `{series}`, which is neither `name` nor `name{{label=\"value\"}}`")]
    Series {
        /// The name of the check.
        check: String,
        /// What stands there.
        series: String,
    },
    /// A check asks Prometheus, and nobody said where it is.
    #[error("check `{0}` asks Prometheus, and no address of it is known")]
    WherePrometheus(String),
    /// A rate at which nothing would be asked, or more than this program can send.
    #[error("a rate of {0} requests a second cannot be held: it is between 1 and 2000")]
    Rate(u32),
}

impl Hint for SmokeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported(_) => {
                let kinds = kinds();
                let known: Vec<_> = kinds.iter().map(|known| format!("`{}`", known.kind)).skip(1).collect();
                Some(format!("checks that run today: {}; remove the others", known.join(", ")))
            }
            Self::WhichService { .. } => Some("name the service: `service: api`".to_owned()),
            Self::NoName { .. } => Some("name the host: `dns: shop.example.com`".to_owned()),
            Self::NameServers { .. } => Some("name them: `resolvers: [192.0.2.53]`".to_owned()),
            Self::WherePrometheus(_) => Some(
                "`analysis.prometheus` of the environment says it; one at `service://` is asked by `analysis` alone".to_owned(),
            ),
            Self::NotHere { .. } => Some(
                "the image of the action holds no other program: run it on the host, where `org/shipkit/setup` puts this one".to_owned(),
            ),
            Self::WhichRelease(_) => Some("give the commit, version or digest as `release`".to_owned()),
            Self::Variable { variable, .. } => {
                Some(format!("set the environment variable `{variable}` for this step"))
            }
            Self::Broken { .. } => Some("write `$${` where the text has a `${`".to_owned()),
            Self::Certificates(_)
            | Self::Client(_)
            | Self::Address { .. }
            | Self::Endpoint { .. }
            | Self::NoTls { .. }
            | Self::Header { .. }
            | Self::Part { .. }
            | Self::CapturedTwice { .. }
            | Self::Circle(_)
            | Self::Capture { .. }
            | Self::Expected { .. }
            | Self::File { .. }
            | Self::Series { .. }
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
            | Self::NoName { .. }
            | Self::NameServers { .. }
            | Self::NoTls { .. }
            | Self::Header { .. }
            | Self::Variable { .. }
            | Self::Broken { .. }
            | Self::Part { .. }
            | Self::CapturedTwice { .. }
            | Self::Circle(_)
            | Self::Capture { .. }
            | Self::Expected { .. }
            | Self::File { .. }
            | Self::Series { .. }
            | Self::Unsupported(_)
            | Self::WhichService { .. }
            | Self::WhichRelease(_)
            | Self::WherePrometheus(_)
            | Self::NotHere { .. }
            | Self::Prometheus
            | Self::Rate(_) => ExitCode::Usage,
        }
    }
}

/// Where a check stands, if that is known.
fn place(line: Option<u64>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}
