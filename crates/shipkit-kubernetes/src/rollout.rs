//! Workloads while they change: watched, not polled, and `shipkit_core::rollout::workload` says of each what to do.
//!
//! However many there are, there is one watch for each kind of objects.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::ready;
use futures_util::stream::{SelectAll, select_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as Said, Pod};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use shipkit_core::rollout::Next;
use shipkit_core::rollout::workload::{Seen, Workload as Rule};
use tokio::time::Instant;

use crate::change::Applied;
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::expected::{Expected, WorkloadKind};
use crate::live::Live;
use crate::selection::Selection;
use crate::view::{Look, Sight, Sights, View, named};

/// How long the cluster may not answer before it is not known any more how the rollout goes.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// A workload that is followed, and its place among all of them.
struct Followed<'a> {
    place: usize,
    expected: &'a Expected,
    rule: Rule,
    /// What tells it from another one of its name.
    uid: String,
}

/// What is watched together.
struct Watch<'a> {
    cluster: &'a Cluster,
    view: View,
    sights: SelectAll<Sights>,
    start: Instant,
    deadline: Duration,
    /// Since when a watch is broken, and why.
    broken: Option<(Instant, ClusterError)>,
}

impl Watch<'_> {
    /// Waits until so much is known.
    async fn until(&mut self, is_known: fn(&View) -> bool) -> Result<(), ClusterError> {
        while !is_known(&self.view) {
            let left = SILENCE.saturating_sub(self.start.elapsed());
            if left.is_zero() {
                return Err(self.broken.take().map_or_else(|| self.cluster.silent(), |(_, error)| error));
            }
            self.look(left).await?;
        }
        Ok(())
    }

    /// Waits for something to see, at most for so long.
    async fn look(&mut self, pause: Duration) -> Result<(), ClusterError> {
        match self.view.look(&mut self.sights, pause).await {
            Ok(Look::Something) => self.broken = None,
            Ok(Look::Nothing) => {}
            Err(error) => {
                let error = self.cluster.broken(&error)?;
                self.broken.get_or_insert((Instant::now(), error));
            }
        }
        let is_late = self.deadline <= self.start.elapsed();
        let is_over = |(since, _): &mut (Instant, ClusterError)| is_late || SILENCE <= since.elapsed();
        self.broken.take_if(is_over).map_or(Ok(()), |(_, error)| Err(error))
    }
}

impl Cluster {
    /// Waits until the rollout is decided: everything but [`Next::Wait`]. `show` is given every observation, for
    /// progress. Dropping the future stops the waiting and nothing else.
    ///
    /// # Errors
    /// When the cluster cannot be asked any more: then it is not known how the rollout ends.
    pub async fn rollout(
        &self,
        applied: &Applied,
        deadline: Duration,
        mut show: impl FnMut(&Seen),
    ) -> Result<Next, ClusterError> {
        let ended = self.rollouts(&[applied], deadline, |_, seen| show(seen)).await?;
        Ok(ended.map_or(Next::Done, |(_, next)| next))
    }

    /// Waits until all of these rollouts are done, or one is decided otherwise: gives its place among them and how it ends.
    /// `show` is told of which one it is shown an observation.
    ///
    /// # Errors
    /// When the cluster cannot be asked any more: then it is not known how they end.
    pub async fn rollouts(
        &self,
        applied: &[&Applied],
        deadline: Duration,
        show: impl FnMut(usize, &Seen),
    ) -> Result<Option<(usize, Next)>, ClusterError> {
        let expected: Vec<Expected> = applied.iter().map(|&one| Expected::from(one)).collect();
        self.arrive(&expected, deadline, show).await
    }

    /// Sees whether what has arrived stays as it should be for so long: the first thing that is otherwise decides, as in
    /// [`rollouts`](Self::rollouts).
    ///
    /// # Errors
    /// When the cluster cannot be asked any more: then it is not known whether it does.
    pub async fn stay(
        &self,
        applied: &[&Applied],
        interval: Duration,
        show: impl FnMut(usize, &Seen),
    ) -> Result<Option<(usize, Next)>, ClusterError> {
        let of = |one: &&Applied| Expected { monitor: interval, ..Expected::from(*one) };
        let expected: Vec<Expected> = applied.iter().map(of).collect();
        let deadline = interval.saturating_add(SILENCE);
        self.follow(&expected, deadline, |one| rule(one, deadline).staying(), show).await
    }

    /// Waits until workloads of whatever kinds are as they are expected to be, or it is known that one will not be: as
    /// [`rollouts`](Self::rollouts) does.
    ///
    /// # Errors
    /// When the cluster cannot be asked any more: then it is not known how the rollouts end.
    pub async fn arrive(
        &self,
        expected: &[Expected],
        deadline: Duration,
        show: impl FnMut(usize, &Seen),
    ) -> Result<Option<(usize, Next)>, ClusterError> {
        self.follow(expected, deadline, |one| rule(one, deadline), show).await
    }

    async fn follow(
        &self,
        expected: &[Expected],
        deadline: Duration,
        rule: impl Fn(&Expected) -> Rule,
        mut show: impl FnMut(usize, &Seen),
    ) -> Result<Option<(usize, Next)>, ClusterError> {
        if expected.is_empty() {
            return Ok(None);
        }
        let mut watch = self.watch(expected, deadline);
        watch.until(View::has_lives).await?;
        let mut left = Vec::new();
        for (place, expected) in expected.iter().enumerate() {
            let Some(live) = watch.view.live(expected) else { return Ok(Some((place, removed(expected)))) };
            left.push(Followed { place, expected, rule: rule(expected), uid: live.uid.clone() });
        }
        let more = self.belongings(&watch.view, expected);
        watch.sights.extend(more);
        watch.until(View::is_complete).await?;
        loop {
            let (mut still, mut pause) = (Vec::new(), SILENCE);
            let owners = watch.view.owners();
            for mut one in left {
                let Some(seen) = watch.view.seen(one.expected, &one.uid, &owners) else {
                    return Ok(Some((one.place, removed(one.expected))));
                };
                show(one.place, &seen);
                match one.rule.next(&seen, watch.start.elapsed()) {
                    Next::Done => {}
                    Next::Wait(wait) => {
                        pause = pause.min(wait);
                        still.push(one);
                    }
                    next @ (Next::RollBack { .. }
                    | Next::RolledBack { .. }
                    | Next::Overtaken { .. }
                    | Next::Stuck { .. }) => {
                        return Ok(Some((one.place, self.with_events(next, &seen).await)));
                    }
                }
            }
            if still.is_empty() {
                return Ok(None);
            }
            left = still;
            watch.look(pause).await?;
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

    /// Everything that happens to the workloads themselves.
    fn watch(&self, expected: &[Expected], deadline: Duration) -> Watch<'_> {
        let kinds: BTreeSet<WorkloadKind> = expected.iter().map(|one| one.kind).collect();
        let sights = kinds.iter().map(|&kind| {
            let own = expected.iter().filter(|one| one.kind == kind);
            let names: BTreeSet<String> = own.map(|one| one.name.clone()).collect();
            match kind {
                WorkloadKind::Deployment => self.lives::<Deployment>(kind, names),
                WorkloadKind::StatefulSet => self.lives::<StatefulSet>(kind, names),
                WorkloadKind::DaemonSet => self.lives::<DaemonSet>(kind, names),
                WorkloadKind::Job => self.lives::<Job>(kind, names),
            }
        });
        let sights = select_all(sights);
        Watch { cluster: self, view: View::of(kinds), sights, start: Instant::now(), deadline, broken: None }
    }

    fn lives<K>(&self, kind: WorkloadKind, names: BTreeSet<String>) -> Sights
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
        Live: for<'a> From<&'a K>,
    {
        let one = names.first().filter(|_| names.len() == 1);
        let which = one.map(|name| watcher::Config::default().fields(&format!("metadata.name={name}")));
        let is_wanted = move |object: &K| names.contains(&object.name_any());
        self.sights(which.unwrap_or_default(), is_wanted, move |event| Sight::Live(kind, event))
    }

    /// Everything that happens to the revisions and the pods of the workloads. The number of requests does not depend on how
    /// many there are.
    fn belongings(&self, view: &View, expected: &[Expected]) -> Vec<Sights> {
        let of = |is_meant: fn(WorkloadKind) -> bool| {
            expected.iter().filter(move |one| is_meant(one.kind)).filter_map(|one| view.live(one))
        };
        let selected = |is_meant| Selection::of(of(is_meant).map(|live| live.selector.clone()));
        let mut all = vec![self.selected::<Pod, _>(selected(|_| true), Sight::Pod)];
        let has = |kind| expected.iter().any(|one| one.kind == kind);
        if has(WorkloadKind::Deployment) {
            let which = selected(|kind| kind == WorkloadKind::Deployment);
            all.push(self.selected::<ReplicaSet, _>(which, Sight::Set));
        }
        if has(WorkloadKind::DaemonSet) {
            let which = selected(|kind| kind == WorkloadKind::DaemonSet);
            all.push(self.selected::<ControllerRevision, _>(which, Sight::Revision));
        }
        // Only a deployment says in its status why pods could not be created.
        let others: BTreeSet<String> =
            of(|kind| kind != WorkloadKind::Deployment).map(|live| live.uid.clone()).collect();
        if !others.is_empty() {
            all.push(self.refusals(others));
        }
        all
    }

    fn selected<K, T>(&self, which: Selection, sight: fn(Event<(String, T)>) -> Sight) -> Sights
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
        T: for<'a> From<&'a K> + 'static,
    {
        let asked = watcher::Config::default().labels_from(which.asked());
        self.sights(asked, move |object: &K| which.has(object.labels()), sight)
    }

    /// Why pods of these could not be created. Whoever may not read events is not told.
    fn refusals(&self, uids: BTreeSet<String>) -> Sights {
        let one = uids.first().filter(|_| uids.len() == 1).map(|uid| format!("involvedObject.uid={uid},"));
        let which = format!("{}reason=FailedCreate", one.unwrap_or_default());
        let is_wanted =
            move |said: &Said| said.involved_object.uid.as_ref().is_some_and(|uid| uids.contains(uid));
        let all = self.sights(watcher::Config::default().fields(&which), is_wanted, Sight::Refusal);
        all.filter(|event| ready(event.is_ok())).boxed()
    }

    /// What happens to objects of a kind that are wanted, by their names.
    fn sights<K, T>(
        &self,
        which: watcher::Config,
        is_wanted: impl Fn(&K) -> bool + Send + 'static,
        sight: impl Fn(Event<(String, T)>) -> Sight + Send + 'static,
    ) -> Sights
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
        let seen = move |event: Result<Event<K>, watcher::Error>| {
            let event = event.map(|event| named(event, &is_wanted).map(&sight));
            ready(event.transpose())
        };
        events.filter_map(seen).boxed()
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

fn removed(expected: &Expected) -> Next {
    Next::Overtaken { cause: format!("{} `{}` was removed during the rollout", expected.kind, expected.name) }
}
