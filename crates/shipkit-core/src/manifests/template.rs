//! Pod templates: where objects have them, and which images and which configuration they name.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::{Id, Object};

/// What of a pod runs, or is, an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// A container, by its name.
    Container(String),
    /// A container that runs before the others, by its name.
    InitContainer(String),
    /// A volume that is an image, by its name.
    Volume(String),
}

/// A kind of what pods are configured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Config {
    Map,
    Secret,
}

/// One image of a pod template.
pub(super) struct Image<'a> {
    pub(super) slot: Slot,
    holder: &'a mut Value,
    key: &'static str,
}

/// Where an object has the template of its pods, as a JSON pointer; a pod is its own.
pub(super) fn pointer(id: &Id) -> Option<&'static str> {
    match (id.group.as_str(), id.kind.as_str()) {
        ("", "Pod") => Some(""),
        ("", "PodTemplate") => Some("/template"),
        ("", "ReplicationController")
        | ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
        | ("batch", "Job") => Some("/spec/template"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// The pod template of an object, if it has one.
pub(super) fn of(object: &Object) -> Option<&Value> {
    object.value().pointer(pointer(object.id())?)
}

/// The same, to change it.
pub(super) fn of_mut(object: &mut Object) -> Option<&mut Value> {
    let pointer = pointer(object.id())?;
    object.value_mut().pointer_mut(pointer)
}

/// The images of a pod template.
pub(super) fn images(template: &mut Value) -> Vec<Image<'_>> {
    let mut found = Vec::new();
    let spec = template.get_mut("spec").and_then(Value::as_object_mut);
    for (key, items) in spec.into_iter().flat_map(|spec| spec.iter_mut()) {
        let items = items.as_array_mut().into_iter().flatten();
        match key.as_str() {
            "containers" => found.extend(items.map(|one| Image::of(Slot::Container(name(one)), one))),
            "initContainers" => found.extend(items.map(|one| Image::of(Slot::InitContainer(name(one)), one))),
            "volumes" => found.extend(items.filter_map(|one| {
                let slot = Slot::Volume(name(one));
                Some(Image { slot, holder: one.get_mut("image")?, key: "reference" })
            })),
            _ => {}
        }
    }
    found
}

impl<'a> Image<'a> {
    fn of(slot: Slot, holder: &'a mut Value) -> Self {
        Self { slot, holder, key: "image" }
    }

    /// What stands there.
    pub(super) fn text(&self) -> Option<&str> {
        self.holder.get(self.key)?.as_str()
    }

    /// Writes another one.
    pub(super) fn set(&mut self, image: &str) {
        if let Some(fields) = self.holder.as_object_mut() {
            fields.insert(self.key.to_owned(), json!(image));
        }
    }
}

/// The names of config maps and secrets that a pod template refers to, where they stand.
pub(super) fn references(template: &mut Value) -> Vec<(Config, &mut Value)> {
    let mut found = Vec::new();
    let spec = template.get_mut("spec").and_then(Value::as_object_mut);
    for (key, part) in spec.into_iter().flat_map(|spec| spec.iter_mut()) {
        match key.as_str() {
            "containers" | "initContainers" | "ephemeralContainers" | "volumes" => collect(part, &mut found),
            "imagePullSecrets" => {
                let items = part.as_array_mut().into_iter().flatten();
                found.extend(items.filter_map(|one| Some((Config::Secret, one.get_mut("name")?))));
            }
            _ => {}
        }
    }
    found
}

/// The names of the secrets that pods of a template read.
#[must_use]
pub fn secrets_read(template: &Value) -> BTreeSet<String> {
    let mut template = template.clone();
    let all = references(&mut template).into_iter().filter(|(kind, _)| *kind == Config::Secret);
    all.filter_map(|(_, name)| Some(name.as_str()?.to_owned())).collect()
}

/// References in containers and volumes, where these words have no other meaning.
fn collect<'a>(value: &'a mut Value, found: &mut Vec<(Config, &'a mut Value)>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                match (key.as_str(), field) {
                    ("configMapRef" | "configMapKeyRef" | "configMap", Value::Object(source)) => {
                        found.extend(source.get_mut("name").map(|name| (Config::Map, name)));
                    }
                    ("secretRef" | "secretKeyRef" | "nodePublishSecretRef", Value::Object(source)) => {
                        found.extend(source.get_mut("name").map(|name| (Config::Secret, name)));
                    }
                    // A volume says `secretName`, a part of a projected one `name`.
                    ("secret", Value::Object(source)) => {
                        let names = source
                            .iter_mut()
                            .filter(|(key, _)| matches!(key.as_str(), "secretName" | "name"));
                        found.extend(names.map(|(_, name)| (Config::Secret, name)));
                    }
                    ("secretName", name @ Value::String(_)) => found.push((Config::Secret, name)),
                    (_, field) => collect(field, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn name(item: &Value) -> String {
    item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container `{name}`"),
            Self::InitContainer(name) => write!(f, "init container `{name}`"),
            Self::Volume(name) => write!(f, "volume `{name}`"),
        }
    }
}
