//! `shipkit.yml`: types, defaults, resolution and errors that say where.

pub mod check;
mod check_rules;
mod compose;
mod dns;
mod dotenv;
mod environment;
mod error;
mod findings;
mod group;
mod hook;
mod metric_rules;
mod mirrors;
mod raw;
mod raw_check;
mod raw_expect;
mod raw_limits;
mod raw_scan;
mod request;
mod request_rules;
mod resolve;
mod rule_file;
mod rules;
mod scalar;
mod shape;
mod statuses;
mod target;
mod target_rules;
mod template;
mod test_rules;
mod types;
mod units;
mod values;
mod yaml;

pub use check::{
    Alerts, Bounds, Check, CheckKind, Cors, Expect, Exposition, Openapi, Profile, Running, SecurityHeaders,
    SocketIo, Tls, TlsVersion, WantedHeader,
};
pub use compose::{Because, Compose, ComposeFile, LeftOut};
pub use dns::Dns;
pub use error::{ConfigError, Problem};
pub use group::GroupError;
pub use hook::{BackupJob, Migrate};
pub use request::{Capture, Method, Request};
pub use rule_file::check_rule_file;
pub use statuses::{NotAStatus, Statuses};
pub use target::{AksAuth, Auth, Ca, EksAuth, EnvFile, GkeAuth, Proxy, Target, TargetKind};
pub use template::Part;
pub use types::{
    Analysis, Approval, Build, BuildArg, BuildContext, Cache, Canary, Config, Deploy, EndToEnd, Environment,
    Epss, EventKind, FailureAction, Healthcheck, ImageScan, KubernetesNames, Latest, Metrics, OnInconclusive,
    Query, ReportFormat, Rollback, Rule, Scan, ScanBaseline, Service, Source, Strategy, TagKind, Tags, Test,
    TestService, Threshold, UpdateConfig,
};
pub use units::{BadUnit, BasisPoints, duration, percent, size};

use yaml::{Document, Form};

/// The names that a Compose file may have, the first that is there counts: in the order of Docker Compose.
pub const COMPOSE_FILES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// Whose variables have to be set while a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed<'a> {
    /// Those of where images go.
    Names,
    /// Those of what is built, tested and judged.
    Build,
    /// Those of one environment, and of the services in it.
    Environment(&'a str),
}

/// What a Compose file says, as it stands there. `file` is only named in errors.
///
/// # Errors
/// When it is not YAML.
pub(crate) fn compose_value(file: &str, text: &str) -> Result<serde_json::Value, ConfigError> {
    Ok(Document::read(file, text, Form::Compose)?.value)
}

/// What a file of YAML or JSON says, in the core schema of YAML 1.2. `file` is only named in errors.
///
/// # Errors
/// When it is neither.
pub fn document(file: &str, text: &str) -> Result<serde_json::Value, ConfigError> {
    compose_value(file, text)
}

/// The documents of a file of manifests, each with the line where it begins; empty ones are null. Numbers and yes or no are
/// what kubectl makes of them. `file` is only named in errors.
///
/// # Errors
/// When it is not YAML.
pub(crate) fn manifest_values(
    file: &str,
    text: &str,
) -> Result<Vec<(usize, serde_json::Value)>, ConfigError> {
    Ok(Document::stream(file, text)?)
}

impl Config {
    /// Whether people use this environment: no other one comes after it, or its name has the word `production` or `prod` in it.
    #[must_use]
    pub fn is_production(&self, environment: &str) -> bool {
        let is_waited_for =
            self.environments.iter().any(|later| later.needs.iter().any(|name| name == environment));
        let is_called_so =
            environment.split(['-', '_', '.']).any(|word| matches!(word, "production" | "prod"));
        is_called_so || !is_waited_for
    }

    /// Reads `shipkit.yml`. `file` is only named in errors. `variables` answers for whole values `${NAME}` in `registry`,
    /// `mirrors`, `url` and `environment`; those of build arguments stay as they are. A variable that is not set is an error where
    /// `needed` asks for its value, and empty elsewhere: the secrets of production are not known on staging, nor where
    /// images are built.
    ///
    /// # Errors
    /// When the file is not YAML, has unknown keys or values, or breaks a rule. What does not fit the form is reported
    /// one by one, broken rules all at once.
    pub fn parse(
        file: &str,
        text: &str,
        variables: &dyn Fn(&str) -> Option<String>,
        needed: Needed<'_>,
    ) -> Result<Self, ConfigError> {
        Self::parse_beside(file, text, None, variables, needed)
    }

    /// The same where there may be a Compose file beside `shipkit.yml`: its services are those that `shipkit.yml` does not
    /// name. Variables in it have the values of `variables`, or those of its file `.env`.
    ///
    /// # Errors
    /// As for [`Config::parse`], also about the Compose file; and when neither file has services.
    pub fn parse_beside(
        file: &str,
        text: &str,
        compose: Option<ComposeFile<'_>>,
        variables: &dyn Fn(&str) -> Option<String>,
        needed: Needed<'_>,
    ) -> Result<Self, ConfigError> {
        let document = Document::read(file, text, Form::Shipkit)?;
        let raw: raw::RawConfig = shape::read(&document)?;
        let taken = match (&raw.services, compose) {
            (Some(_), _) => None,
            (None, _) if document.has("services") => {
                return Err(document.problem("services", "expected a mapping, found nothing", None).into());
            }
            (None, Some(compose)) => Some(compose::take(compose, variables, needed)?),
            (None, None) => {
                let hint = "name them here, or in a Compose file beside it (`compose.yaml`)";
                return Err(document.problem("", "`services` is missing", Some(hint.to_owned())).into());
            }
        };
        let problems = taken.as_ref().map(|taken| taken.problems.clone()).unwrap_or_default();
        raw.resolve(resolve::Context {
            document: &document,
            compose: taken.as_ref(),
            variables,
            needed,
            is_needed: true,
            problems,
        })
    }

    /// Whether this `shipkit.yml` leaves its services to a Compose file. One that cannot be read does not.
    #[must_use]
    pub fn wants_compose(text: &str) -> bool {
        Document::read("", text, Form::Shipkit).is_ok_and(|document| !document.has("services"))
    }

    /// The JSON Schema of `shipkit.yml`, for editors. It knows the form and not the rules.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(raw::RawConfig).to_value()
    }
}
