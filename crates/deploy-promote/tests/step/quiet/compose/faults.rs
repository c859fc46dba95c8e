//! What goes wrong while a release is rolled out in a Compose project: one sentence says why, with the right exit code, the
//! release before serves, and nothing is left behind. What crashes at once, is never ready or fails its checks is in `fails`.

use std::process::Command;

use shipkit_core::{Digest, ImageRef};
use shipkit_tests::container::docker;
use shipkit_tests::server::gate::{Gate, Moment};
use shipkit_tests::server::sshd::{Sshd, fingerprint};

use super::kills::check_closed;
use super::project::Project;
use super::remote::server;
use crate::bed::Transcript;
use crate::faults::told;

/// Takes what is asked of the services, and nginx if nothing comes through it, out of what the project says.
fn without_checks(project: &Project) {
    let config = project.config();
    let (before, rest) = config.split_once("    url: ").unwrap();
    let (rest, _) = rest.split_once("    smoke:\n").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    project.write("shipkit.yml", &format!("{before}{after}"));
}

/// The same without nginx, and with containers that start again when their engine does.
fn alone(project: &Project) {
    without_checks(project);
    project.edit("shipkit.yml", ", proxy: {nginx: nginx}", "");
    let text = project.compose();
    let (before, rest) = text.split_once("  nginx:\n").unwrap();
    let (_, after) = rest.split_once("  api:\n").unwrap();
    let text = format!("{before}  api:\n{after}");
    project.write(
        "compose.yaml",
        &text.replace("    stop_grace_period", "    restart: unless-stopped\n    stop_grace_period"),
    );
}

/// Runs a deploy over SSH, and does something with the server when the engine has started the first new container and nobody
/// has heard of it.
fn meanwhile(project: &Project, release: &Digest, happens: impl FnOnce(Sshd)) -> Transcript {
    let (sshd, gate) = (server(), Gate::start("/var/run/docker.sock"));
    let key = std::fs::read_to_string(sshd.path("user")).unwrap();
    let step = project.deploy(release).input("docker-host", &format!("{}{}", sshd.host(), gate.socket()));
    let step = step.input("ssh-key", &key).input("ssh-known-hosts", &fingerprint(&sshd.path("host")));
    // Compose has made it before.
    let held = gate.hold(2, Moment::After);
    let child = step.start();
    let request = held.wait().unwrap();
    assert!(request.starts_with("POST /") && request.ends_with("/start"), "{request}");
    happens(sshd);
    drop(held);
    step.finish(child)
}

/// A project that means no file beside its Compose file, and one container of `api`.
fn remote(name: &str) -> (Project, Digest, ImageRef) {
    let mut project = Project::new(name);
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "good"));
    alone(&project);
    project.edit("compose.yaml", "replicas: 2", "replicas: 1");
    let first = project.release(1, &one);
    project.deploy(&first).run().ended(0, "1.1.0 runs in staging");
    let second = project.release(2, &two);
    (project, second, two)
}

#[test]
fn an_ssh_connection_that_is_cut_in_the_middle_is_made_again() {
    let (project, second, two) = remote("cut");
    let mut server = None;
    let run = meanwhile(&project, &second, |sshd| {
        sshd.signal("KILL");
        server = Some(sshd);
    });
    told(run, 0, "1.2.0 runs in staging");
    assert_eq!(project.running("api"), [two.to_string()]);
    check_closed(&project, "cut");
}

#[test]
fn a_server_that_is_not_reached_any_more_leaves_it_open_and_the_next_run_finishes() {
    let (project, second, two) = remote("lost");
    // Somebody always serves.
    project.edit("shipkit.yml", "timeout: 40s", "timeout: 10s");
    let run = meanwhile(&project, &second, drop);
    let run = told(run, 3, "nothing was rolled back, `deploy-promote rollback --environment staging`");
    assert_eq!(run.outputs["verdict"], "inconclusive");
    assert!(!project.running("api").is_empty());
    project.lease_ends();
    told(project.step("reconcile").run(), 0, "1.2.0 runs in staging");
    assert_eq!(project.running("api"), [two.to_string()]);
    check_closed(&project, "lost");
}

/// The first container of a service that runs this image.
fn newest(project: &Project, service: &str, image: &ImageRef) -> String {
    let found = || {
        let lines = project.containers(service);
        let line = lines.iter().find(|line| line.ends_with(&format!(" running {image}")));
        line.and_then(|line| line.split(' ').next()).map(str::to_owned)
    };
    std::iter::repeat_with(found).find_map(|found| found).unwrap()
}

#[test]
fn a_release_that_crashes_after_it_was_watched_is_taken_back() {
    let mut project = Project::new("late");
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "late"));
    let (first, second) = (project.release(1, &one), project.bed.release(2, (&two, 2), (&one, 1)));
    project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    let kept = project.everything();
    // It ends when it is asked, and that is after it got the traffic.
    let run = told(project.deploy(&second).run(), 1, "rolled back: ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert_eq!(project.everything(), kept);
    check_closed(&project, "late");
}

#[test]
fn a_service_that_keeps_crashing_while_the_next_one_arrives_is_taken_back() {
    let mut project = Project::new("meanwhile");
    let images = [(1, "good"), (2, "late"), (2, "held")].map(|(digit, mode)| project.bed.image(digit, mode));
    let [one, late, held] = &images;
    let (first, second) = (project.release(1, one), project.bed.release(2, (late, 2), (held, 2)));
    // Nobody asks it: no check can see it.
    without_checks(&project);
    project.edit("compose.yaml", "    build: api\n", "    build: api\n    restart: unless-stopped\n");
    let started =
        "    build: web\n    healthcheck: {test: [CMD, /bin/sh], interval: 1s, timeout: 5s, retries: 9}\n";
    project.edit("compose.yaml", "    build: web\n", started);
    project.deploy(&first).run().ended(0, "1.1.0 runs in staging");
    let kept = project.everything();
    let step = project.deploy(&second);
    let child = step.start();
    let (web, api) = (newest(&project, "web", held), newest(&project, "api", late));
    // It ends with the container.
    Command::new("docker").args(["exec", &api, "/container", "touch", "/asked"]).output().unwrap();
    let restarts = || docker(&["inspect", "--format", "{{.RestartCount}}", &api]);
    std::iter::repeat_with(restarts).find(|restarts| 2 <= restarts.parse().unwrap()).unwrap();
    docker(&["exec", &web, "/container", "touch", "/started"]);
    let run = told(step.finish(child), 1, "rolled back: `api` had arrived and does not run any more");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert_eq!(project.everything(), kept);
    check_closed(&project, "meanwhile");
}

#[test]
fn an_engine_that_is_restarted_in_the_middle_serves_again_when_it_returns() {
    let mut project = Project::new("restart");
    let mut engine = project.bed.own_engine(None);
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "good"));
    alone(&project);
    let (first, second) = (project.release(1, &one), project.release(2, &two));
    told(project.deploy(&first).run(), 0, "1.1.0 runs in staging");
    let data = project.id("db");
    let step = project.deploy(&second);
    let child = step.start();
    newest(&project, "api", &two);
    engine.restart();
    told(step.finish(child), 0, "1.2.0 runs in staging");
    assert_eq!(project.running("api"), vec![two.to_string(); 2]);
    assert_eq!((project.running("web"), project.id("db")), (vec![two.to_string()], data));
    assert_eq!((project.containers("api").len(), project.containers("web").len()), (4, 2));
    check_closed(&project, "restart");
    // What was stopped on purpose stays so.
    engine.restart();
    assert_eq!(project.running("api"), vec![two.to_string(); 2]);
    project.step("status").run().ended(0, "1.2.0 serves");
}

#[test]
fn a_host_whose_disk_is_full_keeps_the_release_before() {
    let mut project = Project::new("full");
    // Its Swarm, which nobody uses here, takes 128 MB of these at once.
    let engine = project.bed.own_engine(Some(170));
    let one = project.bed.image(1, "good");
    alone(&project);
    let first = project.release(1, &one);
    told(project.deploy(&first).run(), 0, "1.1.0 runs in staging");
    let kept = project.everything();
    let large = project.bed.large_image(2, 64);
    let second = project.bed.release(2, (&large, 2), (&one, 1));
    let run = told(project.deploy(&second).run(), 1, "rolled back: `api` cannot start: ");
    let cause = &run.outputs["cause"];
    assert!(cause.contains("no space left on device") && cause.ends_with("; 1.1.0 serves"), "{run:#?}");
    assert_eq!(project.everything(), kept);
    check_closed(&project, "full");
    drop(engine);
}
