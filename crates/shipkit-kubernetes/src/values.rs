//! Objects of the cluster of any kind, as JSON.

use std::collections::BTreeMap;

use kube::core::DynamicObject;
use serde_json::{Value, json};
use shipkit_core::manifests::{Id, Kind};

use crate::annotations::Annotations;
use crate::change::MANAGER;

/// The images of all containers of a live object.
pub(crate) fn all_images(value: &Value) -> BTreeMap<String, String> {
    let containers = value.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
    containers
        .into_iter()
        .flatten()
        .filter_map(|one| Some((text(one, "name")?, text(one, "image")?)))
        .collect()
}

/// The annotations of a live object.
pub(crate) fn annotations_of(value: &Value) -> Annotations {
    let all = value.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
}

pub(crate) fn generation(value: &Value) -> i64 {
    value.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default()
}

/// Whether `replicas` is ours by server-side apply.
pub(crate) fn owns_replicas(value: &Value) -> bool {
    let managers = value.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    managers
        .filter(|one| one.get("manager").and_then(Value::as_str) == Some(MANAGER))
        .any(|one| one.get("fieldsV1").and_then(|fields| fields.pointer("/f:spec/f:replicas")).is_some())
}

pub(crate) fn annotate(value: &mut Value, name: &str, text: &str) {
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let all = metadata.entry("annotations").or_insert_with(|| json!({}));
    if !all.is_object() {
        *all = json!({});
    }
    if let Some(all) = all.as_object_mut() {
        all.insert(name.to_owned(), json!(text));
    }
}

/// An object of the cluster as a value, which says what it is: items of a list do not.
pub(crate) fn valued(object: &DynamicObject, kind: &Kind) -> Value {
    let mut value = json!(object);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), json!(kind.api_version()));
        fields.insert("kind".to_owned(), json!(kind.kind));
    }
    value
}

pub(crate) fn id_of(value: &Value, kind: &Kind) -> Id {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Id {
        group: kind.group.clone(),
        kind: kind.kind.clone(),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name").unwrap_or_default(),
    }
}
