//! The specification of a service: what shipkit decides is written over what is there, and read back from it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use shipkit_core::ImageRef;
use shipkit_core::target::{
    Desired, DesiredService, EndpointMode, HealthCheck, Order, Replacement, Settings, Update, VolumeMount,
};

use crate::labels;
use crate::slot_labels::{SlotLabels, put_slot, slot};

/// What the engine knows by identifiers, to be named in a specification.
pub(crate) struct Ids {
    /// The network of the stack.
    pub(crate) network: String,
    /// The secrets by their full names.
    pub(crate) secrets: BTreeMap<String, String>,
}

/// The full name of a part of a stack.
pub(crate) fn full_name(stack: &str, name: &str) -> String {
    format!("{stack}_{name}")
}

/// The specification of `service` over `before` (`None` for a new service): fields that shipkit does not decide stay.
pub(crate) fn merged(
    before: Option<&Value>,
    desired: &Desired,
    service: &DesiredService,
    ids: &Ids,
) -> Value {
    let stack = &desired.stack;
    let settings = &service.settings;
    let mut spec = before.cloned().unwrap_or_else(|| json!({}));
    let labels = labels::for_deploy(before, stack, &desired.stamp, &service.revision);
    put(&mut spec, &["Labels"], labels);
    if before.is_none() {
        put(&mut spec, &["Name"], json!(full_name(stack, &service.name)));
    }
    let is_shifted = matches!(settings.update.replacement, Replacement::BlueGreen { .. });
    put_slot(
        &mut spec,
        &SlotLabels { of: before.and_then(|before| slot(before).of), ..SlotLabels::default() },
    );
    let mut in_container =
        |key: &str, value: Value| put(&mut spec, &["TaskTemplate", "ContainerSpec", key], value);
    in_container("Image", json!(service.image.to_string()));
    in_container("Env", environment(&settings.environment));
    in_container("Healthcheck", settings.healthcheck.as_ref().map_or(Value::Null, healthcheck));
    if let Some(grace) = settings.stop_grace {
        in_container("StopGracePeriod", nanos(grace));
    }
    let theirs = |key: &str, is_ours: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        let there = before.map_or(&Value::Null, |spec| at(spec, &["TaskTemplate", "ContainerSpec", key]));
        items(there).filter(|item| !is_ours(item)).cloned().collect()
    };
    let mut secrets = theirs("Secrets", &|secret| secret_name(secret, stack).is_some());
    secrets.extend(settings.secrets.iter().map(|name| secret(stack, name, ids)));
    let mut mounts = theirs("Mounts", &|mount| volume_mount(mount, stack).is_some());
    mounts.extend(settings.volumes.iter().map(|volume| mount(stack, volume)));
    // Who asks for the name would get both slots.
    let alias = (!is_shifted).then_some(service.name.as_str());
    let networks = networks(before, (&service.name, alias), &ids.network);
    in_container("Secrets", Value::Array(secrets));
    in_container("Mounts", Value::Array(mounts));
    put(&mut spec, &["TaskTemplate", "Networks"], networks);
    put(&mut spec, &["EndpointSpec", "Mode"], json!(endpoint_word(settings.endpoint_mode)));
    if settings.replicas.is_some() || before.is_none() {
        put(&mut spec, &["Mode"], json!({"Replicated": {"Replicas": settings.replicas.unwrap_or(1)}}));
    }
    put(&mut spec, &["UpdateConfig"], update_config(&settings.update, "rollback"));
    put(&mut spec, &["RollbackConfig"], update_config(&settings.update, "pause"));
    spec
}

/// The specification of the job that migrates, of this name: it runs the command once, with all that the service has.
pub(crate) fn migration(
    desired: &Desired,
    service: &DesiredService,
    ids: &Ids,
    (name, command): (&str, &[String]),
) -> Value {
    let mut spec = merged(None, desired, service, ids);
    let labels = labels::for_migration(&desired.stack, &desired.stamp, &service.revision);
    put(&mut spec, &["Name"], json!(name));
    put(&mut spec, &["Labels"], labels);
    put(&mut spec, &["Mode"], json!({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}));
    put(&mut spec, &["TaskTemplate", "RestartPolicy"], json!({"Condition": "none"}));
    // Who asks for the service must not get the job.
    put(&mut spec, &["TaskTemplate", "Networks"], json!([{"Target": ids.network}]));
    let mut in_container =
        |key: &str, value: Value| put(&mut spec, &["TaskTemplate", "ContainerSpec", key], value);
    in_container("Args", json!(command));
    // The image's own would stop a job that answers nothing.
    in_container("Healthcheck", json!({"Test": ["NONE"]}));
    // The engine refuses these for a job.
    for key in ["UpdateConfig", "RollbackConfig", "EndpointSpec"] {
        put(&mut spec, &[key], Value::Null);
    }
    spec
}

/// The specification `before` as a part of another deploy. The template of its tasks is not touched: the engine would
/// restart them for as little as another order of the environment.
pub(crate) fn relabelled(before: &Value, desired: &Desired, service: &DesiredService) -> Value {
    let mut spec = before.clone();
    let labels = labels::for_deploy(Some(before), &desired.stack, &desired.stamp, &service.revision);
    put(&mut spec, &["Labels"], labels);
    if let Some(files) = &service.settings.compose {
        // How an update proceeds is for the files to say.
        labels::put_files(&mut spec, files);
        return spec;
    }
    put(&mut spec, &["UpdateConfig"], update_config(&service.settings.update, "rollback"));
    put(&mut spec, &["RollbackConfig"], update_config(&service.settings.update, "pause"));
    spec
}

/// The specification to go back to, as it is written: a failure pauses, because the engine must not go "back" from it
/// to what it replaces.
pub(crate) fn for_return(good: &Value) -> Value {
    let mut spec = good.clone();
    put(&mut spec, &["UpdateConfig", "FailureAction"], json!("pause"));
    spec
}

/// The image of a specification, if it is named by digest.
pub(crate) fn image(spec: &Value) -> Option<ImageRef> {
    image_text(spec)?.parse().ok()
}

/// The image of a service's or a task's specification as it stands there.
pub(crate) fn image_text(spec: &Value) -> Option<&str> {
    let template = spec.get("TaskTemplate").unwrap_or(spec);
    at(template, &["ContainerSpec", "Image"]).as_str()
}

/// How long the engine watches a new task.
pub(crate) fn monitor(spec: &Value) -> Duration {
    match duration(at(spec, &["UpdateConfig", "Monitor"])) {
        // The engine's own default.
        Duration::ZERO => Duration::from_secs(5),
        monitor => monitor,
    }
}

/// What decides whether two tasks are of one specification, in a form that does not depend on what the engine fills
/// in or leaves out. Takes the template of a service or the specification of a task.
pub(crate) fn fingerprint(template: &Value) -> Value {
    let mut container = canonical(at(template, &["ContainerSpec"]));
    if let Some(fields) = container.as_object_mut() {
        // Filled in by the engine, and `default` is what no value means.
        fields.retain(|key, value| key != "Isolation" || value != "default");
        if let Some(Value::Array(env)) = fields.get_mut("Env") {
            env.sort_by_key(ToString::to_string);
        }
    }
    json!([container, at(template, &["ForceUpdate"]).as_u64().unwrap_or(0)])
}

/// Without what means nothing: null, false, zero, and empty texts, lists and objects. Keys are sorted.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept: BTreeMap<&String, Value> =
                fields.iter().map(|(key, value)| (key, canonical(value))).filter(|(_, v)| says(v)).collect();
            kept.into_iter().map(|(key, value)| (key.clone(), value)).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn says(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_true) => *is_true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// What shipkit decides, as this specification has it.
pub(crate) fn settings(spec: &Value, stack: &str) -> Settings {
    if let Some(files) = labels::files(spec) {
        let update = Update { order: order(spec), ..Update::default() };
        return Settings { compose: Some(files), update, ..Settings::default() };
    }
    let container = at(spec, &["TaskTemplate", "ContainerSpec"]);
    let list = |key: &str| items(at(container, &[key]));
    let variable = |text: &Value| {
        let text = text.as_str()?;
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Some((name.to_owned(), value.to_owned()))
    };
    Settings {
        replicas: at(spec, &["Mode", "Replicated", "Replicas"]).as_u64(),
        environment: list("Env").filter_map(variable).collect(),
        secrets: list("Secrets").filter_map(|secret| secret_name(secret, stack)).collect(),
        volumes: list("Mounts").filter_map(|mount| volume_mount(mount, stack)).collect(),
        healthcheck: read_healthcheck(at(container, &["Healthcheck"])),
        endpoint_mode: match at(spec, &["EndpointSpec", "Mode"]).as_str() {
            Some("dnsrr") => EndpointMode::Dnsrr,
            Some(_) | None => EndpointMode::Vip,
        },
        stop_grace: at(container, &["StopGracePeriod"]).as_u64().map(Duration::from_nanos),
        update: Update {
            parallelism: at(spec, &["UpdateConfig", "Parallelism"]).as_u64().unwrap_or(0),
            delay: duration(at(spec, &["UpdateConfig", "Delay"])),
            order: order(spec),
            monitor: monitor(spec),
            // A Swarm replaces task by task; what has two slots, shipkit does.
            replacement: match slot(spec).behind {
                Some(_) => Replacement::BlueGreen { bake: Duration::ZERO },
                None => Replacement::Rolling,
            },
        },
        compose: None,
        manifests: None,
    }
}

fn order(spec: &Value) -> Order {
    match at(spec, &["UpdateConfig", "Order"]).as_str() {
        Some("start-first") => Order::StartFirst,
        Some(_) | None => Order::StopFirst,
    }
}

fn environment(variables: &BTreeMap<String, String>) -> Value {
    variables.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// A secret at `/run/secrets/<name>`, readable by every user of the container as `docker service create` does it.
fn secret(stack: &str, name: &str, ids: &Ids) -> Value {
    let full = full_name(stack, name);
    json!({
        "File": {"Name": name, "UID": "0", "GID": "0", "Mode": 0o444},
        "SecretID": ids.secrets.get(&full),
        "SecretName": full,
    })
}

/// The name within the stack of a secret that shipkit put there.
fn secret_name(secret: &Value, stack: &str) -> Option<String> {
    let name = at(secret, &["SecretName"]).as_str()?.strip_prefix(stack)?.strip_prefix('_')?;
    (at(secret, &["File", "Name"]).as_str() == Some(name)).then(|| name.to_owned())
}

fn mount(stack: &str, mount: &VolumeMount) -> Value {
    json!({
        "Type": "volume",
        "Source": full_name(stack, &mount.volume),
        "Target": mount.path,
        "VolumeOptions": {"Labels": {labels::NAMESPACE: stack}},
    })
}

fn volume_mount(mount: &Value, stack: &str) -> Option<VolumeMount> {
    if at(mount, &["Type"]) != "volume" {
        return None;
    }
    let volume = at(mount, &["Source"]).as_str()?.strip_prefix(stack)?.strip_prefix('_')?.to_owned();
    Some(VolumeMount { volume, path: at(mount, &["Target"]).as_str()?.to_owned() })
}

/// The networks that are there, and the stack's, with the service's name as its alias there or without.
fn networks(before: Option<&Value>, (name, alias): (&str, Option<&str>), network: &str) -> Value {
    let there = before.map_or(&Value::Null, |spec| at(spec, &["TaskTemplate", "Networks"]));
    let mut networks: Vec<Value> = items(there).cloned().collect();
    match networks.iter_mut().find(|attached| at(attached, &["Target"]) == network) {
        Some(attached) => {
            let mut aliases: Vec<Value> = items(at(attached, &["Aliases"])).cloned().collect();
            match alias {
                Some(alias) if !aliases.contains(&json!(alias)) => aliases.push(json!(alias)),
                Some(_) => {}
                None => aliases.retain(|there| there != name),
            }
            put(attached, &["Aliases"], Value::Array(aliases));
        }
        None => networks.push(match alias {
            Some(alias) => json!({"Target": network, "Aliases": [alias]}),
            None => json!({"Target": network}),
        }),
    }
    Value::Array(networks)
}

fn healthcheck(check: &HealthCheck) -> Value {
    json!({
        "Test": check.test,
        "Interval": nanos(check.interval),
        "Timeout": nanos(check.timeout),
        "Retries": check.retries,
        "StartPeriod": nanos(check.start_period),
    })
}

fn read_healthcheck(value: &Value) -> Option<HealthCheck> {
    let test: Vec<String> =
        items(at(value, &["Test"])).filter_map(Value::as_str).map(str::to_owned).collect();
    (!test.is_empty()).then(|| HealthCheck {
        test,
        interval: duration(at(value, &["Interval"])),
        timeout: duration(at(value, &["Timeout"])),
        retries: at(value, &["Retries"]).as_u64().unwrap_or(0),
        start_period: duration(at(value, &["StartPeriod"])),
    })
}

fn update_config(update: &Update, failure_action: &str) -> Value {
    json!({
        "Parallelism": update.parallelism,
        "Delay": nanos(update.delay),
        "FailureAction": failure_action,
        "Monitor": nanos(update.monitor),
        "MaxFailureRatio": 0,
        "Order": match update.order {
            Order::StartFirst => "start-first",
            Order::StopFirst => "stop-first",
        },
    })
}

fn endpoint_word(mode: EndpointMode) -> &'static str {
    match mode {
        EndpointMode::Vip => "vip",
        EndpointMode::Dnsrr => "dnsrr",
    }
}

/// The engine counts time in nanoseconds, in a signed number of 64 bits: 292 years.
fn nanos(duration: Duration) -> Value {
    json!(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

fn duration(value: &Value) -> Duration {
    Duration::from_nanos(value.as_u64().unwrap_or(0))
}

/// What stands at this path; null if nothing does.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().try_fold(value, |value, key| value.get(key)).unwrap_or(&Value::Null)
}

/// The items of a list; none if it is not one.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Puts `new` at this path, making objects on the way. Null and an empty list remove: the engine then takes its
/// default, and it holds an empty list for another specification than none.
pub(crate) fn put(value: &mut Value, path: &[&str], new: Value) {
    let Some((key, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    let Some(fields) = value.as_object_mut() else { return };
    if rest.is_empty() && (new.is_null() || new.as_array().is_some_and(Vec::is_empty)) {
        fields.remove(*key);
    } else {
        put(fields.entry(*key).or_insert(Value::Null), rest, new);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use shipkit_core::Digest;
    use shipkit_core::target::Stamp;

    fn service() -> DesiredService {
        let repository: shipkit_core::Repository = "ghcr.io/a/api".parse().unwrap();
        DesiredService {
            name: "api".to_owned(),
            image: repository.at(&Digest::of(b"api")),
            platforms: BTreeSet::new(),
            revision: "r".to_owned(),
            depends_on: Vec::new(),
            stateful: false,
            settings: Settings {
                replicas: Some(3),
                environment: BTreeMap::from([
                    ("A".to_owned(), "x=y".to_owned()),
                    ("B".to_owned(), String::new()),
                ]),
                secrets: vec!["key".to_owned()],
                volumes: vec![VolumeMount { volume: "data".to_owned(), path: "/data".to_owned() }],
                healthcheck: Some(HealthCheck {
                    test: vec!["CMD".to_owned(), "true".to_owned()],
                    interval: Duration::from_secs(1),
                    timeout: Duration::from_secs(2),
                    retries: 3,
                    start_period: Duration::ZERO,
                }),
                endpoint_mode: EndpointMode::Dnsrr,
                stop_grace: Some(Duration::from_secs(4)),
                update: Update::default(),
                compose: None,
                manifests: None,
            },
        }
    }

    fn desired(service: DesiredService) -> Desired {
        let stamp = Stamp {
            release: Digest::of(b"release"),
            version: "1".to_owned(),
            commit: "c".to_owned(),
            environment: "e".to_owned(),
            run: None,
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
        };
        Desired { stack: "shop".to_owned(), stamp, services: vec![service] }
    }

    fn merge(before: Option<&Value>, service: &DesiredService) -> Value {
        let secrets = BTreeMap::from([("shop_key".to_owned(), "id1".to_owned())]);
        merged(before, &desired(service.clone()), service, &Ids { network: "net".to_owned(), secrets })
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let service = service();
        let spec = merge(None, &service);
        assert_eq!(settings(&spec, "shop"), service.settings);
        assert_eq!(image(&spec), Some(service.image));
        assert_eq!(at(&spec, &["UpdateConfig", "FailureAction"]), "rollback");
    }

    #[test]
    fn what_others_decided_survives() {
        let before = json!({
            "Labels": {"team": "a"},
            "Mode": {"Global": {}},
            "TaskTemplate": {
                "Resources": {"Limits": {"MemoryBytes": 7}},
                "Placement": {"Constraints": ["node.role==worker"]},
                "Networks": [{"Target": "other"}, {"Target": "net", "Aliases": ["old"]}],
                "ContainerSpec": {
                    "Hosts": ["1.2.3.4 foo"],
                    "UnknownToUs": {"x": 1},
                    "StopGracePeriod": 5,
                    "Mounts": [{"Type": "bind", "Source": "/etc/x", "Target": "/x"}],
                    "Secrets": [{"SecretName": "global", "SecretID": "g", "File": {"Name": "global"}}],
                },
            },
            "EndpointSpec": {"Ports": [{"TargetPort": 80}]},
        });
        let mut service = service();
        (service.settings.replicas, service.settings.stop_grace) = (None, None);
        let after = merge(Some(&before), &service);
        for path in [
            &["Labels", "team"][..],
            &["Mode"],
            &["TaskTemplate", "Resources"],
            &["TaskTemplate", "Placement"],
            &["TaskTemplate", "ContainerSpec", "Hosts"],
            &["TaskTemplate", "ContainerSpec", "UnknownToUs"],
            &["TaskTemplate", "ContainerSpec", "StopGracePeriod"],
            &["EndpointSpec", "Ports"],
        ] {
            assert_eq!(at(&after, path), at(&before, path), "{path:?}");
        }
        let count = |key| items(at(&after, &["TaskTemplate", "ContainerSpec", key])).count();
        assert_eq!((count("Mounts"), count("Secrets")), (2, 2));
        assert_eq!(
            at(&after, &["TaskTemplate", "Networks"]),
            &json!([{"Target": "other"}, {"Target": "net", "Aliases": ["old", "api"]}])
        );
    }

    #[test]
    fn what_is_shifted_has_no_name_that_others_would_get_it_by() {
        let networks = |spec: &Value| at(spec, &["TaskTemplate", "Networks"]).clone();
        let mut shifted = service();
        shifted.settings.update.replacement = Replacement::BlueGreen { bake: Duration::ZERO };
        assert_eq!(networks(&merge(None, &shifted)), json!([{"Target": "net"}]));
        let rolling = merge(None, &service());
        assert_eq!(networks(&merge(Some(&rolling), &shifted)), json!([{"Target": "net"}]));
        let again = merge(Some(&merge(Some(&rolling), &shifted)), &service());
        assert_eq!(networks(&again), networks(&rolling));
    }

    #[test]
    fn a_second_slot_that_is_updated_stays_one_and_is_shifted_no_more() {
        let mut before = merge(None, &service());
        let named = |text: &str| Some(text.to_owned());
        put_slot(&mut before, &SlotLabels { of: named("api"), behind: named("edge"), beside: named("id") });
        put(&mut before, &["Name"], json!("shop_api-green"));
        assert_ne!(settings(&before, "shop").update.replacement, Replacement::Rolling);
        let joined = relabelled(&before, &desired(service()), &service());
        assert_eq!(slot(&joined), slot(&before));
        let after = merge(Some(&before), &service());
        assert_eq!(at(&after, &["Name"]), "shop_api-green");
        assert_eq!(slot(&after), SlotLabels { of: named("api"), ..SlotLabels::default() });
        assert_eq!(settings(&after, "shop"), service().settings);
    }

    #[test]
    fn what_is_no_longer_stated_goes() {
        let full = merge(None, &service());
        let mut bare = service();
        bare.settings = Settings::default();
        let after = merge(Some(&full), &bare);
        assert_eq!(
            settings(&after, "shop"),
            Settings { replicas: Some(3), stop_grace: Some(Duration::from_secs(4)), ..Settings::default() }
        );
    }

    #[test]
    fn a_fingerprint_does_not_see_what_the_engine_fills_in() {
        let sent =
            json!({"ContainerSpec": {"Image": "a", "Env": ["B=1", "A=1"], "Mounts": [], "Init": false}});
        let stored = json!({
            "ContainerSpec": {"Env": ["A=1", "B=1"], "DNSConfig": {}, "Image": "a", "Isolation": "default"},
            "ForceUpdate": 0, "Runtime": "container",
        });
        assert_eq!(fingerprint(&sent), fingerprint(&stored));
        let forced = json!({"ContainerSpec": sent["ContainerSpec"], "ForceUpdate": 1});
        assert_ne!(fingerprint(&sent), fingerprint(&forced));
        let other = json!({"ContainerSpec": {"Image": "a", "Env": ["A=1"]}});
        assert_ne!(fingerprint(&sent), fingerprint(&other));
    }

    #[test]
    fn going_back_never_lets_the_engine_go_forward() {
        let back = for_return(&merge(None, &service()));
        assert_eq!(at(&back, &["UpdateConfig", "FailureAction"]), "pause");
    }

    #[test]
    fn what_stack_files_describe_is_compared_by_their_digest_alone() {
        let mut service = service();
        let files = Digest::of(b"files");
        service.settings = Settings { compose: Some(files.clone()), ..Settings::default() };
        let before = merge(None, &self::service());
        let labels = labels::for_files(Some(&before), &desired(service.clone()).stamp, &service);
        let mut there = before.clone();
        there["Labels"] = json!(labels);
        assert_eq!(settings(&there, "shop"), service.settings);

        let mut said = there.clone();
        put(&mut said, &["UpdateConfig", "FailureAction"], json!("continue"));
        let after = relabelled(&said, &desired(service.clone()), &service);
        assert_eq!(settings(&after, "shop"), service.settings);
        assert_eq!(
            (&after["UpdateConfig"], &after["TaskTemplate"]),
            (&said["UpdateConfig"], &said["TaskTemplate"])
        );
        // Without files it is described again by what stands there.
        let without = merge(Some(&there), &self::service());
        assert_eq!(settings(&without, "shop"), self::service().settings);
    }

    #[test]
    fn a_new_label_leaves_the_template_of_the_tasks_as_it_is() {
        let mut before = merge(None, &service());
        put(&mut before, &["TaskTemplate", "ContainerSpec", "Env"], json!(["B=", "A=x=y"]));
        let after = relabelled(&before, &desired(service()), &service());
        assert_eq!(after["TaskTemplate"], before["TaskTemplate"]);
    }
}
