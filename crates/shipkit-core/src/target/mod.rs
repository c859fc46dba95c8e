//! What should run on a target and what does, as plain values, the plan that leads from one to the other, and the way back.

mod adopt;
mod job;
mod plan;
#[cfg(test)]
mod sample;
mod way_back;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::reference::ImageRef;
use crate::rollout::Status;
use crate::rollout::slots::Strategy;

pub use adopt::{Adopted, Adoption, Candidate, Found, NotAdopted, adoption};
pub use job::{Job, JobEnd};
pub use plan::{Change, differences, plan, strangers};
pub use way_back::{NoWayBack, Return, WayBack, way_back};
pub use written::{Written, failing_first};

/// What should run as one stack: the services of one release, deployed together and rolled back together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The name of the stack; its services, volumes, secrets and its network begin with it. In a cluster, the namespace.
    pub stack: String,
    /// What is deployed, written on every service.
    pub stamp: Stamp,
    /// The services, in any order.
    pub services: Vec<DesiredService>,
}

/// What was deployed, when and by whom. It is kept on the target itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The digest of the release; of what was found, where that was adopted and its release is not known.
    pub release: Digest,
    /// Its version for people; `adopted` where it names no release.
    pub version: String,
    /// The full commit of the release; empty where it names none.
    pub commit: String,
    /// The environment it was deployed to.
    pub environment: String,
    /// Where the run that deployed it can be seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<String>,
    /// When the deploy began.
    pub time: Timestamp,
}

/// A service of a deploy, as far as it is kept once that is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its name within the stack.
    pub name: &'a str,
    /// Whether it holds data.
    pub is_stateful: bool,
}

impl Stamp {
    /// Whether it names no release: what it is on was started by others and then adopted.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.commit.is_empty()
    }

    /// What it names, as it stands in a sentence.
    #[must_use]
    pub fn called(&self) -> &str {
        if self.is_adopted() { "what was adopted" } else { &self.version }
    }
}

impl Desired {
    /// Its services, as far as they are kept.
    #[must_use]
    pub fn parts(&self) -> Vec<Part<'_>> {
        let services = self.services.iter();
        services.map(|service| Part { name: &service.name, is_stateful: service.stateful }).collect()
    }
}

/// One service as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredService {
    /// Its name within the stack, by which the other services reach it.
    pub name: String,
    /// Its image.
    pub image: ImageRef,
    /// The digests of the image's manifests: what runs may be identified by one of them. Empty where they are not known.
    pub platforms: BTreeSet<Digest>,
    /// The commit that the image was built from.
    pub revision: String,
    /// The services that are put in place before this one.
    pub depends_on: Vec<String>,
    /// Whether it holds data: then it is created once, and a deploy never touches it again.
    pub stateful: bool,
    /// Everything else that shipkit decides about it.
    pub settings: Settings,
}

/// What shipkit decides about a service besides its image. What is not here (resources, placement, ports, further
/// networks) belongs to the people who run the target and survives every deploy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// How many tasks run; `None` leaves what is there (one for a new service).
    pub replicas: Option<u64>,
    /// All environment variables.
    pub environment: BTreeMap<String, String>,
    /// The secrets by their name within the stack: each is the target's `<stack>_<name>`, at `/run/secrets/<name>`.
    pub secrets: Vec<String>,
    /// All volumes.
    pub volumes: Vec<VolumeMount>,
    /// How health is found out; `None` leaves it to the image.
    pub healthcheck: Option<HealthCheck>,
    /// How other services find the tasks.
    pub endpoint_mode: EndpointMode,
    /// How long a task may take to stop; `None` leaves what is there.
    pub stop_grace: Option<Duration>,
    /// How an update proceeds.
    pub update: Update,
    /// What the Compose files say of it, where the target runs them: the digest of the rendered service.
    pub compose: Option<Digest>,
    /// The manifests that it is a part of, in a cluster: the digest of the whole set.
    pub manifests: Option<Digest>,
}

/// A named volume and where it appears.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeMount {
    /// Its name within the stack: the target's is `<stack>_<volume>`.
    pub volume: String,
    /// The absolute path in the container.
    pub path: String,
}

/// How the health of a container is found out, in Compose's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// `["CMD", ...]`, `["CMD-SHELL", "..."]` or `["NONE"]`.
    pub test: Vec<String>,
    /// From one check to the next.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u64,
    /// How long failures do not count after the start.
    pub start_period: Duration,
}

/// How other services find the tasks of a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EndpointMode {
    /// One virtual address, balanced by the kernel (IPVS).
    #[default]
    Vip,
    /// The name resolves to every task.
    Dnsrr,
}

/// How an update of a service proceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// How many tasks are replaced at a time; 0 is all.
    pub parallelism: u64,
    /// The pause between them.
    pub delay: Duration,
    /// Whether the new task starts before the old one stops.
    pub order: Order,
    /// How long a new task is watched after it runs before it counts.
    pub monitor: Duration,
    /// How the tasks are replaced where shipkit itself does it; elsewhere the target does it task by task.
    pub replacement: Replacement,
}

/// How the tasks of a service are replaced by shipkit itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replacement {
    /// As many at a time as the update says.
    #[default]
    Rolling,
    /// All new ones beside the old ones, then the traffic shifts at once.
    BlueGreen {
        /// How long the old ones go on running after that, without traffic.
        bake: Duration,
    },
    /// All old ones stop before a new one starts.
    Recreate,
}

/// Which comes first when a task is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The new task runs before the old one stops: nothing is lost.
    #[default]
    StartFirst,
    /// The old task stops first: for what cannot run twice.
    StopFirst,
}

impl Default for Update {
    fn default() -> Self {
        Self {
            parallelism: 1,
            delay: Duration::ZERO,
            order: Order::StartFirst,
            monitor: Duration::from_secs(5),
            replacement: Replacement::Rolling,
        }
    }
}

impl Update {
    /// The same in the words of a rollout by slots.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        match self.replacement {
            Replacement::Rolling => Strategy::Rolling {
                parallelism: usize::try_from(self.parallelism).unwrap_or(usize::MAX),
                delay: self.delay,
                order: self.order,
            },
            Replacement::BlueGreen { bake } => Strategy::BlueGreen { bake },
            Replacement::Recreate => Strategy::Recreate,
        }
    }
}

/// What is there: one stack as the target shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Whether the network of the stack exists. A cluster has one for all.
    pub has_network: bool,
    /// What the target's own files name besides and is not there yet.
    pub absent: Vec<Absent>,
    /// The services of the stack by their names within it, in the order of these names.
    pub services: Vec<ObservedService>,
}

/// A service that the target's own files name, that no release holds and that does not exist yet: it is started once and
/// then belongs to the people who run the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Its name within the stack.
    pub name: String,
    /// The services that are put in place before this one.
    pub depends_on: Vec<String>,
}

/// One service as the target shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    /// Its name within the stack.
    pub name: String,
    /// The image of its specification; `None` if that does not name a digest (somebody else deployed it).
    pub image: Option<ImageRef>,
    /// Its settings, as far as shipkit decides them.
    pub settings: Settings,
    /// How many tasks run, by the image that they run.
    pub running: BTreeMap<String, u64>,
    /// What was deployed; `None` if it was not deployed by shipkit.
    pub stamp: Option<Stamp>,
    /// The commit that its image was built from.
    pub revision: Option<String>,
    /// Whether the deploy that put it there was seen to succeed. A run that was killed leaves `false`.
    pub is_confirmed: bool,
    /// What a rollback would go back to.
    pub previous: Option<Previous>,
    /// How the last update ended.
    pub update: Status,
    /// The version of its specification: an update that names another one is refused.
    pub version: u64,
    /// What is wrong with its tasks, one sentence each.
    pub problems: Vec<String>,
}

/// What a rollback of one service goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// What was deployed then; `None` if it was not deployed by shipkit.
    pub stamp: Option<Stamp>,
    /// The image that ran then; `None` if it was not named by digest.
    pub image: Option<ImageRef>,
}
