//! Releases on a real Swarm (`scripts/bed up` makes one): they arrive, fail, go back.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;
use shipkit_core::{Digest, ImageRef};
use shipkit_tests::server::github::{FakeGitHub, REPOSITORY, TOKEN};
use shipkit_tests::soon;

use crate::bed::{Bed, Step, Transcript, commit, terminate};

fn told(step: Step, github: &FakeGitHub) -> Step {
    step.var("GITHUB_API_URL", &github.url()).var("GITHUB_REPOSITORY", REPOSITORY).input("token", TOKEN)
}

#[test]
fn a_release_passes_staging_then_production_and_goes_back_without_a_registry() {
    let mut bed = Bed::new("life");
    let github = FakeGitHub::start();
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let first = bed.release(1, (&one, 1), (&one, 1));

    let run = bed.deploy(&first, "staging").input("dry-run", "true").run();
    let run = run.ended(0, "dry run: nothing was changed");
    assert!(run.stdout.contains("create network") && run.stdout.contains("create `web`"), "{}", run.stdout);
    bed.deploy(&first, "production").run().ended(3, "the deployment evidence of `staging` is missing");
    assert_eq!(bed.services(), Vec::<String>::new());

    let run = told(bed.deploy(&first, "staging"), &github).run().ended(0, "1.1.0 serves in staging");
    assert_eq!(run.outputs["previous"], "");
    assert!(
        run.outputs["digests"].contains(one.digest.as_str()) && run.summary.contains("1.1.0"),
        "{run:#?}"
    );
    for kind in [Kind::Deployment, Kind::Smoke] {
        let found = bed.evidence(&first, kind, "staging").unwrap();
        assert_eq!(found.verdict, Verdict::Pass, "{found:?}");
    }
    let told_of = &github.deployments()[0];
    assert_eq!(told_of.states(), ["in_progress", "success"]);
    assert!(told_of.body.to_string().contains(one.digest.as_str()), "{}", told_of.body);
    assert_eq!(github.refused(), Vec::<String>::new());
    assert_eq!((bed.pointer("staging"), bed.pointer("production")), (Some(first.clone()), None));

    bed.deploy(&first, "production").run().ended(0, "1.1.0 runs in production");
    unchanged_and_second(&mut bed, &first, &two);
    back_without_a_registry(&mut bed, &first, &github);
}

/// The same release again keeps every task; the next one replaces what changed.
fn unchanged_and_second(bed: &mut Bed, first: &Digest, two: &ImageRef) {
    let kept = (bed.containers("api"), bed.containers("web"), bed.containers("db"));
    let run = bed.deploy(first, "staging").input("json", "true").run().ended(0, "1.1.0 serves in staging");
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&said["verdict"], &said["watched"]), (&json!("pass"), &Value::Null));
    assert!(said["changes"].to_string().contains("keep `api`"), "{said}");
    assert_eq!((bed.containers("api"), bed.containers("web"), bed.containers("db")), kept);

    // It fails its checks although nothing changed: there is nothing to take back, and that is what is said.
    let other = bed.config().replace("state: fine", "state: other");
    let step = |config: &str| {
        Step::new("deploy", config).input("environment", "staging").input("release", first.as_str())
    };
    step(&other).run().ended(1, "; nothing had changed, so nothing was taken back");
    let manual = other.replacen("    timeout: 30s", "    rollback: manual\n    timeout: 30s", 1);
    step(&manual)
        .run()
        .ended(1, "; nothing was rolled back, `deploy-promote rollback --environment staging`");
    assert_eq!(bed.pointer("staging"), Some(first.clone()));
    assert_eq!((bed.containers("api"), bed.containers("web"), bed.containers("db")), kept);

    let second = bed.release(2, (two, 2), (two, 2));
    let run = bed.deploy(&second, "staging").run().ended(0, "1.2.0 serves in staging");
    assert_eq!(run.outputs["previous"], first.as_str());
    let timings: BTreeMap<String, u64> = serde_json::from_str(&run.outputs["timings"]).unwrap();
    let parts = ["prepareMs", "hooksMs", "rolloutMs", "verifyMs"].map(|part| timings[part]);
    // Each of two services is watched for a second.
    assert!(parts[2] >= 2000 && parts.iter().sum::<u64>() <= timings["totalMs"], "{timings:?}");
    let watch = &bed.evidence(&second, Kind::Deployment, "staging").unwrap().details["watch"];
    assert!(
        watch["scheduled"].as_u64() >= Some(3) && watch["revisions"][0]["revision"] == commit(1),
        "{watch}"
    );
    assert!(run.summary.contains("While it rolled out: "), "{}", run.summary);
    assert_eq!(bed.pointer("staging"), Some(second.clone()));
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.2.0"]);
    assert_eq!(bed.containers("db"), kept.2);
    let run = bed.step("status", "staging").run().ended(0, "1.2.0 serves");
    assert!(run.stdout.contains("api: 1.2.0 since ") && run.stdout.contains("1 running"), "{}", run.stdout);
    let run = bed.step("status", "staging").input("json", "true").run();
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["services"][0]["stamp"]["version"], "1.2.0");
    assert_eq!(said["services"][0]["previous"]["version"], "1.1.0");
}

/// The way back, once; GitHub is told of it.
fn back_without_a_registry(bed: &mut Bed, first: &Digest, github: &FakeGitHub) {
    bed.stop_registry();
    let run = bed.step("rollback", "staging").input("dry-run", "true").run().ended(0, "dry run");
    assert!(run.stdout.contains("return `api`"), "{}", run.stdout);
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.2.0"]);
    told(bed.step("rollback", "staging"), github).run().ended(0, "1.1.0 serves in staging again");
    let records = github.deployments();
    assert_eq!(records.len(), 2, "{records:?}");
    let back = records.iter().find(|record| record.states() == ["in_progress", "success"]).unwrap();
    assert!(back.body.to_string().contains(first.as_str()), "{}", back.body);
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);
    let run = bed.step("rollback", "staging").run().ended(1, "remembers no good release before it");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves; `rollback --to` reaches 1.2.0"), "{run:#?}");
    bed.deploy(first, "staging").run().ended(3, "");
}

#[test]
fn a_release_that_never_gets_ready_is_taken_back_as_a_whole() {
    let mut bed = Bed::new("sick");
    let github = FakeGitHub::start();
    let (one, two, sick) = (bed.image(1, "good"), bed.image(2, "good"), bed.image(2, "sick"));
    let first = bed.release(1, (&one, 1), (&one, 1));
    bed.deploy(&first, "staging").run().ended(0, "1.1.0 serves in staging");
    let kept = bed.containers("web");
    let second = bed.release(2, (&two, 2), (&sick, 2));
    let run = told(bed.deploy(&second, "staging"), &github).run().ended(1, "rolled back: `web`");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert_eq!(run.outputs["verdict"], "fail");
    assert!(run.outputs["cause"].contains("health"), "{run:#?}");
    let serves = &run.outputs["digests"];
    assert!(serves.contains(one.digest.as_str()) && !serves.contains(sick.digest.as_str()), "{serves}");
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);
    assert_eq!(bed.containers("web"), kept);
    let image = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
    assert_eq!(bed.inspect("api", image), one.to_string());
    assert_eq!(bed.evidence(&second, Kind::Deployment, "staging").unwrap().verdict, Verdict::Fail);
    assert_eq!(github.deployments()[0].states(), ["in_progress", "failure"]);
    bed.deploy(&second, "production").run().ended(1, "the deployment evidence of `staging` says fail");
    bed.step("status", "staging").run().ended(0, "1.1.0 serves");
}

#[test]
fn a_release_that_fails_its_checks_is_taken_back_and_tells_no_secret() {
    let mut bed = Bed::new("smoke");
    let (one, broken) = (bed.image(1, "good"), bed.image(2, "broken"));
    let first = bed.release(1, (&one, 1), (&one, 1));
    let secret = |step: Step| step.var("SHIPKIT_ENV", "# ours\nCANARY=\"s3cret-canary\"\n");
    let config =
        bed.config().replace("{context: api}", "{context: api}\n    environment: {CANARY: \"${CANARY}\"}");
    let step = |release: &Digest| {
        secret(
            Step::new("deploy", &config).input("environment", "staging").input("release", release.as_str()),
        )
    };
    let run = step(&first).run().ended(0, "1.1.0 serves");
    assert!(!run.everything().contains("s3cret"), "{run:#?}");

    let second = bed.release(2, (&broken, 2), (&broken, 2));
    let run = step(&second).run().ended(1, "rolled back: ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert!(!run.everything().contains("s3cret"), "{run:#?}");
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);
    let smoke = bed.evidence(&second, Kind::Smoke, "staging").unwrap();
    assert_eq!(smoke.verdict, Verdict::Fail);
    assert!(!format!("{smoke:?}").contains("s3cret"), "{smoke:?}");

    let crash = bed.image(3, "crash");
    let third = bed.release(3, (&crash, 3), (&one, 1));
    let run = step(&third).run().ended(1, "rolled back: `api`");
    assert!(run.stderr.contains("CANARY is ***"), "{}", run.stderr);
    assert!(!run.everything().contains("s3cret"), "{run:#?}");
}

/// A deploy that is cancelled as soon as `api` changes.
fn cancel(bed: &Bed, release: &Digest, image: &ImageRef) -> Transcript {
    let step = bed.deploy(release, "staging");
    let child = step.start();
    let format = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
    soon("it never began", || bed.inspect("api", format) == image.to_string());
    terminate(&child);
    step.finish(child).ended(143, "cancelled by SIGTERM: in the middle of a rollout; ")
}

#[test]
fn a_cancelled_deploy_says_what_serves_and_the_next_one_finishes_it() {
    let mut bed = Bed::new("cancel");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let first = bed.release(1, (&one, 1), (&one, 1));
    // GitHub's answers are only a warning: the deploy goes on.
    let github = FakeGitHub::start();
    let gone = github.url();
    drop(github);
    let run = bed.deploy(&first, "staging").var("GITHUB_API_URL", &gone).input("token", TOKEN).run();
    let run = run.ended(0, "1.1.0 serves in staging");
    assert!(run.stderr.contains("::warning title=no deployment record at GitHub"), "{}", run.stderr);

    let second = bed.release(2, (&two, 2), (&two, 2));
    let run = cancel(&bed, &second, &two);
    assert!(run.outputs["cause"].contains("`api` changes to 1.2.0"), "{run:#?}");
    assert!(run.outputs["cause"].contains("deploy-promote rollback --environment staging"), "{run:#?}");
    assert_eq!(run.outputs["verdict"], "inconclusive");

    // What the cancelled run left is taken back as well when the next one fails.
    let other = bed.config().replace("state: fine", "state: other");
    let step = Step::new("deploy", &other).input("environment", "staging").input("release", second.as_str());
    let run = step.run().ended(1, "rolled back: ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);
    left_and_finished(&bed, &second, &two);
}

/// Cancelled again, and this time the next run finishes it.
fn left_and_finished(bed: &Bed, second: &Digest, two: &ImageRef) {
    cancel(bed, second, two);
    let run = bed.deploy(second, "staging").run().ended(0, "1.2.0 serves in staging");
    assert!(run.stderr.contains("was left by a deploy that did not finish"), "{}", run.stderr);
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.2.0"]);
    let format = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
    assert_eq!(bed.inspect("web", format), two.to_string());
}

#[test]
fn missing_secrets_are_all_named_and_a_first_release_that_crashes_leaves_no_service() {
    let mut bed = Bed::new("first");
    let (good, crash) = (bed.image(1, "good"), bed.image(1, "crash"));
    let first = bed.release(1, (&good, 1), (&crash, 1));
    let wants = bed.config().replacen("    timeout: 30s", "    secrets: [b, a]\n    timeout: 30s", 1);
    let step = Step::new("deploy", &wants).input("environment", "staging");
    let named = format!("secrets do not exist on the Swarm: `{0}_a`, `{0}_b`", bed.stack);
    step.input("release", first.as_str()).run().ended(2, &named);
    assert_eq!(bed.services(), Vec::<String>::new());

    let run = bed.deploy(&first, "staging").run().ended(1, "; no release of shipkit serves");
    assert!(run.outputs["cause"].starts_with("rolled back: `web` keeps failing"), "{run:#?}");
    assert_eq!(bed.services(), Vec::<String>::new());
    let run = bed.step("rollback", "staging").run().ended(1, "holds nothing that shipkit deployed");
    assert_eq!(run.outputs["verdict"], "fail");
    let run = bed.step("status", "staging").run().ended(0, "no release of shipkit serves");
    assert_eq!(run.stdout, format!("{}: no services\n", bed.stack));
}
