//! Requests go to a slot in steps: with each, some pods more, beside all of the other slot. Which steps there are, and which one is
//! next, says the cluster itself by what is there; it is decided in `shipkit_core::manifests`.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use shipkit_core::manifests::{
    Colour, Course, Id, Rendered, SLOTTED, Sizes, Step, both_slots, is_spread, second_name, selects,
};

use crate::annotations;
use crate::change::Applied;
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::set::REPLICAS;
use crate::slots::{Held, name};
use crate::values::annotations_of;

impl Cluster {
    /// The way of the set to all requests, as it would begin now; `None` where requests shift at once, because nothing says
    /// otherwise or nothing good serves in the other slot.
    pub(crate) async fn course(
        &self,
        rendered: &Rendered,
        members: &[(Id, Value)],
    ) -> Result<Option<Course>, ClusterError> {
        let Some(slot) = rendered.slot().filter(|_| !self.place.canary.is_empty()) else { return Ok(None) };
        if !self.traffic().await?.contains(&slot.other()) {
            return Ok(None);
        }
        let objects = rendered.objects().iter().filter(|object| Colour::of(object.value()) == Some(slot));
        // Nothing begins that could not go on.
        rendered.seconds()?;
        rendered.check_spread(&self.fronts().await?)?;
        let sizes = objects.filter_map(|object| {
            let old = beside(object.id(), slot, members)?;
            let full = pods(object.value()).unwrap_or(old);
            let is_weighed = rendered.is_weighed(object);
            (full != 0).then(|| (object.id().clone(), Sizes { old, full, is_weighed }))
        });
        let sizes: BTreeMap<Id, Sizes> = sizes.collect();
        Ok((!sizes.is_empty()).then(|| Course::new(sizes, &self.place.canary)))
    }

    /// How many pods the deployments of a set get at first that gets its requests in steps: what has some already keeps them.
    pub(crate) async fn first_pods(
        &self,
        rendered: &Rendered,
        live: &BTreeMap<Id, Value>,
        members: &[(Id, Value)],
    ) -> Result<BTreeMap<Id, u64>, ClusterError> {
        let Some(course) = self.course(rendered, members).await? else { return Ok(BTreeMap::new()) };
        let (traffic, set) = (self.traffic().await?, Some(rendered.digest()));
        let has_requests = rendered.slot().is_some_and(|slot| traffic.contains(&slot));
        let of_it = live.iter().filter(|(_, value)| annotations::set(&annotations_of(value)) == set);
        let there = of_it.filter(|_| has_requests).filter_map(|(id, value)| Some((id.clone(), pods(value)?)));
        Ok(course.first(&there.collect()))
    }

    /// The way of the manifests to all requests and the steps that are left of it; `None` where requests shift at once.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn steps(&self) -> Result<Option<(Course, Vec<Step>)>, ClusterError> {
        let Some(rendered) = &self.manifests else { return Ok(None) };
        let Some(course) = self.course(rendered, &self.members().await?).await? else { return Ok(None) };
        let mut there = BTreeMap::new();
        for id in course.deployments() {
            let found = self.ask("get deployments", self.deployments().get_opt(&id.name)).await?;
            let replicas =
                found.and_then(|found| found.spec?.replicas).and_then(|all| u64::try_from(all).ok());
            there.extend(replicas.map(|replicas| (id.clone(), replicas)));
        }
        let left = course.from(&there, self.weight(rendered).await?).to_vec();
        Ok(Some((course, left)))
    }

    /// How requests would come to the manifests, a line for each deployment; nothing where no steps are asked for.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn way(&self) -> Result<Vec<String>, ClusterError> {
        let Some(rendered) = self.manifests.as_ref().filter(|_| !self.place.canary.is_empty()) else {
            return Ok(Vec::new());
        };
        Ok(match self.course(rendered, &self.members().await?).await? {
            Some(course) => course.lines(),
            None => vec!["requests shift at once: no release that is good serves in another slot".to_owned()],
        })
    }

    /// Gives deployments so many pods. Gives the generation of each by name.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn resize(&self, pods: &BTreeMap<Id, u64>) -> Result<BTreeMap<String, i64>, ClusterError> {
        let (deployments, how) = (self.deployments(), PatchParams::apply(REPLICAS).force());
        let mut generations = BTreeMap::new();
        for (Id { name, .. }, pods) in pods {
            let body = json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": name}, "spec": {"replicas": pods},
            });
            let body = Patch::Apply(body);
            let changed = self.ask("patch deployments", deployments.patch(name, &how, &body)).await?;
            generations.insert(name.clone(), changed.metadata.generation.unwrap_or_default());
        }
        Ok(generations)
    }

    /// Lets the Services that mean the other slot mean both, and sees that requests go to all pods of both and nowhere else. One that
    /// would not find the pods of this slot stays as it is, and one that gets its requests by routes: these send so many percent of
    /// them to the new slot.
    ///
    /// # Errors
    /// When the cluster does not do it, refuses or cannot be asked.
    pub async fn spread(&self, percent: u8) -> Result<(), ClusterError> {
        let Some(rendered) = &self.manifests else { return Ok(()) };
        let Some(slot) = rendered.slot() else { return Ok(()) };
        let of_slot = rendered.objects().iter().filter(|object| Colour::of(object.value()) == Some(slot));
        let labels: Vec<_> = of_slot.map(|object| object.value().pointer(LABELS)).collect();
        let named: BTreeSet<&str> = rendered.fronts().map(|id| id.name.as_str()).collect();
        let named = &named - &rendered.routed();
        let fronts = self.fronts().await?;
        let meant = fronts.iter().filter(|front| {
            let sends = is_spread(front) || Colour::selected(front) == Some(slot.other());
            sends && named.contains(name(front).as_str())
        });
        let held = meant.filter_map(|front| {
            let selector = both_slots(front);
            let both = json!({"spec": {"selector": selector}});
            let finds = labels.iter().any(|labels| selects(&both, *labels));
            finds.then(|| Held { service: name(front), selector })
        });
        self.hold(&held.collect::<Vec<_>>()).await?;
        self.weigh(rendered, percent).await
    }

    /// The Services that send requests to both slots, to be changed so that they mean the slot of a set alone, where that is as it
    /// should be: going back needs no steps.
    pub(crate) async fn to_leave_steps(
        &self,
        rendered: &Rendered,
        live: &BTreeMap<Id, Value>,
    ) -> Result<Vec<Held>, ClusterError> {
        let Some(slot) = rendered.slot() else { return Ok(Vec::new()) };
        let set = Some(rendered.digest());
        let mut in_slot = live.values().filter(|value| Colour::of(value) == Some(slot));
        if !in_slot.all(|value| annotations::set(&annotations_of(value)) == set) {
            return Ok(Vec::new());
        }
        let (mut held, fronts) = (Vec::new(), self.fronts().await?);
        let spread = fronts.iter().filter(|front| is_spread(front)).map(|front| Held::to_slot(front, slot));
        for one in spread.chain(Self::seconds_to(rendered, &fronts, slot)) {
            match self.ready_pods(&one.service, &one.selector).await {
                Ok(_) => held.push(one),
                // They are waited for before requests shift.
                Err(ClusterError::NobodyThere { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }

    /// Which share of requests goes to which release, a sentence for each Service that sends them to both slots, and for each route
    /// that weighs them.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn shares(&self) -> Result<Vec<String>, ClusterError> {
        if !self.place.has_manifests {
            return Ok(Vec::new());
        }
        let fronts = self.fronts().await?;
        let spread: Vec<&Value> = fronts.iter().filter(|front| is_spread(front)).collect();
        let is_second = |one: &Value| fronts.iter().any(|first| second_name(&name(first)) == name(one));
        if spread.is_empty() && !fronts.iter().any(is_second) {
            return Ok(Vec::new());
        }
        let members = self.all_members().await?;
        let mut told: Vec<String> = spread.into_iter().map(|front| shares(front, &members)).collect();
        told.extend(self.weights(&fronts, &members).await?);
        Ok(told)
    }
}

impl Applied {
    /// The same after it got another number of pods, if it is among these.
    pub fn resized(&mut self, generations: &BTreeMap<String, i64>) {
        if let Some(generation) = generations.get(&self.workload.name) {
            self.generation = *generation;
        }
    }
}

/// Where a deployment has the labels of its pods.
const LABELS: &str = "/spec/template/metadata/labels";

/// How many pods serve in the other slot, of a release that is good and whose pods can be told from those without slots.
fn beside(id: &Id, slot: Colour, members: &[(Id, Value)]) -> Option<u64> {
    let base = id.name.strip_suffix(slot.as_str())?;
    let other = Id { name: format!("{base}{}", slot.other()), ..id.clone() };
    let (_, value) = members.iter().find(|(one, _)| *one == other)?;
    let is_told = value.pointer(LABELS).is_some_and(|labels| labels.get(SLOTTED).is_some());
    let is_good = annotations::is_confirmed(&annotations_of(value));
    pods(value).filter(|pods| is_told && is_good && *pods != 0)
}

fn pods(value: &Value) -> Option<u64> {
    value.pointer("/spec/replicas").and_then(Value::as_u64)
}

fn shares(front: &Value, members: &[(Id, Value)]) -> String {
    let mut ready: BTreeMap<String, u64> = BTreeMap::new();
    for (_, value) in members.iter().filter(|(_, value)| selects(front, value.pointer(LABELS))) {
        let version = annotations::stamp(&annotations_of(value)).map(|stamp| stamp.called().to_owned());
        let pods = value.pointer("/status/readyReplicas").and_then(Value::as_u64).unwrap_or_default();
        *ready.entry(version.unwrap_or_default()).or_default() += pods;
    }
    let all: u64 = ready.values().sum();
    let one = |(version, pods): (&String, &u64)| {
        let share = Sizes { old: all - pods, full: *pods, is_weighed: false }.share(*pods);
        format!("{share} % to {version}")
    };
    let told: Vec<_> = ready.iter().map(one).collect();
    format!("`Service/{}` sends {} of its requests, by their ready pods", name(front), told.join(" and "))
}
