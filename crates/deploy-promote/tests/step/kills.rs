//! A deploy that is killed at any of its steps is finished by the next one, or by `reconcile`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

use shipkit_core::Digest;
use shipkit_tests::server::gate::{Gate, Held, Moment};

use crate::bed::{Bed, Step, release_of, terminate_process, wait};
use crate::left::check_serves;

/// What comes after a kill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Then {
    Again,
    Reconcile,
}

/// How a run ends that somebody ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum By {
    /// SIGKILL: nothing can be done about it.
    Kill,
    /// SIGTERM, as a runner and `docker stop` ask.
    Cancel,
}

/// The changes at which a deploy is killed: this one, or for `./soak` each until it ends by itself.
pub(crate) fn numbers(sample: usize) -> Vec<usize> {
    if std::env::var_os("SHIPKIT_KILLS").is_some() { (1..100).collect() } else { vec![sample] }
}

/// Starts a step and kills it, as nothing can be caught, when it asks for the change that is held. Gives that change, or
/// `None` if it ended well before.
pub(crate) fn kill_at(step: &Step, held: &Held) -> Option<String> {
    let mut child = step.start();
    let (stderr, over) = (child.stderr.take().unwrap(), held.over());
    let reading = std::thread::spawn(move || {
        let said: Vec<String> = BufReader::new(stderr).lines().map(Result::unwrap).collect();
        over();
        said
    });
    let change = held.wait();
    if change.is_some() {
        // With what it has started, as a runner ends a step.
        let children = descendants(child.id());
        child.kill().unwrap();
        for process in children {
            Command::new("kill").args(["-KILL", &process.to_string()]).output().unwrap();
        }
    }
    let ended = child.wait().unwrap();
    let said = reading.join().unwrap();
    assert!(change.is_some() || ended.success(), "{said:#?}");
    change
}

/// The same, but asks it to end, with the answer to that change lost. It says that it was cancelled, if it had not come to
/// its end before.
fn cancel_at(step: Step, held: Held) -> Option<String> {
    let (child, over) = (step.start(), held.over());
    let process = child.id();
    let waiting = std::thread::spawn(move || {
        let change = held.wait();
        if change.is_some() {
            terminate_process(process);
        }
        change
    });
    let run = step.finish(child);
    over();
    let change = waiting.join().unwrap();
    let has_ended = run.exit == Some(0) && run.outputs["cause"].contains(" serves in staging");
    let is_cancelled = run.exit == Some(143) && run.outputs["cause"].contains("cancelled by SIGTERM");
    assert!(has_ended || (is_cancelled && change.is_some()), "{change:?}: {run:#?}");
    change
}

pub(crate) fn end_at(step: Step, held: Held, by: By) -> Option<String> {
    match by {
        By::Kill => kill_at(&step, &held),
        By::Cancel => cancel_at(step, held),
    }
}

fn descendants(process: u32) -> Vec<u32> {
    let threads =
        std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().map(Result::unwrap);
    let texts = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = texts
        .flat_map(|text| text.split_whitespace().map(|child| child.parse().unwrap()).collect::<Vec<_>>())
        .collect();
    children.into_iter().flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

/// Two releases take turns, and each deploy is ended at one more of its changes of the Swarm.
fn ended_at_every_change(name: &str, (by, moment): (By, Moment), then: Then, sample: usize) {
    let mut bed = Bed::new(name);
    let (gate, folder) = (Gate::start("/var/run/docker.sock"), tempfile::tempdir().unwrap());
    let saved = folder.path().join("saved");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let releases =
        [("1.1.0", bed.release(1, (&one, 1), (&one, 1))), ("1.2.0", bed.release(2, (&two, 2), (&two, 2)))];
    let config = with_hooks(&bed, &saved);
    let step = |command: &str| {
        Step::new(command, &config).input("environment", "staging").input("docker-host", &gate.host())
    };
    let deploy = |release: &Digest| step("deploy").input("release", release.as_str());
    deploy(&releases[0].1).run().ended(0, "1.1.0 serves in staging");
    let mut serving = 0;
    for number in numbers(sample) {
        let (version, release) = &releases[1 - serving];
        std::fs::write(&saved, "").unwrap();
        let held = gate.hold(number, moment);
        let Some(change) = end_at(deploy(release), held, by) else {
            assert!(sample < number, "it ends before its change {number}");
            break;
        };
        if by == By::Kill {
            bed.lease_ends();
        }
        let run = match then {
            Then::Again => deploy(release).run().ended(0, &format!("{version} serves in staging")),
            Then::Reconcile => step("reconcile").run(),
        };
        let at = format!("{by:?} {moment:?} change {number}, {change}: {run:#?}, {:#?}", gate.changes());
        assert_eq!(run.exit, Some(0), "{at}");
        assert!(!run.stderr.contains("waiting: "), "{at}");
        // A run that had written nothing yet has left nothing to finish; nor has one that was at its end.
        let is_new = bed.versions()[0] == *version;
        assert!(is_new || (then == Then::Reconcile && run.outputs["cause"].contains("has ended")), "{at}");
        if is_new {
            serving = 1 - serving;
        }
        let (now, before) = (releases[serving].0, releases[1 - serving].0);
        assert_eq!(bed.versions(), [now, "1.1.0", now], "{at}");
        check_serves(&bed, now, &["shipkit-migrate"]);
        let migrated =
            gate.changes().iter().filter(|change| change.ends_with("/services/create 201")).count();
        assert_eq!(migrated, usize::from(is_new), "{at}");
        let backups = std::fs::read_to_string(&saved).unwrap().lines().count();
        // One that is not known to have ended well is made again.
        let may_be_twice = is_new && change.contains("/configs/");
        assert!(backups == usize::from(is_new) || (backups == 2 && may_be_twice), "{backups} {at}");
        if !is_new {
            continue;
        }
        // The way back leads to the good release before, whatever the killed run had written.
        let back = step("rollback").input("dry-run", "true").run().ended(0, "dry run");
        assert_eq!(
            back.stdout.matches(&format!("(release {now} -> {before})")).count(),
            2,
            "{at}: {}",
            back.stdout
        );
    }
}

/// The configuration with a backup, which writes a line into `saved`, and a migration.
fn with_hooks(bed: &Bed, saved: &Path) -> String {
    let hooks = format!(
        "  staging:\n    backup: {{run: \"echo saved >> {}\"}}\n    migrate: {{service: api, command: /container migrate}}\n",
        saved.display()
    );
    bed.config().replacen("  staging:\n", &hooks, 1)
}

#[test]
fn a_deploy_that_is_killed_before_any_change_is_finished_by_the_next_one() {
    ended_at_every_change("killa", (By::Kill, Moment::Before), Then::Again, 6);
}

#[test]
fn a_deploy_that_is_killed_after_any_change_is_finished_by_the_next_one() {
    ended_at_every_change("killb", (By::Kill, Moment::After), Then::Again, 8);
}

#[test]
fn a_deploy_that_is_killed_before_any_change_is_finished_by_reconcile() {
    ended_at_every_change("killc", (By::Kill, Moment::Before), Then::Reconcile, 10);
}

#[test]
fn a_deploy_that_is_killed_after_any_change_is_finished_by_reconcile() {
    ended_at_every_change("killd", (By::Kill, Moment::After), Then::Reconcile, 12);
}

#[test]
fn a_deploy_that_is_cancelled_before_any_change_is_finished_by_the_next_one() {
    ended_at_every_change("killt", (By::Cancel, Moment::Before), Then::Again, 7);
}

#[test]
fn a_deploy_that_is_cancelled_after_any_change_is_finished_by_reconcile() {
    ended_at_every_change("killu", (By::Cancel, Moment::After), Then::Reconcile, 9);
}

/// Starts a deploy and kills it once it has said this many lines.
fn kill_after(bed: &Bed, release: &Digest, lines: usize) {
    kill_step_after(&bed.deploy(release, "staging"), lines);
}

fn kill_step_after(step: &Step, lines: usize) {
    let mut child = step.start();
    BufReader::new(child.stderr.take().unwrap()).lines().take(lines).for_each(drop);
    child.kill().unwrap();
    child.wait().unwrap();
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

#[test]
fn a_rollback_that_is_killed_between_two_services_is_finished_by_reconcile() {
    let mut bed = Bed::new("between");
    let gate = Gate::start("/var/run/docker.sock");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    for (digit, image) in [(1, &one), (2, &two)] {
        let release = bed.release(digit, (image, digit), (image, digit));
        let step = bed.step("deploy", "staging").input("release", release.as_str());
        step.run().ended(0, &format!("1.{digit}.0 serves in staging"));
    }
    let is_update = |change: &str| change.contains("/services/") && change.contains("/update");
    let held = gate.hold_first(is_update, Moment::After);
    let killed = kill_at(&bed.step("rollback", "staging").input("docker-host", &gate.host()), &held);
    drop(held);
    assert!(killed.is_some());
    let versions =
        || ["api", "web"].map(|one| bed.inspect(one, "{{index .Spec.Labels \"dev.shipkit.version\"}}"));
    let mut half = versions();
    half.sort();
    assert_eq!(half, ["1.1.0", "1.2.0"]);
    bed.lease_ends();
    bed.step("reconcile", "staging").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(versions(), ["1.1.0", "1.1.0"]);
    bed.step("reconcile", "staging").run().ended(0, "has ended");
}
