//! Manifests in a cluster: a release is all of its objects, applied together, recorded together and taken back together.
//!
//! Objects are written by server-side apply. On the way forward a field that somebody else has set to something else is a
//! conflict and is told; on the way back the record counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use shipkit_core::history::{Entry, Kept, Means};
use shipkit_core::journal::Migration;
use shipkit_core::manifests::{Fate, Id, Kind, Manifests, Object, Part, Rendered, STACK, Wanted};
use shipkit_core::rollout::Purpose;
use shipkit_core::target::{Change, Desired};
use tokio::time::{Instant, sleep};

use crate::annotations::{self, Annotations, Ours, RECORD};
use crate::change::{Applied, CONFIRMING, MANAGER};
use crate::cluster::{Cluster, Workload};
use crate::error::{ClusterError, Conflict};
use crate::expected::WorkloadKind;
use crate::records::Record;
use crate::standing::{good, images, of_entry, remembered, to_write, users};
use crate::values::{annotate, annotations_of, generation, owns_replicas, valued};

/// Who owns `replicas` of what an autoscaler scales, until that has scaled it for the first time, and of a slot without pods.
pub(crate) const REPLICAS: &str = "shipkit-replicas";
/// How many objects are asked for at the same time.
pub(crate) const AT_ONCE: usize = 8;
/// How long a definition may take until its kind is served.
const SERVED: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What of a set is there, and what a deploy writes beside it.
struct Live<'a> {
    all: &'a BTreeMap<Id, Value>,
    members: &'a [(Id, Value)],
    ours: &'a BTreeMap<Id, Annotations>,
    /// How many pods deployments get that do not get all of theirs at once.
    pods: BTreeMap<Id, u64>,
}

/// What brings back what was there before manifests were applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    pub(crate) record: String,
}

/// What is left to do once all that was put back has arrived.
#[derive(Debug)]
pub struct Rest {
    rendered: Rendered,
    back: Back,
}

impl Cluster {
    /// Renders manifests for this cluster, with the image of each service: they are what is deployed from now on. Gives what
    /// people should know about them.
    ///
    /// # Errors
    /// When they cannot be deployed to this cluster, or it cannot be asked.
    pub async fn render(
        &mut self,
        manifests: Manifests,
        services: &BTreeMap<String, Part>,
    ) -> Result<Vec<String>, ClusterError> {
        let scopes = self.learn(manifests.foreign_kinds()).await?.scopes();
        let scaled = self.scaled().await?;
        let stack = self.stack();
        let wanted =
            Wanted { stack: &stack, namespace: &self.namespace, scopes: &scopes, services, scaled: &scaled };
        let (rendered, _) = self.in_its_slot(manifests.rendered(&wanted)?).await?;
        // What is too large to be recorded could not be gone back to.
        rendered.record()?;
        let remarks = rendered.remarks().iter().map(ToString::to_string).collect();
        self.manifests = Some(Arc::new(rendered));
        Ok(remarks)
    }

    /// The digest of the manifests that are deployed.
    #[must_use]
    pub fn manifests_digest(&self) -> Option<shipkit_core::Digest> {
        self.manifests.as_ref().map(|rendered| rendered.digest())
    }

    /// The name of the stack: no other in the cluster has it, for objects of the cluster carry it, too.
    pub(crate) fn stack(&self) -> String {
        format!("{}.{}", self.place.project, self.namespace)
    }

    /// What applying the manifests does to each object that it changes, as the cluster itself says. Nothing is kept.
    ///
    /// # Errors
    /// When others own fields that the manifests set (all are named), the cluster refuses an object or cannot be asked.
    pub async fn objects(&self) -> Result<Vec<Change>, ClusterError> {
        let Some(rendered) = &self.manifests else { return Ok(Vec::new()) };
        self.learn(rendered.kinds()).await?;
        let comes = match self.own_namespace(rendered) {
            Some(namespace) => self.current(namespace).await?.is_none(),
            None => false,
        };
        let members = if rendered.slot().is_some() { self.members().await? } else { Vec::new() };
        let fates = rendered.objects().iter().map(|object| self.fate((rendered, object), comes, &members));
        let fates: Vec<_> = stream::iter(fates).buffered(AT_ONCE).collect().await;
        let (mut changes, mut conflicts, mut refused) = (Vec::new(), Vec::new(), None);
        for (object, fate) in rendered.objects().iter().zip(fates) {
            match fate {
                Ok(Fate::Kept) => {}
                Ok(fate) => changes.push(Change::Object { object: object.id().to_string(), fate }),
                Err(ClusterError::Conflicts(more)) => conflicts.extend(more),
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        // What belongs to others may be why an object is refused.
        if !conflicts.is_empty() {
            return Err(ClusterError::Conflicts(conflicts));
        }
        if let Some(error) = refused {
            return Err(error);
        }
        for (id, _, fate) in self.surplus(rendered).await? {
            changes.push(Change::Object { object: id.to_string(), fate });
        }
        Ok(changes)
    }

    /// Applies all objects in their order. Gives what is to be watched, and what brings back what was there: also where it
    /// fails half way.
    pub async fn apply_all(
        &self,
        desired: &Desired,
        changes: &[Change],
    ) -> (Vec<Applied>, Option<Back>, Result<(), ClusterError>) {
        let (mut applied, mut back) = (Vec::new(), None);
        let told = self.carry_out((desired, changes), &mut applied, &mut back).await;
        (applied, back, told)
    }

    /// Makes the namespace, if the manifests have it and the cluster does not: the lease lies there.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn make_namespace(&self) -> Result<(), ClusterError> {
        let Some(rendered) = &self.manifests else { return Ok(()) };
        let Some(namespace) = self.own_namespace(rendered) else { return Ok(()) };
        self.make_once(namespace).await
    }

    /// Makes what pods need before they can start and what is not there yet. What is there stays as it is.
    pub(crate) async fn make_what_pods_need(&self) -> Result<(), ClusterError> {
        let Some(rendered) = &self.manifests else { return Ok(()) };
        for object in rendered.needed_by_pods() {
            self.make_once(object).await?;
        }
        Ok(())
    }

    async fn make_once(&self, object: &Object) -> Result<(), ClusterError> {
        if self.current(object).await?.is_some() {
            return Ok(());
        }
        self.serve(object).await?;
        self.write(object, None, &PatchParams::apply(MANAGER)).await.map(drop)
    }

    /// The namespace, if it is one of the objects.
    fn own_namespace<'a>(&self, rendered: &'a Rendered) -> Option<&'a Object> {
        let is_it = |object: &&Object| object.id().is("", "Namespace") && object.id().name == self.namespace;
        rendered.objects().iter().find(is_it)
    }

    async fn carry_out(
        &self,
        (desired, changes): (&Desired, &[Change]),
        applied: &mut Vec<Applied>,
        back: &mut Option<Back>,
    ) -> Result<(), ClusterError> {
        let Some(rendered) = &self.manifests else { return Ok(()) };
        let live = self.all_current(rendered).await?;
        let members = self.members().await?;
        let good = good(rendered, &live, &members);
        if changes.iter().all(Change::is_none) {
            // A run that was killed may have left it unconfirmed: if that fails now, the good state before comes back.
            let is_left = live.values().any(|value| !annotations::is_confirmed(&annotations_of(value)));
            *back = good.record.filter(|_| is_left).map(|record| Back { record });
            for id in users(rendered) {
                let Some(value) = live.get(&id) else { continue };
                let state = Ours::of(&annotations_of(value), images(rendered, &id, value));
                applied.push(self.applied((rendered, &id), Purpose::Deploy, value, &state));
            }
            return Ok(());
        }
        let before = match good.record.clone() {
            Some(record) => record,
            None => self.record_what_is_there(rendered, &live).await?,
        };
        *back = Some(Back { record: before.clone() });
        let name = self.record_name(&desired.stamp, &rendered.digest());
        let written: BTreeMap<Id, Ours> = users(rendered)
            .into_iter()
            .map(|id| (id.clone(), to_write(rendered, &id, desired, (&good, &before), &name)))
            .collect();
        let confirmed = written.iter().map(|(id, state)| (id.clone(), state.confirmed())).collect();
        self.write_record(&name, rendered, &confirmed).await?;
        let ours = written.into_iter().map(|(id, state)| (id, state.annotations)).collect();
        self.hold(&self.to_hold(rendered, &live).await?).await?;
        let pods = self.first_pods(rendered, &live, &members).await?;
        let there = Live { all: &live, members: &members, ours: &ours, pods };
        self.put_all(rendered, &there, Purpose::Deploy, applied).await
    }

    /// Once all that was applied has arrived: sends requests to it, where that is no matter of course, because it is in a slot or
    /// what was there before was in one.
    ///
    /// # Errors
    /// When nothing there is ready, the cluster does not do it, refuses or cannot be asked.
    pub async fn shift_all(&self) -> Result<(), ClusterError> {
        let Some(rendered) = &self.manifests else { return Ok(()) };
        if rendered.slot().is_none() && self.traffic().await?.is_empty() {
            return Ok(());
        }
        let live = self.all_current(rendered).await?;
        self.shift(rendered, &live, &PatchParams::apply(MANAGER)).await
    }

    /// Applies what was recorded, whoever owns it now. Gives what is to be watched, also where something fails, for what was put
    /// back is back all the same; and what is left to do once it has arrived.
    pub async fn go_back(&self, back: &Back) -> (Vec<Applied>, Result<Rest, ClusterError>) {
        let mut applied = Vec::new();
        let rest = self.bring_back(back, &mut applied).await;
        (applied, rest)
    }

    async fn bring_back(&self, back: &Back, applied: &mut Vec<Applied>) -> Result<Rest, ClusterError> {
        let Record { rendered, workloads, .. } = self.read_record(&back.record).await?;
        let (rendered, workloads) = self.recorded_in_its_slot(rendered, workloads).await?;
        let live = self.all_current(&rendered).await?;
        self.hold(&self.to_hold(&rendered, &live).await?).await?;
        self.hold(&self.to_leave_steps(&rendered, &live).await?).await?;
        let (members, pods) = (self.members().await?, BTreeMap::new());
        let there = Live { all: &live, members: &members, ours: &workloads, pods };
        self.put_all(&rendered, &there, Purpose::Restore, applied).await?;
        Ok(Rest { rendered, back: back.clone() })
    }

    /// Once all that was put back has arrived: sends requests to it, and removes what came with the release that is left.
    ///
    /// # Errors
    /// When nothing there is ready, the cluster does not do it, refuses or cannot be asked.
    pub async fn finish(&self, rest: &Rest) -> Result<(), ClusterError> {
        let Rest { rendered, back } = rest;
        let live = self.all_current(rendered).await?;
        let how = PatchParams::apply(MANAGER).force();
        if rendered.slot().is_some() {
            self.shift(rendered, &live, &how).await?;
            self.remove_surplus(rendered).await?;
        } else {
            // What has no slots selects the pods of any: they go first.
            self.leave_slots(rendered, &live).await?;
            self.leave_weights(rendered, &live, &how).await?;
            self.remove_surplus(rendered).await?;
            self.shift(rendered, &live, &how).await?;
        }
        if back.record == self.before_name() {
            self.remove_record(&back.record).await?;
        }
        self.remove_old_records().await
    }

    /// Whether releases are manifests.
    #[must_use]
    pub fn has_manifests(&self) -> bool {
        self.place.has_manifests
    }

    /// Goes back to what an entry of the history keeps; without one, to what the release remembers that is there. Gives what is
    /// to be watched and left to do, as [`go_back`](Self::go_back) does.
    pub async fn put_all_back(&self, entry: Option<&Entry>) -> (Vec<Applied>, Result<Rest, ClusterError>) {
        let back = match entry {
            Some(entry) => Ok(of_entry(entry)),
            None => self.members().await.map(|members| remembered(&members)),
        };
        match back {
            Ok(Some(back)) => self.go_back(&back).await,
            Ok(None) => (Vec::new(), Err(ClusterError::NothingBefore(self.stack()))),
            Err(error) => (Vec::new(), Err(error)),
        }
    }

    /// Puts back what is there, where manifests are applied: a run that was killed may have left the last of it. Gives what is to
    /// be watched and left to do, as [`go_back`](Self::go_back) does; nothing where there is nothing of ours.
    pub async fn put_there_again(&self) -> (Vec<Applied>, Result<Option<Rest>, ClusterError>) {
        if !self.place.has_manifests {
            return (Vec::new(), Ok(None));
        }
        let members = match self.members().await {
            Ok(members) => members,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let all = members.iter().map(|(_, value)| annotations_of(value));
        let named = all.filter_map(|all| Some((annotations::stamp(&all)?.time, all.get(RECORD)?.clone())));
        let Some((_, record)) = named.max() else { return (Vec::new(), Ok(None)) };
        let (applied, rest) = self.go_back(&Back { record }).await;
        (applied, rest.map(Some))
    }

    /// Writes on everything that runs a service of this release that it was seen to succeed.
    pub(crate) async fn confirm_all(&self, desired: &Desired) -> Result<(), ClusterError> {
        let release = desired.stamp.release.as_str();
        let members = self.members().await?;
        let unconfirmed = members.iter().filter_map(|(id, value)| {
            let all = annotations_of(value);
            let is_ours = annotations::mark(&all).is_some_and(|(of, _)| of == release);
            let confirmation =
                Ours::confirmation(&all).filter(|_| is_ours && !annotations::is_confirmed(&all))?;
            Some(self.put_confirmation(id, confirmation))
        });
        let confirmed: Vec<_> = stream::iter(unconfirmed).buffered(AT_ONCE).collect().await;
        confirmed.into_iter().collect()
    }

    async fn put_confirmation(&self, id: &Id, confirmation: Annotations) -> Result<(), ClusterError> {
        let kind = Kind { group: id.group.clone(), version: "v1".to_owned(), kind: id.kind.clone() };
        let Some(resource) = self.resource(&kind).await? else { return Ok(()) };
        let body = json!({
            "apiVersion": kind.api_version(), "kind": kind.kind,
            "metadata": {"name": id.name, "annotations": confirmation},
        });
        let (objects, how) = (self.objects_of(&resource), PatchParams::apply(CONFIRMING).force());
        self.ask("patch", objects.patch(&id.name, &how, &Patch::Apply(body))).await.map(drop)
    }

    /// Makes the release a part of the history.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn remember(
        &self,
        desired: &Desired,
        migration: Migration,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        let Some(rendered) = &self.manifests else { return Ok(()) };
        let (release, set) = (desired.stamp.release.as_str(), Some(rendered.digest()));
        let record = self.members().await?.into_iter().find_map(|(_, value)| {
            let all = annotations_of(&value);
            let is_ours = annotations::mark(&all).is_some_and(|(of, _)| of == release);
            let is_its = is_ours && annotations::set(&all) == set;
            all.get(RECORD).filter(|_| is_its).cloned()
        });
        let record = record.ok_or_else(|| ClusterError::NoRecord(desired.stamp.version.clone()))?;
        let there = self.read_record(&record).await?;
        if there.entry.is_none() {
            let means = || Means::Specification(json!({"record": record}));
            let kept = |image| Kept { image: Some(image), means: means() };
            let services =
                desired.services.iter().map(|one| (one.name.clone(), kept(one.image.clone()))).collect();
            // The deploy that put it there, which a later one of the same may have found.
            let stamp = there.workloads.values().find_map(annotations::stamp);
            let stamp = stamp.unwrap_or_else(|| desired.stamp.clone());
            self.confirm_record(&record, &Entry::new(stamp, now, migration, services)).await?;
        }
        Ok(())
    }

    /// The releases that were confirmed, the newest first, and what of the history cannot be read.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn history(&self) -> Result<(Vec<Entry>, Vec<String>), ClusterError> {
        let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
        for (name, record) in self.records(&self.stack()).await? {
            match record {
                Ok(record) => entries.extend(record.entry),
                Err(error) => unreadable.push(format!("secret `{name}`: {error}")),
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.confirmed));
        Ok((entries, unreadable))
    }

    /// What becomes of one object. Where its namespace or its kind only comes with the others, it is new.
    async fn fate(
        &self,
        (rendered, object): (&Rendered, &Object),
        comes: bool,
        members: &[(Id, Value)],
    ) -> Result<Fate, ClusterError> {
        let is_inside = object.id().namespace.is_some();
        if comes && is_inside || self.resource(&object.kind()).await?.is_none() {
            return Ok(Fate::Created);
        }
        let now = self.current(object).await?;
        let mut how = PatchParams::apply(MANAGER);
        how.dry_run = true;
        let size = Self::size(object, rendered, now.as_ref(), members);
        let then = self.write(object, Some((&Annotations::new(), size)), &how).await?;
        Ok(Fate::of(now.as_ref(), &then))
    }

    /// Writes all objects in their order, workloads side by side, but for those that change with the traffic. What is to be
    /// watched joins `applied`, also where it fails half way.
    async fn put_all(
        &self,
        rendered: &Rendered,
        there: &Live<'_>,
        purpose: Purpose,
        applied: &mut Vec<Applied>,
    ) -> Result<(), ClusterError> {
        let how = PatchParams { force: purpose == Purpose::Restore, ..PatchParams::apply(MANAGER) };
        let later = rendered.shifted(there.all);
        for step in rendered.steps() {
            let step: Vec<&Object> = step.iter().filter(|object| !later.contains(object.id())).collect();
            for object in &step {
                self.serve(object).await?;
            }
            let written = step.iter().map(|object| async {
                self.hand_over(rendered, object, there.all.get(object.id())).await?;
                let size = there.pods.get(object.id()).copied();
                let size =
                    size.or_else(|| Self::size(object, rendered, there.all.get(object.id()), there.members));
                let more = there.ours.get(object.id()).map(|ours| (ours, size));
                self.write(object, more, &how).await
            });
            let written: Vec<_> = stream::iter(written).buffered(AT_ONCE).collect().await;
            let mut failed = None;
            for (object, after) in step.into_iter().zip(written) {
                let id = object.id();
                match after {
                    Ok(after) => {
                        let is_new = there.all.get(id).map(generation) != Some(generation(&after));
                        if WorkloadKind::of(id).is_some() && (there.ours.contains_key(id) || is_new) {
                            let annotations = there.ours.get(id).cloned().unwrap_or_default();
                            let images = images(rendered, id, &after);
                            let state = Ours { annotations, images };
                            applied.push(self.applied((rendered, id), purpose, &after, &state));
                        }
                    }
                    Err(error) => drop(failed.get_or_insert(error)),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes one object as it should be; where it runs a service with our annotations, and with this many pods, whatever it
    /// says.
    pub(crate) async fn write(
        &self,
        object: &Object,
        more: Option<(&Annotations, Option<u64>)>,
        how: &PatchParams,
    ) -> Result<Value, ClusterError> {
        let (kind, id) = (object.kind(), object.id());
        let resource = self.resource(&kind).await?;
        let resource = resource.ok_or_else(|| ClusterError::NotServed(kind.clone()))?;
        let mut value = object.value().clone();
        for (name, text) in more.into_iter().flat_map(|(ours, _)| ours) {
            annotate(&mut value, name, text);
        }
        let spec = value.get_mut("spec").and_then(Value::as_object_mut);
        if let Some((spec, size)) = spec.zip(more.and_then(|(_, size)| size)) {
            spec.insert("replicas".to_owned(), json!(size));
        }
        let (objects, what) = (self.objects_of(&resource), format!("patch {}", resource.0.plural));
        let patch = Patch::Apply(value);
        let mut written = self.ask(&what, objects.patch(&id.name, how, &patch)).await;
        if let Err(ClusterError::Conflicts(all)) = &written
            && all.iter().all(Conflict::is_ours)
        {
            let how = how.clone().force();
            written = self.ask(&what, objects.patch(&id.name, &how, &patch)).await;
        }
        let named = |conflict: Conflict| Conflict { object: id.to_string(), ..conflict };
        match written {
            Ok(written) => Ok(valued(&written, &kind)),
            Err(ClusterError::Conflicts(all)) => {
                Err(ClusterError::Conflicts(all.into_iter().map(named).collect()))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until a kind is served whose definition was applied just before.
    async fn serve(&self, object: &Object) -> Result<(), ClusterError> {
        let (kind, begun) = (object.kind(), Instant::now());
        while self.resource(&kind).await?.is_none() {
            if SERVED <= begun.elapsed() {
                return Err(ClusterError::NotServed(kind));
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Gives `replicas` of what an autoscaler scales away, where it is ours: a field that its owner does not repeat is removed.
    pub(crate) async fn hand_over(
        &self,
        rendered: &Rendered,
        object: &Object,
        there: Option<&Value>,
    ) -> Result<(), ClusterError> {
        let (id, kind) = (object.id(), object.kind());
        let replicas =
            there.filter(|there| owns_replicas(there)).and_then(|there| there.pointer("/spec/replicas"));
        let (Some(replicas), true) = (replicas, rendered.scaled().contains(id)) else { return Ok(()) };
        let Some(resource) = self.resource(&kind).await? else { return Ok(()) };
        let body = json!({
            "apiVersion": kind.api_version(), "kind": kind.kind,
            "metadata": {"name": id.name}, "spec": {"replicas": replicas},
        });
        let (objects, how) = (self.objects_of(&resource), PatchParams::apply(REPLICAS).force());
        self.ask("patch", objects.patch(&id.name, &how, &Patch::Apply(body))).await.map(drop)
    }

    /// Records what is there before manifests are applied for the first time, and gives the name of the record. What a run
    /// that was killed has recorded stays: what is there now is not what was there then.
    async fn record_what_is_there(
        &self,
        rendered: &Rendered,
        live: &BTreeMap<Id, Value>,
    ) -> Result<String, ClusterError> {
        let name = self.before_name();
        let is_begun = live
            .values()
            .any(|value| value.pointer("/metadata/labels").and_then(|labels| labels.get(STACK)).is_some());
        if is_begun && self.read_record(&name).await.is_ok() {
            return Ok(name);
        }
        let there = rendered.objects().iter().filter_map(|object| live.get(object.id()).cloned());
        let before = rendered.before(there.collect())?;
        let workloads = users(rendered).into_iter().filter_map(|id| {
            let all = annotations_of(live.get(&id)?);
            Some((id, Ours::of(&all, BTreeMap::new()).annotations))
        });
        self.write_record(&name, &before, &workloads.collect()).await?;
        Ok(name)
    }

    /// What is needed to watch an object.
    fn applied(
        &self,
        (rendered, id): (&Rendered, &Id),
        purpose: Purpose,
        after: &Value,
        state: &Ours,
    ) -> Applied {
        let service = rendered.uses().iter().find(|one| one.workload == *id).map(|one| one.service.clone());
        let own = |service: &String| self.place.workloads.iter().find(|one| one.service == *service);
        // What is no service of the release stays as long as that which takes longest.
        let longest = self.place.workloads.iter().map(|workload| workload.monitor).max();
        let monitor = service.as_ref().and_then(own).map(|workload| workload.monitor).or(longest);
        let container = state.images.keys().next().cloned().unwrap_or_default();
        let workload = Workload {
            service: service.unwrap_or_else(|| id.to_string()),
            name: id.name.clone(),
            container,
            monitor: monitor.unwrap_or_default(),
        };
        let kind = WorkloadKind::of(id).unwrap_or(WorkloadKind::Deployment);
        Applied::of(
            (workload, kind),
            purpose,
            (annotations::mark(&annotations_of(after)), generation(after)),
            state,
        )
    }
}
