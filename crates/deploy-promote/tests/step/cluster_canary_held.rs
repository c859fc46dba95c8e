//! A canary that stays at a step because it could not be found out whether that went well, and one whose old slot is scaled
//! meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use shipkit_core::Digest;
use shipkit_tests::server::door::Door;
use shipkit_tests::server::gate::Moment;

use crate::bed::{Step, Transcript};
use crate::cluster::{Shop, step_as};
use crate::cluster_canary::{begun, check_back, config, config_with, deploy, sight, step, watched};
use crate::cluster_manifests::{empty, is_change};
use crate::cluster_runs::check_closed;
use crate::cluster_slots::{both, deployments, manifests, slots, version};
use crate::kills::{kill_at, numbers};

/// A deploy whose gates find out nothing: the environment has a name that nobody has.
fn unknown(shop: &Shop, release: &Digest, more: &str) -> Step {
    let url = format!("url: http://shop.invalid\n    smoke: [{{get: /up, retries: 0}}]\n    {more}strategy:");
    let config = config(shop).replacen("strategy:", &url, 1);
    let step = step_as("deploy", &config).file("k8s.yaml", &manifests(shop, "a"));
    // It is asked again until the time is over.
    step.input("release", release.as_str()).input("timeout", "12s")
}

fn held(shop: &Shop, release: &Digest) -> Transcript {
    let run = unknown(shop, release, "").run().ended(3, "at the step of 25 %: ");
    assert_eq!(sight(shop), ("both".to_owned(), Some(3), Some(1)), "{run:#?}");
    run
}

#[test]
fn a_step_of_which_nothing_is_found_out_is_held_or_goes_back_as_the_environment_says() {
    let shop = begun("dc-unknown");
    let two = shop.release(2, None);
    let run = held(&shop, &two);
    for part in [
        "`Service/shop-api` sends 75 % to 1.1.0 and 25 % to 1.2.0 of its requests",
        "; deploy again to go on from there; ",
        "`deploy-promote rollback --environment staging` does it",
    ] {
        assert!(run.outputs["cause"].contains(part), "{part}: {run:#?}");
    }
    let run = step(&shop, "rollback").run().ended(0, "1.1.0 serves in staging again");
    check_back(&shop, &run);

    let run = unknown(&shop, &two, "on_inconclusive: rollback\n    ").run();
    let run = run.ended(3, "rolled back: at the step of 25 %: ");
    check_back(&shop, &run);

    held(&shop, &two);
    let (run, seen) = watched(&shop, deploy(&shop, &two), |_, _| {});
    run.ended(0, "1.2.0 runs in staging");
    assert!(seen.iter().all(|(slot, ..)| slot != "blue"), "{seen:#?}");
    assert_eq!(slots(&shop), both("green"));
}

#[test]
fn another_release_over_a_held_one_begins_at_the_first_step_and_goes_back_to_the_good_one() {
    let shop = begun("dc-third");
    let (two, three) = (shop.release(2, None), shop.release(3, None));
    held(&shop, &two);
    let (run, seen) = watched(&shop, unknown(&shop, &three, ""), |_, _| {});
    run.ended(3, "at the step of 25 %: ");
    // While its pods come, nobody is sent there.
    assert!(seen.iter().any(|(slot, ..)| slot == "blue"), "{seen:#?}");
    assert!(seen.iter().all(|(_, old, _)| *old == Some(3)), "{seen:#?}");
    assert_eq!((sight(&shop).0.as_str(), version(&shop, "web-green").as_str()), ("both", "1.3.0"));
    let run = step(&shop, "rollback").run().ended(0, "1.1.0 serves in staging again");
    check_back(&shop, &run);
}

#[test]
fn steps_count_with_the_pods_that_an_autoscaler_has_added_to_the_old_slot_meanwhile() {
    let shop = empty("dc-scale");
    let text = format!(
        "{}---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: web}}\nspec: {{minReplicas: 1, maxReplicas: 9, \
         scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}}}\n",
        manifests(&shop, "a")
    );
    let deploy = |digit| deploy(&shop, &shop.release(digit, None)).file("k8s.yaml", &text);
    deploy(1).run().ended(0, "1.1.0 runs in staging");
    let mut is_scaled = false;
    let (run, _) = watched(&shop, deploy(2), |slot, _| {
        if slot == "both" && !is_scaled {
            shop.namespace.merge("Deployment", "web-blue", &json!({"spec": {"replicas": 4}}));
            is_scaled = true;
        }
    });
    let run = run.ended(0, "1.2.0 runs in staging");
    assert!(run.stderr.contains("`Deployment/web-green` has 4 beside 4 (50 %)"), "{}", run.stderr);
    assert!(deployments(&shop).contains(&"web-green 4".to_owned()), "{:?}", deployments(&shop));
}

#[test]
fn a_service_that_selects_by_other_labels_refuses_steps_before_anything_changes() {
    let shop = begun("dc-labels");
    let text = manifests(&shop, "a").replace("{app: web}", "{app: site}");
    let step = |command: &str| {
        let step = step(&shop, command).file("k8s.yaml", &text);
        step.input("release", shop.release(2, None).as_str())
    };
    let why = "`Service/web` selects by other labels than before, so it could not send a share of its requests to \
               `Deployment/web-green`";
    for run in [step("check"), step("deploy").input("dry-run", "true"), step("deploy")] {
        let run = run.run().ended(2, why);
        check_back(&shop, &run);
    }
    let shifted = step_as("deploy", &config_with(&shop, "strategy: blue-green")).file("k8s.yaml", &text);
    shifted.input("release", shop.release(2, None).as_str()).run().ended(0, "1.2.0 runs in staging");
    assert_eq!(slots(&shop), both("green"));
}

#[test]
fn the_role_for_manifests_suffices_for_steps_and_for_the_way_back() {
    let shop = begun("dc-role");
    let user = shop.user_of("role-manifests.yaml", "shipkit-manifests");
    let (two, three) = (shop.release(2, None), shop.release(3, None));
    let run = |step: Step| step.input("kubeconfig", &user).run();
    run(unknown(&shop, &two, "")).ended(3, "at the step of 25 %: ");
    run(step(&shop, "status")).ended(0, "");
    run(deploy(&shop, &two)).ended(0, "1.2.0 runs in staging");
    run(unknown(&shop, &three, "on_inconclusive: rollback\n    ")).ended(3, "rolled back: at the step");
    run(step(&shop, "rollback")).ended(1, "; `rollback --to` reaches 1.1.0");
    run(step(&shop, "rollback").input("to", "1.1.0")).ended(0, "1.1.0 serves in staging again");
    assert_eq!(slots(&shop), both("blue"));
}

/// A release is held at its first step, and its rollback killed at one more of its changes.
fn killed_on_the_way_back(name: &str, moment: Moment, then: &str, samples: &[usize]) {
    let (shop, door) = (begun(name), Door::open(""));
    let two = shop.release(2, None);
    let through = |command: &str| step(&shop, command).input("kubeconfig", &door.kubeconfig());
    let all = numbers(0);
    for number in if all.len() == 1 { samples.to_vec() } else { all } {
        held(&shop, &two);
        let seen = AtomicUsize::new(0);
        let is_it =
            move |request: &str| is_change(request) && seen.fetch_add(1, Ordering::SeqCst) + 1 == number;
        let stopped = door.gate().hold_first(is_it, moment);
        let Some(change) = kill_at(&through("rollback"), &stopped) else {
            assert!(samples.iter().all(|sample| *sample < number), "it ends before its change {number}");
            break;
        };
        drop(stopped);
        shop.lease_ends();
        let run = through(then).run();
        let at =
            format!("killed {moment:?} change {number}, {change}: {run:#?}, {:#?}", door.gate().changes());
        // One that has not written that it goes back has not begun, and one that was at its end leaves nothing to do.
        if sight(&shop).0 == "both" {
            through("rollback").run().ended(0, "1.1.0 serves in staging again");
        } else {
            assert!(run.exit == Some(0) || then == "rollback", "{at}");
        }
        assert_eq!(slots(&shop), both("blue"), "{at}");
        assert_eq!(deployments(&shop), ["cache 1", "shop-api-blue 3", "web-blue 1"], "{at}");
        check_closed(&shop);
    }
}

#[test]
fn a_way_back_from_a_step_that_is_killed_before_any_change_is_finished_by_the_next_one() {
    killed_on_the_way_back("dc-backa", Moment::Before, "rollback", &[4, 12]);
}

#[test]
fn a_way_back_from_a_step_that_is_killed_after_any_change_is_finished_by_reconcile() {
    killed_on_the_way_back("dc-backb", Moment::After, "reconcile", &[3, 5]);
}
