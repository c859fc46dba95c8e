//! What runs before a rollout, on a real Swarm: a backup here, a migration there, each once; and what a person overrides.

use shipkit_core::Digest;
use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;
use shipkit_tests::container::docker;

use crate::bed::{Bed, Step, record, release_of, wait};

/// The configuration of `bed` with these hooks in `staging`.
fn with(bed: &Bed, hooks: &str) -> String {
    bed.config().replacen("  staging:\n", &format!("  staging:\n{hooks}"), 1)
}

fn migrating(bed: &Bed, command: &str, is_compatible: bool) -> String {
    with(bed, &format!("    migrate: {{service: api, command: {command}, compatible: {is_compatible}}}\n"))
}

fn deploy(config: &str, release: &Digest) -> Step {
    Step::new("deploy", config).input("environment", "staging").input("release", release.as_str())
}

fn rollback(config: &str) -> Step {
    Step::new("rollback", config).input("environment", "staging")
}

/// The identifiers of the job that migrates, at most one.
fn job(bed: &Bed) -> Vec<String> {
    let name = format!("name={}_shipkit-migrate", bed.stack);
    docker(&["service", "ls", "--quiet", "--filter", &name]).lines().map(str::to_owned).collect()
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[test]
fn backup_and_migration_run_before_anything_is_replaced_and_once_a_release() {
    let mut bed = Bed::new("hooks");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let hooks = "    backup: {run: \"echo saved before $SHIPKIT_VERSION in $SHIPKIT_ENVIRONMENT; echo and more >&2\"}\n\
                 \x20   migrate: {service: api, command: /container migrate}\n";
    let config = with(&bed, hooks);
    let first = bed.release(1, (&one, 1), (&one, 1));

    let run = deploy(&config, &first).input("dry-run", "true").run().ended(0, "dry run");
    let at = |text: &str| run.stdout.find(text).unwrap_or_else(|| panic!("{text}: {}", run.stdout));
    assert!(at("back up: echo saved") < at("migrate once, in the new image of `api`: /container migrate"));
    assert!(at("migrate once") < at("create `api`"));
    assert_eq!(job(&bed), Vec::<String>::new());

    let run = deploy(&config, &first).run().ended(0, "1.1.0 serves in staging");
    let said = |text: &str| run.stderr.find(text).unwrap_or_else(|| panic!("{text}: {}", run.stderr));
    assert!(said("saved before 1.1.0 in staging") < said("migrating with 1111"));
    assert!(said("migrating with 1111") < said("create `api`"), "{}", run.stderr);
    said("and more");
    let kept = job(&bed);
    assert_eq!(kept.len(), 1);

    let run = deploy(&config, &first).run().ended(0, "1.1.0 serves in staging");
    assert_eq!(count(&run.stderr, "backing up") + count(&run.stderr, "migrating"), 0, "{}", run.stderr);
    assert_eq!(job(&bed), kept);
    let run = Step::new("status", &config).input("environment", "staging").run().ended(0, "1.1.0 serves");
    assert!(!run.stdout.contains("migrate"), "{}", run.stdout);

    let second = bed.release(2, (&two, 2), (&two, 2));
    let run = deploy(&config, &second).run().ended(0, "1.2.0 serves in staging");
    assert_eq!(count(&run.stderr, "migrating with 2222"), 1, "{}", run.stderr);
    assert_eq!(job(&bed).len(), 1);
    assert_ne!(job(&bed), kept);
    rollback(&config).run().ended(0, "1.1.0 serves in staging again");
}

#[test]
fn what_fails_before_the_rollout_leaves_the_release_before_and_is_not_done_twice() {
    let mut bed = Bed::new("unmigrated");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let first = bed.release(1, (&one, 1), (&one, 1));
    bed.deploy(&first, "staging").run().ended(0, "1.1.0 serves in staging");
    let second = bed.release(2, (&two, 2), (&two, 2));

    let broken = with(
        &bed,
        "    backup: {run: [\"false | true\", \"exit 7\"]}\n    migrate: {service: api, command: /container migrate}\n",
    );
    let run = deploy(&broken, &second)
        .run()
        .ended(1, "the backup failed: `false | true` ended with exit status: 1");
    assert!(run.outputs["cause"].ends_with("; nothing was rolled out, 1.1.0 serves"), "{run:#?}");
    assert_eq!(job(&bed), Vec::<String>::new());

    let config = with(
        &bed,
        "    backup: {run: echo saved}\n    migrate: {service: api, command: /container migrate fail}\n",
    );
    let run = deploy(&config, &second).run().ended(1, "the migration failed: task failed: ");
    assert!(run.outputs["cause"].contains("(exit code 4); nothing was rolled out, 1.1.0 serves"), "{run:#?}");
    assert_eq!(count(&run.stderr, "migrating with 2222"), 1, "{}", run.stderr);
    let kept = job(&bed);
    let run = deploy(&config, &second).run().ended(1, "it is not run twice for one release");
    assert_eq!((run.outputs["verdict"].as_str(), job(&bed)), ("fail", kept));
    assert!(run.stderr.contains("backed up before, for this release: not done again"), "{}", run.stderr);
    assert_eq!(count(&run.stderr, "saved"), 0, "{}", run.stderr);
    assert_eq!(count(&run.stderr, "waiting"), 0, "the run before has given its lease up: {}", run.stderr);
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);
    let found = bed.evidence(&second, Kind::Deployment, "staging").unwrap();
    assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
}

#[test]
fn a_deploy_that_was_killed_while_it_migrated_is_waited_for_by_the_next_one() {
    let mut bed = Bed::new("migrating");
    let one = bed.image(1, "good");
    let first = bed.release(1, (&one, 1), (&one, 1));
    let config = migrating(&bed, "/container migrate wait", true);
    let step = deploy(&config, &first);
    let mut child = step.start();
    let container = || {
        let name = format!("label=com.docker.swarm.service.name={}_shipkit-migrate", bed.stack);
        docker(&["ps", "--quiet", "--filter", &name])
    };
    let running = std::iter::repeat_with(container).find(|listed| !listed.is_empty()).unwrap();
    child.kill().unwrap();
    step.finish(child);
    bed.lease_ends();
    let kept = job(&bed);
    let step = deploy(&config, &first);
    let child = step.start();
    docker(&["exec", &running, "/container", "touch", "/done"]);
    step.finish(child).ended(0, "1.1.0 serves in staging");
    assert_eq!(job(&bed), kept);
}

#[test]
fn a_migration_that_is_not_compatible_holds_every_way_back_until_somebody_says_why() {
    let mut bed = Bed::new("holds");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "broken"));
    let first = bed.release(1, (&one, 1), (&one, 1));
    bed.deploy(&first, "staging").run().ended(0, "1.1.0 serves in staging");
    let second = bed.release(2, (&two, 2), (&two, 2));
    let config = migrating(&bed, "/container migrate", false);
    let run = deploy(&config, &second)
        .run()
        .ended(1, "nothing was rolled back: release 1.2.0 has migrated the data");
    assert!(run.outputs["cause"].contains("--break-glass REASON"), "{run:#?}");
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.2.0"]);
    rollback(&config).run().ended(1, "nothing was rolled back: release 1.2.0 has migrated the data");
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.2.0"]);
    assert!(bed.evidence(&second, Kind::BreakGlass, "staging").is_none());
    let step = rollback(&config).input("break-glass", "data restored by hand").var("GITHUB_ACTOR", "alice");
    let run = step.run().ended(0, "1.1.0 serves in staging again");
    assert!(run.stderr.contains("data restored by hand"), "{}", run.stderr);
    let kept = bed.evidence(&second, Kind::BreakGlass, "staging").unwrap();
    assert_eq!((kept.verdict, &kept.details["actor"]), (Verdict::Fail, &"alice".into()), "{kept:?}");
    assert!(kept.cause.starts_with("data restored by hand; it was held: release 1.2.0 has"), "{kept:?}");
}

#[test]
fn a_check_finds_everything_that_is_in_the_way_and_changes_nothing() {
    let mut bed = Bed::new("check");
    let one = bed.image(1, "good");
    let first = bed.release(1, (&one, 1), (&one, 1));
    let check = |config: &str, release: &Digest| {
        Step::new("check", config).input("environment", "staging").input("release", release.as_str()).run()
    };
    let run = check(&bed.config(), &first).ended(0, "nothing is in the way");
    assert!(run.stdout.contains("create `api`"), "{}", run.stdout);
    let nowhere = one.repository.at(&Digest::of(b"nowhere"));
    let lost = release_of(2, &[("api", one.clone(), 1), ("web", nowhere.clone(), 1)]);
    let lost = wait(async { bed.client().put_release(&bed.repository(), &lost).await }).unwrap();
    let scan = record(Kind::Scan, Verdict::Fail, None);
    wait(async { bed.client().put_evidence(&one.repository, &one.digest, &scan).await }).unwrap();
    let config = bed.config().replacen(
        "    build: {context: api}\n",
        "    build: {context: api}\n    secrets: [key]\n",
        1,
    );
    let run = check(&config, &lost).ended(2, "3 problems: 1.2.0 is not admitted to staging");
    let cause = &run.outputs["cause"];
    assert!(cause.contains(&format!("secrets do not exist on the Swarm: `{}_key`", bed.stack)), "{cause}");
    assert!(cause.contains(&format!("find `{nowhere}`")), "{cause}");
    assert_eq!(bed.services(), Vec::<String>::new());
}

#[test]
fn a_refused_release_goes_out_when_somebody_says_why_and_that_is_kept_first() {
    let mut bed = Bed::new("glass");
    let one = bed.image(1, "good");
    let first = bed.release(1, (&one, 1), (&one, 1));
    let scan = record(Kind::Scan, Verdict::Fail, None);
    wait(async { bed.client().put_evidence(&one.repository, &one.digest, &scan).await }).unwrap();
    let step = || bed.deploy(&first, "staging").var("GITHUB_ACTOR", "alice");
    step().run().ended(1, "1.1.0 is not admitted to staging: the scan of `api`");
    step().input("break-glass", "fix for the outage").input("dry-run", "true").run().ended(0, "dry run");
    assert!(bed.evidence(&first, Kind::BreakGlass, "staging").is_none());
    let run = step().input("break-glass", "fix for the outage").run().ended(0, "1.1.0 serves in staging");
    assert!(run.summary.contains("fix for the outage; it was not admitted: the scan"), "{}", run.summary);
    let kept = bed.evidence(&first, Kind::BreakGlass, "staging").unwrap();
    assert_eq!((kept.verdict, &kept.details["actor"]), (Verdict::Fail, &"alice".into()), "{kept:?}");
    assert_eq!(kept.details["reason"], "fix for the outage");
}
