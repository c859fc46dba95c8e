//! Blue-green behind a real Traefik: what visitors notice, and what a run leaves that ends at any point.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use shipkit_core::ImageRef;
use shipkit_core::journal::Migration;
use shipkit_core::rollout::Next;
use shipkit_core::target::{Desired, DesiredService, HealthCheck, Observed, Replacement, Settings};
use shipkit_docker::{Applied, Edge, Swarm};
use shipkit_smoke::WatchReport;
use shipkit_tests::container::docker;
use shipkit_tests::server::sshd::until;
use shipkit_tests::traffic::check_lossless;
use tokio::sync::Mutex;
use url::Url;

use super::{Bed, DEADLINE, service, with};

/// One test at a time: a machine that is busy with the others' requests loses some by itself.
static QUIET: Mutex<()> = Mutex::const_new(());

/// A stack whose `api` is behind Traefik, which looks every second.
struct Behind {
    bed: Bed,
    url: Url,
}

impl Behind {
    async fn new(name: &str) -> Self {
        let mut bed = Bed::new(name).await;
        let (stack, rule) = (bed.stack.clone(), "PathPrefix(`/`)");
        let namespace = format!("com.docker.stack.namespace={stack}");
        docker(&["network", "create", "--driver", "overlay", "--attachable", "--label", &namespace, &stack]);
        let only_ours =
            format!("--providers.swarm.constraints=Label(`com.docker.stack.namespace`, `{stack}`)");
        docker(&[
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--name",
            &format!("{stack}_edge"),
            "--label",
            &namespace,
            "--network",
            &stack,
            "--publish",
            "mode=host,target=80",
            "--stop-grace-period",
            "1s",
            "--mount",
            "type=bind,src=/var/run/docker.sock,dst=/var/run/docker.sock",
            "shipkit-test/traefik:3",
            "traefik",
            "--entrypoints.web.address=:80",
            "--providers.swarm.endpoint=unix:///var/run/docker.sock",
            "--providers.swarm.refreshSeconds=1",
            "--providers.swarm.exposedByDefault=false",
            &only_ours,
            &format!("--providers.swarm.defaultRule={rule}"),
        ]);
        until("Traefik runs", || !bed.containers("edge").is_empty()).await;
        let port = docker(&["port", &bed.containers("edge")[0], "80/tcp"]);
        let port = port.lines().next().unwrap().rsplit(':').next().unwrap().to_owned();
        let ports = BTreeMap::from([("api".to_owned(), 8080)]);
        bed.swarm = bed.swarm.clone().behind(Edge { service: "edge".to_owned(), ports });
        Self { bed, url: format!("http://127.0.0.1:{port}/").parse().unwrap() }
    }

    fn answering(&mut self, version: &str) -> ImageRef {
        self.bed.image(version, &["/container", "http", version])
    }

    /// The next release of `api`, blue-green.
    fn release(&mut self, image: &ImageRef) -> Desired {
        self.bed.release(vec![shifted(image)])
    }

    /// A deploy up to its confirmation.
    async fn deploy(&self, desired: &Desired) {
        self.bed.deploy(desired).await;
        self.bed.swarm.remember(desired, Migration::Compatible, Timestamp::UNIX_EPOCH).await.unwrap();
    }

    /// A deploy that fails, and is taken back. Gives why.
    async fn fail(&self, desired: &Desired) -> String {
        let (applied, next) = self.bed.apply(desired).await;
        let Next::RollBack { cause } = next else { panic!("{next:?}") };
        self.undo(applied.last().unwrap()).await;
        cause
    }

    async fn undo(&self, applied: &Applied) {
        if let Some(back) = self.bed.swarm.undo(applied, None).await.unwrap() {
            assert_eq!(self.bed.swarm.rollout(&back, DEADLINE, |_| {}).await.unwrap(), Next::Done);
        }
    }

    /// Asks while something happens.
    async fn watched<T>(&self, happens: impl Future<Output = T>) -> (T, WatchReport) {
        shipkit_tests::traffic::watched(self.url.clone(), happens).await
    }

    /// The services of the stack without Traefik, each with the version that its label names and whether it is open.
    fn services(&self) -> Vec<String> {
        let namespace = format!("label=com.docker.stack.namespace={}", self.bed.stack);
        let listed = docker(&["service", "ls", "--format", "{{.Name}}", "--filter", &namespace]);
        let format =
            "{{index .Spec.Labels \"dev.shipkit.version\"}} {{index .Spec.Labels \"traefik.enable\"}}";
        let prefix = format!("{}_", self.bed.stack);
        let mut shown: Vec<String> = listed
            .lines()
            .filter(|name| !name.ends_with("_edge"))
            .map(|name| {
                format!(
                    "{} {}",
                    name.trim_start_matches(&prefix),
                    docker(&["service", "inspect", "--format", format, name])
                )
            })
            .collect();
        shown.sort();
        shown
    }

    #[track_caller]
    fn check(&self, services: &[&str]) {
        assert_eq!(self.services(), services);
    }
}

/// Two of a service that answers, behind Traefik.
fn shifted(image: &ImageRef) -> DesiredService {
    with(service("api", image), |settings: &mut Settings| {
        settings.replicas = Some(2);
        settings.update.monitor = Duration::from_millis(500);
        settings.update.replacement = Replacement::BlueGreen { bake: Duration::ZERO };
        settings.healthcheck = Some(HealthCheck {
            test: ["CMD", "/container", "ask"].map(str::to_owned).to_vec(),
            interval: Duration::from_millis(300),
            timeout: Duration::from_secs(2),
            retries: 3,
            start_period: Duration::ZERO,
        });
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_there_and_back_and_what_crashes_is_never_asked() {
    let _quiet = QUIET.lock().await;
    let mut behind = Behind::new("bluegreen").await;
    let (one, two) = (behind.answering("1"), behind.answering("2"));
    let first = behind.release(&one);
    behind.deploy(&first).await;
    behind.check(&["api 1 true"]);
    let second = behind.release(&two);
    let ((), report) = behind.watched(Box::pin(behind.deploy(&second))).await;
    check_lossless(&report, &["1", "2"]);
    let last_of_the_old = report.revisions.iter().find(|seen| seen.revision == "1").unwrap().last;
    let first_of_the_new = report.revisions.iter().find(|seen| seen.revision == "2").unwrap().first;
    let mixed = last_of_the_old.saturating_sub(first_of_the_new);
    assert!(mixed < Duration::from_secs(1), "both answered for {mixed:?}");
    behind.check(&["api-green 2 true"]);

    let crash = behind.bed.image("3", &["/container", "exit", "7"]);
    let third = behind.release(&crash);
    let (cause, report) = behind.watched(Box::pin(behind.fail(&third))).await;
    assert!(cause.contains("exit code 7"), "{cause}");
    check_lossless(&report, &["2"]);
    behind.check(&["api-green 2 true"]);

    let ((), report) = behind.watched(Box::pin(behind.bed.rollback())).await;
    check_lossless(&report, &["1", "2"]);
    behind.check(&["api 1 true"]);
    let seen = behind.bed.observe().await;
    assert!(seen.services[0].is_confirmed && seen.services[0].previous.is_none(), "{seen:#?}");

    // What was left is reached by its name, by another shift.
    let entry = behind.bed.swarm.history(&behind.bed.stack).await.unwrap().entries.remove(0);
    let back = async {
        let applied = behind.bed.swarm.come_back(&behind.bed.stack, &entry, "api", None).await.unwrap();
        behind.bed.swarm.rollout(&applied, DEADLINE, |_| {}).await.unwrap()
    };
    let (next, report) = behind.watched(Box::pin(back)).await;
    assert_eq!(next, Next::Done);
    check_lossless(&report, &["1", "2"]);
    behind.check(&["api-green 2 true"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shift_that_is_taken_back_loses_nothing_and_leaves_what_people_said_to_traefik() {
    let _quiet = QUIET.lock().await;
    let mut behind = Behind::new("back").await;
    let (one, two) = (behind.answering("1"), behind.answering("2"));
    let first = behind.release(&one);
    behind.deploy(&first).await;
    let full = format!("{}_api", behind.bed.stack);
    let router = ["traefik.http.routers.mine.rule=PathPrefix(`/`)", "traefik.http.routers.mine.service=mine"];
    let port = "traefik.http.services.mine.loadbalancer.server.port=8080";
    let theirs = ["--label-add", router[0], "--label-add", router[1], "--label-add", port];
    let ours = format!("traefik.http.services.{}-api.loadbalancer.server.port", behind.bed.stack);
    docker(&[&["service", "update", "--detach", "--label-rm", &ours], &theirs[..], &[&full]].concat());
    let second = behind.release(&two);
    let there_and_back = async {
        let (applied, next) = behind.bed.apply(&second).await;
        assert_eq!(next, Next::Done);
        behind.check(&["api 1 false", "api-green 2 true"]);
        behind.undo(applied.last().unwrap()).await;
    };
    let ((), report) = behind.watched(Box::pin(there_and_back)).await;
    check_lossless(&report, &["1", "2"]);
    behind.check(&["api 1 true"]);
    behind.deploy(&second).await;
    behind.check(&["api-green 2 true"]);
    let labels =
        docker(&["service", "inspect", "--format", "{{json .Spec.Labels}}", &format!("{full}-green")]);
    assert!(labels.contains("routers.mine.rule") && !labels.contains(&ours), "{labels}");
}

#[tokio::test]
async fn without_a_traefik_that_reaches_it_nothing_begins() {
    let mut bed = Bed::new("apart").await;
    let one = bed.good("1");
    let desired = bed.release(vec![shifted(&one)]);
    let problems = async |swarm: &Swarm| {
        let found = swarm.preflight(&desired, &Observed::default(), None).await.unwrap();
        found.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let says = async |swarm: &Swarm, said: &str| {
        let problems = problems(swarm).await;
        assert!(problems.contains(said), "{problems}");
    };
    says(&bed.swarm, "no Traefik passes requests on to it").await;
    let edge = Edge { service: "edge".to_owned(), ports: BTreeMap::from([("api".to_owned(), 8080)]) };
    let swarm = bed.swarm.clone().behind(edge);
    says(&swarm, "has a service `edge`, which should be Traefik").await;
    let (stack, namespace) = (&bed.stack, format!("com.docker.stack.namespace={}", bed.stack));
    let edge = format!("{stack}_edge");
    let image = one.to_string();
    docker(&[
        "service",
        "create",
        "--detach",
        "--name",
        &edge,
        "--label",
        &namespace,
        "--endpoint-mode",
        "dnsrr",
        &image,
    ]);
    says(&swarm, "was not started with Traefik's provider for a Swarm").await;
    docker(&["service", "update", "--detach", "--env-add", "TRAEFIK_PROVIDERS_SWARM=true", &edge]);
    says(&swarm, "is not attached to the network of stack").await;
    docker(&["network", "create", "--driver", "overlay", "--attachable", "--label", &namespace, stack]);
    docker(&["service", "update", "--detach", "--network-add", stack, &edge]);
    assert_eq!(problems(&swarm).await, "");
}
