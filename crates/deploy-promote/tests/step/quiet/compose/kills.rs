//! Runs that are killed, and runs that meet.

use std::io::{BufRead as _, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shipkit_core::Digest;
use shipkit_core::journal::{Intent, Journal, Resume, resume};
use shipkit_core::lease::Lease;
use shipkit_tests::server::gate::{Gate, Moment};

use super::project::Project;
use crate::bed::{Step, terminate};
use crate::kills::{By, Then, end_at, numbers};

/// Two releases take turns, and each deploy is ended at one more of the requests, its own or those of `docker compose`, that
/// change something at the engine.
fn ended_at_every_change(name: &str, (by, moment): (By, Moment), then: Then, sample: usize) {
    let mut project = Project::new(name);
    let gate = Gate::start("/var/run/docker.sock");
    let images = [project.bed.image(1, "good"), project.bed.image(2, "good")];
    let releases = [("1.1.0", project.release(1, &images[0])), ("1.2.0", project.release(2, &images[1]))];
    let migrate =
        "    timeout: 40s\n    migrate: {service: api, command: /container migrate, compatible: true}\n";
    project.edit("shipkit.yml", "    timeout: 40s\n", migrate);
    let through = |command: &str| project.step(command).input("docker-host", &gate.host());
    let deploy = |release: &Digest| through("deploy").input("release", release.as_str());
    for (version, release) in &releases {
        deploy(release).run().ended(0, &format!("{version} serves in staging"));
    }
    let (data, nginx) = (project.id("db"), project.id("nginx"));
    let mut serving = 1;
    for number in numbers(sample) {
        let (version, release) = &releases[1 - serving];
        let held = gate.hold(number, moment);
        let Some(change) = end_at(deploy(release), held, by) else {
            assert!(sample < number, "it ends before its change {number}");
            break;
        };
        if by == By::Kill {
            project.lease_ends();
        }
        let run = match then {
            Then::Again => deploy(release).run().ended(0, &format!("{version} serves in staging")),
            Then::Reconcile => through("reconcile").run(),
        };
        let at = format!("{by:?} {moment:?} change {number}, {change}: {run:#?}, {:#?}", gate.changes());
        assert_eq!(run.exit, Some(0), "{at}");
        assert!(!run.stderr.contains("waiting: "), "{at}");
        // A run that had written nothing yet has left nothing to finish.
        if then == Then::Again || !run.outputs["cause"].contains("has ended") {
            serving = 1 - serving;
        }
        let (now, before) = (images[serving].to_string(), images[1 - serving].to_string());
        let is = |state: &str, image: &str| format!("{state} {image}");
        let seen = |service: &str| -> Vec<String> {
            let lines = project.containers(service);
            let mut lines: Vec<String> =
                lines.iter().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect();
            lines.sort();
            lines
        };
        let (old, new) = (is("exited", &before), is("running", &now));
        assert_eq!(seen("api"), [old.clone(), old.clone(), new.clone(), new.clone()], "{at}");
        assert_eq!(seen("web"), [old, new], "{at}");
        assert_eq!(seen("shipkit-migrate"), Vec::<String>::new(), "{at}");
        assert_eq!((project.id("db"), project.id("nginx")), (data.clone(), nginx.clone()), "{at}");
        check_closed(&project, &at);
        let back = through("rollback").input("dry-run", "true").run().ended(0, "dry run");
        let expected = format!("(release {} -> {})", releases[serving].0, releases[1 - serving].0);
        assert_eq!(back.stdout.matches(&expected).count(), 2, "{at}: {}", back.stdout);
    }
}

/// Nobody holds the lease, and the last run has ended.
#[track_caller]
pub(super) fn check_closed(project: &Project, at: &str) {
    let read = |name: &str| std::fs::read_to_string(project.state().join(name)).unwrap();
    assert!(Lease::parse(&read("lease.json")).unwrap().expires <= jiff::Timestamp::now(), "{at}");
    let left = resume(Some(&Journal::parse(&read("journal.json")).unwrap()), Intent::Reconcile);
    assert!(matches!(left, Resume::Nothing { .. }), "{left:?}: {at}");
}

#[test]
fn a_deploy_that_is_killed_before_any_change_is_finished_by_the_next_one() {
    ended_at_every_change("everya", (By::Kill, Moment::Before), Then::Again, 5);
}

#[test]
fn a_deploy_that_is_killed_after_any_change_is_finished_by_reconcile() {
    ended_at_every_change("everyb", (By::Kill, Moment::After), Then::Reconcile, 14);
}

#[test]
fn a_deploy_that_is_cancelled_before_any_change_is_finished_by_the_next_one() {
    ended_at_every_change("everyt", (By::Cancel, Moment::Before), Then::Again, 11);
}

#[test]
fn a_deploy_that_is_cancelled_after_any_change_is_finished_by_reconcile() {
    ended_at_every_change("everyu", (By::Cancel, Moment::After), Then::Reconcile, 12);
}

#[test]
fn a_migration_that_starts_without_an_answer_is_looked_at_and_not_given_up() {
    let mut project = Project::new("unheard");
    let gate = Gate::start("/var/run/docker.sock");
    let [first, second] = [1, 2].map(|digit| {
        let image = project.bed.image(digit, "good");
        project.release(digit, &image)
    });
    let migrate =
        "    timeout: 40s\n    migrate: {service: api, command: /container migrate, compatible: true}\n";
    project.edit("shipkit.yml", "    timeout: 40s\n", migrate);
    let deploy = |release: &Digest| project.deploy(release).input("docker-host", &gate.host());
    deploy(&first).run().ended(0, "1.1.0 serves in staging");

    // What holds the data and the proxy run already, so nothing is started before the migration. The engine itself forgets
    // to answer now and then, and then there is nothing to hold: nobody hears it all the same.
    let asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&asked);
    let is_start = |change: &str| change.contains("/containers/") && change.ends_with("/start");
    let held =
        gate.hold_first(move |change| is_start(change) && !seen.swap(true, Ordering::SeqCst), Moment::After);
    let step = deploy(&second);
    let child = step.start();
    std::thread::scope(|scope| {
        let over = held.over();
        scope.spawn(move || drop(held.wait()));
        let run = step.finish(child);
        over();
        let run = run.ended(0, "1.2.0 serves in staging");
        assert!(run.stderr.contains("migrating with 2222"), "{}", run.stderr);
    });
    assert!(asked.load(Ordering::SeqCst), "no start was asked for");
    let changes = gate.changes();
    let is_start = |change: &String| change.contains("/containers/") && change.ends_with("/start 204");
    let before = changes.iter().position(is_start).map(|start| &changes[..start]).unwrap();
    assert!(before.iter().any(|change| change.contains("shipkit-migrate")), "{changes:#?}");
}

/// Starts a step and kills it, as nothing can be caught, once it has said this.
fn kill(project: &Project, step: &Step, says: &str) {
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
    kill(&project, &project.deploy(&second), "update `api`");
    let run = project.deploy(&second).run().ended(0, "1.2.0 serves in staging");
    assert_eq!(project.running("api"), vec![two.to_string(); 2], "{run:#?}");
    let run = project.step("rollback").input("dry-run", "true").run().ended(0, "dry run");
    assert_eq!(run.stdout.matches("(release 1.2.0 -> 1.1.0)").count(), 2, "{}", run.stdout);

    kill(&project, &project.deploy(&first), "update `web`");
    project.step("reconcile").run().ended(0, "1.1.0 serves in staging");
    assert_eq!(project.running("api"), vec![one.to_string(); 2]);
    assert_eq!(project.running("web"), [one.to_string()]);

    // What a rollback goes back from was confirmed, so half of it looks like a whole.
    kill(&project, &project.step("rollback"), "is back");
    project.step("reconcile").run().ended(0, "1.2.0 serves in staging again");
    assert_eq!(project.running("api"), vec![two.to_string(); 2]);
    assert_eq!(project.running("web"), [two.to_string()]);
    project.step("reconcile").run().ended(0, "has ended");
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
