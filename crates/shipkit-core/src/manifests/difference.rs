//! What applying an object changes, field by field, as it is shown before anything changes.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::difference::{Difference, How, named};

/// What only the cluster writes, and what says who wrote what.
const NOT_SHOWN: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "status",
    "uid",
];
/// Whose annotations are no business of people who read a plan: our own say what was deployed, and those of the deployment
/// controller count its revisions.
const NOT_SHOWN_OF: [&str; 2] = ["shipkit.dev/", "deployment.kubernetes.io/"];
/// What becomes of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is not there yet.
    Created,
    /// It stays as it is.
    Kept,
    /// These fields change.
    Changed(Vec<Difference>),
    /// It is there, and no part of the set any more.
    Removed,
    /// It is the slot that requests leave: without pods, it stays for going back.
    Emptied,
}

impl Fate {
    /// What becomes of an object if `now` becomes `then`, which the cluster has made of it without keeping it.
    #[must_use]
    pub fn of(now: Option<&Value>, then: &Value) -> Self {
        let Some(now) = now else { return Self::Created };
        let differences = differences(now, then);
        if differences.is_empty() { Self::Kept } else { Self::Changed(differences) }
    }
}

/// How an object differs from what it was before, but for what only the cluster and shipkit write.
#[must_use]
pub fn differences(before: &Value, now: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&mut String::new(), (Some(before), Some(now)), &mut found);
    found
}

/// Writes down where two values differ. `field` is where they stand, and as it was afterwards.
fn compare(field: &mut String, (now, then): (Option<&Value>, Option<&Value>), found: &mut Vec<Difference>) {
    match (now, then) {
        (now, then) if now == then => {}
        (Some(Value::Object(now)), Some(Value::Object(then))) => {
            let keys: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
            let is_ours = |key: &str| NOT_SHOWN_OF.iter().any(|prefix| key.starts_with(prefix));
            for key in keys {
                let is_top = field.is_empty() || field == "metadata";
                if is_top && NOT_SHOWN.contains(&key.as_str())
                    || field == "metadata.annotations" && is_ours(key)
                {
                    continue;
                }
                let dot = if field.is_empty() { "" } else { "." };
                within(field, &format!("{dot}{key}"), (now.get(key), then.get(key)), found);
            }
        }
        (Some(Value::Array(now)), Some(Value::Array(then))) => {
            let (now, then) = (by_name(now), by_name(then));
            let of = |all: &[(String, &'_ Value)], name: &str| all.iter().position(|(one, _)| one == name);
            for (name, value) in &now {
                let other = of(&then, name).and_then(|at| then.get(at)).map(|(_, value)| *value);
                within(field, &format!("[{name}]"), (Some(value), other), found);
            }
            for (name, value) in then.iter().filter(|(name, _)| of(&now, name).is_none()) {
                within(field, &format!("[{name}]"), (None, Some(value)), found);
            }
        }
        // A mapping that holds only what is not shown is the same as none.
        (now, then) if is_nothing(now, field) && is_nothing(then, field) => {}
        (now, then) => {
            // Of a container; a secret may have a key of this name.
            let is_image = field.ends_with("].image");
            let how = if is_image { How::of_image(now, then) } else { How::of(now, then) };
            found.push(Difference { field: field.clone(), how });
        }
    }
}

fn within(
    field: &mut String,
    step: &str,
    values: (Option<&Value>, Option<&Value>),
    found: &mut Vec<Difference>,
) {
    let length = field.len();
    field.push_str(step);
    compare(field, values, found);
    field.truncate(length);
}

fn is_nothing(value: Option<&Value>, field: &str) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => {
            field == "metadata.annotations"
                && fields.keys().all(|key| NOT_SHOWN_OF.iter().any(|prefix| key.starts_with(prefix)))
        }
        Some(_) => false,
    }
}

/// The items of a list, each with its name where all have one that no other has, and else with its number.
fn by_name(items: &[Value]) -> Vec<(String, &Value)> {
    let names: Option<Vec<&str>> = items.iter().map(|item| item.get("name")?.as_str()).collect();
    let names = names.filter(|names| names.iter().collect::<BTreeSet<_>>().len() == names.len());
    match names {
        Some(names) => names.into_iter().map(str::to_owned).zip(items).collect(),
        None => items.iter().enumerate().map(|(number, item)| (number.to_string(), item)).collect(),
    }
}

impl fmt::Display for Fate {
    /// As it stands after the name of the object.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("is created"),
            Self::Kept => f.write_str("stays as it is"),
            Self::Removed => f.write_str("is removed"),
            Self::Emptied => f.write_str("is scaled to 0 and stays for going back"),
            Self::Changed(differences) => write!(f, "changes: {}", named(differences)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(now: &Value, then: &Value, expected: &str) {
        assert_eq!(Fate::of(Some(now), then).to_string(), expected);
    }

    #[test]
    fn what_changes_is_named_by_where_it_stands() {
        let pod = |image: &str, replicas: u64| {
            json!({"spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "proxy", "image": "proxy:1"}, {"name": "api", "image": image},
            ]}}}})
        };
        check(&pod("a:1", 2), &pod("a:2", 2), "changes: spec.template.spec.containers[api].image a:1 -> a:2");
        check(&pod("a:1", 2), &pod("a:1", 3), "changes: spec.replicas 2 -> 3");
        check(&pod("a:1", 2), &pod("a:1", 2), "stays as it is");
        let ports = |ports: Value| json!({"spec": {"ports": ports}});
        check(
            &ports(json!([{"port": 80}])),
            &ports(json!([{"port": 80}, {"port": 81}])),
            "changes: spec.ports[1] added",
        );
        // Two without a name each, or with the same, are told by their numbers.
        let same = json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}]);
        check(&ports(same), &ports(json!([])), "changes: spec.ports[0] removed, spec.ports[1] removed");
        assert_eq!(Fate::of(None, &json!({})), Fate::Created);
    }

    #[test]
    fn what_the_cluster_and_shipkit_write_about_themselves_is_no_change() {
        let one = json!({"metadata": {
            "resourceVersion": "1", "generation": 1, "managedFields": [],
            "annotations": {"shipkit.dev/release": "1"},
        }, "status": {"replicas": 1}});
        check(&one, &json!({"metadata": {"resourceVersion": "2"}}), "stays as it is");
        let with = json!({"metadata": {"annotations": {"shipkit.dev/release": "2", "team": "a"}}});
        check(&one, &with, "changes: metadata.annotations.team added");
        // Below a specification these words mean something else.
        let status = |number: u64| json!({"spec": {"status": number}});
        check(&status(1), &status(2), "changes: spec.status 1 -> 2");
    }

    #[test]
    fn what_may_be_a_secret_is_named_and_not_shown() {
        let now = json!({"data": {"key": "b2xk", "image": "b2xk"}, "type": "Opaque"});
        let then = json!({"data": {"key": "bmV3", "image": "bmv3", "more": "bW9yZQ=="}, "type": "Other"});
        let fate = Fate::of(Some(&now), &then);
        assert_eq!(
            fate.to_string(),
            "changes: data.image changed, data.key changed, data.more added, type changed"
        );
        let shown = format!("{fate:?}");
        assert!(["b2xk", "bmV3", "bmv3", "bW9y"].iter().all(|secret| !shown.contains(secret)), "{shown}");
        // All of it at once.
        check(&json!({"data": {"key": "b2xk"}}), &json!({}), "changes: data removed");
        let pod = |value: &str, path: &str| {
            json!({"spec": {"template": {"spec": {"containers": [{
                "name": "api", "env": [{"name": "KEY", "value": value}],
                "readinessProbe": {"httpGet": {"path": path, "port": 80}},
            }]}}}})
        };
        let api = "spec.template.spec.containers[api]";
        check(
            &pod("s3cret", "/a"),
            &pod("other", "/b"),
            &format!("changes: {api}.env[KEY].value changed, {api}.readinessProbe.httpGet.path changed"),
        );
    }

    #[test]
    fn what_is_much_is_counted() {
        let many = |value: u64| json!({"data": (0..12).map(|n| (n.to_string(), json!(value))).collect::<serde_json::Map<_, _>>()});
        let shown = Fate::of(Some(&many(1)), &many(2)).to_string();
        assert!(shown.ends_with(" and 2 more"), "{shown}");
    }
}
