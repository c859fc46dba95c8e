//! Which objects belong to a namespace, and to which one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::BadManifests;
use super::object::{Kind, Object};
use super::read::refuse_twice;

/// Whether objects of a kind belong to a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To one namespace each.
    Namespaced,
    /// To the cluster as a whole.
    Cluster,
}

/// The kinds that are built in and belong to the cluster, by group.
const OF_THE_CLUSTER: &[(&str, &[&str])] = &[
    ("", &["Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "ResourceSlice"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    (
        "storage.k8s.io",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
    ),
];

/// The kinds that are built in and belong to a namespace, by group.
const OF_A_NAMESPACE: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    ("apps", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("batch", &["CronJob", "Job"]),
    ("coordination.k8s.io", &["Lease"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("events.k8s.io", &["Event"]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"]),
    ("policy", &["PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding"]),
    ("resource.k8s.io", &["ResourceClaim", "ResourceClaimTemplate"]),
    ("storage.k8s.io", &["CSIStorageCapacity"]),
];

/// Whether a kind is built in, and whom its objects belong to.
pub(super) fn built_in(group: &str, kind: &str) -> Option<Scope> {
    let is_in =
        |table: &[(&str, &[&str])]| table.iter().any(|(of, kinds)| *of == group && kinds.contains(&kind));
    if is_in(OF_THE_CLUSTER) {
        return Some(Scope::Cluster);
    }
    is_in(OF_A_NAMESPACE).then_some(Scope::Namespaced)
}

/// The kinds that are neither built in nor defined by these objects.
pub(super) fn foreign(objects: &[Object]) -> BTreeSet<Kind> {
    let defined = defined(objects);
    let is_known = |kind: &Kind| {
        built_in(&kind.group, &kind.kind).is_some()
            || defined.contains_key(&(kind.group.as_str(), kind.kind.as_str()))
    };
    objects.iter().map(Object::kind).filter(|kind| !is_known(kind)).collect()
}

/// Puts each object into the namespace, or into none.
pub(super) fn placed(
    mut objects: Vec<Object>,
    namespace: &str,
    scopes: &BTreeMap<Kind, Scope>,
) -> Result<Vec<Object>, BadManifests> {
    let defined = defined(&objects);
    let scope = |object: &Object| {
        let kind = object.kind();
        built_in(&kind.group, &kind.kind)
            .or_else(|| defined.get(&(kind.group.as_str(), kind.kind.as_str())).copied())
            .or_else(|| scopes.get(&kind).copied())
    };
    let found: Vec<Option<Scope>> = objects.iter().map(scope).collect();
    let unknown = objects.iter().zip(&found).filter(|(_, scope)| scope.is_none());
    let unknown: BTreeSet<Kind> = unknown.map(|(object, _)| object.kind()).collect();
    if !unknown.is_empty() {
        return Err(BadManifests::Kinds(unknown));
    }
    let is_elsewhere = |object: &Object| object.id().namespace.as_deref().is_some_and(|one| one != namespace);
    let elsewhere: Vec<_> = objects
        .iter()
        .zip(&found)
        .filter(|(object, scope)| **scope == Some(Scope::Namespaced) && is_elsewhere(object))
        .map(|(object, _)| (object.id().clone(), object.place().clone()))
        .collect();
    if !elsewhere.is_empty() {
        return Err(BadManifests::Elsewhere { namespace: namespace.to_owned(), objects: elsewhere });
    }
    for (object, scope) in objects.iter_mut().zip(found) {
        object.place_in((scope == Some(Scope::Namespaced)).then_some(namespace));
    }
    refuse_twice(&objects)?;
    Ok(objects)
}

/// The scopes of custom kinds that these objects define, by group and kind.
fn defined(objects: &[Object]) -> BTreeMap<(&str, &str), Scope> {
    let definitions =
        objects.iter().filter(|object| object.id().is("apiextensions.k8s.io", "CustomResourceDefinition"));
    definitions.filter_map(definition).collect()
}

fn definition(object: &Object) -> Option<((&str, &str), Scope)> {
    let text = |pointer: &str| object.value().pointer(pointer).and_then(Value::as_str);
    let scope = match text("/spec/scope")? {
        "Namespaced" => Scope::Namespaced,
        "Cluster" => Scope::Cluster,
        _ => return None,
    };
    Some(((text("/spec/group")?, text("/spec/names/kind")?), scope))
}
