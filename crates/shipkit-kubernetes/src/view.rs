//! `View`: what is known of workloads and of what belongs to them, while they change.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use kube::Resource;
use kube::runtime::watcher::{self, Event};
use shipkit_core::rollout::workload::{Seen, Wanted, Work};
use tokio::time::timeout;

use crate::expected::{Expected, WorkloadKind};
use crate::live::{Live, Refusal, Revision};
use crate::observe::{Owned, Set};

/// Something that was seen, with its name.
pub(crate) enum Sight {
    Live(WorkloadKind, Event<(String, Live)>),
    Set(Event<(String, Set)>),
    Revision(Event<(String, Revision)>),
    Pod(Event<(String, Owned)>),
    Refusal(Event<(String, Refusal)>),
}

pub(crate) type Sights = BoxStream<'static, Result<Sight, watcher::Error>>;

/// What was seen last of each object, by name.
struct Kept<T> {
    now: BTreeMap<String, T>,
    /// Objects of a list that is not yet complete.
    coming: BTreeMap<String, T>,
    is_complete: bool,
}

impl<T> Kept<T> {
    fn new() -> Self {
        Self { now: BTreeMap::new(), coming: BTreeMap::new(), is_complete: false }
    }

    /// Of objects that are not watched, where `has_some` is false, as there are none.
    fn complete_unless(has_some: bool) -> Self {
        Self { is_complete: !has_some, ..Self::new() }
    }

    /// A list replaces what is known only when it is whole: after a broken watch nothing seems to be gone meanwhile.
    fn take(&mut self, event: Event<(String, T)>) {
        match event {
            Event::Init => self.coming.clear(),
            Event::InitApply((name, object)) => drop(self.coming.insert(name, object)),
            Event::InitDone => {
                self.now = std::mem::take(&mut self.coming);
                self.is_complete = true;
            }
            Event::Apply((name, object)) => drop(self.now.insert(name, object)),
            Event::Delete((name, _)) => drop(self.now.remove(&name)),
        }
    }
}

/// What came of looking.
pub(crate) enum Look {
    Something,
    Nothing,
}

/// What is known of workloads and of what belongs to them. Of each only what matters is kept: there may be many.
pub(crate) struct View {
    /// Two of different kinds may have one name.
    lives: BTreeMap<WorkloadKind, Kept<Live>>,
    sets: Kept<Set>,
    revisions: Kept<Revision>,
    pods: Kept<Owned>,
    /// Why no pod could be created since the last one came, by the identifier of what it would belong to.
    refused: BTreeMap<String, String>,
}

/// What belongs to whom at the moment, by the identifiers of the owners.
pub(crate) struct Owners<'a> {
    sets: BTreeMap<&'a str, Vec<&'a Set>>,
    revisions: BTreeMap<&'a str, Vec<&'a Revision>>,
    pods: BTreeMap<&'a str, Vec<&'a Owned>>,
}

impl View {
    /// Of workloads of these kinds; nothing is known yet.
    pub(crate) fn of(kinds: impl IntoIterator<Item = WorkloadKind>) -> Self {
        let lives: BTreeMap<_, _> = kinds.into_iter().map(|kind| (kind, Kept::new())).collect();
        let has = |kind| lives.contains_key(&kind);
        Self {
            sets: Kept::complete_unless(has(WorkloadKind::Deployment)),
            revisions: Kept::complete_unless(has(WorkloadKind::DaemonSet)),
            pods: Kept::new(),
            refused: BTreeMap::new(),
            lives,
        }
    }

    fn take(&mut self, sight: Sight) {
        match sight {
            Sight::Live(kind, event) => {
                let Some(lives) = self.lives.get_mut(&kind) else { return };
                lives.take(match event {
                    // A job may be gone as soon as it is complete.
                    Event::Delete(last) if last.1.work() == Work::Ended => Event::Apply(last),
                    event @ (Event::Apply(_)
                    | Event::Delete(_)
                    | Event::Init
                    | Event::InitApply(_)
                    | Event::InitDone) => event,
                });
            }
            Sight::Set(event) => self.sets.take(event),
            Sight::Revision(event) => self.revisions.take(event),
            Sight::Pod(event) => {
                if let Event::Apply((name, pod)) = &event
                    && !self.pods.now.contains_key(name)
                {
                    self.refused.remove(&pod.owner);
                }
                self.pods.take(event);
            }
            Sight::Refusal(Event::Apply((_, Refusal { of, why }))) => drop(self.refused.insert(of, why)),
            // Those that were there before may be of an hour ago; what still refuses says so again.
            Sight::Refusal(Event::Init | Event::InitApply(_) | Event::InitDone | Event::Delete(_)) => {}
        }
    }

    /// Waits for something to see, at most for so long.
    pub(crate) async fn look(
        &mut self,
        sights: &mut SelectAll<Sights>,
        pause: Duration,
    ) -> Result<Look, watcher::Error> {
        let Ok(Some(sight)) = timeout(pause, sights.next()).await else { return Ok(Look::Nothing) };
        self.take(sight?);
        // What has come meanwhile is looked at together.
        while let Some(Some(sight)) = sights.next().now_or_never() {
            self.take(sight?);
        }
        Ok(Look::Something)
    }

    /// Whether the workloads themselves are known.
    pub(crate) fn has_lives(&self) -> bool {
        self.lives.values().all(|lives| lives.is_complete)
    }

    /// Whether everything is known.
    pub(crate) fn is_complete(&self) -> bool {
        self.has_lives() && self.sets.is_complete && self.revisions.is_complete && self.pods.is_complete
    }

    /// A workload as it is now; `None` if it is gone.
    pub(crate) fn live(&self, expected: &Expected) -> Option<&Live> {
        self.lives.get(&expected.kind)?.now.get(&expected.name)
    }

    /// What belongs to whom now.
    pub(crate) fn owners(&self) -> Owners<'_> {
        Owners {
            sets: by_owner(&self.sets, |set| &set.owner),
            revisions: by_owner(&self.revisions, |revision| &revision.owner),
            pods: by_owner(&self.pods, |pod| &pod.owner),
        }
    }

    /// What the rule wants to know; `None` if the workload is gone.
    pub(crate) fn seen(&self, expected: &Expected, uid: &str, owners: &Owners<'_>) -> Option<Seen> {
        let live = self.live(expected).filter(|live| live.uid == uid)?;
        let runs_ours = |(name, wanted): (&String, &Wanted)| live.images.get(name) == Some(&wanted.image);
        let is_ours = live.mark == expected.mark && expected.wanted.iter().all(runs_ours);
        // A list may be older than our own change.
        let is_older = live.generation < expected.generation;
        let sets = || owners.sets.get(uid).into_iter().flatten().copied();
        let owning = sets().map(|set| set.uid.as_str()).chain([uid]);
        let pods = owning.flat_map(|owner| owners.pods.get(owner).into_iter().flatten().copied());
        let revisions = owners.revisions.get(uid).into_iter().flatten().copied();
        let seen = live.seen(sets(), revisions, pods);
        let refused = seen.refused.clone();
        let refused = refused.or_else(|| self.refused.get(uid).cloned().filter(|_| lacks_pods(&seen)));
        Some(Seen { is_ours: is_ours || is_older, refused, ..seen })
    }
}

fn by_owner<T>(all: &Kept<T>, owner: fn(&T) -> &String) -> BTreeMap<&str, Vec<&T>> {
    let mut grouped: BTreeMap<&str, Vec<&T>> = BTreeMap::new();
    for one in all.now.values() {
        grouped.entry(owner(one)).or_default().push(one);
    }
    grouped
}

/// An event about what matters of an object, with the object's name. What is not `wanted` is as if it were not there.
pub(crate) fn named<K: Resource, T: for<'a> From<&'a K>>(
    event: Event<K>,
    is_wanted: impl Fn(&K) -> bool,
) -> Option<Event<(String, T)>> {
    let one = |object: &K| (object.meta().name.clone().unwrap_or_default(), T::from(object));
    match event {
        Event::Init => Some(Event::Init),
        Event::InitApply(object) => is_wanted(&object).then(|| Event::InitApply(one(&object))),
        Event::InitDone => Some(Event::InitDone),
        Event::Apply(object) if is_wanted(&object) => Some(Event::Apply(one(&object))),
        // It may have been wanted before.
        Event::Apply(object) | Event::Delete(object) => Some(Event::Delete(one(&object))),
    }
}

/// Whether pods are missing while none is on its way: an event that comes late may tell of one that has come since.
fn lacks_pods(seen: &Seen) -> bool {
    let is_on_its_way = seen.pods.iter().any(|pod| seen.work != Work::Serves || !pod.is_ready);
    seen.updated < seen.wanted.saturating_sub(seen.kept) && !is_on_its_way
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;
    use k8s_openapi::api::batch::v1::Job;
    use k8s_openapi::api::core::v1::{Event as Said, Pod};
    use serde_json::{Value, json};
    use shipkit_core::rollout::Purpose;

    use super::*;

    fn one<K: Resource, T: for<'a> From<&'a K>>(event: Event<K>) -> Event<(String, T)> {
        named(event, |_| true).unwrap()
    }

    fn seen(view: &View, expected: &Expected) -> Option<Seen> {
        view.seen(expected, "u", &view.owners())
    }

    fn expected(kind: WorkloadKind) -> Expected {
        Expected {
            service: "db".to_owned(),
            kind,
            name: "db".to_owned(),
            purpose: Purpose::Deploy,
            generation: 1,
            wanted: BTreeMap::new(),
            monitor: Duration::ZERO,
            mark: None,
        }
    }

    fn stateful_set(uid: &str) -> Event<(String, Live)> {
        let set: StatefulSet = serde_json::from_value(json!({
            "metadata": {"name": "db", "uid": uid, "generation": 1},
            "spec": {"replicas": 2, "selector": {}, "serviceName": "db", "template": {}},
            "status": {"replicas": 1, "observedGeneration": 1, "updateRevision": "new", "updatedReplicas": 1},
        }))
        .unwrap();
        one(Event::Apply(set))
    }

    fn pod(name: &str, ready: &str) -> Event<(String, Owned)> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": name, "uid": name, "labels": {"controller-revision-hash": "new"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "X", "name": "db", "uid": "u", "controller": true}],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap();
        one(Event::Apply(pod))
    }

    fn refusal(event: fn(Said) -> Event<Said>) -> Sight {
        let said =
            json!({"metadata": {"name": "e"}, "involvedObject": {"uid": "u"}, "message": "exceeded quota"});
        Sight::Refusal(one(event(serde_json::from_value(said).unwrap())))
    }

    #[test]
    fn a_refusal_counts_from_when_it_is_heard_until_a_pod_comes_or_is_on_its_way() {
        let expected = expected(WorkloadKind::StatefulSet);
        let mut view = View::of([expected.kind]);
        let refused = |view: &View| seen(view, &expected).unwrap().refused;
        view.take(Sight::Live(expected.kind, stateful_set("u")));
        view.take(Sight::Pod(pod("db-0", "True")));
        view.take(refusal(Event::InitApply));
        assert_eq!(refused(&view), None, "it may be of an hour ago");
        view.take(refusal(Event::Apply));
        assert_eq!(refused(&view).as_deref(), Some("exceeded quota"));
        view.take(Sight::Pod(pod("db-0", "False")));
        assert_eq!(refused(&view), None, "the next one is not asked for before this one is ready");
        view.take(Sight::Pod(pod("db-0", "True")));
        assert_eq!(refused(&view).as_deref(), Some("exceeded quota"));
        view.take(Sight::Pod(pod("db-1", "True")));
        assert_eq!(refused(&view), None, "one has come since");
    }

    #[test]
    fn another_object_of_the_same_name_is_not_the_one_that_was_changed() {
        let expected = expected(WorkloadKind::StatefulSet);
        let mut view = View::of([expected.kind]);
        view.take(Sight::Live(expected.kind, stateful_set("u")));
        assert!(seen(&view, &expected).is_some());
        view.take(Sight::Live(expected.kind, stateful_set("other")));
        assert_eq!(seen(&view, &expected), None);
    }

    #[test]
    fn a_job_that_is_gone_was_complete_if_it_was_so_at_the_last() {
        let job = |conditions: Value| -> Job {
            let metadata = json!({"name": "db", "uid": "u", "generation": 1});
            let status = json!({"conditions": conditions});
            let job = json!({"metadata": metadata, "spec": {"template": {}}, "status": status});
            serde_json::from_value(job).unwrap()
        };
        let expected = expected(WorkloadKind::Job);
        for (conditions, is_kept) in [
            (json!([{"type": "Complete", "status": "True"}]), true),
            (json!([{"type": "Failed", "status": "True"}]), false),
            (json!([]), false),
        ] {
            let mut view = View::of([expected.kind]);
            view.take(Sight::Live(expected.kind, one(Event::Apply(job(json!([]))))));
            view.take(Sight::Live(expected.kind, one(Event::Delete(job(conditions.clone())))));
            assert_eq!(seen(&view, &expected).is_some(), is_kept, "{conditions}");
        }
    }

    #[test]
    fn of_several_workloads_each_has_what_is_its_own() {
        let (set, job) = (expected(WorkloadKind::StatefulSet), expected(WorkloadKind::Job));
        let mut view = View::of([set.kind, job.kind]);
        view.take(Sight::Live(set.kind, stateful_set("u")));
        let made: Job =
            serde_json::from_value(json!({"metadata": {"name": "db", "uid": "j"}, "spec": {"template": {}}}))
                .unwrap();
        view.take(Sight::Live(job.kind, one(Event::Apply(made))));
        view.take(Sight::Pod(pod("db-0", "True")));
        view.take(refusal(Event::Apply));
        let seen = |expected: &Expected, uid: &str| {
            let seen = view.seen(expected, uid, &view.owners()).unwrap();
            (seen.pods.len(), seen.refused.is_some())
        };
        assert_eq!((seen(&set, "u"), seen(&job, "j")), ((1, true), (0, false)));
    }

    #[test]
    fn what_is_not_wanted_any_more_is_gone_and_a_list_does_not_have_it() {
        let of = |event: fn(Pod) -> Event<Pod>, is_wanted: bool| {
            let pod = serde_json::from_value(json!({"metadata": {"name": "db-0"}})).unwrap();
            named::<Pod, Owned>(event(pod), |_| is_wanted)
        };
        assert!(matches!(of(Event::Apply, true), Some(Event::Apply(_))));
        assert!(matches!(of(Event::Apply, false), Some(Event::Delete(_))));
        assert!(matches!(of(Event::InitApply, true), Some(Event::InitApply(_))));
        assert!(of(Event::InitApply, false).is_none());
    }
}
