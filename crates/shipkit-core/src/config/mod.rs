//! `shipkit.yml`: types, defaults, resolution and errors that say where.

pub mod check;
mod environment;
mod error;
mod group;
mod mirrors;
mod raw;
mod raw_check;
mod resolve;
mod rules;
mod shape;
mod test_rules;
mod types;
mod units;
mod values;
mod yaml;

pub use check::{Check, CheckKind, Expect, Tls, TlsVersion, WantedHeader};
pub use error::{ConfigError, Problem};
pub use group::GroupError;
pub use types::{
    Analysis, Approval, Build, BuildArg, BuildContext, Cache, Config, Deploy, EndToEnd, Environment,
    EventKind, FailureAction, Healthcheck, ImageScan, KubernetesNames, Latest, Metrics, Migrate,
    OnInconclusive, Query, ReportFormat, Rollback, Rule, Scan, Service, Source, Strategy, TagKind, Tags,
    Target, TargetKind, Test, TestService, Threshold, UpdateConfig,
};
pub use units::{BadUnit, BasisPoints, duration, percent, size};

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

impl Config {
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
        let document = yaml::Document::read(file, text)?;
        let raw: raw::RawConfig = shape::read(&document)?;
        raw.resolve(resolve::Context {
            document: &document,
            variables,
            needed,
            is_needed: true,
            problems: Vec::new(),
        })
    }

    /// The JSON Schema of `shipkit.yml`, for editors. It knows the form and not the rules.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(raw::RawConfig).to_value()
    }
}
