//! `StackFile`: the files of a stack as `docker stack config` renders them, and what of them `docker stack deploy` is given.
//!
//! It stays what Docker said: what shipkit does not know reaches Docker again as it was. Its texts are final, so every dollar
//! sign is written twice where Docker reads them once more.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::compose::sorted;
use crate::config::compose_value;
use crate::digest::Digest;
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::project_path::ProjectPath;
use crate::target::Order;

/// What the services of a file refer to, each by a name that it has there.
const KINDS: [&str; 4] = ["networks", "volumes", "configs", "secrets"];
/// What a service says and a Swarm does not act upon, or what was taken in when it was rendered.
const NOT_OF_A_SERVICE: &[&str] = &["build", "depends_on", "env_file", "container_name"];

/// The files of a stack, rendered as one.
#[derive(Debug, Clone, PartialEq)]
pub struct StackFile(Value);

/// What shipkit decides about a service of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Its image.
    pub image: String,
    /// Further labels of the service; its containers do not get them.
    pub labels: BTreeMap<String, String>,
}

/// What services of a file need that it does not bring: by their full names on the Swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Networks that others made.
    pub networks: BTreeSet<String>,
    /// Configs that others made.
    pub configs: BTreeSet<String>,
    /// Secrets that others made.
    pub secrets: BTreeSet<String>,
    /// Configs that the file brings, with what they hold: a Swarm cannot change the content of one that is there.
    pub contents: BTreeMap<String, Digest>,
}

/// What should be the file of a stack is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStackFile {
    /// It cannot be read.
    #[error("`{file}` is not the file of a stack: {reason}")]
    Unreadable {
        /// What it is called.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A service ends by itself, and a rollout waits for what goes on.
    #[error("`services.{0}.deploy.mode` of the stack files is a job, which no rollout can wait for")]
    Job(String),
}

impl Hint for BadStackFile {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Job(_) => {
                Some("run it as `migrate` of the environment, or in a stack of its own".to_owned())
            }
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl StackFile {
    /// Reads what `docker stack config` printed.
    ///
    /// # Errors
    /// When it is not YAML, holds no services, or one of them is a job.
    pub fn parse(text: &[u8]) -> Result<Self, BadStackFile> {
        let value = read("docker stack config", text)?;
        let file = Self(value);
        let Some(services) = file.all() else {
            let (file, reason) = ("docker stack config".to_owned(), "it has no `services`".to_owned());
            return Err(BadStackFile::Unreadable { file, reason });
        };
        let is_job = |service: &Value| {
            let mode = service.get("deploy").and_then(|deploy| deploy.get("mode")?.as_str());
            mode.is_some_and(|mode| mode.ends_with("-job"))
        };
        match services.iter().find(|(_, service)| is_job(service)) {
            Some((name, _)) => Err(BadStackFile::Job(name.clone())),
            None => Ok(file),
        }
    }

    /// The names of the services.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.all().into_iter().flat_map(Map::keys).map(String::as_str)
    }

    /// The image of a service as the files say it.
    #[must_use]
    pub fn image(&self, service: &str) -> Option<&str> {
        self.all()?.get(service)?.get("image")?.as_str()
    }

    /// Which comes first when a task of a service is replaced; what says nothing stops first.
    #[must_use]
    pub fn order(&self, service: &str) -> Order {
        let deploy = self.all().and_then(|all| all.get(service)?.get("deploy"));
        match deploy.and_then(|deploy| deploy.get("update_config")?.get("order")?.as_str()) {
            Some("start-first") => Order::StartFirst,
            Some(_) | None => Order::StopFirst,
        }
    }

    /// The same with further environment variables of one service, if it is there.
    #[must_use]
    pub fn with_environment(mut self, service: &str, variables: &BTreeMap<String, String>) -> Self {
        let found = self.0.get_mut("services").and_then(|services| services.get_mut(service));
        if let Some(environment) = found.and_then(|service| mapping(service, "environment")) {
            environment.extend(variables.iter().map(|(name, value)| (name.clone(), json!(value))));
        }
        self
    }

    /// The digest of what the files say about a service besides its image, with all that it refers to. `contents` are those of
    /// the files that configs and secrets are made from, by their paths. `None` if there is no such service.
    #[must_use]
    pub fn digest(&self, service: &str, contents: &BTreeMap<String, Digest>) -> Option<Digest> {
        let mut said = self.all()?.get(service)?.clone();
        without(&mut said, NOT_OF_A_SERVICE);
        without(&mut said, &["image"]);
        let mut referred = self.referred(&BTreeSet::from([service]));
        for definition in referred.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
            let content = definition.get("file").and_then(Value::as_str).and_then(|path| contents.get(path));
            if let (Some(content), Some(fields)) = (content, definition.as_object_mut()) {
                fields.insert("file".to_owned(), json!(content.as_str()));
            }
        }
        Some(Digest::of(sorted(&json!([said, referred])).to_string().as_bytes()))
    }

    /// What these services need that the file does not bring, in a stack of this name.
    #[must_use]
    pub fn needs(
        &self,
        (stack, services): (&str, &BTreeSet<&str>),
        contents: &BTreeMap<String, Digest>,
    ) -> Needs {
        let mut needs = Needs::default();
        for (kind, definitions) in self.referred(services) {
            for (name, definition) in definitions.as_object().into_iter().flatten() {
                let called = definition.get("name").and_then(Value::as_str);
                let is_external = definition.get("external") == Some(&Value::Bool(true));
                let file = definition.get("file").and_then(Value::as_str);
                let content = file.and_then(|path| contents.get(path));
                let external = called.unwrap_or(name).to_owned();
                match (kind, is_external, content) {
                    ("networks", true, _) => drop(needs.networks.insert(external)),
                    ("configs", true, _) => drop(needs.configs.insert(external)),
                    ("secrets", true, _) => drop(needs.secrets.insert(external)),
                    ("configs", false, Some(content)) => {
                        let full = called.map_or_else(|| format!("{stack}_{name}"), str::to_owned);
                        needs.contents.insert(full, content.clone());
                    }
                    _ => {}
                }
            }
        }
        needs
    }

    /// The services that mount something of this folder, each with its path there.
    #[must_use]
    pub fn mounts_below(&self, folder: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (name, service) in self.all().into_iter().flatten() {
            let volumes = service.get("volumes").and_then(Value::as_array).into_iter().flatten();
            let below = |volume: &Value| {
                let path = volume.get("source")?.as_str()?.strip_prefix(folder)?;
                (path.is_empty() || path.starts_with('/')).then(|| path.trim_start_matches('/').to_owned())
            };
            found.extend(
                volumes.filter_map(below).map(|path| format!("`services.{name}.volumes` (`./{path}`)")),
            );
        }
        found
    }

    /// What `docker stack deploy` reads to put these services in place and touch no other.
    #[must_use]
    pub fn only(&self, services: &BTreeMap<&str, Pin>) -> Value {
        let pinned =
            services.iter().filter_map(|(name, pin)| Some(((*name).to_owned(), self.pinned(name, pin)?)));
        self.deployable(&services.keys().copied().collect(), pinned.collect())
    }

    /// What `docker stack deploy` reads to run a command once, as the job `name`, with all that the service has. Nobody reaches
    /// the job by a name or a port of the service. `None` if there is no such service.
    #[must_use]
    pub fn once(&self, service: &str, pin: &Pin, (name, command): (&str, &[String])) -> Option<Value> {
        let mut job = self.pinned(service, pin)?;
        without(&mut job, &["ports", "hostname"]);
        let deploy = job.get("deploy").cloned().unwrap_or_default();
        let mut kept = json!({
            "mode": "replicated-job", "restart_policy": {"condition": "none"}, "labels": pin.labels,
        });
        for key in ["resources", "placement"] {
            if let (Some(said), Some(fields)) = (deploy.get(key), kept.as_object_mut()) {
                fields.insert(key.to_owned(), said.clone());
            }
        }
        // Aliases are for the service.
        let networks: Map<_, _> = names(job.get("networks")).map(|name| (name, Value::Null)).collect();
        let fields = job.as_object_mut()?;
        if !networks.is_empty() {
            fields.insert("networks".to_owned(), Value::Object(networks));
        }
        fields.insert("deploy".to_owned(), kept);
        fields.insert("command".to_owned(), json!(command));
        // That of the service would stop a job that answers nothing.
        fields.insert("healthcheck".to_owned(), json!({"disable": true}));
        let jobs = Map::from_iter([(name.to_owned(), job)]);
        Some(self.deployable(&BTreeSet::from([service]), jobs))
    }

    fn all(&self) -> Option<&Map<String, Value>> {
        self.0.get("services")?.as_object()
    }

    /// A service with what shipkit decides about it.
    fn pinned(&self, name: &str, pin: &Pin) -> Option<Value> {
        let mut service = self.all()?.get(name)?.clone();
        without(&mut service, NOT_OF_A_SERVICE);
        service.as_object_mut()?.insert("image".to_owned(), json!(pin.image));
        mapping(&mut service, "deploy")?;
        let labels = mapping(service.get_mut("deploy")?, "labels")?;
        labels.extend(pin.labels.iter().map(|(name, value)| (name.clone(), json!(value))));
        Some(service)
    }

    /// A file with these services and what `referring` refer to: what others need may have changed meanwhile, and a Swarm
    /// would refuse it.
    fn deployable(&self, referring: &BTreeSet<&str>, services: Map<String, Value>) -> Value {
        let mut file = Map::from_iter([("services".to_owned(), Value::Object(services))]);
        file.extend(self.0.get("version").map(|version| ("version".to_owned(), version.clone())));
        let referred = self.referred(referring).into_iter();
        file.extend(referred.map(|(kind, definitions)| (kind.to_owned(), definitions)));
        escaped(&Value::Object(file))
    }

    /// What these services refer to, by its kind.
    fn referred(&self, services: &BTreeSet<&str>) -> BTreeMap<&'static str, Value> {
        let mut all = BTreeMap::new();
        for kind in KINDS {
            let named = services.iter().filter_map(|name| self.all()?.get(*name));
            let named: BTreeSet<String> = named.flat_map(|service| references(service, kind)).collect();
            let defined = self.0.get(kind).and_then(Value::as_object).into_iter().flatten();
            let kept: Map<String, Value> = defined
                .filter(|(name, _)| named.contains(*name))
                .map(|(name, definition)| (name.clone(), definition.clone()))
                .collect();
            if !kept.is_empty() {
                all.insert(kind, Value::Object(kept));
            }
        }
        all
    }
}

/// The files beside the file of a stack that Docker reads as well: environment files, and what configs and secrets are made
/// from. Paths begin at `folder`, that of the first file; those with variables in them, and those that lead out of the project,
/// are left out.
///
/// # Errors
/// When it is not YAML.
pub fn files_beside(name: &str, text: &[u8], folder: &str) -> Result<BTreeSet<ProjectPath>, BadStackFile> {
    let value = read(name, text)?;
    let mapping = |key: &str| value.get(key).and_then(Value::as_object).into_iter().flat_map(Map::values);
    let environments = mapping("services").filter_map(|service| service.get("env_file"));
    let listed = environments.flat_map(|one| one.as_array().map_or(vec![one], |all| all.iter().collect()));
    let made = mapping("configs").chain(mapping("secrets")).filter_map(|one| one.get("file"));
    Ok(listed.chain(made).filter_map(|path| beside(folder, path.as_str()?)).collect())
}

/// A path that begins at a folder of the project.
fn beside(folder: &str, path: &str) -> Option<ProjectPath> {
    if path.starts_with(['/', '~']) || path.contains('$') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    parts.join("/").parse().ok()
}

fn read(file: &str, text: &[u8]) -> Result<Value, BadStackFile> {
    let unreadable = |reason: String| BadStackFile::Unreadable { file: file.to_owned(), reason };
    let text = std::str::from_utf8(text).map_err(|error| unreadable(error.to_string()))?;
    compose_value(file, text).map_err(|error| {
        let problem = error.problems().first();
        unreadable(problem.map(|one| format!("{}, in line {}", one.message, one.line)).unwrap_or_default())
    })
}

/// The names of what a service refers to.
fn references(service: &Value, kind: &str) -> BTreeSet<String> {
    let named: BTreeSet<String> = names(service.get(kind)).collect();
    if kind == "networks" && named.is_empty() { BTreeSet::from(["default".to_owned()]) } else { named }
}

/// The names in a list of texts or of objects with a `source`, or in a mapping.
fn names(value: Option<&Value>) -> impl Iterator<Item = String> {
    let fields = value.and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned();
    let items = value.and_then(Value::as_array).into_iter().flatten();
    let of_items = items.filter_map(|item| item.as_str().or_else(|| item.get("source")?.as_str()));
    fields.chain(of_items.map(str::to_owned))
}

/// The mapping at this key, made where there is none.
fn mapping<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let field = value.as_object_mut()?.entry(key).or_insert(Value::Null);
    if field.is_null() {
        *field = json!({});
    }
    field.as_object_mut()
}

fn without(value: &mut Value, keys: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

/// The same for whoever fills in variables: in values, for nobody does in keys.
fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(text.replace('$', "$$")),
        Value::Array(items) => items.iter().map(escaped).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, field)| (key.clone(), escaped(field))).collect::<Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "version: '3.13'
services:
  api:
    image: shop/api:${TAG}
    build: {context: api}
    depends_on: [db]
    env_file: [api.env]
    environment: {PRICE: $5, EMPTY: null}
    hostname: api
    ports: [{target: 80, published: 8080}]
    configs: [{source: nginx, target: /etc/n, mode: 288}]
    secrets: [{source: key}]
    networks: {default: {aliases: [shop]}, edge: null}
    volumes: [{type: volume, source: v, target: /v}, {type: bind, source: /up/docker/data, target: /d}]
    deploy:
      replicas: 2
      labels: {team: b$c}
      placement: {constraints: [node.role == worker]}
  db:
    image: postgres:17
    volumes: [{type: bind, source: /upper, target: /d}]
networks: {edge: {name: proxy, external: true}, default: {driver: overlay}, unused: {}}
configs: {nginx: {file: /up/docker/nginx.conf}, unused: {file: /up/x}, named: {name: x, external: true}}
secrets: {key: {name: key2, external: true}}
volumes: {v: {}, pg: {}}
x-more: {a: $a}
";

    fn file() -> StackFile {
        StackFile::parse(FILE.as_bytes()).unwrap()
    }

    fn edited(old: &str, new: &str) -> StackFile {
        assert!(FILE.contains(old), "{old}");
        StackFile::parse(FILE.replacen(old, new, 1).as_bytes()).unwrap()
    }

    fn pin() -> Pin {
        let labels = BTreeMap::from([("dev.shipkit.previous".to_owned(), r#"{"a$":"$b"}"#.to_owned())]);
        Pin { image: "shop/api@sha256:1".to_owned(), labels }
    }

    fn contents(of_nginx: &str) -> BTreeMap<String, Digest> {
        BTreeMap::from([("/up/docker/nginx.conf".to_owned(), Digest::of(of_nginx.as_bytes()))])
    }

    #[test]
    fn what_is_no_stack_is_refused_and_so_is_a_job() {
        for text in ["", "[]", "a: 1", "services: []", "a: [", "\u{0}"] {
            assert!(StackFile::parse(text.as_bytes()).is_err(), "{text}");
        }
        let job = FILE.replacen("replicas: 2", "mode: replicated-job", 1);
        assert_eq!(StackFile::parse(job.as_bytes()).unwrap_err(), BadStackFile::Job("api".to_owned()));
        assert_eq!(file().services().collect::<Vec<_>>(), ["api", "db"]);
        assert_eq!((file().image("db"), file().image("x")), (Some("postgres:17"), None));
    }

    #[test]
    fn only_what_is_asked_for_is_deployed_with_what_it_refers_to() {
        let deployed = file().only(&BTreeMap::from([("api", pin())]));
        let api = &deployed["services"]["api"];
        assert_eq!(api["image"], "shop/api@sha256:1");
        for key in ["build", "depends_on", "env_file"] {
            assert_eq!(api.get(key), None, "{key}");
        }
        assert_eq!((&api["ports"][0]["published"], &api["deploy"]["replicas"]), (&json!(8080), &json!(2)));
        assert_eq!(api["networks"]["default"]["aliases"][0], "shop");
        let top: Vec<_> = deployed.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(top, ["services", "version", "configs", "networks", "secrets", "volumes"]);
        let all = |kind: &str| deployed[kind].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let expected = [("services", vec!["api"]), ("networks", vec!["edge", "default"])];
        for (kind, names) in expected.into_iter().chain([("configs", vec!["nginx"]), ("volumes", vec!["v"])])
        {
            assert_eq!(all(kind), names, "{kind}");
        }
        // A network that nobody names is the default one, which needs no definition.
        let db = edited("default: {driver: overlay}, ", "").only(&BTreeMap::from([("db", pin())]));
        assert_eq!(db.get("networks"), None);
    }

    #[test]
    fn a_dollar_sign_is_written_twice_in_values_and_once_in_keys() {
        let deployed = file().only(&BTreeMap::from([("api", pin())]));
        let api = &deployed["services"]["api"];
        assert_eq!(api["environment"], json!({"PRICE": "$$5", "EMPTY": null}));
        let labels = json!({"team": "b$$c", "dev.shipkit.previous": r#"{"a$$":"$$b"}"#});
        assert_eq!(api["deploy"]["labels"], labels);
        let key = edited("PRICE: $5", "P$E: $5").only(&BTreeMap::from([("api", pin())]));
        assert_eq!(key["services"]["api"]["environment"]["P$E"], "$$5");
    }

    #[test]
    fn a_service_without_labels_or_deploy_gets_them() {
        for nothing in ["", "    deploy: {labels: null}\n", "    deploy:\n"] {
            let text = format!("services:\n  a:\n    image: x\n{nothing}");
            let file = StackFile::parse(text.as_bytes()).unwrap();
            let deployed = file.only(&BTreeMap::from([("a", pin())]));
            let labels = &deployed["services"]["a"]["deploy"]["labels"];
            assert!(labels["dev.shipkit.previous"].is_string(), "{nothing}");
        }
    }

    #[test]
    fn further_variables_count_more_than_those_of_the_files() {
        let more = BTreeMap::from([("PRICE".to_owned(), "$6".to_owned())]);
        let file = file().with_environment("api", &more).with_environment("db", &more);
        let deployed = file.only(&BTreeMap::from([("api", pin()), ("db", pin())]));
        for service in ["api", "db"] {
            assert_eq!(deployed["services"][service]["environment"]["PRICE"], "$$6");
        }
        assert_eq!(file.clone().with_environment("x", &more), file);
    }

    #[test]
    fn a_service_says_which_comes_first() {
        let order = |said: &str| edited("      replicas: 2\n", said).order("api");
        assert_eq!(order("      update_config: {order: start-first}\n"), Order::StartFirst);
        assert_eq!(order("      update_config: {order: stop-first}\n"), Order::StopFirst);
        assert_eq!(
            (order(""), file().order("db"), file().order("x")),
            (Order::StopFirst, Order::StopFirst, Order::StopFirst)
        );
    }

    #[test]
    fn a_digest_sees_what_a_swarm_acts_upon_and_nothing_else() {
        let digest = |file: &StackFile, nginx: &str| file.digest("api", &contents(nginx)).unwrap();
        let before = digest(&file(), "a");
        for (old, new) in [
            ("shop/api:${TAG}", "other"),
            ("depends_on: [db]", "depends_on: []"),
            ("{context: api}", "{context: b}"),
            ("unused: {}", "unused: {driver: x}"),
            ("postgres:17", "postgres:18"),
            ("{PRICE: $5, EMPTY: null}", "{EMPTY: null, PRICE: $5}"),
        ] {
            assert_eq!(digest(&edited(old, new), "a"), before, "{new}");
        }
        for (old, new) in [
            ("$5", "$6"),
            ("replicas: 2", "replicas: 3"),
            ("b$c", "d"),
            ("driver: overlay", "driver: other"),
            ("key2", "key3"),
            ("docker/nginx.conf", "nginx.conf"),
            ("v: {}", "v: {driver: x}"),
        ] {
            assert_ne!(digest(&edited(old, new), "a"), before, "{new}");
        }
        assert_ne!(digest(&file(), "b"), before);
        assert_eq!(file().digest("x", &BTreeMap::new()), None);
        // Where a file lies says nothing as long as its content is known.
        let moved = edited("/up/docker/nginx.conf", "/elsewhere/nginx.conf");
        let known = BTreeMap::from([("/elsewhere/nginx.conf".to_owned(), Digest::of(b"a"))]);
        assert_eq!(moved.digest("api", &known).unwrap(), before);
    }

    #[test]
    fn what_others_must_have_made_and_what_cannot_change_is_known() {
        let needs = file().needs(("shop", &BTreeSet::from(["api"])), &contents("a"));
        let one = |name: &str| BTreeSet::from([name.to_owned()]);
        assert_eq!(
            (needs.networks, needs.secrets, needs.configs),
            (one("proxy"), one("key2"), BTreeSet::new())
        );
        assert_eq!(needs.contents, BTreeMap::from([("shop_nginx".to_owned(), Digest::of(b"a"))]));
        let named = edited("source: nginx", "source: named");
        assert_eq!(named.needs(("shop", &BTreeSet::from(["api"])), &BTreeMap::new()).configs, one("x"));
        let named = edited("{file: /up/docker/nginx.conf}", "{name: n1, file: /up/docker/nginx.conf}");
        let needs = named.needs(("shop", &BTreeSet::from(["api"])), &contents("a"));
        assert_eq!(needs.contents.into_keys().collect::<Vec<_>>(), ["n1"]);
        assert_eq!(file().needs(("shop", &BTreeSet::from(["db"])), &contents("a")), Needs::default());
    }

    #[test]
    fn what_is_mounted_from_the_folder_of_the_files_is_named() {
        assert_eq!(file().mounts_below("/up"), ["`services.api.volumes` (`./docker/data`)"]);
        assert_eq!(file().mounts_below("/up/docker/data"), ["`services.api.volumes` (`./`)"]);
        assert_eq!(file().mounts_below("/other"), Vec::<String>::new());
    }

    #[test]
    fn a_job_has_what_the_service_has_and_is_not_reached_in_its_place() {
        let command = ["migrate".to_owned(), "$HOME".to_owned()];
        let deployed = file().once("api", &pin(), ("job", &command)).unwrap();
        assert_eq!(deployed["services"].as_object().unwrap().keys().collect::<Vec<_>>(), ["job"]);
        let job = &deployed["services"]["job"];
        assert_eq!(job["command"], json!(["migrate", "$$HOME"]));
        assert_eq!(job["networks"], json!({"default": null, "edge": null}));
        assert_eq!(job["healthcheck"], json!({"disable": true}));
        assert_eq!(job["deploy"]["mode"], "replicated-job");
        assert_eq!(job["deploy"]["restart_policy"]["condition"], "none");
        assert_eq!(job["deploy"]["placement"]["constraints"][0], "node.role == worker");
        assert_eq!((job.get("ports"), job["deploy"].get("replicas")), (None, None));
        assert_eq!(job["deploy"]["labels"], json!({"dev.shipkit.previous": r#"{"a$$":"$$b"}"#}));
        assert_eq!(
            (&job["environment"]["PRICE"], &job["image"]),
            (&json!("$$5"), &json!("shop/api@sha256:1"))
        );
        assert_eq!(deployed["secrets"]["key"]["name"], "key2");
        assert!(file().once("x", &pin(), ("job", &command)).is_none());
    }

    #[test]
    fn files_beside_those_of_the_stack_are_found() {
        let text = "services:
  a: {env_file: a.env}
  b: {env_file: [./b.env, ../c.env, /etc/d.env, '${E}.env', ../../out.env]}
configs: {c: {file: nginx/nginx.conf}, d: {external: true}}
secrets: {s: {file: ~/s}, t: {file: t}}
";
        let found = files_beside("f", text.as_bytes(), "docker").unwrap();
        let found: Vec<_> = found.iter().map(ProjectPath::as_str).collect();
        assert_eq!(found, ["c.env", "docker/a.env", "docker/b.env", "docker/nginx/nginx.conf", "docker/t"]);
        let found = files_beside("f", b"services: {a: {env_file: x}}", "").unwrap();
        assert_eq!(found.iter().map(ProjectPath::as_str).collect::<Vec<_>>(), ["x"]);
        let error = files_beside("f.yml", b"a: [", "").unwrap_err();
        assert!(error.to_string().contains("`f.yml`"), "{error}");
    }
}
