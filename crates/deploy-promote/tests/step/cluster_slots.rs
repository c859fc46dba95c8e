//! Blue-green in a namespace of a real control plane: two slots take turns, and Services say which one gets requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_tests::server::door::Door;
use shipkit_tests::server::gate::Moment;
use shipkit_tests::server::kubernetes::Fate;

use crate::bed::Step;
use crate::cluster::{Shop, step_as};
use crate::cluster_manifests::{self as rolling, empty, is_change};
use crate::cluster_runs::check_closed;
use crate::kills::{Then, kill_at, numbers};

/// Two services behind a Service each, and something that nobody sends requests to. How many pods `web` has it does not say.
pub(crate) fn manifests(shop: &Shop, greeting: &str) -> String {
    let host = shop.registry.host();
    let workload = |name: &str, image: &str, replicas: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  {replicas}selector: {{matchLabels: {{app: \
             {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{terminationGracePeriodSeconds: 0, containers: \
             [{{name: {name}, image: \"{image}\", env: [{{name: GREETING, value: \"{greeting}\"}}]}}]}}\n"
        )
    };
    let front = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n"
        )
    };
    [
        workload("shop-api", &format!("{host}/shop/api:1"), "replicas: 3\n  "),
        workload("web", &format!("{host}/shop/web:1"), ""),
        workload("cache", "registry.example/cache:7", "replicas: 1\n  "),
        front("shop-api"),
        front("web"),
    ]
    .concat()
}

fn config(shop: &Shop) -> String {
    rolling::config(shop).replacen("timeout: 60s", "timeout: 60s\n    strategy: blue-green", 1)
}

fn step(shop: &Shop, command: &str, manifests: &str) -> Step {
    step_as(command, &config(shop)).file("k8s.yaml", manifests)
}

fn deploy(shop: &Shop, release: &Digest, manifests: &str) -> Step {
    step(shop, "deploy", manifests).input("release", release.as_str())
}

fn rolled(shop: &Shop, release: &Digest, manifests: &str) -> Step {
    step_as("deploy", &rolling::config(shop)).file("k8s.yaml", manifests).input("release", release.as_str())
}

/// The deployments and how many pods each should have.
pub(crate) fn deployments(shop: &Shop) -> Vec<String> {
    let size = |name: &String| shop.namespace.get("Deployment", name)["spec"]["replicas"].clone();
    shop.namespace.names("Deployment").iter().map(|name| format!("{name} {}", size(name))).collect()
}

pub(crate) fn selector(shop: &Shop, service: &str) -> Value {
    shop.namespace.get("Service", service)["spec"]["selector"].clone()
}

/// The slots that both Services send requests to.
pub(crate) fn slots(shop: &Shop) -> [Option<String>; 2] {
    ["shop-api", "web"].map(|one| selector(shop, one)["shipkit.dev/slot"].as_str().map(str::to_owned))
}

pub(crate) fn both(slot: &str) -> [Option<String>; 2] {
    [Some(slot.to_owned()), Some(slot.to_owned())]
}

/// The version that a deployment names.
pub(crate) fn version(shop: &Shop, deployment: &str) -> String {
    let live = shop.namespace.get("Deployment", deployment);
    live["metadata"]["annotations"]["shipkit.dev/version"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn two_slots_take_turns_and_the_one_that_was_left_is_kept_without_pods() {
    let shop = empty("ds-turns");
    let (one, two, three) = (shop.release(1, None), shop.release(2, None), shop.release(3, None));
    let text = manifests(&shop, "a");
    let run = deploy(&shop, &one, &text).run().ended(0, "1.1.0 runs in staging");
    assert!(!run.stderr.contains("can lose requests"), "{}", run.stderr);
    assert_eq!(slots(&shop), both("blue"));
    assert_eq!(deployments(&shop), ["cache 1", "shop-api-blue 3", "web-blue 1"]);
    shop.namespace.merge("Deployment", "web-blue", &json!({"spec": {"replicas": 2}}));

    let run = deploy(&shop, &two, &text).input("dry-run", "true").run().ended(0, "dry run");
    for line in [
        "update `api` ",
        "`Deployment/shop-api-green` is created",
        "`Service/web` changes: spec.selector.shipkit.dev/slot",
        "`Deployment/web-blue` is scaled to 0 and stays for going back",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
    deploy(&shop, &two, &text).run().ended(0, "1.2.0 runs in staging");
    assert_eq!(slots(&shop), both("green"));
    let there = ["cache 1", "shop-api-blue 0", "shop-api-green 3", "web-blue 0", "web-green 2"];
    assert_eq!(deployments(&shop), there);
    let run = step(&shop, "status", "").run().ended(0, "1.2.0 serves");
    assert!(run.stdout.contains("/web: 1.2.0 since ") && run.stdout.contains(", 2 running"), "{run:#?}");
    let run = deploy(&shop, &two, &text).input("dry-run", "true").run().ended(0, "dry run");
    assert!(!run.stdout.contains("Deployment/") && !run.stdout.contains("Service/"), "{}", run.stdout);
    deploy(&shop, &two, &text).run().ended(0, "1.2.0 runs in staging");
    assert_eq!((deployments(&shop), slots(&shop)), (there.map(str::to_owned).to_vec(), both("green")));

    step(&shop, "rollback", "").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(slots(&shop), both("blue"));
    let back = ["cache 1", "shop-api-blue 3", "shop-api-green 0", "web-blue 2", "web-green 0"];
    assert_eq!(deployments(&shop), back);
    step(&shop, "rollback", "").run().ended(1, "remembers no good release before it");
    deploy(&shop, &three, &text).run().ended(0, "1.3.0 runs in staging");
    assert_eq!((slots(&shop), version(&shop, "web-green").as_str()), (both("green"), "1.3.0"));
    // What was in the slot that is used now comes back in the other one.
    step(&shop, "rollback", "").input("to", "1.2.0").run().ended(0, "1.2.0 serves in staging again");
    assert_eq!((slots(&shop), version(&shop, "web-blue").as_str()), (both("blue"), "1.2.0"));
    let run = step(&shop, "status", "").run().ended(0, "1.2.0 serves");
    assert!(!run.stdout.contains(" is not as ") && !run.stdout.contains(" is gone"), "{}", run.stdout);
    step(&shop, "rollback", "").input("to", "1.3.0").run().ended(0, "1.3.0 serves in staging again");
    assert_eq!((slots(&shop), version(&shop, "web-green").as_str()), (both("green"), "1.3.0"));
}

#[test]
fn a_release_that_fails_in_its_slot_never_gets_a_request_and_goes() {
    let shop = empty("ds-fails");
    let (one, two) = (shop.release(1, None), shop.release(2, Some(Fate::Crash(3))));
    let text = manifests(&shop, "a");
    deploy(&shop, &one, &text).run().ended(0, "1.1.0 runs in staging");
    let before = ["shop-api", "web"]
        .map(|one| shop.namespace.get("Service", one)["metadata"]["resourceVersion"].clone());
    let there = deployments(&shop);
    let run = deploy(&shop, &two, &text).run().ended(1, "rolled back: `web` keeps failing: ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    let after = ["shop-api", "web"]
        .map(|one| shop.namespace.get("Service", one)["metadata"]["resourceVersion"].clone());
    // It may be written again as it is, which changes nothing.
    assert_eq!((after, deployments(&shop)), (before, there));
}

#[test]
fn on_the_way_to_slots_and_back_nobody_is_sent_to_what_is_not_ready() {
    let shop = empty("ds-ways");
    let (one, two, bad) =
        (shop.release(1, None), shop.release(2, None), shop.release(3, Some(Fate::Crash(3))));
    let text = manifests(&shop, "a");
    rolled(&shop, &one, &text).run().ended(0, "1.1.0 runs in staging");
    let plain = json!({"app": "web"});
    assert_eq!(selector(&shop, "web"), plain);
    let there = deployments(&shop);

    // One that fails on the way leaves all as it was.
    deploy(&shop, &bad, &text).run().ended(1, "rolled back: `web` keeps failing: ");
    assert_eq!((selector(&shop, "web"), deployments(&shop)), (plain.clone(), there.clone()));

    // Once there are pods in a slot, a Service without one would send requests to them as well.
    let door = Door::open("");
    let is_new = |request: &str| is_change(request) && request.contains("/deployments/web-blue");
    let held = door.gate().hold_first(is_new, Moment::Before);
    let killed = kill_at(&deploy(&shop, &two, &text).input("kubeconfig", &door.kubeconfig()), &held);
    drop(held);
    assert!(killed.is_some());
    let narrow = selector(&shop, "web");
    assert!(narrow["pod-template-hash"].is_string() && narrow["app"] == "web", "{narrow}");
    shop.lease_ends();
    deploy(&shop, &two, &text).run().ended(0, "1.2.0 runs in staging");
    assert_eq!(selector(&shop, "web"), json!({"app": "web", "shipkit.dev/slot": "blue"}));
    assert_eq!(deployments(&shop), ["cache 1", "shop-api-blue 3", "web-blue 1"]);

    // And back: by going back, and by going on without slots.
    step(&shop, "rollback", "").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!((selector(&shop, "web"), deployments(&shop)), (plain.clone(), there.clone()));
    deploy(&shop, &two, &text).run().ended(0, "1.2.0 runs in staging");
    let four = shop.release(4, None);
    rolled(&shop, &four, &text).run().ended(0, "1.4.0 runs in staging");
    assert_eq!((selector(&shop, "web"), deployments(&shop)), (plain, there));
    step(&shop, "rollback", "").run().ended(0, "1.2.0 serves in staging again");
    assert_eq!(selector(&shop, "web")["shipkit.dev/slot"], "blue");
}

#[test]
fn an_autoscaler_goes_with_the_traffic_and_the_new_slot_is_as_large_as_it_has_scaled_the_old_one() {
    let shop = empty("ds-scale");
    let (one, two) = (shop.release(1, None), shop.release(2, None));
    let text = format!(
        "{}---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: web}}\nspec: {{minReplicas: 1, maxReplicas: 9, \
         scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}}}\n",
        manifests(&shop, "a")
    );
    let target = || {
        let autoscaler = shop.namespace.get("HorizontalPodAutoscaler", "web");
        autoscaler["spec"]["scaleTargetRef"]["name"].as_str().unwrap().to_owned()
    };
    deploy(&shop, &one, &text).run().ended(0, "1.1.0 runs in staging");
    assert_eq!(target(), "web-blue");
    shop.namespace.merge("Deployment", "web-blue", &json!({"spec": {"replicas": 4}}));
    deploy(&shop, &two, &text).run().ended(0, "1.2.0 runs in staging");
    assert_eq!(target(), "web-green");
    let run = deploy(&shop, &two, &text).input("dry-run", "true").run().ended(0, "dry run");
    assert!(!run.stdout.contains("Deployment/web"), "{}", run.stdout);
    let there = ["cache 1", "shop-api-blue 0", "shop-api-green 3", "web-blue 0", "web-green 4"];
    assert_eq!(deployments(&shop), there);
    step(&shop, "rollback", "").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!(target(), "web-blue");
    let there = ["cache 1", "shop-api-blue 3", "shop-api-green 0", "web-blue 4", "web-green 0"];
    assert_eq!(deployments(&shop), there);
}

#[test]
fn what_cannot_have_slots_is_refused_before_anything_changes() {
    let shop = empty("ds-refuse");
    let one = shop.release(1, None);
    let text = manifests(&shop, "a");
    let all = "---\napiVersion: v1\nkind: Service\nmetadata: {name: all}\nspec: {selector: {tier: a}, ports: [{port: 80}]}\n";
    let tiers = text
        .replace("{labels: {app: web}}", "{labels: {app: web, tier: a}}")
        .replace("{labels: {app: cache}}", "{labels: {app: cache, tier: a}}");
    for (text, cause) in [
        (text.replace("kind: Service", "kind: Endpoints"), "so nothing could shift"),
        (
            format!("{tiers}{all}"),
            "sends requests to `Deployment/web`, which has two slots, and to `Deployment/cache`",
        ),
    ] {
        deploy(&shop, &one, &text).run().ended(2, cause);
    }
    let without = shop.config().replacen("timeout: 60s", "timeout: 60s\n    strategy: blue-green", 1);
    let run = step_as("deploy", &without).input("release", one.as_str()).run();
    run.ended(2, "`strategy: blue-green` without `target.manifests`");
    assert_eq!(deployments(&shop), Vec::<String>::new());
}

/// What makes the configuration of a shop, and its manifests with a greeting.
type Files = (fn(&Shop) -> String, fn(&Shop, &str) -> String);

/// Two releases take turns, and each deploy, or the rollback of one, is killed at one more of its changes. `check` is what is so
/// once it was gone on with, besides.
pub(crate) fn killed_at_every_change(
    shop: &Shop,
    (config, files): Files,
    (command, moment, then): (&str, Moment, Then),
    samples: &[usize],
    check: impl Fn(&str),
) {
    let door = Door::open("");
    let texts = ["1", "2"].map(|greeting| files(shop, greeting));
    let release = [shop.release(1, None), shop.release(2, None)];
    let through = |command: &str, which: usize| {
        let step = step_as(command, &config(shop)).file("k8s.yaml", &texts[which]);
        step.input("kubeconfig", &door.kubeconfig())
    };
    let deploy = |which: usize| through("deploy", which).input("release", release[which].as_str());
    let versions = ["1.1.0", "1.2.0"];
    deploy(0).run().ended(0, "1.1.0 runs in staging");
    let mut serving = 0;
    let all = numbers(0);
    for number in if all.len() == 1 { samples.to_vec() } else { all } {
        let next = 1 - serving;
        let step = if command == "deploy" {
            deploy(next)
        } else {
            deploy(next).run().ended(0, &format!("{} runs in staging", versions[next]));
            through("rollback", next)
        };
        let to = if command == "deploy" { next } else { serving };
        let seen = AtomicUsize::new(0);
        let is_it =
            move |request: &str| is_change(request) && seen.fetch_add(1, Ordering::SeqCst) + 1 == number;
        let held = door.gate().hold_first(is_it, moment);
        let Some(change) = kill_at(&step, &held) else {
            assert!(samples.iter().all(|sample| *sample < number), "it ends before its change {number}");
            break;
        };
        // Whatever is killed when, everybody is sent to one slot whose pods are ready, or to what a run is on its way to.
        drop(held);
        shop.lease_ends();
        let run = match then {
            Then::Again => deploy(next).run(),
            Then::Reconcile => through("reconcile", to).run(),
        };
        let at =
            format!("killed {moment:?} change {number}, {change}: {run:#?}, {:#?}", door.gate().changes());
        assert_eq!(run.exit, Some(0), "{at}");
        let now = slots(shop);
        assert!(now[0].is_some() && now[0] == now[1], "{now:?}: {at}");
        let slot = now[0].clone().unwrap();
        let other = if slot == "blue" { "green" } else { "blue" };
        let sizes = deployments(shop);
        assert!(
            sizes.contains(&format!("shop-api-{slot} 3")) && sizes.contains(&format!("web-{slot} 1")),
            "{sizes:?}: {at}"
        );
        let is_left = |name: &str| {
            sizes.contains(&format!("{name}-{other} 0"))
                || !sizes.iter().any(|one| one.starts_with(&format!("{name}-{other} ")))
        };
        assert!(is_left("shop-api") && is_left("web"), "{sizes:?}: {at}");
        let serves = version(shop, &format!("web-{slot}"));
        assert_eq!(version(shop, &format!("shop-api-{slot}")), serves, "{at}");
        let has_ended = run.outputs["cause"].contains("has ended");
        assert!(serves == versions[to] || has_ended && serves == versions[1 - to], "{serves}: {at}");
        check(&at);
        check_closed(shop);
        serving = usize::from(serves == versions[1]);
    }
}

#[test]
fn a_shift_that_is_killed_before_any_change_is_finished_by_the_next_deploy() {
    killed_at_every_change(
        &empty("ds-killa"),
        (config, manifests),
        ("deploy", Moment::Before, Then::Again),
        &[9],
        |_| {},
    );
}

#[test]
fn a_shift_that_is_killed_after_any_change_is_finished_by_reconcile() {
    killed_at_every_change(
        &empty("ds-killb"),
        (config, manifests),
        ("deploy", Moment::After, Then::Reconcile),
        &[8, 10],
        |_| {},
    );
}

#[test]
fn a_way_back_to_the_other_slot_that_is_killed_after_any_change_is_finished_by_reconcile() {
    killed_at_every_change(
        &empty("ds-killc"),
        (config, manifests),
        ("rollback", Moment::After, Then::Reconcile),
        &[5, 8],
        |_| {},
    );
}

#[test]
fn new_pods_that_cannot_be_asked_get_no_requests_and_who_may_not_ask_is_told() {
    let shop = empty("ds-asked");
    let (one, two, text) = (shop.release(1, None), shop.release(2, None), manifests(&shop, "a"));
    deploy(&shop, &one, &text).run().ended(0, "1.1.0 runs in staging");
    let build = "    build: {context: api}\n";
    let more = format!("{build}    port: 8080\n    healthcheck: {{ready: /up}}\n");
    let asked = || deploy(&shop, &two, &text).file("shipkit.yml", &config(&shop).replacen(build, &more, 1));
    // Nobody is at the pods of a node that is played.
    let run = asked().run().ended(3, "`api` is not sent any request: instance `shop-api-green-");
    assert!(run.outputs["cause"].contains("the cluster refused to forward a port of pod"), "{run:#?}");
    assert_eq!(slots(&shop), both("blue"));

    shop.user_of("role-manifests.yaml", "shipkit-manifests");
    let mut rules = shop.namespace.get("Role", "shipkit-manifests")["rules"].take();
    let forwards = |rule: &Value| rule["resources"] == json!(["pods/portforward"]);
    rules.as_array_mut().unwrap().retain(|rule| !forwards(rule));
    shop.namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "silent"}, "rules": rules,
    }));
    let user = shop.namespace.user_with("silent");
    let run = asked().input("kubeconfig", &user).run().ended(0, "1.2.0 runs in staging");
    let said =
        "new pods of `api` are not asked anything before traffic goes to them: these credentials may not";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert_eq!(slots(&shop), both("green"));
}
