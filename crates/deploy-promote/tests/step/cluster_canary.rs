//! Canary in a namespace of a real control plane: requests go from one slot to the other in steps.

use serde_json::json;
use shipkit_core::Digest;
use shipkit_tests::breathe;
use shipkit_tests::server::gate::Moment;
use shipkit_tests::server::kubernetes::Fate;

use crate::bed::{Step, Transcript};
use crate::cluster::{Shop, step_as};
use crate::cluster_manifests::{self as rolling, empty};
use crate::cluster_slots::{both, deployments, killed_at_every_change, manifests, selector, slots, version};
use crate::front::Front;
use crate::kills::Then;

/// The configuration with another strategy.
pub(crate) fn config_with(shop: &Shop, strategy: &str) -> String {
    rolling::config(shop).replacen("timeout: 60s", &format!("timeout: 60s\n    {strategy}"), 1)
}

pub(crate) fn config(shop: &Shop) -> String {
    config_with(shop, "strategy: canary\n    canary: {steps: [25%, 50%], interval: 1s}")
}

pub(crate) fn step(shop: &Shop, command: &str) -> Step {
    step_as(command, &config(shop)).file("k8s.yaml", &manifests(shop, "a"))
}

pub(crate) fn deploy(shop: &Shop, release: &Digest) -> Step {
    step(shop, "deploy").input("release", release.as_str())
}

/// Who gets requests, and the pods of the first and the second slot.
pub(crate) type Sight = (String, Option<u64>, Option<u64>);

/// Which slot the Service of the api sends requests to, and how many pods each of them should have.
pub(crate) fn sight(shop: &Shop) -> Sight {
    let selector = selector(shop, "shop-api");
    let slot = if selector["shipkit.dev/slotted"] == "true" { "both" } else { "" };
    let slot = selector["shipkit.dev/slot"].as_str().unwrap_or(slot).to_owned();
    let size = |slot: &str| {
        let found = shop.namespace.find("Deployment", &format!("shop-api-{slot}"));
        found.and_then(|found| found["spec"]["replicas"].as_u64())
    };
    (slot, size("blue"), size("green"))
}

/// Runs a step, and gives all that was seen meanwhile, each once. `tell` is told it, too.
pub(crate) fn watched(
    shop: &Shop,
    step: Step,
    mut tell: impl FnMut(&str, Option<u64>),
) -> (Transcript, Vec<Sight>) {
    let mut child = step.start();
    let mut seen = vec![sight(shop)];
    while child.try_wait().unwrap().is_none() {
        let now = sight(shop);
        tell(&now.0, now.2);
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        breathe();
    }
    (step.finish(child), seen)
}

/// Release 1.1.0 serves from the first slot.
pub(crate) fn begun(name: &str) -> Shop {
    let shop = empty(name);
    let run = deploy(&shop, &shop.release(1, None)).run().ended(0, "1.1.0 runs in staging");
    assert!(!run.stderr.contains("step of"), "{}", run.stderr);
    assert_eq!(slots(&shop), both("blue"));
    shop
}

/// Everybody is sent to the first slot, which has all of its pods; the second has none.
#[track_caller]
pub(crate) fn check_back(shop: &Shop, run: &Transcript) {
    assert_eq!(slots(shop), both("blue"), "{run:#?}");
    assert_eq!(deployments(shop), ["cache 1", "shop-api-blue 3", "web-blue 1"], "{run:#?}");
}

#[test]
fn requests_come_in_steps_and_the_old_pods_all_stay_until_the_last() {
    let shop = begun("dc-steps");
    let two = shop.release(2, None);
    shop.namespace.merge("Deployment", "web-blue", &json!({"spec": {"replicas": 4}}));
    let run = deploy(&shop, &two).input("dry-run", "true").run().ended(0, "dry run");
    for line in [
        "`Deployment/shop-api-green` gets requests in steps: pods 1 beside 3 (25 %), 3 beside 3 (50 %), then 3 and all requests",
        "`Deployment/web-green` gets requests in steps: pods 2 beside 4 (33 %), 4 beside 4 (50 %), then 4 and all requests",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
    let mut statuses = Vec::new();
    let (run, seen) = watched(&shop, deploy(&shop, &two), |slot, pods| {
        if slot == "both" && pods == Some(1) && statuses.is_empty() {
            statuses.push(step(&shop, "status").run());
        }
    });
    run.ended(0, "1.2.0 runs in staging");
    let expected = [
        ("blue", 3, None),
        ("blue", 3, Some(1)),
        ("both", 3, Some(1)),
        ("both", 3, Some(3)),
        ("green", 3, Some(3)),
        ("green", 0, Some(3)),
    ];
    let expected = expected.map(|(slot, old, new)| (slot.to_owned(), Some(old), new));
    assert!(expected.ends_with(&seen[seen.len().saturating_sub(1)..]), "{seen:#?}");
    assert!(seen.iter().all(|one| expected.contains(one)), "{seen:#?}");
    assert!(expected[2..4].iter().all(|one| seen.contains(one)), "{seen:#?}");
    assert!(seen.is_sorted_by_key(|one| expected.iter().position(|other| other == one)), "{seen:#?}");
    let share = "`Service/shop-api` sends 75 % to 1.1.0 and 25 % to 1.2.0 of its requests";
    assert!(statuses[0].stdout.contains(share), "{statuses:#?}");
    assert!(!statuses[0].stdout.contains("changed since"), "{statuses:#?}");
    let there = ["cache 1", "shop-api-blue 0", "shop-api-green 3", "web-blue 0", "web-green 4"];
    assert_eq!(deployments(&shop), there);
    // Nothing is left to do, nothing is taken for somebody's change, and the way back has no steps.
    let run = deploy(&shop, &two).input("dry-run", "true").run().ended(0, "dry run");
    assert!(!run.stdout.contains("Deployment/") && !run.stdout.contains("Service/"), "{}", run.stdout);
    let run = step(&shop, "status").run().ended(0, "1.2.0 serves");
    assert!(!run.stdout.contains("changed since") && !run.stdout.contains(" % to "), "{}", run.stdout);
    let (run, seen) = watched(&shop, step(&shop, "rollback"), |_, _| {});
    run.ended(0, "1.1.0 serves in staging again");
    assert!(seen.iter().all(|(slot, ..)| slot != "both"), "{seen:#?}");
    assert_eq!(slots(&shop), both("blue"));
}

#[test]
fn a_release_that_fails_at_a_step_goes_back_and_the_old_pods_never_were_fewer() {
    let shop = begun("dc-fails");
    let two = shop.release(2, None);
    let image = shop.image("web", 2).digest;
    // Some end while they should stay, or those that come with the next step never get ready.
    let (run, seen) = watched(&shop, deploy(&shop, &two), |slot, _| {
        if slot == "both" {
            shop.namespace.will(image.as_str(), Fate::Crash(3));
            shop.namespace.will(shop.image("api", 2).digest.as_str(), Fate::Crash(3));
        }
    });
    let run = run.ended(1, "rolled back: ");
    assert!(run.outputs["cause"].contains("ended with exit code 3"), "{run:#?}");
    assert!(seen.iter().any(|(slot, ..)| slot == "both"), "{seen:#?}");
    assert!(seen.iter().all(|(_, old, _)| *old == Some(3)), "{seen:#?}");
    check_back(&shop, &run);
}

/// The same configuration where the environment answers at an address, and what is asked there.
pub(crate) fn asking(shop: &Shop, front: &Front, more: &str) -> String {
    let url = format!("url: http://{}\n    smoke: [{{get: /up}}]\n    {more}strategy:", front.host());
    config(shop).replacen("strategy:", &url, 1)
}

#[test]
fn a_step_after_which_the_environment_answers_badly_goes_back_and_one_that_may_not_go_back_is_held() {
    let shop = begun("dc-holds");
    let two = shop.release(2, None);
    let bad =
        Front::start(|path| if path == "/up" { (500, "{}".to_owned()) } else { (200, "{}".to_owned()) });
    let asked = |front: &Front, more: &str| {
        let step = step_as("deploy", &asking(&shop, front, more)).file("k8s.yaml", &manifests(&shop, "a"));
        step.input("release", two.as_str())
    };
    let run = asked(&bad, "").run().ended(1, "rolled back: at the step of 25 %: ");
    check_back(&shop, &run);

    // Nobody goes back by himself here, so it stays where it is.
    let run = asked(&bad, "rollback: none\n    ").run().ended(1, "at the step of 25 %: ");
    let cause = &run.outputs["cause"];
    let share = "`Service/shop-api` sends 75 % to 1.1.0 and 25 % to 1.2.0 of its requests";
    assert!(cause.contains(share) && cause.contains("; deploy again to go on from there; "), "{cause}");
    assert_eq!(sight(&shop), ("both".to_owned(), Some(3), Some(1)));
    let (run, seen) = watched(&shop, deploy(&shop, &two), |_, _| {});
    run.ended(0, "1.2.0 runs in staging");
    assert_eq!(seen[0], ("both".to_owned(), Some(3), Some(1)));
    assert!(seen.iter().all(|(slot, ..)| slot != "blue"), "{seen:#?}");
    assert_eq!(slots(&shop), both("green"));

    let three = shop.release(3, None);
    asked(&bad, "rollback: none\n    ")
        .input("release", three.as_str())
        .run()
        .ended(1, "at the step of 25 %: ");
    assert_eq!(sight(&shop).0, "both");
    step(&shop, "rollback").run().ended(0, "1.2.0 serves in staging again");
    assert_eq!((slots(&shop), sight(&shop).1), (both("green"), None));
    assert_eq!(version(&shop, "web-green"), "1.2.0");
}

#[test]
fn from_rolling_and_from_blue_green_to_canary_and_back() {
    let shop = empty("dc-ways");
    let releases = [1, 2, 3, 4].map(|digit| shop.release(digit, None));
    let text = manifests(&shop, "a");
    let with = |config: &str, which: usize| {
        step_as("deploy", config).file("k8s.yaml", &text).input("release", releases[which - 1].as_str())
    };
    let blue_green = config_with(&shop, "strategy: blue-green");
    let rolled = rolling::config(&shop);
    with(&rolled, 1).run().ended(0, "1.1.0 runs in staging");
    // What has no slot cannot be told from what has one.
    let run = with(&config(&shop), 2).run().ended(0, "1.2.0 runs in staging");
    assert!(!run.stderr.contains("step of"), "{}", run.stderr);
    let run = with(&blue_green, 3).run().ended(0, "1.3.0 runs in staging");
    assert!(!run.stderr.contains("step of") && slots(&shop) == both("green"), "{}", run.stderr);
    let run = with(&config(&shop), 4).run().ended(0, "1.4.0 runs in staging");
    assert!(
        run.stderr.contains("step of 25 %: `Deployment/shop-api-blue` has 1 beside 3 (25 %)"),
        "{run:#?}"
    );
    assert_eq!(slots(&shop), both("blue"));
    with(&rolled, 1).run().ended(0, "1.1.0 runs in staging");
    assert_eq!(deployments(&shop), ["cache 1", "shop-api 3", "web 1"]);
    assert_eq!(selector(&shop, "web"), json!({"app": "web"}));
}

#[test]
fn steps_are_for_manifests_and_for_all_that_has_slots() {
    let shop = empty("dc-refuse");
    let one = shop.release(1, None);
    let without = shop.config().replacen("timeout: 60s", "timeout: 60s\n    strategy: canary", 1);
    let run = step_as("deploy", &without).input("release", one.as_str()).run();
    run.ended(2, "`strategy: canary` without `target.manifests`");
    let two_ways =
        config(&shop).replacen("build: {context: web}", "build: {context: web}\n    strategy: blue-green", 1);
    let step = step_as("deploy", &two_ways).file("k8s.yaml", &manifests(&shop, "a"));
    step.input("release", one.as_str()).run().ended(2, "all services with slots change them together");
    assert_eq!(deployments(&shop), Vec::<String>::new());
}

pub(crate) fn quick(shop: &Shop) -> String {
    config(shop).replacen("interval: 1s", "interval: 0s", 1)
}

#[test]
fn steps_that_are_killed_before_any_change_are_gone_on_with_by_the_next_deploy() {
    killed_at_every_change(
        &empty("dc-killa"),
        (quick, manifests),
        ("deploy", Moment::Before, Then::Again),
        &[10, 13],
        |_| {},
    );
}

#[test]
fn steps_that_are_killed_after_any_change_are_finished_by_reconcile() {
    killed_at_every_change(
        &empty("dc-killb"),
        (quick, manifests),
        ("deploy", Moment::After, Then::Reconcile),
        &[9, 11, 14],
        |_| {},
    );
}
