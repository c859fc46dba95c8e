//! `examples/shop` on a real node: containers that start, answer, are asked to end and end, behind Services of kube-proxy.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::{Value, json};
use shipkit_core::journal::{Intent, Journal, Resume, resume};
use shipkit_core::{Digest, ImageRef};
use shipkit_smoke::WatchReport;
use shipkit_tests::server::kubernetes::{Fate, Namespace};
use shipkit_tests::soon;

use super::QUIET;
use super::load::{check_lossless, rounds, watched};
use crate::bed::{Bed, Step, Transcript, ask};
use crate::cluster::step_as;

/// The registry of the bed, which has what the images of `examples/shop` are built upon.
const REGISTRY: &str = "localhost:5050";
/// What a team would have in its repository.
const MANIFESTS: &str = include_str!("../../fixtures/shop.yaml");
/// The line that lets a pod answer for a while longer than it is wanted.
const LINGERS: &str = "          lifecycle: {preStop: {sleep: {seconds: 3}}}\n";
/// The line by which a pod of `web` is asked whether it is ready.
const READY: &str = "          readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1, timeoutSeconds: 10}\n";

/// A shop in a namespace of its own, with its database, and releases 1 and 2 of it.
struct Real {
    namespace: Namespace,
    bed: Bed,
    strategy: &'static str,
    releases: [Digest; 2],
}

impl Real {
    /// The first release serves.
    fn new(name: &str, strategy: &'static str) -> Self {
        let (namespace, mut bed) = (Namespace::real(name), Bed::at(name, REGISTRY));
        data(&namespace);
        let images = [1, 2].map(|digit| (bed.shop_image("api", digit), bed.shop_image("web", digit)));
        let release =
            |digit: u8, (api, web): &(ImageRef, ImageRef)| bed.release(digit, (api, digit), (web, digit));
        let releases = [release(1, &images[0]), release(2, &images[1])];
        let real = Self { namespace, bed, strategy, releases };
        real.deploy(&real.releases[0], &real.manifests()).run().ended(0, "1.1.0 runs in staging");
        // kube-proxy hears of them later than we do.
        for name in ["api", "web"] {
            soon("nobody answers", || real.answers(name));
        }
        real
    }

    fn manifests(&self) -> String {
        MANIFESTS.replace("IMAGES", &format!("{}/{}", self.bed.host(), self.bed.stack))
    }

    fn config(&self) -> String {
        let (registry, stack, namespace) = (self.bed.host(), &self.bed.stack, self.namespace.name());
        let (strategy, deploy) = (self.strategy, "deploy: {update_config: {monitor: 1s}}");
        format!(
            "version: 1\nname: shop\nregistry: {registry}/{stack}\nservices:\n\
             \x20 api:\n    build: {{context: api}}\n    kubernetes: {{deployment: api, container: api}}\n    {deploy}\n\
             \x20 web:\n    build: {{context: web}}\n    depends_on: [api]\n    kubernetes: {{deployment: web, container: web}}\n    {deploy}\n\
             environments:\n  staging:\n    timeout: 60s\n    strategy: {strategy}\n    target: {{type: kubernetes, namespace: {namespace}, \
             context: bed, manifests: k8s.yaml}}\n"
        )
    }

    fn step(&self, command: &str) -> Step {
        step_as(command, &self.config()).file("k8s.yaml", &self.manifests())
    }

    fn deploy(&self, release: &Digest, manifests: &str) -> Step {
        self.step("deploy").file("k8s.yaml", manifests).input("release", release.as_str())
    }

    /// Where a Service is: kube-proxy spreads what comes there over the pods.
    fn address(&self, name: &str) -> String {
        let service = self.namespace.get("Service", name);
        format!("{}:80", service["spec"]["clusterIP"].as_str().unwrap())
    }

    /// Nobody else tells when kube-proxy has heard of a pod.
    fn answers(&self, name: &str) -> bool {
        let address: SocketAddr = self.address(name).parse().unwrap();
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        stream.is_ok_and(|stream| ask(stream, "/version.json").0 != 502)
    }

    /// What users of a service notice while something happens.
    fn noticed<T: Send>(&self, service: &str, happens: impl FnOnce() -> T + Send) -> (T, WatchReport) {
        let path = if service == "api" { "version" } else { "version.json" };
        let url = format!("http://{}/{path}", self.address(service));
        // Elsewhere, where it may wait for a future of its own.
        watched(&url, || std::thread::scope(|scope| scope.spawn(happens).join().unwrap()))
    }

    /// Runs it, and no request to a service is lost; only these revisions answer.
    #[track_caller]
    fn lossless(&self, service: &str, step: Step, revisions: &[u8]) -> Transcript {
        let (run, report) = self.noticed(service, || step.run());
        check_lossless(&report, revisions);
        run
    }

    fn versions(&self) -> Vec<String> {
        let version = |name| {
            let live = self.namespace.get("Deployment", name);
            live["metadata"]["annotations"]["shipkit.dev/version"].as_str().unwrap_or_default().to_owned()
        };
        ["api", "web"].map(version).to_vec()
    }
}

/// The database, which no release touches.
fn data(namespace: &Namespace) {
    let labels = json!({"app": "postgres"});
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "password"}, "data": {"password": "of the tests"},
    }));
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "postgres"},
        "spec": {"selector": labels, "ports": [{"port": 5432}]},
    }));
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "postgres", "labels": labels},
        "spec": {
            "nodeSelector": {"only": "real"}, "tolerations": [{"key": "only", "value": "real"}], "dnsPolicy": "Default",
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "postgres", "image": format!("{REGISTRY}/shop-base/postgres:15"),
                "env": [
                    {"name": "POSTGRES_USER", "value": "shop"}, {"name": "POSTGRES_DB", "value": "shop"},
                    {"name": "POSTGRES_PASSWORD_FILE", "value": "/run/password/password"},
                ],
                "volumeMounts": [{"name": "password", "mountPath": "/run/password"}],
            }],
            "volumes": [{"name": "password", "configMap": {"name": "password"}}],
        },
    }));
}

#[test]
fn a_real_node_replaces_releases_without_a_loss_and_loses_requests_where_pods_end_at_once() {
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    let real = Real::new("real-load", "rolling");
    let good = real.manifests();
    let [first, second] = &real.releases;
    for _ in 0..rounds(3) {
        for (release, version, service) in
            [(second, "1.2.0", "web"), (first, "1.1.0", "api"), (second, "1.2.0", "web")]
        {
            let run = real.lossless(service, real.deploy(release, &good), &[1, 2]);
            run.ended(0, &format!("{version} runs in staging"));
        }
        let run = real.lossless("api", real.step("rollback"), &[1, 2]);
        run.ended(0, "1.1.0 serves in staging again");
    }

    // The same, so that something can be lost: pods that end when they are asked to, and pods that are called ready too early.
    let hasty = good.replace(LINGERS, "");
    let late = "          command: [/bin/sh, -c, \"sleep 2; exec /entrypoint\"]\n";
    for bad in [hasty, good.replace(READY, late)] {
        assert_ne!(bad, good);
        let there_and_back = || [real.deploy(second, &bad).run(), real.deploy(first, &good).run()];
        let (runs, report) = real.noticed("web", there_and_back);
        assert_eq!(runs.map(|run| run.exit), [Some(0), Some(0)]);
        assert_ne!(report.failed, 0, "{report:#?}");
    }
}

#[test]
fn a_real_node_shifts_to_slots_and_between_them_without_a_loss_although_pods_end_at_once() {
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    let mut real = Real::new("real-slots", "rolling");
    real.strategy = "blue-green";
    let good = real.manifests().replace(LINGERS, "");
    let good = good.replace("terminationGracePeriodSeconds: 15", "terminationGracePeriodSeconds: 8");
    let [first, second] = &real.releases;
    let slot = || real.namespace.get("Service", "web")["spec"]["selector"]["shipkit.dev/slot"].clone();
    for (release, version, service, expected) in
        [(second, "1.2.0", "web", "blue"), (first, "1.1.0", "api", "green"), (second, "1.2.0", "web", "blue")]
    {
        let run = real.lossless(service, real.deploy(release, &good), &[1, 2]);
        run.ended(0, &format!("{version} runs in staging"));
        assert_eq!(slot(), expected);
    }
    let run = real.lossless("web", real.step("rollback"), &[1, 2]);
    run.ended(0, "1.1.0 serves in staging again");
    assert_eq!(slot(), "green");
}

#[test]
fn new_pods_of_a_slot_are_asked_before_a_service_selects_them() {
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    let real = Real::new("real-asked", "blue-green");
    let (good, second) = (real.manifests(), &real.releases[1]);
    let asked = |expected: &str| {
        let url = format!("    url: http://{}\n", real.address("web"));
        let check = format!("{{get: /version.json, service: web, expect: {{status: {expected}}}}}");
        let build = "    build: {context: web}\n";
        let config = real.config().replacen(
            build,
            &format!("{build}    port: 8080\n    healthcheck: {{ready: /health}}\n"),
            1,
        );
        config.replacen("    timeout: 60s\n", &format!("    timeout: 60s\n{url}    smoke: [{check}]\n"), 1)
    };
    let slot = || real.namespace.get("Service", "web")["spec"]["selector"]["shipkit.dev/slot"].clone();
    let deploy = |expected: &str| real.deploy(second, &good).file("shipkit.yml", &asked(expected));

    let run = real.lossless("web", deploy("201"), &[1]);
    let run = run.ended(1, "rolled back: `web` is not sent any request: instance `web-green-");
    assert!(run.outputs["cause"].contains("status 200"), "{run:#?}");
    assert_eq!(slot(), "blue");

    let run = real.lossless("web", deploy("200"), &[1, 2]);
    let run = run.ended(0, "1.2.0 serves in staging");
    let said = run
        .stderr
        .lines()
        .filter(|line| line.contains("instance `web-green-") && line.ends_with("answers as it should"));
    assert_eq!((said.count(), slot()), (2, json!("green")), "{}", run.stderr);
    // What serves already is not asked once more.
    let run = deploy("200").run();
    let run = run.ended(0, "1.2.0 serves in staging");
    assert!(!run.stderr.contains("answers as it should"), "{}", run.stderr);
}

#[test]
fn what_cannot_run_on_a_real_node_goes_back_and_nobody_notices() {
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    let mut real = Real::new("real-bad", "rolling");
    let (good, api) = (real.manifests(), real.bed.shop_image("api", 1));
    // Its last words come from the node.
    let crashing = real.bed.answering(3, "crash");
    let third = real.bed.release(3, (&api, 1), (&crashing, 3));
    let run = real.lossless("web", real.deploy(&third, &good), &[1]);
    let run = run.ended(1, "rolled back: `web` keeps failing: container `web` of pod `web-");
    // A probe may have come between its start and its end, and is told then, too.
    assert!(run.outputs["cause"].contains("ended with exit code 3; "), "{run:#?}");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert!(run.everything().contains(&format!("REVISION is {}", "3".repeat(40))), "{run:#?}");

    let second = real.releases[1].clone();
    let none = format!("{}/{}/none@sha256:{}", real.bed.host(), real.bed.stack, "0".repeat(64));
    let sidecar = format!("      containers:\n        - {{name: side, image: \"{none}\"}}\n");
    let missing = good.replacen("      containers:\n", &sidecar, 1);
    let run = real.lossless("api", real.deploy(&second, &missing), &[1]);
    let run = run.ended(1, "rolled back: `api` cannot start: container `side` of pod `api-");
    assert!(run.outputs["cause"].contains(" waits, ErrImagePull: "), "{run:#?}");
    assert!(run.outputs["cause"].contains(&format!("{none}: not found; 1.1.0 serves")), "{run:#?}");

    let unready = good.replace("path: /health,", "path: /nowhere,");
    let config = real.config().replacen("timeout: 60s", "timeout: 20s", 1);
    let step = real.deploy(&second, &unready).file("shipkit.yml", &config);
    let run = real.lossless("web", step, &[1]);
    let run = run.ended(1, "rolled back: `web` did not converge within 20 s, 0 of 2 pods ready: pod `web-");
    assert!(
        run.outputs["cause"].contains("` runs and does not become ready; event of pod `web-"),
        "{run:#?}"
    );
    let probe = "Unhealthy, Readiness probe failed: HTTP probe failed with statuscode: 404; 1.1.0 serves";
    assert!(run.outputs["cause"].ends_with(probe), "{run:#?}");
    assert_eq!(real.versions(), ["1.1.0", "1.1.0"]);
}

#[test]
fn a_deploy_that_is_killed_on_a_real_node_is_finished_by_reconcile_and_nobody_notices() {
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    let real = Real::new("real-kill", "rolling");
    let step = real.deploy(&real.releases[1], &real.manifests());
    let (run, report) = real.noticed("web", || {
        let mut child = step.start();
        let stderr = child.stderr.take().unwrap();
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with("update `web`")), "it never began");
        // Some pods are new and some are not.
        let live = || real.namespace.get("Deployment", "web");
        soon("no pod was ever replaced", || live()["status"]["updatedReplicas"] == 1);
        child.kill().unwrap();
        child.wait().unwrap();
        for lease in real.namespace.names("Lease") {
            real.namespace.merge("Lease", &lease, &json!({"spec": {"holderIdentity": null}}));
        }
        real.step("reconcile").run()
    });
    let run = run.ended(0, "1.2.0");
    check_lossless(&report, &[1, 2]);
    assert_eq!(real.versions(), ["1.2.0", "1.2.0"], "{run:#?}");
    let lease = real.namespace.get("Lease", "shop-shipkit");
    let journal = lease["metadata"]["annotations"]["shipkit.dev/journal"].as_str();
    let left = resume(Some(&Journal::parse(journal.unwrap()).unwrap()), Intent::Reconcile);
    assert!(matches!(left, Resume::Nothing { .. }), "{left:?}");
}

/// What a node says about a pod, without what differs each time.
fn told(namespace: &Namespace, pod: &str) -> Value {
    let status = namespace.get("Pod", pod)["status"].take();
    let state = |state: &Value| {
        let (kind, more) = state.as_object().and_then(|state| state.iter().next())?;
        let message =
            more["message"].as_str().unwrap_or_default().split_once(" pod=").map(|(before, _)| before);
        Some(json!([kind, more["reason"], more["exitCode"], message]))
    };
    let containers = status["containerStatuses"].as_array().cloned().unwrap_or_default();
    let containers = containers.iter().map(|one| {
        let mut said = one.clone();
        said["state"] = json!(state(&one["state"]));
        said["lastState"] = json!(state(&one["lastState"]));
        // Images are asked for by digest here, so no name is left of one that runs.
        if one["image"].as_str().unwrap().starts_with("sha256:") {
            said["image"] = json!("its settings");
        }
        let fields = said.as_object_mut().unwrap();
        fields.retain(|name, _| name != "containerID" && name != "resources");
        said
    });
    let containers: Vec<Value> = containers.collect();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let is_told = |condition: &&Value| condition["type"] != "PodReadyToStartContainers";
    let conditions = conditions.iter().filter(is_told);
    let conditions: BTreeMap<&str, &Value> =
        conditions.map(|one| (one["type"].as_str().unwrap(), &one["status"])).collect();
    json!({"phase": status["phase"], "conditions": conditions, "containers": containers})
}

/// A pod of two containers for whichever node its namespace is for: how it behaves, what it runs, and whether it runs again.
fn pod(image: &str, mode: &str, command: &[&str], restarts: &str) -> Value {
    let container = |name| {
        json!({
            "name": name, "image": image, "command": command, "env": [{"name": "MODE", "value": mode}],
            "readinessProbe": {"exec": {"command": ["/bin/sh"]}, "periodSeconds": 1},
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "says"},
        "spec": {
            "restartPolicy": restarts, "terminationGracePeriodSeconds": 0, "dnsPolicy": "Default",
            "containers": [container("b"), container("a")],
        },
    })
}

#[test]
fn nodes_that_are_played_say_what_a_real_one_says() {
    let (real, played) = (Namespace::real("says"), Namespace::new("says-too"));
    let mut bed = Bed::new("says");
    let image = bed.image(1, "good").to_string();
    let none = format!("{}/none@sha256:{}", bed.host(), "0".repeat(64));
    let pulls = || Fate::Wait("ImagePullBackOff".to_owned(), "Back-off".to_owned());
    let (serve, migrate, fail) =
        (["/container", "serve"], ["/container", "migrate"], ["/container", "migrate", "fail"]);
    let cases: [(Fate, &str, Value, &str); 6] = [
        (Fate::Ready, "ready", pod(&image, "good", &serve, "Always"), "running"),
        (Fate::Unready, "unready", pod(&image, "sick", &serve, "Always"), "running"),
        (Fate::Crash(3), "crash", pod(&image, "crash", &serve, "Always"), "CrashLoopBackOff"),
        (pulls(), "missing", pod(&none, "good", &serve, "Always"), "ImagePullBackOff"),
        (Fate::Exit(0), "ends", pod(&image, "good", &migrate, "Never"), "Succeeded"),
        (Fate::Exit(4), "fails", pod(&image, "good", &fail, "Never"), "Failed"),
    ];
    for (fate, what, object, end) in cases {
        for image in [&image, &none] {
            played.will(image, fate.clone());
            played.jobs_will(image, fate.clone());
        }
        let said = [(&real, true), (&played, false)].map(|(namespace, is_real)| {
            let mut object = object.clone();
            if is_real {
                object["spec"]["nodeSelector"] = json!({"only": "real"});
                object["spec"]["tolerations"] = json!([{"key": "only", "value": "real"}]);
            }
            namespace.apply(&object);
            let is_there = |said: &Value| {
                let of_both = said["containers"].as_array().unwrap();
                let is_so = |one: &Value| one["state"][0] == end || one["state"][1] == end;
                let is_ready = what != "ready" || of_both.iter().all(|one| one["ready"] == true);
                said["phase"] == end || (of_both.len() == 2 && of_both.iter().all(is_so) && is_ready)
            };
            let mut said = Value::Null;
            soon(what, || {
                said = told(namespace, "says");
                is_there(&said)
            });
            namespace.delete("Pod", "says");
            soon("it never goes", || namespace.names("Pod").is_empty());
            said
        });
        assert_eq!(said[1], said[0], "{what}");
    }
}
