//! Two slots of a set of manifests: which one a release takes, how requests go from one to the other, and what becomes of the one
//! that they leave. What is decided is decided in `shipkit_core::manifests`.
//!
//! The order is always the same: everything else is in place, the pods of the slot are ready, then the Services select it, and it
//! is looked whether the cluster sends requests there and nowhere else. The other slot stays for as long as its pods may take to
//! end what they have begun, and keeps its deployments, without pods, for going back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::manifests::{
    Colour, HASH, Id, Object, Rendered, SLOT, SLOTTED, STACK, Seen, choose, is_narrow, is_route, is_spread,
    selects,
};
use tokio::time::{Instant, sleep};

use crate::annotations::{self, Annotations, SET};
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::values::annotations_of;

/// Who owns the selector of a Service, and the rules of a route, on the way from one slot to the other.
pub(crate) const SHIFTING: &str = "shipkit-slot";
/// How long the cluster may take to send requests where a Service says.
pub(crate) const SHIFTED: Duration = Duration::from_secs(30);
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long pods have for ending what they have begun, where their template does not say.
const GRACE: u64 = 30;
/// The annotation of Kubernetes that counts the revisions of a deployment, also on its replica sets.
const COUNT: &str = "deployment.kubernetes.io/revision";

/// A Service that must select other pods before anything else changes.
pub(crate) struct Held {
    pub(crate) service: String,
    pub(crate) selector: Value,
}

impl Held {
    /// A Service that selects one slot from now on.
    pub(crate) fn to_slot(front: &Value, slot: Colour) -> Self {
        Self { service: name(front), selector: selecting(front, SLOT, slot.as_str()) }
    }
}

impl Cluster {
    /// The set in the slot that it takes, and the new names of its deployments.
    pub(crate) async fn in_its_slot(
        &self,
        rendered: Rendered,
    ) -> Result<(Rendered, BTreeMap<Id, Id>), ClusterError> {
        if rendered.slot().is_none() {
            return Ok((rendered, BTreeMap::new()));
        }
        let in_slot = |slot| rendered.clone().in_slot(slot).0.digest();
        let sets: BTreeMap<Colour, Digest> = Colour::BOTH.map(|slot| (slot, in_slot(slot))).into();
        let traffic = self.traffic().await?;
        let mut seen: BTreeMap<Colour, Seen> = BTreeMap::new();
        for (_, value) in self.all_members().await? {
            let Some(slot) = Colour::of(&value) else { continue };
            let all = annotations_of(&value);
            let (set, is_confirmed) = (annotations::set(&all), annotations::is_confirmed(&all));
            let of = Seen { set: set.clone(), is_confirmed, has_traffic: traffic.contains(&slot) };
            let one = seen.entry(slot).or_insert(of);
            // A slot that holds parts of two sets holds neither.
            if one.set != set {
                one.set = None;
            }
            one.is_confirmed &= is_confirmed;
        }
        Ok(rendered.in_slot(choose(&seen, &sets)))
    }

    /// What was recorded, in the slot that it takes.
    pub(crate) async fn recorded_in_its_slot(
        &self,
        rendered: Rendered,
        workloads: BTreeMap<Id, Annotations>,
    ) -> Result<(Rendered, BTreeMap<Id, Annotations>), ClusterError> {
        let recorded = rendered.digest();
        let (rendered, names) = self.in_its_slot(rendered).await?;
        let digest = rendered.digest();
        let renamed = |(id, mut all): (Id, Annotations)| {
            if annotations::set(&all).as_ref() == Some(&recorded) {
                all.insert(SET.to_owned(), digest.to_string());
            }
            (names.get(&id).cloned().unwrap_or(id), all)
        };
        Ok((rendered, workloads.into_iter().map(renamed).collect()))
    }

    /// The slots that Services of the stack send requests to.
    pub(crate) async fn traffic(&self) -> Result<BTreeSet<Colour>, ClusterError> {
        let slots =
            |front: &Value| Colour::BOTH.into_iter().filter(|slot| is_sent_to(front, *slot)).collect();
        Ok(self.fronts().await?.iter().flat_map::<Vec<_>, _>(slots).collect())
    }

    /// The Services of the stack.
    pub(crate) async fn fronts(&self) -> Result<Vec<Value>, ClusterError> {
        let ours = ListParams::default().labels(&format!("{STACK}={}", self.stack()));
        let listed = self.ask("list services", self.services().list(&ours)).await?;
        Ok(listed.items.into_iter().map(|service| json!(service)).collect())
    }

    /// The Services that would send requests to the slot of the set while it changes: those that do so now, and those without
    /// slots, which would select the pods of any.
    ///
    /// # Errors
    /// When one sends requests to several deployments without slots, or the cluster cannot be asked.
    pub(crate) async fn to_hold(
        &self,
        rendered: &Rendered,
        live: &BTreeMap<Id, Value>,
    ) -> Result<Vec<Held>, ClusterError> {
        let Some(slot) = rendered.slot() else { return Ok(Vec::new()) };
        let set = Some(rendered.digest());
        let in_slot = live.values().filter(|value| Colour::of(value) == Some(slot));
        let mut held = Vec::new();
        if in_slot.map(annotations_of).any(|all| annotations::set(&all) != set) {
            let fronts = self.fronts().await?;
            let of_it = fronts.iter().filter(|front| is_sent_to(front, slot));
            held.extend(of_it.map(|front| Held::to_slot(front, slot.other())));
        }
        let wide = rendered.fronts().filter_map(|id| live.get(id)).filter(|front| !is_narrow(front));
        let wide: Vec<&Value> = wide.collect();
        if !wide.is_empty() {
            let all = self.list_deployments().await?;
            for front in wide {
                held.extend(self.as_it_is(front, &all).await?);
            }
        }
        Ok(held)
    }

    /// A Service that selects exactly the pods of the one deployment without slots that it sends requests to now.
    async fn as_it_is(&self, front: &Value, all: &[Deployment]) -> Result<Option<Held>, ClusterError> {
        let is_selected = |one: &&Deployment| {
            let labels = one.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref()?.labels.as_ref());
            !one.labels().contains_key(SLOT) && selects(front, Some(&json!(labels)))
        };
        let selected: Vec<&Deployment> = all.iter().filter(is_selected).collect();
        match selected.as_slice() {
            [] => Ok(None),
            [one] => {
                let hash = self.hash(one).await?;
                Ok(hash.map(|hash| Held { service: name(front), selector: selecting(front, HASH, &hash) }))
            }
            several => Err(ClusterError::ManyBehind {
                service: name(front),
                deployments: several.iter().map(|one| one.name_any()).collect(),
            }),
        }
    }

    /// The label by which the pods are known that a deployment has now.
    async fn hash(&self, deployment: &Deployment) -> Result<Option<String>, ClusterError> {
        let sets: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = self.ask("list replicasets", sets.list(&ListParams::default())).await?;
        let uid = deployment.metadata.uid.as_deref();
        let count = deployment.annotations().get(COUNT);
        let newest = all.items.into_iter().find(|set| {
            let is_its = set.owner_references().iter().any(|owner| Some(owner.uid.as_str()) == uid);
            is_its && count.is_some() && set.annotations().get(COUNT) == count
        });
        Ok(newest.and_then(|set| set.labels().get(HASH).cloned()))
    }

    /// Sends requests there, where that is a slot only if anything is ready in it.
    pub(crate) async fn hold(&self, held: &[Held]) -> Result<(), ClusterError> {
        for Held { service, selector } in held.iter().filter(|one| one.selector.get(SLOT).is_some()) {
            self.ready_pods(service, selector).await?;
        }
        for Held { service, selector } in held {
            let body = json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": service}, "spec": {"selector": selector},
            });
            let how = PatchParams::apply(SHIFTING).force();
            self.ask("patch services", self.services().patch(service, &how, &Patch::Apply(body))).await?;
        }
        for Held { service, selector } in held {
            match self.arrives(service, selector).await {
                // They served nobody before.
                Err(ClusterError::NobodyThere { .. }) => {}
                arrived => arrived?,
            }
        }
        Ok(())
    }

    /// Lets the Services of the set select its slot, once that has ready pods, and sees that requests go there and nowhere else.
    /// Nothing where it has no slots and had none.
    pub(crate) async fn shift(
        &self,
        rendered: &Rendered,
        live: &BTreeMap<Id, Value>,
        how: &PatchParams,
    ) -> Result<(), ClusterError> {
        let shifted = rendered.shifted(live);
        let objects =
            || rendered.objects().iter().filter(|one| shifted.contains(one.id()) && !is_route(one.id()));
        let fronts = || objects().filter(|object| object.id().is("", "Service"));
        for front in fronts() {
            self.ready_pods(&front.id().name, selector(front)).await?;
        }
        for object in objects() {
            self.write(object, None, how).await?;
        }
        // From now on autoscalers have what the slot came with.
        for object in rendered.objects().iter().filter(|object| Colour::of(object.value()).is_some()) {
            self.hand_over(rendered, object, live.get(object.id())).await?;
        }
        for front in fronts() {
            self.arrives(&front.id().name, selector(front)).await?;
        }
        self.leave_weights(rendered, live, how).await
    }

    /// Lets the Services of a set without slots select exactly its own pods, where they mean a slot now.
    pub(crate) async fn leave_slots(
        &self,
        rendered: &Rendered,
        live: &BTreeMap<Id, Value>,
    ) -> Result<(), ClusterError> {
        let shifted = rendered.shifted(live);
        let all = self.list_deployments().await?;
        let mut held = Vec::new();
        for front in rendered.objects().iter().filter(|object| shifted.contains(object.id())) {
            if front.id().is("", "Service") {
                held.extend(self.as_it_is(front.value(), &all).await?);
            }
        }
        self.hold(&held).await
    }

    /// The pods with these labels that are ready.
    ///
    /// # Errors
    /// When there is none: requests that go there are lost.
    pub(crate) async fn ready_pods(
        &self,
        service: &str,
        selector: &Value,
    ) -> Result<BTreeSet<String>, ClusterError> {
        let labels = selector.as_object().into_iter().flatten();
        let labels: Vec<String> =
            labels.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let how = ListParams::default().labels(&labels.join(","));
        let listed = self.ask("list pods", pods.list(&how)).await?;
        let ready: BTreeSet<String> =
            listed.iter().filter(|pod| is_ready(pod)).map(kube::ResourceExt::name_any).collect();
        if ready.is_empty() {
            return Err(ClusterError::NobodyThere {
                service: service.to_owned(),
                selector: labels.join(","),
            });
        }
        Ok(ready)
    }

    /// Waits until a Service sends requests to pods with these labels, and to no others; where they are those of both slots, to all
    /// of them.
    pub(crate) async fn arrives(&self, service: &str, selector: &Value) -> Result<(), ClusterError> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let of = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
        let begun = Instant::now();
        loop {
            let ready = self.ready_pods(service, selector).await?;
            let listed = self.ask("list endpointslices", slices.list(&of)).await?;
            let endpoints = listed.iter().flat_map(|slice| &slice.endpoints);
            let used = endpoints.filter(|one| {
                // Nothing said counts as ready.
                one.conditions.as_ref().is_none_or(|all| all.ready != Some(false))
            });
            let used: Vec<_> =
                used.map(|one| one.target_ref.as_ref().and_then(|to| to.name.clone())).collect();
            let is_its = |name: &Option<String>| name.as_ref().is_some_and(|name| ready.contains(name));
            let named: BTreeSet<&String> = used.iter().flatten().collect();
            let is_enough = selector.get(SLOTTED).is_none() || named.len() == ready.len();
            if !used.is_empty() && used.iter().all(is_its) && is_enough {
                return Ok(());
            }
            if SHIFTED <= begun.elapsed() {
                let (service, within) = (service.to_owned(), SHIFTED.as_secs());
                return Err(ClusterError::NotShifted { service, within });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// How many pods a deployment of the set gets that does not say so itself: as many as serve now.
    pub(crate) fn size(
        object: &Object,
        rendered: &Rendered,
        there: Option<&Value>,
        members: &[(Id, Value)],
    ) -> Option<u64> {
        let slot = Colour::of(object.value())?;
        let replicas = |value: &Value| value.pointer("/spec/replicas").and_then(Value::as_u64);
        if replicas(object.value()).is_some() {
            return None;
        }
        // What is a member although it has no pods would be one that serves.
        let serves = members.iter().any(|(id, _)| id == object.id());
        if serves && rendered.scaled().contains(object.id()) {
            return None;
        }
        let base = object.id().name.strip_suffix(slot.as_str()).unwrap_or_default();
        let before = [format!("{base}{}", slot.other()), base.trim_end_matches('-').to_owned()];
        let of =
            |name: &String| members.iter().find(|(id, _)| id.name == *name && id.is("apps", "Deployment"));
        let other = before.iter().find_map(of).and_then(|(_, value)| replicas(value));
        let own = there.filter(|_| serves).and_then(replicas);
        Some(own.or(other).unwrap_or(1).max(1))
    }

    /// Waits until the pods of these deployments have had the time to end what they have begun since a Service of the set that
    /// stays began to select what it does.
    pub(crate) async fn drain<'a>(
        &self,
        rendered: &Rendered,
        leaving: impl Iterator<Item = &'a Id>,
    ) -> Result<(), ClusterError> {
        let mut grace = None;
        for id in leaving {
            let found = self.ask("get deployments", self.deployments().get_opt(&id.name)).await?;
            let Some(spec) = found.and_then(|found| found.spec) else { continue };
            if spec.replicas != Some(0) {
                let said = spec.template.spec.and_then(|spec| spec.termination_grace_period_seconds);
                grace = grace.max(Some(said.and_then(|said| u64::try_from(said).ok()).unwrap_or(GRACE)));
            }
        }
        let Some(grace) = grace.map(Duration::from_secs) else { return Ok(()) };
        let stays = |front: &&Value| {
            rendered.objects().iter().any(|one| one.id().is("", "Service") && one.id().name == name(front))
        };
        let fronts = self.fronts().await?;
        if let Some(shifted) = fronts.iter().filter(stays).filter_map(selected_since).max() {
            let since = Timestamp::now().duration_since(shifted).unsigned_abs();
            sleep(grace.saturating_sub(since)).await;
        }
        Ok(())
    }

    /// Whether a deployment has pods, or is to have some.
    pub(crate) async fn has_pods(&self, id: &Id) -> Result<bool, ClusterError> {
        let found = self.ask("get deployments", self.deployments().get_opt(&id.name)).await?;
        Ok(found.and_then(|found| found.spec).is_some_and(|spec| spec.replicas != Some(0)))
    }

    /// Takes the pods of a deployment away and keeps it.
    pub(crate) async fn empty(&self, id: &Id) -> Result<(), ClusterError> {
        self.resize(&BTreeMap::from([(id.clone(), 0)])).await.map(drop)
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Whether a Service sends requests to a slot, alone or beside the other one.
fn is_sent_to(front: &Value, slot: Colour) -> bool {
    is_spread(front) || Colour::selected(front) == Some(slot)
}

pub(crate) fn name(value: &Value) -> String {
    value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn selector(front: &Object) -> &Value {
    front.value().pointer("/spec/selector").unwrap_or(&Value::Null)
}

/// The selector of a Service with one label more, which says which pods of which slots are meant.
fn selecting(front: &Value, key: &str, text: &str) -> Value {
    let mut selector = front.pointer("/spec/selector").cloned().unwrap_or_else(|| json!({}));
    if let Some(labels) = selector.as_object_mut() {
        labels.remove(SLOTTED);
        labels.insert(key.to_owned(), json!(text));
    }
    selector
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let mut ready = conditions.filter(|one| one.type_ == "Ready" && one.status == "True");
    pod.metadata.deletion_timestamp.is_none() && ready.next().is_some()
}

/// Since when a Service selects what it does, by the clock of the cluster.
fn selected_since(front: &Value) -> Option<Timestamp> {
    let managers = front.pointer("/metadata/managedFields")?.as_array()?.iter();
    let owner = managers
        .filter(|one| one.get("fieldsV1").and_then(|fields| fields.pointer("/f:spec/f:selector")).is_some());
    owner.filter_map(|one| one.get("time")?.as_str()?.parse().ok()).max()
}
