//! What is in the cluster, carries the label of the stack and is no longer part of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Rendered;
use super::error::BadManifests;
use super::object::{Id, Kind};
use super::order::backwards;
use super::suffix::is_config;

/// The label of every object of a stack, with its name.
pub const STACK: &str = "shipkit.dev/stack";

/// What is never taken away: data, what holds everything else, and what the cluster makes of a Service with all its labels.
const NEVER: [(&str, &str); 6] = [
    ("", "Endpoints"),
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("discovery.k8s.io", "EndpointSlice"),
];

/// Refuses a name that no label can hold.
pub(super) fn check_stack(stack: &str) -> Result<(), BadManifests> {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let fits = stack.len() <= 63
        && is_end(stack.chars().next())
        && is_end(stack.chars().last())
        && stack.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits { Ok(()) } else { Err(BadManifests::Stack(stack.to_owned())) }
}

impl Rendered {
    /// Which of these live objects belong to the stack and are not in the set, in the order in which they are taken away. Each is
    /// given with `apiVersion`, `kind` and `metadata`. Never what may hold data, namespaces, definitions of custom kinds,
    /// what another object owns, and config maps and secrets of `in_use`: those that releases name to which one may go back.
    #[must_use]
    pub fn prunable(&self, live: &[Value], in_use: &BTreeSet<Id>) -> Vec<Id> {
        let wanted: BTreeSet<&Id> = self.objects().iter().map(super::Object::id).collect();
        let ours = live.iter().filter(|object| {
            let metadata = object.get("metadata");
            let label = metadata.and_then(|metadata| metadata.get("labels")?.get(STACK)?.as_str());
            let owners = metadata.and_then(|metadata| metadata.get("ownerReferences")?.as_array());
            let namespace = metadata.and_then(|metadata| metadata.get("namespace")?.as_str());
            label == Some(self.stack())
                && namespace.is_none_or(|namespace| namespace == self.namespace())
                && owners.is_none_or(Vec::is_empty)
        });
        let gone = ours.filter_map(id).filter(|id| {
            let is_never = NEVER.iter().any(|(group, kind)| id.is(group, kind));
            let is_named = is_config(id) && in_use.contains(id);
            !(wanted.contains(id) || is_never || is_named)
        });
        backwards(gone.collect())
    }
}

/// What names a live object.
fn id(object: &Value) -> Option<Id> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let Kind { group, kind, .. } = Kind::of(text("/apiVersion")?, text("/kind")?);
    let namespace = text("/metadata/namespace").map(str::to_owned);
    Some(Id { group, kind, namespace, name: text("/metadata/name")?.to_owned() })
}
