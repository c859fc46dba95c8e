//! The last lines that the containers of a service wrote.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, LogParams};
use shipkit_core::rollout::deployment::{Container, Pod, Seen, State};
use shipkit_core::target::Written;

use crate::change::Applied;
use crate::cluster::{Cluster, Workload};
use crate::error::ClusterError;
use crate::observe::{Set, name, seen, selector};

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
        let deployment = self.deployment(&applied.workload.deployment).await?;
        let seen = self.newest_pods(&deployment).await?;
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
        let all = if self.place.has_manifests {
            self.deployments_of(self.members().await?)
        } else {
            let there = self.list_deployments().await?;
            let named =
                |workload: &Workload| there.iter().find(|one| name(one) == workload.deployment).cloned();
            let all = self.place.workloads.iter();
            all.filter_map(|workload| Some((workload.clone(), named(workload)?))).collect()
        };
        let mut written = Vec::new();
        for (workload, deployment) in all {
            if only.is_some_and(|only| only != workload.service) {
                continue;
            }
            let seen = self.newest_pods(&deployment).await?;
            let telling = |(pod, one): &(&Pod, &Container)| !one.is_init || is_failing(pod, one);
            for (pod, container) in containers(&seen).filter(telling) {
                written.push(Written {
                    service: workload.service.clone(),
                    container: format!("{}/{}", pod.name, container.name),
                    is_failing: is_failing(pod, container),
                    lines: self.lines(pod, container, tail).await,
                });
            }
        }
        Ok(written)
    }

    /// What is seen of the pods of the revision that a deployment is at.
    async fn newest_pods(&self, deployment: &Deployment) -> Result<Seen, ClusterError> {
        let sets = self.replica_sets();
        let selected = ListParams::default().labels_from(&selector(deployment));
        let sets = self.ask("list replicasets", sets.list(&selected)).await?;
        let sets: Vec<Set> = sets.iter().map(Set::from).collect();
        let pods = self.list_pods(deployment).await?;
        Ok(seen(deployment, &sets, &pods))
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

fn containers(seen: &Seen) -> impl Iterator<Item = (&Pod, &Container)> {
    seen.pods.iter().flat_map(|pod| pod.containers.iter().map(move |one| (pod, one)))
}

/// Whether a container keeps its pod from being ready.
fn is_failing(pod: &Pod, container: &Container) -> bool {
    !pod.is_ready && (0 < container.restarts || container.state != State::Running)
}
