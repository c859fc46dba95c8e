//! What the update strategy of a workload says about a rollout before it begins.

use serde_json::Value;

/// Why a rollout of an object would never end, if that can be read from it: nobody but a person replaces its pods.
#[must_use]
pub fn never_ends(object: &Value) -> Option<String> {
    let name = workload(object)?;
    let is_by_hand = text(object, "/spec/updateStrategy/type") == Some("OnDelete");
    is_by_hand.then(|| {
        format!("`{name}` has `updateStrategy: OnDelete`: its pods would not be replaced before somebody deletes them")
    })
}

/// Which pods of an object a rollout leaves as they are, if that can be read from it.
#[must_use]
pub fn stays(object: &Value) -> Option<String> {
    let name = workload(object)?;
    let partition = object.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_u64);
    let partition = partition.filter(|partition| 0 < *partition)?;
    Some(format!("`{name}` has `partition: {partition}`: pods with a lower number stay as they are"))
}

/// How an object is called, if its kind has an update strategy of this form.
fn workload(object: &Value) -> Option<String> {
    let (group, kind) = (text(object, "/apiVersion")?, text(object, "/kind")?);
    let name = text(object, "/metadata/name")?;
    let has_strategy = group == "apps/v1" && matches!(kind, "DaemonSet" | "StatefulSet");
    has_strategy.then(|| format!("{kind}/{name}"))
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, strategy: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "db"}, "spec": {"updateStrategy": strategy},
        })
    }

    #[test]
    fn pods_that_only_a_person_replaces_are_told_before_anybody_waits_for_them() {
        let by_hand = json!({"type": "OnDelete"});
        for kind in ["StatefulSet", "DaemonSet"] {
            let why = format!(
                "`{kind}/db` has `updateStrategy: OnDelete`: its pods would not be replaced before somebody deletes them"
            );
            assert_eq!(never_ends(&object(kind, &by_hand)), Some(why));
            assert_eq!(never_ends(&object(kind, &json!({"type": "RollingUpdate"}))), None);
            assert_eq!(never_ends(&object(kind, &Value::Null)), None);
        }
        // A kind of somebody else, whose words are its own.
        assert_eq!(never_ends(&object("Rollout", &by_hand)), None);
    }

    #[test]
    fn pods_that_a_partition_leaves_alone_are_told() {
        let partition =
            |number: u64| json!({"type": "RollingUpdate", "rollingUpdate": {"partition": number}});
        let why = "`StatefulSet/db` has `partition: 2`: pods with a lower number stay as they are";
        assert_eq!(stays(&object("StatefulSet", &partition(2))).as_deref(), Some(why));
        assert_eq!(stays(&object("StatefulSet", &partition(0))), None);
        assert_eq!(stays(&object("StatefulSet", &json!({}))), None);
    }
}
