//! What becomes of pods on the node that is played, told as a kubelet tells it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use shipkit_core::Digest;

/// What becomes of the containers of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// They run and are ready.
    Ready,
    /// They run and are not ready.
    Unready,
    /// They run, are ready, and the node calls their image so.
    Called(String),
    /// They end with this exit code, again and again.
    Crash(i32),
    /// They wait with this reason and message.
    Wait(String, String),
    /// They end once with this exit code.
    Exit(i32),
}

/// What becomes of images, by the end of their names.
#[derive(Debug, Default)]
pub(super) struct Fates {
    /// Of those that serve; [`Fate::Ready`] where nothing is said.
    pub(super) serving: BTreeMap<String, Fate>,
    /// Of those in jobs; `Fate::Exit(0)` where nothing is said.
    pub(super) in_jobs: BTreeMap<String, Fate>,
}

impl Fates {
    fn of(&self, image: &str, is_in_job: bool) -> Fate {
        let (fates, other) =
            if is_in_job { (&self.in_jobs, Fate::Exit(0)) } else { (&self.serving, Fate::Ready) };
        let found = fates.iter().find(|(end, _)| image.ends_with(end.as_str()));
        found.map_or(other, |(_, fate)| fate.clone())
    }
}

pub(super) async fn step(pods: &Api<Pod>, pod: &Pod, fates: &Mutex<Fates>) {
    let name = pod.name_any();
    let Some(spec) = pod.spec.as_ref().filter(|spec| spec.node_name.is_some()) else { return };
    if pod.metadata.deletion_timestamp.is_some() {
        // It may be gone already.
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await.ok();
        return;
    }
    // What has ended stays as it did.
    let phase_now = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase_now, Some("Succeeded" | "Failed")) {
        return;
    }
    let is_in_job = spec.restart_policy.as_deref() == Some("Never");
    let fate_of = |image: &str| fates.lock().expect("the fates").of(image, is_in_job);
    let now = pod.status.clone().unwrap_or_default();
    let before = |name: &str| now.container_statuses.iter().flatten().find(|one| one.name == name);
    let statuses = spec.containers.iter().map(|one| {
        let fate = fate_of(one.image.as_deref().unwrap_or_default());
        (one.name.clone(), container(pod, one, &fate, before(&one.name)))
    });
    // Nodes write them in the order of their names.
    let statuses: Vec<Value> = statuses.collect::<BTreeMap<_, _>>().into_values().collect();
    let is_same = |old: &ContainerStatus, new: &Value| {
        let old = json!({"restartCount": old.restart_count, "ready": old.ready, "imageID": old.image_id, "state": old.state});
        let new = json!({"restartCount": new["restartCount"], "ready": new["ready"], "imageID": new["imageID"], "state": new["state"]});
        old == new
    };
    let old = now.container_statuses.clone().unwrap_or_default();
    if old.len() == statuses.len() && old.iter().zip(&statuses).all(|(old, new)| is_same(old, new)) {
        return;
    }
    let has_gates = spec.readiness_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    let is_ready =
        if statuses.iter().all(|one| one["ready"] == true) && !has_gates { "True" } else { "False" };
    // A controller that wants pods to be ready for a while looks at since when they are.
    let since = |kind: &str, status: &str| {
        let conditions = now.conditions.iter().flatten();
        let same = conditions.into_iter().find(|one| one.type_ == kind && one.status == status);
        same.and_then(|one| one.last_transition_time.clone()).unwrap_or(Time(Timestamp::now()))
    };
    let conditions: Vec<_> = [
        ("PodScheduled", "True"),
        ("Initialized", "True"),
        ("ContainersReady", is_ready),
        ("Ready", is_ready),
    ]
    .iter()
    .map(|(kind, status)| json!({"type": kind, "status": status, "lastTransitionTime": since(kind, status)}))
    .collect();
    let phase = phase(&statuses, is_in_job);
    // Whoever has no address is no endpoint of a Service.
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let [a, b] =
        uid.bytes().fold(7_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())).to_be_bytes();
    let ip = format!("10.201.{a}.{b}");
    // Of exactly this pod: one of a stateful set has the name of the one that it replaces.
    let status = json!({
        "metadata": {"uid": pod.metadata.uid},
        "status": {
            "phase": phase, "conditions": conditions, "containerStatuses": statuses,
            "podIP": ip, "podIPs": [{"ip": ip}],
        },
    });
    // It may be gone already, or changed: then the next event tells.
    pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.ok();
}

/// The phase of a pod: one waits for its node until all its containers have run, and ends only where none is started again.
fn phase(statuses: &[Value], is_in_job: bool) -> &'static str {
    let is_new = |one: &Value| {
        one.pointer("/state/waiting").is_some() && one.pointer("/lastState/terminated").is_none()
    };
    let code = |one: &Value| one.pointer("/state/terminated/exitCode").and_then(Value::as_i64);
    match statuses.iter().map(code).collect::<Option<Vec<_>>>() {
        Some(codes) if is_in_job && codes.iter().all(|code| *code == 0) => "Succeeded",
        Some(_) if is_in_job => "Failed",
        _ if statuses.iter().any(is_new) => "Pending",
        _ => "Running",
    }
}

/// The next state of a container.
fn container(pod: &Pod, spec: &Container, fate: &Fate, before: Option<&ContainerStatus>) -> Value {
    let (name, image) = (&spec.name, spec.image.clone().unwrap_or_default());
    let began = before.and_then(|one| one.state.as_ref());
    let restarts = before.map_or(0, |one| one.restart_count);
    let running = || json!({"running": {}});
    let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let ended = |code: &i32| json!({"terminated": {"exitCode": code, "reason": if *code == 0 { "Completed" } else { "Error" }}});
    let (state, last, restarts, is_ready) = match fate {
        _ if before.is_none() => (json!({"waiting": {"reason": "ContainerCreating"}}), json!({}), 0, false),
        Fate::Unready => (running(), json!({}), restarts, false),
        Fate::Wait(reason, message) => (waiting(reason, message), json!({}), restarts, false),
        // It runs for a moment first, as containers do.
        Fate::Exit(code) if began.is_some_and(|state| state.waiting.is_none()) => {
            (ended(code), json!({}), restarts, false)
        }
        Fate::Exit(_) | Fate::Ready | Fate::Called(_) => (running(), json!({}), restarts, true),
        Fate::Crash(code) => {
            let waits = began.and_then(|state| state.waiting.as_ref()?.reason.as_deref());
            let is_waiting = waits == Some("CrashLoopBackOff");
            let has_ended = began.is_some_and(|state| state.terminated.is_some());
            let is_running = began.is_some_and(|state| state.running.is_some());
            let (state, restarts) = match (has_ended, is_running, is_waiting) {
                (true, _, _) if restarts < 1 => (running(), restarts + 1),
                (true, _, _) | (_, _, true) => (waiting("CrashLoopBackOff", &backs_off(pod, name)), restarts),
                (_, true, _) => (ended(code), restarts),
                _ => (running(), 0),
            };
            (state, ended(code), restarts, false)
        }
    };
    let last = if restarts == 0 { json!({}) } else { last };
    let is_new = state.get("waiting").is_some() && last.get("terminated").is_none();
    let id = match fate {
        _ if is_new => String::new(),
        Fate::Called(id) => id.clone(),
        Fate::Ready | Fate::Unready | Fate::Crash(_) | Fate::Wait(..) | Fate::Exit(_) => identified(&image),
    };
    // One that was asked for by digest has no name at the node; its settings have a digest of their own.
    let called =
        if is_new || !image.contains('@') { image } else { Digest::of(image.as_bytes()).to_string() };
    json!({
        "name": name, "image": called, "imageID": id, "restartCount": restarts, "ready": is_ready,
        "started": state.get("running").is_some(), "state": state, "lastState": last,
    })
}

/// What a node says about a container that it starts again only after a while.
fn backs_off(pod: &Pod, container: &str) -> String {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let uid = pod.uid().unwrap_or_default();
    format!("back-off 10s restarting failed container={container} pod={name}_{namespace}({uid})")
}

/// What a node calls an image: by repository and digest, and never by a tag.
fn identified(image: &str) -> String {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, digest.to_owned()),
        None => (image, Digest::of(image.as_bytes()).to_string()),
    };
    let repository = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    format!("{repository}@{digest}")
}
