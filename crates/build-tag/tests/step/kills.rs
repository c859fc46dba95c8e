//! A publish that is killed at any of its writes is finished by the next one.

use std::sync::mpsc;

use shipkit_tests::server::registry::{Broken, Fault, Kind};

use crate::publish::Recorded;

/// How many tags there are to write for `1.2.3`: commit and version of two services, the release, three channels each.
const WRITES: usize = 11;

/// Starts a publish and kills it, as nothing can be caught, at the write after so many.
fn kill_after(recorded: &Recorded, writes: usize) {
    let (tell, told) = mpsc::channel();
    recorded.registry().fail(Fault::new("PUT", Kind::Manifest, Broken::Halt(tell)).after(writes));
    let repository = recorded.repository();
    let arguments = ["publish", "--release", &recorded.digest, "--repository", &repository];
    let mut child = recorded.built.project.start(&arguments);
    told.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

/// How many tags name the release, of those that never change and of those that move.
fn given(recorded: &Recorded) -> (usize, usize) {
    let mut given = (0, 0);
    for (name, digest) in [
        ("api", recorded.image("api").to_string()),
        ("web", recorded.image("web").to_string()),
        ("release", recorded.digest.clone()),
    ] {
        for (tag, found) in recorded.tags(name) {
            if name == "release" && tag.starts_with("sha-") {
                continue;
            }
            assert_eq!(found, digest, "{name}:{tag}");
            let is_permanent = tag.starts_with("sha-") || tag == "1.2.3";
            if is_permanent { given.0 += 1 } else { given.1 += 1 }
        }
    }
    given
}

#[test]
fn a_publish_that_is_killed_at_any_write_is_finished_by_the_next_one() {
    let recorded = Recorded::passed("refs/tags/v1.2.3");
    for writes in 0..WRITES {
        kill_after(&recorded, writes);
        assert_eq!(given(&recorded), (writes.min(5), writes.saturating_sub(5)), "after {writes} writes");
        let before = recorded.registry().requests().len();
        assert_eq!(recorded.publish(&[]).exit, Some(0), "after {writes} writes");
        assert_eq!(given(&recorded), (5, 6), "after {writes} writes");
        let again = recorded.registry().requests().split_off(before);
        let puts = again.iter().filter(|request| request.method == "PUT").count();
        assert_eq!(puts, WRITES - writes, "what is there is not written again");
        recorded.untag();
    }
}

#[test]
fn a_write_that_the_registry_refuses_is_said_and_finished_by_the_next_run() {
    let recorded = Recorded::passed("refs/tags/v1.2.3");
    recorded.registry().fail(Fault::new("PUT", Kind::Manifest, Broken::Status(403, vec![])).after(6));
    recorded.publish(&[]).check(3, "refused the manifest");
    assert_eq!(given(&recorded), (5, 1));
    assert_eq!(recorded.publish(&[]).exit, Some(0));
    assert_eq!(given(&recorded), (5, 6));
}
