//! What somebody has changed of a service since its release was confirmed: its specification beside the one that is kept.
//!
//! Both were read from the engine, so what it fills in by itself is in both.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shipkit_core::difference::{self, Difference, How};
use shipkit_core::history::{Entry, Means};
use shipkit_core::rollout::shift::Phase;

use crate::error::SwarmError;
use crate::labels;
use crate::rollout::text;
use crate::slot_labels::{is_traefiks, slot};
use crate::spec::items;
use crate::swarm::Swarm;

/// What is no part of a release: names, counters, and what a way back writes by itself. Images are told apart by their digests
/// elsewhere.
const PASSED_OVER: [&str; 4] =
    ["Name", "TaskTemplate.ForceUpdate", "TaskTemplate.ContainerSpec.Image", "UpdateConfig.FailureAction"];

impl Swarm {
    /// How services of a stack differ from what is kept of the deploys that put them there, a sentence each. What is just being
    /// replaced is passed over.
    ///
    /// # Errors
    /// When the Swarm cannot be asked.
    pub async fn drift(&self, stack: &str, newest_first: &[Entry]) -> Result<Vec<String>, SwarmError> {
        let mut found = Vec::new();
        for standing in self.standings(stack).await? {
            let spec = standing.spec();
            if !labels::is_confirmed(spec) || standing.phase == Some(Phase::Returning) {
                continue;
            }
            let Some(stamp) = labels::stamp(spec) else { continue };
            let entry = newest_first.iter().find(|entry| entry.is_of(&stamp));
            let kept = entry.and_then(|entry| entry.services.get(&standing.service));
            if let Some(Means::Specification(kept)) = kept.map(|kept| &kept.means) {
                found.extend(difference::drift(&standing.service, stamp.called(), &differences(kept, spec)));
            }
        }
        Ok(found)
    }
}

/// How one specification differs from another one that was there before.
fn differences(before: &Value, now: &Value) -> Vec<Difference> {
    let (before, now) = (parts(before), parts(now));
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let difference = |name: &String| {
        let (before, now) = (before.get(name), now.get(name));
        // The engine leaves out what is 0 or false.
        let nothing = match before.or(now) {
            Some(Value::Number(_)) => Some(json!(0)),
            Some(Value::Bool(_)) => Some(json!(false)),
            Some(Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_)) | None => None,
        };
        let how = How::of(before.or(nothing.as_ref()), now.or(nothing.as_ref()));
        (before != now).then(|| Difference { field: name.clone(), how })
    };
    names.into_iter().filter_map(difference).collect()
}

/// The parts of a specification by what people call them, or else as `docker service inspect` does.
fn parts(spec: &Value) -> BTreeMap<String, Value> {
    let mut parts = BTreeMap::new();
    part(&mut parts, "", spec);
    parts.retain(|name, _| {
        let label = name.strip_prefix("label `");
        // Both slots have those that people gave to the one before.
        let is_copied = |label: &str| slot(spec).behind.is_some() && is_traefiks(label);
        !label.is_some_and(|label| labels::is_ours_or_dockers(label) || is_copied(label))
    });
    parts
}

fn part(parts: &mut BTreeMap<String, Value>, path: &str, value: &Value) {
    let named = |list: &Value, kind: &str, key: &str, kept: &str| -> Vec<(String, Value)> {
        let one = |item: &Value| (format!("{kind} `{}`", text(item, &[key])), without(item, kept));
        items(list).map(one).collect()
    };
    match (path, value) {
        (path, _) if PASSED_OVER.contains(&path) => {}
        ("Labels", Value::Object(labels)) => {
            parts.extend(labels.iter().map(|(name, value)| (format!("label `{name}`"), value.clone())));
        }
        ("TaskTemplate.ContainerSpec.Labels", Value::Object(labels)) => {
            let label =
                |(name, value): (&String, &Value)| (format!("container label `{name}`"), value.clone());
            parts.extend(labels.iter().map(label));
        }
        ("TaskTemplate.ContainerSpec.Env", Value::Array(lines)) => {
            parts.extend(lines.iter().filter_map(Value::as_str).map(variable));
        }
        ("TaskTemplate.ContainerSpec.Secrets", list) => {
            parts.extend(named(list, "secret", "SecretName", "SecretID"));
        }
        ("TaskTemplate.ContainerSpec.Configs", list) => {
            parts.extend(named(list, "config", "ConfigName", "ConfigID"));
        }
        ("TaskTemplate.ContainerSpec.Mounts", list) => parts.extend(named(list, "mount", "Target", "")),
        ("EndpointSpec.Ports", list) => parts.extend(items(list).flat_map(port)),
        ("Mode.Replicated.Replicas", count) => drop(parts.insert("replicas".to_owned(), count.clone())),
        ("Mode.Global", _) => drop(parts.insert("global mode".to_owned(), json!(true))),
        (path, Value::Object(fields)) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                part(parts, &path, value);
            }
        }
        // The engine and its clients say nothing, or write down that it is so.
        (_, value) if says_nothing(value) => {}
        (path, value) => drop(parts.insert(format!("`{path}`"), value.clone())),
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "default",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// A line `NAME=value`.
fn variable(line: &str) -> (String, Value) {
    let (name, value) =
        line.split_once('=').map_or((line, Value::Null), |(name, value)| (name, json!(value)));
    (format!("environment `{name}`"), value)
}

/// The item without its identifier and without what says nothing.
fn without(item: &Value, identifier: &str) -> Value {
    let fields = item.as_object().into_iter().flatten();
    let says = fields.filter(|(name, value)| *name != identifier && !says_nothing(value));
    says.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn port(port: &Value) -> Vec<(String, Value)> {
    let protocol = port.get("Protocol").and_then(Value::as_str).unwrap_or("tcp");
    let target = port.get("TargetPort").and_then(Value::as_u64).unwrap_or_default();
    let published = port.get("PublishedPort").cloned().unwrap_or(json!(0));
    let mode = port.get("PublishMode").cloned().unwrap_or_default();
    vec![
        (format!("published port of {target}/{protocol}"), published),
        (format!("publish mode of {target}/{protocol}"), mode),
    ]
}

#[cfg(test)]
mod tests {
    use shipkit_core::difference::named;

    use super::*;

    /// A service as the engine tells it.
    fn kept() -> Value {
        json!({
            "Name": "shop_api",
            "Labels": {"dev.shipkit.release": "r", "com.docker.stack.image": "a", "team": "a", "auth": "user:hash"},
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "a", "Env": ["LOG_LEVEL=info", "KEY=s3cret", "FLAG"], "Args": ["serve"],
                    "Labels": {"a": "b"},
                    "Secrets": [{"SecretName": "token", "SecretID": "1", "File": {"Name": "token"}}],
                    "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data"}],
                    "Isolation": "default",
                },
                "Resources": {"Limits": {"MemoryBytes": 7}},
                "ForceUpdate": 0,
            },
            "Mode": {"Replicated": {"Replicas": 2}},
            "UpdateConfig": {"FailureAction": "rollback"},
            "EndpointSpec": {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}]},
        })
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), expected: &str) {
        let mut now = kept();
        change(&mut now);
        let said = named(&differences(&kept(), &now));
        assert_eq!(said, expected);
        assert!(!said.contains("s3cret"));
    }

    fn container(spec: &mut Value) -> &mut Value {
        &mut spec["TaskTemplate"]["ContainerSpec"]
    }

    #[test]
    fn what_differs_is_named_and_only_numbers_are_shown() {
        check(|_| {}, "");
        let variables = json!(["KEY=other", "LOG_LEVEL=info", "MORE=s3cret"]);
        let said = "environment `FLAG` removed, environment `KEY` changed, environment `MORE` added";
        check(|spec| container(spec)["Env"] = variables, said);
        check(|spec| spec["Mode"]["Replicated"]["Replicas"] = json!(0), "replicas 2 -> 0");
        check(|spec| spec["Mode"] = json!({"Global": {}}), "global mode false -> true, replicas 2 -> 0");
        check(|spec| spec["Labels"]["team"] = json!("b"), "label `team` changed");
        check(|spec| container(spec)["Labels"] = json!({}), "container label `a` removed");
        let limit = "`TaskTemplate.Resources.Limits.MemoryBytes` 7 -> ";
        check(|spec| spec["TaskTemplate"]["Resources"] = json!({}), &format!("{limit}0"));
        check(
            |spec| spec["EndpointSpec"]["Ports"][0]["PublishedPort"] = json!(9),
            "published port of 80/tcp 8080 -> 9",
        );
        check(|spec| container(spec)["Mounts"][0]["Source"] = json!("other"), "mount `/data` changed");
        check(|spec| container(spec)["Secrets"] = json!([]), "secret `token` removed");
        check(
            |spec| container(spec)["Args"] = json!(["--s3cret"]),
            "`TaskTemplate.ContainerSpec.Args` changed",
        );
    }

    #[test]
    fn what_the_engine_its_clients_and_ways_back_write_is_no_change() {
        let quiet = |spec: &mut Value| {
            container(spec)["Env"] = json!(["KEY=s3cret", "FLAG", "LOG_LEVEL=info"]);
            container(spec)["Image"] = json!("b");
            container(spec)["DNSConfig"] = json!({});
            container(spec)["Init"] = json!(false);
            container(spec)["Secrets"][0]["SecretID"] = json!("2");
            container(spec)["Mounts"][0]["ReadOnly"] = json!(false);
            container(spec).as_object_mut().unwrap().remove("Isolation");
            spec["Labels"]["dev.shipkit.confirmed"] = json!("now");
            spec["Labels"]["com.docker.stack.image"] = json!("b");
            spec["TaskTemplate"]["ForceUpdate"] = json!(3);
            spec["UpdateConfig"] = json!({"FailureAction": "pause", "Delay": 0});
            spec["RollbackConfig"] = Value::Null;
        };
        check(quiet, "");
    }

    #[test]
    fn routers_that_go_along_to_the_other_slot_are_no_change_and_those_of_others_are() {
        let route = |spec: &mut Value| spec["Labels"]["traefik.http.routers.a.rule"] = json!("x");
        check(route, "label `traefik.http.routers.a.rule` added");
        let shifted = |spec: &mut Value| {
            spec["Labels"]["dev.shipkit.slot.behind"] = json!("edge");
            route(spec);
        };
        check(shifted, "");
    }
}
