//! What should run on a target and what does, as plain values, and the plan that leads from one to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::reference::ImageRef;
use crate::rollout::Status;
use crate::rollout::slots::Strategy;

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
    /// The digest of the release.
    pub release: Digest,
    /// Its version for people.
    pub version: String,
    /// The full commit of the release.
    pub commit: String,
    /// The environment it was deployed to.
    pub environment: String,
    /// Where the run that deployed it can be seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<String>,
    /// When the deploy began.
    pub time: Timestamp,
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

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The network of the stack is created.
    CreateNetwork {
        /// Its name.
        network: String,
    },
    /// A service that no release holds is started: only once, because it does not exist yet.
    Start {
        /// The service's name within the stack.
        service: String,
    },
    /// A service is created, with its volumes.
    Create {
        /// The service's name within the stack.
        service: String,
        /// What it runs.
        to: Digest,
        /// The volumes that it mounts: created where they do not exist.
        volumes: Vec<String>,
    },
    /// A service is changed; its tasks are replaced if `differs` names more than how an update proceeds.
    Update {
        /// The service's name within the stack.
        service: String,
        /// What it runs now; `None` if that is not named by digest.
        from: Option<Digest>,
        /// What it runs then.
        to: Digest,
        /// What differs, in the words of `shipkit.yml`.
        differs: Vec<String>,
    },
    /// A service is as it should be but belongs to another deploy: no task restarts, only its labels name this one,
    /// so that all services of a release go back together.
    Relabel {
        /// The service's name within the stack.
        service: String,
        /// What it runs.
        at: Digest,
    },
    /// A service is as it should be: nothing is written.
    Keep {
        /// The service's name within the stack.
        service: String,
        /// What it runs.
        at: Digest,
    },
    /// A service that holds data exists: it is not touched, whatever differs.
    LeaveStateful {
        /// The service's name within the stack.
        service: String,
        /// What differs and stays so.
        differs: Vec<String>,
    },
}

/// The steps from what is there to what should be: the network, then the services, each after those it depends on.
/// Services that are there and not wanted are left alone; see [`strangers`].
///
/// A deploy of what already runs, all of it, writes nothing: the memory of the good release before it stays.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Change> {
    let network = (!observed.has_network).then(|| Change::CreateNetwork { network: desired.stack.clone() });
    let there = |name: &str| observed.services.iter().find(|service| service.name == name);
    let wanted = desired.services.iter().map(|service| Node {
        name: &service.name,
        depends_on: &service.depends_on,
        wanted: Some(service),
    });
    let absent =
        observed.absent.iter().map(|one| Node { name: &one.name, depends_on: &one.depends_on, wanted: None });
    let services: Vec<Change> = in_order(&wanted.chain(absent).collect::<Vec<_>>())
        .into_iter()
        .map(|node| {
            let Some(wanted) = node.wanted else { return Change::Start { service: node.name.to_owned() } };
            let there = there(&wanted.name);
            let stamp = there.and_then(|service| service.stamp.as_ref());
            let step = change(wanted, there);
            if stamp.is_some_and(|stamp| stamp.release == desired.stamp.release) {
                step
            } else {
                joining(step)
            }
        })
        .collect();
    let is_new_deploy = services.iter().any(|step| match step {
        Change::Create { .. } | Change::Update { .. } | Change::Relabel { .. } => true,
        Change::CreateNetwork { .. }
        | Change::Start { .. }
        | Change::Keep { .. }
        | Change::LeaveStateful { .. } => false,
    });
    let joined = |step| if is_new_deploy { joining(step) } else { step };
    network.into_iter().chain(services.into_iter().map(joined)).collect()
}

/// A step that would only keep a service, as one that makes it a part of this deploy.
fn joining(step: Change) -> Change {
    if let Change::Keep { service, at } = step { Change::Relabel { service, at } } else { step }
}

fn change(wanted: &DesiredService, there: Option<&ObservedService>) -> Change {
    let service = wanted.name.clone();
    let Some(there) = there else {
        let volumes = wanted.settings.volumes.iter().map(|mount| mount.volume.clone()).collect();
        return Change::Create { service, to: wanted.image.digest.clone(), volumes };
    };
    let differs = differences(wanted, there);
    if wanted.stateful {
        Change::LeaveStateful { service, differs }
    } else if differs.is_empty() {
        Change::Keep { service, at: wanted.image.digest.clone() }
    } else {
        let from = there.image.as_ref().map(|image| image.digest.clone());
        Change::Update { service, from, to: wanted.image.digest.clone(), differs }
    }
}

/// What differs between a service as it should be and as it is, in the words of `shipkit.yml`; empty if nothing does.
#[must_use]
pub fn differences(wanted: &DesiredService, there: &ObservedService) -> Vec<String> {
    let (new, old) = (&wanted.settings, &there.settings);
    let mut differs = Vec::new();
    let mut note = |is_different: bool, word: &str| {
        if is_different {
            differs.push(word.to_owned());
        }
    };
    note(there.image.as_ref() != Some(&wanted.image), "image");
    note(new.replicas.is_some() && new.replicas != old.replicas, "replicas");
    for name in new.environment.keys().chain(old.environment.keys()).collect::<BTreeSet<_>>() {
        note(new.environment.get(name) != old.environment.get(name), &format!("environment {name}"));
    }
    note(as_set(&new.secrets) != as_set(&old.secrets), "secrets");
    note(as_set(&new.volumes) != as_set(&old.volumes), "volumes");
    note(new.healthcheck != old.healthcheck, "healthcheck");
    note(new.endpoint_mode != old.endpoint_mode, "endpoint_mode");
    note(new.stop_grace.is_some() && new.stop_grace != old.stop_grace, "stop_grace_period");
    note(new.update != old.update, "update_config");
    note(new.compose != old.compose, "compose file");
    differs
}

fn as_set<T: Ord>(items: &[T]) -> BTreeSet<&T> {
    items.iter().collect()
}

/// A service that a plan puts in place, and what comes before it.
struct Node<'a> {
    name: &'a str,
    depends_on: &'a [String],
    /// As it should be; `None` if it only has to be there.
    wanted: Option<&'a DesiredService>,
}

/// The services, each after those that it depends on, otherwise in the given order. A circle, which configuration
/// refuses, is cut where it closes.
fn in_order<'a>(services: &'a [Node<'a>]) -> Vec<&'a Node<'a>> {
    fn visit<'a>(
        service: &'a Node<'a>,
        all: &'a [Node<'a>],
        seen: &mut BTreeSet<&'a str>,
        ordered: &mut Vec<&'a Node<'a>>,
    ) {
        if !seen.insert(service.name) {
            return;
        }
        for before in all.iter().filter(|other| service.depends_on.iter().any(|name| name == other.name)) {
            visit(before, all, seen, ordered);
        }
        ordered.push(service);
    }
    let (mut seen, mut ordered) = (BTreeSet::new(), Vec::new());
    for service in services {
        visit(service, services, &mut seen, &mut ordered);
    }
    ordered
}

/// The services of the stack that are there and not wanted. They are reported and never removed.
#[must_use]
pub fn strangers<'a>(desired: &Desired, observed: &'a Observed) -> Vec<&'a str> {
    let is_wanted = |name: &str| desired.services.iter().any(|service| service.name == name);
    observed.services.iter().map(|service| service.name.as_str()).filter(|name| !is_wanted(name)).collect()
}

/// One service that a rollback puts back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// The service's name within the stack.
    pub service: String,
    /// Whether it is there; what is not is created again.
    pub is_there: bool,
    /// The release that it leaves; `None` if it was not deployed by shipkit.
    pub from: Option<Stamp>,
    /// What it runs now; `None` if that is not named by digest.
    pub from_image: Option<ImageRef>,
    /// Where it goes.
    pub to: Previous,
}

/// A rollback of a whole stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayBack {
    /// The services that go back, together.
    pub returns: Vec<Return>,
    /// Services that came after the release that comes back: they have nothing to go back to and stay.
    pub stay: Vec<String>,
    /// Services of the release that comes back that hold data: they are never touched.
    pub data: Vec<String>,
}

/// Why a stack cannot go back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWayBack {
    /// Nothing in the stack was deployed by shipkit.
    #[error("`{0}` holds nothing that shipkit deployed")]
    NothingDeployed(String),
    /// The release that runs is the first one, or a rollback has already left the one after it.
    #[error("`{stack}` runs release `{version}` and remembers no good release before it")]
    NothingBefore {
        /// The stack.
        stack: String,
        /// The version that runs.
        version: String,
    },
}

/// The way back from the release that was deployed last.
///
/// Only services of that deploy go back, and those that an unfinished one left unconfirmed: after a killed run some
/// already run the new release and some still the old one, and the latter are where they should be. So a rollback
/// that was killed half way is finished by the next one.
///
/// # Errors
/// When there is nothing to go back to.
pub fn way_back(stack: &str, observed: &Observed) -> Result<WayBack, NoWayBack> {
    let stamped = || observed.services.iter().filter_map(|s| s.stamp.as_ref().map(|stamp| (s, stamp)));
    let Some((_, newest)) = stamped().max_by_key(|(_, stamp)| stamp.time) else {
        return Err(NoWayBack::NothingDeployed(stack.to_owned()));
    };
    let (mut returns, mut stay) = (Vec::new(), Vec::new());
    let is_left = |service: &ObservedService, stamp: &Stamp| {
        !service.is_confirmed || (&stamp.release, stamp.time) == (&newest.release, newest.time)
    };
    for (service, stamp) in stamped().filter(|(service, stamp)| is_left(service, stamp)) {
        match &service.previous {
            Some(previous) => returns.push(Return {
                service: service.name.clone(),
                is_there: true,
                from: Some(stamp.clone()),
                from_image: service.image.clone(),
                to: previous.clone(),
            }),
            None => stay.push(service.name.clone()),
        }
    }
    if returns.is_empty() {
        return Err(NoWayBack::NothingBefore { stack: stack.to_owned(), version: newest.version.clone() });
    }
    Ok(WayBack { returns, stay, data: Vec::new() })
}

impl Change {
    /// Whether it writes nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Keep { .. } | Self::LeaveStateful { .. })
    }

    /// The service that changes; `None` for the network.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::CreateNetwork { .. } => None,
            Self::Start { service }
            | Self::Create { service, .. }
            | Self::Update { service, .. }
            | Self::Relabel { service, .. }
            | Self::Keep { service, .. }
            | Self::LeaveStateful { service, .. } => Some(service),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateNetwork { network } => write!(f, "create network `{network}`"),
            Self::Start { service } => {
                write!(f, "start `{service}`, which is not there and belongs to no release")
            }
            Self::Create { service, to, volumes } => {
                write!(f, "create `{service}` at {}", to.short())?;
                if volumes.is_empty() { Ok(()) } else { write!(f, " with volumes {}", volumes.join(", ")) }
            }
            Self::Update { service, from, to, differs } => {
                let from = from.as_ref().map_or("a tag", Digest::short);
                write!(f, "update `{service}` {from} -> {} ({})", to.short(), differs.join(", "))
            }
            Self::Relabel { service, at } => {
                write!(f, "keep `{service}` at {}, as a part of the new release", at.short())
            }
            Self::Keep { service, at } => write!(f, "keep `{service}` at {}", at.short()),
            Self::LeaveStateful { service, differs } => {
                write!(f, "leave `{service}`, which holds data")?;
                if differs.is_empty() { Ok(()) } else { write!(f, " (differs: {})", differs.join(", ")) }
            }
        }
    }
}

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |image: &Option<ImageRef>| {
            image.as_ref().map_or_else(|| "a tag".to_owned(), |image| image.digest.short().to_owned())
        };
        let to = self.to.stamp.as_ref().map_or("what ran before shipkit", |stamp| &stamp.version);
        if !self.is_there {
            return write!(f, "create `{}` again at {} (release {to})", self.service, short(&self.to.image));
        }
        let from = self.from.as_ref().map_or("what is not of shipkit", |stamp| &stamp.version);
        write!(f, "return `{}` {} -> {}", self.service, short(&self.from_image), short(&self.to.image))?;
        write!(f, " (release {from} -> {to})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Repository;

    fn image(name: &str, content: &str) -> ImageRef {
        format!("ghcr.io/a/{name}").parse::<Repository>().unwrap().at(&Digest::of(content.as_bytes()))
    }

    fn stamp(release: &str, minute: u8) -> Stamp {
        Stamp {
            release: Digest::of(release.as_bytes()),
            version: release.to_owned(),
            commit: "c".repeat(40),
            environment: "staging".to_owned(),
            run: None,
            time: format!("2026-01-02T03:{minute:02}:00Z").parse().unwrap(),
        }
    }

    fn wanted(name: &str, depends_on: &[&str]) -> DesiredService {
        DesiredService {
            name: name.to_owned(),
            image: image(name, "1"),
            platforms: BTreeSet::new(),
            revision: "r".to_owned(),
            depends_on: depends_on.iter().map(|&other| other.to_owned()).collect(),
            stateful: false,
            settings: Settings::default(),
        }
    }

    fn there(name: &str, release: &str, minute: u8, previous: Option<&str>) -> ObservedService {
        ObservedService {
            name: name.to_owned(),
            image: Some(image(name, "1")),
            settings: Settings::default(),
            running: BTreeMap::new(),
            stamp: Some(stamp(release, minute)),
            revision: None,
            is_confirmed: true,
            previous: previous.map(|r| Previous { stamp: Some(stamp(r, 0)), image: Some(image(name, "0")) }),
            update: Status::None,
            version: 1,
            problems: Vec::new(),
        }
    }

    fn desired(services: Vec<DesiredService>) -> Desired {
        Desired { stack: "shop".to_owned(), stamp: stamp("2", 2), services }
    }

    fn observed(services: Vec<ObservedService>) -> Observed {
        Observed { has_network: true, absent: Vec::new(), services }
    }

    #[track_caller]
    fn check_plan(desired: &Desired, observed: &Observed, expected: &[&str]) {
        let lines: Vec<String> = plan(desired, observed).iter().map(ToString::to_string).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn an_empty_target_gets_the_network_and_every_service_after_those_it_needs() {
        let mut db = wanted("db", &[]);
        db.settings.volumes = vec![VolumeMount { volume: "data".to_owned(), path: "/data".to_owned() }];
        let desired = desired(vec![wanted("web", &["api"]), wanted("api", &["db"]), db]);
        let at = Digest::of(b"1").short().to_owned();
        check_plan(
            &desired,
            &Observed::default(),
            &[
                "create network `shop`",
                &format!("create `db` at {at} with volumes data"),
                &format!("create `api` at {at}"),
                &format!("create `web` at {at}"),
            ],
        );
    }

    #[test]
    fn a_circle_of_dependencies_still_names_every_service_once() {
        let desired = desired(vec![wanted("a", &["b"]), wanted("b", &["a"])]);
        assert_eq!(plan(&desired, &observed(vec![])).len(), 2);
    }

    #[test]
    fn a_release_that_already_runs_changes_nothing() {
        let line = format!("keep `api` at {}", Digest::of(b"1").short());
        check_plan(&desired(vec![wanted("api", &[])]), &observed(vec![there("api", "2", 1, None)]), &[&line]);
    }

    #[test]
    fn a_kept_service_joins_the_new_release() {
        let line = format!("keep `api` at {}, as a part of the new release", Digest::of(b"1").short());
        check_plan(&desired(vec![wanted("api", &[])]), &observed(vec![there("api", "1", 1, None)]), &[&line]);
    }

    #[test]
    fn a_second_deploy_of_a_release_that_changes_one_service_takes_all_along() {
        let mut api = wanted("api", &[]);
        api.settings.environment.insert("PORT".to_owned(), "1".to_owned());
        let there = observed(vec![there("api", "2", 1, None), there("web", "2", 1, None)]);
        let steps = plan(&desired(vec![api, wanted("web", &[])]), &there);
        assert!(matches!(steps[..], [Change::Update { .. }, Change::Relabel { .. }]));
    }

    #[test]
    fn an_update_says_from_where_to_where_and_what_differs() {
        let mut api = wanted("api", &[]);
        api.image = image("api", "2");
        api.settings.environment.insert("PORT".to_owned(), "1".to_owned());
        let (from, to) = (Digest::of(b"1"), Digest::of(b"2"));
        let line = format!("update `api` {} -> {} (image, environment PORT)", from.short(), to.short());
        check_plan(&desired(vec![api]), &observed(vec![there("api", "1", 1, None)]), &[&line]);
    }

    #[test]
    fn a_stateful_service_is_created_once_and_then_left() {
        let mut db = wanted("db", &[]);
        db.stateful = true;
        db.image = image("db", "2");
        let line = "leave `db`, which holds data (differs: image)";
        check_plan(&desired(vec![db.clone()]), &observed(vec![there("db", "1", 1, None)]), &[line]);
        assert!(matches!(plan(&desired(vec![db]), &observed(vec![]))[..], [Change::Create { .. }]));
    }

    #[test]
    fn every_setting_that_differs_is_named_and_what_is_not_stated_stays() {
        let mut api = wanted("api", &[]);
        let mut old = there("api", "1", 1, None);
        (old.settings.replicas, old.settings.stop_grace) = (Some(7), Some(Duration::from_secs(3)));
        assert!(differences(&api, &old).is_empty());
        api.settings = Settings {
            replicas: Some(2),
            environment: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
            secrets: vec!["s".to_owned()],
            volumes: vec![VolumeMount { volume: "v".to_owned(), path: "/v".to_owned() }],
            healthcheck: Some(HealthCheck {
                test: vec!["NONE".to_owned()],
                interval: Duration::ZERO,
                timeout: Duration::ZERO,
                retries: 0,
                start_period: Duration::ZERO,
            }),
            endpoint_mode: EndpointMode::Dnsrr,
            stop_grace: Some(Duration::from_secs(1)),
            update: Update { order: Order::StopFirst, ..Update::default() },
            compose: Some(Digest::of(b"compose")),
        };
        let words = "replicas,environment A,secrets,volumes,healthcheck,endpoint_mode,stop_grace_period,update_config,\
                     compose file";
        assert_eq!(differences(&api, &old).join(","), words);
    }

    #[test]
    fn what_is_absent_is_started_where_its_dependencies_put_it() {
        let absent = |name: &str, depends_on: &[&str]| Absent {
            name: name.to_owned(),
            depends_on: depends_on.iter().map(|&other| other.to_owned()).collect(),
        };
        let mut seen = observed(vec![]);
        seen.absent = vec![absent("cron", &["api"]), absent("redis", &[])];
        let at = Digest::of(b"1").short().to_owned();
        let start = |name: &str| format!("start `{name}`, which is not there and belongs to no release");
        let desired = desired(vec![wanted("api", &["redis"])]);
        check_plan(&desired, &seen, &[&start("redis"), &format!("create `api` at {at}"), &start("cron")]);
    }

    #[test]
    fn an_update_is_a_strategy_of_the_rollout() {
        let update = Update { parallelism: 2, order: Order::StopFirst, ..Update::default() };
        let rolling = Strategy::Rolling { parallelism: 2, delay: Duration::ZERO, order: Order::StopFirst };
        assert_eq!(update.strategy(), rolling);
        let bake = Duration::from_secs(7);
        let blue_green = Update { replacement: Replacement::BlueGreen { bake }, ..update };
        assert_eq!(blue_green.strategy(), Strategy::BlueGreen { bake });
        assert_eq!(Update { replacement: Replacement::Recreate, ..update }.strategy(), Strategy::Recreate);
    }

    #[test]
    fn services_that_nobody_wants_are_named_and_not_planned() {
        let (desired, observed) = (desired(vec![]), observed(vec![there("old", "1", 1, None)]));
        assert_eq!(strangers(&desired, &observed), ["old"]);
        assert!(plan(&desired, &observed).is_empty());
    }

    #[track_caller]
    fn check_back(services: Vec<ObservedService>, returns: &[&str], stay: &[&str]) {
        let way = way_back("shop", &observed(services)).unwrap();
        let names: Vec<&str> = way.returns.iter().map(|r| r.service.as_str()).collect();
        assert_eq!((names.as_slice(), way.stay), (returns, stay.iter().map(|&s| s.to_owned()).collect()));
    }

    #[test]
    fn all_services_of_the_newest_release_go_back_together() {
        let services = vec![
            there("api", "2", 2, Some("1")),
            there("db", "1", 1, None),
            there("new", "2", 2, None),
            there("web", "2", 2, Some("1")),
        ];
        check_back(services, &["api", "web"], &["new"]);
    }

    #[test]
    fn after_a_killed_run_only_what_already_runs_the_new_release_goes_back() {
        check_back(vec![there("api", "2", 2, Some("1")), there("web", "1", 1, Some("0"))], &["api"], &[]);
    }

    #[test]
    fn what_an_unfinished_deploy_left_goes_back_too_and_a_confirmed_earlier_deploy_stays() {
        let unconfirmed = ObservedService { is_confirmed: false, ..there("api", "2", 1, Some("0")) };
        let services = vec![unconfirmed, there("web", "2", 2, Some("0")), there("x", "2", 1, Some("0"))];
        check_back(services, &["api", "web"], &[]);
    }

    #[test]
    fn there_is_no_way_back_from_the_first_release_or_from_nothing() {
        let first = way_back("shop", &observed(vec![there("api", "1", 1, None)])).unwrap_err();
        assert_eq!(first.to_string(), "`shop` runs release `1` and remembers no good release before it");
        let foreign = ObservedService { stamp: None, ..there("api", "1", 1, None) };
        let nothing = way_back("shop", &observed(vec![foreign])).unwrap_err();
        assert_eq!(nothing, NoWayBack::NothingDeployed("shop".to_owned()));
    }

    #[test]
    fn a_return_says_which_release_it_leaves_and_where_it_goes() {
        let way = way_back("shop", &observed(vec![there("api", "2", 2, Some("1"))])).unwrap();
        let (from, to) = (Digest::of(b"1"), Digest::of(b"0"));
        let line = format!("return `api` {} -> {} (release 2 -> 1)", from.short(), to.short());
        assert_eq!(way.returns[0].to_string(), line);
    }
}
