//! `Namespace`: a namespace of a real control plane, with a node that is played: its pods start, crash or wait as a test
//! says. There is no container anywhere; everything but the node is what clusters run. Or without one, for pods on the real node.
#![allow(clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod fate;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use futures_util::StreamExt as _;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Namespace as Object, Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::discovery::ApiResource;
use kube::core::gvk::GroupVersionKind;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

pub use self::fate::Fate;
use self::fate::{Fates, step};
use crate::soon;

/// The node that all tests share.
const NODE: &str = "played";

/// The node with containers.
const REAL: &str = "localhost";

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
