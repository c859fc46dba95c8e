//! `Target`: what an environment runs on, and how that is reached.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::compose::ProxyKind;
use crate::project_path::ProjectPath;

/// What an environment runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The kind.
    pub kind: TargetKind,
    /// The Docker host: `ssh://user@host`, `unix://...`, `tcp://...`; `None` is the local one.
    pub host: Option<String>,
    /// Compose files, or those of a stack, in the folder of `shipkit.yml`.
    pub files: Vec<ProjectPath>,
    /// The environment file.
    pub env_file: Option<EnvFile>,
    /// Rule files of its Prometheus, in the folder of `shipkit.yml`.
    pub rule_files: Vec<ProjectPath>,
    /// The folder on the Docker host that relative paths in Compose files begin at; `None` is the folder of `shipkit.yml`
    /// or, over SSH, where its files are uploaded to.
    pub directory: Option<String>,
    /// What passes requests on to the services.
    pub proxy: Option<Proxy>,
    /// Manifests, a file or a folder.
    pub manifests: Option<String>,
    /// A kustomization.
    pub kustomize: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The context of the kubeconfig.
    pub context: Option<String>,
    /// The address of the API server; `None` where a kubeconfig or the cloud says it.
    pub server: Option<String>,
    /// Who has signed its certificate; `None` is one of the public authorities.
    pub ca: Option<Ca>,
    /// The cloud that gives tokens for it.
    pub auth: Option<Auth>,
    /// Commands that deploy.
    pub run: Vec<String>,
    /// Commands that put the release before back; none where `run` does that.
    pub rollback: Vec<String>,
    /// The prefix of the services' names, `<name>-<environment>` by default; `None` unless the kind is Swarm or Compose.
    pub stack: Option<String>,
}

/// Where an environment file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvFile {
    /// In the folder of `shipkit.yml`.
    Project(ProjectPath),
    /// On the Docker host, at this absolute path.
    Host(String),
}

/// What passes requests on to the services of a target, and is itself one of the services in the Compose files or on the
/// Swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What it is.
    pub kind: ProxyKind,
    /// Its service.
    pub service: String,
    /// The folder in its container where a file is written for each service, or where it keeps its own one;
    /// [`ProxyKind::directory`] by default.
    pub directory: String,
}

/// A kind of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// Docker Compose on a host.
    Compose,
    /// Docker Swarm.
    Swarm,
    /// Kubernetes.
    Kubernetes,
    /// Commands.
    Command,
}

/// The certificate authority of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ca {
    /// A PEM file in the folder of `shipkit.yml`.
    File(ProjectPath),
    /// PEM, or PEM in base64 as in a kubeconfig.
    Text(String),
}

/// The cloud that gives tokens for a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Amazon EKS.
    Eks(EksAuth),
    /// Google Kubernetes Engine.
    Gke(GkeAuth),
    /// Azure Kubernetes Service, with Entra ID.
    Aks(AksAuth),
}

/// An EKS cluster, and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EksAuth {
    /// The name of the cluster.
    pub cluster: String,
    /// Its region.
    pub region: String,
    /// The role that a job takes on.
    pub role: Option<String>,
}

/// A GKE cluster, and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GkeAuth {
    /// The cluster, `projects/*/locations/*/clusters/*`; `None` where the address of its API server is known.
    pub cluster: Option<String>,
    /// The provider that a job shows its identity to.
    pub workload_identity_provider: Option<String>,
    /// The account that a job becomes then.
    pub service_account: Option<String>,
}

/// Who asks an AKS cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AksAuth {
    /// The Entra tenant.
    pub tenant_id: Option<String>,
    /// The application or managed identity.
    pub client_id: Option<String>,
}
