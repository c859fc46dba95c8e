//! `Namespace`: a namespace of a real control plane, with a node that is played: its pods start, crash or wait as a test
//! says. There is no container anywhere; everything but the node is what clusters run. Or without one, for pods on the real node.
#![allow(clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use futures_util::StreamExt as _;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, Namespace as Object, Node, Pod, ServiceAccount,
};
use k8s_openapi::api::rbac::v1::Role;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::discovery::ApiResource;
use kube::core::gvk::GroupVersionKind;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use shipkit_core::Digest;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::soon;

/// The node that all tests share.
const NODE: &str = "played";

/// The node with containers.
const REAL: &str = "localhost";

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
struct Fates {
    /// Of those that serve; [`Fate::Ready`] where nothing is said.
    serving: BTreeMap<String, Fate>,
    /// Of those in jobs; `Fate::Exit(0)` where nothing is said.
    in_jobs: BTreeMap<String, Fate>,
}

impl Fates {
    fn of(&self, image: &str, is_in_job: bool) -> Fate {
        let (fates, other) =
            if is_in_job { (&self.in_jobs, Fate::Exit(0)) } else { (&self.serving, Fate::Ready) };
        let found = fates.iter().find(|(end, _)| image.ends_with(end.as_str()));
        found.map_or(other, |(_, fate)| fate.clone())
    }
}

/// A namespace with a node of its own that looks after its pods; it is removed when this is dropped.
pub struct Namespace {
    name: String,
    client: Client,
    runtime: Runtime,
    fates: Arc<Mutex<Fates>>,
    /// Tells the node that a fate has changed; the node ends when it is gone.
    changed: Option<mpsc::UnboundedSender<()>>,
    node: Option<JoinHandle<()>>,
    /// Nodes that only its pods may use.
    nodes: Mutex<Vec<String>>,
}

/// The kubeconfig of the control plane that `scripts/bed up kubernetes` starts.
///
/// # Panics
/// When there is none: these tests are not ones that may be left out.
#[must_use]
pub fn kubeconfig() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/shipkit");
    let cache = std::env::var_os("SHIPKIT_CACHE").map_or_else(home, PathBuf::from);
    let path = cache.join("bed/kubernetes/kubeconfig");
    assert!(path.is_file(), "there is no control plane: `scripts/bed up kubernetes` starts one");
    path
}

async fn admin() -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig()).expect("the kubeconfig of the bed");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

impl Namespace {
    /// Creates it, and the node if no test has done so.
    ///
    /// # Panics
    /// When the control plane is not there or refuses.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut namespace = Self::bare(name);
        namespace.wait(play(&namespace.client, NODE, None));
        let (changed, told) = mpsc::unbounded_channel();
        let (name, known) = (namespace.name.clone(), Arc::clone(&namespace.fates));
        namespace.changed = Some(changed);
        namespace.node = Some(std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { look_after(admin().await, &name, &known, told).await });
        }));
        namespace
    }

    /// Creates it for pods on the node that `scripts/bed up kubelet` starts: those with the node selector `only: real` that
    /// tolerate the taint of that name.
    ///
    /// # Panics
    /// When that node is not there: these tests are not ones that may be left out.
    #[must_use]
    pub fn real(name: &str) -> Self {
        let namespace = Self::bare(name);
        let nodes: Api<Node> = Api::all(namespace.client.clone());
        let found = namespace.wait(nodes.get_opt(REAL)).expect("the control plane answers");
        assert!(found.is_some(), "there is no real node: `scripts/bed up kubelet` starts one");
        namespace
    }

    fn bare(name: &str) -> Self {
        let name = format!("sk{}-{name}", std::process::id());
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let client = runtime.block_on(admin());
        runtime.block_on(create(&client, &name));
        let (fates, nodes) = (Arc::default(), Mutex::default());
        Self { name, client, runtime, fates, changed: None, node: None, nodes }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on this becomes of images whose names end so; [`Fate::Ready`] where nothing is said.
    ///
    /// # Panics
    /// When the node has failed.
    pub fn will(&self, image: &str, fate: Fate) {
        self.fates.lock().expect("the fates").serving.insert(image.to_owned(), fate);
        self.changed.as_ref().expect("a node").send(()).expect("the node lives");
    }

    /// From now on this becomes of such images in jobs; they end well where nothing is said.
    ///
    /// # Panics
    /// When the node has failed.
    pub fn jobs_will(&self, image: &str, fate: Fate) {
        self.fates.lock().expect("the fates").in_jobs.insert(image.to_owned(), fate);
        self.changed.as_ref().expect("a node").send(()).expect("the node lives");
    }

    /// Waits for a future.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// An object as it is.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let api = self.api(kind);
        let object = self.wait(api.get(name)).unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
        json!(object)
    }

    /// An object; `None` if it is not there.
    ///
    /// # Panics
    /// When the cluster cannot be asked.
    #[must_use]
    pub fn find(&self, kind: &str, name: &str) -> Option<Value> {
        let api = self.api(kind);
        let found = self.wait(api.get_opt(name)).unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
        found.map(|object| json!(object))
    }

    /// The names of all objects of a kind.
    ///
    /// # Panics
    /// When they cannot be listed.
    #[must_use]
    pub fn names(&self, kind: &str) -> Vec<String> {
        let every = ListParams::default();
        let api = self.api(kind);
        let listed = self.wait(api.list(&every)).unwrap_or_else(|error| panic!("{kind}: {error}"));
        listed.iter().map(kube::ResourceExt::name_any).collect()
    }

    /// Changes fields of an object; `null` removes one.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn merge(&self, kind: &str, name: &str, fields: &Value) {
        let api = self.api(kind);
        let done = self.wait(api.patch(name, &PatchParams::default(), &Patch::Merge(fields)));
        done.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    }

    /// Removes an object.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn delete(&self, kind: &str, name: &str) {
        let api = self.api(kind);
        let done = self.wait(api.delete(name, &DeleteParams::background()));
        done.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    }

    /// Writes an object as a person with `kubectl apply` does.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn apply(&self, object: &Value) {
        self.apply_as("kubectl", object);
    }

    /// Writes an object in the name of some field manager.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn apply_as(&self, manager: &str, object: &Value) {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let api = self.api(&text("/kind"));
        let how = PatchParams::apply(manager).force();
        let done = self.wait(api.patch(&text("/metadata/name"), &how, &Patch::Apply(object)));
        done.unwrap_or_else(|error| panic!("{object}: {error}"));
    }

    /// Sets what a controller says of an object.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn set_status(&self, kind: &str, name: &str, fields: &Value) {
        let api = self.api(kind);
        let done = self.wait(api.patch_status(name, &PatchParams::default(), &Patch::Merge(fields)));
        done.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    }

    /// Defines a kind for the whole cluster, where it stays, and waits until it is served.
    ///
    /// # Panics
    /// When the cluster refuses, or does not serve it within a minute.
    pub fn define(&self, definition: &Value) {
        let text = |path: &str| definition.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let definitions = ApiResource::from_gvk_with_plural(&kind, "customresourcedefinitions");
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &definitions);
        let how = PatchParams::apply("kubectl").force();
        self.wait(api.patch(text("/metadata/name"), &how, &Patch::Apply(definition))).expect("a definition");
        let group = format!("{}/v1", text("/spec/group"));
        let is_served = || {
            let listed = self.wait(self.client.list_api_group_resources(&group));
            listed.is_ok_and(|all| all.resources.iter().any(|one| one.kind == text("/spec/names/kind")))
        };
        soon("it is never served", is_served);
    }

    /// A deployment as teams write it: three pods of one container, replaced without a gap.
    pub fn deployment(&self, name: &str, image: &str) {
        self.apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"team": "a"}},
            "spec": {
                "replicas": 3, "selector": {"matchLabels": {"app": name}},
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": name, "image": image}]},
                },
            },
        }));
    }

    /// Makes one more node, for pods of this namespace only: they select it by the label `only` with the namespace's name,
    /// and tolerate the taint of that name.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn node(&self, number: u8) {
        let name = format!("{}-{number}", self.name);
        self.wait(play(&self.client, &name, Some(&self.name)));
        self.nodes.lock().expect("the nodes").push(name);
    }

    /// A kubeconfig, as text, of a user who may do exactly this in the namespace: verbs, API group, resources.
    ///
    /// # Panics
    /// When the cluster refuses.
    #[must_use]
    pub fn user(&self, name: &str, rules: &[(&[&str], &str, &[&str])]) -> String {
        let role = rules.iter().map(
            |(verbs, group, resources)| json!({"verbs": verbs, "apiGroups": [group], "resources": resources}),
        );
        let role: Vec<_> = role.collect();
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": role,
        }));
        self.user_with(name)
    }

    /// A kubeconfig, as text, of a user who may do exactly what the role of the same name says.
    ///
    /// # Panics
    /// When the cluster refuses.
    #[must_use]
    pub fn user_with(&self, name: &str) -> String {
        let (metadata, api) = (json!({"name": name}), "rbac.authorization.k8s.io");
        self.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
        self.apply(&json!({
            "apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.name}],
        }));
        self.wait_until_allowed(name);
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.name);
        let (how, request) = (PostParams::default(), TokenRequest::default());
        let asked = accounts.create_token_request(name, &how, &request);
        let token = self.wait(asked).expect("a token").status.expect("its status").token;
        let text = std::fs::read_to_string(kubeconfig()).expect("the kubeconfig of the bed");
        let (before, _) = text.split_once("token: ").expect("a token in it");
        let (_, after) = text.split_once("}}]\ncontexts").expect("contexts in it");
        format!("{before}token: {token}}}}}]\ncontexts{after}")
    }

    /// The API server hears of a new role a moment after it was written.
    fn wait_until_allowed(&self, name: &str) {
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let role: Role = serde_json::from_value(self.get("Role", name)).expect("a role");
        for rule in role.rules.into_iter().flatten() {
            let group = rule.api_groups.and_then(|groups| groups.into_iter().next()).unwrap_or_default();
            let (verbs, resources) = (rule.verbs, rule.resources.unwrap_or_default());
            for (verb, resource) in
                resources.iter().flat_map(|what| verbs.iter().map(move |verb| (verb, what)))
            {
                let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
                let review = json!({"metadata": {}, "spec": {
                    "user": format!("system:serviceaccount:{}:{name}", self.name),
                    "resourceAttributes": {
                        "namespace": self.name, "verb": verb, "group": group, "resource": resource, "subresource": part,
                    },
                }});
                let review: SubjectAccessReview = serde_json::from_value(review).expect("a review");
                let is_allowed = || {
                    let how = PostParams::default();
                    let asked = reviews.create(&how, &review);
                    self.wait(asked).expect("an answer").status.is_some_and(|status| status.allowed)
                };
                soon(&format!("{name} never gets to {verb} {resource}"), is_allowed);
            }
        }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let (group, plural) = match kind {
            "Deployment" => ("apps", "deployments"),
            "StatefulSet" => ("apps", "statefulsets"),
            "DaemonSet" => ("apps", "daemonsets"),
            "Pod" => ("", "pods"),
            "Event" => ("", "events"),
            "Role" => ("rbac.authorization.k8s.io", "roles"),
            "RoleBinding" => ("rbac.authorization.k8s.io", "rolebindings"),
            "ServiceAccount" => ("", "serviceaccounts"),
            "Secret" => ("", "secrets"),
            "ResourceQuota" => ("", "resourcequotas"),
            "Service" => ("", "services"),
            "ConfigMap" => ("", "configmaps"),
            "PersistentVolumeClaim" => ("", "persistentvolumeclaims"),
            "Job" => ("batch", "jobs"),
            "Lease" => ("coordination.k8s.io", "leases"),
            "HTTPRoute" => ("gateway.networking.k8s.io", "httproutes"),
            "HorizontalPodAutoscaler" => ("autoscaling", "horizontalpodautoscalers"),
            other => panic!("{other} is not known here"),
        };
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        Api::namespaced_with(self.client.clone(), &self.name, &resource)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let namespaces: Api<Object> = Api::all(self.client.clone());
        // The cluster does the rest by itself, as soon as the pods are gone.
        self.wait(namespaces.delete(&self.name, &DeleteParams::background())).ok();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.name);
        let at_once = DeleteParams::default().grace_period(0);
        self.wait(pods.delete_collection(&at_once, &ListParams::default())).ok();
        self.changed = None;
        if let Some(node) = self.node.take() {
            node.join().ok();
        }
        let nodes: Api<Node> = Api::all(self.client.clone());
        for name in self.nodes.lock().expect("the nodes").drain(..) {
            self.wait(nodes.delete(&name, &DeleteParams::background())).ok();
        }
    }
}

async fn create(client: &Client, name: &str) {
    let metadata = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let namespaces: Api<Object> = Api::all(client.clone());
    let how = PatchParams::apply("test").force();
    namespaces.patch(name, &how, &Patch::Apply(metadata)).await.expect("the control plane answers");
}

/// Makes a node that is ready, for all pods or for those of one namespace.
async fn play(client: &Client, name: &str, only: Option<&str>) {
    let how = PatchParams::apply("test").force();
    let nodes: Api<Node> = Api::all(client.clone());
    let room = json!({"cpu": "64", "memory": "64Gi", "pods": "2000"});
    let labels = only.map_or_else(|| json!({}), |only| json!({"only": only}));
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
    nodes.patch(name, &how, &Patch::Apply(node)).await.expect("a node");
    let ready = json!([{"type": "Ready", "status": "True", "reason": "Played"}]);
    let status = json!({"status": {"capacity": room, "allocatable": room, "conditions": ready}});
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("a node that is ready");
    // A new node is marked as not ready, and nobody else takes that back: the bed has no controller for nodes.
    let taints = only.map(|only| json!([{"key": "only", "value": only, "effect": "NoSchedule"}]));
    let tainted = json!({"spec": {"taints": taints}});
    nodes.patch(name, &PatchParams::default(), &Patch::Merge(tainted)).await.expect("a node that takes pods");
}

/// Plays the node: every change of a pod is answered by the next step of its fate, so nothing ever sleeps.
async fn look_after(
    client: Client,
    namespace: &str,
    fates: &Mutex<Fates>,
    mut told: mpsc::UnboundedReceiver<()>,
) {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let mut events = watcher(pods.clone(), watcher::Config::default()).default_backoff().boxed();
    let mut known: BTreeMap<String, Pod> = BTreeMap::new();
    loop {
        let touched: Vec<Pod> = tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => {
                    known.insert(pod.name_any(), pod.clone());
                    vec![pod]
                }
                Some(Ok(Event::Delete(pod))) => {
                    known.remove(&pod.name_any());
                    Vec::new()
                }
                Some(Ok(Event::Init | Event::InitDone) | Err(_)) => Vec::new(),
                None => return,
            },
            more = told.recv() => match more {
                Some(()) => known.values().cloned().collect(),
                None => return,
            },
        };
        for pod in touched {
            step(&pods, &pod, fates).await;
        }
    }
}

async fn step(pods: &Api<Pod>, pod: &Pod, fates: &Mutex<Fates>) {
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
