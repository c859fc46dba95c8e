//! The record of each deploy of manifests: a `Secret` with all objects as they were applied, from which the whole set can be
//! applied again. One more holds what was there before the first deploy.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use shipkit_core::Digest;
use shipkit_core::history::{Entry, KEPT};
use shipkit_core::manifests::{BadRecord, Id, Rendered};
use shipkit_core::target::Stamp;

use crate::annotations::Annotations;
use crate::change::MANAGER;
use crate::cluster::Cluster;
use crate::error::ClusterError;

/// The label of the records of a stack, with its name.
const RECORD_OF: &str = "shipkit.dev/record-of";
/// What of a record makes it a part of the history: the confirmation.
const ENTRY: &str = "shipkit.dev/entry";
/// How many digits name a record.
const DIGITS: usize = 16;
/// The keys of the data.
const OBJECTS: &str = "objects";
const WORKLOADS: &str = "workloads";

/// What a record holds.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// The objects.
    pub(crate) rendered: Rendered,
    /// Our annotations of each object that runs a service, as they are once the deploy is confirmed.
    pub(crate) workloads: BTreeMap<Id, Annotations>,
    /// What the history says of it; `None` if it was not confirmed.
    pub(crate) entry: Option<Entry>,
}

impl Cluster {
    /// The name of the record of a deploy.
    pub(crate) fn record_name(&self, stamp: &Stamp, set: &Digest) -> String {
        let deploy = Digest::of(format!("{} {} {set}", stamp.release, stamp.time).as_bytes());
        let digits: String = deploy.hex().chars().take(DIGITS).collect();
        format!("{}-shipkit-{digits}", self.place.project)
    }

    /// The name of the record of what was there before the first deploy.
    pub(crate) fn before_name(&self) -> String {
        format!("{}-shipkit-before", self.place.project)
    }

    /// Writes a record.
    pub(crate) async fn write_record(
        &self,
        name: &str,
        rendered: &Rendered,
        workloads: &BTreeMap<Id, Annotations>,
    ) -> Result<(), ClusterError> {
        let pairs: Vec<_> = workloads.iter().collect();
        let text = |text: String| ByteString(text.into_bytes());
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "shipkit.dev/record",
            "metadata": {"name": name, "labels": {RECORD_OF: rendered.stack()}},
            "data": {
                OBJECTS: text(rendered.record()?),
                WORKLOADS: text(json!(pairs).to_string()),
            },
        });
        let (secrets, how) = (self.secrets(), PatchParams::apply(MANAGER).force());
        self.ask("patch secrets", secrets.patch(name, &how, &Patch::Apply(secret))).await.map(drop)
    }

    /// One record.
    ///
    /// # Errors
    /// When it is not there, it cannot be read, or the cluster cannot be asked.
    pub(crate) async fn read_record(&self, name: &str) -> Result<Record, ClusterError> {
        let found = self.ask("get secrets", self.secrets().get_opt(name)).await?;
        read(&found.ok_or_else(|| ClusterError::NoRecord(name.to_owned()))?)
    }

    /// All records of the stack by name; those that cannot be read with why.
    pub(crate) async fn records(
        &self,
        stack: &str,
    ) -> Result<BTreeMap<String, Result<Record, ClusterError>>, ClusterError> {
        let ours = ListParams::default().labels(&format!("{RECORD_OF}={stack}"));
        let found = self.ask("list secrets", self.secrets().list(&ours)).await?;
        Ok(found.iter().map(|secret| (secret.name_any(), read(secret))).collect())
    }

    /// Makes a record a part of the history.
    pub(crate) async fn confirm_record(&self, name: &str, entry: &Entry) -> Result<(), ClusterError> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {ENTRY: json!(entry).to_string()}}}));
        let secrets = self.secrets();
        self.ask("patch secrets", secrets.patch(name, &PatchParams::default(), &patch)).await.map(drop)
    }

    /// Removes a record, if it is there.
    pub(crate) async fn remove_record(&self, name: &str) -> Result<(), ClusterError> {
        let (secrets, how) = (self.secrets(), DeleteParams::default());
        match self.ask("delete secrets", secrets.delete(name, &how)).await {
            Err(error) if error.is_gone() => Ok(()),
            removed => removed.map(drop),
        }
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Which records are kept: those of the last releases that were confirmed, and those that something in the cluster names.
pub(crate) fn kept(
    records: &BTreeMap<String, Result<Record, ClusterError>>,
    named: &BTreeSet<String>,
) -> BTreeSet<String> {
    let confirmed = |record: &Result<Record, ClusterError>| -> Option<Timestamp> {
        record.as_ref().ok()?.entry.as_ref().map(|entry| entry.confirmed)
    };
    let mut by_time: Vec<(Timestamp, &String)> =
        records.iter().filter_map(|(name, record)| Some((confirmed(record)?, name))).collect();
    by_time.sort();
    let newest = by_time.into_iter().rev().take(KEPT).map(|(_, name)| name.clone());
    // One that cannot be read may be that of a later version: it is not ours to remove.
    let unreadable = records.iter().filter(|(_, record)| record.is_err()).map(|(name, _)| name.clone());
    newest.chain(unreadable).chain(named.iter().cloned()).collect()
}

fn read(secret: &Secret) -> Result<Record, ClusterError> {
    let text = |key: &str| -> Result<&str, BadRecord> {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        let bytes = bytes.ok_or_else(|| BadRecord::Damaged(format!("it has no `{key}`")))?;
        std::str::from_utf8(&bytes.0).map_err(|error| BadRecord::Damaged(error.to_string()))
    };
    let rendered = Rendered::from_record(text(OBJECTS)?)?;
    let workloads: Vec<(Id, Annotations)> =
        serde_json::from_str(text(WORKLOADS)?).map_err(|error| BadRecord::Damaged(error.to_string()))?;
    let entry = secret.annotations().get(ENTRY).map(|text| Entry::parse(text.as_bytes())).transpose();
    let entry = entry.map_err(|error| BadRecord::Damaged(error.to_string()))?;
    Ok(Record { rendered, workloads: workloads.into_iter().collect(), entry })
}
