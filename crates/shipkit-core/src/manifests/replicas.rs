//! `replicas` belongs to autoscalers where there are any: a deploy that sends it undoes what they decided.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::Remark;
use super::object::{Id, Kind, Object};

/// What an autoscaler owns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scaled {
    /// The group of the object.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Scaled {
    /// What an autoscaler owns: a `HorizontalPodAutoscaler`, or a `ScaledObject` of KEDA. `None` if the object is neither, or
    /// does not say.
    #[must_use]
    pub fn by(object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let autoscaler = Kind::of(text("/apiVersion")?, text("/kind")?);
        let name = text("/spec/scaleTargetRef/name")?.to_owned();
        let (api_version, kind) =
            (text("/spec/scaleTargetRef/apiVersion"), text("/spec/scaleTargetRef/kind"));
        let of = match (autoscaler.group.as_str(), autoscaler.kind.as_str()) {
            ("autoscaling", "HorizontalPodAutoscaler") => Kind::of(api_version.unwrap_or("apps/v1"), kind?),
            ("keda.sh", "ScaledObject") => {
                Kind::of(api_version.unwrap_or("apps/v1"), kind.unwrap_or("Deployment"))
            }
            _ => return None,
        };
        Some(Self { group: of.group, kind: of.kind, name })
    }

    /// Whether it is this object.
    #[must_use]
    pub fn is(&self, id: &Id) -> bool {
        id.is(&self.group, &self.kind) && id.name == self.name
    }
}

/// Takes `replicas` out where an autoscaler of the objects, or one in the cluster, owns it. Says which objects these are.
pub(super) fn leave_out(
    objects: &mut [Object],
    in_cluster: &BTreeSet<Scaled>,
) -> (BTreeSet<Id>, Vec<Remark>) {
    let own = objects.iter().filter_map(|object| Some((Scaled::by(object.value())?, object.id().clone())));
    let own: BTreeMap<Scaled, Id> = own.collect();
    let (mut scaled, mut remarks) = (BTreeSet::new(), Vec::new());
    for object in objects {
        let id = object.id().clone();
        let this = Scaled { group: id.group.clone(), kind: id.kind.clone(), name: id.name.clone() };
        let autoscaler = own.get(&this).cloned();
        if autoscaler.is_none() && !in_cluster.contains(&this) {
            continue;
        }
        let spec = object.value_mut().get_mut("spec").and_then(Value::as_object_mut);
        if spec.is_some_and(|spec| spec.shift_remove("replicas").is_some()) {
            remarks.push(Remark::ReplicasLeft { workload: id.clone(), autoscaler });
        }
        scaled.insert(id);
    }
    (scaled, remarks)
}
