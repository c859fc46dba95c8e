//! The releases that were confirmed on a real Swarm, and the way back to each of them.

use serde_json::Value;
use shipkit_core::evidence::Kind;
use shipkit_core::{Digest, ImageRef};
use shipkit_tests::container::docker;
use shipkit_tests::soon;

use crate::bed::{Bed, Step, record, release_of, wait};

/// The configuration of `bed` without `web`.
fn without_web(bed: &Bed) -> String {
    let config = bed.config();
    let (before, after) = config.split_once("  web:\n").unwrap();
    let (_web, after) = after.split_once("environments:\n").unwrap();
    format!("{before}environments:\n{after}")
}

fn migrating(bed: &Bed) -> String {
    let hook = "  staging:\n    migrate: {service: api, command: /container migrate, compatible: false}\n";
    bed.config().replacen("  staging:\n", hook, 1)
}

fn deploy(config: &str, release: &Digest) {
    let step = Step::new("deploy", config).input("environment", "staging");
    step.input("release", release.as_str()).run().ended(0, "serves in staging");
}

fn back_to(bed: &Bed, name: &str) -> Step {
    bed.step("rollback", "staging").input("to", name)
}

/// Releases 1, 2 and 3 of both services, the second with this configuration.
fn three(bed: &mut Bed, second: impl FnOnce(&Bed) -> String) -> [Digest; 3] {
    let images = [1, 2, 3].map(|revision| bed.image(revision, "good"));
    let [first, middle, third] = [1, 2, 3].map(|digit: u8| {
        let image = (&images[usize::from(digit) - 1], digit);
        bed.release(digit, image, image)
    });
    deploy(&bed.config(), &first);
    deploy(&second(bed), &middle);
    deploy(&bed.config(), &third);
    [first, middle, third]
}

#[test]
fn a_release_that_was_confirmed_earlier_comes_back_as_a_whole_and_needs_no_registry() {
    let mut bed = Bed::new("history");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let run = bed.step("history", "staging").run().ended(0, "no release of shipkit serves");
    assert_eq!(run.stdout, format!("{}: no confirmed releases\n", bed.stack));
    bed.step("rollback", "staging").input("to", "1.1.0").run().ended(2, "none was confirmed here");
    bed.release(9, (&one, 1), (&one, 1));
    let first = release_of(1, &[("api", one.clone(), 1)]);
    let first = wait(async { bed.client().put_release(&bed.repository(), &first).await }).unwrap();
    deploy(&without_web(&bed), &first);
    let second = bed.release(2, (&two, 2), (&two, 2));
    deploy(&bed.config(), &second);
    // Once more, without any change: that adds nothing.
    deploy(&bed.config(), &second);
    let third = bed.release(3, (&two, 2), (&one, 1));
    deploy(&bed.config(), &third);
    let data = bed.containers("db");

    bed.stop_registry();
    let run = bed.step("history", "staging").run().ended(0, "1.3.0 serves");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", run.stdout);
    assert!(lines[0].starts_with("1.3.0 commit 3333") && lines[0].ends_with(": runs now"), "{}", lines[0]);
    assert!(
        lines[2].contains(first.as_str()) && lines[2].ends_with("`rollback --to` reaches it"),
        "{}",
        lines[2]
    );
    assert!(lines[1].contains("by https://github.example/acme/shop/actions/runs/7"), "{}", lines[1]);
    let run = back_to(&bed, "1.9.0").run().ended(2, "`1.9.0` names no release that was confirmed here");
    assert!(run.stderr.contains("there is 1.3.0 (sha256:"), "{}", run.stderr);

    let run = back_to(&bed, "1.1.0").input("dry-run", "true").run().ended(0, "dry run");
    let api =
        format!("return `api` {} -> {} (release 1.3.0 -> 1.1.0)", two.digest.short(), one.digest.short());
    let expected = format!("{api}\nleave `db`, which holds data\nleave `web`, which was no part of it\n");
    assert_eq!(run.stdout, expected);
    assert_eq!(bed.versions(), ["1.3.0", "1.1.0", "1.3.0"]);
    let web = bed.containers("web");
    let run = back_to(&bed, "1.1.0").run().ended(0, "1.1.0 serves in staging again");
    assert!(run.outputs["cause"].ends_with("; web was no part of it, and stays"), "{run:#?}");
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.3.0"]);
    let image = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
    assert_eq!(bed.inspect("api", image), one.to_string());
    assert_eq!((bed.containers("db"), bed.containers("web")), (data, web));
    // Not to what was left, and not with `web` alone to 1.2.0.
    bed.step("rollback", "staging").run().ended(1, "remembers no good release before it");
    back_to(&bed, second.short()).run().ended(0, "1.2.0 serves in staging again");
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.2.0"]);
    let run = bed.step("history", "staging").input("json", "true").run().ended(0, "1.2.0 serves");
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    let runs = |at: usize| (said["releases"][at]["runs"].clone(), said["releases"][at]["reachable"].clone());
    assert_eq!([runs(0).0, runs(1).0, runs(2).0], [false.into(), Value::from(true), false.into()]);
    assert_eq!(runs(0).1, true);
    changed_by_hand(&bed, &one, &two);
}

/// What somebody does beside shipkit is told, and only that.
fn changed_by_hand(bed: &Bed, one: &ImageRef, two: &ImageRef) {
    let run = bed.step("status", "staging").run().ended(0, "1.2.0 serves");
    assert!(!run.stdout.contains("changed since") && run.outputs["cause"] == "1.2.0 serves", "{run:#?}");
    assert!(run.stdout.contains(" by https://github.example/acme/shop/actions/runs/7"), "{}", run.stdout);
    let web = format!("{}_web", bed.stack);
    bed.docker(&["service", "update", "--quiet", "--no-resolve-image", "--image", &one.to_string(), &web]);
    bed.docker(&["service", "rm", &format!("{}_api", bed.stack)]);
    let run = bed.step("status", "staging").run().ended(0, "1.2.0 serves; `web` has ");
    for line in [
        format!(
            "changed since: `web` has {}, and 1.2.0 left it at {}",
            one.digest.short(),
            two.digest.short()
        ),
        "changed since: `api` is gone".to_owned(),
    ] {
        assert!(run.stdout.lines().any(|there| there == line), "{line}: {}", run.stdout);
    }
    let run = bed.step("status", "staging").input("json", "true").run();
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["drift"].as_array().map(Vec::len), Some(2), "{said}");
}

#[test]
fn a_breaking_migration_in_between_holds_and_what_is_overridden_is_kept_where_it_can_be() {
    let mut bed = Bed::new("between");
    let [_, second, third] = three(&mut bed, migrating);
    let held = "nothing was rolled back: release 1.2.0 has migrated the data";
    back_to(&bed, "1.1.0").run().ended(1, held);
    let told = "nothing was changed; it would be held: release 1.2.0 has migrated";
    back_to(&bed, "1.1.0").input("dry-run", "true").run().ended(0, told);
    assert_eq!(bed.versions(), ["1.3.0", "1.1.0", "1.3.0"]);
    // Not behind it.
    back_to(&bed, "1.2.0").run().ended(0, "1.2.0 serves in staging again");
    back_to(&bed, "1.3.0").run().ended(0, "1.3.0 serves in staging again");
    bed.step("rollback", "staging").run().ended(1, "remembers no good release");
    let glass = |bed: &Bed, name: &str| back_to(bed, name).input("break-glass", "restored by hand");
    glass(&bed, "1.1.0").run().ended(0, "1.1.0 serves in staging again");
    let kept = bed.evidence(&third, Kind::BreakGlass, "staging").unwrap();
    assert!(kept.cause.starts_with("restored by hand; it was held: release 1.2.0"), "{kept:?}");
    assert!(bed.evidence(&second, Kind::BreakGlass, "staging").is_none());
    back_to(&bed, "1.3.0").run().ended(0, "1.3.0 serves in staging again");
    bed.stop_registry();
    let run = glass(&bed, "1.1.0").run().ended(0, "1.1.0 serves in staging again");
    assert!(run.stderr.contains("is kept nowhere but here, and not on release 1.3.0"), "{}", run.stderr);
}

#[test]
fn a_migration_that_the_journal_has_forgotten_still_holds_what_was_before_it() {
    let mut bed = Bed::new("running");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    deploy(&bed.config(), &bed.release(1, (&one, 1), (&one, 1)));
    deploy(&migrating(&bed), &bed.release(2, (&two, 2), (&two, 2)));
    // The next run ends before its own migration, and its journal says nothing of the one before.
    let third = bed.release(3, (&one, 1), (&one, 1));
    let broken = bed.config().replacen("  staging:\n", "  staging:\n    backup: {run: \"exit 7\"}\n", 1);
    let step = Step::new("deploy", &broken).input("environment", "staging").input("release", third.as_str());
    step.run().ended(1, "the backup failed");
    bed.step("rollback", "staging").run().ended(1, "nothing was rolled back: release 1.2.0 has migrated");
}

#[test]
fn a_way_back_that_was_killed_is_finished_by_whoever_comes_next() {
    let mut bed = Bed::new("halfway");
    three(&mut bed, Bed::config);
    for finish in ["reconcile", "rollback"] {
        let step = back_to(&bed, "1.1.0");
        let mut child = step.start();
        let version = "{{index .Spec.Labels \"dev.shipkit.version\"}}";
        soon("it never began", || bed.inspect("api", version) == "1.1.0");
        child.kill().unwrap();
        child.wait().unwrap();
        bed.lease_ends();
        bed.step(finish, "staging").run().ended(0, "1.1.0 serves in staging again");
        assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);
        bed.step("reconcile", "staging").run().ended(0, "has ended");
        back_to(&bed, "1.3.0").run().ended(0, "1.3.0 serves in staging again");
    }
}

#[test]
fn a_damaged_journal_stops_no_rollback_and_no_lease_outlives_its_run() {
    let mut bed = Bed::new("damaged");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    deploy(&bed.config(), &bed.release(1, (&one, 1), (&one, 1)));
    deploy(&bed.config(), &bed.release(2, (&two, 2), (&two, 2)));
    let name = format!("{}_shipkit", bed.stack);
    docker(&["config", "rm", &name]);
    docker(&["config", "create", "--label", "dev.shipkit.journal={", &name, "/etc/hostname"]);
    let run = bed.step("reconcile", "staging").run().ended(3, "the journal on the target cannot be read");
    assert!(run.stderr.contains("delete the journal"), "{}", run.stderr);
    let run = bed.step("rollback", "staging").run().ended(0, "1.1.0 serves in staging again");
    assert!(!run.stderr.contains("waiting"), "the run before has given its lease up: {}", run.stderr);
    assert!(run.stderr.contains("the journal is passed over"), "{}", run.stderr);
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);
}

#[test]
fn groups_of_one_stack_have_a_history_each() {
    let mut bed = Bed::new("grouped");
    let one = bed.image(1, "good");
    let config =
        bed.config().replace("environments:\n", "groups: {back: [api, db], front: [web]}\nenvironments:\n");
    let step = |command: &str, group: &str| {
        Step::new(command, &config).input("environment", "staging").input("group", group)
    };
    for (group, service, digit) in [("back", "api", 1), ("front", "web", 2)] {
        let repository = format!("{}-{group}", bed.repository()).parse().unwrap();
        let release = release_of(digit, &[(service, one.clone(), 1)]);
        let release = wait(async {
            let scan = record(Kind::Scan, shipkit_core::Verdict::Pass, None);
            bed.client().put_evidence(&one.repository, &one.digest, &scan).await.unwrap();
            bed.client().put_release(&repository, &release).await.unwrap()
        });
        step("deploy", group).input("release", release.as_str()).run().ended(0, "serves in staging");
    }
    let run = step("history", "front").run().ended(0, "1.2.0 serves");
    assert!(run.stdout.starts_with("1.2.0 ") && run.stdout.lines().count() == 1, "{}", run.stdout);
    step("rollback", "front").input("to", "1.1.0").run().ended(2, "names no release that was confirmed here");
}
