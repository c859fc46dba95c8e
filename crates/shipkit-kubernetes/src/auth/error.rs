//! `AuthError`: why there is no token for a cluster.

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;

/// What a cloud is asked to do on the way to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// GitHub: the identity token of the job.
    Identity,
    /// AWS: keys of a role.
    AssumeRole,
    /// AWS: where a cluster is.
    DescribeCluster,
    /// Google: an access token for an identity token of somebody else.
    Exchange,
    /// Google: an access token of a service account.
    Impersonate,
    /// Google: an access token for a signed request.
    Grant,
    /// Google: where a cluster is.
    GetCluster,
    /// Entra ID: a token for AKS.
    Entra,
}

/// Why there is no token for a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Nobody answers, or not in time.
    #[error("`{host}` does not answer when asked to {}: {reason}", step.what())]
    NoAnswer {
        /// Whom it was asked.
        host: String,
        /// For what.
        step: Step,
        /// What happened.
        reason: String,
    },
    /// The cloud refused.
    #[error("`{host}` refused to {}: {said} (status {status})", step.what())]
    Refused {
        /// Who refused.
        host: String,
        /// What.
        step: Step,
        /// The HTTP status.
        status: u16,
        /// Its own code and words.
        said: String,
    },
    /// What came is not what such a step answers.
    #[error("`{host}` was asked to {}, and its answer has no {lacks}", step.what())]
    Garbled {
        /// Who answered.
        host: String,
        /// What it was asked.
        step: Step,
        /// What is missing in it.
        lacks: &'static str,
    },
    /// Credentials that cannot be used at all.
    #[error("{what} cannot be used: {why}")]
    BadCredentials {
        /// Which.
        what: String,
        /// Why not.
        why: String,
    },
    /// The cloud is not asked where its clusters are.
    #[error("it is not said where the cluster is")]
    NoServer,
    /// There can be no connection at all.
    #[error("no connection can be made: {0}")]
    Client(String),
}

/// The status of what is not there.
const NOT_FOUND: u16 = 404;

impl Step {
    fn what(self) -> &'static str {
        match self {
            Self::Identity => "give an identity token to this job",
            Self::AssumeRole => "give keys of the role",
            Self::DescribeCluster | Self::GetCluster => "say where the cluster is",
            Self::Exchange => "take the identity token of this job",
            Self::Impersonate => "give a token of the service account",
            Self::Grant => "give a token for the key of the service account",
            Self::Entra => "give a token for AKS",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Identity => "the job needs `permissions: id-token: write`: `ship-oidc.yml` has it",
            Self::AssumeRole => {
                "the role's trust policy must name GitHub's provider and this repository, and `role` the role"
            }
            Self::DescribeCluster => {
                "allow it `eks:DescribeCluster`, or give `target.server` and `target.ca`"
            }
            Self::Exchange => {
                "`workload_identity_provider` must be one for GitHub whose condition admits this repository"
            }
            Self::Impersonate => {
                "the repository's principal needs `roles/iam.workloadIdentityUser` on the service account"
            }
            Self::Grant => "make a new key for the service account, or use `workload_identity_provider`",
            Self::GetCluster => {
                "allow it `container.clusters.get` (`roles/container.clusterViewer`), or give `target.server` and \
                 `target.ca`"
            }
            Self::Entra => {
                "the application needs a federated credential for this repository and environment, or a secret that \
                 has not expired"
            }
        }
    }
}

impl AuthError {
    /// Whether the same may work a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500..),
            Self::Garbled { .. } | Self::BadCredentials { .. } | Self::NoServer | Self::Client(_) => false,
        }
    }
}

impl Hint for AuthError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { step, .. } if !self.is_passing() => Some(step.hint().to_owned()),
            Self::NoServer => Some(
                "give `target.server` and `target.ca`, or a kubeconfig; GKE finds its own by `cluster`"
                    .to_owned(),
            ),
            Self::NoAnswer { .. }
            | Self::Refused { .. }
            | Self::Garbled { .. }
            | Self::BadCredentials { .. }
            | Self::Client(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            // A cluster that the cloud does not know is a name that was written wrongly.
            Self::Refused { status: NOT_FOUND, step: Step::DescribeCluster | Step::GetCluster, .. }
            | Self::BadCredentials { .. }
            | Self::NoServer => ExitCode::Usage,
            Self::Refused { .. } | Self::NoAnswer { .. } | Self::Garbled { .. } | Self::Client(_) => {
                ExitCode::Unknown
            }
        }
    }
}
