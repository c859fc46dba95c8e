//! What is around a rollout in a cluster: the lease, the journal that `reconcile` reads, the migration, and the least role.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;
use shipkit_core::Digest;
use shipkit_core::journal::{Intent, Journal, Resume, resume};
use shipkit_tests::server::door::Door;
use shipkit_tests::server::gate::Moment;
use shipkit_tests::server::kubernetes::Fate;

use crate::bed::{Step, Transcript};
use crate::cluster::{Shop, step_as};
use crate::kills::{Then, kill_at, numbers};

/// The configuration with a migration, compatible or not.
fn migrating(shop: &Shop, is_compatible: bool) -> String {
    let migrate = format!("migrate: {{service: api, command: up, compatible: {is_compatible}}}");
    shop.config().replacen("timeout: 60s", &format!("timeout: 60s\n    {migrate}"), 1)
}

fn deploy(config: &str, release: &Digest) -> Step {
    step_as("deploy", config).input("release", release.as_str())
}

/// Nobody holds the lease, and the last run has ended.
#[track_caller]
pub(crate) fn check_closed(shop: &Shop) {
    let lease = shop.namespace.get("Lease", "shop-shipkit");
    assert_eq!(lease["spec"]["holderIdentity"], Value::Null, "{lease}");
    let journal = lease["metadata"]["annotations"]["shipkit.dev/journal"].as_str();
    let left = resume(Some(&Journal::parse(journal.unwrap()).unwrap()), Intent::Reconcile);
    assert!(matches!(left, Resume::Nothing { .. }), "{left:?}");
}

#[test]
fn a_release_is_migrated_once_in_a_cluster_before_anything_is_replaced() {
    let shop = Shop::new("dp-migrate");
    let door = Door::open("2026-01-02T03:04:05.1Z table a\n2026-01-02T03:04:05.2Z table b\n");
    let config = migrating(&shop, true);
    let one = shop.release(1, None);
    let run = deploy(&config, &one).input("dry-run", "true").run().ended(0, "dry run");
    assert!(run.stdout.starts_with("migrate once, in the new image of `api`: up"), "{}", run.stdout);
    assert_eq!(shop.namespace.names("Job"), Vec::<String>::new());

    let run = deploy(&config, &one).input("kubeconfig", &door.kubeconfig()).run().ended(0, "1.1.0 runs");
    let at = |text: &str| run.stderr.find(text).unwrap_or_else(|| panic!("{text}: {}", run.stderr));
    assert!(at("migrating: up") < at("table a") && at("table a") < at("table b"), "{}", run.stderr);
    assert!(at("table b") < at("update `api`"), "{}", run.stderr);
    assert_eq!(run.stderr.matches("table a").count(), 1, "{}", run.stderr);
    let jobs = shop.namespace.names("Job");
    let run = deploy(&config, &one).run().ended(0, "1.1.0 runs");
    assert_eq!((run.stderr.matches("migrat").count(), shop.namespace.names("Job")), (0, jobs.clone()));
    check_closed(&shop);

    let two = shop.release(2, None);
    shop.api_jobs_will(2, Fate::Exit(4));
    let run =
        deploy(&config, &two).run().ended(1, "the migration failed: container `shop-api` of pod `shipkit-");
    assert!(run.outputs["cause"].ends_with(" ended with exit code 4; nothing was rolled out, 1.1.0 serves"));
    deploy(&config, &two).run().ended(1, "it is not run twice for one release");
    assert_eq!(shop.versions(), ["1.1.0", "1.1.0"]);
    assert_ne!(shop.namespace.names("Job"), jobs, "the one of the release before is gone");
    check_closed(&shop);
}

#[test]
fn data_is_backed_up_by_a_job_once_a_release_before_it_is_migrated() {
    let shop = Shop::new("dp-backup");
    let tool = shop.image("tool", 1);
    let image = format!("{tool}");
    let backup = format!("backup: {{service: api, command: save all, image: \"{image}\"}}\n    migrate:");
    let config = migrating(&shop, true).replacen("migrate:", &backup, 1);
    let one = shop.release(1, None);
    let run = deploy(&config, &one).input("dry-run", "true").run().ended(0, "dry run");
    let plan = format!("back up once, like `api` in {image}: save all\nmigrate once,");
    assert!(run.stdout.starts_with(&plan), "{}", run.stdout);
    let run = deploy(&config, &one).run().ended(0, "1.1.0 runs");
    let at = |text: &str| run.stderr.find(text).unwrap_or_else(|| panic!("{text}: {}", run.stderr));
    assert!(
        at("backing up: save all") < at("backed up") && at("backed up") < at("migrating: up"),
        "{run:#?}"
    );
    let jobs = shop.namespace.names("Job");
    let job = shop.namespace.get("Job", &jobs[0]);
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&container["image"], &container["args"]),
        (&image.into(), &serde_json::json!(["save", "all"]))
    );
    let run = deploy(&config, &one).run().ended(0, "1.1.0 runs");
    assert_eq!(
        (run.stderr.matches("back").count(), shop.namespace.names("Job")),
        (0, jobs),
        "nothing changes"
    );

    let two = shop.release(2, None);
    shop.namespace.jobs_will(tool.digest.as_str(), Fate::Exit(5));
    let run = deploy(&config, &two)
        .run()
        .ended(1, "the backup failed: container `shop-api` of pod `shipkit-backup-");
    assert!(run.outputs["cause"].ends_with(" ended with exit code 5; nothing was rolled out, 1.1.0 serves"));
    let run = deploy(&config, &two).run().ended(1, "it is not run twice for one release");
    assert!(!run.stderr.contains("migrating"), "{run:#?}");
    shop.namespace.jobs_will(tool.digest.as_str(), Fate::Exit(0));
    let failed = shop.namespace.names("Job").remove(0);
    shop.kubectl(&["delete", "job", &failed]);
    deploy(&config, &two).run().ended(0, "1.2.0 runs");
    check_closed(&shop);
}

#[test]
fn a_migration_that_is_not_compatible_holds_the_way_back_in_a_cluster() {
    let shop = Shop::new("dp-holds");
    shop.deploy(&shop.release(1, None)).run().ended(0, "1.1.0 runs");
    let config = migrating(&shop, false);
    let two = shop.release(2, Some(Fate::Crash(3)));
    deploy(&config, &two).run().ended(1, "nothing was rolled back: release 1.2.0 has migrated the data");
    assert_eq!(shop.versions(), ["1.2.0", "1.2.0"]);
    let back = || step_as("rollback", &config);
    back().run().ended(1, "nothing was rolled back: release 1.2.0 has migrated the data");
    back().input("break-glass", "restored").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(shop.versions(), ["1.1.0", "1.1.0"]);
}

#[test]
fn a_second_run_waits_for_the_first_one_and_a_rollback_takes_back_what_that_left() {
    let shop = Shop::new("dp-two");
    shop.step("reconcile").run().ended(0, "no run has left a journal");
    let (one, two) = (shop.release(1, None), shop.release(2, Some(Fate::Unready)));
    shop.deploy(&one).run().ended(0, "1.1.0 runs");
    shop.step("reconcile").run().ended(0, "the last run, of release 1.1.0, has ended");
    let earlier = shop.deploy(&two);
    let mut child = earlier.start();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("update `web`")), "it never began");
    let later = shop.step("rollback");
    let mut waiting = later.start();
    let mut told = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(told.any(|line| line.starts_with("waiting: the target is held by `https://github.example")));
    child.kill().unwrap();
    child.wait().unwrap();
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    shop.lease_ends();

    let why = "a run that deployed release 1.2.0 did not end";
    let dry = shop.step("reconcile").input("dry-run", "true").run().ended(0, "dry run");
    assert!(dry.stdout.contains(why), "{}", dry.stdout);
    shop.step("rollback").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(shop.versions(), ["1.1.0", "1.1.0"]);
    check_closed(&shop);
}

/// Two releases take turns, and each deploy is killed at one more of its changes of the cluster.
fn killed_at_every_change(name: &str, moment: Moment, then: Then, sample: usize) {
    let shop = Shop::new(name);
    let door = Door::open("");
    let config = migrating(&shop, true);
    let step = |command: &str| step_as(command, &config).input("kubeconfig", &door.kubeconfig());
    let deploy = |release: &Digest| step("deploy").input("release", release.as_str());
    let releases = [("1.1.0", shop.release(1, None)), ("1.2.0", shop.release(2, None))];
    deploy(&releases[0].1).run().ended(0, "1.1.0 runs in staging");
    let mut serving = 0;
    for number in numbers(sample) {
        let (version, release) = &releases[1 - serving];
        let held = door.gate().hold(number, moment);
        let Some(change) = kill_at(&deploy(release), &held) else {
            assert!(sample < number, "it ends before its change {number}");
            break;
        };
        drop(held);
        shop.lease_ends();
        let run = match then {
            Then::Again => deploy(release).run().ended(0, &format!("{version} runs in staging")),
            Then::Reconcile => step("reconcile").run(),
        };
        let at =
            format!("killed {moment:?} change {number}, {change}: {run:#?}, {:#?}", door.gate().changes());
        assert_eq!(run.exit, Some(0), "{at}");
        // A run that had written nothing yet has left nothing to finish; nor has one that was at its end.
        let is_new = shop.versions()[0] == *version;
        assert!(is_new || (then == Then::Reconcile && run.outputs["cause"].contains("has ended")), "{at}");
        if !is_new {
            continue;
        }
        serving = 1 - serving;
        let (now, before) = (releases[serving].0, releases[1 - serving].0);
        assert_eq!(shop.versions(), [now, now], "{at}");
        check_closed(&shop);
        let begun = door.gate().changes().iter().filter(|change| is_begin(change)).count();
        assert_eq!(begun, 1, "it is migrated once: {at}");
        assert_eq!(shop.namespace.names("Job").len(), 1, "{at}");
        let back = step("rollback").input("dry-run", "true").run().ended(0, "dry run");
        let way = format!("(release {now} -> {before})");
        assert_eq!(back.stdout.matches(&way).count(), 2, "{at}: {}", back.stdout);
    }
}

/// Whether a change that was made lets a job begin.
fn is_begin(change: &str) -> bool {
    change.starts_with("PATCH ") && change.contains("/jobs/") && change.ends_with(" 200")
}

#[test]
fn a_deploy_to_a_cluster_that_is_killed_before_any_change_is_finished_by_the_next_one() {
    killed_at_every_change("dp-killa", Moment::Before, Then::Again, 24);
}

#[test]
fn a_deploy_to_a_cluster_that_is_killed_after_any_change_is_finished_by_reconcile() {
    killed_at_every_change("dp-killb", Moment::After, Then::Reconcile, 25);
}

#[test]
fn the_role_that_is_shipped_suffices_for_a_deploy_a_migration_and_a_rollback() {
    let shop = Shop::new("dp-role");
    let user = shop.user_of("role.yaml", "shipkit");
    let config = migrating(&shop, true);
    let config = config.replacen("timeout: 60s", "timeout: 60s\n    secrets: [key]", 1);
    shop.namespace.apply(&serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
    }));
    let run = |step: Step| -> Transcript { step.input("kubeconfig", &user).run() };
    for digit in [1, 2] {
        let release = shop.release(digit, None);
        run(deploy(&config, &release)).ended(0, &format!("1.{digit}.0 runs in staging"));
    }
    run(step_as("status", &config)).ended(0, "1.2.0 serves");
    run(step_as("rollback", &config)).ended(0, "1.1.0 serves in staging again");
    run(step_as("reconcile", &config)).ended(0, "has ended");
}
