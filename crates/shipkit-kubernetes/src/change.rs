//! How one deployment changes: written by server-side apply as compare-and-swap, put back, confirmed.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use shipkit_core::ImageRef;
use shipkit_core::rollout::Purpose;
use shipkit_core::rollout::workload::Wanted;
use shipkit_core::target::{Change, Desired, DesiredService, Return};

use crate::annotations::{self, Deployed, Mark, Ours};
use crate::cluster::{Cluster, Workload};
use crate::error::{CONFLICT, ClusterError};
use crate::expected::WorkloadKind;
use crate::observe::{images, name};

/// Who owns what a deploy writes.
pub(crate) const MANAGER: &str = "shipkit";
/// Who owns the confirmation: a manager of its own, because an apply removes what it does not repeat.
pub(crate) const CONFIRMING: &str = "shipkit-confirm";
/// How often a change is tried again because somebody changed the deployment between reading and writing it. Its own
/// controller does so all the time while pods come and go.
const SWAPS: usize = 16;

/// A deployment that was just changed (or found as it should be): what is needed to watch it and to undo it.
#[derive(Debug, Clone)]
pub struct Applied {
    pub(crate) kind: WorkloadKind,
    pub(crate) workload: Workload,
    pub(crate) purpose: Purpose,
    pub(crate) mark: Mark,
    /// The generation that the change itself returned.
    pub(crate) generation: i64,
    pub(crate) wanted: BTreeMap<String, Wanted>,
    undo: Undo,
}

/// What puts back what was there.
#[derive(Debug, Clone)]
enum Undo {
    /// Nothing was written, or nothing better is known.
    Nothing,
    /// This state.
    Restore(Box<Ours>),
}

/// Whether a change is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dry {
    /// The cluster only says whether it would take it.
    Run,
    /// It is kept.
    No,
}

/// A change as it was written.
pub(crate) struct Written {
    before: Deployment,
    after: Deployment,
    state: Ours,
}

impl Applied {
    /// A change that is undone with others, and not by itself.
    pub(crate) fn of(
        (workload, kind): (Workload, WorkloadKind),
        purpose: Purpose,
        (mark, generation): (Mark, i64),
        state: &Ours,
    ) -> Self {
        Self { workload, kind, purpose, mark, generation, wanted: wanted(state), undo: Undo::Nothing }
    }

    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.workload.service
    }
}

impl Cluster {
    /// Carries out one step of a plan. `None` if there is nothing to wait for. Each step is one request that the cluster
    /// carries out wholly or not at all.
    ///
    /// # Errors
    /// When the cluster refuses, cannot be asked, or somebody else deploys the service at the same time.
    pub async fn apply(&self, desired: &Desired, change: &Change) -> Result<Option<Applied>, ClusterError> {
        let find = |name: &str| {
            let found = desired.services.iter().find(|service| service.name == name);
            found.ok_or_else(|| ClusterError::NotDesired(name.to_owned()))
        };
        match change {
            Change::CreateNetwork { .. }
            | Change::Start { .. }
            | Change::LeaveStateful { .. }
            | Change::Object { .. } => Ok(None),
            Change::Create { service, .. }
            | Change::Update { service, .. }
            | Change::Relabel { service, .. } => {
                let written = self.deploy(desired, find(service)?, Dry::No).await?;
                let workload = self.workload(service)?;
                let undo = undo(workload, &written.before);
                Ok(Some(applied(workload, Purpose::Deploy, &written.after, &written.state, undo)))
            }
            Change::Keep { service, .. } => self.keep(service).await.map(Some),
        }
    }

    /// Puts back what was there before a change. `None` if nothing is left to do, because nothing was written or
    /// somebody else has deployed since.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn undo(&self, applied: &Applied) -> Result<Option<Applied>, ClusterError> {
        let Undo::Restore(good) = &applied.undo else { return Ok(None) };
        let there = self.deployment(&applied.workload.name).await?;
        if annotations::mark(there.annotations()) != applied.mark {
            return Ok(None);
        }
        self.put_back(applied.service(), good).await.map(Some)
    }

    /// Puts one service back to the last good state that it remembers. Afterwards it remembers none, so that what was
    /// left can never be gone "back" to. Needs nothing but the target.
    ///
    /// # Errors
    /// When it remembers nothing, the cluster refuses or cannot be asked.
    pub async fn restore(&self, back: &Return) -> Result<Applied, ClusterError> {
        let name = &self.workload(&back.service)?.name;
        let there = self.deployment(name).await?;
        let good = Ours::previous(there.annotations());
        let good = good.ok_or_else(|| ClusterError::NothingBefore(name.clone()))?;
        self.put_back(&back.service, &good).await
    }

    /// Writes on every deployment of this release that it was seen to succeed: from now on it is what later rollbacks go
    /// back to. Restarts nothing.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn confirm(&self, desired: &Desired) -> Result<(), ClusterError> {
        if self.place.has_manifests {
            return self.confirm_all(desired).await;
        }
        let release = desired.stamp.release.as_str();
        for service in &desired.services {
            let workload = self.workload(&service.name)?;
            let there = self.deployment(&workload.name).await?;
            let all = there.annotations();
            let is_ours = annotations::mark(all).is_some_and(|(of, _)| of == release);
            let Some(confirmation) =
                Ours::confirmation(all).filter(|_| is_ours && !annotations::is_confirmed(all))
            else {
                continue;
            };
            // It names the deploy that it confirms, so it does no harm if another one came in between.
            let metadata = json!({"name": workload.name, "annotations": confirmation});
            self.patch(CONFIRMING, workload, json!({"metadata": metadata}), Dry::No).await?;
        }
        Ok(())
    }

    /// Writes one service as it should be.
    pub(crate) async fn deploy(
        &self,
        desired: &Desired,
        service: &DesiredService,
        dry: Dry,
    ) -> Result<Written, ClusterError> {
        let workload = self.workload(&service.name)?;
        let new = |there: &Deployment| {
            let good = Ours::last_good(there.annotations(), images(workload, there));
            let platforms: Vec<_> = service.platforms.iter().map(ToString::to_string).collect();
            let images = BTreeMap::from([(workload.container.clone(), service.image.to_string())]);
            let new = Deployed {
                stamp: &desired.stamp,
                revision: &service.revision,
                platforms: platforms.join(" "),
                images,
            };
            Ours::deploy(new, good.as_ref())
        };
        self.swap(workload, new, dry).await
    }

    async fn keep(&self, service: &str) -> Result<Applied, ClusterError> {
        let workload = self.workload(service)?;
        let there = self.deployment(&workload.name).await?;
        let state = Ours::of(there.annotations(), images(workload, &there));
        // A run that was killed may have left it unconfirmed: if that fails now, the good state before comes back.
        let is_left = !annotations::is_confirmed(there.annotations());
        let good = Ours::previous(there.annotations()).filter(|_| is_left);
        let undo = good.map_or(Undo::Nothing, |good| Undo::Restore(Box::new(good)));
        Ok(applied(workload, Purpose::Deploy, &there, &state, undo))
    }

    async fn put_back(&self, service: &str, good: &Ours) -> Result<Applied, ClusterError> {
        let workload = self.workload(service)?;
        let written = self.swap(workload, |_| good.clone(), Dry::No).await?;
        Ok(applied(workload, Purpose::Restore, &written.after, &written.state, Undo::Nothing))
    }

    /// Changes a deployment as compare-and-swap: if somebody changed it after it was read, it is read and written again,
    /// unless that was another deploy.
    async fn swap(
        &self,
        workload: &Workload,
        state: impl Fn(&Deployment) -> Ours,
        dry: Dry,
    ) -> Result<Written, ClusterError> {
        let mut first = None;
        let mut refusal = None;
        for _ in 0..SWAPS {
            let before = self.deployment(&workload.name).await?;
            let mark = annotations::mark(before.annotations());
            if *first.get_or_insert_with(|| mark.clone()) != mark {
                return Err(ClusterError::Overtaken(workload.name.clone()));
            }
            let state = state(&before);
            match self.patch(MANAGER, workload, body(&before, &state), dry).await {
                Ok(after) => return Ok(Written { before, after, state }),
                Err(error @ ClusterError::NoAnswer { .. }) => {
                    // The answer may be lost and the change made: only then do the annotations say so.
                    let after = self.deployment(&workload.name).await?;
                    let is_made = annotations::mark(after.annotations())
                        == annotations::mark(&state.annotations)
                        && images(workload, &after) == state.images;
                    return if is_made { Ok(Written { before, after, state }) } else { Err(error) };
                }
                Err(error) if error.status() == Some(CONFLICT) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or_else(|| ClusterError::Overtaken(workload.name.clone())))
    }

    /// Server-side apply. The fields are ours to decide, so whoever else wrote them loses them.
    async fn patch(
        &self,
        manager: &str,
        workload: &Workload,
        mut body: Value,
        dry: Dry,
    ) -> Result<Deployment, ClusterError> {
        if let Some(body) = body.as_object_mut() {
            body.insert("apiVersion".to_owned(), json!("apps/v1"));
            body.insert("kind".to_owned(), json!("Deployment"));
        }
        let mut how = PatchParams::apply(manager).force();
        how.dry_run = dry == Dry::Run;
        let (deployments, patch) = (self.deployments(), Patch::Apply(body));
        self.ask("patch deployments", deployments.patch(&workload.name, &how, &patch)).await
    }
}

/// What is needed to watch and undo a change.
fn applied(workload: &Workload, purpose: Purpose, after: &Deployment, state: &Ours, undo: Undo) -> Applied {
    let seen = (annotations::mark(after.annotations()), after.metadata.generation.unwrap_or_default());
    Applied { undo, ..Applied::of((workload.clone(), WorkloadKind::Deployment), purpose, seen, state) }
}

/// What each container should run, and how a node may name that.
fn wanted(state: &Ours) -> BTreeMap<String, Wanted> {
    let platforms: BTreeSet<_> = annotations::platforms(&state.annotations).into_iter().collect();
    let wanted = state.images.iter().map(|(container, image)| {
        let named = image.parse::<ImageRef>().ok();
        let digests = named.map(|named| platforms.iter().cloned().chain([named.digest]).collect());
        (container.clone(), Wanted { image: image.clone(), digests: digests.unwrap_or_default() })
    });
    wanted.collect()
}

/// What an apply says: the annotations and images that are ours, of the object as it was read.
fn body(before: &Deployment, state: &Ours) -> Value {
    let containers: Vec<_> =
        state.images.iter().map(|(name, image)| json!({"name": name, "image": image})).collect();
    json!({
        "metadata": {
            "name": name(before),
            "uid": before.metadata.uid,
            "resourceVersion": before.metadata.resource_version,
            "annotations": state.annotations,
        },
        "spec": {"template": {"spec": {"containers": containers}}},
    })
}

/// What puts back what was there: the last good state, and where none is known what was there at all.
fn undo(workload: &Workload, before: &Deployment) -> Undo {
    let images = images(workload, before);
    let good = Ours::last_good(before.annotations(), images.clone());
    Undo::Restore(Box::new(good.unwrap_or_else(|| Ours::of(before.annotations(), images))))
}
