//! `Expected`: a workload that was changed, and what is expected of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use shipkit_core::manifests::Id;
use shipkit_core::rollout::Purpose;
use shipkit_core::rollout::workload::Wanted;

use crate::change::Applied;

/// A workload that was changed, and what is expected of it.
#[derive(Debug, Clone)]
pub struct Expected {
    /// How people call it.
    pub service: String,
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// What the change was for.
    pub purpose: Purpose,
    /// The generation that the change itself returned.
    pub generation: i64,
    /// What its containers should run, by their names. Where nothing is said, the generation alone tells its change from
    /// others.
    pub wanted: BTreeMap<String, Wanted>,
    /// How long all of it must stay as it should be before it counts.
    pub monitor: Duration,
    /// The deploy that its annotations name, by release and time; `None` if they name none. It is somebody else's when
    /// they say something else.
    pub mark: Option<(String, String)>,
}

/// A kind of Kubernetes workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// Pods that are all alike.
    Deployment,
    /// Pods with numbers, which are replaced one after the other.
    StatefulSet,
    /// A pod on each node.
    DaemonSet,
    /// Pods that end.
    Job,
}

impl WorkloadKind {
    /// What an object is that has this name; `None` if it has no rollout that can be watched.
    pub(crate) fn of(id: &Id) -> Option<Self> {
        match (id.group.as_str(), id.kind.as_str()) {
            ("apps", "Deployment") => Some(Self::Deployment),
            ("apps", "StatefulSet") => Some(Self::StatefulSet),
            ("apps", "DaemonSet") => Some(Self::DaemonSet),
            ("batch", "Job") => Some(Self::Job),
            _ => None,
        }
    }
}

impl From<&Applied> for Expected {
    fn from(applied: &Applied) -> Self {
        Self {
            service: applied.service().to_owned(),
            kind: applied.kind,
            name: applied.workload.name.clone(),
            purpose: applied.purpose,
            generation: applied.generation,
            wanted: applied.wanted.clone(),
            monitor: applied.workload.monitor,
            mark: applied.mark.clone(),
        }
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "stateful set",
            Self::DaemonSet => "daemon set",
            Self::Job => "job",
        })
    }
}
