//! `Live`: a workload as it is in the cluster. Its kinds say in different words how far they are; here they say it in those
//! of core.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::core::Selector;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shipkit_core::rollout::workload::{Seen, Work};

use crate::annotations::{self, Mark};
use crate::expected::WorkloadKind;
use crate::migration::{self, End};
use crate::observe::{NUMBER, Owned, Set, count, owner, said, template_images, uid};

/// The label by which pods and controller revisions say of which revision they are.
pub(crate) const HASH: &str = "controller-revision-hash";

/// The update strategy by which only a person replaces pods.
const BY_HAND: &str = "OnDelete";

/// A workload as it is in the cluster, whatever its kind.
pub(crate) struct Live {
    pub(crate) uid: String,
    pub(crate) mark: Mark,
    pub(crate) generation: i64,
    /// The images of its pod template by container.
    pub(crate) images: BTreeMap<String, String>,
    /// What selects its pods, and the replica sets or controller revisions that they are of.
    pub(crate) selector: Selector,
    newest: Newest,
    /// Whether it replaces no pod before all are ready.
    is_in_order: bool,
    /// All that it says itself.
    seen: Seen,
}

/// How its pods of the newest revision are known.
enum Newest {
    /// They belong to the replica set with this number.
    Set(Option<String>),
    /// They bear this hash.
    Hash(Option<String>),
    /// They bear the hash of the revision with this template. A number in its status would be better, as another watch
    /// may be behind, but there is none.
    Template(Box<PodTemplateSpec>),
    /// All are.
    All,
}

/// What of a controller revision matters.
pub(crate) struct Revision {
    pub(crate) owner: String,
    hash: String,
    number: i64,
    template: Option<Box<PodTemplateSpec>>,
}

/// Why a pod could not be created.
pub(crate) struct Refusal {
    /// The identifier of what it would belong to.
    pub(crate) of: String,
    pub(crate) why: String,
}

/// The pods of a revision: who owns them, the hash that they bear, and the images that they should run.
struct Pods<'a> {
    owner: &'a str,
    hash: Option<&'a str>,
    images: &'a BTreeMap<String, String>,
}

impl Live {
    /// What its pods are for.
    pub(crate) fn work(&self) -> Work {
        self.seen.work
    }

    /// The same of an object as JSON; `None` if it is none of this kind.
    pub(crate) fn of_value(kind: WorkloadKind, value: &Value) -> Option<Self> {
        fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
            serde_json::from_value(value.clone()).ok()
        }
        match kind {
            WorkloadKind::Deployment => Some(Self::from(&read::<Deployment>(value)?)),
            WorkloadKind::StatefulSet => Some(Self::from(&read::<StatefulSet>(value)?)),
            WorkloadKind::DaemonSet => Some(Self::from(&read::<DaemonSet>(value)?)),
            WorkloadKind::Job => Some(Self::from(&read::<Job>(value)?)),
        }
    }

    /// What core's rule wants to know, but for whose specification it is.
    pub(crate) fn seen<'a>(
        &'a self,
        sets: impl IntoIterator<Item = &'a Set>,
        revisions: impl IntoIterator<Item = &'a Revision>,
        pods: impl IntoIterator<Item = &'a Owned>,
    ) -> Seen {
        let mut seen = self.seen.clone();
        let Some(newest) = self.newest(sets, revisions) else { return seen };
        seen.images.clone_from(newest.images);
        for one in pods.into_iter().filter(|one| one.owner == newest.owner) {
            let counts = one.is_wanted || (seen.work != Work::Serves && one.has_failed);
            let is_new = newest.hash.is_none() || newest.hash == one.hash.as_deref();
            if counts && is_new {
                seen.pods.push(one.pod.clone());
            } else if one.is_wanted && self.is_in_order && !one.pod.is_ready {
                seen.holding.push(one.pod.clone());
            }
        }
        seen
    }

    fn newest<'a>(
        &'a self,
        sets: impl IntoIterator<Item = &'a Set>,
        revisions: impl IntoIterator<Item = &'a Revision>,
    ) -> Option<Pods<'a>> {
        let of = |hash: Option<&'a str>| Pods { owner: &self.uid, hash, images: &self.images };
        match &self.newest {
            Newest::Set(number) => {
                let is_newest =
                    |set: &&Set| set.owner == self.uid && number.is_some() && set.number == *number;
                let set = sets.into_iter().find(is_newest)?;
                Some(Pods { owner: &set.uid, hash: None, images: &set.images })
            }
            // It is of the generation that the controller has seen.
            Newest::Hash(hash) => {
                let is_now = self.generation <= self.seen.observed_generation;
                hash.as_deref().filter(|_| is_now).map(|hash| of(Some(hash)))
            }
            Newest::Template(template) => {
                let own = revisions.into_iter().filter(|one| one.owner == self.uid);
                let same = own.filter(|one| one.template.as_ref() == Some(template));
                same.max_by_key(|one| one.number).map(|one| of(Some(&one.hash)))
            }
            Newest::All => Some(of(None)),
        }
    }

    /// What any of them says.
    fn of(object: &impl ResourceExt, selector: &LabelSelector, template: &PodTemplateSpec) -> Self {
        Self {
            uid: uid(object),
            mark: annotations::mark(object.annotations()),
            generation: object.meta().generation.unwrap_or_default(),
            images: template_images(template),
            // One that cannot be expressed selects everything: what belongs to whom is decided by owners.
            selector: Selector::try_from(selector.clone()).unwrap_or_default(),
            newest: Newest::All,
            is_in_order: false,
            seen: Seen { is_ours: true, ..Seen::default() },
        }
    }
}

impl From<&Deployment> for Live {
    fn from(deployment: &Deployment) -> Self {
        let spec = deployment.spec.clone().unwrap_or_default();
        let status = deployment.status.clone().unwrap_or_default();
        let live = Self::of(deployment, &spec.selector, &spec.template);
        let seen = Seen {
            is_paused: spec.paused == Some(true),
            observed_generation: status.observed_generation.unwrap_or_default(),
            wanted: count(Some(spec.replicas.unwrap_or(1))),
            replicas: count(status.replicas),
            updated: count(status.updated_replicas),
            available: count(status.available_replicas),
            gave_up: said(&status, "Progressing", "False")
                .filter(|(reason, _)| *reason == "ProgressDeadlineExceeded")
                .map(|(_, message)| message.to_owned()),
            refused: said(&status, "ReplicaFailure", "True").map(|(_, message)| message.to_owned()),
            ..live.seen
        };
        Self { newest: Newest::Set(deployment.annotations().get(NUMBER).cloned()), seen, ..live }
    }
}

impl From<&StatefulSet> for Live {
    fn from(set: &StatefulSet) -> Self {
        let spec = set.spec.clone().unwrap_or_default();
        let status = set.status.clone().unwrap_or_default();
        let live = Self::of(set, &spec.selector, &spec.template);
        let strategy = spec.update_strategy.unwrap_or_default();
        let partition = strategy.rolling_update.and_then(|rolling| rolling.partition);
        let wanted = count(Some(spec.replicas.unwrap_or(1)));
        let seen = Seen {
            is_by_hand: strategy.type_.as_deref() == Some(BY_HAND),
            observed_generation: status.observed_generation.unwrap_or_default(),
            wanted,
            kept: count(partition).min(wanted),
            replicas: count(Some(status.replicas)),
            updated: count(status.updated_replicas),
            // Clusters older than 1.22 do not count them: there a pod that is ready is available.
            available: count(status.available_replicas.or(status.ready_replicas)),
            ..live.seen
        };
        let is_in_order = spec.pod_management_policy.as_deref() != Some("Parallel");
        Self { newest: Newest::Hash(status.update_revision), is_in_order, seen, ..live }
    }
}

impl From<&DaemonSet> for Live {
    fn from(set: &DaemonSet) -> Self {
        let spec = set.spec.clone().unwrap_or_default();
        let status = set.status.clone().unwrap_or_default();
        let live = Self::of(set, &spec.selector, &spec.template);
        let strategy = spec.update_strategy.unwrap_or_default();
        let seen = Seen {
            is_by_hand: strategy.type_.as_deref() == Some(BY_HAND),
            observed_generation: status.observed_generation.unwrap_or_default(),
            wanted: count(Some(status.desired_number_scheduled)),
            replicas: count(Some(status.current_number_scheduled)),
            updated: count(status.updated_number_scheduled),
            available: count(status.number_available),
            ..live.seen
        };
        Self { newest: Newest::Template(Box::new(spec.template)), seen, ..live }
    }
}

impl From<&Job> for Live {
    fn from(job: &Job) -> Self {
        let spec = job.spec.clone().unwrap_or_default();
        let status = job.status.clone().unwrap_or_default();
        let live = Self::of(job, &spec.selector.unwrap_or_default(), &spec.template);
        let end = migration::end(Some(&status));
        let succeeded = count(status.succeeded);
        let seen = Seen {
            is_paused: spec.suspend == Some(true),
            work: if end == Some(End::Complete) { Work::Ended } else { Work::Ends },
            // It does not say which one it has seen, and its template never changes.
            observed_generation: live.generation,
            wanted: count(Some(spec.completions.unwrap_or(1))),
            replicas: succeeded + count(status.active),
            updated: succeeded,
            available: succeeded,
            gave_up: match end {
                Some(End::Failed { reason, message }) => Some(format!("{reason}: {message}")),
                Some(End::Complete) | None => None,
            },
            ..live.seen
        };
        Self { seen, ..live }
    }
}

impl From<&ControllerRevision> for Revision {
    fn from(revision: &ControllerRevision) -> Self {
        let template = revision.data.as_ref().and_then(|data| data.0.pointer("/spec/template")).cloned();
        Self {
            owner: owner(revision),
            hash: revision.labels().get(HASH).cloned().unwrap_or_default(),
            number: revision.revision,
            template: template.and_then(|template| serde_json::from_value(template).ok()),
        }
    }
}

impl From<&Event> for Refusal {
    fn from(event: &Event) -> Self {
        Self {
            of: event.involved_object.uid.clone().unwrap_or_default(),
            why: event.message.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;

    fn template(image: &str) -> Value {
        json!({"spec": {"containers": [{"name": "db", "image": image}]}})
    }

    fn object(kind: &str, spec: &Value, status: &Value) -> Value {
        let mut spec = spec.clone();
        spec["selector"] = json!({"matchLabels": {"app": "db"}});
        spec["template"] = template("db:2");
        json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "db", "uid": "u", "generation": 2},
            "spec": spec, "status": status,
        })
    }

    fn stateful_set(spec: &Value, status: &Value) -> Live {
        let set: StatefulSet = serde_json::from_value(object("StatefulSet", spec, status)).unwrap();
        Live::from(&set)
    }

    /// A pod that the workload owns, of a revision.
    fn owned(name: &str, hash: &str, ready: &str) -> Owned {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": name, "uid": name, "labels": {(HASH): hash},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "X", "name": "db", "uid": "u", "controller": true}],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap();
        Owned::from(&pod)
    }

    fn names(pods: &[shipkit_core::rollout::workload::Pod]) -> Vec<&str> {
        pods.iter().map(|pod| pod.name.as_str()).collect()
    }

    #[test]
    fn the_pods_of_a_stateful_set_are_of_the_revision_that_its_controller_names_for_this_generation() {
        let of = |policy: &str, observed: i64| {
            let status = json!({"replicas": 3, "observedGeneration": observed, "updateRevision": "db-new"});
            let live = stateful_set(&json!({"replicas": 3, "podManagementPolicy": policy}), &status);
            let pods = [
                owned("db-0", "db-old", "False"),
                owned("db-1", "db-old", "True"),
                owned("db-2", "db-new", "False"),
            ];
            live.seen([], [], &pods)
        };
        let seen = of("OrderedReady", 2);
        assert_eq!((names(&seen.pods), names(&seen.holding)), (vec!["db-2"], vec!["db-0"]));
        assert_eq!(seen.images.get("db").map(String::as_str), Some("db:2"));
        assert_eq!(names(&of("Parallel", 2).holding), [""; 0]);
        // Its revision is that of the specification before.
        let behind = of("OrderedReady", 1);
        assert_eq!((behind.pods.len(), behind.images.len()), (0, 0));
    }

    #[test]
    fn a_partition_keeps_no_more_pods_than_there_should_be_and_old_clusters_count_ready_pods_only() {
        let of = |partition: u64| {
            let spec = json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": partition}}});
            stateful_set(&spec, &json!({"replicas": 3, "readyReplicas": 2})).seen([], [], [])
        };
        assert_eq!([0, 2, 3, 9].map(|partition| of(partition).kept), [0, 2, 3, 3]);
        assert_eq!((of(0).wanted, of(0).available), (3, 2));
    }

    #[test]
    fn the_pods_of_a_daemon_set_are_of_the_latest_revision_with_its_template() {
        let revision = |hash: &str, number: i64, image: &str| {
            let revision: ControllerRevision = serde_json::from_value(json!({
                "metadata": {
                    "name": hash, "labels": {(HASH): hash},
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "X", "name": "db", "uid": "u", "controller": true}],
                },
                "data": {"spec": {"template": template(image)}}, "revision": number,
            }))
            .unwrap();
            Revision::from(&revision)
        };
        let status = json!({
            "observedGeneration": 2, "desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberReady": 2,
            "numberMisscheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 2,
        });
        let set = object("DaemonSet", &json!({}), &status);
        let live = Live::from(&serde_json::from_value::<DaemonSet>(set).unwrap());
        let pods = [owned("a", "old", "True"), owned("b", "new", "True")];
        let old = revision("old", 1, "db:1");
        // The watch of revisions is behind: what is the latest there is not ours.
        let behind = live.seen([], [&old], &pods);
        assert_eq!((behind.pods.len(), behind.images.len()), (0, 0));
        let seen = live.seen([], [&old, &revision("new", 2, "db:2")], &pods);
        assert_eq!(names(&seen.pods), ["b"]);
        assert_eq!((seen.wanted, seen.replicas, seen.updated, seen.available), (3, 2, 1, 2));
        let twice = [&revision("new", 3, "db:2"), &revision("other", 2, "db:2"), &old];
        assert_eq!(names(&live.seen([], twice, &pods).pods), ["b"]);
    }
}
