//! What is left in the cluster of earlier sets of manifests, and what is removed of it.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{DeleteParams, ListParams, Preconditions};
use serde_json::{Value, json};
use shipkit_core::manifests::{Colour, Fate, Id, Kind, Rendered, STACK};

use crate::annotations::{Ours, RECORD};
use crate::cluster::Cluster;
use crate::error::{ClusterError, NOT_FOUND};
use crate::kinds::Kinds;
use crate::records::{Record, kept};
use crate::values::{annotations_of, id_of};

impl Cluster {
    /// What carries the label of the stack and is no part of the set, in the order in which it is removed, each with what becomes
    /// of it: deployments of a slot that requests have left stay, without pods, if their release is one to go back to.
    pub(crate) async fn surplus(&self, rendered: &Rendered) -> Result<Vec<(Id, Value, Fate)>, ClusterError> {
        let records = self.records(&self.stack()).await?;
        let records: BTreeMap<String, Record> =
            records.into_iter().filter_map(|(name, record)| Some((name, record.ok()?))).collect();
        let all = records.values().map(|record| &record.rendered).chain([rendered]);
        let kinds = self.learn(all.flat_map(Rendered::kinds).collect()).await?;
        let in_use = records.values().filter(|record| record.entry.is_some());
        let in_use = in_use.flat_map(|record| record.rendered.config()).collect();
        let mut live = self.of_stack(&kinds).await?;
        let all: Vec<Value> = live.values().cloned().collect();
        let is_confirmed = |value: &Value| {
            let named = annotations_of(value).remove(RECORD);
            named.is_some_and(|name| records.get(&name).is_some_and(|one| one.entry.is_some()))
        };
        let mut surplus = Vec::new();
        for id in rendered.prunable(&all, &in_use) {
            let Some(value) = live.remove(&id) else { continue };
            let is_kept = rendered.slot().is_some() && Colour::of(&value).is_some() && is_confirmed(&value);
            if !is_kept {
                surplus.push((id, value, Fate::Removed));
            } else if self.has_pods(&id).await? {
                surplus.push((id, value, Fate::Emptied));
            }
        }
        Ok(surplus)
    }

    /// The objects of these kinds that carry the label of the stack; of each only what it is and its metadata.
    pub(crate) async fn of_stack(&self, kinds: &Kinds) -> Result<BTreeMap<Id, Value>, ClusterError> {
        let ours = ListParams::default().labels(&format!("{STACK}={}", self.stack()));
        let mut live = BTreeMap::new();
        for (kind, resource) in kinds.all() {
            let objects = self.objects_of(resource);
            let what = format!("list {}", resource.0.plural);
            let listed = match self.ask(&what, objects.list_metadata(&ours)).await {
                // Its definition was removed since it was found.
                Err(error) if error.status() == Some(NOT_FOUND) => continue,
                listed => listed?,
            };
            live.extend(listed.items.iter().map(|object| {
                let value =
                    json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": object.metadata});
                (id_of(&value, kind), value)
            }));
        }
        Ok(live)
    }

    /// Removes what is no part of the set any more.
    pub(crate) async fn remove_surplus(&self, rendered: &Rendered) -> Result<(), ClusterError> {
        let surplus = self.surplus(rendered).await?;
        let leaving = surplus.iter().map(|(id, ..)| id).filter(|id| id.is("apps", "Deployment"));
        self.drain(rendered, leaving).await?;
        for (id, value, fate) in surplus {
            match fate {
                Fate::Emptied => self.empty(&id).await?,
                Fate::Created | Fate::Kept | Fate::Changed(_) | Fate::Removed => {
                    self.remove(&id, &value).await?;
                }
            }
        }
        Ok(())
    }

    /// Removes what is no part of the release that is deployed: objects, and records that nobody goes back to any more.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn remove_what_is_left(&self) -> Result<(), ClusterError> {
        let Some(rendered) = &self.manifests else { return Ok(()) };
        self.remove_surplus(rendered).await?;
        self.remove_old_records().await
    }

    /// Removes config maps and secrets of the stack that no record names: they were made for a job that failed, and nothing else
    /// was made of its release. As long as a job may still read them, they stay.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn remove_unrecorded(&self) -> Result<(), ClusterError> {
        if self.manifests.is_none() || self.has_jobs_that_run().await? {
            return Ok(());
        }
        let mut named = BTreeSet::new();
        for record in self.records(&self.stack()).await?.into_values() {
            // Of what cannot be read it is not known what it names.
            named.extend(record?.rendered.config());
        }
        let kinds = ["ConfigMap", "Secret"].map(|kind| Kind::of("v1", kind));
        for (id, value) in self.of_stack(&self.learn(kinds.into()).await?).await? {
            let is_owned = value.pointer("/metadata/ownerReferences").is_some();
            if !is_owned && !named.contains(&id) {
                self.remove(&id, &value).await?;
            }
        }
        Ok(())
    }

    /// Removes exactly this object, and not another one that has its name since.
    async fn remove(&self, id: &Id, value: &Value) -> Result<(), ClusterError> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let kind = Kind::of(text("/apiVersion").unwrap_or_default(), &id.kind);
        let Some(resource) = self.resource(&kind).await? else { return Ok(()) };
        let this = Preconditions { uid: text("/metadata/uid").map(str::to_owned), resource_version: None };
        let how = DeleteParams::background().preconditions(this);
        let (objects, what) = (self.objects_of(&resource), format!("delete {}", resource.0.plural));
        match self.ask(&what, objects.delete(&id.name, &how)).await {
            Err(error) if error.status() == Some(NOT_FOUND) => Ok(()),
            removed => removed.map(drop),
        }
    }

    /// Removes records that nothing names and that are too many.
    pub(crate) async fn remove_old_records(&self) -> Result<(), ClusterError> {
        let records = self.records(&self.stack()).await?;
        let mut named = BTreeSet::new();
        for (_, value) in self.members().await? {
            let all = annotations_of(&value);
            named.extend(all.get(RECORD).cloned());
            named.extend(Ours::previous(&all).and_then(|good| good.annotations.get(RECORD).cloned()));
        }
        let keep = kept(&records, &named);
        for name in records.keys().filter(|name| !keep.contains(*name)) {
            self.remove_record(name).await?;
        }
        Ok(())
    }
}
