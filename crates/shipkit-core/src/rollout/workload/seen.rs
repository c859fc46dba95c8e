//! What is seen of a Kubernetes workload, and how it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::super::one_line;
use crate::digest::Digest;

/// Reasons of a waiting container that are no trouble.
const ON_THE_WAY: [&str; 3] = ["", "ContainerCreating", "PodInitializing"];

/// What a container should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The image as the pod template names it.
    pub image: String,
    /// The digests by which a node may identify it: that of the index and those of its manifests. Empty where the image
    /// is named by tag, which only what ran before shipkit is: then no pod is asked.
    pub digests: BTreeSet<Digest>,
}

/// What is seen of a Kubernetes workload.
///
/// | | deployment | stateful set | daemon set | job |
/// |---|---|---|---|---|
/// | `wanted` | `spec.replicas` | `spec.replicas` | `desiredNumberScheduled` | `spec.completions` |
/// | `kept` | 0 | the ordinals below `partition` | 0 | 0 |
/// | `replicas` | `replicas` | `replicas` | `currentNumberScheduled` | `active` and `succeeded` |
/// | `updated` | `updatedReplicas` | `updatedReplicas` | `updatedNumberScheduled` | `succeeded` |
/// | `available` | `availableReplicas` | `availableReplicas` | `numberAvailable` | `succeeded` |
/// | new revision | newest replica set | `updateRevision` | newest controller revision | its one template |
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the specification is still the one that this rollout put there.
    pub is_ours: bool,
    /// Whether somebody paused it: then no pod is replaced or, of a job, started.
    pub is_paused: bool,
    /// Whether pods are replaced only when a person deletes them.
    pub is_by_hand: bool,
    /// What its pods are for.
    pub work: Work,
    /// The generation that the controller has seen.
    pub observed_generation: i64,
    /// How many pods should run.
    pub wanted: u64,
    /// How many of them stay of the revision that they are of.
    pub kept: u64,
    /// How many pods there are, of whatever revision.
    pub replicas: u64,
    /// How many pods of the new revision there are.
    pub updated: u64,
    /// How many pods of whatever revision have been ready for long enough.
    pub available: u64,
    /// What the cluster says when it has given up.
    pub gave_up: Option<String>,
    /// Why the API server refuses to create pods.
    pub refused: Option<String>,
    /// The images of the new revision by container; empty while the cluster does not show it.
    pub images: BTreeMap<String, String>,
    /// The pods of the new revision that are meant to run, and of a job those that failed.
    pub pods: Vec<Pod>,
    /// Pods of another revision that are not ready, and before that is so no pod is replaced: a stateful set that keeps
    /// its order waits for them, even for those that a newer revision would repair.
    pub holding: Vec<Pod>,
}

/// What pods are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Work {
    /// They run until they are replaced.
    #[default]
    Serves,
    /// They run until their work is done: a job.
    Ends,
    /// Their work is done.
    Ended,
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// What tells it from all others: a pod of a stateful set has the name of the one that it replaces.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub is_ready: bool,
    /// Why no node takes it.
    pub unplaced: Option<String>,
    /// Its containers, those of the initialisation first.
    pub containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Whether it runs before the others and then ends.
    pub is_init: bool,
    /// How the node identifies what it runs; empty before it runs.
    pub image_id: String,
    /// How often it was started again.
    pub restarts: u64,
    /// What it does now.
    pub state: State,
    /// How it ended the last time.
    pub ended_before: Option<End>,
}

/// What a container does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// It runs.
    #[default]
    Running,
    /// It waits to be started.
    Waiting {
        /// One word; empty if none is given.
        reason: String,
        /// A sentence, if one is given.
        message: String,
    },
    /// It has ended.
    Ended(End),
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// Its exit code.
    pub exit_code: i64,
    /// One word, such as `OOMKilled`.
    pub reason: String,
    /// What it left as its last words, if any.
    pub message: String,
}

impl Seen {
    /// How many pods should be of the new revision.
    pub(super) fn renewed(&self) -> u64 {
        self.wanted.saturating_sub(self.kept)
    }
}

impl Container {
    /// The reason for which it waits; empty if it does not.
    pub(super) fn reason(&self) -> &str {
        match &self.state {
            State::Waiting { reason, .. } => reason,
            State::Running | State::Ended(_) => "",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended with exit code {}", self.exit_code)?;
        if !matches!(self.reason.as_str(), "" | "Error" | "Completed") {
            write!(f, " ({})", one_line(&self.reason))?;
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", one_line(&self.message)) }
    }
}

/// What is wrong with pods, one sentence each: for people who ask how it is.
#[must_use]
pub fn problems(pods: &[Pod]) -> Vec<String> {
    let of_pod = |pod: &Pod| {
        let of_container = |container: &Container| match &container.state {
            State::Ended(end) if !container.is_init || end.exit_code != 0 => Some(ending(pod, container)),
            State::Waiting { reason, .. } if reason == "CrashLoopBackOff" => Some(ending(pod, container)),
            State::Running | State::Waiting { .. } | State::Ended(_) => trouble(pod, container),
        };
        let unplaced = pod.unplaced.as_ref().map(|why| not_placed(pod, why));
        unplaced.into_iter().chain(pod.containers.iter().filter_map(of_container)).collect::<Vec<_>>()
    };
    pods.iter().flat_map(of_pod).collect()
}

pub(super) fn containers(seen: &Seen) -> impl Iterator<Item = (&Pod, &Container)> {
    seen.pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)))
}

pub(super) fn unplaced(seen: &Seen) -> Option<String> {
    seen.pods.iter().find_map(|pod| Some(not_placed(pod, pod.unplaced.as_ref()?)))
}

/// What is wrong with a pod that holds everything up, and what helps.
pub(super) fn held(seen: &Seen) -> Option<String> {
    let mut broken = seen.holding.iter();
    broken.find_map(|pod| Some(holds(pod, &problems(std::slice::from_ref(pod)).into_iter().next()?)))
}

/// That a pod holds everything up, although nothing seems to be wrong with it.
pub(super) fn held_up(seen: &Seen) -> Option<String> {
    seen.holding.first().map(|pod| holds(pod, "it runs and does not become ready"))
}

/// That a pod is not ready, although nothing seems to be wrong with it. What a mount waits for, nodes tell in events only.
pub(super) fn not_ready(pod: &Pod) -> String {
    let name = &pod.name;
    let waits = pod.containers.iter().find(|container| !container.reason().is_empty());
    match waits.map(|container| one_line(container.reason())) {
        Some(reason) => {
            format!("pod `{name}` does not start ({reason}); `kubectl describe pod {name}` tells why")
        }
        None => format!("pod `{name}` runs and does not become ready"),
    }
}

fn holds(pod: &Pod, why: &str) -> String {
    let name = &pod.name;
    format!(
        "no pod is replaced before `{name}` of another revision is ready ({why}); `kubectl delete pod {name}` helps"
    )
}

pub(super) fn not_placed(pod: &Pod, why: &str) -> String {
    format!("no node takes pod `{}`: {}", pod.name, one_line(why))
}

/// Why a container waits, if it is not simply on its way. A crash loop is told by its last end.
pub(super) fn trouble(pod: &Pod, container: &Container) -> Option<String> {
    let State::Waiting { reason, message } = &container.state else { return None };
    if ON_THE_WAY.contains(&reason.as_str()) || reason == "CrashLoopBackOff" {
        return None;
    }
    let said = if message.is_empty() { String::new() } else { format!(": {}", one_line(message)) };
    Some(format!("container `{}` of pod `{}` waits, {}{said}", container.name, pod.name, one_line(reason)))
}

/// How a container ended, now or the last time.
pub(super) fn ending(pod: &Pod, container: &Container) -> String {
    let end = match &container.state {
        State::Ended(end) => Some(end),
        State::Running | State::Waiting { .. } => container.ended_before.as_ref(),
    };
    let end = end.map_or_else(|| "restarts again and again".to_owned(), ToString::to_string);
    format!("container `{}` of pod `{}` {end}", container.name, pod.name)
}

/// Nodes write `repository@digest`, with or without a scheme before it.
pub(super) fn runs(container: &Container, wanted: &Wanted) -> bool {
    wanted.digests.iter().any(|digest| container.image_id.ends_with(digest.as_str()))
}

pub(super) fn key(pod: &Pod, container: &Container) -> (String, String) {
    (pod.uid.clone(), container.name.clone())
}

/// How many of what is seen.
pub(super) fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}
