//! `Config` and its parts: `shipkit.yml` complete and checked, every default applied.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::Check;
use super::compose::Compose;
use super::hook::{BackupJob, Migrate};
use super::target::Target;
use super::template::Part;
use super::units::BasisPoints;
use crate::policy::{Budget, Grace, Ignore, Severity, UnknownSeverity};
use crate::project_path::ProjectPath;
use crate::reference::Repository;
use crate::target::{EndpointMode, Order};

/// A whole `shipkit.yml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The project's name.
    pub name: String,
    /// The prefix of every image, as written; `None` leaves `ghcr.io/<owner>/<repository>`.
    pub registry: Option<String>,
    /// Further prefixes at which published images are given, each another place than `registry`.
    pub mirrors: Vec<Repository>,
    /// How images are tagged.
    pub tags: Tags,
    /// How the checkout is tested.
    pub test: Option<Test>,
    /// The services by name.
    pub services: BTreeMap<String, Service>,
    /// The Compose file that they were taken from, where it is not `shipkit.yml` itself.
    pub compose: Option<Compose>,
    /// The services of each group; empty where all services are one release.
    pub groups: BTreeMap<String, Vec<String>>,
    /// The one group that `services` holds, after [`Config::in_group`].
    pub group: Option<String>,
    /// How images are judged.
    pub scan: Scan,
    /// The environments: each comes after all that it needs; otherwise as in the file. At most four.
    pub environments: Vec<Environment>,
}

/// How images are tagged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// The kinds of tags that are published.
    pub include: Vec<TagKind>,
    /// When `latest` moves.
    pub latest: Latest,
    /// Whether a permanent tag may never name another digest.
    pub immutable: bool,
    /// OCI labels for every image, besides the standard ones.
    pub labels: BTreeMap<String, String>,
}

/// A kind of tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TagKind {
    /// `sha-<full commit>`.
    Sha,
    /// The branch's name.
    Branch,
    /// From a version tag: `1.2.3`, and `1.2` and `1`, which move to newer versions only; `rc` from `1.2.3-rc.1`. A tag
    /// `api/v1.2.3` is a version of the service `api` alone.
    Semver,
    /// `pr-<number>`.
    Pr,
    /// The commit's day.
    Date,
}

/// When `latest` moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Latest {
    /// Never.
    Never,
    /// With every push to the default branch.
    DefaultBranch,
    /// With every version that is no prerelease and not older than what is published.
    Release,
}

/// How the checkout is tested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Test {
    /// Tools by name and their version: `node: "20"`.
    pub setup: BTreeMap<String, String>,
    /// Containers that the tests talk to.
    pub services: BTreeMap<String, TestService>,
    /// Environment variables of the tests.
    pub environment: BTreeMap<String, String>,
    /// Names of secrets that the tests want.
    pub secrets: Vec<String>,
    /// Commands, one after the other.
    pub run: Vec<String>,
    /// End-to-end tests.
    pub e2e: Option<EndToEnd>,
    /// The coverage report.
    pub coverage: Option<String>,
    /// Paths that are kept after the run.
    pub artifacts: Vec<String>,
}

/// A container that the tests talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestService {
    /// Its image.
    pub image: String,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Published ports, in Compose's short form.
    pub ports: Vec<String>,
    /// How to tell that it is healthy.
    pub healthcheck: Option<Healthcheck>,
}

/// End-to-end tests: Compose files that are brought up, and commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndToEnd {
    /// Compose files.
    pub files: Vec<String>,
    /// Commands.
    pub run: Vec<String>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Where its image comes from.
    pub source: Source,
    /// The full repository of the built image, where it is not `<registry>/<service>`.
    pub image_name: Option<String>,
    /// The most bytes that the image may have unpacked.
    pub size_limit: Option<u64>,
    /// The port it listens on.
    pub port: Option<u16>,
    /// Whether it holds data: then it is created once and never replaced.
    pub stateful: bool,
    /// Services that are put in place before it.
    pub depends_on: Vec<String>,
    /// How to tell that it is healthy.
    pub healthcheck: Option<Healthcheck>,
    /// What it measures about itself.
    pub metrics: Option<Metrics>,
    /// How it is deployed.
    pub deploy: Deploy,
    /// How it is replaced, where that differs from its environment.
    pub strategy: Option<Strategy>,
    /// Environment variables, in every environment.
    pub environment: BTreeMap<String, String>,
    /// Names of secrets of the target, mounted at `/run/secrets/<name>`.
    pub secrets: Vec<String>,
    /// Named volumes, each `<volume>:</absolute/path>`.
    pub volumes: Vec<String>,
    /// How long it may take to stop.
    pub stop_grace_period: Option<Duration>,
    /// Its names in Kubernetes, where they differ.
    pub kubernetes: Option<KubernetesNames>,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It is built here.
    Build(Build),
    /// Somebody else built it: a parsable reference with a tag, a digest or neither.
    Image(String),
}

/// How an image is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The context folder.
    pub context: String,
    /// The Dockerfile, relative to the context.
    pub dockerfile: String,
    /// The stage, if not the last.
    pub target: Option<String>,
    /// Build arguments: public, they can be read in the image.
    pub args: BTreeMap<String, BuildArg>,
    /// Build secrets: names of environment variables, and files as `<id>=<file>`.
    pub secrets: Vec<String>,
    /// Platforms; empty means the builder's own.
    pub platforms: Vec<String>,
    /// Folders, images and other services that the Dockerfile may name besides its own stages, by that name.
    pub contexts: BTreeMap<String, BuildContext>,
    /// Where the build cache lives.
    pub cache: Cache,
    /// How old an image may be that is used again instead of being built.
    pub max_age: Duration,
    /// Whether the image says how it was built; `None` leaves that to the builder.
    pub provenance: Option<bool>,
    /// Whether the image lists what is in it.
    pub sbom: bool,
    /// Whether every environment gets an image of its own, so that nothing can be promoted.
    pub per_environment: bool,
    /// The runner that builds it, where that differs.
    pub runner: Option<String>,
}

/// The value of a build argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildArg {
    /// The text itself.
    Literal(String),
    /// `${NAME}`: known only when the build is planned.
    Variable(String),
    /// A text with such variables in it, out of a Compose file.
    Mixed(Vec<Part>),
}

/// What a Dockerfile may name besides its own stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildContext {
    /// The image of another service.
    Service(String),
    /// An image, by reference.
    Image(String),
    /// A folder, or an address that only the builder understands.
    Other(String),
}

/// Where the build cache lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// Nowhere.
    #[default]
    None,
    /// In the cache of GitHub Actions.
    Gha,
    /// In the registry, beside the image.
    Registry,
    /// In the image itself.
    Inline,
    /// On this machine, in `.shipkit/cache`.
    Local,
}

/// How to tell that a service is healthy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// The path that answers while the process lives.
    pub live: Option<String>,
    /// The path that answers when it can serve; `live`, where only that is given.
    pub ready: Option<String>,
    /// The command inside the container, in Docker's words: `["CMD-SHELL", "..."]`, `["CMD", ...]` or `["NONE"]`.
    pub test: Option<Vec<String>>,
    /// From one check to the next.
    pub interval: Option<Duration>,
    /// How long one check may take.
    pub timeout: Option<Duration>,
    /// How long failures do not count after the start.
    pub start_period: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u64>,
}

/// What a service measures about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The path, `/metrics` by default.
    pub path: String,
    /// Names of metrics that must be there.
    pub required: Vec<String>,
}

/// How a service is deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deploy {
    /// How many tasks run; `None` leaves what is there.
    pub replicas: Option<u64>,
    /// How an update proceeds.
    pub update: UpdateConfig,
    /// Limits and reservations, as Compose writes them.
    pub resources: Option<Value>,
    /// How other services find it.
    pub endpoint_mode: EndpointMode,
}

/// How an update proceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateConfig {
    /// How many tasks are replaced at a time; 0 is all.
    pub parallelism: u64,
    /// The pause between them.
    pub delay: Duration,
    /// Which comes first.
    pub order: Order,
    /// What the target does by itself when a new task fails.
    pub failure_action: FailureAction,
    /// How long a new task is watched.
    pub monitor: Duration,
}

/// What the target does by itself when a new task fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailureAction {
    /// It goes back.
    #[default]
    Rollback,
    /// It stops where it is.
    Pause,
    /// It goes on.
    Continue,
}

/// The names of a service in Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubernetesNames {
    /// The Kubernetes deployment; by default the service's name.
    pub deployment: Option<String>,
    /// The container in it; by default the service's name.
    pub container: Option<String>,
}

/// How images are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Findings in images.
    pub image: ImageScan,
    /// Commands that scan the sources.
    pub source: Vec<String>,
    /// Rules for every built image.
    pub policy: Vec<Rule>,
}

/// What is done with findings in images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageScan {
    /// Findings of this severity and above fail.
    pub severity: Severity,
    /// Whether findings without a fix are left out.
    pub ignore_unfixed: bool,
    /// What is done with findings of unknown severity.
    pub unknown: UnknownSeverity,
    /// How long findings may be known before they fail.
    pub grace: Grace,
    /// The file with vulnerabilities that are known to be exploited.
    pub kev: Option<ProjectPath>,
    /// How likely it is that vulnerabilities are exploited.
    pub epss: Option<Epss>,
    /// Where advisories are looked up: `osv`, an index at a registry by digest, or a folder in the checkout.
    pub advisories: Option<String>,
    /// What an image is compared with, so that only what is new fails.
    pub baseline: Option<ScanBaseline>,
    /// Findings that are accepted.
    pub ignores: Vec<Ignore>,
    /// How large every image may be.
    pub limits: Budget,
    /// Files with statements about findings.
    pub vex: Vec<ProjectPath>,
    /// The one form of the report that is written, where one is asked for.
    pub report: Option<ReportFormat>,
}

/// How likely it is that vulnerabilities are exploited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epss {
    /// The file with the scores.
    pub file: ProjectPath,
    /// What is more likely than this fails.
    pub above: BasisPoints,
}

/// What images are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanBaseline {
    /// What an environment has.
    Environment(String),
    /// The newest release with a version.
    LastRelease,
    /// The image that it was built upon.
    BaseImage,
}

/// The form of a scan report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReportFormat {
    /// For code scanning.
    Sarif,
    /// For programs.
    Json,
    /// For people: a page.
    Table,
}

/// A rule for every built image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// It does not run as root.
    NonRoot,
    /// It says how to tell that it is healthy.
    Healthcheck,
    /// Its base is named by version or digest.
    PinnedBase,
    /// Its root file system is read-only when it runs.
    ReadOnly,
    /// It may not gain privileges when it runs.
    NoNewPrivileges,
    /// No secret is in its settings, its history or any of its layers, deleted ones included.
    NoSecrets,
    /// Only packages of the system bring files with setuid or setgid.
    NoSetuid,
    /// No cache of apt, apk, dnf, pip, npm, yarn or pnpm is left.
    NoPackageCache,
    /// It exposes no port by which machines are administered, and none but the `port` of the service, where that is named.
    ExposedPorts,
    /// There are fixes for its distribution and its runtimes still.
    Supported,
    /// An init process reaps children.
    Init,
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Patterns of branches that reach it.
    pub branches: Vec<String>,
    /// Patterns of git tags that reach it.
    pub tags: Vec<String>,
    /// Events that reach it; empty means pushes.
    pub events: Vec<EventKind>,
    /// Environments that must have passed with the same digests.
    pub needs: Vec<String>,
    /// Whether a person must approve.
    pub approval: Approval,
    /// Where it answers.
    pub url: Option<String>,
    /// What it runs on.
    pub target: Target,
    /// How services are replaced.
    pub strategy: Strategy,
    /// The steps of what is `strategy: canary`.
    pub canary: Canary,
    /// How long the rollout of one service may take.
    pub timeout: Duration,
    /// What migrates the database before the rollout.
    pub migrate: Option<Migrate>,
    /// Commands that back data up before anything changes.
    pub backup: Vec<String>,
    /// The Job that does so in a cluster, in place of commands.
    pub backup_job: Option<BackupJob>,
    /// Environment variables of every service that is built here, over those of the service.
    pub environment: BTreeMap<String, String>,
    /// Names of secrets that must exist on the target, in a cluster also `secret/key` and keys of secrets; for Compose and stack files, names of variables that they read, and for
    /// commands names of variables that they get.
    pub secrets: Vec<String>,
    /// Checks after the rollout, in order.
    pub smoke: Vec<Check>,
    /// What is measured after the checks.
    pub analysis: Option<Analysis>,
    /// What happens after a failure.
    pub rollback: Rollback,
    /// What happens when it could not be found out.
    pub on_inconclusive: OnInconclusive,
    /// The runner that deploys it, where that differs.
    pub runner: Option<String>,
    /// Who is told.
    pub notify: Vec<String>,
    /// How images are judged before they come here; without it, as everywhere.
    pub scan: Option<ImageScan>,
}

/// What starts a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A push of a branch or tag.
    Push,
    /// A published release.
    Release,
    /// A person, by hand.
    WorkflowDispatch,
}

/// Whether a person must approve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Nobody must.
    #[default]
    None,
    /// Somebody must: the GitHub environment has to have required reviewers.
    Required,
}

/// How services are replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Task by task.
    #[default]
    Rolling,
    /// All new ones beside the old, then the traffic shifts.
    BlueGreen,
    /// All new ones beside the old, and the traffic shifts in steps.
    Canary,
    /// Old ones stop first.
    Recreate,
}

/// How traffic shifts in steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// The shares of requests on the way to all of them, in percent: from 1 to 99, ascending.
    pub steps: Vec<u8>,
    /// How long each must go well before the next.
    pub interval: Duration,
}

/// What is measured after the checks, by Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// The address of Prometheus.
    pub prometheus: String,
    /// How long is measured.
    pub window: Duration,
    /// The share of failed requests.
    pub error_rate: Threshold<BasisPoints>,
    /// The 95th percentile of response times.
    pub p95: Threshold<Duration>,
    /// Further queries, each of which must give something.
    pub promql: Vec<Query>,
}

/// Above `warning` it is said, above `critical` it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold<T> {
    /// Where saying so begins.
    pub warning: Option<T>,
    /// Where failing begins.
    pub critical: T,
}

/// A query for Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Its name; the query itself where none is given.
    pub name: String,
    /// The query.
    pub query: String,
}

/// What happens after a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rollback {
    /// What was there before comes back.
    #[default]
    Auto,
    /// A person decides.
    Manual,
    /// Nothing.
    None,
}

/// What happens when it could not be found out whether a deploy is good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnInconclusive {
    /// Everything stays as it is, and the run ends with 3.
    #[default]
    Hold,
    /// What was there before comes back.
    Rollback,
}
