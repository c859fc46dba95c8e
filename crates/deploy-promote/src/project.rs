//! The project, its environment and the ways to everything outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shipkit_core::config::{Config, Environment, Needed, Source, Strategy, TargetKind};
use shipkit_core::history::Entry;
use shipkit_core::target::Observed;
use shipkit_core::{Repository, Secret};
use shipkit_docker::{Login, Swarm};
use shipkit_kubernetes::{Cluster, Place, Workload};
use shipkit_registry::{Credentials, Registry};
use shipkit_runner::{Failure, Runner, env};

use crate::access::{is_kubeconfig, is_path};
use crate::args::TargetArgs;
use crate::desired::slots;
use crate::target::{Target, TargetError};
use crate::{access, compose, desired, docker, stack};

/// The socket of the Docker engine, where nothing else is said. Container actions have it mounted.
const SOCKET: &str = "unix:///var/run/docker.sock";

/// The configuration, the environment that is meant, and what the command line says about the target.
pub(crate) struct Project<'a> {
    /// The whole configuration.
    pub(crate) config: Config,
    /// The environment.
    pub(crate) environment: Environment,
    /// What is typed.
    pub(crate) args: &'a TargetArgs,
    /// Whether a release is to be deployed: all that it needs is read.
    pub(crate) is_deploy: bool,
    /// The values of the secrets that the environment names, as far as they are set: for files that name them, and commands.
    pub(crate) values: BTreeMap<String, Secret>,
    /// What `SHIPKIT_ENV` holds.
    own: BTreeMap<String, Secret>,
    /// Everything that must not be shown, the longest first.
    secrets: Vec<Secret>,
}

/// A kind of target that this version knows.
pub(crate) enum Kind<'a> {
    /// The stack of this name.
    Swarm(&'a str),
    /// The Compose project of this name.
    Compose(&'a str),
    /// A namespace of a cluster.
    Cluster,
}

impl<'a> Project<'a> {
    /// Reads the configuration. Values of `SHIPKIT_ENV` (dotenv text) count as environment variables and are masked.
    /// Only what `is_deploy` needs all variables of its environment.
    pub(crate) fn open(args: &'a TargetArgs, is_deploy: bool, runner: &Runner) -> Result<Self, Failure> {
        let own = dotenv(runner.env().secret(env::SHIPKIT_ENV).as_ref(), "SHIPKIT_ENV")?;
        let typed = args.registry_password.iter().chain(&args.token).chain(&args.ssh_passphrase);
        let typed = typed.chain(args.cluster_token.iter().filter(|token| !is_path(token)));
        let mut secrets: Vec<Secret> = typed.chain(own.values()).cloned().collect();
        secrets.extend(args.kubeconfig.iter().flat_map(credentials));
        secrets.extend(args.ssh_key.iter().filter(|key| key.reveal().contains('\n')).cloned());
        for secret in &secrets {
            runner.mask(secret);
        }
        let variables = |name: &str| match own.get(name) {
            Some(value) => Some(value.reveal().to_owned()),
            None => runner.env().lookup(name).map(str::to_owned),
        };
        let needed =
            args.environment.as_deref().filter(|_| is_deploy).map_or(Needed::Build, Needed::Environment);
        let config = runner.config_with(&args.directory, &args.config, needed, &variables)?;
        let config = config.in_group(args.group.as_deref())?;
        let names = || {
            config
                .environments
                .iter()
                .map(|environment| format!("`{}`", environment.name))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let Some(wanted) = &args.environment else {
            return Err(Failure::usage("no environment is given")
                .with_hint(format!("give one with `--environment`: {}", names())));
        };
        let found = config.environments.iter().find(|environment| environment.name == *wanted).cloned();
        let Some(environment) = found else {
            return Err(Failure::usage(format!("there is no environment `{wanted}` in shipkit.yml"))
                .with_hint(format!("it has {}", names())));
        };
        let set = environment.secrets.iter().filter_map(|name| Some((name.clone(), variables(name)?)));
        let mut values: BTreeMap<_, _> = set.map(|(name, value)| (name, Secret::from(value))).collect();
        for secret in values.values() {
            runner.mask(secret);
        }
        secrets.extend(values.values().cloned());
        let reads_variables = match environment.target.kind {
            TargetKind::Command => true,
            TargetKind::Compose => is_deploy,
            TargetKind::Swarm => is_deploy && environment.target.is_stack_of_files(),
            TargetKind::Kubernetes => false,
        };
        if !reads_variables {
            values.clear();
        }
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        Ok(Self { config, environment, args, is_deploy, values, own, secrets })
    }

    /// The folder of the configuration.
    pub(crate) fn folder(&self) -> PathBuf {
        self.args.directory.join(self.args.config.parent().unwrap_or(Path::new("")))
    }

    /// What the checks call `${NAME}`: a variable of `SHIPKIT_ENV`, or else of the environment, whatever its name is.
    pub(crate) fn given(&self, name: &str, runner: &Runner) -> Option<Secret> {
        self.own.get(name).cloned().or_else(|| runner.env().lookup(name).map(Secret::from))
    }

    /// The text without secrets, for what leaves by other ways than the output of this program. As there, fewer than
    /// four characters hide nothing.
    pub(crate) fn redact(&self, text: &str) -> String {
        let hidden = self.secrets.iter().map(Secret::reveal).filter(|secret| 4 <= secret.len());
        hidden.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// The JSON with no text that holds a secret.
    pub(crate) fn redact_all(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.redact_all(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, field)| (name, self.redact_all(field))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    /// The target.
    pub(crate) async fn target(&self, runner: &Runner) -> Result<Target, Failure> {
        match self.kind()? {
            Kind::Swarm(stack) => {
                let host = self.docker_host(runner);
                let access = docker::access(host, self.args, runner)?;
                let swarm = Swarm::connect_with(host, &access).await?;
                let swarm = match desired::edge(&self.config, &self.environment) {
                    Some(edge) => swarm.behind(edge),
                    None => swarm,
                };
                // Who goes back finds on the Swarm what it needs.
                let files = if self.is_deploy && self.environment.target.is_stack_of_files() {
                    Some(Box::pin(stack::connect(self, &swarm, (stack, host), runner)).await?)
                } else {
                    None
                };
                Ok(Target::Swarm { swarm, files: files.map(Box::new), stack: stack.to_owned() })
            }
            Kind::Compose(stack) => {
                let connecting = compose::connect(self, (stack, self.docker_host(runner)), runner);
                let (compose, host) = Box::pin(connecting).await?;
                Ok(Target::Compose { compose, host, stack: stack.to_owned() })
            }
            Kind::Cluster => {
                let access = access::of(self, runner)?;
                Ok(Target::Cluster(Box::pin(Cluster::connect(&access, self.in_cluster()?)).await?))
            }
        }
    }

    /// The Docker host. As for `docker`: whoever has pointed it at another engine means that one here, too.
    fn docker_host<'b>(&'b self, runner: &'b Runner) -> &'b str {
        let configured = self.environment.target.host.as_deref();
        let elsewhere = || runner.env().get(env::DOCKER_HOST);
        self.args.docker_host.as_deref().or(configured).or_else(elsewhere).unwrap_or(SOCKET)
    }

    /// Nothing, if every secret is set that the files or the commands may name.
    pub(crate) fn refuse_missing_secrets(&self) -> Result<(), Failure> {
        let target = &self.environment.target;
        let is_read = matches!(target.kind, TargetKind::Compose | TargetKind::Command);
        if !is_read && !target.is_stack_of_files() {
            return Ok(());
        }
        let missing = self.environment.secrets.iter().filter(|name| !self.values.contains_key(*name));
        let missing: Vec<_> = missing.map(|name| format!("`{name}`")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let name = &self.environment.name;
        let sentence = format!("`environments.{name}.secrets` names {}, not set here", missing.join(", "));
        Err(Failure::usage(sentence)
            .with_hint("set them as lines of `SHIPKIT_ENV`, or as variables of the step"))
    }

    /// The kind of the target, if this version knows it.
    pub(crate) fn kind(&self) -> Result<Kind<'_>, Failure> {
        match (self.environment.target.kind, &self.environment.target.stack) {
            (TargetKind::Swarm, Some(stack)) => Ok(Kind::Swarm(stack)),
            (TargetKind::Compose, Some(stack)) => Ok(Kind::Compose(stack)),
            (TargetKind::Kubernetes, _) => Ok(Kind::Cluster),
            (TargetKind::Swarm | TargetKind::Compose | TargetKind::Command, _) => {
                Err(Failure::usage(format!(
                    "`environments.{}.target` is of `type: command`, and nothing but its own commands can reach it",
                    self.environment.name
                ))
                .with_hint("`deploy`, `check`, `rollback` and `status` are there for it"))
            }
        }
    }

    /// What is there of this project: where it has groups, of the one that is meant, as if there were no other.
    pub(crate) async fn observe(&self, target: &Target) -> Result<Observed, TargetError> {
        let mut observed = target.observe().await?;
        // What is built belongs to a release: to this one or, where there are groups, to another.
        let others = self.config.groups.values().flatten();
        let others: Vec<_> = others.filter(|name| !self.config.services.contains_key(*name)).collect();
        let is_built = |name: &str| {
            self.config.services.get(name).is_some_and(|one| matches!(one.source, Source::Build(_)))
        };
        observed.absent.retain(|one| !is_built(&one.name) && !others.contains(&&one.name));
        if self.config.group.is_some() {
            observed.services.retain(|service| self.config.services.contains_key(&service.name));
        }
        Ok(observed)
    }

    /// The releases that were confirmed on the target, the newest first; of the group that is meant where there are groups.
    /// What cannot be read of them is said. `None` where the target keeps none.
    pub(crate) async fn history(
        &self,
        target: &Target,
        runner: &Runner,
    ) -> Result<Option<Vec<Entry>>, TargetError> {
        let Some(mut history) = target.history().await? else { return Ok(None) };
        if self.config.group.is_some() {
            let is_ours = |name: &String| self.config.services.contains_key(name);
            history.entries.retain(|entry| entry.services.keys().any(is_ours));
        }
        for why in &history.unreadable {
            runner.say(&format!("a part of the history is passed over: {why}"));
        }
        Ok(Some(history.entries))
    }

    /// A variable of `SHIPKIT_ENV` or else of this process. It is not shown.
    pub(crate) fn variable(&self, name: env::Name, runner: &Runner) -> Option<Secret> {
        let own = self.own.get(name.as_str()).filter(|value| !value.reveal().is_empty());
        own.cloned().or_else(|| runner.env().secret(name))
    }

    /// The services that are built here, with their deployments. What holds data is never touched.
    fn in_cluster(&self) -> Result<Place, Failure> {
        let has_manifests = self.environment.target.manifests.is_some();
        let mut workloads: Vec<Workload> = Vec::new();
        for (name, service) in &self.config.services {
            if !matches!(service.source, Source::Build(_)) || service.stateful {
                continue;
            }
            let names = service.kubernetes.clone().unwrap_or_default();
            let deployment = names.deployment.unwrap_or_else(|| name.clone());
            let is_same = |other: &&Workload| !has_manifests && other.name == deployment;
            if let Some(other) = workloads.iter().find(is_same) {
                return Err(Failure::usage(format!(
                    "services `{}` and `{name}` are both in deployment `{deployment}`, and this version changes one \
                     container of a deployment",
                    other.service
                )));
            }
            workloads.push(Workload {
                service: name.clone(),
                name: deployment,
                container: names.container.unwrap_or_else(|| name.clone()),
                monitor: service.deploy.update.monitor,
            });
        }
        let (namespace, secrets) =
            (self.environment.target.namespace.clone(), self.environment.secrets.clone());
        let has_jobs = self.environment.migrate.is_some() || self.environment.backup_job.is_some();
        Ok(Place {
            project: self.config.name.clone(),
            namespace,
            workloads,
            secrets,
            has_jobs,
            has_manifests,
            canary: canary(&self.config, &self.environment),
        })
    }

    /// The login that the target needs to pull, if one is given.
    pub(crate) fn login(&self, registry: &str) -> Option<Login> {
        let (username, password) =
            (self.args.registry_username.clone()?, self.args.registry_password.clone()?);
        Some(Login { registry: registry.to_owned(), username, password })
    }

    /// A client for the registry that holds `repository`.
    pub(crate) fn registry(&self, repository: &Repository, runner: &Runner) -> Result<Registry, Failure> {
        let (username, password) =
            (self.args.registry_username.as_deref(), self.args.registry_password.as_ref());
        let docker_config = runner.env().docker_config();
        Ok(Registry::new(Credentials::new(repository.registry(), username, password, docker_config))?)
    }
}

/// The steps in which requests shift; none where they shift at once.
fn canary(config: &Config, environment: &Environment) -> Vec<u8> {
    let mut services = config.services.values();
    let is_canary = services.any(|service| slots(service, environment) == Some(Strategy::Canary));
    if is_canary { environment.canary.steps.clone() } else { Vec::new() }
}

/// What is secret in the text of a kubeconfig. The rest of it may be shown: it would hide half of every message.
fn credentials(kubeconfig: &Secret) -> Vec<Secret> {
    if !is_kubeconfig(kubeconfig) {
        return Vec::new();
    }
    let words =
        kubeconfig.reveal().split(|c: char| c.is_whitespace() || matches!(c, ',' | '{' | '}' | '"' | '\''));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let is_secret = |key: &str| {
        matches!(key, "token:" | "password:" | "client-key-data:" | "id-token:" | "refresh-token:")
    };
    let pairs = words.iter().zip(words.iter().skip(1));
    pairs.filter(|(key, _)| is_secret(key)).map(|(_, value)| Secret::from(*value)).collect()
}

/// The lines `NAME=value` of a dotenv text; empty lines and `#` comments are passed over, quotes around a value dropped.
pub(crate) fn dotenv(text: Option<&Secret>, name: &str) -> Result<BTreeMap<String, Secret>, Failure> {
    let mut values = BTreeMap::new();
    for (at, line) in text.map(Secret::reveal).unwrap_or_default().lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself is not shown: it may be a secret whose name was forgotten.
        let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else {
            return Err(Failure::usage(format!("line {} of `{name}` is not `NAME=value`", at + 1)));
        };
        let value = value.trim();
        let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        values.insert(name.trim().to_owned(), Secret::from(unquoted.unwrap_or(value)));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotenv_text_gives_names_and_values() {
        let text = Secret::new("# staging\n\nA=1\nexport B=\"two words\"\nC='x=y'\nD=\n");
        let values = dotenv(Some(&text), "SHIPKIT_ENV").unwrap();
        let shown: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(shown, [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "")]);
    }

    #[test]
    fn only_what_is_secret_in_a_kubeconfig_is_hidden() {
        let text = Secret::new(
            "users: [{name: admin, user: {token: hunter2}}]\n- user:\n    client-key-data: \"a2V5\"\n",
        );
        let hidden = credentials(&text);
        assert_eq!(hidden.iter().map(Secret::reveal).collect::<Vec<_>>(), ["hunter2", "a2V5"]);
        assert!(credentials(&Secret::new("/home/me/.kube/config")).is_empty());
    }

    #[test]
    fn a_line_without_a_name_is_refused_and_not_shown() {
        let failure = dotenv(Some(&Secret::new("A=1\nhunter2\n")), "SHIPKIT_ENV").unwrap_err();
        assert!(failure.sentence().contains("line 2") && !failure.sentence().contains("hunter2"));
    }
}
