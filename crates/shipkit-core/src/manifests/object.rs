//! `Object`: one object of a cluster as manifests give it, and what it is called.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::BadManifests;

/// Fields of `metadata` that only the cluster writes: exported objects have them.
const WRITTEN_BY_THE_CLUSTER: [&str; 7] = [
    "creationTimestamp",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What an object is, with the version of the API that its manifest is written in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The group; empty for the core of Kubernetes.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind itself.
    pub kind: String,
}

/// What names an object in a cluster, whatever version it is written in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id {
    /// The group; empty for the core of Kubernetes.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; `None` if it belongs to the cluster as a whole, or as long as nobody has said.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Which of its documents, from 1.
    pub document: usize,
    /// The line, from 1: where the document begins or, if it cannot be read, where reading ended.
    pub line: usize,
}

/// One object.
#[derive(Clone)]
pub struct Object {
    version: String,
    id: Id,
    value: Value,
    place: Place,
}

/// What it holds may be secret.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.id)
    }
}

/// Where it stood is not part of it.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Object {
    /// What names it.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind { group: self.id.group.clone(), version: self.version.clone(), kind: self.id.kind.clone() }
    }

    /// All of it, a mapping with `apiVersion`, `kind` and `metadata`.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Reads a value that should be an object.
    pub(super) fn read(mut value: Value, place: Place) -> Result<Self, BadManifests> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let needed = |key: &'static str, pointer: &str| match text(pointer).filter(|text| !text.is_empty()) {
            Some(text) => Ok(text),
            None => Err(BadManifests::Lacks { place: place.clone(), key }),
        };
        let kind = needed("kind", "/kind")?;
        let Kind { group, version, kind } = Kind::of(&needed("apiVersion", "/apiVersion")?, &kind);
        if text("/metadata/name").is_none() && value.pointer("/metadata/generateName").is_some() {
            return Err(BadManifests::Generated { place, kind });
        }
        let name = needed("metadata.name", "/metadata/name")?;
        let namespace = text("/metadata/namespace").filter(|text| !text.is_empty());
        let has_namespace = value.pointer("/metadata/namespace").is_some_and(|found| !found.is_null());
        if has_namespace && text("/metadata/namespace").is_none() {
            return Err(BadManifests::Lacks { place, key: "metadata.namespace" });
        }
        let names = [Some(&kind), Some(&name), namespace.as_ref(), Some(&version), Some(&group)];
        if let Some(text) = names.into_iter().flatten().find(|text| text.contains("{{")) {
            return Err(BadManifests::Template { place, text: text.clone() });
        }
        if !is_name(&name) || namespace.as_deref().is_some_and(|namespace| !is_name(namespace)) {
            return Err(BadManifests::Name {
                place,
                name: namespace.filter(|one| !is_name(one)).unwrap_or(name),
            });
        }
        if let Some(fields) = value.as_object_mut() {
            fields.shift_remove("status");
        }
        if let Some(fields) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            fields.retain(|key, _| !WRITTEN_BY_THE_CLUSTER.contains(&key.as_str()));
        }
        Ok(Self { version, id: Id { group, kind, namespace, name }, value, place })
    }

    /// All of it, to change what does not name it.
    pub(super) fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }

    /// Puts it into a namespace, or into none.
    pub(super) fn place_in(&mut self, namespace: Option<&str>) {
        self.id.namespace = namespace.map(str::to_owned);
        if let Some(fields) = self.value.get_mut("metadata").and_then(Value::as_object_mut) {
            match namespace {
                Some(namespace) => drop(fields.insert("namespace".to_owned(), json!(namespace))),
                None => drop(fields.shift_remove("namespace")),
            }
        }
    }

    /// Gives it another name.
    pub(super) fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.id.name);
        if let Some(fields) = self.value.get_mut("metadata").and_then(Value::as_object_mut) {
            fields.insert("name".to_owned(), json!(name));
        }
    }

    /// Gives it a label.
    pub(super) fn label(&mut self, key: &str, value: &str) {
        let Some(fields) = self.value.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        let labels = fields.entry("labels").or_insert_with(|| json!({}));
        if !labels.is_object() {
            *labels = json!({});
        }
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(key.to_owned(), json!(value));
        }
    }
}

impl Kind {
    /// The kind that `apiVersion` and `kind` of an object say.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// What stands at `apiVersion`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl Id {
    /// Whether it is of this group and kind.
    #[must_use]
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

/// Whether it can be a part of a path at the API server: more is for the cluster to refuse.
fn is_name(text: &str) -> bool {
    let is_odd = |c: char| matches!(c, '/' | '%' | '?' | '#') || c.is_whitespace() || c.is_control();
    text.len() <= 253 && !matches!(text, "" | "." | "..") && !text.contains(is_odd)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind, self.api_version())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, document {} (line {})", self.file, self.document, self.line)
    }
}
