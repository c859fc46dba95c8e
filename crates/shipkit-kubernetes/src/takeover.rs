//! Fields that `kubectl` and Helm have applied become ours, as they are: from then on what is taken out of the manifests is
//! taken out of the cluster as well, and nobody else is in the way. Nothing but the list of owners changes.

use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};
use shipkit_core::manifests::{Kind, Manifests};

use crate::change::MANAGER;
use crate::cluster::Cluster;
use crate::error::{CONFLICT, ClusterError};
use crate::values::valued;

/// Whose fields are taken over, by the beginnings of their names.
const APPLIERS: [&str; 3] = ["kubectl", "helm", "Helm"];

/// How often it is tried again because somebody has changed the object between reading and writing it.
const SWAPS: usize = 16;

/// An object whose fields are taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeOver {
    /// The object.
    pub object: String,
    /// Whose they were.
    pub from: Vec<String>,
    kind: Kind,
    name: String,
}

impl Cluster {
    /// What of these manifests is there and was applied by `kubectl` or Helm.
    ///
    /// # Errors
    /// When the manifests cannot be placed in this cluster, or it cannot be asked.
    pub async fn applied_by_others(&self, manifests: Manifests) -> Result<Vec<TakeOver>, ClusterError> {
        let scopes = self.learn(manifests.foreign_kinds()).await?.scopes();
        let objects = manifests.placed(&self.namespace, &scopes)?;
        let mut found = Vec::new();
        for object in &objects {
            let Some(live) = self.current(object).await? else { continue };
            let Some((_, from)) = taken_over(&live) else { continue };
            let (kind, id) = (object.kind(), object.id());
            found.push(TakeOver { object: id.to_string(), from, kind, name: id.name.clone() });
        }
        Ok(found)
    }

    /// Takes the fields of one object over, over exactly the version of it that was read: controllers write all the time what
    /// they see.
    ///
    /// # Errors
    /// When the cluster refuses or cannot be asked.
    pub async fn take_over(&self, one: &TakeOver) -> Result<(), ClusterError> {
        let resource = self.resource(&one.kind).await?;
        let resource = resource.ok_or_else(|| ClusterError::NotServed(one.kind.clone()))?;
        let objects = self.objects_of(&resource);
        let (get, patch) = (format!("get {}", resource.0.plural), format!("patch {}", resource.0.plural));
        let mut refusal = None;
        for _ in 0..SWAPS {
            let Some(live) = self.ask(&get, objects.get_opt(&one.name)).await? else { return Ok(()) };
            let live = valued(&live, &one.kind);
            let Some((owners, _)) = taken_over(&live) else { return Ok(()) };
            let version = live.pointer("/metadata/resourceVersion");
            let body =
                Patch::Merge(json!({"metadata": {"resourceVersion": version, "managedFields": owners}}));
            match self.ask(&patch, objects.patch(&one.name, &PatchParams::default(), &body)).await {
                Err(error) if error.status() == Some(CONFLICT) => refusal = Some(error),
                done => return done.map(drop),
            }
        }
        refusal.map_or(Ok(()), Err)
    }
}

/// The list of owners with what others have applied as ours, and whose that was; `None` if there is nothing of it.
fn taken_over(live: &Value) -> Option<(Vec<Value>, Vec<String>)> {
    let owners = live.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_applier = |one: &Value| {
        let manager = text(one, "manager");
        one.get("subresource").is_none() && APPLIERS.iter().any(|applier| manager.starts_with(applier))
    };
    let is_ours = |one: &Value| text(one, "manager") == MANAGER && text(one, "operation") == "Apply";
    let first = owners.iter().find(|one| is_applier(one))?;
    let version = owners
        .iter()
        .find(|one| is_ours(one))
        .map_or(text(first, "apiVersion"), |ours| text(ours, "apiVersion"));
    // Fields of another version of the API may be called otherwise.
    let is_taken = |one: &Value| is_applier(one) && text(one, "apiVersion") == version;
    let from: Vec<String> =
        owners.iter().filter(|one| is_taken(one)).map(|one| text(one, "manager")).collect();
    if from.is_empty() {
        return None;
    }
    let mut fields = Map::new();
    for one in owners.iter().filter(|one| is_taken(one) || is_ours(one)) {
        if let Some(more) = one.get("fieldsV1").and_then(Value::as_object) {
            unite(&mut fields, more);
        }
    }
    let ours = json!({
        "manager": MANAGER, "operation": "Apply", "apiVersion": version, "time": text(first, "time"),
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    let rest = owners.iter().filter(|one| !is_taken(one) && !is_ours(one)).cloned();
    Some((rest.chain([ours]).collect(), from))
}

/// Adds the fields of one owner to those of another.
fn unite(fields: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (key, below) in more {
        let there = fields.entry(key.clone()).or_insert_with(|| json!({}));
        if let (Some(there), Some(below)) = (there.as_object_mut(), below.as_object()) {
            unite(there, below);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({
            "manager": manager, "operation": operation, "apiVersion": "apps/v1", "time": "2026-01-02T03:04:05Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    }

    #[test]
    fn what_kubectl_and_helm_have_applied_joins_what_is_ours() {
        let status =
            json!({"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"});
        let owners = [
            owner(
                "kubectl-client-side-apply",
                "Update",
                &json!({"f:spec": {"f:replicas": {}, "f:template": {"f:a": {}}}}),
            ),
            owner("helm", "Update", &json!({"f:metadata": {"f:labels": {}}})),
            owner("shipkit", "Apply", &json!({"f:spec": {"f:template": {"f:b": {}}}})),
            status.clone(),
        ];
        let of = |owners: &[Value]| taken_over(&json!({"metadata": {"managedFields": owners}}));
        let (after, from) = of(&owners).unwrap();
        assert_eq!(from, ["kubectl-client-side-apply", "helm"]);
        let fields = json!({
            "f:spec": {"f:replicas": {}, "f:template": {"f:a": {}, "f:b": {}}}, "f:metadata": {"f:labels": {}},
        });
        assert_eq!(after, [status, owner("shipkit", "Apply", &fields)]);
        assert_eq!(of(&after), None);
    }

    #[test]
    fn what_controllers_and_other_tools_own_stays_theirs() {
        let scaled = json!({"manager": "kubectl", "operation": "Update", "subresource": "scale", "apiVersion": "apps/v1"});
        let of = |owners: &[Value]| taken_over(&json!({"metadata": {"managedFields": owners}}));
        assert_eq!(of(&[scaled, owner("argocd-controller", "Apply", &json!({}))]), None);
        let mut old = owner("kubectl-client-side-apply", "Update", &json!({"f:spec": {}}));
        old["apiVersion"] = json!("extensions/v1beta1");
        let ours = owner("shipkit", "Apply", &json!({"f:spec": {}}));
        assert_eq!(of(&[old, ours]), None);
    }
}
