//! The last lines that the containers of a service wrote.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::Api;
use kube::api::{ListParams, LogParams};
use shipkit_core::rollout::workload::{Container, Pod, Seen, State};
use shipkit_core::target::Written;

use crate::change::Applied;
use crate::cluster::{Cluster, Workload};
use crate::error::ClusterError;
use crate::expected::{Expected, WorkloadKind};
use crate::live::{Live, Revision};
use crate::observe::{Set, name};

/// How many lines of a container's log are shown.
const LOG_LINES: u32 = 50;
/// Of how many containers the log is read: the others say the same.
const LOGS: usize = 3;

/// The last lines of a container that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodLog {
    /// The pod, and the container in it.
    pub container: String,
    /// What it wrote, oldest first, at most 50 lines. Foreign text.
    pub lines: Vec<String>,
}

impl Cluster {
    /// The last lines of the containers that keep the newest pods of a deployment from being ready. A log that cannot be
    /// read is left out: it is gone with its node or its pod, or may not be read.
    ///
    /// # Errors
    /// When the cluster cannot be asked for the pods.
    pub async fn logs(&self, applied: &Applied) -> Result<Vec<PodLog>, ClusterError> {
        self.logs_of(&Expected::from(applied)).await
    }

    /// As [`Cluster::logs`], of a workload of whatever kind.
    ///
    /// # Errors
    /// When the cluster cannot be asked for the pods.
    pub async fn logs_of(&self, expected: &Expected) -> Result<Vec<PodLog>, ClusterError> {
        let Some(live) = self.live(expected).await? else { return Ok(Vec::new()) };
        let seen = self.newest_pods(expected.kind, &live).await?;
        let mut logs = Vec::new();
        for (pod, container) in containers(&seen).filter(|(pod, one)| is_failing(pod, one)).take(LOGS) {
            if let Some(lines) = self.lines(pod, container, LOG_LINES).await {
                logs.push(PodLog { container: format!("{}/{}", pod.name, container.name), lines });
            }
        }
        Ok(logs)
    }

    /// The last lines of the containers in the newest pods of all services, or of one, at most `tail` of each.
    ///
    /// # Errors
    /// When the cluster cannot be asked for the pods.
    pub async fn written(&self, only: Option<&str>, tail: u32) -> Result<Vec<Written>, ClusterError> {
        let all: Vec<(String, WorkloadKind, Live)> = if self.place.has_manifests {
            self.running(self.members().await?)
                .into_iter()
                .filter_map(|one| Some((one.service, one.kind, Live::of_value(one.kind, &one.value)?)))
                .collect()
        } else {
            let there = self.list_deployments().await?;
            let named = |workload: &Workload| there.iter().find(|one| name(one) == workload.name);
            let all = self.place.workloads.iter();
            all.filter_map(|one| {
                Some((one.service.clone(), WorkloadKind::Deployment, Live::from(named(one)?)))
            })
            .collect()
        };
        let mut written = Vec::new();
        for (service, kind, live) in all {
            if only.is_some_and(|only| only != service) {
                continue;
            }
            let seen = self.newest_pods(kind, &live).await?;
            let telling = |(pod, one): &(&Pod, &Container)| !one.is_init || is_failing(pod, one);
            for (pod, container) in containers(&seen).filter(telling) {
                written.push(Written {
                    service: service.clone(),
                    container: format!("{}/{}", pod.name, container.name),
                    is_failing: is_failing(pod, container),
                    lines: self.lines(pod, container, tail).await,
                });
            }
        }
        Ok(written)
    }

    /// What is seen of the pods of the revision that a workload is at.
    async fn newest_pods(&self, kind: WorkloadKind, live: &Live) -> Result<Seen, ClusterError> {
        let selected = ListParams::default().labels_from(&live.selector);
        let (mut sets, mut revisions) = (Vec::new(), Vec::new());
        match kind {
            WorkloadKind::Deployment => {
                let all = self.replica_sets();
                let listed = self.ask("list replicasets", all.list(&selected)).await?;
                sets.extend(listed.iter().map(Set::from));
            }
            WorkloadKind::DaemonSet => {
                let all: Api<ControllerRevision> = Api::namespaced(self.client.clone(), &self.namespace);
                let listed = self.ask("list controllerrevisions", all.list(&selected)).await?;
                revisions.extend(listed.iter().map(Revision::from));
            }
            WorkloadKind::StatefulSet | WorkloadKind::Job => {}
        }
        let pods = self.list_pods(live).await?;
        Ok(live.seen(&sets, &revisions, &pods))
    }

    /// The last lines of a container; of the one before where it waits to be started again.
    async fn lines(&self, pod: &Pod, container: &Container, tail: u32) -> Option<Vec<String>> {
        let how = LogParams {
            container: Some(container.name.clone()),
            tail_lines: Some(i64::from(tail)),
            previous: matches!(container.state, State::Waiting { .. }) && 0 < container.restarts,
            ..LogParams::default()
        };
        let pods = self.pods();
        let text = self.ask("get pods/log", pods.logs(&pod.name, &how)).await.ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }
}

/// All containers, with their pods: also of those that hold the newest ones up.
fn containers(seen: &Seen) -> impl Iterator<Item = (&Pod, &Container)> {
    seen.pods.iter().chain(&seen.holding).flat_map(|pod| pod.containers.iter().map(move |one| (pod, one)))
}

/// Whether a container keeps its pod from being ready.
fn is_failing(pod: &Pod, container: &Container) -> bool {
    !pod.is_ready && (0 < container.restarts || container.state != State::Running)
}
