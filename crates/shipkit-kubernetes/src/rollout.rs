//! A deployment while it changes: watched, not polled, and `shipkit_core::rollout::deployment` says what to do.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{BoxStream, SelectAll, select_all};
use futures_util::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use shipkit_core::rollout::Next;
use shipkit_core::rollout::deployment::{self as rule, Seen};
use tokio::time::{Instant, timeout};

use crate::annotations;
use crate::change::Applied;
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::observe::{Owned, Set, images, seen, selector};

/// How long the cluster may not answer before it is not known any more how the rollout goes.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// Something that was seen.
enum Sight {
    Deployment(Event<Deployment>),
    Set(Event<ReplicaSet>),
    Pod(Event<Pod>),
}

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

    /// A list replaces what is known only when it is whole: after a broken watch nothing seems to be gone meanwhile.
    fn take<K: kube::ResourceExt>(&mut self, event: Event<K>, view: impl Fn(K) -> T) {
        match event {
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => drop(self.coming.insert(object.name_any(), view(object))),
            Event::InitDone => {
                self.now = std::mem::take(&mut self.coming);
                self.is_complete = true;
            }
            Event::Apply(object) => drop(self.now.insert(object.name_any(), view(object))),
            Event::Delete(object) => drop(self.now.remove(&object.name_any())),
        }
    }
}

/// What came of looking.
enum Look {
    Something,
    Nothing,
}

/// What is known of a deployment and of what belongs to it. Of pods only what matters is kept: there may be many.
struct View {
    deployments: Kept<Deployment>,
    sets: Kept<Set>,
    pods: Kept<Owned>,
}

impl View {
    fn take(&mut self, sight: Sight) {
        match sight {
            Sight::Deployment(event) => self.deployments.take(event, |deployment| deployment),
            Sight::Set(event) => self.sets.take(event, |set| Set::from(&set)),
            Sight::Pod(event) => self.pods.take(event, |pod| Owned::from(&pod)),
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
        self.deployments.is_complete && self.sets.is_complete && self.pods.is_complete
    }

    /// What the rule wants to know; `None` if the deployment is gone.
    fn seen(&self, applied: &Applied) -> Option<Seen> {
        let deployment = self.deployments.now.get(&applied.workload.deployment)?;
        let is_ours = annotations::mark(deployment.annotations()) == applied.mark
            && applied.wanted.iter().all(|(container, wanted)| {
                images(&applied.workload, deployment).get(container) == Some(&wanted.image)
            });
        // A list may be older than our own change.
        let is_older = deployment.metadata.generation.unwrap_or_default() < applied.generation;
        let seen = seen(deployment, self.sets.now.values(), self.pods.now.values());
        Some(Seen { is_ours: is_ours || is_older, ..seen })
    }
}

type Sights = BoxStream<'static, Result<Sight, watcher::Error>>;

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
        mut show: impl FnMut(&Seen),
    ) -> Result<Next, ClusterError> {
        let mut rule = rule::Deployment::new(
            applied.service(),
            applied.purpose,
            applied.generation,
            applied.wanted.clone(),
            (applied.workload.monitor, deadline),
        );
        let start = Instant::now();
        let mut sights = self.watch(applied).await?;
        let mut view = View { deployments: Kept::new(), sets: Kept::new(), pods: Kept::new() };
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
            let Some(seen) = view.seen(applied) else {
                let name = &applied.workload.deployment;
                let cause = format!("deployment `{name}` was removed during the rollout");
                return Ok(Next::Overtaken { cause });
            };
            show(&seen);
            let next = rule.next(&seen, start.elapsed());
            let Next::Wait(left) = next else { return Ok(next) };
            pause = left.min(SILENCE);
        }
    }

    /// Everything that happens to a deployment, its replica sets and its pods. The number of requests does not depend on
    /// how many there are.
    async fn watch(&self, applied: &Applied) -> Result<SelectAll<Sights>, ClusterError> {
        let name = &applied.workload.deployment;
        let deployment = self.deployment(name).await?;
        let selected = watcher::Config::default().labels_from(&selector(&deployment));
        let itself = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let deployments = watcher(self.deployments(), itself).default_backoff();
        let sets = watcher(self.replica_sets(), selected.clone()).default_backoff();
        let pods = watcher(self.pods(), selected).default_backoff();
        Ok(select_all([
            deployments.map(|event| event.map(Sight::Deployment)).boxed(),
            sets.map(|event| event.map(Sight::Set)).boxed(),
            pods.map(|event| event.map(Sight::Pod)).boxed(),
        ]))
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
