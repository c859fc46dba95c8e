//! `Env`: the environment as it was at the start, and the one list of every variable that shipkit reads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shipkit_core::exit::ExitCode;
use shipkit_core::{Hint, Secret};

/// The name of a variable that shipkit reads. Only this list can make one, so the list is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name(&'static str);

/// Declares each name once: the constant, and its line in [`ALL`].
macro_rules! names {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        $($(#[doc = $doc])+ pub const $name: Name = Name(stringify!($name));)+

        /// Every variable with its meaning, in the order of this file; generated documentation is made from it.
        pub const ALL: &[(Name, &str)] = &[$(($name, concat!($($doc),+))),+];
    };
}

names! {
    /// `true` on a runner: workflow commands are written only then.
    GITHUB_ACTIONS;
    /// `true` under act, whose differences from GitHub's runner are handled where they hurt.
    ACT;
    /// The file that takes a step's outputs.
    GITHUB_OUTPUT;
    /// The file that takes a step's summary.
    GITHUB_STEP_SUMMARY;
    /// What started the workflow: `push`, `pull_request`, ...
    GITHUB_EVENT_NAME;
    /// The file with the payload of the event.
    GITHUB_EVENT_PATH;
    /// The commit that started the workflow; for a pull request the merge commit.
    GITHUB_SHA;
    /// The ref that started the workflow: `refs/heads/main`.
    GITHUB_REF;
    /// The branch that a pull request wants to change.
    GITHUB_BASE_REF;
    /// `owner/name` of the repository.
    GITHUB_REPOSITORY;
    /// Where GitHub is: `https://github.com`, or an Enterprise server.
    GITHUB_SERVER_URL;
    /// Where GitHub's API is.
    GITHUB_API_URL;
    /// The job's token.
    GITHUB_TOKEN;
    /// The number of the run.
    GITHUB_RUN_ID;
    /// The attempt of the run, from 1.
    GITHUB_RUN_ATTEMPT;
    /// The login that started the run.
    GITHUB_ACTOR;
    /// The name of the workflow.
    GITHUB_WORKFLOW;
    /// The id of the job.
    GITHUB_JOB;
    /// The token for the services of the run; actions get it, `run` steps do not.
    ACTIONS_RUNTIME_TOKEN;
    /// Where the artifact service of the run is.
    ACTIONS_RESULTS_URL;
    /// The directory with the checkout.
    GITHUB_WORKSPACE;
    /// A directory for this job's temporary files; under act each container has its own.
    RUNNER_TEMP;
    /// `1` when the run was started with debug logging.
    RUNNER_DEBUG;
    /// Which log lines go to stderr: a level, or `crate=level` parts with commas; `warn` if not set.
    SHIPKIT_LOG;
    /// The time to use as now, RFC 3339; for repeatable runs and tests.
    SHIPKIT_NOW;
    /// The secrets of an environment as dotenv text.
    SHIPKIT_ENV;
    /// The time of what is built, in seconds since 1970; the convention of reproducible builds.
    SOURCE_DATE_EPOCH;
    /// `false` makes `build-tag meta` name the commit of a pull request's event, in place of its head.
    DOCKER_METADATA_PR_HEAD_SHA;
    /// How many digits a short commit of `build-tag meta` has, in place of 7.
    DOCKER_METADATA_SHORT_SHA_LENGTH;
    /// The levels of annotations of `build-tag meta`, with commas; `manifest` if not set.
    DOCKER_METADATA_ANNOTATIONS_LEVELS;
    /// `true` asks `build-tag meta` for what it never does: to set variables of later steps. It says so.
    DOCKER_METADATA_SET_OUTPUT_ENV;
    /// If set to anything, nothing is coloured.
    NO_COLOR;
    /// The kind of terminal; `dumb` draws no progress bars.
    TERM;
    /// The login on this machine.
    USER;
    /// The home directory.
    HOME;
    /// The directory for what may be made again.
    XDG_CACHE_HOME;
    /// The directory of the Docker client's `config.json`.
    DOCKER_CONFIG;
    /// The Docker engine to talk to.
    DOCKER_HOST;
    /// The folder with the certificates for it.
    DOCKER_CERT_PATH;
    /// The socket of the SSH agent.
    SSH_AUTH_SOCK;
    /// The file that says how a Kubernetes cluster is reached.
    KUBECONFIG;
    /// Where GitHub gives an identity token to the job, if it has `id-token: write`.
    ACTIONS_ID_TOKEN_REQUEST_URL;
    /// What the job shows there.
    ACTIONS_ID_TOKEN_REQUEST_TOKEN;
    /// AWS: the name of a key.
    AWS_ACCESS_KEY_ID;
    /// AWS: the key.
    AWS_SECRET_ACCESS_KEY;
    /// AWS: what belongs to keys that expire.
    AWS_SESSION_TOKEN;
    /// AWS: the role to take on with an identity token.
    AWS_ROLE_ARN;
    /// AWS: the file with an identity token, in a pod.
    AWS_WEB_IDENTITY_TOKEN_FILE;
    /// AWS: another address of STS.
    AWS_ENDPOINT_URL_STS;
    /// AWS: another address of EKS.
    AWS_ENDPOINT_URL_EKS;
    /// Google: the file with credentials.
    GOOGLE_APPLICATION_CREDENTIALS;
    /// Google: the credentials themselves, as JSON.
    GOOGLE_CREDENTIALS;
    /// Google: another address of its token service.
    CLOUDSDK_API_ENDPOINT_OVERRIDES_STS;
    /// Google: another address of the service that gives tokens of service accounts.
    CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS;
    /// Google: another address of GKE.
    CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER;
    /// Azure: the tenant.
    AZURE_TENANT_ID;
    /// Azure: the application or managed identity.
    AZURE_CLIENT_ID;
    /// Azure: its secret.
    AZURE_CLIENT_SECRET;
    /// Azure: the file with an identity token, in a pod.
    AZURE_FEDERATED_TOKEN_FILE;
    /// Azure: another address of Entra ID.
    AZURE_AUTHORITY_HOST;
}

/// Where act puts the runner's files inside a container.
const ACT_FILES: &str = "/var/run/act/workflow";

/// The environment, read once. `Debug` shows names only: values may be secret.
#[derive(Clone, Default)]
pub struct Env {
    vars: BTreeMap<String, String>,
}

/// A variable whose value does not fit.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// A time that is none.
    #[error("`{name}` is not a time: `{value}`")]
    NotATime {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// Why that is no time.
        source: jiff::Error,
    },
    /// Seconds that are none.
    #[error("`{name}` is not a number of seconds since 1970: `{value}`")]
    NotSeconds {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
}

impl Hint for EnvError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotATime { name, .. } => Some(format!("write it like `{name}=2026-01-02T03:04:05Z`")),
            Self::NotSeconds { name, .. } => Some(format!("write it like `{name}=1767323045`")),
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl Name {
    /// The name itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl Env {
    /// The environment of this process, now. What is not Unicode is replaced by `U+FFFD`.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(
            std::env::vars_os().map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            }),
        )
    }

    /// An environment of exactly these variables, for tests.
    pub fn of<K: Into<String>, V: Into<String>>(vars: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { vars: vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// The value of a variable. Empty is the same as not set: the runner sets what it does not know to the empty text.
    #[must_use]
    pub fn get(&self, name: Name) -> Option<&str> {
        self.lookup(name.0)
    }

    /// The value of a variable that must not be shown.
    #[must_use]
    pub fn secret(&self, name: Name) -> Option<Secret> {
        self.get(name).map(Secret::from)
    }

    /// The value of a variable that the user's own file names (`${NAME}` in `shipkit.yml`). Empty is not set.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether this is a step of a workflow.
    #[must_use]
    pub fn is_actions(&self) -> bool {
        self.get(GITHUB_ACTIONS) == Some("true")
    }

    /// The inputs that were given, by their name in lower case with `-` for `_`; surrounding white space is cut.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (String, &str)> {
        self.vars.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("INPUT_")?.to_lowercase().replace('_', "-");
            Some((name, value.trim())).filter(|(name, value)| !name.is_empty() && !value.is_empty())
        })
    }

    /// An input as it was given, white space and all.
    pub(crate) fn verbatim(&self, input: &str) -> Option<&str> {
        let is_it = |name: &str| {
            name.strip_prefix("INPUT_").is_some_and(|name| name.to_lowercase().replace('_', "-") == input)
        };
        self.vars.iter().find(|(name, _)| is_it(name)).map(|(_, value)| value.as_str())
    }

    /// The file that a variable of the runner names.
    ///
    /// Under act with jobs on the host, a container gets the host's paths, which do not exist inside; the files
    /// themselves are mounted in act's own directory. A path without a directory is looked for there.
    pub(crate) fn file(&self, name: Name) -> Option<PathBuf> {
        self.file_or_in(name, Path::new(ACT_FILES))
    }

    fn file_or_in(&self, name: Name, act_files: &Path) -> Option<PathBuf> {
        let path = PathBuf::from(self.get(name)?);
        let is_lost = self.get(ACT) == Some("true") && !path.parent().is_some_and(Path::is_dir);
        match path.file_name() {
            Some(file) if is_lost && act_files.is_dir() => Some(act_files.join(file)),
            _ => Some(path),
        }
    }

    /// The directory with the checkout: `GITHUB_WORKSPACE` where that is a directory, else the current one.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.get(GITHUB_WORKSPACE)
            .map(PathBuf::from)
            .filter(|path| path.is_dir())
            .unwrap_or_else(|| PathBuf::from("."))
    }

    /// The time that `SHIPKIT_NOW` sets.
    pub(crate) fn fixed_now(&self) -> Result<Option<Timestamp>, EnvError> {
        let time = |value: &str| {
            value.parse().map_err(|source| EnvError::NotATime {
                name: SHIPKIT_NOW.0,
                value: value.to_owned(),
                source,
            })
        };
        self.get(SHIPKIT_NOW).map(time).transpose()
    }

    /// The time that `SOURCE_DATE_EPOCH` gives to what is built.
    pub(crate) fn source_date(&self) -> Result<Option<Timestamp>, EnvError> {
        let time =
            |value: &str| {
                value.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or_else(|| {
                    EnvError::NotSeconds { name: SOURCE_DATE_EPOCH.0, value: value.to_owned() }
                })
            };
        self.get(SOURCE_DATE_EPOCH).map(time).transpose()
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_the_same_as_not_set() {
        let env = Env::of([("GITHUB_SHA", ""), ("INPUT_TARGET", " \n"), ("INPUT_BLOCK-AT", " high\n")]);
        assert_eq!(env.get(GITHUB_SHA), None);
        assert_eq!(env.inputs().collect::<Vec<_>>(), [("block-at".to_owned(), "high")]);
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", Env::of([("GITHUB_TOKEN", "hunter2")])), "{\"GITHUB_TOKEN\"}");
    }

    #[test]
    fn a_file_that_act_did_not_mount_is_found_in_acts_own_directory() {
        let directory = tempfile::tempdir().unwrap();
        let lost = [("GITHUB_OUTPUT", "/no/such/place/outputcmd.txt"), ("ACT", "true")];
        let found = Env::of(lost).file_or_in(GITHUB_OUTPUT, directory.path());
        assert_eq!(found, Some(directory.path().join("outputcmd.txt")));
        let on_github = Env::of([("GITHUB_OUTPUT", "/no/such/place/outputcmd.txt")]);
        assert_eq!(
            on_github.file_or_in(GITHUB_OUTPUT, directory.path()),
            Some("/no/such/place/outputcmd.txt".into())
        );
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        assert!(Env::of([("SHIPKIT_NOW", "yesterday")]).fixed_now().is_err());
        assert!(Env::of([("SOURCE_DATE_EPOCH", "x")]).source_date().is_err());
        let time = Env::of([("SOURCE_DATE_EPOCH", "60")]).source_date().unwrap().unwrap();
        assert_eq!(time.to_string(), "1970-01-01T00:01:00Z");
    }

    #[test]
    fn every_variable_is_explained() {
        assert!(ALL.iter().all(|(_, meaning)| meaning.trim().ends_with('.') || meaning.ends_with("...")));
    }
}
