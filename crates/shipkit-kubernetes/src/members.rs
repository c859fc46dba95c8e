//! What is there of a stack of manifests: its objects, and its services in them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};
use shipkit_core::ImageRef;
use shipkit_core::manifests::{Colour, Id, Kind, Object, Rendered, STACK, Scaled, Scope};
use shipkit_core::rollout::workload::{never_ends, stays};
use shipkit_core::target::{Desired, Observed, ObservedService, Settings};

use crate::annotations;
use crate::cluster::{Cluster, Needed, Workload};
use crate::error::ClusterError;
use crate::expected::WorkloadKind;
use crate::observe::observed_service;
use crate::set::AT_ONCE;
use crate::standing::containers;
use crate::values::{all_images, annotations_of, id_of, valued};

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
        if all.is_empty() && self.manifests.is_none() {
            self.namespace_exists().await?;
        }
        let mut all = self.running(all);
        // Of two slots the one speaks that is on its way.
        all.sort_by_key(|one| annotations::is_confirmed(&annotations_of(&one.value)));
        let is_deployment = |one: &&Running| one.kind == WorkloadKind::Deployment;
        let deployments: Vec<(Workload, Deployment)> =
            all.iter().filter(is_deployment).filter_map(Running::deployment).collect();
        let pairs: Vec<_> = deployments.iter().map(|(workload, deployment)| (workload, deployment)).collect();
        let observed = self.observed(&pairs).await?;
        let of_deployments =
            observed.into_iter().zip(&pairs).map(|(service, (_, one))| (service, one.annotations().clone()));
        let others = all.iter().filter(|one| !is_deployment(one));
        let others = others.map(|one| (one.observed(), annotations_of(&one.value)));
        let mut services: BTreeMap<String, ObservedService> = BTreeMap::new();
        for (service, all) in of_deployments.chain(others) {
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
        if let Some(rendered) = &self.manifests {
            let named = self.all_current(rendered).await?.into_iter();
            // What has a slot is of the stack.
            all.extend(named.filter(|(_, value)| Colour::of(value).is_none()));
        }
        Ok(all)
    }

    /// What serves among these objects, once for each service that it runs.
    pub(crate) fn running(&self, all: impl IntoIterator<Item = (Id, Value)>) -> Vec<Running> {
        let mut running = Vec::new();
        for (id, value) in all {
            let Some(kind) = WorkloadKind::of(&id).filter(|kind| *kind != WorkloadKind::Job) else {
                continue;
            };
            let known = annotations::containers(&annotations_of(&value));
            let rendered = self.manifests.as_ref().filter(|_| known.is_empty());
            let known = rendered.map_or(known, |rendered| containers(rendered, &id));
            running.extend(known.into_iter().map(|(container, service)| {
                let (name, value) = (id.name.clone(), value.clone());
                Running { service, container, kind, name, value }
            }));
        }
        running
    }

    /// What runs a service as the manifests state it: its name and container, and a deployment with the same pods.
    pub(crate) fn deployment_in(
        &self,
        rendered: &Rendered,
        service: &str,
    ) -> Result<(Workload, Deployment), ClusterError> {
        let all = rendered.objects().iter().map(|object| (object.id().clone(), object.value().clone()));
        let found = self.running(all).into_iter().find(|one| one.service == service);
        let deployment = found.and_then(|one| one.deployment());
        deployment.ok_or_else(|| ClusterError::NotDesired(service.to_owned()))
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
        let objects = || self.manifests.iter().flat_map(|rendered| rendered.objects()).map(Object::value);
        let never: Vec<String> = objects().filter_map(never_ends).collect();
        if !never.is_empty() {
            return Err(ClusterError::NeverEnds(never));
        }
        if let Some(rendered) = self.manifests.as_ref().filter(|rendered| rendered.slot().is_some()) {
            self.to_hold(rendered, &self.all_current(rendered).await?).await?;
        }
        let mut remarks: Vec<String> = objects().filter_map(stays).collect();
        remarks.extend(self.remarks(desired, observed));
        Ok(remarks)
    }

    /// Whether these credentials may do all that a deploy of these manifests does.
    async fn permissions_for_all(&self) -> Result<(), ClusterError> {
        self.permissions().await?;
        let here = Some(self.namespace.as_str());
        let mut needed: Vec<Needed<'_>> = VERBS
            .iter()
            .map(|&verb| Needed { group: "", resource: "secrets", verb, namespace: here })
            .collect();
        let kinds = self.manifests.as_ref().map(|rendered| rendered.kinds()).unwrap_or_default();
        let kinds = self.learn(kinds).await?;
        for (kind, (resource, scope)) in kinds.all() {
            let namespace = here.filter(|_| *scope == Scope::Namespaced);
            let (group, resource) = (kind.group.as_str(), resource.plural.as_str());
            needed.extend(VERBS.iter().map(|&verb| Needed { group, resource, verb, namespace }));
            let is_watched = matches!(resource, "statefulsets" | "daemonsets" | "jobs");
            needed.extend(is_watched.then_some(Needed { group, resource, verb: "watch", namespace }));
            // Where the pods of a daemon set say of which revision they are.
            let revisions = ["list", "watch"].map(|verb| Needed {
                group,
                resource: "controllerrevisions",
                verb,
                namespace,
            });
            needed.extend(revisions.into_iter().filter(|_| resource == "daemonsets"));
        }
        // Whether requests go to the slot that a Service selects.
        let has_slots = self.manifests.as_ref().is_some_and(|rendered| rendered.slot().is_some());
        let (group, resource) = ("discovery.k8s.io", "endpointslices");
        needed.extend(has_slots.then_some(Needed { group, resource, verb: "list", namespace: here }));
        self.may_all(&needed).await
    }

    /// The objects of the stack that run services, but for the slot that is kept for going back.
    pub(crate) async fn members(&self) -> Result<Vec<(Id, Value)>, ClusterError> {
        let mut members = self.all_members().await?;
        if members.iter().any(|(_, value)| Colour::of(value).is_some()) {
            let traffic = self.traffic().await?;
            members.retain(|(_, value)| {
                let serves = Colour::of(value).is_none_or(|slot| traffic.contains(&slot));
                serves || !annotations::is_confirmed(&annotations_of(value))
            });
        }
        Ok(members)
    }

    /// The objects of the stack that run services.
    pub(crate) async fn all_members(&self) -> Result<Vec<(Id, Value)>, ClusterError> {
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
    pub(crate) async fn current(&self, object: &Object) -> Result<Option<Value>, ClusterError> {
        let kind = object.kind();
        let Some(resource) = self.resource(&kind).await? else { return Ok(None) };
        let objects = self.objects_of(&resource);
        let what = format!("get {}", resource.0.plural);
        let found = self.ask(&what, objects.get_opt(&object.id().name)).await?;
        Ok(found.map(|found| valued(&found, &kind)))
    }

    pub(crate) async fn all_current(&self, rendered: &Rendered) -> Result<BTreeMap<Id, Value>, ClusterError> {
        // All of them at once: later it is known where they are.
        self.learn(rendered.kinds()).await?;
        let found = rendered.objects().iter().map(|object| self.current(object));
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

/// An object that runs a service.
pub(crate) struct Running {
    /// The service.
    pub(crate) service: String,
    /// The container that is the service's.
    pub(crate) container: String,
    /// What it is.
    pub(crate) kind: WorkloadKind,
    /// Its name.
    pub(crate) name: String,
    /// All of it.
    pub(crate) value: Value,
}

impl Running {
    fn workload(&self) -> Workload {
        Workload {
            service: self.service.clone(),
            name: self.name.clone(),
            container: self.container.clone(),
            monitor: Duration::ZERO,
        }
    }

    /// The same as a deployment: of what is none, what matters of its pods.
    fn deployment(&self) -> Option<(Workload, Deployment)> {
        let value = if self.kind == WorkloadKind::Deployment {
            self.value.clone()
        } else {
            let of = |key: &str| self.value.get("spec").and_then(|spec| spec.get(key)).cloned();
            json!({"spec": {"selector": of("selector"), "template": of("template")}})
        };
        Some((self.workload(), serde_json::from_value(value).ok()?))
    }

    /// What is there of the service, by what the object says itself.
    fn observed(&self) -> ObservedService {
        let number = |pointer: &str| self.value.pointer(pointer).and_then(Value::as_u64);
        let ready = number("/status/readyReplicas").or_else(|| number("/status/numberReady"));
        let images = all_images(&self.value);
        let text = images.get(&self.container).cloned().unwrap_or_default();
        let image: Option<ImageRef> = text.parse().ok();
        let named = image.as_ref().map_or(text, |image| image.digest.to_string());
        let running = ready.filter(|ready| 0 < *ready).map(|ready| (named, ready));
        let generation = number("/metadata/generation").unwrap_or_default();
        let all = annotations_of(&self.value);
        observed_service(&self.workload(), &all, (image, running.into_iter().collect()), generation)
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
