//! `RawConfig`: `shipkit.yml` as it is written. Its doc comments are the reference of the file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::raw_check::RawCheck;
use super::raw_limits::RawLimits;
use super::raw_scan::{RawEnvironmentPolicy, RawEpss, RawGrace, RawIgnore, RawSeverity, RawUnknown};
use super::target::TargetKind;
use super::types::{
    Approval, Cache, EventKind, FailureAction, Latest, OnInconclusive, ReportFormat, Rollback, Rule,
    Strategy, TagKind,
};
use super::values::{HealthTest, Limits, Percent, Size, Span, Text, Texts};

type TextMap = BTreeMap<String, Text>;

/// The configuration of shipkit: what a project is made of, how it is judged, and where it goes.
///
/// Durations and sizes carry a unit (`10s`, `5m`, `250MB`). A whole value `${NAME}` is replaced by the environment
/// variable of that name in `registry`, `mirrors`, `url`, `args` and `environment`, and nowhere else.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `version`, `name`, `services` and `environments`")]
#[schemars(title = "shipkit.yml")]
pub(super) struct RawConfig {
    /// The version of this format: 1.
    #[schemars(extend("const" = 1))]
    pub(super) version: u64,
    /// The project's name: lower-case letters, digits and `-`.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]*$"))]
    pub(super) name: String,
    /// The prefix of every image, `<registry>/<service>`. Default: `ghcr.io/<owner>/<repository>` in lower case.
    pub(super) registry: Option<String>,
    /// Further prefixes, of the same form, where published images are given with their scans and under the same tags:
    /// `[docker.io/acme, quay.io/acme/shop]`. An image is `<mirror>/<service>` there. Deploys read `registry` alone.
    #[schemars(extend("uniqueItems" = true))]
    pub(super) mirrors: Option<Vec<String>>,
    /// How images are tagged. Deploys read digests, never tags.
    pub(super) tags: Option<RawTags>,
    /// How the checkout is tested, beside the build.
    pub(super) test: Option<RawTest>,
    /// The services by name. Default: those of the Compose file beside this one, `compose.yaml`, `compose.yml`,
    /// `docker-compose.yml` or `docker-compose.yaml`.
    #[schemars(extend("minProperties" = 1, "propertyNames" = {"pattern": "^[a-z0-9][a-z0-9-]*$"}))]
    pub(super) services: Option<BTreeMap<String, RawService>>,
    /// Services that are released together, by the name of the group: `backend: [api, worker]`. Each group has releases of
    /// its own, in `<registry>/release-<group>`. Where there are groups, every service is in exactly one. Default: all
    /// services are one release.
    #[schemars(extend("propertyNames" = {"pattern": "^[a-z0-9][a-z0-9-]*$"}))]
    pub(super) groups: Option<BTreeMap<String, Vec<String>>>,
    /// How images are judged before they are published.
    pub(super) scan: Option<RawScan>,
    /// What every environment has unless it says otherwise, key by key; `environment` is merged name by name.
    pub(super) defaults: Option<RawEnvironment>,
    /// Where releases go, by name: one to four environments.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 4, "propertyNames" = {"pattern": "^[a-z0-9][a-z0-9-]*$"}))]
    pub(super) environments: BTreeMap<String, Option<RawEnvironment>>,
}

/// How images are tagged.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawTags {
    /// The kinds of tags. Default: `[sha, branch, semver]`.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub(super) include: Option<Vec<TagKind>>,
    /// When `latest` moves. Default: `release` if `semver` is included, else `never`.
    pub(super) latest: Option<Latest>,
    /// Whether a permanent tag may never name another digest. Default: `true`.
    pub(super) immutable: Option<bool>,
    /// OCI labels for every image, besides the standard ones.
    pub(super) labels: Option<TextMap>,
}

/// How the checkout is tested.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawTest {
    /// Tools and how their versions begin: `node: "20"` is met by 20.20.2. A tool comes out of the tool cache of the runner or is
    /// on `PATH`; npm, pnpm and yarn are installed by npm, Rust by rustup. The versions are printed.
    pub(super) setup: Option<TextMap>,
    /// Containers that `run` talks to. They are healthy before its first command, and are always removed.
    pub(super) services: Option<BTreeMap<String, RawTestService>>,
    /// Environment variables of the tests.
    pub(super) environment: Option<TextMap>,
    /// Names of secrets that the tests want, kept as lines of the secret `SHIPKIT_TEST_ENV`. In pull requests from forks they are
    /// empty.
    pub(super) secrets: Option<Vec<String>>,
    /// Commands, one after the other; the first that fails ends the run.
    pub(super) run: Option<Texts>,
    /// End-to-end tests against Compose files, after `run`.
    pub(super) e2e: Option<RawEndToEnd>,
    /// The path of the coverage report, which is kept like `artifacts`.
    pub(super) coverage: Option<String>,
    /// Files and folders that are kept as an artifact of the run, also when tests fail: paths in the checkout; `*` stands for any
    /// text without `/`, `**` for any text.
    pub(super) artifacts: Option<Vec<String>>,
}

/// End-to-end tests.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawEndToEnd {
    /// Compose files. They are brought up first, in place of `services`, and always removed, volumes included.
    pub(super) files: Option<Vec<String>>,
    /// Commands.
    pub(super) run: Option<Texts>,
}

/// A container that the tests talk to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `image`")]
pub(super) struct RawTestService {
    /// Its image.
    pub(super) image: String,
    /// Its environment variables. A `postgres` gets user, password and database from the address in the tests' `environment`.
    pub(super) environment: Option<TextMap>,
    /// Published ports, in Compose's short form. Default: the network of the host, where it answers at its own port.
    pub(super) ports: Option<Vec<Text>>,
    /// How to tell that it is healthy: a command, `test`. Default: that of its image; `postgres` and `redis` are asked whether they
    /// are ready.
    pub(super) healthcheck: Option<RawHealthcheck>,
}

/// One service: exactly one of `build` and `image`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `build` or `image`")]
#[schemars(extend("oneOf" = [{"required": ["build"]}, {"required": ["image"]}]))]
pub(super) struct RawService {
    /// Builds the image here.
    pub(super) build: Option<RawBuild>,
    /// An image that somebody else built.
    pub(super) image: Option<String>,
    /// The full repository of a built image. Default: `<registry>/<service>`. It says nothing about mirrors.
    pub(super) image_name: Option<String>,
    /// The most bytes that the built image may have unpacked: `250MB`. It goes before `scan.image.limits.unpacked`.
    pub(super) size_limit: Option<Size>,
    /// The port it listens on.
    #[schemars(range(min = 1))]
    pub(super) port: Option<u16>,
    /// It holds data: it is created once and never replaced. Not with `build`.
    pub(super) stateful: Option<bool>,
    /// Services that are put in place before it.
    pub(super) depends_on: Option<Vec<String>>,
    /// How to tell that it is healthy.
    pub(super) healthcheck: Option<RawHealthcheck>,
    /// What it measures about itself.
    pub(super) metrics: Option<RawMetrics>,
    /// How it is deployed.
    pub(super) deploy: Option<RawDeploy>,
    /// How it is replaced, where that differs from its environment.
    pub(super) strategy: Option<Strategy>,
    /// Environment variables, in every environment.
    pub(super) environment: Option<TextMap>,
    /// Names of secrets of the target, mounted at `/run/secrets/<name>`.
    pub(super) secrets: Option<Vec<String>>,
    /// Named volumes: `data:/var/lib/data`.
    pub(super) volumes: Option<Vec<String>>,
    /// How long it may take to stop. Default: what the target has.
    pub(super) stop_grace_period: Option<Span>,
    /// Its names in Kubernetes, where they differ from the service's.
    pub(super) kubernetes: Option<RawKubernetes>,
}

/// How an image is built, in Compose's words.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawBuild {
    /// The context folder. Default: `.`.
    pub(super) context: Option<String>,
    /// The Dockerfile, relative to the context. Default: `Dockerfile`.
    pub(super) dockerfile: Option<String>,
    /// The stage, if not the last.
    pub(super) target: Option<String>,
    /// Build arguments. They are public. `${SHIPKIT_COMMIT}` and `${SHIPKIT_VERSION}` are always known.
    pub(super) args: Option<TextMap>,
    /// Build secrets: the name of an environment variable, kept as a line of the secret `SHIPKIT_BUILD_ENV`, or `<id>=<file>`. They
    /// are in no argument, label or layer; a Dockerfile reads them with `RUN --mount=type=secret,id=<name>`.
    pub(super) secrets: Option<Vec<String>>,
    /// Platforms, as `linux/arm64`. Default: the builder's own.
    pub(super) platforms: Option<Vec<String>>,
    /// What the Dockerfile may name besides its own stages: `service:<name>` for the image of another service,
    /// `docker-image://<image>`, or a folder.
    pub(super) contexts: Option<TextMap>,
    /// Where the build cache lives. Default: `none`.
    pub(super) cache: Option<Cache>,
    /// How old an image may be that is used again because nothing in it changed. Default: `30d`.
    pub(super) max_age: Option<Span>,
    /// Whether the image says how it was built. Default: what the builder does by itself.
    pub(super) provenance: Option<bool>,
    /// Whether the image lists what is in it. Default: `false`.
    pub(super) sbom: Option<bool>,
    /// Build arguments differ per environment: one image per environment, and nothing is promoted.
    pub(super) per_environment: Option<bool>,
    /// The runner that builds it, where that differs.
    pub(super) runner: Option<String>,
}

/// How to tell that a service is healthy.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawHealthcheck {
    /// The path that answers while the process lives.
    pub(super) live: Option<String>,
    /// The path that answers when it can serve. Default: `live`.
    pub(super) ready: Option<String>,
    /// The command inside the container: a text for its shell, or `["CMD", ...]` without one; `["NONE"]` for no check at all.
    pub(super) test: Option<HealthTest>,
    /// From one check to the next.
    pub(super) interval: Option<Span>,
    /// How long one check may take.
    pub(super) timeout: Option<Span>,
    /// How long failures do not count after the start.
    pub(super) start_period: Option<Span>,
    /// Failures in a row that make it unhealthy.
    pub(super) retries: Option<u64>,
}

/// What a service measures about itself.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawMetrics {
    /// The path. Default: `/metrics`.
    pub(super) path: Option<String>,
    /// Names of metrics that must be there.
    pub(super) required: Option<Vec<String>>,
}

/// How a service is deployed, in Compose's words.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawDeploy {
    /// How many tasks run. Default: what is there.
    pub(super) replicas: Option<u64>,
    /// How an update proceeds.
    pub(super) update_config: Option<RawUpdate>,
    /// Limits and reservations.
    pub(super) resources: Option<serde_json::Map<String, Value>>,
    /// How other services find it: `vip` or `dnsrr`. Default: `vip`.
    pub(super) endpoint_mode: Option<RawEndpointMode>,
}

/// How an update proceeds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawUpdate {
    /// How many tasks are replaced at a time; 0 is all. Default: 1.
    pub(super) parallelism: Option<u64>,
    /// The pause between them. Default: `10s`.
    pub(super) delay: Option<Span>,
    /// Whether the new task starts before the old one stops. Default: `start-first`.
    pub(super) order: Option<RawOrder>,
    /// What the target does by itself when a new task fails. Default: `rollback`.
    pub(super) failure_action: Option<FailureAction>,
    /// How long a new task is watched. Default: `5s`.
    pub(super) monitor: Option<Span>,
}

/// How other services find a service.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawEndpointMode {
    /// One virtual address.
    Vip,
    /// The name resolves to every task.
    Dnsrr,
}

/// Which comes first when a task is replaced.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawOrder {
    /// The new task runs before the old one stops.
    StartFirst,
    /// The old task stops first.
    StopFirst,
}

/// The names of a service in Kubernetes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawKubernetes {
    /// The Kubernetes deployment.
    pub(super) deployment: Option<String>,
    /// The container in it.
    pub(super) container: Option<String>,
}

/// How images are judged.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawScan {
    /// Findings in images.
    pub(super) image: Option<RawImageScan>,
    /// Commands that scan the sources.
    pub(super) source: Option<RawCommands>,
    /// Rules for every built image. Default: `[non-root, healthcheck, pinned-base]`.
    pub(super) policy: Option<Vec<Rule>>,
}

/// What is done with findings in images.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawImageScan {
    /// Findings of this severity and above fail. Default: `HIGH`.
    pub(super) severity: Option<RawSeverity>,
    /// Whether findings without a fix are left out. Default: `true`.
    pub(super) ignore_unfixed: Option<bool>,
    /// What is done with findings whose severity nobody has told: `pass`, or `fail` as those of `severity`. Default: `pass`.
    pub(super) unknown: Option<RawUnknown>,
    /// How long a finding may be known before it fails, by its severity. Default: not at all.
    pub(super) grace: Option<RawGrace>,
    /// A file in the checkout with the catalog of known exploited vulnerabilities of CISA, as JSON: what is in it fails whatever its
    /// severity, and without `grace`.
    pub(super) kev: Option<String>,
    /// Scores of FIRST (EPSS): what is likely enough to be exploited fails whatever its severity, and without `grace`.
    pub(super) epss: Option<RawEpss>,
    /// Where advisories about the packages of an image are looked up: `osv` for the service of OSV (which is told all packages), an index
    /// at a registry by digest, as `image-scan index build` stores it, or a folder in the checkout in the layout of the bucket of OSV. Without it, only reports of scanners are judged.
    pub(super) advisories: Option<String>,
    /// What an image is compared with, so that only findings that are new fail: the name of an environment, for the release that it has;
    /// `last-release`, for the newest one with a version; `base-image`; or `none`, which is the default.
    pub(super) baseline: Option<String>,
    /// Findings that are accepted, each with a reason and until a day: after that they count again, and the entry fails.
    pub(super) ignore: Option<Vec<RawIgnore>>,
    /// How large every image may be. Without it, as large as it is.
    pub(super) limits: Option<RawLimits>,
    /// Files in the checkout that say of findings that an image is not affected, or that they are fixed in it: OpenVEX, CSAF or CycloneDX, as
    /// JSON. What they take out does not fail.
    pub(super) vex: Option<Vec<String>>,
    /// The one form of the report that is written into `.shipkit/image-scan` of the checkout: `sarif`, `json`, or `table` for a page with
    /// tables. Without it, none. The input `output` of `image-scan` writes all of them instead.
    pub(super) report: Option<ReportFormat>,
}

/// Commands.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `run`")]
pub(super) struct RawCommands {
    /// One command or several, one after the other.
    pub(super) run: Option<Texts>,
}

/// One environment. Without `branches`, `tags` and `events` it is reached by hand only.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawEnvironment {
    /// Patterns of branches that reach it.
    pub(super) branches: Option<Texts>,
    /// Patterns of git tags that reach it.
    pub(super) tags: Option<Texts>,
    /// Events that reach it. Default: pushes that fit `branches` or `tags`.
    pub(super) events: Option<Vec<EventKind>>,
    /// Environments that must have passed with the same digests: one or several.
    pub(super) needs: Option<Texts>,
    /// `required`: the GitHub environment must have required reviewers. Default: `none`.
    pub(super) approval: Option<Approval>,
    /// Where it answers: `https://...`.
    pub(super) url: Option<String>,
    /// What it runs on. Default: Docker Compose on this host.
    pub(super) target: Option<RawTarget>,
    /// How services are replaced. Default: `rolling`.
    pub(super) strategy: Option<Strategy>,
    /// With `strategy: canary`: the steps in which requests shift.
    pub(super) canary: Option<RawCanary>,
    /// How long the rollout of one service may take. Default: `10m`.
    pub(super) timeout: Option<Span>,
    /// What migrates the database before the rollout, with the new image.
    pub(super) migrate: Option<RawMigrate>,
    /// What backs data up before anything changes: commands or, in a cluster, a Job.
    pub(super) backup: Option<RawBackup>,
    /// Environment variables of every service that is built here, over those of the service.
    pub(super) environment: Option<TextMap>,
    /// Names of secrets that must exist on the target; in a cluster also `secret/key`, and names like `DATABASE_URL` for a key of any
    /// that the pods read; for Compose and stack files, names of variables that they read, and for commands names of variables that
    /// they get.
    pub(super) secrets: Option<Vec<String>>,
    /// Checks after the rollout, in order.
    pub(super) smoke: Option<Vec<RawCheck>>,
    /// What is measured after the checks.
    pub(super) analysis: Option<RawAnalysis>,
    /// What happens after a failure. Default: `auto`.
    pub(super) rollback: Option<Rollback>,
    /// What happens when it could not be found out whether the deploy is good. Default: `hold`.
    pub(super) on_inconclusive: Option<OnInconclusive>,
    /// The runner that deploys it, where that differs.
    pub(super) runner: Option<String>,
    /// Who is told.
    pub(super) notify: Option<Vec<String>>,
    /// How images are judged before they come here, where that differs.
    pub(super) policy: Option<RawEnvironmentPolicy>,
}

/// The steps in which requests shift to a release.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawCanary {
    /// The shares of requests on the way to all of them, ascending. Default: `[25%, 50%]`.
    pub(super) steps: Option<Vec<Percent>>,
    /// How long each must go well before the next. Default: `1m`.
    pub(super) interval: Option<Span>,
}

/// What an environment runs on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `type`")]
pub(super) struct RawTarget {
    /// The kind.
    #[serde(rename = "type")]
    pub(super) kind: TargetKind,
    /// Compose and Swarm: the Docker host, as `ssh://deploy@example.com`. Default: the local one.
    pub(super) host: Option<String>,
    /// Compose and Swarm: Compose files, in the folder of this file. A Swarm that has some gets its services from them, as
    /// `docker stack deploy` reads them.
    pub(super) files: Option<Vec<String>>,
    /// Compose and Swarm: the environment file for variables in `files`, in the folder of this file or at an absolute path on
    /// the Docker host.
    pub(super) env_file: Option<String>,
    /// Rule files of the Prometheus that runs there, in the folder of this file: nothing is deployed while Prometheus would refuse
    /// one of them. They reach it as the target's own files say.
    pub(super) rule_files: Option<Vec<String>>,
    /// Compose: the folder on the Docker host that relative paths in Compose files begin at, as `/srv/shop`. Default: the
    /// folder of this file; over SSH the one that Compose files are uploaded to, which holds nothing else.
    pub(super) directory: Option<String>,
    /// Compose and Swarm: what passes requests on, so that none is lost while a service is replaced. Default: nothing.
    pub(super) proxy: Option<RawProxy>,
    /// Kubernetes: manifests, a file or a folder.
    pub(super) manifests: Option<String>,
    /// Kubernetes: a kustomization, instead of `manifests`.
    pub(super) kustomize: Option<String>,
    /// Kubernetes: the namespace.
    pub(super) namespace: Option<String>,
    /// Kubernetes: the context of the kubeconfig.
    pub(super) context: Option<String>,
    /// Kubernetes: the address of the API server, as `https://...`, where no kubeconfig says it. The token is then the input
    /// `cluster-token`, or comes with `auth`.
    pub(super) server: Option<String>,
    /// Kubernetes: who has signed the certificate of `server`: a PEM file in the folder of this file, the PEM text itself, or the
    /// base64 text that a kubeconfig has as `certificate-authority-data`. Default: the public authorities.
    pub(super) ca: Option<String>,
    /// Kubernetes: the cloud that gives tokens for the cluster. They are made without any program of the cloud, and renewed in time.
    pub(super) auth: Option<RawAuth>,
    /// Command: what deploys, one command or several, in a shell in the checkout.
    pub(super) run: Option<Texts>,
    /// Command: what puts the release before back. Default: `run` once more, with what it has.
    pub(super) rollback: Option<Texts>,
    /// Compose and Swarm: the prefix of the services' names. Default: `<name>-<environment>`.
    pub(super) stack: Option<String>,
}

/// The cloud that gives tokens for a cluster: one of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `eks`, `gke` or `aks`")]
pub(super) struct RawAuth {
    /// Amazon EKS.
    pub(super) eks: Option<RawEks>,
    /// Google Kubernetes Engine.
    pub(super) gke: Option<RawGke>,
    /// Azure Kubernetes Service, with Entra ID.
    pub(super) aks: Option<RawAks>,
}

/// An EKS cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `cluster` and `region`")]
pub(super) struct RawEks {
    /// The name of the cluster. Without `server` and a kubeconfig, EKS is asked where it is.
    pub(super) cluster: String,
    /// Its region: `eu-central-1`.
    pub(super) region: String,
    /// The role that the job takes on with its identity token of GitHub: `arn:aws:iam::123456789012:role/deploy`. Default:
    /// `AWS_ROLE_ARN`. Keys in the environment (`AWS_ACCESS_KEY_ID`) are used as they are.
    pub(super) role: Option<String>,
}

/// A GKE cluster.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawGke {
    /// The cluster, `projects/PROJECT/locations/LOCATION/clusters/NAME`. Without `server` and a kubeconfig, GKE is asked where it
    /// is.
    pub(super) cluster: Option<String>,
    /// Whom the job shows its identity token of GitHub to:
    /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`. Default: the credentials at
    /// `GOOGLE_APPLICATION_CREDENTIALS`, or in `GOOGLE_CREDENTIALS`.
    pub(super) workload_identity_provider: Option<String>,
    /// The account that the job becomes then: `deploy@PROJECT.iam.gserviceaccount.com`. Default: none, it stays what the provider
    /// makes of it.
    pub(super) service_account: Option<String>,
}

/// An AKS cluster.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawAks {
    /// The Entra tenant. Default: `AZURE_TENANT_ID`.
    pub(super) tenant_id: Option<String>,
    /// The application or managed identity, which proves itself with the job's identity token of GitHub or with
    /// `AZURE_CLIENT_SECRET`. Default: `AZURE_CLIENT_ID`.
    pub(super) client_id: Option<String>,
}

/// What passes requests on to the services of a target.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `nginx`, `traefik` or `kamal-proxy`")]
pub(super) struct RawProxy {
    /// Compose: the service in the Compose files that is nginx. A service with a `port` is an `upstream` of its own name there.
    pub(super) nginx: Option<String>,
    /// The service that is Traefik: in the Compose files, where a service with a `port` is the service `<its name>@file` of
    /// Traefik, or on the Swarm, where it is `<stack>-<its name>@swarm`.
    pub(super) traefik: Option<String>,
    /// Compose: the service in the Compose files that is kamal-proxy, 0.9 or newer. A service with a `port` is a service of the same
    /// name there; it is asked at its `healthcheck.ready`.
    #[serde(rename = "kamal-proxy")]
    pub(super) kamal_proxy: Option<String>,
    /// Compose: the folder in its container with a file for each such service, which nginx includes (`*.conf`) and Traefik's file
    /// provider watches, or that in which kamal-proxy keeps its own: a named volume, so that they are still there when it
    /// starts again. Default: `/etc/nginx/shipkit`, `/etc/traefik/shipkit` or `/home/kamal-proxy/.config/kamal-proxy`.
    pub(super) directory: Option<String>,
}

/// What backs data up before anything changes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `run`, or with `service` and `command`")]
pub(super) struct RawBackup {
    /// One command or several, one after the other, on the machine that deploys.
    pub(super) run: Option<Texts>,
    /// In a cluster, in place of `run`: the service from whose pods a Job is made.
    pub(super) service: Option<String>,
    /// The command of the Job, in place of that of the image. No shell reads it: for one, begin with `sh -c`.
    pub(super) command: Option<String>,
    /// The image of the Job, by digest. Default: the new one of the service.
    pub(super) image: Option<String>,
}

/// What migrates the database before the rollout.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `service` and `command`")]
pub(super) struct RawMigrate {
    /// The service whose new image runs the command.
    pub(super) service: String,
    /// The command, in place of that of the image. No shell reads it: for one, begin with `sh -c`.
    pub(super) command: String,
    /// Whether the release before still works afterwards; if not, a rollback holds and says so. Default: `true`.
    pub(super) compatible: Option<bool>,
}

/// What is measured after the checks, by Prometheus.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `prometheus`")]
pub(super) struct RawAnalysis {
    /// The address of Prometheus: `https://host/path`, or `service://NAMESPACE/NAME:PORT/path` for one in the cluster of the target.
    pub(super) prometheus: String,
    /// How long is measured, from the end of the checks. Default: `5m`.
    pub(super) window: Option<Span>,
    /// The share of requests that the server answers with 500 to 599. Default: `5%`.
    pub(super) error_rate: Option<Limits<Percent>>,
    /// The 95th percentile of response times. Default: `1s`.
    pub(super) p95: Option<Limits<Span>>,
    /// Further queries, each of which must give something at the end of the window; a comparison with `bool` must not give 0.
    pub(super) promql: Option<Vec<RawQuery>>,
}

/// A query for Prometheus.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with `query`")]
pub(super) struct RawQuery {
    /// Its name.
    pub(super) name: Option<String>,
    /// The query.
    pub(super) query: String,
}
