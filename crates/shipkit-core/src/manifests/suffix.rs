//! Names of config maps and secrets end with the hash of what is in them, so that pods of the release before keep theirs.
//!
//! Only where nothing but pod templates names them: a name that stands where shipkit does not write must stay as well.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::error::{Remark, WhyKept};
use super::object::{Id, Object};
use super::scope::built_in;
use super::template::{self, Config};
use crate::compose::sorted;
use crate::digest::Digest;

/// The annotation of a config map or secret that keeps its name, with the value `true`.
pub const KEEP_NAME: &str = "shipkit.dev/keep-name";
/// Digits of the hash.
const DIGITS: usize = 10;
/// What is hashed, in this order.
const CONTENT: [&str; 6] = ["kind", "type", "data", "binaryData", "stringData", "immutable"];
/// Secrets of this type belong to a service account, and the cluster fills them.
const TOKEN: &str = "kubernetes.io/service-account-token";
/// Fields of built-in kinds that name or select something else than config maps and secrets. `metadata` names the object
/// itself; its annotations are looked at.
const OTHERS: [&str; 11] = [
    "metadata",
    "selector",
    "matchLabels",
    "labelSelector",
    "podSelector",
    "namespaceSelector",
    "scaleTargetRef",
    "serviceName",
    "service",
    "roleRef",
    "subjects",
];

/// Whether it is a config map or secret.
pub(super) fn is_config(id: &Id) -> bool {
    config(id).is_some()
}

/// Renames config maps and secrets, and every reference to them. Says which keep their names although pods read them.
pub(super) fn suffix(objects: &mut [Object]) -> Vec<Remark> {
    let read = read_by_pods(objects);
    let mentions = mentions(objects);
    let (mut names, mut remarks) = (BTreeMap::new(), Vec::new());
    for object in objects.iter_mut() {
        let id = object.id().clone();
        let Some(key) = config(&id).map(|kind| (kind, id.name.clone())).filter(|key| read.contains(key))
        else {
            continue;
        };
        if let Some(because) = why_kept(object, &mentions) {
            remarks.push(Remark::NameKept { config: id, because });
            continue;
        }
        let name = format!("{}-{}", id.name, hash(object.value()));
        object.rename(&name);
        names.insert(key, name);
    }
    for object in objects {
        for (kind, reference) in template::of_mut(object).map(template::references).unwrap_or_default() {
            let key = reference.as_str().map(|name| (kind, name.to_owned()));
            if let Some(name) = key.and_then(|key| names.get(&key)) {
                *reference = json!(name);
            }
        }
    }
    remarks
}

fn config(id: &Id) -> Option<Config> {
    match (id.group.as_str(), id.kind.as_str()) {
        ("", "ConfigMap") => Some(Config::Map),
        ("", "Secret") => Some(Config::Secret),
        _ => None,
    }
}

fn read_by_pods(objects: &mut [Object]) -> BTreeSet<(Config, String)> {
    let mut read = BTreeSet::new();
    for object in objects {
        let references = template::of_mut(object).map(template::references).unwrap_or_default();
        read.extend(references.iter().filter_map(|(kind, name)| Some((*kind, name.as_str()?.to_owned()))));
    }
    read
}

fn why_kept(object: &Object, mentions: &BTreeMap<String, Vec<Id>>) -> Option<WhyKept> {
    let id = object.id();
    let metadata = object.value().get("metadata");
    let asked = metadata.and_then(|metadata| metadata.get("annotations")?.get(KEEP_NAME)?.as_str());
    if asked == Some("true") {
        return Some(WhyKept::Asked);
    }
    if object.value().get("type").and_then(Value::as_str) == Some(TOKEN) {
        return Some(WhyKept::Filled);
    }
    let by = mentions.get(&id.name)?.iter().find(|by| *by != id)?;
    Some(WhyKept::NamedBy(by.clone()))
}

/// The first digits of the hash of what is in a config map or secret.
fn hash(value: &Value) -> String {
    let content: Vec<_> = CONTENT.iter().map(|key| value.get(*key).map(sorted)).collect();
    Digest::of(json!(content).to_string().as_bytes()).hex().chars().take(DIGITS).collect()
}

/// Texts that may be names of config maps and secrets, and where they stand that is no reference of a pod template.
fn mentions(objects: &[Object]) -> BTreeMap<String, Vec<Id>> {
    let names: BTreeSet<&str> =
        objects.iter().map(Object::id).filter(|id| is_config(id)).map(|id| id.name.as_str()).collect();
    let mut mentions: BTreeMap<String, Vec<Id>> = BTreeMap::new();
    for object in objects {
        let id = object.id();
        let mut rest = object.value().clone();
        let template = template::pointer(id).and_then(|pointer| rest.pointer_mut(pointer)).map(Value::take);
        let mut texts = BTreeSet::new();
        every_text(object.value().pointer("/metadata/annotations"), &[], &mut texts);
        let others = if built_in(&id.group, &id.kind).is_some() { OTHERS.as_slice() } else { &["metadata"] };
        every_text(Some(&rest), others, &mut texts);
        if let Some(template) = &template {
            said_to_pods(template, &mut texts);
        }
        for text in texts.into_iter().filter(|text| names.contains(text)) {
            mentions.entry(text.to_owned()).or_default().push(id.clone());
        }
    }
    mentions
}

/// What a pod is told: a program may read a config map by its name, and so may whoever reads annotations.
fn said_to_pods<'a>(template: &'a Value, texts: &mut BTreeSet<&'a str>) {
    every_text(template.pointer("/metadata/annotations"), &[], texts);
    for key in ["containers", "initContainers"] {
        let containers = template.get("spec").and_then(|spec| spec.get(key)?.as_array());
        for container in containers.into_iter().flatten() {
            every_text(container.get("command"), &[], texts);
            every_text(container.get("args"), &[], texts);
            let variables = container.get("env").and_then(Value::as_array).into_iter().flatten();
            texts.extend(variables.filter_map(|variable| variable.get("value")?.as_str()));
        }
    }
}

/// Every text of a value, but for those below some keys.
fn every_text<'a>(value: Option<&'a Value>, but: &[&str], texts: &mut BTreeSet<&'a str>) {
    match value {
        Some(Value::String(text)) => drop(texts.insert(text)),
        Some(Value::Array(items)) => items.iter().for_each(|item| every_text(Some(item), but, texts)),
        Some(Value::Object(fields)) => {
            for (_, field) in fields.iter().filter(|(key, _)| !but.contains(&key.as_str())) {
                every_text(Some(field), but, texts);
            }
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => {}
    }
}
