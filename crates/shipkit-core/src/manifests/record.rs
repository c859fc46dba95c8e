//! The record of a set: a text with all of its objects, from which it can be applied again, and its digest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::{Id, Object, Place};
use super::{Rendered, Use};
use crate::compose::sorted;
use crate::digest::Digest;
use crate::exit::ExitCode;
use crate::hint::Hint;

/// How many bytes a record may have: a Secret holds no more.
pub const MAX_RECORD: usize = 1 << 20;
/// The form of the text.
const FORMAT: u32 = 1;

/// Annotations that others keep for themselves: written again, they would be wrong.
const OF_OTHERS: [&str; 2] =
    ["deployment.kubernetes.io/", "kubectl.kubernetes.io/last-applied-configuration"];

/// What stands in the text.
#[derive(Serialize, Deserialize)]
struct Text {
    format: u32,
    stack: String,
    namespace: String,
    objects: Vec<Value>,
    uses: Vec<Use>,
    scaled: BTreeSet<Id>,
}

/// Why there is no record of a set, or no set in a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// It would not fit into a Secret.
    #[error(
        "the objects of stack `{stack}` are {bytes} bytes, and a release is recorded in {MAX_RECORD} at most"
    )]
    TooLarge {
        /// The stack.
        stack: String,
        /// How large it would be.
        bytes: usize,
    },
    /// It is not what shipkit writes.
    #[error("the record of a release cannot be read: {0}")]
    Damaged(String),
    /// A later version of shipkit wrote it.
    #[error("the record of a release has format {0}, and this version reads {FORMAT}")]
    Format(u32),
}

impl Hint for BadRecord {
    fn hint(&self) -> Option<String> {
        match self {
            Self::TooLarge { .. } => Some(
                "apply what seldom changes, such as definitions of custom kinds, in a step before".to_owned(),
            ),
            Self::Damaged(_) => None,
            Self::Format(_) => Some("use the version of shipkit that deployed the release".to_owned()),
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::TooLarge { .. } => ExitCode::Usage,
            Self::Damaged(_) | Self::Format(_) => ExitCode::Unknown,
        }
    }
}

impl Rendered {
    /// What is in the cluster before the first deploy of this set, `live`, as a set of its own: what a rollback of that deploy
    /// goes back to. `replicas` stays with whoever has it in this one.
    ///
    /// # Errors
    /// When a live object is none.
    pub fn before(&self, live: Vec<Value>) -> Result<Self, BadRecord> {
        let place = |document| Place { file: "cluster".to_owned(), document, line: 1 };
        let mut objects = Vec::new();
        for (document, mut value) in (1..).zip(live) {
            if let Some(all) = value.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
                all.retain(|name, _| !OF_OTHERS.iter().any(|of| name.starts_with(of)));
            }
            let object = Object::read(value, place(document));
            objects.push(object.map_err(|error| BadRecord::Damaged(error.to_string()))?);
        }
        for object in objects.iter_mut().filter(|object| self.scaled.contains(object.id())) {
            if let Some(spec) = object.value_mut().get_mut("spec").and_then(Value::as_object_mut) {
                spec.shift_remove("replicas");
            }
        }
        let is_there = |id: &Id| objects.iter().any(|object| object.id() == id);
        let scaled = self.scaled.iter().filter(|id| is_there(id)).cloned().collect();
        let (stack, namespace) = (self.stack.clone(), self.namespace.clone());
        Ok(Self { stack, namespace, objects, uses: Vec::new(), scaled, remarks: Vec::new() })
    }

    /// All of it but the remarks as a text: JSON, with secrets as they are.
    ///
    /// # Errors
    /// When it has more than [`MAX_RECORD`] bytes.
    pub fn record(&self) -> Result<String, BadRecord> {
        let text = Text {
            format: FORMAT,
            stack: self.stack.clone(),
            namespace: self.namespace.clone(),
            objects: self.objects.iter().map(|object| object.value().clone()).collect(),
            uses: self.uses.clone(),
            scaled: self.scaled.clone(),
        };
        let text = serde_json::to_string(&text).map_err(|error| BadRecord::Damaged(error.to_string()))?;
        match text.len() {
            bytes if MAX_RECORD < bytes => Err(BadRecord::TooLarge { stack: self.stack.clone(), bytes }),
            _ => Ok(text),
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is none, or of a format that this version does not know.
    pub fn from_record(text: &str) -> Result<Self, BadRecord> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |error: serde_json::Error| BadRecord::Damaged(error.to_string());
        let Format { format } = serde_json::from_str(text).map_err(damaged)?;
        if format != FORMAT {
            return Err(BadRecord::Format(format));
        }
        let Text { stack, namespace, objects, uses, scaled, .. } =
            serde_json::from_str(text).map_err(damaged)?;
        let place = |document| Place { file: "record".to_owned(), document, line: 1 };
        let objects = (1..).zip(objects).map(|(document, value)| Object::read(value, place(document)));
        let objects =
            objects.collect::<Result<_, _>>().map_err(|error| BadRecord::Damaged(error.to_string()))?;
        Ok(Self { stack, namespace, objects, uses, scaled, remarks: Vec::new() })
    }
}

/// The digest of objects, in whatever order they and their keys are.
pub(super) fn digest(objects: &[Object]) -> Digest {
    let mut objects: Vec<&Object> = objects.iter().collect();
    objects.sort_by_key(|object| object.id());
    let values: Vec<Value> = objects.into_iter().map(|object| sorted(object.value())).collect();
    Digest::of(json!(values).to_string().as_bytes())
}
