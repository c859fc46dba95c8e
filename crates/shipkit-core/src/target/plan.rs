//! The steps from what is there to what should be.

use std::collections::BTreeSet;
use std::fmt;

use super::{Desired, DesiredService, Observed, ObservedService};
use crate::digest::Digest;
use crate::manifests::Fate;

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
    /// An object of a cluster is written or removed, beside what the services are.
    Object {
        /// Its kind and name.
        object: String,
        /// What becomes of it.
        fate: Fate,
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
        | Change::LeaveStateful { .. }
        | Change::Object { .. } => false,
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
    if new.compose.is_some() && old.compose.is_none() {
        // What others said of it is not what the files say, whatever that is.
        let image = (there.image.as_ref() != Some(&wanted.image)).then_some("image");
        return image.into_iter().chain(["compose file"]).map(str::to_owned).collect();
    }
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
    note(new.manifests != old.manifests, "manifests");
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

impl Change {
    /// Whether it writes nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Keep { .. } | Self::LeaveStateful { .. } | Self::Object { fate: Fate::Kept, .. })
    }

    /// The service that changes; `None` for the network and for an object.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::CreateNetwork { .. } | Self::Object { .. } => None,
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
            Self::Object { object, fate } => write!(f, "`{object}` {fate}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::sample::{desired, image, observed, there, wanted};
    use super::super::{
        Absent, EndpointMode, HealthCheck, Order, Replacement, Settings, Update, VolumeMount,
    };
    use super::*;
    use crate::rollout::slots::Strategy;

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
    fn where_files_say_it_for_the_first_time_what_others_said_does_not_count() {
        let mut api = wanted("api", &[]);
        api.settings = Settings { compose: Some(Digest::of(b"1")), ..Settings::default() };
        let mut old = there("api", "1", 1, None);
        old.settings.environment.insert("A".to_owned(), "1".to_owned());
        assert_eq!(differences(&api, &old), ["compose file"]);
        api.image = image("api", "2");
        assert_eq!(differences(&api, &old), ["image", "compose file"]);
        old.settings = api.settings.clone();
        assert_eq!(differences(&api, &old), ["image"]);
    }

    #[test]
    fn every_setting_that_differs_is_named_and_what_is_not_stated_stays() {
        let mut api = wanted("api", &[]);
        let mut old = there("api", "1", 1, None);
        (old.settings.replicas, old.settings.stop_grace) = (Some(7), Some(Duration::from_secs(3)));
        assert!(differences(&api, &old).is_empty());
        old.settings.compose = Some(Digest::of(b"other"));
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
            manifests: Some(Digest::of(b"manifests")),
        };
        let words = "replicas,environment A,secrets,volumes,healthcheck,endpoint_mode,stop_grace_period,update_config,\
                     compose file,manifests";
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
}
