//! Canary by weights of the Gateway API, in a namespace of a real control plane. Its kind has the fields and defaults that matter, and
//! the test is the gateway: it says of each route what it sees, and whether it carries that out.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_tests::breathe;
use shipkit_tests::server::gate::Moment;

use crate::bed::{Step, Transcript};
use crate::cluster::{Shop, step_as};
use crate::cluster_canary::{asking, config, quick};
use crate::cluster_manifests::empty;
use crate::cluster_slots::{both, deployments, killed_at_every_change, manifests, slots};
use crate::front::Front;
use crate::kills::Then;

/// The kind of routes: what shipkit writes is checked by the API server, lists are replaced as a whole, and weights have a default.
fn define(shop: &Shop) {
    static DEFINED: Once = Once::new();
    DEFINED.call_once(|| {
        let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let list = |items: &Value| json!({"type": "array", "items": items});
        let backend = json!({
            "type": "object", "required": ["name"],
            "properties": {
                "group": {"type": "string", "default": ""}, "kind": {"type": "string", "default": "Service"},
                "name": {"type": "string", "minLength": 1}, "namespace": {"type": "string"},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "weight": {"type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 1},
            },
        });
        let rule = json!({"type": "object", "properties": {
            "backendRefs": {"type": "array", "items": backend, "maxItems": 16}, "matches": list(&free), "filters": list(&free),
        }});
        let spec = json!({"type": "object", "properties": {"parentRefs": list(&free), "rules": list(&rule)}});
        let status = json!({"type": "object", "properties": {"parents": list(&free)}});
        let schema = json!({"type": "object", "properties": {"spec": spec, "status": status}});
        shop.namespace.define(&json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {
                "name": "httproutes.gateway.networking.k8s.io",
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
            },
            "spec": {
                "group": "gateway.networking.k8s.io", "scope": "Namespaced",
                "names": {"kind": "HTTPRoute", "plural": "httproutes"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        }));
    });
}

/// A route for visitors of `web`; `api` gets its requests from there.
fn files(shop: &Shop, greeting: &str) -> String {
    let route = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: shop}\nspec:\n  parentRefs: [{name: edge}]\n  \
                 rules: [{backendRefs: [{name: web, port: 80}]}]\n";
    manifests(shop, greeting) + route
}

fn step(shop: &Shop, command: &str) -> Step {
    step_as(command, &config(shop)).file("k8s.yaml", &files(shop, "a"))
}

fn deploy(shop: &Shop, release: &Digest) -> Step {
    step(shop, "deploy").input("release", release.as_str())
}

/// The backends of the route: weight, name, and the slot that this Service means.
fn sight(shop: &Shop) -> String {
    let Some(route) = shop.namespace.find("HTTPRoute", "shop") else { return String::new() };
    let refs = route["spec"]["rules"][0]["backendRefs"].as_array().unwrap();
    let one = |one: &Value| {
        let name = one["name"].as_str().unwrap();
        let service = shop.namespace.find("Service", name).unwrap_or_default();
        format!(
            "{} % to {name}, {}",
            one["weight"],
            service["spec"]["selector"]["shipkit.dev/slot"].as_str().unwrap_or("nothing")
        )
    };
    refs.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Says of the route, as it is now, that it is carried out; one that does so `unweighed` alone says otherwise of weights.
fn carry(shop: &Shop, unweighed: bool) {
    let Some(route) = shop.namespace.find("HTTPRoute", "shop") else { return };
    let refuses = unweighed && route["metadata"]["annotations"]["shipkit.dev/canary"].is_string();
    let condition = |name: &str, status: &str| {
        json!({
            "type": name, "status": status, "observedGeneration": route["metadata"]["generation"],
            "reason": "Played", "message": "as the test says", "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions =
        [condition("Accepted", "True"), condition("ResolvedRefs", if refuses { "False" } else { "True" })];
    let parents = json!([{"parentRef": {"name": "edge"}, "controllerName": "shipkit.test/gateway", "conditions": conditions}]);
    if route["status"]["parents"] != parents {
        shop.namespace.set_status("HTTPRoute", "shop", &json!({"status": {"parents": parents}}));
    }
}

/// Runs a step while a gateway carries out the route, with its weights or without. Gives all that was seen, each once.
fn carried(shop: &Shop, step: Step, unweighed: bool) -> (Transcript, Vec<String>) {
    let mut child = step.start();
    let mut seen = vec![sight(shop)];
    while child.try_wait().unwrap().is_none() {
        let now = sight(shop);
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        carry(shop, unweighed);
        breathe();
    }
    (step.finish(child), seen)
}

/// Release 1.1.0 serves from the first slot. No gateway has said anything about the route yet, and nobody asks.
fn begun(name: &str) -> Shop {
    let shop = empty(name);
    define(&shop);
    deploy(&shop, &shop.release(1, None)).run().ended(0, "1.1.0 runs in staging");
    assert_eq!((slots(&shop), sight(&shop)), (both("blue"), "1 % to web, blue".to_owned()));
    shop
}

/// What was seen came in this order, some of it too short to be seen.
#[track_caller]
fn check_order(seen: &[String], expected: &[&str]) {
    let at = |one: &String| expected.iter().position(|other| other == one);
    assert!(seen.iter().all(|one| at(one).is_some()) && seen.is_sorted_by_key(at), "{seen:#?}");
}

const FIRST: &str = "75 % to web, blue; 25 % to web-canary, green";

#[test]
fn a_route_weighs_the_slots_and_is_in_the_end_as_it_was() {
    let shop = begun("dg-weighs");
    let two = shop.release(2, None);
    let run = deploy(&shop, &two).input("dry-run", "true").run().ended(0, "dry run");
    for line in [
        "`Deployment/shop-api-green` gets requests in steps: pods 1 beside 3 (25 %), 3 beside 3 (50 %), then 3 and all requests",
        "`Deployment/web-green` gets requests in steps: 1 beside 1, 25 %, 50 % by weight, then all requests",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
    let (run, seen) = carried(&shop, deploy(&shop, &two), false);
    run.ended(0, "1.2.0 runs in staging");
    let steps = [
        "1 % to web, blue",
        FIRST,
        "50 % to web, blue; 50 % to web-canary, green",
        "50 % to web, green; 50 % to web-canary, green",
        "1 % to web, green",
    ];
    check_order(&seen, &steps);
    assert!([1, 2].iter().all(|step| seen.contains(&steps[*step].to_owned())), "{seen:#?}");
    assert_eq!((slots(&shop), sight(&shop)), (both("green"), steps[4].to_owned()));
    let route = shop.namespace.get("HTTPRoute", "shop");
    assert_eq!(route["metadata"]["annotations"], Value::Null, "{route:#}");
    assert!(!shop.namespace.names("Service").contains(&"web-canary".to_owned()));
    // Nothing is left to do, and nothing is taken for somebody's change.
    let run = deploy(&shop, &two).input("dry-run", "true").run().ended(0, "dry run");
    assert!(!run.stdout.contains("HTTPRoute/") && !run.stdout.contains("Service/"), "{}", run.stdout);
    let run = step(&shop, "status").run().ended(0, "1.2.0 serves");
    assert!(!run.stdout.contains("changed since") && !run.stdout.contains(" % to "), "{}", run.stdout);
    // The way back has no steps and asks no gateway.
    step(&shop, "rollback").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!((slots(&shop), sight(&shop)), (both("blue"), steps[0].to_owned()));
}

#[test]
fn a_step_that_fails_takes_requests_back_and_one_that_is_held_goes_on() {
    let shop = begun("dg-holds");
    let two = shop.release(2, None);
    let bad =
        Front::start(|path| if path == "/up" { (500, "{}".to_owned()) } else { (200, "{}".to_owned()) });
    let asked = |more: &str| {
        let step = step_as("deploy", &asking(&shop, &bad, more)).file("k8s.yaml", &files(&shop, "a"));
        step.input("release", two.as_str())
    };
    let back = ["1 % to web, blue", FIRST, "75 % to web, blue; 25 % to web-canary, blue", "1 % to web, blue"];
    let (run, seen) = carried(&shop, asked(""), false);
    run.ended(1, "rolled back: at the step of 25 %: ");
    assert!(seen.contains(&FIRST.to_owned()), "{seen:#?}");
    assert!(seen.iter().all(|one| back.contains(&one.as_str())), "{seen:#?}");
    assert_eq!((slots(&shop), sight(&shop)), (both("blue"), back[0].to_owned()));
    assert_eq!(deployments(&shop), ["cache 1", "shop-api-blue 3", "web-blue 1"]);
    assert!(!shop.namespace.names("Service").contains(&"web-canary".to_owned()));

    let (run, _) = carried(&shop, asked("rollback: none\n    "), false);
    let run = run.ended(1, "at the step of 25 %: ");
    let share = "`HTTPRoute/shop` sends 75 % to 1.1.0 and 25 % to 1.2.0 of its requests, by weight";
    assert!(run.outputs["cause"].contains(share), "{run:#?}");
    assert_eq!(sight(&shop), FIRST);
    let run = step(&shop, "status").run();
    assert!(run.stdout.contains(share) && !run.stdout.contains("changed since"), "{run:#?}");
    let (run, seen) = carried(&shop, deploy(&shop, &two), false);
    run.ended(0, "1.2.0 runs in staging");
    assert_eq!((seen[0].as_str(), seen.last().unwrap().as_str()), (FIRST, "1 % to web, green"));
    assert!(!seen.contains(&back[0].to_owned()), "{seen:#?}");
}

#[test]
fn another_release_begins_at_its_first_step_also_over_one_that_is_held() {
    let shop = begun("dg-over");
    let (two, three) = (shop.release(2, None), shop.release(3, None));
    let bad =
        Front::start(|path| if path == "/up" { (500, "{}".to_owned()) } else { (200, "{}".to_owned()) });
    let held = asking(&shop, &bad, "rollback: none\n    ").replacen("steps: [25%", "steps: [40%", 1);
    let held = step_as("deploy", &held).file("k8s.yaml", &files(&shop, "a")).input("release", two.as_str());
    let (run, _) = carried(&shop, held, false);
    run.ended(1, "at the step of 40 %: ");
    let at = "60 % to web, blue; 40 % to web-canary, green";
    assert_eq!(sight(&shop), at);
    let (run, seen) = carried(&shop, deploy(&shop, &three), false);
    run.ended(0, "1.3.0 runs in staging");
    let order = [
        at,
        "60 % to web, blue; 40 % to web-canary, blue",
        "75 % to web, blue; 25 % to web-canary, blue",
        FIRST,
        "50 % to web, blue; 50 % to web-canary, green",
        "50 % to web, green; 50 % to web-canary, green",
        "1 % to web, green",
    ];
    check_order(&seen, &order);
    assert!(seen.contains(&FIRST.to_owned()), "{seen:#?}");
}

#[test]
fn a_route_that_no_gateway_carries_out_goes_back_as_a_whole() {
    let shop = begun("dg-refused");
    let (run, seen) = carried(&shop, deploy(&shop, &shop.release(2, None)), true);
    let run =
        run.ended(1, "the requests of `HTTPRoute/shop` are not shared as it says: Played, as the test says");
    assert!(seen.contains(&FIRST.to_owned()), "{run:#?} {seen:#?}");
    assert_eq!((slots(&shop), sight(&shop)), (both("blue"), "1 % to web, blue".to_owned()));
}

/// Each run is killed at one more of its changes, while a gateway carries out the route all the time.
fn killed(name: &str, how: (&str, Moment, Then), samples: &[usize]) {
    /// Also where a test fails.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (shop, over) = (empty(name), AtomicBool::new(false));
    define(&shop);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                carry(&shop, false);
            }
        });
        killed_at_every_change(&shop, (quick, files), how, samples, |at| {
            assert!(sight(&shop).starts_with("1 % to web, "), "{}: {at}", sight(&shop));
            let route = shop.namespace.get("HTTPRoute", "shop");
            assert_eq!(route["metadata"]["annotations"], Value::Null, "{at}");
            assert!(!shop.namespace.names("Service").contains(&"web-canary".to_owned()), "{at}");
        });
    });
}

#[test]
fn weights_that_are_killed_before_any_change_are_gone_on_with_by_the_next_deploy() {
    killed("dg-killa", ("deploy", Moment::Before, Then::Again), &[12, 16]);
}

#[test]
fn weights_that_are_killed_after_any_change_are_finished_by_reconcile() {
    killed("dg-killb", ("deploy", Moment::After, Then::Reconcile), &[11, 14, 18]);
}
