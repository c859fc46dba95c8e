//! What somebody has changed of the objects of a release since it was confirmed: the cluster tries what applying its record once
//! more would make of each.
//!
//! Only what the record sets is set beside what is there: fields that the cluster fills in, and what others have added, are theirs.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream;
use kube::api::PatchParams;
use serde_json::Value;
use shipkit_core::difference::{self, Difference};
use shipkit_core::history::Entry;
use shipkit_core::manifests::{Id, Object, Rendered, Scaled, Slot, differences};

use crate::annotations::{self, Annotations, RECORD};
use crate::change::MANAGER;
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::set::AT_ONCE;
use crate::standing::of_entry;
use crate::values::annotations_of;

/// How an object is seen that is not as it was left.
type Seen = Result<Option<String>, ClusterError>;

impl Cluster {
    /// How the objects of the release that serves differ from its record, a sentence each. What is just being replaced is passed
    /// over, and so is what is told by the services themselves: which image they run, and whether they are there. Gives what was
    /// found also where not all can be found out.
    pub async fn drift(&self, newest_first: &[Entry]) -> (Vec<String>, Result<(), ClusterError>) {
        match self.differing(newest_first).await {
            Ok(seen) => told(seen),
            Err(error) => (Vec::new(), Err(error)),
        }
    }

    async fn differing(&self, newest_first: &[Entry]) -> Result<Vec<Seen>, ClusterError> {
        let Some(name) = self.serving_record(newest_first).await? else { return Ok(Vec::new()) };
        let record = self.read_record(&name).await?;
        let Some(stamp) = record.workloads.values().find_map(annotations::stamp) else {
            return Ok(Vec::new());
        };
        let (rendered, workloads) = self.recorded_in_its_slot(record.rendered, record.workloads).await?;
        let (members, scaled) = (self.members().await?, self.scaled().await?);
        self.learn(rendered.kinds()).await?;
        let seen = rendered.objects().iter().map(|object| async {
            let told_elsewhere = |id: &Id| workloads.contains_key(id);
            match self.seen_since(object, (&rendered, &scaled), &members).await? {
                None if told_elsewhere(object.id()) || ends_by_itself(object) => Ok(None),
                None => Ok(Some(format!("`{}` is gone", object.id()))),
                Some(found) => Ok(difference::drift(&object.id().to_string(), stamp.called(), &found)),
            }
        });
        Ok(stream::iter(seen).buffered(AT_ONCE).collect().await)
    }

    /// The record of the release that serves; `None` while one is being replaced, or if there is none.
    async fn serving_record(&self, newest_first: &[Entry]) -> Result<Option<String>, ClusterError> {
        if !self.place.has_manifests {
            return Ok(None);
        }
        let members = self.members().await?;
        let all: Vec<_> = members.iter().map(|(_, value)| annotations_of(value)).collect();
        if !all.iter().all(annotations::is_confirmed) {
            return Ok(None);
        }
        let named =
            all.iter().filter_map(|all| Some((annotations::stamp(all)?.time, all.get(RECORD)?.clone())));
        let newest = named.max().map(|(_, record)| record);
        // Where nothing is left that could say which release serves, it was the newest.
        let last = || newest_first.first().and_then(of_entry).map(|back| back.record);
        Ok(newest.or_else(|| members.is_empty().then(last).flatten()))
    }

    /// How an object differs from what applying it would make of it; `None` if it is gone.
    async fn seen_since(
        &self,
        object: &Object,
        (rendered, scaled): (&Rendered, &BTreeSet<Scaled>),
        members: &[(Id, Value)],
    ) -> Result<Option<Vec<Difference>>, ClusterError> {
        let Some(now) = self.current(object).await? else { return Ok(None) };
        let mut how = PatchParams::apply(MANAGER).force();
        how.dry_run = true;
        let size = Self::size(object, rendered, Some(&now), members);
        let left = self.write(object, Some((&Annotations::new(), size)), &how).await?;
        let mut found = differences(&left, &now);
        found.retain(|one| {
            !is_told_elsewhere(&one.field, object.id(), rendered)
                && !is_scaled(&one.field, object.id(), scaled)
        });
        Ok(Some(found))
    }
}

/// What was found, and what could not be: permissions that are missing are named together.
fn told(seen: Vec<Seen>) -> (Vec<String>, Result<(), ClusterError>) {
    let (mut found, mut forbidden, mut failed) = (Vec::new(), None::<(String, BTreeSet<String>)>, None);
    for one in seen {
        match one {
            Ok(sentence) => found.extend(sentence),
            Err(ClusterError::Forbidden { namespace, missing }) => {
                forbidden.get_or_insert((namespace, BTreeSet::new())).1.extend(missing);
            }
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    let forbidden = forbidden.map(|(namespace, missing)| ClusterError::Forbidden {
        namespace,
        missing: missing.into_iter().collect(),
    });
    (found, forbidden.or(failed).map_or(Ok(()), Err))
}

/// Whether it is the image of a service.
fn is_told_elsewhere(field: &str, id: &Id, rendered: &Rendered) -> bool {
    rendered.uses().iter().filter(|one| one.workload == *id).any(|one| match &one.slot {
        Slot::Container(name) => field == format!("spec.template.spec.containers[{name}].image"),
        Slot::InitContainer(_) | Slot::Volume(_) => false,
    })
}

/// Whether it is what an autoscaler decides that came after the release.
fn is_scaled(field: &str, id: &Id, scaled: &BTreeSet<Scaled>) -> bool {
    let this = Scaled { group: id.group.clone(), kind: id.kind.clone(), name: id.name.clone() };
    field == "spec.replicas" && scaled.contains(&this)
}

/// Whether the cluster removes it once it has ended.
fn ends_by_itself(object: &Object) -> bool {
    let ends = object.value().pointer("/spec/ttlSecondsAfterFinished").is_some_and(Value::is_number);
    object.id().is("batch", "Job") && ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(missing: &str) -> ClusterError {
        ClusterError::Forbidden { namespace: "shop".to_owned(), missing: vec![missing.to_owned()] }
    }

    #[test]
    fn what_is_found_is_told_also_where_not_all_can_be_and_what_is_missing_is_named_once() {
        let seen = vec![
            Err(forbidden("patch services")),
            Ok(Some("`Service/a` is gone".to_owned())),
            Err(ClusterError::Restless("a".to_owned())),
            Err(forbidden("patch configmaps")),
            Ok(None),
            Err(forbidden("patch services")),
        ];
        let (found, end) = told(seen);
        assert_eq!(found, ["`Service/a` is gone"]);
        assert_eq!(
            end.unwrap_err().to_string(),
            "these credentials may not, in namespace `shop`: patch configmaps, patch services"
        );
        assert!(told(vec![Ok(None), Err(ClusterError::Restless("a".to_owned()))]).1.is_err());
        assert!(told(vec![Ok(None)]).1.is_ok());
    }
}
