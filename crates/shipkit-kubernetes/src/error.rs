//! `ClusterError`: why a cluster cannot be asked or does not do what it is asked.

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;
use shipkit_core::journal::JournalError;
use shipkit_core::lease::BadLease;
use shipkit_core::manifests::{BadManifests, BadRecord, Kind};

use crate::auth::AuthError;
use crate::secrets::SecretName;

/// Why a cluster cannot be asked or does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig cannot be read, or names something that it does not hold.
    #[error("the kubeconfig cannot be used: {0}")]
    BadKubeconfig(String),
    /// Neither a kubeconfig is given, nor is this a pod of a cluster.
    #[error("no cluster is named: there is no kubeconfig, and this is not a pod of a cluster")]
    NoAccess,
    /// The kubeconfig wants a program that gives it credentials, and that does not run here.
    #[error("the credentials cannot be had: {0}")]
    NoCredentials(String),
    /// That program is not here.
    #[error("the kubeconfig has its credentials from the program `{0}`, which is not here")]
    NoProgram(String),
    /// A cloud gives no token.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The server cannot be connected to as it is named.
    #[error("the server cannot be used: {0}")]
    BadServer(String),
    /// Nobody answers, or not in time.
    #[error("no answer from the cluster at `{server}`: {reason}")]
    NoAnswer {
        /// Its address.
        server: String,
        /// What happened.
        reason: String,
    },
    /// The cluster does not know who is asking.
    #[error("the cluster at `{0}` does not accept these credentials")]
    Unknown(String),
    /// The credentials may not do all that is needed.
    #[error("these credentials may not, in namespace `{namespace}`: {}", missing.join(", "))]
    Forbidden {
        /// The namespace.
        namespace: String,
        /// What they may not: each a verb and a resource.
        missing: Vec<String>,
    },
    /// There is no such namespace.
    #[error("there is no namespace `{0}`")]
    NoNamespace(String),
    /// Services have no Kubernetes deployment: all of them.
    #[error("namespace `{namespace}` has no deployment {}", quoted(names))]
    NoDeployment {
        /// The namespace.
        namespace: String,
        /// The names that were looked for.
        names: Vec<String>,
    },
    /// A Kubernetes deployment has no such container.
    #[error("deployment `{deployment}` has no container `{container}`, only {}", quoted(there))]
    NoContainer {
        /// The Kubernetes deployment.
        deployment: String,
        /// The container that was looked for.
        container: String,
        /// Those that it has.
        there: Vec<String>,
    },
    /// Somebody paused it, so that no pod would be replaced.
    #[error("deployment `{0}` is paused: no pod would be replaced")]
    Paused(String),
    /// The manifests cannot be deployed.
    #[error(transparent)]
    Manifests(#[from] BadManifests),
    /// A release cannot be recorded, or what lies there is no record.
    #[error(transparent)]
    Record(#[from] BadRecord),
    /// The objects of a release are not recorded any more.
    #[error("secret `{0}`, in which its objects were recorded, is not there any more")]
    NoRecord(String),
    /// Others have written fields that the manifests set to something else.
    #[error("others own fields that the manifests set: {}", conflicts(.0))]
    Conflicts(Vec<Conflict>),
    /// Nobody but a person would ever replace their pods.
    #[error("{}", .0.join("; "))]
    NeverEnds(Vec<String>),
    /// A kind whose definition was just applied is not served yet.
    #[error("the cluster does not serve {0} although its definition is there")]
    NotServed(Kind),
    /// A Service without slots sends requests to several deployments, and could not be held at one of them.
    #[error(
        "Service `{service}` sends requests to several deployments ({}), so it cannot go from them to a slot of its own",
        quoted(deployments)
    )]
    ManyBehind {
        /// The Service.
        service: String,
        /// The deployments.
        deployments: Vec<String>,
    },
    /// Requests would be lost.
    #[error("Service `{service}` was not changed: no pod with `{selector}` is ready")]
    NobodyThere {
        /// The Service.
        service: String,
        /// The labels that it would select.
        selector: String,
    },
    /// The cluster does not send requests where a Service says.
    #[error(
        "Service `{service}` has changed, and within {within} s the cluster did not send its requests to the new pods alone"
    )]
    NotShifted {
        /// The Service.
        service: String,
        /// How long that was waited for, in seconds.
        within: u64,
    },
    /// A route is not carried out as it is.
    #[error("the requests of `{route}` are not shared as it says: {reason}")]
    NotTaken {
        /// The route.
        route: String,
        /// What its gateways say.
        reason: String,
    },
    /// No port of this machine could be opened that leads to a pod.
    #[error("no port of this machine could be opened that leads to a pod: {0}")]
    NoPort(String),
    /// Secrets that the environment names do not exist: all of them.
    #[error("secrets do not exist in the namespace: {}", listed(.0))]
    MissingSecrets(Vec<SecretName>),
    /// The cluster refused a request.
    #[error("the cluster refused to {what}: {message} (status {status})")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// Somebody else deployed after it was first read.
    #[error("deployment `{0}` was changed by another deploy at the same time")]
    Overtaken(String),
    /// It does not remember a good release, or what it remembers cannot be read.
    #[error("deployment `{0}` remembers no good release to go back to")]
    NothingBefore(String),
    /// What lies there is not a lease.
    #[error(transparent)]
    BadLease(#[from] BadLease),
    /// What lies there is not a journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The job of another release has not ended.
    #[error("job `{0}` of another release has not ended")]
    StillRuns(String),
    /// Another run has the lease now.
    #[error("the lease `{0}` belongs to another run by now")]
    LeaseLost(String),
    /// The lease was changed by others between every look and every change.
    #[error("the lease `{0}` is changed by others again and again")]
    Restless(String),
    /// A plan names a service that is not desired, or that the cluster was not told about.
    #[error("the plan names service `{0}`, which is not desired")]
    NotDesired(String),
}

/// A field that is set by the manifests, and that somebody else has set to something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The object.
    pub object: String,
    /// The field.
    pub field: String,
    /// Whose it is, in the cluster's own words.
    pub owner: String,
}

impl Conflict {
    /// Whether shipkit has set it itself, on the way from one state to another.
    pub(crate) fn is_ours(&self) -> bool {
        self.owner.starts_with("\"shipkit")
    }
}

/// The status that says that an object was changed since it was read.
pub(crate) const CONFLICT: u16 = 409;
/// The status that says that an object is not there.
pub(crate) const NOT_FOUND: u16 = 404;
/// The status that says that an object would not be a valid one, or is not as a JSON patch says.
pub(crate) const INVALID: u16 = 422;
/// The status that says that credentials are not known.
const UNKNOWN: u16 = 401;
/// The status that says that credentials do not suffice.
const FORBIDDEN: u16 = 403;

impl ClusterError {
    /// What went wrong while `what` was asked of `server`.
    pub(crate) fn of(error: &kube::Error, what: &str, server: &str, namespace: &str) -> Self {
        if let kube::Error::Auth(error) = error {
            return Self::NoCredentials(causes(error));
        }
        if let kube::Error::Service(error) = error
            && let Some(error) = error.downcast_ref::<AuthError>()
        {
            // It may work a moment later, as if the cluster itself were silent.
            return if error.is_passing() {
                Self::NoAnswer { server: server.to_owned(), reason: format!("no new token: {error}") }
            } else {
                Self::Auth(error.clone())
            };
        }
        let kube::Error::Api(status) = error else {
            return Self::NoAnswer { server: server.to_owned(), reason: causes(error) };
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let conflicts: Vec<Conflict> = causes
            .filter(|cause| cause.reason == "FieldManagerConflict")
            .map(|cause| Conflict {
                object: what.to_owned(),
                field: cause.field.clone(),
                owner: cause.message.trim_start_matches("conflict with ").to_owned(),
            })
            .collect();
        match status.code {
            CONFLICT if !conflicts.is_empty() => Self::Conflicts(conflicts),
            UNKNOWN => Self::Unknown(server.to_owned()),
            // A quota forbids in other words.
            FORBIDDEN if status.message.contains("cannot") => {
                Self::Forbidden { namespace: namespace.to_owned(), missing: vec![what.to_owned()] }
            }
            code => {
                // The API server calls it an error of its own that a field has a value of the wrong type.
                let is_wrong = status.message.contains("failed to create typed patch object");
                let code = if is_wrong { INVALID } else { code };
                let said = if status.message.is_empty() { "it does not say why" } else { &status.message };
                let message = said.chars().take(1000).collect();
                Self::Refused { what: what.to_owned(), status: code, message }
            }
        }
    }

    /// Whether the object is gone that something was asked of, or another one has its name.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.status(), Some(NOT_FOUND | CONFLICT))
    }

    /// The HTTP status, if the cluster answered with one that has no words of its own here.
    pub(crate) fn status(&self) -> Option<u16> {
        if let Self::Refused { status, .. } = self { Some(*status) } else { None }
    }
}

/// The innermost cause: the outer ones only name the layers of the client.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The last line of what a program said, to end a sentence with.
pub(crate) fn last_line(said: &str) -> String {
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    last.map(|line| format!(": {}", line.trim().chars().take(300).collect::<String>())).unwrap_or_default()
}

fn conflicts(conflicts: &[Conflict]) -> String {
    let one = |one: &Conflict| format!("{} of `{}` ({})", one.field, one.object, one.owner);
    conflicts.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn listed(names: &[SecretName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Hint for ClusterError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::BadKubeconfig(_) => {
                Some("give its text or its path, and a context that it holds".to_owned())
            }
            Self::NoAccess => {
                Some("give a kubeconfig with `--kubeconfig`, or `target.server` in shipkit.yml".to_owned())
            }
            Self::NoCredentials(_) => {
                Some("use a kubeconfig with a token, or run on the host where that program is".to_owned())
            }
            Self::NoProgram(_) => Some(
                "`target.auth` in shipkit.yml needs none for EKS, GKE and AKS; else use a kubeconfig with a token, or run on \
                 the host where that program is"
                    .to_owned(),
            ),
            Self::Auth(error) => error.hint(),
            Self::Unknown(_) => Some(
                "the token may have expired, or nobody has told the cluster whose it is (on EKS by an access entry)"
                    .to_owned(),
            ),
            Self::Forbidden { .. } => {
                Some("give its user the role that the README of deploy-promote shows".to_owned())
            }
            Self::NoNamespace(_) => Some("`target.namespace` of the environment names it".to_owned()),
            Self::NoDeployment { .. } => {
                Some("create it once, or name it with `kubernetes.deployment` of the service".to_owned())
            }
            Self::NoContainer { .. } => Some("name it with `kubernetes.container` of the service".to_owned()),
            Self::Paused(name) => Some(format!("`kubectl rollout resume deployment/{name}`")),
            Self::MissingSecrets(names) => names.first().map(SecretName::hint),
            Self::Overtaken(_) => Some("look at the status, then deploy again".to_owned()),
            Self::NothingBefore(_) | Self::NoRecord(_) => Some("deploy an earlier release by its version".to_owned()),
            Self::BadLease(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::Manifests(error) => error.hint(),
            Self::Record(error) => error.hint(),
            Self::Conflicts(_) => Some(
                "`deploy-promote adopt` takes over what `kubectl` and Helm have applied; what a controller or a person keeps \
                 changing is left out of the manifests"
                    .to_owned(),
            ),
            Self::StillRuns(name) => {
                Some(format!("wait until it has ended, or `kubectl delete job {name}`"))
            }
            Self::LeaseLost(_) => Some("see what it does, then try again".to_owned()),
            Self::Restless(_) => Some("try again".to_owned()),
            Self::NeverEnds(_) => Some("give it `updateStrategy: RollingUpdate`".to_owned()),
            Self::ManyBehind { .. } => Some("give each deployment a Service of its own first".to_owned()),
            Self::NotTaken { .. } => Some("see `status.parents` of it".to_owned()),
            Self::NotShifted { service, .. } => {
                Some(format!("see `kubectl get endpointslices -l kubernetes.io/service-name={service}`"))
            }
            Self::NoAnswer { .. }
            | Self::BadServer(_)
            | Self::NoPort(_)
            | Self::Refused { .. }
            | Self::NotDesired(_)
            | Self::NotServed(_)
            | Self::NobodyThere { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused { status: 500.. | 429, .. }
            | Self::NoAnswer { .. }
            | Self::NoPort(_)
            | Self::Unknown(_)
            | Self::NoCredentials(_)
            | Self::Forbidden { .. }
            | Self::LeaseLost(_)
            | Self::Restless(_) => ExitCode::Unknown,
            Self::Auth(error) => error.exit_code(),
            Self::BadLease(error) => error.exit_code(),
            Self::Journal(error) => error.exit_code(),
            Self::Manifests(error) => error.exit_code(),
            Self::Record(error) => error.exit_code(),
            Self::Conflicts(_)
            | Self::NeverEnds(_)
            | Self::ManyBehind { .. }
            | Self::BadKubeconfig(_)
            | Self::BadServer(_)
            | Self::NoProgram(_)
            | Self::NoAccess
            | Self::NoNamespace(_)
            | Self::NoDeployment { .. }
            | Self::NoContainer { .. }
            | Self::MissingSecrets(_)
            | Self::NotDesired(_) => ExitCode::Usage,
            Self::Refused { .. }
            | Self::NoRecord(_)
            | Self::NotServed(_)
            | Self::NobodyThere { .. }
            | Self::NotShifted { .. }
            | Self::NotTaken { .. }
            | Self::Paused(_)
            | Self::Overtaken(_)
            | Self::NothingBefore(_)
            | Self::StillRuns(_) => ExitCode::No,
        }
    }
}
