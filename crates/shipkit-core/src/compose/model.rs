//! `Model`: a project as `docker compose config --format json` renders it.
//!
//! It stays JSON: what shipkit does not know reaches Compose again as it was. A dollar sign is written twice in it, so that
//! it can be fed back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{KEY, SERVICE};
use crate::digest::Digest;
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::reference::ImageRef;
use crate::target::{Order, Update};

/// How long a container has to stop where the service does not say (Compose's own default).
const GRACE: Duration = Duration::from_secs(10);
/// What says how a service is built, scaled or replaced, or comes after others, and nothing about one container of it.
const NOT_OF_A_CONTAINER: &[&str] = &["image", "build", "depends_on", "scale", "profiles", "pull_policy"];
/// The same below `deploy`.
const NOT_OF_A_CONTAINER_IN_DEPLOY: &[&str] = &["replicas", "update_config", "rollback_config", "placement"];

/// A rendered project.
#[derive(Debug, Clone, PartialEq)]
pub struct Model(Value);

/// What should be a rendered project is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`docker compose config` does not show a project: {0}")]
pub struct BadModel(String);

impl Hint for BadModel {
    fn hint(&self) -> Option<String> {
        Some("Compose 2.20 or newer is needed on the Docker host".to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl Model {
    /// Reads what Compose printed.
    ///
    /// # Errors
    /// When it is not JSON or holds no services.
    pub fn parse(text: &[u8]) -> Result<Self, BadModel> {
        let value: Value = serde_json::from_slice(text).map_err(|error| BadModel(error.to_string()))?;
        let has_services = value.get("services").is_some_and(Value::is_object);
        if has_services { Ok(Self(value)) } else { Err(BadModel("it has no `services`".to_owned())) }
    }

    /// The names of the services, in the order of the model.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.all().into_iter().flat_map(Map::keys).map(String::as_str)
    }

    /// One service; `None` if there is no such.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Value> {
        self.all()?.get(name)
    }

    fn all(&self) -> Option<&Map<String, Value>> {
        self.0.get("services")?.as_object()
    }

    /// The services that Compose starts before this one.
    #[must_use]
    pub fn depends_on(&self, name: &str) -> Vec<String> {
        let before = self.service(name).and_then(|service| service.get("depends_on")?.as_object());
        before.into_iter().flat_map(Map::keys).cloned().collect()
    }

    /// The digest of what the files say about one container of a service: what is not here needs no new container. `None`
    /// if there is no such service.
    #[must_use]
    pub fn digest(&self, name: &str) -> Option<Digest> {
        let mut service = self.service(name)?.clone();
        without(&mut service, NOT_OF_A_CONTAINER);
        if let Some(deploy) = service.get_mut("deploy") {
            without(deploy, NOT_OF_A_CONTAINER_IN_DEPLOY);
        }
        Some(Digest::of(sorted(&service).to_string().as_bytes()))
    }

    /// How many containers should run, if the files say so.
    #[must_use]
    pub fn replicas(&self, name: &str) -> Option<u64> {
        let service = self.service(name)?;
        let scale = service.get("scale").and_then(Value::as_u64);
        scale.or_else(|| service.get("deploy")?.get("replicas")?.as_u64())
    }

    /// How an update proceeds: what the files say in `deploy.update_config`, and `otherwise` where they say nothing.
    #[must_use]
    pub fn update(&self, name: &str, otherwise: Update) -> Update {
        let Some(said) = self.service(name).and_then(|service| service.get("deploy")?.get("update_config"))
        else {
            return otherwise;
        };
        let time = |key: &str| said.get(key).and_then(Value::as_str).and_then(duration);
        Update {
            parallelism: said.get("parallelism").and_then(Value::as_u64).unwrap_or(otherwise.parallelism),
            delay: time("delay").unwrap_or(otherwise.delay),
            order: match said.get("order").and_then(Value::as_str) {
                Some("stop-first") => Order::StopFirst,
                Some("start-first") => Order::StartFirst,
                Some(_) | None => otherwise.order,
            },
            monitor: time("monitor").unwrap_or(otherwise.monitor),
            replacement: otherwise.replacement,
        }
    }

    /// How long a container has to stop.
    #[must_use]
    pub fn stop_grace(&self, name: &str) -> Duration {
        let said = self.service(name).and_then(|service| service.get("stop_grace_period")?.as_str());
        said.and_then(duration).unwrap_or(GRACE)
    }

    /// The name that the files give to its one container.
    #[must_use]
    pub fn container_name(&self, name: &str) -> Option<&str> {
        self.service(name)?.get("container_name")?.as_str()
    }

    /// The names of the networks that a service is in; empty where it has those of the host or of another one.
    #[must_use]
    pub fn networks(&self, name: &str) -> Vec<&str> {
        let networks = self.service(name).and_then(|service| service.get("networks")?.as_object());
        networks.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }

    /// What the files say of how a service is started, as text: its entry point, command and environment.
    #[must_use]
    pub fn how_it_starts(&self, name: &str) -> String {
        let said = |key| self.service(name).and_then(|service| service.get(key)).map(ToString::to_string);
        ["entrypoint", "command", "environment"].into_iter().filter_map(said).collect()
    }

    /// Whether something is mounted at or above this absolute path.
    #[must_use]
    pub fn is_mounted(&self, name: &str, path: &str) -> bool {
        let volumes = self.service(name).and_then(|service| service.get("volumes")?.as_array());
        let is_above = |volume: &Value| {
            volume.get("target").and_then(Value::as_str).is_some_and(|target| covers(target, path))
        };
        volumes.into_iter().flatten().any(is_above)
    }

    /// A project with this service only: its image by digest, further environment variables, our labels, and without what
    /// comes before it, so that Compose makes its containers and touches nothing else. Networks, volumes, secrets and
    /// configs stay. `None` if there is no such service.
    #[must_use]
    pub fn alone(
        &self,
        name: &str,
        image: &ImageRef,
        environment: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let mut service = self.at(name, image)?;
        let key = self.key(name, image, environment)?;
        let fields = service.as_object_mut()?;
        let variables = fields.entry("environment").or_insert_with(|| json!({}));
        if variables.is_null() {
            *variables = json!({});
        }
        for (variable, value) in environment {
            variables.as_object_mut()?.insert(variable.clone(), json!(value.replace('$', "$$")));
        }
        let labels = fields.entry("labels").or_insert_with(|| json!({}));
        if labels.is_null() {
            *labels = json!({});
        }
        labels.as_object_mut()?.insert(KEY.to_owned(), json!(key));
        labels.as_object_mut()?.insert(SERVICE.to_owned(), json!(name));
        self.with_only(name, &service)
    }

    /// The same as others would start it: without our labels, so that its containers are told from ours. `None` if there
    /// is no such service.
    #[must_use]
    pub fn of_others(&self, name: &str, image: &ImageRef) -> Option<Self> {
        self.with_only(name, &self.at(name, image)?)
    }

    /// A service with its image by digest, and without what is not about one container.
    fn at(&self, name: &str, image: &ImageRef) -> Option<Value> {
        let mut service = self.service(name)?.clone();
        without(&mut service, &["build", "depends_on", "scale", "profiles", "pull_policy", "container_name"]);
        service.as_object_mut()?.insert("image".to_owned(), json!(image.to_string()));
        Some(service)
    }

    /// A project with this service only, as it is, without what comes before it. `None` if there is no such service.
    #[must_use]
    pub fn without_dependencies(&self, name: &str) -> Option<Self> {
        let mut service = self.service(name)?.clone();
        without(&mut service, &["depends_on"]);
        self.with_only(name, &service)
    }

    /// Everything that Compose starts before a service, in that order.
    #[must_use]
    pub fn all_before(&self, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        self.add_before(name, &mut all);
        all
    }

    fn add_before(&self, name: &str, all: &mut Vec<String>) {
        // Compose renders no project whose services wait for each other in a circle.
        for before in self.depends_on(name) {
            if !all.contains(&before) {
                self.add_before(&before, all);
                all.push(before);
            }
        }
    }

    /// A project with one service only, called `name`, that runs once as a container of `service` would: with its image by
    /// digest, environment, networks, volumes and secrets, and with these `fields` in place of its own. Nobody reaches it by
    /// a name or a port of `service`. `None` if there is no such service.
    #[must_use]
    pub fn once(
        &self,
        service: &str,
        (image, environment): (&ImageRef, &BTreeMap<String, String>),
        (name, fields): (&str, &Value),
    ) -> Option<Self> {
        let mut once = self.alone(service, image, environment)?.service(service)?.clone();
        without(&mut once, &["ports", "expose", "healthcheck", "deploy", "labels", "hostname"]);
        let networks = once.get_mut("networks").and_then(Value::as_object_mut);
        for network in networks.into_iter().flat_map(Map::values_mut) {
            // Further names and a fixed address.
            *network = Value::Null;
        }
        for (key, value) in fields.as_object()? {
            once.as_object_mut()?.insert(key.clone(), value.clone());
        }
        self.with_only(name, &once)
    }

    /// The keys that name files below this folder, each with the path in it.
    #[must_use]
    pub fn below(&self, folder: &str) -> Vec<String> {
        let inner = |value: &Value, key: &str| {
            let path = value.get(key)?.as_str()?.strip_prefix(folder)?;
            Some(if path.is_empty() { ".".to_owned() } else { path.strip_prefix('/')?.to_owned() })
        };
        let mut found = Vec::new();
        for (name, service) in self.all().into_iter().flatten() {
            let volumes = service.get("volumes").and_then(Value::as_array).into_iter().flatten();
            let binds = volumes.filter_map(|volume| inner(volume, "source"));
            found.extend(binds.map(|path| format!("`services.{name}.volumes` (`{path}`)")));
        }
        for kind in ["configs", "secrets"] {
            let all = self.0.get(kind).and_then(Value::as_object);
            for (name, one) in all.into_iter().flatten() {
                found.extend(inner(one, "file").map(|path| format!("`{kind}.{name}.file` (`{path}`)")));
            }
        }
        found
    }

    fn with_only(&self, name: &str, service: &Value) -> Option<Self> {
        let mut project = self.0.clone();
        project.as_object_mut()?.insert("services".to_owned(), json!({name: service}));
        Some(Self(project))
    }

    /// What tells the containers of one release of a service from those of another: image, files and environment, as 64
    /// hexadecimal digits. `None` if there is no such service.
    #[must_use]
    pub fn key(
        &self,
        name: &str,
        image: &ImageRef,
        environment: &BTreeMap<String, String>,
    ) -> Option<String> {
        let essence = json!([image.digest.as_str(), self.digest(name)?.as_str(), environment]);
        Some(Digest::of(essence.to_string().as_bytes()).hex().to_owned())
    }

    /// What Compose reads.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0
    }
}

fn without(value: &mut Value, keys: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

/// The same value with its keys in order: Docker's programs may write them in another one.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, Value> =
                fields.iter().map(|(key, value)| (key, sorted(value))).collect();
            json!(fields)
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Whether an absolute path is the same as, or below, another one.
fn covers(above: &str, path: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Reads a duration as Compose prints it: `1m30s`, `1.5s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, next) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let of_a_second = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * of_a_second;
        rest = next;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Repository;
    use crate::target::Replacement;

    fn model() -> Model {
        let text = r#"{
            "name": "shop",
            "networks": {"default": {"name": "shop_default"}},
            "volumes": {"data": {"name": "shop_data"}},
            "services": {
                "api": {
                    "build": {"context": "."}, "image": "api:1", "container_name": "api", "scale": 3,
                    "depends_on": {"db": {"condition": "service_healthy"}},
                    "deploy": {
                        "replicas": 2, "resources": {},
                        "update_config": {"parallelism": 0, "delay": "1.5s", "monitor": "1m2s", "order": "stop-first"}
                    },
                    "environment": {"A": "x$$y"}, "labels": null, "stop_grace_period": "500ms",
                    "networks": {"default": null, "back": null},
                    "volumes": [{"type": "volume", "source": "conf", "target": "/etc/nginx/"}]
                },
                "db": {"image": "db:1"}
            }
        }"#;
        Model::parse(text.as_bytes()).unwrap()
    }

    fn edited(edit: impl FnOnce(&mut Value)) -> Model {
        let Model(mut value) = model();
        edit(&mut value["services"]["api"]);
        Model(value)
    }

    fn image(content: &str) -> ImageRef {
        "ghcr.io/a/api".parse::<Repository>().unwrap().at(&Digest::of(content.as_bytes()))
    }

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_is_no_project_is_refused() {
        for text in ["", "[]", "{}", r#"{"services": []}"#] {
            assert!(Model::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_files_say_about_replacing_a_service_is_read() {
        let model = model();
        assert_eq!(model.services().collect::<Vec<_>>(), ["api", "db"]);
        assert_eq!((model.replicas("api"), model.replicas("db")), (Some(3), None));
        assert_eq!(model.depends_on("api"), ["db"]);
        assert_eq!((model.stop_grace("api"), model.stop_grace("db")), (Duration::from_millis(500), GRACE));
        let bake = Replacement::BlueGreen { bake: Duration::ZERO };
        let otherwise = Update { parallelism: 7, replacement: bake, ..Update::default() };
        let expected = Update {
            parallelism: 0,
            delay: Duration::from_millis(1500),
            order: Order::StopFirst,
            monitor: Duration::from_secs(62),
            replacement: bake,
        };
        assert_eq!(model.update("api", otherwise), expected);
        assert_eq!(model.update("db", otherwise), otherwise);
        let deploy = edited(|api| drop(api.as_object_mut().unwrap().remove("scale")));
        assert_eq!(deploy.replicas("api"), Some(2));
    }

    #[test]
    fn networks_and_mounts_are_those_of_the_service() {
        let model = model();
        assert_eq!((model.networks("api"), model.networks("db").len()), (vec!["default", "back"], 0));
        for (path, expected) in
            [("/etc/nginx/shipkit", true), ("/etc/nginx", true), ("/etc/nginx2", false), ("/etc", false)]
        {
            assert_eq!(model.is_mounted("api", path), expected, "{path}");
        }
    }

    #[test]
    fn what_runs_once_is_a_container_of_the_service_that_nobody_reaches() {
        let model = edited(|api| {
            for key in ["ports", "expose", "healthcheck", "hostname"] {
                api[key] = json!("x");
            }
            api["labels"] = json!({"traefik.enable": "true"});
            api["networks"]["back"] = json!({"aliases": ["api.example"], "ipv4_address": "10.0.0.9"});
            api["restart"] = json!("always");
        });
        let fields = json!({"command": ["migrate"], "container_name": "shop-m", "restart": "no", "labels": {"l": "1"}});
        let more = environment(&[("B", "$y")]);
        let once = model.once("api", (&image("1"), &more), ("m", &fields)).unwrap();
        let expected = json!({
            "image": image("1").to_string(), "environment": {"A": "x$$y", "B": "$$y"}, "stop_grace_period": "500ms",
            "networks": {"default": null, "back": null},
            "volumes": [{"type": "volume", "source": "conf", "target": "/etc/nginx/"}],
            "command": ["migrate"], "container_name": "shop-m", "restart": "no", "labels": {"l": "1"},
        });
        assert_eq!(once.value()["services"], json!({"m": expected}));
        assert_eq!(once.value()["volumes"], model.value()["volumes"]);
        assert_eq!(model.once("web", (&image("1"), &more), ("m", &fields)), None);
    }

    #[test]
    fn what_comes_before_a_service_comes_in_its_order() {
        let service = |before: &[&str]| {
            let before: Map<_, _> = before.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
            json!({"depends_on": before})
        };
        let services = json!({
            "api": service(&["cache", "db"]), "cache": service(&["net"]), "db": service(&["net"]), "net": {}
        });
        let model = Model::parse(json!({"services": services}).to_string().as_bytes()).unwrap();
        assert_eq!(model.all_before("api"), ["net", "cache", "db"]);
        assert_eq!(model.all_before("net"), Vec::<String>::new());
    }

    #[test]
    fn files_beside_the_project_are_named_with_their_keys() {
        let project = json!({
            "services": {"nginx": {"volumes": [
                {"type": "bind", "source": "/up/1/nginx.conf", "target": "/a"},
                {"type": "bind", "source": "/up/1", "target": "/b"},
                {"type": "bind", "source": "/up/12/x", "target": "/c"},
                {"type": "volume", "source": "data", "target": "/d"},
            ]}},
            "configs": {"c": {"file": "/up/1/c"}},
            "secrets": {"s": {"file": "/run/s"}, "t": {"environment": "T"}},
        });
        let model = Model::parse(project.to_string().as_bytes()).unwrap();
        let expected = [
            "`services.nginx.volumes` (`nginx.conf`)",
            "`services.nginx.volumes` (`.`)",
            "`configs.c.file` (`c`)",
        ];
        assert_eq!(model.below("/up/1"), expected);
    }

    #[test]
    fn only_what_a_container_is_made_from_is_in_the_digest() {
        let digest = |model: &Model| model.digest("api").unwrap();
        let same = edited(|api| {
            for key in ["build", "depends_on", "scale", "image"] {
                api.as_object_mut().unwrap().remove(key);
            }
            api["deploy"] = json!({"resources": {}, "replicas": 9});
        });
        assert_eq!(digest(&same), digest(&model()));
        let other = edited(|api| api["environment"]["A"] = json!("other"));
        assert_ne!(digest(&other), digest(&model()));
        let limits = edited(|api| api["deploy"]["resources"] = json!({"limits": {"memory": "1"}}));
        assert_ne!(digest(&limits), digest(&model()));
        assert_eq!(model().digest("web"), None);
    }

    #[test]
    fn the_order_of_keys_is_not_in_the_digest() {
        let one = Model::parse(br#"{"services": {"a": {"x": {"p": 1, "q": [2]}, "y": 3}}}"#).unwrap();
        let other = Model::parse(br#"{"services": {"a": {"y": 3, "x": {"q": [2], "p": 1}}}}"#).unwrap();
        assert_eq!(one.digest("a"), other.digest("a"));
    }

    #[test]
    fn the_key_tells_images_files_and_environments_apart() {
        let key = |model: &Model, content: &str, pairs: &[(&str, &str)]| {
            model.key("api", &image(content), &environment(pairs)).unwrap()
        };
        let one = key(&model(), "1", &[]);
        assert_eq!((one.len(), &one), (64, &key(&model(), "1", &[])));
        assert_ne!(one, key(&model(), "2", &[]));
        assert_ne!(one, key(&model(), "1", &[("B", "1")]));
        assert_ne!(one, key(&edited(|api| api["command"] = json!(["x"])), "1", &[]));
    }

    #[test]
    fn a_service_alone_has_its_digest_our_labels_and_nothing_that_draws_others_along() {
        let alone = model().alone("api", &image("1"), &environment(&[("B", "$1")])).unwrap();
        let (project, service) = (alone.value(), &alone.value()["services"]["api"]);
        assert_eq!(alone.services().collect::<Vec<_>>(), ["api"]);
        assert_eq!(service["image"], json!(image("1").to_string()));
        for key in ["build", "depends_on", "scale", "container_name"] {
            assert_eq!(service.get(key), None, "{key}");
        }
        assert_eq!(service["environment"], json!({"A": "x$$y", "B": "$$1"}));
        let key = model().key("api", &image("1"), &environment(&[("B", "$1")])).unwrap();
        assert_eq!(service["labels"], json!({KEY: key, SERVICE: "api"}));
        assert_eq!(project["volumes"], json!({"data": {"name": "shop_data"}}));
        assert_eq!(model().alone("web", &image("1"), &BTreeMap::new()), None);
    }

    #[test]
    fn what_others_started_is_made_again_without_our_labels() {
        let theirs = model().of_others("api", &image("1")).unwrap();
        let service = &theirs.value()["services"]["api"];
        assert_eq!((&service["image"], &service["labels"]), (&json!(image("1").to_string()), &Value::Null));
        assert_eq!((theirs.depends_on("api").len(), theirs.container_name("api")), (0, None));
        assert_eq!(theirs.value()["volumes"], model().value()["volumes"]);
        assert_eq!(model().of_others("web", &image("1")), None);
    }

    #[test]
    fn a_service_without_its_dependencies_is_as_it_is_otherwise() {
        let alone = model().without_dependencies("api").unwrap();
        assert_eq!(alone.services().collect::<Vec<_>>(), ["api"]);
        assert_eq!((alone.depends_on("api").len(), alone.container_name("api")), (0, Some("api")));
        assert_eq!(alone.value()["services"]["api"]["image"], json!("api:1"));
    }

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [("1h0m1.5s", Some(3601.5)), ("250ms", Some(0.25)), ("5", None), ("1x", None)]
        {
            assert_eq!(duration(text), expected.map(Duration::from_secs_f64), "{text}");
        }
    }
}
