//! Manifests in a namespace of a real control plane: a release is all of its objects, and goes back as all of them.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_tests::server::door::{Door, kubectl};
use shipkit_tests::server::gate::Moment;
use shipkit_tests::server::kubernetes::{Fate, kubeconfig};
use shipkit_tests::soon;

use crate::bed::{Step, Transcript};
use crate::cluster::{Shop, step_as};
use crate::cluster_runs::check_closed;
use crate::kills::{Then, kill_at, numbers};

/// What teams write, for the services of a [`Shop`]. `greeting` is a setting of `api`.
pub(crate) fn manifests(shop: &Shop, greeting: &str) -> String {
    let registry = shop.registry.host();
    let workload = |name: &str, image: &str, rest: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, labels: {{team: a}}}}\nspec:\n  replicas: 3\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      \
             terminationGracePeriodSeconds: 0\n      containers:\n        - {{name: {name}, image: \"{image}\"{rest}}}\n"
        )
    };
    let settings = ", envFrom: [{configMapRef: {name: settings}}]";
    [
        workload("shop-api", &format!("{registry}/shop/api:1"), settings),
        workload("web", &format!("{registry}/shop/web:1"), ""),
        workload("cache", "registry.example/cache:7", ""),
        service("web"),
        format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{greeting: \"{greeting}\"}}\n"),
    ]
    .concat()
}

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n"
    )
}

pub(crate) fn config(shop: &Shop) -> String {
    shop.config().replacen("context: bed", "context: bed, manifests: k8s.yaml", 1)
}

pub(crate) fn step(shop: &Shop, command: &str, manifests: &str) -> Step {
    step_as(command, &config(shop)).file("k8s.yaml", manifests)
}

pub(crate) fn deploy(shop: &Shop, release: &Digest, manifests: &str) -> Step {
    step(shop, "deploy", manifests).input("release", release.as_str())
}

/// A shop in which nothing runs yet.
pub(crate) fn empty(name: &str) -> Shop {
    let shop = Shop::new(name);
    for name in ["shop-api", "web"] {
        shop.namespace.delete("Deployment", name);
    }
    soon("they never go", || shop.namespace.names("Deployment").is_empty());
    shop
}

/// A shop in which release 1.1.0 runs, and its manifests.
pub(crate) fn begun(name: &str) -> (Shop, String) {
    let shop = empty(name);
    let hello = manifests(&shop, "hello");
    deploy(&shop, &shop.release(1, None), &hello).run().ended(0, "1.1.0 runs in staging");
    (shop, hello)
}

/// The names of all objects that a stack may have, as people say them.
pub(crate) fn objects(shop: &Shop) -> Vec<String> {
    let kinds = ["ConfigMap", "Deployment", "PersistentVolumeClaim", "Service"];
    let of =
        |kind: &'static str| shop.namespace.names(kind).into_iter().map(move |name| format!("{kind}/{name}"));
    let all = kinds.into_iter().flat_map(of);
    all.filter(|name| name != "ConfigMap/kube-root-ca.crt").collect()
}

/// What a deployment says: version, image, and the config map that it reads.
fn said(shop: &Shop, name: &str) -> (String, String, String) {
    let live = shop.namespace.get("Deployment", name);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let container = &live["spec"]["template"]["spec"]["containers"][0];
    (
        text(&live["metadata"]["annotations"]["shipkit.dev/version"]),
        text(&container["image"]),
        text(&container["envFrom"][0]["configMapRef"]["name"]),
    )
}

/// What config map `api` reads, and what stands in it.
fn greeting(shop: &Shop) -> String {
    let name = said(shop, "shop-api").2;
    shop.namespace.get("ConfigMap", &name)["data"]["greeting"].as_str().unwrap().to_owned()
}

/// A Service that somebody has applied.
fn serve_at(shop: &Shop, port: u16) {
    shop.namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": port}]},
    }));
}

fn served_at(shop: &Shop) -> Option<u64> {
    shop.namespace.get("Service", "web")["spec"]["ports"][0]["port"].as_u64()
}

#[test]
fn a_release_is_all_its_objects_and_goes_back_as_all_of_them() {
    let shop = empty("dm-life");
    let one = shop.release(1, None);
    let hello = manifests(&shop, "hello");
    let run =
        deploy(&shop, &one, &hello).input("dry-run", "true").run().ended(0, "dry run: nothing was changed");
    for line in [
        "create `api` at ",
        "`Deployment/cache` is created",
        "`Service/web` is created",
        "`ConfigMap/settings-",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
    assert_eq!(objects(&shop), Vec::<String>::new());
    deploy(&shop, &one, &hello).run().ended(0, "1.1.0 runs in staging");
    let first = objects(&shop);
    assert_eq!(first.len(), 5, "{first:?}");
    let (version, image, _) = said(&shop, "shop-api");
    assert_eq!((version.as_str(), image), ("1.1.0", shop.image("api", 1).to_string()));
    assert_eq!(
        (said(&shop, "cache").1.as_str(), greeting(&shop).as_str()),
        ("registry.example/cache:7", "hello")
    );
    step(&shop, "rollback", "").run().ended(1, "remembers no good release before it");
    assert_eq!(objects(&shop), first, "there was nothing to go back to");
    deploy(&shop, &one, &hello).run().ended(0, "1.1.0 runs in staging");
    let run = step(&shop, "status", "").run().ended(0, "1.1.0 serves");
    assert!(
        run.stdout.contains("/api: 1.1.0 since ") && run.stdout.contains(", 3 running"),
        "{}",
        run.stdout
    );

    // The second release brings an object, leaves one out, changes a setting, and fails.
    let two = shop.release(2, Some(Fate::Crash(3)));
    let bye = manifests(&shop, "bye").replace(&service("web"), &service("front"));
    let run =
        deploy(&shop, &two, &bye).input("dry-run", "true").run().ended(0, "dry run: nothing was changed");
    for line in [
        "`Service/front` is created",
        "`Service/web` is removed",
        "spec.template.spec.containers[shop-api].image ",
    ] {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
    let run = deploy(&shop, &two, &bye).run().ended(1, "rolled back: `web` keeps failing: ");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert_eq!((objects(&shop), greeting(&shop).as_str()), (first.clone(), "hello"));
    assert_eq!(said(&shop, "web").1, shop.image("web", 1).to_string());
}

#[test]
fn one_can_go_back_to_every_release_that_was_confirmed() {
    let (shop, _) = begun("dm-back");
    let three = shop.release(3, None);
    let bye = manifests(&shop, "bye").replace(&service("web"), &service("front"));
    let first = objects(&shop);
    deploy(&shop, &three, &bye).run().ended(0, "1.3.0 runs in staging");
    let now = objects(&shop);
    assert!(now.contains(&"Service/front".to_owned()) && !now.contains(&"Service/web".to_owned()), "{now:?}");
    assert_eq!(greeting(&shop), "bye");
    let run = step(&shop, "history", "").run().ended(0, "1.3.0 serves");
    assert!(run.stdout.contains("1.3.0") && run.stdout.contains("1.1.0"), "{}", run.stdout);

    let run = step(&shop, "rollback", "").run().ended(0, "1.1.0 serves in staging again");
    assert_eq!((objects(&shop), greeting(&shop).as_str()), (with(&first, &now), "hello"), "{run:#?}");
    step(&shop, "rollback", "").run().ended(1, "remembers no good release before it");
    step(&shop, "rollback", "").input("to", "1.3.0").run().ended(0, "1.3.0 serves in staging again");
    assert_eq!((objects(&shop), greeting(&shop).as_str()), (now, "bye"));
}

/// These objects, and the config maps of others that one may still go back to.
fn with(these: &[String], others: &[String]) -> Vec<String> {
    let config = others.iter().filter(|name| name.starts_with("ConfigMap/") && !these.contains(name));
    let mut all: Vec<String> = these.iter().chain(config).cloned().collect();
    all.sort();
    all
}

#[test]
fn the_first_release_takes_over_only_what_it_is_told_to_and_goes_back_to_what_was_there() {
    let shop = Shop::new("dm-adopt");
    serve_at(&shop, 8080);
    let before = (objects(&shop), said(&shop, "shop-api"), said(&shop, "web"));
    let one = shop.release(1, Some(Fate::Crash(3)));
    let hello = manifests(&shop, "hello");
    let run = deploy(&shop, &one, &hello).run().ended(2, "others own fields that the manifests set: ");
    for conflict in [
        ".spec.template.spec.containers[name=\"shop-api\"].image of `Deployment/shop-api` (\"kubectl\")",
        "of `Deployment/web`",
    ] {
        assert!(run.outputs["cause"].contains(conflict), "{conflict}: {}", run.outputs["cause"]);
    }
    assert_eq!((objects(&shop), said(&shop, "shop-api"), said(&shop, "web")), before);

    let run =
        step(&shop, "adopt", &hello).input("dry-run", "true").run().ended(0, "dry run: nothing was changed");
    assert!(run.stdout.contains("take over `Deployment/shop-api` from kubectl"), "{}", run.stdout);
    let run = step(&shop, "adopt", &hello).run().ended(0, "adopted as it is: ");
    assert!(run.outputs["cause"].contains("Service/web"), "{}", run.outputs["cause"]);
    step(&shop, "adopt", &hello).run().ended(0, "nothing was left to adopt");
    assert_eq!((objects(&shop), said(&shop, "shop-api"), said(&shop, "web")), before, "nothing has changed");

    deploy(&shop, &one, &hello).run().ended(1, "rolled back: `web` keeps failing: ");
    assert_eq!((objects(&shop), said(&shop, "shop-api"), said(&shop, "web")), before);
    assert_eq!(served_at(&shop), Some(8080));
    assert_eq!(shop.namespace.names("Secret"), Vec::<String>::new(), "a record is left");

    let two = shop.release(2, None);
    deploy(&shop, &two, &hello).run().ended(0, "1.2.0 runs in staging");
    assert_eq!(served_at(&shop), Some(80));
    let now = objects(&shop);
    step(&shop, "rollback", "").run().ended(0, "what was there before serves in staging again");
    let expected = (with(&before.0, &now), before.1, before.2);
    assert_eq!((objects(&shop), said(&shop, "shop-api"), said(&shop, "web")), expected);
    assert_eq!(served_at(&shop), Some(8080));
}

#[test]
fn services_may_be_stateful_sets_and_all_that_makes_pods_is_watched() {
    let shop = empty("dm-kinds");
    let (one, two) = (shop.release(1, None), shop.release(2, Some(Fate::Crash(3))));
    let image = "containers: [{name: a, image: \"registry.example/agent:1\"}]";
    let more = format!(
        "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: agent}}\nspec: {{selector: {{matchLabels: {{app: agent}}}}, template: \
         {{metadata: {{labels: {{app: agent}}}}, spec: {{{image}}}}}}}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: seed}}\nspec: \
         {{template: {{spec: {{restartPolicy: Never, {image}}}}}}}\n"
    );
    let set = |text: &str| {
        let (before, web) = text.split_once("kind: Deployment\nmetadata: {name: web,").unwrap();
        let web = web.replacen(
            "replicas: 3",
            "replicas: 3\n  serviceName: web\n  podManagementPolicy: Parallel",
            1,
        );
        format!("{before}kind: StatefulSet\nmetadata: {{name: web,{web}{more}")
    };
    let hello = set(&manifests(&shop, "hello"));
    deploy(&shop, &one, &hello).run().ended(0, "1.1.0 runs in staging");
    let run = step(&shop, "status", "").run().ended(0, "1.1.0 serves");
    assert!(
        run.stdout.contains("/web: 1.1.0 since ") && run.stdout.matches(", 3 running").count() == 2,
        "{}",
        run.stdout
    );
    let live = |shop: &Shop| shop.namespace.get("StatefulSet", "web");
    let image = |shop: &Shop| live(shop)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(image(&shop), shop.image("web", 1).to_string());
    deploy(&shop, &two, &hello).run().ended(1, "rolled back: `web` keeps failing: ");
    assert_eq!(image(&shop), shop.image("web", 1).to_string());
    let failing = hello.replace("registry.example/agent:1", "registry.example/agent:2");
    shop.namespace.will("registry.example/agent:2", Fate::Crash(4));
    let three = shop.release(3, None);
    let run = deploy(&shop, &three, &failing.replace("name: seed", "name: seed2")).run();
    run.ended(1, "rolled back: `DaemonSet/agent` keeps failing: ");
    let by_hand = hello.replace("serviceName: web", "serviceName: web\n  updateStrategy: {type: OnDelete}");
    deploy(&shop, &three, &by_hand).run().ended(2, "`StatefulSet/web` has `updateStrategy: OnDelete`");
    deploy(&shop, &three, &hello).run().ended(0, "1.3.0 runs in staging");
}

#[test]
fn a_first_release_that_fails_leaves_nothing() {
    let shop = empty("dm-none");
    let one = shop.release(1, Some(Fate::Crash(3)));
    deploy(&shop, &one, &manifests(&shop, "hello")).run().ended(1, "rolled back: `web` keeps failing: ");
    assert_eq!(objects(&shop), Vec::<String>::new());
    assert_eq!(shop.namespace.names("Secret"), Vec::<String>::new(), "a record is left");
}

#[test]
fn a_first_deploy_that_is_killed_in_the_middle_still_goes_back_to_what_was_there_before_it() {
    let shop = Shop::new("dm-first");
    serve_at(&shop, 8080);
    let before = (objects(&shop), said(&shop, "shop-api"), said(&shop, "web"));
    let one = shop.release(1, Some(Fate::Crash(3)));
    let hello = manifests(&shop, "hello");
    step(&shop, "adopt", &hello).run().ended(0, "adopted as it is: ");
    let door = Door::open("");
    // No workload says yet where it goes back to.
    let is_service = |request: &str| is_change(request) && request.contains("/services/");
    let held = door.gate().hold_first(is_service, Moment::After);
    let killed = kill_at(&deploy(&shop, &one, &hello).input("kubeconfig", &door.kubeconfig()), &held);
    drop(held);
    assert_eq!((killed.is_some(), served_at(&shop)), (true, Some(80)));
    shop.lease_ends();
    deploy(&shop, &one, &hello).run().ended(1, "rolled back: `web` keeps failing: ");
    assert_eq!((objects(&shop), said(&shop, "shop-api"), said(&shop, "web")), before);
    assert_eq!(served_at(&shop), Some(8080));
}

#[test]
fn a_namespace_that_only_the_manifests_have_is_made_and_what_is_defined_there_is_served() {
    let shop = empty("dm-own");
    let one = shop.release(1, None);
    let (name, kind) = (format!("{}-own", shop.namespace.name()), format!("Widget{}", std::process::id()));
    let plural = kind.to_lowercase();
    // No node is played there.
    let text = manifests(&shop, "hello").replace("replicas: 3", "replicas: 0");
    let text = format!(
        "{text}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\napiVersion: shipkit.test/v1\nkind: {kind}\n\
         metadata: {{name: a}}\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: \
         {plural}.shipkit.test}}\nspec:\n  group: shipkit.test\n  scope: Namespaced\n  names: {{kind: {kind}, plural: {plural}}}\n  \
         versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]\n"
    );
    let there = format!("namespace: {}", shop.namespace.name());
    let config = config(&shop).replacen(&there, &format!("namespace: {name}"), 1);
    let step = |command: &str| step_as(command, &config).file("k8s.yaml", &text);
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new(kubectl());
        command.args(["--kubeconfig", kubeconfig().to_str().unwrap()]).args(arguments);
        let run = command.output().unwrap();
        (run.status.success(), String::from_utf8(run.stdout).unwrap())
    };
    let run = step("deploy").input("release", one.as_str()).input("dry-run", "true").run();
    let run = run.ended(0, "dry run: nothing was changed");
    assert!(run.stdout.contains(&format!("`{kind}/a` is created")), "{}", run.stdout);
    assert!(!kubectl(&["get", "namespace", &name]).0);
    step("deploy").input("release", one.as_str()).run().ended(0, "1.1.0 runs in staging");
    assert!(kubectl(&["get", &plural, "a", "--namespace", &name]).0);
    step("status").run().ended(0, "1.1.0 serves");
    for what in [["customresourcedefinition", &format!("{plural}.shipkit.test")], ["namespace", &name]] {
        assert!(kubectl(&["delete", what[0], what[1], "--wait=false"]).0, "{what:?}");
    }
}

#[test]
fn what_an_autoscaler_scales_stays_as_it_has_scaled_it() {
    let (shop, hello) = begun("dm-scale");
    let two = shop.release(2, None);
    // From now on the autoscaler of the manifests owns what was ours.
    let autoscaler = "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec:\n  minReplicas: 1\n  \
                  maxReplicas: 9\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n";
    let scaled = format!("{hello}{autoscaler}");
    let run = deploy(&shop, &two, &scaled).run().ended(0, "1.2.0 runs in staging");
    assert!(run.stderr.contains("`replicas` of `Deployment/web`"), "{}", run.stderr);
    assert_eq!(shop.namespace.get("Deployment", "web")["spec"]["replicas"], 3);
    // What it has scaled since is left alone.
    shop.namespace.merge("Deployment", "web", &json!({"spec": {"replicas": 5}}));
    let three = shop.release(3, None);
    deploy(&shop, &three, &scaled).run().ended(0, "1.3.0 runs in staging");
    assert_eq!(shop.namespace.get("Deployment", "web")["spec"]["replicas"], 5);
    step(&shop, "rollback", "").run().ended(0, "1.2.0 serves in staging again");
    assert_eq!(shop.namespace.get("Deployment", "web")["spec"]["replicas"], 5);
}

#[test]
fn what_may_hold_data_is_never_removed_and_a_migration_finds_what_its_pods_need() {
    let shop = empty("dm-data");
    let one = shop.release(1, None);
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files}\nspec: {accessModes: [ReadWriteOnce], \
                 resources: {requests: {storage: 1Gi}}}\n";
    let hello = manifests(&shop, "hello");
    let migrating = |command: &str, manifests: &str| {
        let config = config(&shop).replacen(
            "timeout: 60s",
            "timeout: 60s\n    migrate: {service: api, command: up, compatible: true}",
            1,
        );
        step_as(command, &config).file("k8s.yaml", manifests)
    };
    let run = migrating("deploy", &format!("{hello}{claim}")).input("release", one.as_str()).run();
    run.ended(0, "1.1.0 runs in staging");
    let job = shop.namespace.names("Job").into_iter().next().unwrap();
    let job = shop.namespace.get("Job", &job);
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], shop.image("api", 1).to_string());
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], said(&shop, "shop-api").2);

    let two = shop.release(2, None);
    let run =
        migrating("deploy", &hello).input("release", two.as_str()).run().ended(0, "1.2.0 runs in staging");
    assert!(objects(&shop).contains(&"PersistentVolumeClaim/files".to_owned()), "{run:#?}");

    // What was made for a migration that fails goes; what others have made stays.
    let there = objects(&shop);
    let three = shop.release(3, None);
    shop.api_jobs_will(3, Fate::Exit(4));
    let bye = manifests(&shop, "bye");
    let deploy = || migrating("deploy", &bye).input("release", three.as_str()).run();
    let run = deploy().ended(1, "the migration failed: ");
    assert_eq!(objects(&shop), there, "{run:#?}");
    shop.api_jobs_will(3, Fate::Exit(0));
    let job = shop.namespace.names("Job").into_iter().next().unwrap();
    shop.namespace.delete("Job", &job);
    soon("it never goes", || shop.namespace.names("Job").is_empty());
    deploy().ended(0, "1.3.0 runs in staging");
    assert_eq!(greeting(&shop), "bye");
}

#[test]
fn what_cannot_be_removed_is_told_and_what_was_put_back_is_watched_all_the_same() {
    let (shop, hello) = begun("dm-rest");
    let two = shop.release(2, Some(Fate::Crash(3)));
    let door = Door::open("");
    let is_removal = |request: &str| request.starts_with("DELETE ") && request.contains("/services/front");
    let held = door.gate().hold_first(is_removal, Moment::Before);
    let with_front = format!("{hello}{}", service("front"));
    let step = deploy(&shop, &two, &with_front).input("kubeconfig", &door.kubeconfig());
    let child = step.start();
    assert!(held.wait().is_some());
    // Somebody makes another one of this name before it is removed.
    shop.namespace.delete("Service", "front");
    shop.namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}, "spec": {"ports": [{"port": 81}]},
    }));
    drop(held);
    let run =
        step.finish(child).ended(1, "the rollback failed as well: the cluster refused to delete services: ");
    assert!(run.stderr.contains("`web` is taken back"), "{run:#?}");
    assert_eq!(said(&shop, "web").1, shop.image("web", 1).to_string());
    assert!(objects(&shop).contains(&"Service/front".to_owned()));
}

#[test]
fn what_cannot_be_applied_is_refused_before_anything_changes() {
    let shop = empty("dm-refuse");
    let one = shop.release(1, None);
    let hello = manifests(&shop, "hello");
    for (text, cause) in [
        (String::new(), "the manifests hold no object"),
        (hello.replace("shop/web:1", "other/web:1"), "no image of the manifests is that of `web ("),
        (hello.replace("cache:7", "cache:latest"), "would run whatever was pushed last"),
        (
            format!("{hello}---\napiVersion: acme.dev/v1\nkind: Widget\nmetadata: {{name: a}}\n"),
            "the cluster knows no `Widget of acme.dev/v1`",
        ),
        (
            hello.replace("name: web, labels", "name: web, namespace: other, labels"),
            "objects are not in namespace",
        ),
        (hello.replace("greeting: \"hello\"", "greeting: 1"), "expected string"),
        (hello.replace("port: 80}", "port: 800000}"), "the cluster refused to patch services"),
        (
            hello.replace("selector: {matchLabels: {app: cache}}", "selector: {matchLabels: {app: other}}"),
            "the cluster refused to patch deployments",
        ),
    ] {
        let run = deploy(&shop, &one, &text).run();
        assert!(matches!(run.exit, Some(1 | 2)) && run.outputs["cause"].contains(cause), "{cause}: {run:#?}");
        let run = step(&shop, "check", &text).input("release", one.as_str()).run();
        assert!(matches!(run.exit, Some(1 | 2)) && run.outputs["cause"].contains(cause), "{cause}: {run:#?}");
    }
    let run = step_as("deploy", &config(&shop)).input("release", one.as_str()).run();
    run.ended(2, "`environments.staging.target.manifests`: `");
    assert_eq!(objects(&shop), Vec::<String>::new());
    assert_eq!(shop.namespace.names("Secret"), Vec::<String>::new());
}

/// Whether a request changes the cluster: what is only tried, and what is asked about permissions, does not.
pub(crate) fn is_change(request: &str) -> bool {
    !request.contains("dryRun=") && !request.contains("/selfsubjectaccessreviews")
}

/// Two releases take turns, each with settings of its own, and each deploy is killed at one more of its changes.
fn killed_at_every_change(name: &str, moment: Moment, then: Then, sample: usize) {
    let shop = empty(name);
    let door = Door::open("");
    let manifests = ["1", "2"].map(|greeting| manifests(&shop, greeting));
    let release = [shop.release(1, None), shop.release(2, None)];
    let step = |command: &str, which: usize| {
        step(&shop, command, &manifests[which]).input("kubeconfig", &door.kubeconfig())
    };
    let deploy = |which: usize| step("deploy", which).input("release", release[which].as_str());
    let (versions, mut serving) = (["1.1.0", "1.2.0"], 0);
    deploy(0).run().ended(0, "1.1.0 runs in staging");
    for number in numbers(sample) {
        let next = 1 - serving;
        let seen = AtomicUsize::new(0);
        let is_it =
            move |request: &str| is_change(request) && seen.fetch_add(1, Ordering::SeqCst) + 1 == number;
        let held = door.gate().hold_first(is_it, moment);
        let Some(change) = kill_at(&deploy(next), &held) else {
            assert!(sample < number, "it ends before its change {number}");
            serving = next;
            break;
        };
        drop(held);
        shop.lease_ends();
        let run = match then {
            Then::Again => deploy(next).run().ended(0, &format!("{} runs in staging", versions[next])),
            Then::Reconcile => step("reconcile", next).run(),
        };
        let at =
            format!("killed {moment:?} change {number}, {change}: {run:#?}, {:#?}", door.gate().changes());
        assert_eq!(run.exit, Some(0), "{at}");
        // A run that had written nothing yet has left nothing to finish; nor has one that was at its end.
        let is_new = shop.versions()[0] == versions[next];
        assert!(is_new || (then == Then::Reconcile && run.outputs["cause"].contains("has ended")), "{at}");
        if !is_new {
            continue;
        }
        serving = next;
        assert_eq!(shop.versions(), [versions[serving]; 2], "{at}");
        assert_eq!(greeting(&shop), (serving + 1).to_string(), "{at}");
        check_closed(&shop);
        let back = step("rollback", serving).input("dry-run", "true").run().ended(0, "dry run");
        let way = format!("(release {} -> {})", versions[serving], versions[1 - serving]);
        assert_eq!(back.stdout.matches(&way).count(), 2, "{at}: {}", back.stdout);
    }
    // And the way back is whole.
    step("rollback", serving).run().ended(0, &format!("{} serves in staging again", versions[1 - serving]));
    assert_eq!(greeting(&shop), (2 - serving).to_string());
}

#[test]
fn a_deploy_of_manifests_that_is_killed_before_any_change_is_finished_by_the_next_one() {
    killed_at_every_change("dm-killa", Moment::Before, Then::Again, 6);
}

#[test]
fn a_deploy_of_manifests_that_is_killed_after_any_change_is_finished_by_reconcile() {
    killed_at_every_change("dm-killb", Moment::After, Then::Reconcile, 7);
}

#[test]
fn a_way_back_that_is_killed_between_any_two_changes_is_finished_by_reconcile() {
    let shop = empty("dm-backk");
    let door = Door::open("");
    let texts = [manifests(&shop, "1"), manifests(&shop, "2").replace(&service("web"), &service("front"))];
    let release = [shop.release(1, None), shop.release(2, None)];
    let through = |command: &str, which: usize| {
        step(&shop, command, &texts[which]).input("kubeconfig", &door.kubeconfig())
    };
    let deploy = |which: usize| through("deploy", which).input("release", release[which].as_str());
    let all = numbers(0);
    for number in if all.len() == 1 { vec![4, 6, 9] } else { all } {
        for which in [0, 1] {
            deploy(which).run().ended(0, &format!("1.{}.0 runs in staging", which + 1));
        }
        let seen = AtomicUsize::new(0);
        let is_it =
            move |request: &str| is_change(request) && seen.fetch_add(1, Ordering::SeqCst) + 1 == number;
        let held = door.gate().hold_first(is_it, Moment::After);
        let Some(change) = kill_at(&through("rollback", 1), &held) else {
            assert!(9 < number, "it ends before its change {number}");
            break;
        };
        drop(held);
        shop.lease_ends();
        let run = through("reconcile", 1).run();
        let at = format!("killed after change {number}, {change}: {run:#?}, {:#?}", door.gate().changes());
        assert_eq!(run.exit, Some(0), "{at}");
        // Before it has written that it goes back, it has not begun.
        if run.outputs["cause"].contains("has ended") && shop.versions() == ["1.2.0"; 2] {
            continue;
        }
        assert_eq!((shop.versions(), greeting(&shop).as_str()), (vec!["1.1.0".to_owned(); 2], "1"), "{at}");
        let services = shop.namespace.names("Service");
        assert!(services.contains(&"web".to_owned()) && !services.contains(&"front".to_owned()), "{at}");
        check_closed(&shop);
    }
}

#[test]
fn the_role_for_manifests_suffices_for_a_deploy_a_rollback_and_the_history() {
    let shop = empty("dm-role");
    let user = shop.user_of("role-manifests.yaml", "shipkit-manifests");
    let run = |step: Step| -> Transcript { step.input("kubeconfig", &user).run() };
    for digit in [1, 2] {
        let release = shop.release(digit, None);
        let text = manifests(&shop, &digit.to_string());
        run(deploy(&shop, &release, &text)).ended(0, &format!("1.{digit}.0 runs in staging"));
    }
    run(step(&shop, "history", "")).ended(0, "1.2.0 serves");
    run(step(&shop, "rollback", "")).ended(0, "1.1.0 serves in staging again");
    run(step(&shop, "reconcile", "")).ended(0, "has ended");
    let status = run(step(&shop, "status", ""));
    assert!(!status.stderr.contains("cannot be found out"), "{status:#?}");
    let text = format!(
        "{}---\napiVersion: v1\nkind: LimitRange\nmetadata: {{name: a}}\nspec: {{limits: []}}\n",
        manifests(&shop, "1")
    );
    let missing =
        run(deploy(&shop, &shop.release(3, None), &text)).ended(3, "these credentials may not, in namespace");
    assert!(missing.outputs["cause"].contains("patch limitranges"), "{missing:#?}");
}
