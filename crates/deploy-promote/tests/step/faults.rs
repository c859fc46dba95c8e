//! What goes wrong while a release is rolled out on a Swarm: one sentence says why, with the right exit code, the release
//! before serves, and nothing is left behind. What crashes, is never ready or fails its checks is in `life`.

use std::process::Command;

use shipkit_core::{Digest, ImageRef};
use shipkit_tests::container::docker;
use shipkit_tests::server::gate::{Gate, Moment};
use shipkit_tests::server::sshd::{Sshd, fingerprint};

use crate::bed::{Bed, Step, Transcript};
use crate::left::check_serves;

/// The socket of the machine's engine.
const ENGINE: &str = "/var/run/docker.sock";
/// The request by which the first service of a second release changes: before it, the lease and the journal are written.
const FIRST_UPDATE: usize = 3;

/// A project whose release 1.1.0 serves.
fn serving(name: &str) -> (Bed, ImageRef) {
    let mut bed = Bed::new(name);
    let one = bed.image(1, "good");
    let first = bed.release(1, (&one, 1), (&one, 1));
    bed.deploy(&first, "staging").run().ended(0, "1.1.0 serves in staging");
    (bed, one)
}

/// A second release of images that behave so.
fn second(bed: &mut Bed, api: &str, web: &str) -> (Digest, ImageRef) {
    let (api, web) = (bed.image(2, api), bed.image(2, web));
    (bed.release(2, (&api, 2), (&web, 2)), api)
}

/// It ended with this exit code and cause, which is one sentence.
#[track_caller]
pub(crate) fn told(run: Transcript, exit: i32, cause: &str) -> Transcript {
    let run = run.ended(exit, cause);
    assert!(!run.outputs["cause"].contains('\n'), "{run:#?}");
    run
}

/// Runs a deploy whose first update of a service is held, and does something meanwhile.
fn meanwhile(gate: &Gate, moment: Moment, step: Step, happens: impl FnOnce()) -> Transcript {
    let held = gate.hold(FIRST_UPDATE, moment);
    let child = step.start();
    let request = held.wait().unwrap();
    assert!(request.contains("/services/") && request.contains("/update?"), "{request}");
    happens();
    drop(held);
    step.finish(child)
}

#[test]
fn a_release_that_crashes_after_it_was_watched_is_taken_back() {
    let (mut bed, _one) = serving("late");
    // It ends when it is asked, and that is after the Swarm has called it updated.
    let (second, _) = second(&mut bed, "late", "good");
    let run = bed.deploy(&second, "staging").run();
    let run = told(run, 1, "rolled back: ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    check_serves(&bed, "1.1.0", &[]);
}

#[test]
fn a_service_that_keeps_crashing_while_the_next_one_arrives_is_taken_back() {
    let (mut bed, _one) = serving("meanwhile");
    let (second, api) = second(&mut bed, "late", "good");
    let gate = Gate::start(ENGINE);
    // Nobody asks it: no check can see it.
    let config = without_checks(&bed.config());
    let step = deploy(&bed, &config, &second).input("docker-host", &gate.host());
    let held = gate.hold(FIRST_UPDATE + 1, Moment::Before);
    let child = step.start();
    assert!(held.wait().unwrap().contains("/update?"));
    for _ in 0..2 {
        let crashes = std::iter::repeat_with(|| newest(&bed, &api)).find_map(|found| found).unwrap();
        // It ends with the container.
        Command::new("docker").args(["exec", &crashes, "/container", "touch", "/asked"]).output().unwrap();
        assert_eq!(docker(&["wait", &crashes]), "5");
    }
    drop(held);
    let run = told(step.finish(child), 1, "rolled back: `api` ");
    assert!(run.outputs["cause"].contains("(exit code 5)"), "{run:#?}");
    check_serves(&bed, "1.1.0", &[]);
}

/// The container of `api` that runs this image.
fn newest(bed: &Bed, image: &ImageRef) -> Option<String> {
    let service = format!("label=com.docker.swarm.service.name={}_api", bed.stack);
    let listed = docker(&["ps", "--no-trunc", "--format", "{{.ID}} {{.Image}}", "--filter", &service]);
    let is_new = |line: &&str| line.contains(image.digest.as_str());
    listed.lines().find(is_new).and_then(|line| line.split(' ').next()).map(str::to_owned)
}

fn deploy(bed: &Bed, config: &str, release: &Digest) -> Step {
    bed.step_of("deploy", config).input("environment", "staging").input("release", release.as_str())
}

/// The configuration with nothing that is asked of what runs.
fn without_checks(config: &str) -> String {
    let (before, rest) = config.split_once("    url: ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let (between, rest) = rest.split_once("    smoke:\n").unwrap();
    let (_, after) = rest.split_once("  production:\n").unwrap();
    format!("{before}{between}  production:\n{after}")
}

#[test]
fn a_release_that_starts_slowly_passes() {
    let (mut bed, _one) = serving("slow");
    let (second, _) = second(&mut bed, "slow", "slow");
    // One failed check would be one too many, were it not its start.
    let config = bed.config().replace("retries: 1}", "retries: 1, start_period: 20s}");
    told(deploy(&bed, &config, &second).run(), 0, "1.2.0 serves in staging");
    check_serves(&bed, "1.2.0", &[]);
}

#[test]
fn an_image_that_is_missing_is_named_before_anything_changes() {
    let (mut bed, _one) = serving("missing");
    let (second, image) = second(&mut bed, "good", "good");
    let at = format!("{}/{}", bed.host(), image.to_string().split_once('/').unwrap().1);
    let (repository, digest) = at.split_once('@').unwrap();
    let url = format!("http://{}/manifests/{digest}", repository.replacen('/', "/v2/", 1));
    let deleted = Command::new("curl").args(["-sSf", "-X", "DELETE", &url]).status().unwrap();
    assert!(deleted.success());
    told(bed.deploy(&second, "staging").run(), 1, &format!("find `{image}`"));
    check_serves(&bed, "1.1.0", &[]);
}

#[test]
fn a_registry_that_goes_down_before_the_nodes_pull_is_a_failed_rollout_that_goes_back() {
    let (mut bed, _one) = serving("unpulled");
    let (second, image) = second(&mut bed, "good", "good");
    docker(&["rmi", "--force", &docker(&["images", "--quiet", "--no-trunc", &image.to_string()])]);
    let gate = Gate::start(ENGINE);
    let step = bed.deploy(&second, "staging").input("docker-host", &gate.host());
    let run = meanwhile(&gate, Moment::Before, step, || bed.stop_registry());
    let run = told(run, 1, "rolled back: `api` ");
    assert!(run.outputs["cause"].contains("No such image"), "{run:#?}");
    assert!(run.outputs["cause"].contains("evidence could not be stored"), "{run:#?}");
    check_serves(&bed, "1.1.0", &[]);
}

/// A step that goes through an sshd to the Swarm at this socket.
fn over(step: Step, sshd: &Sshd, socket: &str) -> Step {
    let key = std::fs::read_to_string(sshd.path("user")).unwrap();
    let host = format!("{}{socket}", sshd.host());
    let step = step.input("docker-host", &host).input("ssh-key", &key);
    step.input("ssh-known-hosts", &fingerprint(&sshd.path("host")))
}

#[test]
fn an_ssh_connection_that_is_cut_in_the_middle_is_made_again() {
    let (mut bed, _one) = serving("cut");
    let (second, _) = second(&mut bed, "good", "good");
    let (sshd, gate) = (Sshd::start(), Gate::start(ENGINE));
    let step = over(bed.deploy(&second, "staging"), &sshd, &gate.socket());
    // The Swarm has made the update, and nobody hears of it.
    let run = meanwhile(&gate, Moment::After, step, || sshd.signal("KILL"));
    told(run, 0, "1.2.0 serves in staging");
    check_serves(&bed, "1.2.0", &[]);
}

#[test]
fn a_server_that_is_not_reached_any_more_leaves_it_open_and_the_next_run_finishes() {
    let (mut bed, _one) = serving("lost");
    let (second, _) = second(&mut bed, "good", "good");
    let (sshd, gate) = (Sshd::start(), Gate::start(ENGINE));
    let step = over(bed.deploy(&second, "staging"), &sshd, &gate.socket());
    let run = meanwhile(&gate, Moment::After, step, || drop(sshd));
    let run = told(run, 3, "nothing was rolled back, `deploy-promote rollback --environment staging`");
    assert_eq!(run.outputs["verdict"], "inconclusive");
    bed.lease_ends();
    told(bed.step("reconcile", "staging").run(), 0, "1.2.0 serves in staging");
    check_serves(&bed, "1.2.0", &[]);
}

#[test]
fn an_engine_that_is_restarted_in_the_middle_serves_again_when_it_returns() {
    let mut bed = Bed::new("restart");
    let mut engine = bed.own_engine(None);
    let one = bed.image(1, "good");
    let first = bed.release(1, (&one, 1), (&one, 1));
    let (second, api) = second(&mut bed, "good", "good");
    let config = without_checks(&bed.config());
    told(deploy(&bed, &config, &first).run(), 0, "1.1.0 runs in staging");
    let (sshd, host) = (Sshd::start(), engine.host());
    let step = over(deploy(&bed, &config, &second), &sshd, host.strip_prefix("unix://").unwrap());
    let child = step.start();
    let image = || bed.inspect("api", "{{.Spec.TaskTemplate.ContainerSpec.Image}}");
    std::iter::repeat_with(image).find(|image| *image == api.to_string()).unwrap();
    engine.restart();
    told(step.finish(child), 0, "1.2.0 runs in staging");
    check_serves(&bed, "1.2.0", &[]);
}

#[test]
fn an_engine_that_is_restarted_between_two_services_loses_none_of_them() {
    let mut bed = Bed::new("between");
    let mut engine = bed.own_engine(None);
    let one = bed.image(1, "good");
    let first = bed.release(1, (&one, 1), (&one, 1));
    let (second, _) = second(&mut bed, "good", "good");
    let config = without_checks(&bed.config());
    told(deploy(&bed, &config, &first).run(), 0, "1.1.0 runs in staging");
    let gate = Gate::start(engine.host().strip_prefix("unix://").unwrap());
    let held = gate.hold(FIRST_UPDATE + 1, Moment::Before);
    let step = deploy(&bed, &config, &second).input("docker-host", &gate.host());
    let child = step.start();
    assert!(held.wait().unwrap().contains("/update?"));
    engine.restart();
    drop(held);
    told(step.finish(child), 0, "1.2.0 runs in staging");
    check_serves(&bed, "1.2.0", &[]);
}

#[test]
fn a_node_whose_disk_is_full_keeps_the_release_before() {
    let mut bed = Bed::new("full");
    // Its Swarm takes 128 MB of these at once, for what it logs.
    let engine = bed.own_engine(Some(170));
    let one = bed.image(1, "good");
    let first = bed.release(1, (&one, 1), (&one, 1));
    let config = without_checks(&bed.config());
    told(deploy(&bed, &config, &first).run(), 0, "1.1.0 runs in staging");
    let large = bed.large_image(2, 64);
    let second = bed.release(2, (&large, 2), (&one, 1));
    let run = told(deploy(&bed, &config, &second).run(), 1, "rolled back: `api` ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    check_serves(&bed, "1.1.0", &[]);
    drop(engine);
}
