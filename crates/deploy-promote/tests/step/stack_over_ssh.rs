//! Stack files of a Swarm that is reached over SSH, at a real sshd, and what comes of a connection that is cut.

use shipkit_core::Digest;
use shipkit_tests::container::docker;
use shipkit_tests::server::gate::{Gate, Held, Moment};
use shipkit_tests::server::sshd::{Sshd, fingerprint};

use crate::bed::{Step, Transcript};
use crate::faults::told;
use crate::quiet::compose::remote::server;
use crate::stack::{Checkout, check_closed_but};

/// The same step, by way of this server.
fn over(sshd: &Sshd, host: &str, step: Step) -> Step {
    let key = std::fs::read_to_string(sshd.path("user")).unwrap();
    let pin = fingerprint(&sshd.path("host"));
    step.input("docker-host", host).input("ssh-key", &key).input("ssh-known-hosts", &pin)
}

#[test]
fn stack_files_reach_a_swarm_behind_ssh_with_what_lies_beside_them() {
    let mut checkout = Checkout::new("fremote");
    let sshd = server();
    let (one, two) = (checkout.bed.image(1, "good"), checkout.bed.image(2, "good"));
    let (first, second) = (checkout.release(1, &one, &one), checkout.release(2, &two, &two));
    let over = |step: Step| over(&sshd, &sshd.host(), step);
    checkout.edit("deploy/stack.yml", "volumes: ['data:/data']", "volumes: ['./data:/data']");
    let check = over(checkout.step("check").input("release", first.as_str()));
    check.run().ended(2, "services mount what lies beside them: `services.db.volumes` (`./deploy/data`)");
    checkout.edit("deploy/stack.yml", "volumes: ['./data:/data']", "volumes: ['data:/data']");

    checkout.edit("shipkit.yml", "files: [", "env_file: deploy/vars.env, files: [");
    checkout.edit("deploy/stack.yml", "PRICE: '$$5'", "PRICE: '${PRICE:?}'");
    checkout.write("deploy/vars.env", "PRICE='$6'\nCANARY=counts-less\n");
    over(checkout.deploy(&first)).run().ended(0, "1.1.0 serves in staging");
    for variable in ["CANARY=s3cret$canary", "FROM_FILE=x$y", "PRICE=$6"] {
        assert!(checkout.environment("api").contains(&format!("\"{variable}\"")), "{variable}");
    }
    let everything = checkout.everything();
    over(checkout.deploy(&first)).run().ended(0, "1.1.0 serves in staging");
    assert_eq!(checkout.everything(), everything);
    over(checkout.deploy(&second)).run().ended(0, "1.2.0 serves in staging");
    over(checkout.step("rollback")).run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(checkout.versions(), ["1.1.0"; 4]);
}

/// A second release, whose `api` behaves so, over SSH at an engine whose changes can be held; the first one serves.
struct Remote {
    checkout: Checkout,
    sshd: Sshd,
    gate: Gate,
    second: Digest,
}

impl Remote {
    fn new(name: &str, mode: &str) -> Self {
        let mut checkout = Checkout::new(name);
        checkout.edit("deploy/prod.yml", "replicas: 2", "replicas: 1");
        // What is held is not sick.
        checkout.edit("deploy/stack.yml", "retries: 1}", "retries: 1, start_period: 30s}");
        let (one, two) = (checkout.bed.image(1, "good"), checkout.bed.image(2, "good"));
        let api = checkout.bed.image(2, mode);
        let (first, second) = (checkout.release(1, &one, &one), checkout.release(2, &api, &two));
        let (sshd, gate) = (server(), Gate::start("/var/run/docker.sock"));
        let remote = Self { checkout, sshd, gate, second };
        remote.over(remote.checkout.deploy(&first)).run().ended(0, "1.1.0 serves in staging");
        remote
    }

    fn over(&self, step: Step) -> Step {
        over(&self.sshd, &format!("{}{}", self.sshd.host(), self.gate.socket()), step)
    }

    /// Deploys the second release, and does something when Docker changes the first service there and nobody has heard of it.
    fn meanwhile(&mut self, moment: Moment, happens: impl FnOnce(&mut Self)) -> (Transcript, Held) {
        let is_update = |request: &str| request.contains("/services/") && request.contains("/update?");
        let held = self.gate.hold_first(is_update, moment);
        let step = self.over(self.checkout.deploy(&self.second));
        let child = step.start();
        held.wait().unwrap();
        happens(self);
        (step.finish(child), held)
    }

    #[track_caller]
    fn check_second(&self) {
        assert_eq!(self.checkout.versions(), ["1.2.0", "1.1.0", "1.2.0", "1.2.0"]);
        check_closed_but(&self.checkout, "greeting");
    }
}

#[test]
fn a_connection_that_is_cut_while_docker_stack_deploys_is_made_again() {
    let mut remote = Remote::new("fcut", "good");
    let (run, _held) = remote.meanwhile(Moment::After, |remote| remote.sshd.signal("KILL"));
    told(run, 0, "1.2.0 serves in staging");
    remote.check_second();
}

#[test]
fn what_goes_on_where_nobody_hears_of_it_comes_too_late_to_change_anything() {
    let mut remote = Remote::new("flate", "good");
    let (run, held) = remote.meanwhile(Moment::Before, |remote| remote.sshd.signal("KILL"));
    told(run, 0, "1.2.0 serves in staging");
    remote.check_second();
    let everything = remote.checkout.everything();
    drop(held);
    let is_refused = || remote.gate.changes().iter().any(|change| change.ends_with(" 500"));
    assert!(std::iter::repeat_with(is_refused).any(|is_refused| is_refused));
    assert_eq!(remote.checkout.everything(), everything);
}

#[test]
fn a_connection_that_is_cut_while_the_services_arrive_is_made_again() {
    let remote = Remote::new("fwatched", "held");
    let before = remote.checkout.bed.containers("api");
    let step = remote.over(remote.checkout.deploy(&remote.second));
    let child = step.start();
    let is_new = || remote.checkout.versions() == ["1.2.0", "1.1.0", "1.2.0", "1.2.0"];
    assert!(std::iter::repeat_with(is_new).any(|is_new| is_new));
    remote.sshd.signal("KILL");
    let arriving = || remote.checkout.bed.containers("api").into_iter().find(|id| !before.contains(id));
    let arriving = std::iter::repeat_with(arriving).find_map(|found| found).unwrap();
    docker(&["exec", &arriving, "/container", "touch", "/started"]);
    told(step.finish(child), 0, "1.2.0 serves in staging");
    remote.check_second();
}

#[test]
fn a_server_that_is_not_reached_any_more_leaves_it_open_and_reconcile_finishes() {
    let mut remote = Remote::new("flost", "good");
    let mut gone = server();
    let (run, _held) = remote.meanwhile(Moment::After, |remote| {
        std::mem::swap(&mut remote.sshd, &mut gone);
        drop(gone);
    });
    let run =
        told(run, 3, "nothing was rolled back, `deploy-promote rollback --environment staging` does it");
    assert_eq!(run.outputs["verdict"], "inconclusive");
    let versions = remote.checkout.versions();
    assert!(versions.contains(&"1.1.0".to_owned()) && versions.contains(&"1.2.0".to_owned()), "{versions:?}");
    remote.checkout.bed.lease_ends();
    told(remote.over(remote.checkout.step("reconcile")).run(), 0, "1.2.0 serves in staging");
    remote.check_second();
}
