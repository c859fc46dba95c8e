//! What is there of a stack of manifests: its objects, and its services in them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use serde_json::Value;
use shipkit_core::manifests::{Id, Kind, Object, Rendered, STACK, Scaled, Scope};
use shipkit_core::target::{Desired, Observed, ObservedService, Settings};

use crate::annotations;
use crate::cluster::{Cluster, Needed, Workload};
use crate::error::ClusterError;
use crate::kinds::Kinds;
use crate::set::{AT_ONCE, Stated};
use crate::standing::containers;
use crate::values::{annotations_of, id_of, valued};

/// What a deploy does to each kind of its objects.
const VERBS: [&str; 5] = ["get", "list", "create", "patch", "delete"];

impl Cluster {
    /// What is there of the services: in the objects of the stack, and before its first deploy in those that the manifests name.
    pub(crate) async fn observe_all(&self) -> Result<Observed, ClusterError> {
        let all = match self.all().await {
            // One of several permissions that are missing is no help.
            Err(error @ ClusterError::Forbidden { .. }) => {
                self.permissions_for_all().await?;
                return Err(error);
            }
            all => all?,
        };
        if all.is_empty() && self.stated.is_none() {
            self.namespace_exists().await?;
        }
        let deployments = self.deployments_of(all);
        let pairs: Vec<_> = deployments.iter().map(|(workload, deployment)| (workload, deployment)).collect();
        let observed = self.observed(&pairs).await?;
        let mut services: BTreeMap<String, ObservedService> = BTreeMap::new();
        for (service, (_, deployment)) in observed.into_iter().zip(&pairs) {
            let all = deployment.metadata.annotations.clone().unwrap_or_default();
            let settings = Settings { manifests: annotations::set(&all), ..Settings::default() };
            let service = ObservedService { settings, ..service };
            match services.get_mut(&service.name) {
                Some(there) => join(there, service),
                None => drop(services.insert(service.name.clone(), service)),
            }
        }
        Ok(Observed { has_network: true, absent: Vec::new(), services: services.into_values().collect() })
    }

    /// The objects of the stack, and those that the manifests name.
    async fn all(&self) -> Result<BTreeMap<Id, Value>, ClusterError> {
        let mut all: BTreeMap<Id, Value> = self.members().await?.into_iter().collect();
        if let Some(stated) = &self.stated {
            all.extend(self.all_live(&stated.kinds, &stated.rendered).await?);
        }
        Ok(all)
    }

    /// The deployments among these objects, once for each service that they run.
    pub(crate) fn deployments_of(
        &self,
        all: impl IntoIterator<Item = (Id, Value)>,
    ) -> Vec<(Workload, Deployment)> {
        let mut deployments = Vec::new();
        for (id, value) in all.into_iter().filter(|(id, _)| id.is("apps", "Deployment")) {
            let known = annotations::containers(&annotations_of(&value));
            let stated = self.stated.as_ref().filter(|_| known.is_empty());
            let known = stated.map_or(known, |stated| containers(&stated.rendered, &id));
            let Ok(deployment) = serde_json::from_value::<Deployment>(value) else { continue };
            deployments.extend(known.into_iter().map(|(container, service)| {
                let workload =
                    Workload { service, deployment: id.name.clone(), container, monitor: Duration::ZERO };
                (workload, deployment.clone())
            }));
        }
        deployments
    }

    /// The deployment of a service as the manifests state it.
    pub(crate) fn stated_deployment(
        &self,
        stated: &Stated,
        service: &str,
    ) -> Result<(Workload, Deployment), ClusterError> {
        let all =
            stated.rendered.objects().iter().map(|object| (object.id().clone(), object.value().clone()));
        let found = self.deployments_of(all).into_iter().find(|(workload, _)| workload.service == service);
        found.ok_or_else(|| ClusterError::NotDesired(service.to_owned()))
    }

    /// Whether a deploy can begin, as for [`preflight`](Self::preflight). What the cluster would make of the objects is found
    /// out by [`objects`](Self::objects).
    pub(crate) async fn preflight_all(
        &self,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<Vec<String>, ClusterError> {
        self.permissions_for_all().await?;
        self.secrets_exist().await?;
        Ok(self.remarks(desired, observed))
    }

    /// Whether these credentials may do all that a deploy of these manifests does.
    async fn permissions_for_all(&self) -> Result<(), ClusterError> {
        self.permissions().await?;
        let here = Some(self.namespace.as_str());
        let mut needed: Vec<Needed<'_>> = VERBS
            .iter()
            .map(|&verb| Needed { group: "", resource: "secrets", verb, namespace: here })
            .collect();
        for (kind, (resource, scope)) in self.stated.iter().flat_map(|stated| stated.kinds.all()) {
            let namespace = here.filter(|_| *scope == Scope::Namespaced);
            let (group, resource) = (kind.group.as_str(), resource.plural.as_str());
            needed.extend(VERBS.iter().map(|&verb| Needed { group, resource, verb, namespace }));
        }
        self.may_all(&needed).await
    }

    /// The objects of the stack that run services.
    pub(crate) async fn members(&self) -> Result<Vec<(Id, Value)>, ClusterError> {
        let ours = format!("{STACK}={}", self.stack());
        let kinds = ["Deployment", "StatefulSet", "DaemonSet"].map(|kind| Kind {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
        });
        let kinds = self.learn(kinds.into()).await?;
        let mut members = Vec::new();
        for (kind, resource) in kinds.all() {
            let (objects, how) = (self.objects_of(resource), ListParams::default().labels(&ours));
            let listed = self.ask(&format!("list {}", resource.0.plural), objects.list(&how)).await?;
            members.extend(listed.items.into_iter().map(|object| {
                let value = valued(&object, kind);
                (id_of(&value, kind), value)
            }));
        }
        Ok(members)
    }

    /// What autoscalers of the namespace own.
    pub(crate) async fn scaled(&self) -> Result<BTreeSet<Scaled>, ClusterError> {
        let kinds =
            [("autoscaling", "v2", "HorizontalPodAutoscaler"), ("keda.sh", "v1alpha1", "ScaledObject")];
        let kinds = kinds.map(|(group, version, kind)| Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        });
        let kinds = self.learn(kinds.into()).await?;
        let mut scaled = BTreeSet::new();
        for (kind, resource) in kinds.all() {
            let (objects, every) = (self.objects_of(resource), ListParams::default());
            let listed = self.ask(&format!("list {}", resource.0.plural), objects.list(&every)).await?;
            scaled.extend(listed.items.iter().filter_map(|object| Scaled::by(&valued(object, kind))));
        }
        Ok(scaled)
    }

    /// An object as the cluster has it.
    pub(crate) async fn live(&self, kinds: &Kinds, object: &Object) -> Result<Option<Value>, ClusterError> {
        let kind = object.kind();
        let Some(resource) = kinds.resource(&kind) else { return Ok(None) };
        let objects = self.objects_of(resource);
        let what = format!("get {}", resource.0.plural);
        let found = self.ask(&what, objects.get_opt(&object.id().name)).await?;
        Ok(found.map(|found| valued(&found, &kind)))
    }

    pub(crate) async fn all_live(
        &self,
        kinds: &Kinds,
        rendered: &Rendered,
    ) -> Result<BTreeMap<Id, Value>, ClusterError> {
        let found = rendered.objects().iter().map(|object| self.live(kinds, object));
        let found: Vec<_> = stream::iter(found).buffered(AT_ONCE).collect().await;
        let mut live = BTreeMap::new();
        for (object, value) in rendered.objects().iter().zip(found) {
            if let Some(value) = value? {
                live.insert(object.id().clone(), value);
            }
        }
        Ok(live)
    }
}

/// One service in two objects: the first one speaks for it.
fn join(there: &mut ObservedService, other: ObservedService) {
    for (image, count) in other.running {
        *there.running.entry(image).or_default() += count;
    }
    there.is_confirmed &= other.is_confirmed;
    there.problems.extend(other.problems);
}
