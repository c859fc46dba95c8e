//! `Refusal`: what a service of a Compose file says that cannot be replaced as it is asked.

use serde_json::Value;

use super::Model;
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::target::{Order, Replacement, Update};

/// A key that is in the way of replacing a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`services.{service}.{key}` of the Compose files {why}")]
pub struct Refusal {
    /// The service.
    pub service: String,
    /// The key below it, with its value where that tells more.
    pub key: String,
    why: &'static str,
    hint: &'static str,
}

const RECREATE: &str = "take it out, or say `strategy: recreate`, which stops the old container first";
const NOT_SHARED: &str =
    "take it out: each container of a service that shipkit replaces must stand for itself";
const TWICE: &str = "is taken while the old container runs";

impl Hint for Refusal {
    fn hint(&self) -> Option<String> {
        Some(self.hint.to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl Refusal {
    /// Everything about a service that is in the way, all at once. `replicas` is how many containers should run,
    /// `proxy` is the service that is the proxy, if the traffic of this one comes through it.
    #[must_use]
    pub fn all(model: &Model, name: &str, update: &Update, replicas: u64, proxy: Option<&str>) -> Vec<Self> {
        let Some(service) = model.service(name) else { return Vec::new() };
        let mut found = Vec::new();
        let mut refuse = |key: &str, why, hint| {
            found.push(Self { service: name.to_owned(), key: key.to_owned(), why, hint });
        };
        let is_once = is_one_after_the_other(update) && replicas <= 1;
        let text = |key: &str| service.get(key).and_then(Value::as_str);
        if text("container_name").is_some() && !is_once {
            refuse("container_name", TWICE, RECREATE);
        }
        for port in ports(service) {
            if !is_once {
                refuse(&format!("ports ({port})"), TWICE, RECREATE);
            }
        }
        if let Some(mode) = text("network_mode") {
            let is_host = mode == "host";
            if !is_host {
                refuse("network_mode", "borrows the network of one other container", NOT_SHARED);
            } else if !is_once {
                refuse("network_mode", "is the one network of the host", RECREATE);
            }
        }
        for key in ["links", "volumes_from"] {
            if service.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
                refuse(key, "ties it to single containers of other services", NOT_SHARED);
            }
        }
        for key in ["ipc", "pid"] {
            if text(key).is_some_and(|mode| mode.starts_with("service:") || mode.starts_with("container:")) {
                refuse(key, "ties it to a single other container", NOT_SHARED);
            }
        }
        if let Some(proxy) = proxy.filter(|proxy| *proxy != name) {
            let theirs = model.networks(proxy);
            if !model.networks(name).iter().any(|network| theirs.contains(network)) {
                refuse("networks", "has none in common with the proxy", "put both services into one network");
            }
        }
        found
    }
}

/// Whether the old container is stopped before the new one starts, if there is only one.
fn is_one_after_the_other(update: &Update) -> bool {
    match update.replacement {
        Replacement::Recreate => true,
        Replacement::Rolling => update.order == Order::StopFirst,
        Replacement::BlueGreen { .. } => false,
    }
}

/// The fixed ports of the host, as people write them; one that is left to Docker is none.
fn ports(service: &Value) -> Vec<String> {
    let published = |port: &Value| {
        let published = port.get("published")?.as_str().filter(|text| !matches!(*text, "" | "0"))?.to_owned();
        let target = port.get("target").map(ToString::to_string).unwrap_or_default();
        Some(format!("{published}:{target}"))
    };
    let ports = service.get("ports").and_then(Value::as_array);
    ports.into_iter().flatten().filter_map(published).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[track_caller]
    fn check(service: &Value, update: &Update, replicas: u64, expected: &[&str]) {
        let project = json!({"services": {
            "api": service,
            "nginx": {"networks": {"front": null}},
        }});
        let model = Model::parse(project.to_string().as_bytes()).unwrap();
        let keys = |proxy| -> Vec<String> {
            Refusal::all(&model, "api", update, replicas, proxy).into_iter().map(|found| found.key).collect()
        };
        assert_eq!(keys(None), expected);
        let mut with_networks = expected.to_vec();
        if service["networks"].get("front").is_none() {
            with_networks.push("networks");
        }
        assert_eq!(keys(Some("nginx")), with_networks);
    }

    fn everything() -> Value {
        json!({
            "container_name": "api",
            "ports": [
                {"target": 80, "published": "8080"},
                {"target": 90, "published": "9000-9010", "host_ip": "127.0.0.1"},
                {"target": 91},
                {"target": 92, "published": "0"},
            ],
            "network_mode": "host",
            "links": ["db"],
            "volumes_from": ["db"],
            "ipc": "service:db",
            "pid": "service:db",
        })
    }

    #[test]
    fn everything_that_cannot_be_twice_is_named_at_once() {
        let all = [
            "container_name",
            "ports (8080:80)",
            "ports (9000-9010:90)",
            "network_mode",
            "links",
            "volumes_from",
            "ipc",
            "pid",
        ];
        let blue_green =
            Update { replacement: Replacement::BlueGreen { bake: Duration::ZERO }, ..Update::default() };
        check(&everything(), &Update::default(), 1, &all);
        check(&everything(), &blue_green, 1, &all);
        let stop_first = Update { order: Order::StopFirst, ..Update::default() };
        check(&everything(), &stop_first, 2, &all);
    }

    #[test]
    fn what_can_be_one_after_the_other_is_fine_for_one_container() {
        let tied = ["links", "volumes_from", "ipc", "pid"];
        check(&everything(), &Update { order: Order::StopFirst, ..Update::default() }, 1, &tied);
        check(&everything(), &Update { replacement: Replacement::Recreate, ..Update::default() }, 1, &tied);
    }

    #[test]
    fn the_network_of_another_container_cannot_be_shared_in_any_way() {
        let recreate = Update { replacement: Replacement::Recreate, ..Update::default() };
        check(&json!({"network_mode": "service:db"}), &recreate, 1, &["network_mode"]);
    }

    #[test]
    fn a_service_that_says_nothing_of_that_kind_is_fine() {
        let service = json!({"ports": [{"target": 80}], "networks": {"front": null}, "ipc": "private"});
        check(&service, &Update::default(), 3, &[]);
    }

    #[test]
    fn a_refusal_names_the_key_and_what_to_do() {
        let model = Model::parse(br#"{"services": {"api": {"container_name": "x"}}}"#).unwrap();
        let found = Refusal::all(&model, "api", &Update::default(), 1, None).remove(0);
        let said = "`services.api.container_name` of the Compose files is taken while the old container runs";
        assert_eq!(found.to_string(), said);
        assert_eq!((found.hint().as_deref(), found.exit_code()), (Some(RECREATE), ExitCode::Usage));
    }
}
