//! `Cluster`: one namespace of a cluster, and the services that have a deployment in it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use shipkit_core::manifests::Rendered;
use shipkit_core::target::{Desired, Observed, strangers};

use crate::access::Access;
use crate::change::Dry;
use crate::error::{ClusterError, NOT_FOUND};
use crate::kinds::Kinds;
use crate::observe::{containers, name};

/// How long one request may take, whatever the client does to repeat it.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What a deploy does in a namespace: group, resource, verb.
const NEEDED: [(&str, &str, &str); 11] = [
    ("apps", "deployments", "get"),
    ("apps", "deployments", "list"),
    ("apps", "deployments", "watch"),
    ("apps", "deployments", "patch"),
    ("apps", "replicasets", "list"),
    ("apps", "replicasets", "watch"),
    ("", "pods", "list"),
    ("", "pods", "watch"),
    ("coordination.k8s.io", "leases", "get"),
    ("coordination.k8s.io", "leases", "create"),
    ("coordination.k8s.io", "leases", "patch"),
];

/// What it does more where jobs run before a release is rolled out.
const NEEDED_FOR_JOBS: [(&str, &str, &str); 6] = [
    ("batch", "jobs", "get"),
    ("batch", "jobs", "list"),
    ("batch", "jobs", "watch"),
    ("batch", "jobs", "create"),
    ("batch", "jobs", "patch"),
    ("batch", "jobs", "delete"),
];

/// How many permissions are asked for at the same time.
const ASKED_AT_ONCE: usize = 16;

/// Something that credentials must allow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needed<'a> {
    pub(crate) group: &'a str,
    /// The resource, and after a `/` which part of it.
    pub(crate) resource: &'a str,
    pub(crate) verb: &'a str,
    /// Where; `None` for what belongs to the cluster as a whole.
    pub(crate) namespace: Option<&'a str>,
}

/// One namespace of a cluster.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    pub(crate) server: String,
    pub(crate) namespace: String,
    pub(crate) place: Place,
    /// The manifests that are deployed; `None` as long as none were rendered.
    pub(crate) manifests: Option<Arc<Rendered>>,
    /// The kinds that the cluster was asked for so far.
    pub(crate) kinds: Arc<Mutex<Kinds>>,
}

/// Where services are in a cluster.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The project that the services are of: its lease is named after it.
    pub project: String,
    /// The namespace; that of the kubeconfig's context where none is named.
    pub namespace: Option<String>,
    /// The services that have a workload.
    pub workloads: Vec<Workload>,
    /// Secrets that must exist, each as [`SecretName`](crate::SecretName) reads it.
    pub secrets: Vec<String>,
    /// Whether jobs run before a release is rolled out: a backup, a migration.
    pub has_jobs: bool,
    /// Whether the objects of a release are given as manifests; otherwise its services have deployments, and only their images
    /// change.
    pub has_manifests: bool,
    /// The shares of requests on the way of a release to all of them, in percent and ascending; none where they shift at once.
    pub canary: Vec<u8>,
}

/// The workload of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The service's name in `shipkit.yml`.
    pub service: String,
    /// Its name in the cluster: that of a deployment, and where there are manifests of what they have in its place.
    pub name: String,
    /// The container in it whose image is the service's.
    pub container: String,
    /// How long all of it must stay as it should be before it counts.
    pub monitor: Duration,
}

impl Cluster {
    /// Finds out how the cluster is reached, and asks it nothing yet; a cloud that knows may be asked.
    ///
    /// # Errors
    /// When the kubeconfig is none, or names what is not there.
    pub async fn connect(access: &Access, place: Place) -> Result<Self, ClusterError> {
        let (client, server, namespace) = access.client().await?;
        let namespace = place.namespace.clone().unwrap_or(namespace);
        Ok(Self { client, server, namespace, place, manifests: None, kinds: Arc::default() })
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What is there of the services.
    ///
    /// # Errors
    /// When the cluster cannot be asked, or has no such namespace.
    pub async fn observe(&self) -> Result<Observed, ClusterError> {
        if self.place.has_manifests {
            return self.observe_all().await;
        }
        let there = match self.list_deployments().await {
            // One of several permissions that are missing is no help.
            Err(error @ ClusterError::Forbidden { .. }) => {
                self.permissions().await?;
                return Err(error);
            }
            there => there?,
        };
        let mut services = Vec::new();
        for workload in &self.place.workloads {
            if let Some(deployment) = there.iter().find(|one| name(one) == workload.name) {
                services.push((workload, deployment));
            }
        }
        if services.is_empty() {
            self.namespace_exists().await?;
        }
        let mut observed =
            Observed { has_network: true, absent: Vec::new(), services: self.observed(&services).await? };
        observed.services.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(observed)
    }

    /// Whether a deploy can begin; the cluster itself tries each change without keeping it. Gives sentences about what
    /// a person should know and what does not prevent it.
    ///
    /// # Errors
    /// When permissions, deployments, containers or secrets are missing (all of a kind are named), the cluster would
    /// refuse a change, or cannot be asked.
    pub async fn preflight(
        &self,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<Vec<String>, ClusterError> {
        if self.place.has_manifests {
            return self.preflight_all(desired, observed).await;
        }
        self.permissions().await?;
        let there = self.list_deployments().await?;
        let mut remarks = Vec::new();
        let mut missing = Vec::new();
        for service in &desired.services {
            let workload = self.workload(&service.name)?;
            let Some(deployment) = there.iter().find(|one| name(one) == workload.name) else {
                missing.push(workload.name.clone());
                continue;
            };
            can_take(workload, deployment)?;
            if deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(0) {
                remarks.push(format!(
                    "deployment `{}` is scaled to 0: no pod shows that its image works",
                    workload.name
                ));
            }
        }
        if !missing.is_empty() {
            return Err(ClusterError::NoDeployment { namespace: self.namespace.clone(), names: missing });
        }
        self.secrets_exist().await?;
        for service in &desired.services {
            self.deploy(desired, service, Dry::Run).await?;
        }
        remarks.extend(self.remarks(desired, observed));
        Ok(remarks)
    }

    /// What the services that are there say of themselves.
    pub(crate) fn remarks(&self, desired: &Desired, observed: &Observed) -> Vec<String> {
        let mut remarks = Vec::new();
        let unfinished = observed.services.iter().filter(|service| !service.is_confirmed);
        remarks.extend(unfinished.map(|service| {
            format!("deployment of `{}` was left by a deploy that did not finish", service.name)
        }));
        remarks.extend(strangers(desired, observed).into_iter().map(|name| {
            format!("service `{name}` runs in namespace `{}` and is not in this release", self.namespace)
        }));
        remarks
    }

    /// Asks something within the time limit.
    pub(crate) async fn ask<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        match tokio::time::timeout(TIME_LIMIT, request).await {
            Ok(answer) => answer.map_err(|error| self.error(&error, what)),
            Err(_elapsed) => Err(ClusterError::NoAnswer {
                server: self.server.clone(),
                reason: format!("nothing within {} s", TIME_LIMIT.as_secs()),
            }),
        }
    }

    /// What went wrong while `what` was asked.
    pub(crate) fn error(&self, error: &kube::Error, what: &str) -> ClusterError {
        ClusterError::of(error, what, &self.server, &self.namespace)
    }

    /// What came was no answer to what was asked.
    pub(crate) fn garbled(&self, why: &str) -> ClusterError {
        ClusterError::NoAnswer { server: self.server.clone(), reason: why.to_owned() }
    }

    pub(crate) fn workload(&self, service: &str) -> Result<&Workload, ClusterError> {
        let found = self.place.workloads.iter().find(|workload| workload.service == service);
        found.ok_or_else(|| ClusterError::NotDesired(service.to_owned()))
    }

    pub(crate) fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One deployment that must be there.
    pub(crate) async fn deployment(&self, name: &str) -> Result<Deployment, ClusterError> {
        let deployments = self.deployments();
        let found = self.ask("get deployments", deployments.get_opt(name)).await?;
        found.ok_or_else(|| ClusterError::NoDeployment {
            namespace: self.namespace.clone(),
            names: vec![name.to_owned()],
        })
    }

    pub(crate) async fn list_deployments(&self) -> Result<Vec<Deployment>, ClusterError> {
        let deployments = self.deployments();
        let every = ListParams::default();
        Ok(self.ask("list deployments", deployments.list(&every)).await?.items)
    }

    /// Whoever may not look at namespaces is not told: then what is missing in it says enough.
    pub(crate) async fn namespace_exists(&self) -> Result<(), ClusterError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        match self.ask("get namespaces", namespaces.get(&self.namespace)).await {
            Err(error) if error.status() == Some(NOT_FOUND) => {
                Err(ClusterError::NoNamespace(self.namespace.clone()))
            }
            Err(ClusterError::Forbidden { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether these credentials may do all that a deploy does: asked before anything changes.
    pub(crate) async fn permissions(&self) -> Result<(), ClusterError> {
        let secrets = [("", "secrets", "get")];
        let secrets = secrets.iter().filter(|_| !self.place.secrets.is_empty());
        let for_jobs = NEEDED_FOR_JOBS.iter().filter(|_| self.place.has_jobs);
        let asked: Vec<_> = NEEDED.iter().chain(secrets).chain(for_jobs).collect();
        let asked: Vec<Needed<'_>> = asked
            .into_iter()
            .map(|&(group, resource, verb)| Needed {
                group,
                resource,
                verb,
                namespace: Some(&self.namespace),
            })
            .collect();
        self.may_all(&asked).await
    }

    /// Whether these credentials may do all of it: what they may not is named together.
    pub(crate) async fn may_all(&self, asked: &[Needed<'_>]) -> Result<(), ClusterError> {
        let answers = stream::iter(asked.iter().map(|needed| self.may(needed)));
        let answers: Vec<_> = answers.buffered(ASKED_AT_ONCE).collect().await;
        let mut missing = Vec::new();
        for (needed, may) in asked.iter().zip(answers) {
            if !may? {
                missing.push(format!("{} {}", needed.verb, needed.resource));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(ClusterError::Forbidden { namespace: self.namespace.clone(), missing })
    }

    async fn may(&self, needed: &Needed<'_>) -> Result<bool, ClusterError> {
        let (resource, part) = needed.resource.split_once('/').unwrap_or((needed.resource, ""));
        let wanted = ResourceAttributes {
            namespace: needed.namespace.map(str::to_owned),
            group: Some(needed.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(part.to_owned()).filter(|part| !part.is_empty()),
            verb: Some(needed.verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(wanted), ..Default::default() };
        let question = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let how = PostParams::default();
        let answer = self.ask("review its own access", reviews.create(&how, &question)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

/// Whether a deployment has the container of a service and replaces its pods.
fn can_take(workload: &Workload, deployment: &Deployment) -> Result<(), ClusterError> {
    if !containers(deployment).any(|(name, _)| name == workload.container) {
        return Err(no_container(workload, deployment));
    }
    if deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true) {
        return Err(ClusterError::Paused(workload.name.clone()));
    }
    Ok(())
}

/// That a deployment does not have the container of a service.
pub(crate) fn no_container(workload: &Workload, deployment: &Deployment) -> ClusterError {
    ClusterError::NoContainer {
        deployment: workload.name.clone(),
        container: workload.container.clone(),
        there: containers(deployment).map(|(name, _)| name.to_owned()).collect(),
    }
}
