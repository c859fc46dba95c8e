//! Deploys and rollbacks on a real, active Swarm of one node (`scripts/bed up` makes one).
//!
//! Every test has its own stack, images and registry, all removed at its end. No virtual addresses are used: a kernel
//! without IPVS has none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod history;
mod lease;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use shipkit_core::rollout::{Next, Status};
use shipkit_core::target::{
    self, Change, Desired, DesiredService, EndpointMode, HealthCheck, NoWayBack, Observed, Order,
    Replacement, Settings, Stamp, Update, VolumeMount,
};
use shipkit_core::{Digest, ImageRef};
use shipkit_docker::{Applied, Swarm, SwarmError};
use shipkit_tests::container::{docker, imported, root_archive};
use shipkit_tests::server::docker_registry::DockerRegistry;

const SOCKET: &str = "unix:///var/run/docker.sock";
const DEADLINE: Duration = Duration::from_mins(1);

/// One stack and all that belongs to it.
struct Bed {
    stack: String,
    swarm: Swarm,
    registry: Option<DockerRegistry>,
    images: Vec<String>,
    secrets: Vec<String>,
    releases: i64,
}

impl Bed {
    async fn new(name: &str) -> Self {
        Self {
            stack: format!("skd{}-{name}", std::process::id()),
            swarm: Swarm::connect(SOCKET).await.expect("an active Swarm: `scripts/bed up` makes one"),
            registry: Some(DockerRegistry::start()),
            images: Vec::new(),
            secrets: Vec::new(),
            releases: 0,
        }
    }

    /// An image that runs these words, pushed.
    fn image(&mut self, version: &str, command: &[&str]) -> ImageRef {
        let repository = format!("{}/{}", self.registry.as_ref().unwrap().host(), self.stack);
        let tagged = format!("{repository}:{version}");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/container.rs");
        let archive = root_archive(source, env!("CARGO_TARGET_TMPDIR"));
        let digest = imported(&archive, version, command, &tagged);
        self.images.push(tagged);
        digest.parse().unwrap()
    }

    fn good(&mut self, version: &str) -> ImageRef {
        self.image(version, &["/container", "serve"])
    }

    /// The next release: each is deployed a second after the one before.
    fn release(&mut self, services: Vec<DesiredService>) -> Desired {
        self.releases += 1;
        let version = self.releases.to_string();
        let stamp = Stamp {
            release: Digest::of(version.as_bytes()),
            version,
            commit: "c".repeat(40),
            environment: "staging".to_owned(),
            run: Some("https://example.org/run/1".to_owned()),
            time: "2026-01-02T03:04:05Z".parse::<Timestamp>().unwrap() + self.releases.seconds(),
        };
        Desired { stack: self.stack.clone(), stamp, services }
    }

    /// What is there once something runs: a Swarm that goes back by itself may have stopped the old task, and says that it
    /// is done a moment before the one in its place is seen.
    async fn running(&self) -> Observed {
        for _ in 0..2000 {
            let seen = self.observe().await;
            if !seen.services[0].running.is_empty() {
                return seen;
            }
        }
        panic!("nothing runs")
    }

    async fn observe(&self) -> Observed {
        self.swarm.observe(&self.stack).await.unwrap()
    }

    /// Applies every step of the plan and waits for each, as a deploy does, up to the first that fails.
    async fn apply(&self, desired: &Desired) -> (Vec<Applied>, Next) {
        let observed = self.observe().await;
        // What it finds is for those who ask: here every rollout is tried.
        self.swarm.preflight(desired, &observed, None).await.unwrap();
        let mut all = Vec::new();
        for change in target::plan(desired, &observed) {
            let Some(applied) = self.swarm.apply(desired, &change, None).await.unwrap() else { continue };
            let next = self.swarm.rollout(&applied, DEADLINE, |_| {}).await.unwrap();
            all.push(applied);
            if next != Next::Done {
                return (all, next);
            }
        }
        (all, Next::Done)
    }

    /// A deploy that must succeed.
    async fn deploy(&self, desired: &Desired) {
        let (_, next) = self.apply(desired).await;
        assert_eq!(next, Next::Done);
        self.swarm.confirm(desired, Timestamp::UNIX_EPOCH).await.unwrap();
    }

    /// A rollback of the whole stack, each service waited for.
    async fn rollback(&self) {
        let way = target::way_back(&self.stack, &self.observe().await).unwrap();
        for back in &way.returns {
            let applied = self.swarm.restore(&self.stack, back, None).await.unwrap();
            assert_eq!(self.swarm.rollout(&applied, DEADLINE, |_| {}).await.unwrap(), Next::Done);
        }
    }

    /// The identifiers of the containers that run.
    fn containers(&self, service: &str) -> Vec<String> {
        let filter = format!("label=com.docker.swarm.service.name={}_{service}", self.stack);
        let listed = docker(&["ps", "--no-trunc", "--quiet", "--filter", &filter]);
        let mut containers: Vec<String> = listed.lines().map(str::to_owned).collect();
        containers.sort();
        containers
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let quiet = |arguments: &[&str]| Command::new("docker").args(arguments).output().unwrap();
        let lines = |arguments: &[&str]| -> Vec<String> {
            String::from_utf8_lossy(&quiet(arguments).stdout).lines().map(str::to_owned).collect()
        };
        let namespace = format!("label=com.docker.stack.namespace={}", self.stack);
        for service in lines(&["service", "ls", "--quiet", "--filter", &namespace]) {
            quiet(&["service", "rm", &service]);
        }
        for secret in &self.secrets {
            quiet(&["secret", "rm", secret]);
        }
        for config in lines(&["config", "ls", "--quiet", "--filter", &namespace]) {
            quiet(&["config", "rm", &config]);
        }
        // Containers hold the network, volumes and images; waiting for their end is what `docker wait` does.
        let filter = format!("name={}_", self.stack);
        for container in lines(&["ps", "--all", "--quiet", "--filter", &filter]) {
            quiet(&["rm", "--force", &container]);
        }
        for volume in lines(&["volume", "ls", "--quiet", "--filter", &filter]) {
            quiet(&["volume", "rm", "--force", &volume]);
        }
        (0..50).find(|_| quiet(&["network", "rm", &self.stack]).status.success());
        for image in &self.images {
            quiet(&["rmi", "--force", image]);
        }
    }
}

#[track_caller]
fn check_runs(observed: &Observed, version: &str, image: &ImageRef, count: u64) {
    let api = &observed.services[0];
    assert_eq!(api.running, BTreeMap::from([(image.digest.to_string(), count)]), "{:?}", api.problems);
    assert_eq!(api.image.as_ref(), Some(image));
    assert_eq!(api.stamp.as_ref().map(|stamp| stamp.version.as_str()), Some(version));
}

fn service(name: &str, image: &ImageRef) -> DesiredService {
    DesiredService {
        name: name.to_owned(),
        image: image.clone(),
        platforms: BTreeSet::new(),
        revision: "r".to_owned(),
        depends_on: Vec::new(),
        stateful: false,
        settings: Settings {
            replicas: Some(1),
            endpoint_mode: EndpointMode::Dnsrr,
            stop_grace: Some(Duration::from_secs(1)),
            update: Update {
                parallelism: 1,
                delay: Duration::ZERO,
                order: Order::StartFirst,
                monitor: Duration::from_secs(2),
                replacement: Replacement::Rolling,
            },
            ..Settings::default()
        },
    }
}

fn with(mut service: DesiredService, edit: impl FnOnce(&mut Settings)) -> DesiredService {
    edit(&mut service.settings);
    service
}

fn health(code: &str) -> HealthCheck {
    HealthCheck {
        test: ["CMD", "/container", "exit", code].map(str::to_owned).to_vec(),
        interval: Duration::from_millis(500),
        timeout: Duration::from_secs(5),
        retries: 1,
        start_period: Duration::ZERO,
    }
}

#[tokio::test]
async fn a_release_is_created_then_updated_then_rolled_back_once_and_not_twice() {
    let mut bed = Bed::new("life").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    let full = |image: &ImageRef| {
        with(service("api", image), |settings| {
            settings.replicas = Some(2);
            settings.environment.insert("A".to_owned(), "x=1".to_owned());
            settings.healthcheck = Some(health("0"));
            settings.volumes = vec![VolumeMount { volume: "data".to_owned(), path: "/data".to_owned() }];
        })
    };
    let first = bed.release(vec![full(&one)]);
    let steps = target::plan(&first, &bed.observe().await);
    assert!(matches!(steps[..], [Change::CreateNetwork { .. }, Change::Create { .. }]));
    bed.deploy(&first).await;
    let seen = bed.observe().await;
    check_runs(&seen, "1", &one, 2);
    assert!(seen.has_network && seen.services[0].is_confirmed && seen.services[0].previous.is_none());
    assert_eq!(seen.services[0].settings, first.services[0].settings);

    let second = bed.release(vec![full(&two)]);
    bed.deploy(&second).await;
    let seen = bed.observe().await;
    check_runs(&seen, "2", &two, 2);
    let remembered = seen.services[0].previous.clone().unwrap();
    assert_eq!((remembered.stamp, remembered.image), (Some(first.stamp), Some(one.clone())));

    // Neither image can be pulled from now on: a rollback needs nothing but the target.
    bed.registry = None;
    bed.rollback().await;
    let seen = bed.observe().await;
    check_runs(&seen, "1", &one, 2);
    let again = target::way_back(&bed.stack, &seen).unwrap_err();
    assert!(matches!(again, NoWayBack::NothingBefore { .. }), "{again}");
}

#[tokio::test]
async fn what_does_not_change_keeps_running_and_still_goes_back_with_its_release() {
    let mut bed = Bed::new("keep").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one), service("web", &one)]);
    bed.deploy(&first).await;
    let containers = (bed.containers("api"), bed.containers("web"));
    assert_eq!(containers.0.len(), 1);

    // The same release again: nothing is written.
    let versions = |seen: &Observed| seen.services.iter().map(|s| s.version).collect::<Vec<_>>();
    let before = versions(&bed.observe().await);
    bed.deploy(&first).await;
    assert_eq!(versions(&bed.observe().await), before);

    // The next release changes one service: the other joins it and keeps its tasks.
    let second = bed.release(vec![service("api", &one), service("web", &two)]);
    bed.deploy(&second).await;
    assert_eq!(bed.containers("api"), containers.0);
    assert_ne!(bed.containers("web"), containers.1);
    let seen = bed.observe().await;
    assert!(seen.services.iter().all(|s| s.stamp.as_ref() == Some(&second.stamp) && s.is_confirmed));

    bed.rollback().await;
    assert_eq!(bed.containers("api"), containers.0);
    let seen = bed.observe().await;
    assert!(seen.services.iter().all(|s| s.stamp.as_ref() == Some(&first.stamp) && s.is_confirmed));
}

#[tokio::test]
async fn a_crash_at_the_start_of_an_update_is_rolled_back_named_and_leaves_true_labels() {
    let mut bed = Bed::new("crash").await;
    let (one, bad) = (bed.good("1"), bed.image("bad", &["/container", "exit", "3"]));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let second = bed.release(vec![service("api", &bad)]);
    let (all, next) = bed.apply(&second).await;
    let (Next::RolledBack { cause } | Next::RollBack { cause }) = &next else { panic!("{next:?}") };
    assert!(
        cause.starts_with("`api` ") && cause.ends_with("task: non-zero exit (3) (exit code 3)"),
        "{cause}"
    );
    let logs = bed.swarm.logs(&all[0]).await.unwrap();
    assert_eq!(logs[0].lines, ["ending with 3"]);
    let undone = bed.swarm.undo(&all[0], None).await.unwrap();
    if let Some(undone) = undone {
        assert_eq!(bed.swarm.rollout(&undone, DEADLINE, |_| {}).await.unwrap(), Next::Done);
    }
    let seen = bed.running().await;
    check_runs(&seen, "1", &one, 1);
    assert!(seen.services[0].is_confirmed && seen.services[0].previous.is_none());
}

#[tokio::test]
async fn an_unhealthy_release_is_rolled_back_and_named() {
    let mut bed = Bed::new("sick").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    let healthy = with(service("api", &one), |settings| settings.healthcheck = Some(health("0")));
    let first = bed.release(vec![healthy]);
    bed.deploy(&first).await;
    let kept = bed.containers("api");
    let sick = with(service("api", &two), |settings| settings.healthcheck = Some(health("1")));
    let second = bed.release(vec![sick]);
    let (all, next) = bed.apply(&second).await;
    let (Next::RolledBack { cause } | Next::RollBack { cause }) = &next else { panic!("{next:?}") };
    assert!(cause.contains("unhealthy container"), "{cause}");
    if let Some(undone) = bed.swarm.undo(&all[0], None).await.unwrap() {
        assert_eq!(bed.swarm.rollout(&undone, DEADLINE, |_| {}).await.unwrap(), Next::Done);
    }
    check_runs(&bed.observe().await, "1", &one, 1);
    let now = bed.containers("api");
    assert!(!kept.is_empty() && kept.iter().all(|old| now.contains(old)), "the old task stopped");
}

#[tokio::test]
async fn a_missing_image_is_named_at_once_and_undone() {
    let mut bed = Bed::new("gone").await;
    let one = bed.good("1");
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let missing = one.repository.at(&Digest::of(b"nothing"));
    let second = bed.release(vec![service("api", &missing)]);
    let (all, next) = bed.apply(&second).await;
    let (Next::RolledBack { cause } | Next::RollBack { cause }) = &next else { panic!("{next:?}") };
    assert!(cause.contains("task rejected: No such image"), "{cause}");
    if let Some(undone) = bed.swarm.undo(&all[0], None).await.unwrap() {
        assert_eq!(bed.swarm.rollout(&undone, DEADLINE, |_| {}).await.unwrap(), Next::Done);
    }
    check_runs(&bed.observe().await, "1", &one, 1);
}

#[tokio::test]
async fn a_first_release_that_crashes_is_named_and_leaves_no_service() {
    let mut bed = Bed::new("first").await;
    let bad = bed.image("bad", &["/container", "exit", "7"]);
    let first = bed.release(vec![service("api", &bad)]);
    let (all, next) = bed.apply(&first).await;
    let Next::RollBack { cause } = &next else { panic!("{next:?}") };
    assert_eq!(cause, "`api` keeps failing: task failed: task: non-zero exit (7) (exit code 7)");
    let seen = bed.observe().await;
    assert!(!seen.services[0].is_confirmed);
    assert!(seen.services[0].problems[0].contains("non-zero exit (7)"), "{:?}", seen.services[0].problems);
    assert!(bed.swarm.undo(&all[0], None).await.unwrap().is_none());
    assert!(bed.observe().await.services.is_empty());
}

#[tokio::test]
async fn services_before_the_one_that_fails_are_put_back_with_all_they_remembered() {
    let mut bed = Bed::new("undo").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    for image in [&one, &two] {
        let release = bed.release(vec![service("api", image)]);
        bed.deploy(&release).await;
    }
    let before = bed.observe().await.services[0].clone();
    let changed = with(service("api", &two), |settings| {
        settings.environment.insert("NEW".to_owned(), "1".to_owned());
    });
    let third = bed.release(vec![changed]);
    let (all, next) = bed.apply(&third).await;
    assert_eq!(next, Next::Done);
    // Not confirmed: another service of the release failed, or its verification.
    let undone = bed.swarm.undo(&all[0], None).await.unwrap().unwrap();
    assert_eq!(bed.swarm.rollout(&undone, DEADLINE, |_| {}).await.unwrap(), Next::Done);
    let after = &bed.observe().await.services[0];
    assert_eq!((&after.stamp, &after.previous), (&before.stamp, &before.previous));
    assert_eq!((&after.settings, after.is_confirmed), (&before.settings, true));
}

#[tokio::test]
async fn a_stateful_service_is_created_once_and_never_touched() {
    let mut bed = Bed::new("data").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    let stateful = |image: &ImageRef| DesiredService { stateful: true, ..service("db", image) };
    let first = bed.release(vec![service("api", &one), stateful(&one)]);
    bed.deploy(&first).await;
    let kept = bed.containers("db");
    let version = |seen: &Observed| seen.services[1].version;
    let before = version(&bed.observe().await);
    let second = bed.release(vec![service("api", &two), stateful(&two)]);
    bed.deploy(&second).await;
    bed.rollback().await;
    assert_eq!((bed.containers("db"), version(&bed.observe().await)), (kept, before));
}

#[tokio::test]
async fn all_missing_secrets_are_named_and_one_that_exists_is_mounted() {
    let mut bed = Bed::new("secret").await;
    let one = bed.good("1");
    let wants = |names: &[&str]| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        with(service("api", &one), |settings| settings.secrets = names)
    };
    let nowhere = one.repository.at(&Digest::of(b"nowhere"));
    let first = bed.release(vec![wants(&["here", "b", "a"]), service("lost", &nowhere)]);
    let secret = format!("{}_here", bed.stack);
    docker(&["secret", "create", &secret, concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    bed.secrets.push(secret.clone());
    let found = bed.swarm.preflight(&first, &Observed::default(), None).await.unwrap().problems;
    let [SwarmError::MissingSecrets(names), SwarmError::Refused { what, status: 404, .. }] = &found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!(*names, ["a", "b"].map(|name| format!("{}_{name}", bed.stack)));
    assert_eq!(*what, format!("find `{nowhere}`"));
    let first = bed.release(vec![wants(&["here"])]);
    bed.deploy(&first).await;
    assert_eq!(bed.observe().await.services[0].settings.secrets, ["here"]);
}

#[tokio::test]
async fn changes_by_others_at_the_same_time_are_not_lost() {
    let mut bed = Bed::new("race").await;
    let one = bed.good("1");
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let name = Arc::new(format!("{}_api", bed.stack));
    let other = {
        let name = Arc::clone(&name);
        std::thread::spawn(move || {
            for number in 0..12 {
                let label = format!("other{number}=1");
                let arguments = ["service", "update", "--detach", "--label-add", &label, &name];
                // It has no compare-and-swap of its own that tries again.
                while !Command::new("docker").args(arguments).output().unwrap().status.success() {}
            }
        })
    };
    while !other.is_finished() {
        let next = bed.release(vec![service("api", &one)]);
        bed.deploy(&next).await;
    }
    other.join().unwrap();
    let labels = docker(&["service", "inspect", "--format", "{{json .Spec.Labels}}", &name]);
    for number in 0..12 {
        assert!(labels.contains(&format!("other{number}\"")), "{number}: {labels}");
    }
    assert_eq!(bed.observe().await.services[0].stamp.as_ref().unwrap().version, bed.releases.to_string());
}

#[tokio::test]
async fn what_somebody_else_set_survives_an_update() {
    let mut bed = Bed::new("theirs").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let name = format!("{}_api", bed.stack);
    docker(&[
        "service",
        "update",
        "--detach",
        "--quiet",
        "--limit-memory",
        "64M",
        "--host-add",
        "foo:1.2.3.4",
        &name,
    ]);
    let second = bed.release(vec![service("api", &two)]);
    bed.deploy(&second).await;
    let format =
        "{{.Spec.TaskTemplate.Resources.Limits.MemoryBytes}} {{.Spec.TaskTemplate.ContainerSpec.Hosts}}";
    assert_eq!(docker(&["service", "inspect", "--format", format, &name]), "67108864 [1.2.3.4 foo]");
    let seen = bed.observe().await;
    check_runs(&seen, "2", &two, 1);
    assert_eq!(seen.services[0].update, Status::None, "confirming is an update that replaces nothing");
}

#[tokio::test]
async fn a_deploy_that_was_killed_is_finished_or_undone_by_the_next_run() {
    let mut bed = Bed::new("killed").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one), service("web", &one)]);
    bed.deploy(&first).await;
    // Killed after its first step: one service is changed, none is confirmed.
    let second = bed.release(vec![service("api", &two), service("web", &two)]);
    let killed = async |bed: &Bed| {
        let step = &target::plan(&second, &bed.observe().await)[0];
        let applied = bed.swarm.apply(&second, step, None).await.unwrap().unwrap();
        assert_eq!(bed.swarm.rollout(&applied, DEADLINE, |_| {}).await.unwrap(), Next::Done);
    };
    killed(&bed).await;
    let seen = bed.observe().await;
    assert_eq!(bed.swarm.preflight(&second, &seen, None).await.unwrap().remarks.len(), 1, "it says so");
    bed.rollback().await;
    let seen = bed.observe().await;
    assert!(seen.services.iter().all(|s| s.stamp.as_ref() == Some(&first.stamp) && s.is_confirmed));

    killed(&bed).await;
    let kept = bed.containers("api");
    bed.deploy(&second).await;
    // The one that the killed run replaced may still have been stopping.
    assert!(bed.containers("api").iter().all(|container| kept.contains(container)));
    let seen = bed.observe().await;
    assert!(seen.services.iter().all(|s| s.stamp.as_ref() == Some(&second.stamp) && s.is_confirmed));
    assert_eq!(target::way_back(&bed.stack, &seen).unwrap().returns.len(), 2);
}

#[tokio::test]
async fn a_host_port_that_the_old_task_holds_is_named_instead_of_waited_for() {
    let mut bed = Bed::new("port").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let publish = format!("mode=host,target=80,published={port}");
    docker(&["service", "update", "--quiet", "--publish-add", &publish, &format!("{}_api", bed.stack)]);
    let second = bed.release(vec![service("api", &two)]);
    let (all, next) = bed.apply(&second).await;
    let Next::RollBack { cause } = &next else { panic!("{next:?}") };
    assert!(cause.contains("host-mode port already in use"), "{cause}");
    let undone = bed.swarm.undo(&all[0], None).await.unwrap().unwrap();
    assert_eq!(bed.swarm.rollout(&undone, DEADLINE, |_| {}).await.unwrap(), Next::Done);
    check_runs(&bed.observe().await, "1", &one, 1);
}

#[tokio::test]
async fn a_service_that_ran_before_shipkit_is_taken_over_and_is_what_a_rollback_goes_back_to() {
    let mut bed = Bed::new("before").await;
    let (one, two) = (bed.good("1"), bed.good("2"));
    let name = format!("{}_api", bed.stack);
    let namespace = format!("com.docker.stack.namespace={}", bed.stack);
    let create = ["service", "create", "--quiet", "--endpoint-mode", "dnsrr", "--stop-grace-period", "1s"];
    let rest = ["--name", &name, "--label", &namespace, "--label", "team=a", &one.to_string()];
    docker(&[&create[..], &rest[..]].concat());
    let first = bed.release(vec![service("api", &two)]);
    bed.deploy(&first).await;
    check_runs(&bed.observe().await, "1", &two, 1);
    bed.rollback().await;
    let seen = bed.observe().await;
    let api = &seen.services[0];
    assert_eq!((&api.image, &api.stamp, &api.previous), (&Some(one.clone()), &None, &None));
    assert_eq!(api.running, BTreeMap::from([(one.digest.to_string(), 1)]));
    assert_eq!(docker(&["service", "inspect", "--format", "{{.Spec.Labels.team}}", &name]), "a");
    let again = target::way_back(&bed.stack, &seen).unwrap_err();
    assert!(matches!(again, NoWayBack::NothingDeployed(_)), "{again}");
}
