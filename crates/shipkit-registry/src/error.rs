//! `Error`: why a registry did not do what it was asked, one variant per cause.

use std::path::PathBuf;

use shipkit_core::evidence::BadEvidence;
use shipkit_core::exit::ExitCode;
use shipkit_core::reference::BadName;
use shipkit_core::{Digest, Hint, Repository, Tag};

use crate::manifest::NotAManifest;

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 401 or 403, also from the registry's token server.
    #[error("`{registry}` refused {what}: {why}")]
    Denied {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
        /// What the registry said.
        why: String,
    },
    /// The registry answered, and says there is no such thing.
    #[error("`{registry}` does not have {what}")]
    NotFound {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// Other bytes than the digest or size names, five times in a row.
    #[error("`{registry}` served other bytes than {what}: {found}")]
    WrongBytes {
        /// Host and port.
        registry: String,
        /// What was asked for, with its digest.
        what: String,
        /// What the bytes are.
        found: String,
    },
    /// No connection, a connection that broke, or silence.
    #[error("`{registry}` could not be reached for {what}: {why}")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
        /// The cause on the wire.
        why: String,
    },
    /// Any other status.
    #[error("`{registry}` answered {status} to {what}: {why}")]
    Status {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the registry said, with its request id.
        why: String,
    },
    /// The registry wants a longer pause than the deadline allows.
    #[error("`{registry}` wants a pause of {seconds} s before {what}, longer than the deadline allows")]
    Busy {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
        /// The pause it asks for.
        seconds: u64,
    },
    /// More bytes than anything of this kind may have.
    #[error("{what} at `{registry}` is larger than {limit} bytes")]
    TooLarge {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The registry does not keep to the distribution-spec, or would have us do something unsafe.
    #[error("`{registry}` gave an answer for {what} that cannot be used: {why}")]
    Protocol {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The bytes are those of the digest, but no manifest that we can use.
    #[error("{what} at `{registry}` is not usable")]
    Manifest {
        /// Host and port.
        registry: String,
        /// What was asked for.
        what: String,
        /// Why.
        source: NotAManifest,
    },
    /// An image was wanted, and an index found, or the reverse.
    #[error("`{repository}@{digest}` is {found}, where {wanted} is needed")]
    WrongKind {
        /// Where.
        repository: Repository,
        /// Which.
        digest: Digest,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A permanent tag already names something else.
    #[error("the tag `{tag}` of `{repository}` is permanent and names `{found}`, not `{wanted}`")]
    Taken {
        /// Where.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// What it names.
        found: Digest,
        /// What it was to name.
        wanted: Digest,
    },
    /// Somebody else moved the tag between our write and our read.
    #[error("the tag `{tag}` of `{repository}` was written as `{wanted}` and names {found} now")]
    Overwritten {
        /// Where.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// What it names now.
        found: String,
        /// What we wrote.
        wanted: Digest,
    },
    /// The registry accepted evidence and does not show it.
    #[error("`{repository}` accepted the evidence `{evidence}` on `{subject}` and does not list it")]
    Lost {
        /// Where.
        repository: Repository,
        /// What the evidence is about.
        subject: Digest,
        /// The manifest of the evidence.
        evidence: Digest,
    },
    /// Evidence of ours that cannot be read: never the same as no evidence.
    #[error("the evidence `{evidence}` in `{repository}` is not usable")]
    BadEvidence {
        /// Where.
        repository: Repository,
        /// The manifest of the evidence.
        evidence: Digest,
        /// Why.
        source: BadEvidence,
    },
    /// More referrers than we are ready to read.
    #[error("`{subject}` in `{repository}` has more than {limit} referrers")]
    TooManyReferrers {
        /// Where.
        repository: Repository,
        /// The subject.
        subject: Digest,
        /// The limit.
        limit: usize,
    },
    /// The artifact is not a release of ours.
    #[error("`{repository}@{digest}` is not a release: {why}")]
    NotARelease {
        /// Where.
        repository: Repository,
        /// Which.
        digest: Digest,
        /// Why not.
        why: String,
    },
    /// A name that can be no release.
    #[error("`{0}` names no release: it is neither a digest, nor a full commit, nor a version")]
    NotAReleaseName(String),
    /// A name that a registry cannot have.
    #[error(transparent)]
    Name(BadName),
    /// Docker's configuration is there and cannot be read.
    #[error("`{}` cannot be used: {why}", path.display())]
    DockerConfig {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A credential helper of Docker's configuration does not say who we are.
    #[error("the credential helper `{program}` gives no login for `{registry}`: {why}")]
    Helper {
        /// `docker-credential-...`.
        program: String,
        /// Host and port.
        registry: String,
        /// Why not; never what it printed.
        why: String,
    },
    /// The HTTP client cannot be made.
    #[error("no HTTP client can be made: {0}")]
    Client(String),
}

impl Error {
    /// Whether the registry answered that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl Hint for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { registry, .. } => Some(format!(
                "give a user name and password for `{registry}` that may do this (inputs `registry-username` and \
                 `registry-password`, for a mirror `mirror-logins`, or `docker login`)"
            )),
            Self::Helper { registry, .. } => Some(format!(
                "give a user name and password for `{registry}` (inputs `registry-username` and \
                 `registry-password`, for a mirror `mirror-logins`), or repair the helper that Docker's `config.json` names"
            )),
            Self::WrongBytes { registry, .. } => Some(format!(
                "do not use this image: `{registry}`, or something between here and it, changes what it serves"
            )),
            Self::Unreachable { registry, .. } => {
                Some(format!("check that `{registry}` is up and reachable from here"))
            }
            Self::Taken { .. } => {
                Some("a permanent tag never changes: release this commit under a new version".to_owned())
            }
            Self::Overwritten { .. } => {
                Some("another run writes the same tag: let one `concurrency` group run both".to_owned())
            }
            Self::BadEvidence { evidence, .. } => {
                Some(format!("write the evidence again and delete the manifest `{evidence}`"))
            }
            Self::NotFound { .. }
            | Self::Status { .. }
            | Self::Busy { .. }
            | Self::TooLarge { .. }
            | Self::Protocol { .. }
            | Self::Manifest { .. }
            | Self::WrongKind { .. }
            | Self::Lost { .. }
            | Self::TooManyReferrers { .. }
            | Self::NotARelease { .. }
            | Self::NotAReleaseName(_)
            | Self::Name(_)
            | Self::DockerConfig { .. }
            | Self::Client(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Taken { .. } => ExitCode::No,
            Self::NotAReleaseName(_) | Self::Name(_) | Self::DockerConfig { .. } => ExitCode::Usage,
            Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::WrongBytes { .. }
            | Self::Unreachable { .. }
            | Self::Status { .. }
            | Self::Busy { .. }
            | Self::TooLarge { .. }
            | Self::Protocol { .. }
            | Self::Manifest { .. }
            | Self::WrongKind { .. }
            | Self::Overwritten { .. }
            | Self::Lost { .. }
            | Self::BadEvidence { .. }
            | Self::TooManyReferrers { .. }
            | Self::NotARelease { .. }
            | Self::Helper { .. }
            | Self::Client(_) => ExitCode::Unknown,
        }
    }
}
