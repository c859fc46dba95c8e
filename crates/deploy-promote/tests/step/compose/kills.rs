//! Runs that are killed, and runs that meet.

use std::io::{BufRead as _, BufReader};

use shipkit_core::Digest;

use super::project::Project;
use crate::bed::terminate;

/// Starts a deploy and kills it, as nothing can be caught, once it has said that a service changes.
fn kill(project: &Project, release: &Digest, says: &str) {
    let step = project.deploy(release);
    let mut child = step.start();
    let said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let found = said.into_iter().any(|line| line.contains(says));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found, "it never said `{says}`");
    project.lease_ends();
}

#[test]
fn a_deploy_that_is_killed_is_finished_by_the_next_one_or_by_reconcile() {
    let mut project = Project::new("killed");
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "good"));
    let (first, second) = (project.release(1, &one), project.release(2, &two));
    project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    project.step("reconcile").run().ended(0, "the last run, of release 1.1.0, has ended");
    kill(&project, &second, "update `api`");
    let run = project.deploy(&second).run().ended(0, "1.2.0 serves in staging");
    assert_eq!(project.running("api"), vec![two.to_string(); 2], "{run:#?}");
    let run = project.step("rollback").input("dry-run", "true").run().ended(0, "dry run");
    assert_eq!(run.stdout.matches("(release 1.2.0 -> 1.1.0)").count(), 2, "{}", run.stdout);

    kill(&project, &first, "update `web`");
    project.step("reconcile").run().ended(0, "1.1.0 serves in staging");
    assert_eq!(project.running("api"), vec![one.to_string(); 2]);
    assert_eq!(project.running("web"), [one.to_string()]);
}

#[test]
fn a_cancelled_deploy_gives_its_lease_up_and_says_what_serves() {
    let mut project = Project::new("cancelled");
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "good"));
    let (first, second) = (project.release(1, &one), project.release(2, &two));
    project.deploy(&first).run().ended(0, "1.1.0 serves in staging");
    let step = project.deploy(&second);
    let mut child = step.start();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    said.find(|line| line.contains("update `api`")).unwrap();
    // Said before it is done.
    std::iter::repeat_with(|| project.remembered()).find(|text| text.contains(second.as_str())).unwrap();
    terminate(&child);
    let rest = std::thread::spawn(move || said.count());
    let run = step.finish(child).ended(143, "cancelled by SIGTERM: in the middle of a rollout; ");
    rest.join().unwrap();
    assert!(run.outputs["cause"].contains("; what was begun stays as it is; deploy again"), "{run:#?}");
    let run = project.step("rollback").run().ended(0, "1.1.0 serves in staging again");
    assert!(!run.stderr.contains("waiting: "), "{}", run.stderr);
    assert_eq!(project.running("api"), vec![one.to_string(); 2]);
}

#[test]
fn a_second_run_waits_until_the_first_has_ended() {
    let mut project = Project::new("both");
    let (one, two) = (project.bed.image(1, "good"), project.bed.image(2, "good"));
    let (first, second) = (project.release(1, &one), project.release(2, &two));
    let earlier = project.deploy(&first);
    let mut child = earlier.start();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    said.find(|line| line.contains("create `api`")).unwrap();
    let rest = std::thread::spawn(move || said.count());
    let run = project.deploy(&second).run().ended(0, "1.2.0 serves in staging");
    assert!(run.stderr.contains("waiting: the target is held by"), "{}", run.stderr);
    earlier.finish(child).ended(0, "1.1.0 serves in staging");
    rest.join().unwrap();
    assert_eq!(project.running("api"), vec![two.to_string(); 2]);
}
