//! A Swarm that is reached over SSH, at a real sshd (`scripts/bed up ssh`).

use shipkit_tests::server::sshd::{Sshd, fingerprint};

use crate::bed::{Bed, Step};

#[test]
fn a_release_goes_to_a_swarm_behind_ssh_and_comes_back() {
    let mut bed = Bed::new("ssh");
    let sshd = Sshd::start();
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let (first, second) = (bed.release(1, (&one, 1), (&one, 1)), bed.release(2, (&two, 2), (&two, 2)));
    let key = std::fs::read_to_string(sshd.path("user")).unwrap();
    let over = |step: Step| step.input("docker-host", &sshd.host()).input("ssh-key", &key);
    let pin = fingerprint(&sshd.path("host"));
    let known = |step: Step| over(step).input("ssh-known-hosts", &pin);

    let run = over(bed.deploy(&first, "staging")).run().ended(2, &pin);
    assert!(!run.everything().contains(key.lines().nth(1).unwrap()), "{run:#?}");
    assert_eq!(bed.services(), Vec::<String>::new());

    let run = known(bed.deploy(&first, "staging")).run().ended(0, "1.1.0 serves in staging");
    assert!(!run.everything().contains(key.lines().nth(1).unwrap()), "{run:#?}");
    known(bed.deploy(&second, "staging")).run().ended(0, "1.2.0 serves in staging");
    known(bed.step("status", "staging")).run().ended(0, "1.2.0 serves");
    known(bed.step("rollback", "staging")).run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);
}
