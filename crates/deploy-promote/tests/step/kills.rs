//! A deploy that is killed at any of its steps is finished by the next one.

use std::io::{BufRead as _, BufReader};

use shipkit_core::Digest;

use crate::bed::{Bed, Step, release_of, wait};

/// After which of its lines a deploy is killed: the steps that change the target first, then all others. A deploy of
/// three services says fewer than this many lines.
const LINES: [usize; 14] = [6, 8, 7, 5, 9, 4, 10, 3, 11, 2, 12, 1, 13, 14];

/// How many kills there are: a short sample, or as many as `./soak` asks for.
fn kills() -> usize {
    std::env::var("SHIPKIT_KILLS").map_or(2, |kills| kills.parse().expect("SHIPKIT_KILLS is a number"))
}

/// Starts a deploy and kills it, as nothing can be caught, once it has said this many lines.
fn kill_after(bed: &Bed, release: &Digest, lines: usize) -> usize {
    kill_step_after(&bed.deploy(release, "staging"), lines)
}

fn kill_step_after(step: &Step, lines: usize) -> usize {
    let mut child = step.start();
    let said = BufReader::new(child.stderr.take().unwrap()).lines().take(lines).count();
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

#[test]
fn a_deploy_that_is_killed_at_any_step_is_finished_by_the_next_one() {
    let mut bed = Bed::new("kill");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let releases =
        [("1.1.0", bed.release(1, (&one, 1), (&one, 1))), ("1.2.0", bed.release(2, (&two, 2), (&two, 2)))];
    bed.deploy(&releases[0].1, "staging").run().ended(0, "1.1.0 serves in staging");
    for round in 0..kills() {
        let (version, release) = &releases[(round + 1) % 2];
        let (before, _) = &releases[round % 2];
        let said = kill_after(&bed, release, LINES[round % LINES.len()]);
        bed.lease_ends();
        let run = bed.deploy(release, "staging").run();
        let run = run.ended(0, &format!("{version} serves in staging"));
        assert_eq!(bed.versions(), [version, "1.1.0", version], "killed after line {said}: {run:#?}");
        // The way back leads to the good release before, whatever the killed run had written.
        let back = bed.step("rollback", "staging").input("dry-run", "true").run().ended(0, "dry run");
        let expected = format!("(release {version} -> {before})");
        assert_eq!(back.stdout.matches(&expected).count(), 2, "killed after line {said}: {}", back.stdout);
    }
}

#[test]
fn what_a_killed_run_left_is_finished_or_taken_back_by_reconcile() {
    let mut bed = Bed::new("reconcile");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let first = bed.release(1, (&one, 1), (&one, 1));
    let second = bed.release(2, (&two, 2), (&two, 2));
    bed.step("reconcile", "staging").run().ended(0, "no run has left a journal");
    bed.deploy(&first, "staging").run().ended(0, "1.1.0 serves in staging");
    bed.step("reconcile", "staging").run().ended(0, "the last run, of release 1.1.0, has ended");
    // After its admission and plan, and one service: the other one is still the old one.
    kill_after(&bed, &second, 7);
    bed.lease_ends();
    let told = bed.step("reconcile", "staging").input("dry-run", "true").run().ended(0, "dry run");
    assert_eq!(told.stdout.trim(), "a run that deployed release 1.2.0 did not end");
    bed.step("reconcile", "staging").run().ended(0, "1.2.0 serves in staging");
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.2.0"]);
    bed.step("reconcile", "staging").run().ended(0, "has ended");
}

#[test]
fn reconcile_finds_a_release_that_lies_in_a_repository_of_its_own() {
    let mut bed = Bed::new("elsewhere");
    let one = bed.image(1, "good");
    bed.release(1, (&one, 1), (&one, 1));
    let elsewhere = format!("{}-elsewhere", bed.repository()).parse().unwrap();
    let release = release_of(3, &[("api", one.clone(), 1), ("web", one.clone(), 1)]);
    let release = wait(async { bed.client().put_release(&elsewhere, &release).await }).unwrap();
    kill_step_after(&bed.deploy(&release, "staging").input("repository", &elsewhere.to_string()), 7);
    bed.lease_ends();
    bed.step("reconcile", "staging").run().ended(0, "1.3.0 serves in staging");
    assert_eq!(bed.versions(), ["1.3.0", "1.3.0", "1.3.0"]);
}

#[test]
fn a_second_run_waits_until_the_first_has_ended() {
    let mut bed = Bed::new("two");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let (first, second) = (bed.release(1, (&one, 1), (&one, 1)), bed.release(2, (&two, 2), (&two, 2)));
    let earlier = bed.deploy(&first, "staging");
    let mut child = earlier.start();
    // It has the lease when it begins to change the target.
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    said.find(|line| line.contains("create network")).unwrap();
    let rest = std::thread::spawn(move || said.count());
    let run = bed.deploy(&second, "staging").run().ended(0, "1.2.0 serves in staging");
    assert!(run.stderr.contains("waiting: the target is held by"), "{}", run.stderr);
    earlier.finish(child).ended(0, "1.1.0 serves in staging");
    rest.join().unwrap();
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.2.0"]);
}
