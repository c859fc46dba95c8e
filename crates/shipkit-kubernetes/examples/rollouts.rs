//! Rollouts in the control plane of the bed, measured: what `./bench kubernetes` runs. Its node is played, so pods start at once;
//! everything else is what clusters run.
//!
//! `rollouts crash|done|fifty|requests|memory` prints numbers, a line each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::missing_docs_in_private_items,
    reason = "a measurement stops at the first surprise, and its output is what it is for"
)]
#![allow(dead_code, unreachable_pub, reason = "the bed is that of the tests, which use all of it")]

#[path = "../tests/cluster/bed.rs"]
mod bed;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use shipkit_core::config::KubernetesNames;
use shipkit_core::manifests::{Manifests, Part};
use shipkit_core::rollout::Next;
use shipkit_core::target::{Update, plan};
use shipkit_kubernetes::{Access, Cluster, Place};
use shipkit_tests::server::door::{Door, kubectl};
use shipkit_tests::server::kubernetes::{Fate, Namespace, kubeconfig};

use bed::{Bed, DEADLINE, MONITOR, image, place, release};

/// How many workloads a large release has.
const WORKLOADS: usize = 50;
/// How many pods a large deployment has.
const PODS: u64 = 1000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("crash"), None) => crash(),
        (Some("done"), None) => done(),
        (Some("fifty"), None) => fifty(),
        (Some("requests"), None) => requests(),
        (Some("memory"), None) => memory(),
        (Some("watch"), Some(namespace)) => watch(&namespace),
        _ => panic!("rollouts crash|done|fifty|requests|memory"),
    }
}

/// `kubectl` in a namespace; it must end with this code.
fn kubectl_in(namespace: &Namespace, arguments: &[&str], code: i32) {
    let mut command = Command::new(kubectl());
    command.args(["--kubeconfig", kubeconfig().to_str().unwrap(), "--namespace", namespace.name()]);
    let run = command.args(arguments).output().unwrap();
    assert_eq!(run.status.code(), Some(code), "{arguments:?}: {run:?}");
}

/// Seconds from a change whose pods crash until that is told; then `kubectl rollout status` of the same, for the least deadline
/// that a cluster is usually given.
fn crash() {
    let bed = Bed::new("bench-crash", &["api"]);
    bed.deploy(&release("1", 1, &[("api", "one")]));
    bed.namespace.will(image("two").digest.as_str(), Fate::Crash(3));
    let begun = Instant::now();
    let (applied, _) = bed.fails(&release("2", 2, &[("api", "two")]), DEADLINE);
    println!("{:.3}", begun.elapsed().as_secs_f64());
    let back = bed.namespace.wait(bed.cluster.undo(&applied)).unwrap().unwrap();
    assert_eq!(bed.arrive(&back, DEADLINE), Next::Done);
    bed.namespace.merge("Deployment", "api", &serde_json::json!({"spec": {"progressDeadlineSeconds": 30}}));
    let begun = Instant::now();
    kubectl_in(&bed.namespace, &["set", "image", "deployment/api", &format!("api={}", image("two"))], 0);
    kubectl_in(&bed.namespace, &["rollout", "status", "deployment/api"], 1);
    println!("{:.3}", begun.elapsed().as_secs_f64());
}

/// Seconds from the last pod being ready, as somebody else sees it, until a rollout is done, without the time in which all has to
/// stay as it should be.
fn done() {
    let bed = Bed::new("bench-done", &["api"]);
    bed.deploy(&release("1", 1, &[("api", "one")]));
    let namespace = bed.namespace.name().to_owned();
    let wanted = image("two").to_string();
    let (told, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig()).unwrap();
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
            let client = kube::Client::try_from(config).unwrap();
            let pods: Api<Pod> = Api::namespaced(client, &namespace);
            let mut events = watcher(pods, watcher::Config::default()).applied_objects().boxed();
            let mut ready = std::collections::BTreeSet::new();
            while let Some(pod) = events.try_next().await.unwrap() {
                let is_new =
                    pod.spec.as_ref().is_some_and(|spec| spec.containers[0].image.as_ref() == Some(&wanted));
                let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
                let is_ready = conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True");
                if is_new && is_ready && ready.insert(pod.metadata.name.clone()) && ready.len() == 3 {
                    told.send(Instant::now()).unwrap();
                    return;
                }
            }
        });
    });
    let applied = bed.apply(&release("2", 2, &[("api", "two")])).pop().unwrap();
    assert_eq!(bed.arrive(&applied, DEADLINE), Next::Done);
    let end = Instant::now();
    println!("{:.3}", end.duration_since(seen.recv().unwrap()).saturating_sub(MONITOR).as_secs_f64());
}

/// The manifests of deployments of one pod each.
fn manifests(names: &[String], content: &str) -> String {
    let one = |name: &String| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  \
             template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      terminationGracePeriodSeconds: 0\n      \
             containers: [{{name: {name}, image: \"{}\"}}]\n",
            image(content)
        )
    };
    names.iter().map(one).collect()
}

/// Seconds that a release of so many workloads takes, from the change until all have arrived; and the same by `kubectl`.
fn of_workloads(count: usize) -> (f64, f64) {
    let namespace = Namespace::new(&format!("bench-{count}"));
    let names: Vec<String> = (0..count).map(|number| format!("app-{number}")).collect();
    let services: Vec<&str> = names.iter().map(String::as_str).collect();
    // As long as it is where nobody says anything.
    let monitor = Update::default().monitor;
    let place = || {
        let mut place = Place { has_manifests: true, ..place(namespace.name(), &services, &[]) };
        place.workloads.iter_mut().for_each(|workload| workload.monitor = monitor);
        place
    };
    let deploy = |version: &str, minute, content: &str| {
        let pairs: Vec<(&str, &str)> = services.iter().map(|name| (*name, content)).collect();
        let mut desired = release(version, minute, &pairs);
        let access = Access::File { path: kubeconfig(), context: Some("bed".to_owned()) };
        namespace.wait(async {
            let mut cluster = Cluster::connect(&access, place()).await.unwrap();
            let text = manifests(&names, content);
            let parsed = Manifests::parse([("k8s.yaml", text.as_bytes())]).unwrap();
            // All run one image, so each is found by its name.
            let part = |name: &String| {
                let part = Part {
                    image: Some(image(content)),
                    names: Some(KubernetesNames::default()),
                    ..Part::default()
                };
                (name.clone(), part)
            };
            let parts: BTreeMap<String, Part> = names.iter().map(part).collect();
            cluster.render(parsed, &parts).await.unwrap();
            for service in &mut desired.services {
                service.settings.manifests = cluster.manifests_digest();
            }
            let changes = plan(&desired, &cluster.observe().await.unwrap());
            let begun = Instant::now();
            let (applied, _, told) = cluster.apply_all(&desired, &changes).await;
            told.unwrap();
            let all: Vec<_> = applied.iter().collect();
            let ended = cluster.rollouts(&all, DEADLINE, |_, _| {}).await.unwrap();
            let took = begun.elapsed();
            assert_eq!(ended, None);
            cluster.confirm(&desired).await.unwrap();
            took.as_secs_f64()
        })
    };
    deploy("1", 1, "one");
    let ours = deploy("2", 2, "two");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k8s.yaml");
    std::fs::write(&file, manifests(&names, "three")).unwrap();
    let begun = Instant::now();
    kubectl_in(
        &namespace,
        &["apply", "--server-side", "--force-conflicts", "--filename", file.to_str().unwrap()],
        0,
    );
    for name in &names {
        kubectl_in(&namespace, &["rollout", "status", &format!("deployment/{name}")], 0);
    }
    (ours, begun.elapsed().as_secs_f64())
}

fn fifty() {
    for count in [1, WORKLOADS] {
        let (ours, kubectl) = of_workloads(count);
        println!("{ours:.3}\n{kubectl:.3}");
    }
}

/// How many requests a rollout of 3 pods and one of 30 takes, from the first look until it is confirmed.
fn requests() {
    let door = Door::open("");
    for pods in [3, 30] {
        let mut bed = Bed::new(&format!("bench-req-{pods}"), &["api"]);
        bed.namespace.merge("Deployment", "api", &serde_json::json!({"spec": {"replicas": pods}}));
        bed.deploy(&release("1", 1, &[("api", "one")]));
        let access = Access::Text { text: door.kubeconfig().into(), context: None };
        let place = place(bed.namespace.name(), &["api"], &[]);
        bed.cluster = bed.namespace.wait(Cluster::connect(&access, place)).unwrap();
        let before = door.gate().requests();
        bed.deploy(&release("2", 2, &[("api", "two")]));
        println!("{}", door.gate().requests() - before);
    }
}

/// The peak memory of a process, in MB, that watches a deployment of a thousand pods until it is done.
fn memory() {
    let bed = Bed::new("bench-memory", &["api"]);
    bed.namespace.merge("Deployment", "api", &serde_json::json!({"spec": {"replicas": PODS}}));
    bed.namespace.wait(bed.cluster.observe()).unwrap();
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["watch", bed.namespace.name()])
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    print!("{}", String::from_utf8(run.stdout).unwrap());
}

/// Deploys to a namespace that is there, and says how much memory that took at its peak.
fn watch(namespace: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let desired = release("1", 1, &[("api", "one")]);
    runtime.block_on(async {
        let access = Access::File { path: kubeconfig(), context: Some("bed".to_owned()) };
        let cluster = Cluster::connect(&access, place(namespace, &["api"], &[])).await.unwrap();
        let changes = plan(&desired, &cluster.observe().await.unwrap());
        for change in &changes {
            let Some(applied) = cluster.apply(&desired, change).await.unwrap() else { continue };
            let next = cluster.rollout(&applied, Duration::from_mins(20), |_| {}).await.unwrap();
            assert_eq!(next, Next::Done);
        }
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{:.1}", kilobytes / 1024.0);
}
