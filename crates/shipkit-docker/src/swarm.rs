//! `Swarm`: sees a stack and changes it, one service at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shipkit_core::Secret;
use shipkit_core::rollout::Status;
use shipkit_core::rollout::shift::Phase;
use shipkit_core::target::{
    Change, Desired, DesiredService, Observed, ObservedService, Previous, Replacement, Return, strangers,
};

use crate::edge::{Edge, networks_of};
use crate::engine::{Engine, filtered};
use crate::error::SwarmError;
use crate::labels;
use crate::rollout::{Applied, Undo, failure, is_running, status, text};
use crate::slots::{Standing, in_place};
use crate::spec::{self, Ids, at, full_name, items};
use crate::ssh::SshOptions;
use crate::tls::TlsOptions;

/// How long an undo waits for the Swarm, when that is going back by itself.
const GOING_BACK: Duration = Duration::from_mins(1);
/// How many problems of one service are named.
const PROBLEMS: usize = 3;

/// A Swarm, asked at one of its managers.
#[derive(Debug, Clone)]
pub struct Swarm {
    pub(crate) engine: Engine,
    pub(crate) edge: Option<Edge>,
}

/// What it takes to be let in by a Docker host.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// For `ssh://`.
    pub ssh: SshOptions,
    /// For `tcp://`, which is plain without it.
    pub tls: Option<TlsOptions>,
}

/// A login at a registry, handed to the nodes so that they can pull.
#[derive(Debug, Clone)]
pub struct Login {
    /// The registry's host and port.
    pub registry: String,
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: Secret,
}

/// What was found out before a deploy.
#[derive(Debug)]
pub struct Preflight<E> {
    /// What prevents it, such as images that cannot be pulled.
    pub problems: Vec<E>,
    /// What a person should know and what does not prevent it, a sentence each.
    pub remarks: Vec<String>,
}

impl Swarm {
    /// Connects to `unix:///var/run/docker.sock` or `tcp://host:port` and makes sure that a manager answers.
    ///
    /// # Errors
    /// When there is no such host, nobody may or does answer, the engine is too old, or it is not a manager.
    pub async fn connect(host: &str) -> Result<Self, SwarmError> {
        Self::connect_with(host, &Access::default()).await
    }

    /// Connects as `connect` does, to `tcp://host:port` with TLS if certificates are given, and to
    /// `ssh://[user@]host[:port][/path/of/docker.sock]` as well.
    ///
    /// # Errors
    /// As `connect`, and when certificates do not fit, the host is not reached over SSH or makes no connection to Docker's
    /// socket.
    pub async fn connect_with(host: &str, access: &Access) -> Result<Self, SwarmError> {
        let engine = Engine::connect(host, access).await?;
        let info = engine.get("describe itself", "/info").await?;
        match (text(&info, &["Swarm", "LocalNodeState"]), at(&info, &["Swarm", "ControlAvailable"])) {
            ("active", Value::Bool(true)) => Ok(Self { engine, edge: None }),
            ("active", _) => Err(SwarmError::NotAManager(engine.host().to_owned())),
            _ => Err(SwarmError::NotASwarm(engine.host().to_owned())),
        }
    }

    /// The same, where Traefik passes requests on to services.
    #[must_use]
    pub fn behind(self, edge: Edge) -> Self {
        Self { edge: Some(edge), ..self }
    }

    /// Whether Traefik passes requests on to this service, which is replaced by a shift.
    #[must_use]
    pub fn shifts(&self, service: &str) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.ports.contains_key(service))
    }

    /// What is there of a stack, by the label that `docker stack` uses as well.
    ///
    /// # Errors
    /// When the Swarm cannot be asked.
    pub async fn observe(&self, stack: &str) -> Result<Observed, SwarmError> {
        let mut services = Vec::new();
        for standing in self.standings(stack).await? {
            let tasks = self.tasks(text(&standing.now, &["ID"])).await?;
            services.push(observed(&standing, &tasks, stack));
        }
        Ok(Observed { has_network: self.network(stack).await?.is_some(), absent: Vec::new(), services })
    }

    /// Whether a deploy can begin.
    ///
    /// # Errors
    /// When the Swarm cannot be asked.
    pub async fn preflight(
        &self,
        desired: &Desired,
        observed: &Observed,
        login: Option<&Login>,
    ) -> Result<Preflight<SwarmError>, SwarmError> {
        let there = self.secrets().await?;
        let wanted = desired.services.iter().flat_map(|service| &service.settings.secrets);
        let missing: BTreeSet<String> = wanted
            .map(|name| full_name(&desired.stack, name))
            .filter(|name| !there.contains_key(name))
            .collect();
        let mut problems = Vec::new();
        if !missing.is_empty() {
            problems.push(SwarmError::MissingSecrets(missing.into_iter().collect()));
        }
        problems.extend(self.unreadable(desired, observed, login).await);
        problems.extend(self.unshiftable(desired).await?);
        let strange = strangers(desired, observed).into_iter().map(|name| {
            format!("service `{name}` runs in stack `{}` and is not in this release", desired.stack)
        });
        let unfinished =
            observed.services.iter().filter(|service| !service.is_confirmed).map(|service| {
                format!("service `{}` was left by a deploy that did not finish", service.name)
            });
        Ok(Preflight { problems, remarks: strange.chain(unfinished).collect() })
    }

    /// Why services cannot be replaced by a shift, if some are to be.
    async fn unshiftable(&self, desired: &Desired) -> Result<Option<SwarmError>, SwarmError> {
        let is_shifted =
            |one: &&DesiredService| matches!(one.settings.update.replacement, Replacement::BlueGreen { .. });
        let Some(first) = desired.services.iter().find(is_shifted) else { return Ok(None) };
        let Some(edge) = &self.edge else { return Ok(Some(SwarmError::Unreached(first.name.clone()))) };
        let mut networks = BTreeSet::new();
        for service in desired.services.iter().filter(is_shifted) {
            if let Some(there) = self.standing(&desired.stack, &service.name).await? {
                networks.extend(networks_of(there.spec()));
            }
        }
        self.edge_problem(&desired.stack, &edge.service, &networks).await
    }

    /// Of the images that would come, those that the engine itself cannot find at their registry.
    async fn unreadable(
        &self,
        desired: &Desired,
        observed: &Observed,
        login: Option<&Login>,
    ) -> Vec<SwarmError> {
        let there = |service: &DesiredService| observed.services.iter().find(|one| one.name == service.name);
        let comes = |service: &&DesiredService| match there(service) {
            Some(there) => !service.stateful && there.image.as_ref() != Some(&service.image),
            None => true,
        };
        let images: BTreeSet<String> =
            desired.services.iter().filter(comes).map(|service| service.image.to_string()).collect();
        let mut errors = Vec::new();
        for image in images {
            let login = login.filter(|login| image.starts_with(&format!("{}/", login.registry)));
            errors.extend(self.engine.find_image(&image, login).await.err());
        }
        errors
    }

    /// Carries out one step of a plan. `None` if there is nothing to wait for: the network, or a service that is left
    /// alone. Each step is one request that the Swarm carries out wholly or not at all.
    ///
    /// # Errors
    /// When the Swarm refuses, cannot be asked, or somebody else deploys to the service at the same time.
    pub async fn apply(
        &self,
        desired: &Desired,
        change: &Change,
        login: Option<&Login>,
    ) -> Result<Option<Applied>, SwarmError> {
        let find = |name: &str| {
            let found = desired.services.iter().find(|service| service.name == name);
            found.ok_or_else(|| SwarmError::NotDesired(name.to_owned()))
        };
        match change {
            Change::CreateNetwork { network } => self.create_network(network).await.map(|()| None),
            // Nothing of a Swarm is absent: it has no files of its own.
            Change::Start { .. } | Change::LeaveStateful { .. } | Change::Object { .. } => Ok(None),
            Change::Create { service, .. } => self.create(desired, find(service)?, login).await.map(Some),
            Change::Update { service, .. } => self.update(desired, find(service)?, login).await.map(Some),
            Change::Relabel { service, .. } => self.relabel(desired, find(service)?).await.map(Some),
            Change::Keep { service, .. } => self.keep(&desired.stack, service).await.map(Some),
        }
    }

    /// Puts back what was there before a change: the good specification it replaced, or nothing where there was
    /// nothing. `None` if nothing is left to do, because nothing was written or the Swarm has gone back by itself.
    ///
    /// # Errors
    /// When the Swarm refuses or cannot be asked.
    pub async fn undo(
        &self,
        applied: &Applied,
        login: Option<&Login>,
    ) -> Result<Option<Applied>, SwarmError> {
        let Some(service) = self.service(&applied.full_name).await? else { return Ok(None) };
        if labels::mark(at(&service, &["Spec"])) != applied.mark {
            return self.going_back(applied, &service).await.map(|()| None);
        }
        match &applied.undo {
            Undo::Nothing => Ok(None),
            Undo::Remove => {
                let path = format!("/services/{}", applied.id);
                self.engine.delete("remove a service", &path).await.map(|()| None)
            }
            Undo::Shift => self.shift_back(applied, &service).await,
            Undo::Restore(good) => {
                let good = in_place(&spec::for_return(good), at(&service, &["Spec"]));
                let put = self.put_back(&applied.service, &applied.full_name, &good, login).await;
                let Err(SwarmError::Overtaken { .. }) = put else { return put.map(Some) };
                // What changed it between reading and writing may be the Swarm, which goes back to the same by itself.
                let there = self.service(&applied.full_name).await?.unwrap_or_default();
                if labels::mark(at(&there, &["Spec"])) != labels::mark(&good) {
                    return put.map(Some);
                }
                self.going_back(applied, &there).await.map(|()| None)
            }
        }
    }

    /// Waits for a Swarm that goes back by itself.
    async fn going_back(&self, applied: &Applied, there: &Value) -> Result<(), SwarmError> {
        if status(there) == Status::RollingBack {
            self.rollout(applied, applied.monitor.saturating_add(GOING_BACK), |_| {}).await?;
        }
        Ok(())
    }

    /// Puts one service back to the last good specification that it remembers. Afterwards it remembers none, so that
    /// what was left can never be gone "back" to. Needs nothing but the target, and no registry while the image is on
    /// the node.
    ///
    /// # Errors
    /// When it remembers nothing, the Swarm refuses or cannot be asked.
    pub async fn restore(
        &self,
        stack: &str,
        back: &Return,
        login: Option<&Login>,
    ) -> Result<Applied, SwarmError> {
        let standing = self.standing_there(stack, &back.service).await?;
        let good = labels::previous(standing.spec());
        let mut good = good.ok_or_else(|| SwarmError::NothingBefore(standing.full_name().to_owned()))?;
        labels::forget_previous(&mut good);
        self.return_to((stack, &back.service), &good, login).await
    }

    /// Writes on every service of this deploy that it was seen to succeed: from now on it is what later rollbacks go
    /// back to. Restarts nothing, and removes the slots that were replaced.
    ///
    /// # Errors
    /// When the Swarm refuses or cannot be asked.
    pub async fn confirm(&self, desired: &Desired, time: Timestamp) -> Result<(), SwarmError> {
        let release = desired.stamp.release.as_str();
        for service in self.services(&desired.stack).await? {
            let is_ours = |spec: &Value| {
                labels::mark(spec).is_some_and(|(of, _)| of == release) && !labels::is_confirmed(spec)
            };
            if !is_ours(at(&service, &["Spec"])) {
                continue;
            }
            let edit = |spec: &Value| {
                let mut spec = spec.clone();
                if is_ours(&spec) {
                    labels::confirm(&mut spec, time);
                }
                spec
            };
            self.swap(text(&service, &["Spec", "Name"]), edit, None).await?;
        }
        self.sweep(desired).await
    }

    /// One service by its full name.
    pub(crate) async fn service(&self, name: &str) -> Result<Option<Value>, SwarmError> {
        self.engine.find("show a service", &format!("/services/{name}")).await
    }

    /// The services of a stack, without the job that migrates.
    pub(crate) async fn services(&self, stack: &str) -> Result<Vec<Value>, SwarmError> {
        let label = format!("{}={stack}", labels::NAMESPACE);
        let answer =
            self.engine.get("list services", &filtered("/services", &json!({"label": [label]}))).await?;
        let is_service = |service: &&Value| !labels::is_migration(at(service, &["Spec"]));
        Ok(items(&answer).filter(is_service).cloned().collect())
    }

    /// The identifier of the stack's network.
    pub(crate) async fn network(&self, name: &str) -> Result<Option<String>, SwarmError> {
        let filters = json!({"name": [name], "scope": ["swarm"]});
        let answer = self.engine.get("list networks", &filtered("/networks", &filters)).await?;
        // The filter also finds names that only contain this one.
        Ok(items(&answer).find(|network| at(network, &["Name"]) == name).map(|n| text(n, &["Id"]).to_owned()))
    }

    /// The identifiers of all secrets by name.
    async fn secrets(&self) -> Result<BTreeMap<String, String>, SwarmError> {
        let answer = self.engine.get("list secrets", "/secrets").await?;
        let pair = |secret| (text(secret, &["Spec", "Name"]).to_owned(), text(secret, &["ID"]).to_owned());
        Ok(items(&answer).map(pair).collect())
    }

    pub(crate) async fn ids(&self, stack: &str) -> Result<Ids, SwarmError> {
        // A deploy that was killed after it planned the network and one that lost a race find it missing or there.
        if self.network(stack).await?.is_none() {
            self.create_network(stack).await?;
        }
        Ok(Ids {
            network: self.network(stack).await?.unwrap_or_else(|| stack.to_owned()),
            secrets: self.secrets().await?,
        })
    }

    async fn create_network(&self, name: &str) -> Result<(), SwarmError> {
        let body = json!({
            "Name": name, "Driver": "overlay", "Attachable": true, "CheckDuplicate": true,
            "Labels": {labels::NAMESPACE: name},
        });
        match self.engine.post("create a network", "/networks/create", &body, None).await {
            Ok(_) => Ok(()),
            Err(SwarmError::Refused { status: 409, .. }) if self.network(name).await?.is_some() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// One service in core's words.
fn observed(standing: &Standing, tasks: &[Value], stack: &str) -> ObservedService {
    let (service, spec) = (&standing.now, standing.spec());
    let settings = spec::settings(spec, stack);
    let mut running = BTreeMap::new();
    for task in tasks.iter().filter(|task| is_running(task)) {
        let spec = at(task, &["Spec"]);
        let named = spec::image(spec).map(|image| image.digest.to_string());
        let image = named.or_else(|| spec::image_text(spec).map(str::to_owned)).unwrap_or_default();
        *running.entry(image).or_insert(0) += 1;
    }
    let replicas = at(spec, &["Mode", "Replicated", "Replicas"]).as_u64();
    let is_short = running.values().sum::<u64>() < replicas.unwrap_or(1);
    ObservedService {
        name: standing.service.clone(),
        image: spec::image(spec),
        settings,
        running,
        stamp: labels::stamp(spec),
        revision: labels::revision(spec),
        // What is about to leave does not count any more, whatever was seen of it.
        is_confirmed: labels::is_confirmed(spec) && standing.phase != Some(Phase::Returning),
        previous: labels::previous(spec)
            .map(|good| Previous { stamp: labels::stamp(&good), image: spec::image(&good) }),
        update: status(service),
        version: at(service, &["Version", "Index"]).as_u64().unwrap_or_default(),
        problems: if is_short { problems(spec, tasks) } else { Vec::new() },
    }
}

/// What the tasks of the present specification suffer from, the newest first.
fn problems(spec: &Value, tasks: &[Value]) -> Vec<String> {
    let wanted = spec::fingerprint(at(spec, &["TaskTemplate"]));
    let is_ours = |task: &&Value| spec::fingerprint(at(task, &["Spec"])) == wanted;
    let problem = |task: &Value| match (text(task, &["Status", "State"]), text(task, &["Status", "Err"])) {
        ("pending", why) if !why.is_empty() => Some(format!("task waits: {why}")),
        _ => failure(task).map(|failure| failure.to_string()),
    };
    tasks.iter().rev().filter(is_ours).filter_map(problem).take(PROBLEMS).collect()
}
