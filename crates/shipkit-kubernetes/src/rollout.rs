//! A workload while it changes: watched, not polled, and `shipkit_core::rollout::workload` says what to do.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::ready;
use futures_util::stream::{BoxStream, SelectAll, select_all};
use futures_util::{FutureExt as _, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as Said, Pod};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use shipkit_core::rollout::Next;
use shipkit_core::rollout::workload::{Seen, Wanted, Work, Workload as Rule};
use tokio::time::{Instant, timeout};

use crate::change::Applied;
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::expected::{Expected, WorkloadKind};
use crate::live::{Live, Refusal, Revision};
use crate::observe::{Owned, Set};

/// How long the cluster may not answer before it is not known any more how the rollout goes.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// Something that was seen, with its name.
enum Sight {
    Live(Event<(String, Live)>),
    Set(Event<(String, Set)>),
    Revision(Event<(String, Revision)>),
    Pod(Event<(String, Owned)>),
    Refusal(Event<(String, Refusal)>),
}

type Sights = BoxStream<'static, Result<Sight, watcher::Error>>;

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

    /// Of objects that are not watched, as there are none.
    fn unused() -> Self {
        Self { is_complete: true, ..Self::new() }
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
enum Look {
    Something,
    Nothing,
}

/// What is known of a workload and of what belongs to it. Of each only what matters is kept: there may be many.
struct View {
    lives: Kept<Live>,
    sets: Kept<Set>,
    revisions: Kept<Revision>,
    pods: Kept<Owned>,
    /// Why no pod could be created since the last one came.
    refused: Option<String>,
}

impl View {
    fn of(kind: WorkloadKind) -> Self {
        let (sets, revisions) = match kind {
            WorkloadKind::Deployment => (Kept::new(), Kept::unused()),
            WorkloadKind::DaemonSet => (Kept::unused(), Kept::new()),
            WorkloadKind::StatefulSet | WorkloadKind::Job => (Kept::unused(), Kept::unused()),
        };
        Self { lives: Kept::new(), sets, revisions, pods: Kept::new(), refused: None }
    }

    fn take(&mut self, sight: Sight) {
        match sight {
            // A job may be gone as soon as it is complete.
            Sight::Live(Event::Delete(last)) if last.1.work() == Work::Ended => {
                self.lives.take(Event::Apply(last));
            }
            Sight::Live(event) => self.lives.take(event),
            Sight::Set(event) => self.sets.take(event),
            Sight::Revision(event) => self.revisions.take(event),
            Sight::Pod(event) => {
                if matches!(&event, Event::Apply((name, _)) if !self.pods.now.contains_key(name)) {
                    self.refused = None;
                }
                self.pods.take(event);
            }
            Sight::Refusal(Event::Apply((_, Refusal(why)))) => self.refused = Some(why),
            // Those that were there before may be of an hour ago; what still refuses says so again.
            Sight::Refusal(Event::Init | Event::InitApply(_) | Event::InitDone | Event::Delete(_)) => {}
        }
    }

    /// Waits for something to see, at most for so long.
    async fn look(
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

    fn is_complete(&self) -> bool {
        self.lives.is_complete && self.sets.is_complete && self.revisions.is_complete && self.pods.is_complete
    }

    /// What the rule wants to know; `None` if the workload is gone.
    fn seen(&self, expected: &Expected, uid: &str) -> Option<Seen> {
        let live = self.lives.now.get(&expected.name).filter(|live| live.uid == uid)?;
        let runs_ours = |(name, wanted): (&String, &Wanted)| live.images.get(name) == Some(&wanted.image);
        let is_ours = live.mark == expected.mark && expected.wanted.iter().all(runs_ours);
        // A list may be older than our own change.
        let is_older = live.generation < expected.generation;
        let seen = live.seen(self.sets.now.values(), self.revisions.now.values(), self.pods.now.values());
        let refused = seen.refused.clone().or_else(|| self.refused.clone().filter(|_| lacks_pods(&seen)));
        Some(Seen { is_ours: is_ours || is_older, refused, ..seen })
    }
}

impl Cluster {
    /// Waits until the rollout is decided: everything but [`Next::Wait`]. `seen` is shown every observation, for
    /// progress. Dropping the future stops the waiting and nothing else.
    ///
    /// # Errors
    /// When the cluster cannot be asked any more: then it is not known how the rollout ends.
    pub async fn rollout(
        &self,
        applied: &Applied,
        deadline: Duration,
        show: impl FnMut(&Seen),
    ) -> Result<Next, ClusterError> {
        self.arrive(&Expected::from(applied), deadline, show).await
    }

    /// Sees whether what has arrived stays as it should be for so long: the first thing that is otherwise decides.
    ///
    /// # Errors
    /// When the cluster cannot be asked any more: then it is not known whether it does.
    pub async fn stay(
        &self,
        applied: &Applied,
        interval: Duration,
        show: impl FnMut(&Seen),
    ) -> Result<Next, ClusterError> {
        let expected = Expected { monitor: interval, ..Expected::from(applied) };
        let deadline = interval.saturating_add(SILENCE);
        self.follow(&expected, rule(&expected, deadline).staying(), deadline, show).await
    }

    /// Waits until a workload of whatever kind is as it is expected to be, or it is known that it will not be: as
    /// [`Cluster::rollout`] does.
    ///
    /// # Errors
    /// When the cluster cannot be asked any more: then it is not known how the rollout ends.
    pub async fn arrive(
        &self,
        expected: &Expected,
        deadline: Duration,
        show: impl FnMut(&Seen),
    ) -> Result<Next, ClusterError> {
        self.follow(expected, rule(expected, deadline), deadline, show).await
    }

    async fn follow(
        &self,
        expected: &Expected,
        mut rule: Rule,
        deadline: Duration,
        mut show: impl FnMut(&Seen),
    ) -> Result<Next, ClusterError> {
        let start = Instant::now();
        let Some(live) = self.live(expected).await? else { return Ok(removed(expected)) };
        let mut sights = self.watch(expected, &live);
        let mut view = View::of(expected.kind);
        let mut broken = None;
        let mut pause = SILENCE;
        loop {
            match view.look(&mut sights, pause).await {
                Ok(Look::Something) => broken = None,
                Ok(Look::Nothing) => {}
                Err(error) => {
                    let error = self.broken(&error)?;
                    broken.get_or_insert((Instant::now(), error));
                }
            }
            let is_over = |since: Instant| SILENCE <= since.elapsed() || deadline <= start.elapsed();
            if let Some((_, error)) = broken.take_if(|(since, _)| is_over(*since)) {
                return Err(error);
            }
            if !view.is_complete() {
                pause = SILENCE.saturating_sub(start.elapsed());
                if pause.is_zero() {
                    return Err(self.silent());
                }
                continue;
            }
            let Some(seen) = view.seen(expected, &live.uid) else { return Ok(removed(expected)) };
            show(&seen);
            let next = rule.next(&seen, start.elapsed());
            let Next::Wait(left) = next else { return Ok(self.with_events(next, &seen).await) };
            pause = left.min(SILENCE);
        }
    }

    /// The workload as it is now; `None` if it is gone.
    pub(crate) async fn live(&self, expected: &Expected) -> Result<Option<Live>, ClusterError> {
        let name = &expected.name;
        match expected.kind {
            WorkloadKind::Deployment => self.live_as::<Deployment>(name, "get deployments").await,
            WorkloadKind::StatefulSet => self.live_as::<StatefulSet>(name, "get statefulsets").await,
            WorkloadKind::DaemonSet => self.live_as::<DaemonSet>(name, "get daemonsets").await,
            WorkloadKind::Job => self.live_as::<Job>(name, "get jobs").await,
        }
    }

    async fn live_as<K>(&self, name: &str, what: &str) -> Result<Option<Live>, ClusterError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        Live: for<'a> From<&'a K>,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = self.ask(what, api.get_opt(name)).await?;
        Ok(found.as_ref().map(Live::from))
    }

    /// Everything that happens to a workload, its revisions and its pods. The number of requests does not depend on how
    /// many there are.
    fn watch(&self, expected: &Expected, live: &Live) -> SelectAll<Sights> {
        let itself = watcher::Config::default().fields(&format!("metadata.name={}", expected.name));
        let selected = watcher::Config::default().labels_from(&live.selector);
        let pods = self.sights::<Pod, _>(selected.clone(), Sight::Pod);
        let (lives, revisions) = match expected.kind {
            WorkloadKind::Deployment => (
                self.sights::<Deployment, _>(itself, Sight::Live),
                Some(self.sights::<ReplicaSet, _>(selected, Sight::Set)),
            ),
            WorkloadKind::StatefulSet => (self.sights::<StatefulSet, _>(itself, Sight::Live), None),
            WorkloadKind::DaemonSet => (
                self.sights::<DaemonSet, _>(itself, Sight::Live),
                Some(self.sights::<ControllerRevision, _>(selected, Sight::Revision)),
            ),
            WorkloadKind::Job => (self.sights::<Job, _>(itself, Sight::Live), None),
        };
        let refusals = (expected.kind != WorkloadKind::Deployment).then(|| self.refusals(&live.uid));
        select_all([lives, pods].into_iter().chain(revisions).chain(refusals))
    }

    /// Why pods could not be created. Only a deployment says so in its status. Whoever may not read events is not told.
    fn refusals(&self, uid: &str) -> Sights {
        let which = format!("involvedObject.uid={uid},reason=FailedCreate");
        let all = self.sights::<Said, _>(watcher::Config::default().fields(&which), Sight::Refusal);
        all.filter(|event| ready(event.is_ok())).boxed()
    }

    /// What happens to objects of a kind, by their names.
    fn sights<K, T>(&self, which: watcher::Config, sight: fn(Event<(String, T)>) -> Sight) -> Sights
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
        T: for<'a> From<&'a K> + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let events = watcher(api, which).default_backoff();
        events.map(move |event| event.map(|event| sight(named(event)))).boxed()
    }

    /// A watch that broke is tried again; `Err` where that is of no use.
    pub(crate) fn broken(&self, error: &watcher::Error) -> Result<ClusterError, ClusterError> {
        tracing::debug!(%error, "a watch broke");
        let error = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => self.error(error, "watch"),
            watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => {
                ClusterError::NoAnswer { server: self.server.clone(), reason: error.to_string() }
            }
        };
        if matches!(error, ClusterError::Forbidden { .. } | ClusterError::Unknown(_)) {
            return Err(error);
        }
        Ok(error)
    }

    fn silent(&self) -> ClusterError {
        let reason = format!("nothing to see within {} s", SILENCE.as_secs());
        ClusterError::NoAnswer { server: self.server.clone(), reason }
    }
}

fn rule(expected: &Expected, deadline: Duration) -> Rule {
    Rule::new(
        expected.service.clone(),
        expected.purpose,
        expected.generation,
        expected.wanted.clone(),
        (expected.monitor, deadline),
    )
}

/// An event about what matters of an object, with the object's name.
fn named<K: Resource, T: for<'a> From<&'a K>>(event: Event<K>) -> Event<(String, T)> {
    let one = |object: K| (object.meta().name.clone().unwrap_or_default(), T::from(&object));
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(one(object)),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(one(object)),
        Event::Delete(object) => Event::Delete(one(object)),
    }
}

/// Whether pods are missing while none is on its way: an event that comes late may tell of one that has come since.
fn lacks_pods(seen: &Seen) -> bool {
    let is_on_its_way = seen.pods.iter().any(|pod| seen.work != Work::Serves || !pod.is_ready);
    seen.updated < seen.wanted.saturating_sub(seen.kept) && !is_on_its_way
}

fn removed(expected: &Expected) -> Next {
    Next::Overtaken { cause: format!("{} `{}` was removed during the rollout", expected.kind, expected.name) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shipkit_core::rollout::Purpose;

    use super::*;

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
        named(Event::Apply(set))
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
        named(Event::Apply(pod))
    }

    fn refusal(event: fn(Said) -> Event<Said>) -> Sight {
        let said = json!({"metadata": {"name": "e"}, "involvedObject": {}, "message": "exceeded quota"});
        Sight::Refusal(named(event(serde_json::from_value(said).unwrap())))
    }

    #[test]
    fn a_refusal_counts_from_when_it_is_heard_until_a_pod_comes_or_is_on_its_way() {
        let expected = expected(WorkloadKind::StatefulSet);
        let mut view = View::of(expected.kind);
        let refused = |view: &View| view.seen(&expected, "u").unwrap().refused;
        view.take(Sight::Live(stateful_set("u")));
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
        let mut view = View::of(expected.kind);
        view.take(Sight::Live(stateful_set("u")));
        assert!(view.seen(&expected, "u").is_some());
        view.take(Sight::Live(stateful_set("other")));
        assert_eq!(view.seen(&expected, "u"), None);
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
            let mut view = View::of(expected.kind);
            view.take(Sight::Live(named(Event::Apply(job(json!([]))))));
            view.take(Sight::Live(named(Event::Delete(job(conditions.clone())))));
            assert_eq!(view.seen(&expected, "u").is_some(), is_kept, "{conditions}");
        }
    }
}
