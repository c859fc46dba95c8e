//! What applying an object changes, field by field, as it is shown before anything changes.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::object::Object;

/// How many differences of one object are named.
const NAMED: usize = 8;
/// How many characters of a value are shown.
const SHOWN: usize = 60;
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
/// What `data` of these holds is not shown.
const SECRET: [&str; 2] = ["/data", "/stringData"];

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

/// One field that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where it is: as in `spec.template.spec.containers[api].image`.
    pub field: String,
    /// What stands there; `None` if nothing does, or if it is secret.
    pub from: Option<String>,
    /// What will stand there; `None` if nothing will, or if it is secret.
    pub to: Option<String>,
}

impl Fate {
    /// What becomes of `object` if `now` becomes `then`, which the cluster has made of it without keeping it.
    #[must_use]
    pub fn of(object: &Object, now: Option<&Value>, then: &Value) -> Self {
        let Some(now) = now else { return Self::Created };
        let is_secret = object.id().is("", "Secret");
        let mut differences = Vec::new();
        compare(&mut String::new(), (Some(now), Some(then)), &mut differences);
        if is_secret {
            let is_hidden =
                |field: &str| SECRET.iter().any(|one| field.starts_with(one.trim_start_matches('/')));
            for one in differences.iter_mut().filter(|one| is_hidden(&one.field)) {
                (one.from, one.to) = (None, None);
            }
        }
        if differences.is_empty() { Self::Kept } else { Self::Changed(differences) }
    }
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
            found.push(Difference { field: field.clone(), from: now.map(shown), to: then.map(shown) });
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

/// A value on one line, cut where it is long.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            value.to_string()
        }
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN {
        return line;
    }
    line.chars().take(SHOWN).chain(['…']).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{} {from} -> {to}", self.field),
            (None, Some(to)) => write!(f, "{} is {to}", self.field),
            (Some(from), None) => write!(f, "{} is no longer {from}", self.field),
            (None, None) => write!(f, "{} changes", self.field),
        }
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
            Self::Changed(differences) => {
                let named: Vec<_> = differences.iter().take(NAMED).map(ToString::to_string).collect();
                write!(f, "changes: {}", named.join(", "))?;
                match differences.len().saturating_sub(NAMED) {
                    0 => Ok(()),
                    more => write!(f, ", and {more} more"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Place;
    use super::*;

    fn object(kind: &str) -> Object {
        let place = Place { file: "a".to_owned(), document: 1, line: 1 };
        Object::read(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}}), place).unwrap()
    }

    #[track_caller]
    fn check(kind: &str, now: &Value, then: &Value, expected: &str) {
        assert_eq!(Fate::of(&object(kind), Some(now), then).to_string(), expected);
    }

    #[test]
    fn what_changes_is_named_by_where_it_stands() {
        let pod = |image: &str, replicas: u64| {
            json!({"spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "proxy", "image": "proxy:1"}, {"name": "api", "image": image},
            ]}}}})
        };
        check(
            "Deployment",
            &pod("a:1", 2),
            &pod("a:2", 2),
            "changes: spec.template.spec.containers[api].image a:1 -> a:2",
        );
        check("Deployment", &pod("a:1", 2), &pod("a:1", 3), "changes: spec.replicas 2 -> 3");
        check("Deployment", &pod("a:1", 2), &pod("a:1", 2), "stays as it is");
        let ports = |ports: Value| json!({"spec": {"ports": ports}});
        check(
            "Service",
            &ports(json!([{"port": 80}])),
            &ports(json!([{"port": 80}, {"port": 81}])),
            r#"changes: spec.ports[1] is {"port":81}"#,
        );
        // Two without a name each, or with the same, are told by their numbers.
        let same = json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}]);
        check(
            "Service",
            &ports(same),
            &ports(json!([])),
            "changes: spec.ports[0] is no longer {\"name\":\"a\",\"port\":1}, spec.ports[1] is no longer {\"name\":\"a\",\"port\":2}",
        );
        assert_eq!(Fate::of(&object("Service"), None, &json!({})), Fate::Created);
    }

    #[test]
    fn what_the_cluster_and_shipkit_write_about_themselves_is_no_change() {
        let one = json!({"metadata": {
            "resourceVersion": "1", "generation": 1, "managedFields": [],
            "annotations": {"shipkit.dev/release": "1"},
        }, "status": {"replicas": 1}});
        check("Deployment", &one, &json!({"metadata": {"resourceVersion": "2"}}), "stays as it is");
        let with = json!({"metadata": {"annotations": {"shipkit.dev/release": "2", "team": "a"}}});
        check("Deployment", &one, &with, "changes: metadata.annotations.team is a");
        // Below a specification these words mean something else.
        let status = |text: &str| json!({"spec": {"status": text}});
        check("Widget", &status("a"), &status("b"), "changes: spec.status a -> b");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let now = json!({"data": {"key": "b2xk"}, "type": "Opaque"});
        let then = json!({"data": {"key": "bmV3", "more": "bW9yZQ=="}, "type": "Other"});
        let fate = Fate::of(&object("Secret"), Some(&now), &then);
        assert_eq!(fate.to_string(), "changes: data.key changes, data.more changes, type Opaque -> Other");
        let shown = format!("{fate:?}");
        assert!(["b2xk", "bmV3", "bW9y"].iter().all(|secret| !shown.contains(secret)), "{shown}");
        // All of it at once.
        check("Secret", &json!({"data": {"key": "b2xk"}}), &json!({}), "changes: data changes");
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_much_is_counted() {
        let long = |text: &str| json!({"data": {"a": text.repeat(100)}});
        check(
            "ConfigMap",
            &long("a\n"),
            &long("b\n"),
            &format!("changes: data.a {}… -> {}…", "a ".repeat(30), "b ".repeat(30)),
        );
        let many = |value: u64| json!({"data": (0..12).map(|n| (n.to_string(), json!(value))).collect::<serde_json::Map<_, _>>()});
        let shown = Fate::of(&object("ConfigMap"), Some(&many(1)), &many(2)).to_string();
        assert!(shown.ends_with(", and 4 more"), "{shown}");
    }
}
