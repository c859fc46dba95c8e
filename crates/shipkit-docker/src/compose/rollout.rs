//! The loop that looks at a service, asks `shipkit_core::rollout::slots` and does what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use shipkit_core::Outcome;
use shipkit_core::compose::{Deployed, Model, ProxyKind, Returned, ServiceState, Working};
use shipkit_core::rollout::slots::{Instance, Observation, Plan, Slot, Slots, State, Step};
use shipkit_core::rollout::{Next, Purpose};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Compose;
use super::change::Applied;
use super::container::Container;
use super::error::ComposeError;
use super::preview::Preview;
use crate::SwarmError;
use crate::rollout::{LOGS, TaskLog, text};

/// Times in archives are whole seconds.
const COARSE: Duration = Duration::from_secs(1);
/// As good as for ever: nobody has decided where the traffic goes.
const LONG: Duration = Duration::from_hours(1);
/// How often it is looked whether instances that are verified are still well.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How much longer than the time that a container has to stop the engine may take for it.
const STOPPING: Duration = Duration::from_secs(30);

/// A rollout under way.
struct Driver<'a> {
    compose: &'a Compose,
    applied: &'a Applied,
    /// The time of the host when it began.
    epoch: Timestamp,
    start: Instant,
    /// Why the engine refused to start a container.
    refused: Option<String>,
    verification: Option<Outcome>,
    /// The instances that were verified.
    verified: BTreeSet<String>,
    /// Since when each instance has been seen ready: more than its last few health checks show.
    ready: BTreeMap<String, Instant>,
    /// The containers as they were last seen, by instance.
    containers: BTreeMap<String, Container>,
    /// What is remembered of the service.
    state: Option<ServiceState>,
}

/// Whether it is of the release before, and visitors are sent to it.
fn is_serving(instance: &Instance) -> bool {
    instance.slot == Slot::Active && instance.has_traffic && instance.is_ready()
}

/// How long an instance runs on at least after the proxy was told: it takes up its new file a moment later. Beyond that it
/// has the time that it has to stop, for what it has begun and for what kept connections still bring.
const fn reload(kind: ProxyKind) -> Duration {
    match kind {
        ProxyKind::Nginx => Duration::from_secs(2),
        // It takes files up every two seconds at most (`providersThrottleDuration`).
        ProxyKind::Traefik => Duration::from_secs(4),
        // It has switched when it says so.
        ProxyKind::KamalProxy => Duration::ZERO,
    }
}

impl Compose {
    /// Carries out the rollout of a changed service until it is decided: everything but [`Next::Wait`]. `seen` is shown
    /// every observation and the step that follows, before it is carried out. Dropping the future stops at any point, and
    /// another rollout goes on from there. An engine that does not answer is asked again until the deadline, for it may be
    /// restarting. New containers are not asked anything before traffic goes to them.
    ///
    /// # Errors
    /// When the host cannot be asked any more, or the proxy refuses its configuration.
    pub async fn rollout(
        &self,
        applied: &Applied,
        deadline: Duration,
        seen: impl FnMut(&Observation, &Step),
    ) -> Result<Next, ComposeError> {
        let nothing =
            async |_: Vec<Preview>, _: Duration| Outcome::skipped("nothing is verified before the shift");
        self.rollout_verified(applied, deadline, seen, nothing).await
    }

    /// The same, but `verify` is asked about new containers before traffic goes to them: each once, and with the time that
    /// is left. If it says `skipped`, it is not asked again. One that fails while it is asked ends the question.
    ///
    /// # Errors
    /// As for [`rollout`](Self::rollout).
    pub async fn rollout_verified(
        &self,
        applied: &Applied,
        deadline: Duration,
        mut seen: impl FnMut(&Observation, &Step),
        verify: impl AsyncFn(Vec<Preview>, Duration) -> Outcome,
    ) -> Result<Next, ComposeError> {
        let update = &applied.now.update;
        let drain = match self.project.proxied(&applied.service) {
            Some((_, proxy)) => applied.now.stop_grace.max(reload(proxy.kind)),
            None => Duration::ZERO,
        };
        let plan = Plan::new(update.strategy(), update.monitor, drain, deadline);
        let mut slots = Slots::new(&applied.service, applied.purpose, plan);
        let mut driver = Driver::patient(self, applied, deadline).await?;
        loop {
            match driver.turn(&mut slots, deadline, &mut seen, &verify).await {
                Ok(None) => {}
                Ok(Some(next)) => return Ok(next),
                Err(error) if error.may_pass() && driver.start.elapsed() < deadline => {
                    sleep(LOOK_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Why what had arrived does not run as it should any more, if that is so.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn why_not_still(&self, applied: &Applied) -> Result<Option<String>, ComposeError> {
        let seen = Driver::new(self, applied).await?.observe().await?;
        let then = applied.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(seen.why_not_still(&applied.service, &then))
    }

    /// The last lines of the containers that the change started and that failed. A log that cannot be read is empty.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn logs(&self, applied: &Applied) -> Result<Vec<TaskLog>, ComposeError> {
        let mut logs = applied.kept_logs();
        for container in self.containers(&applied.service).await? {
            let is_ours = container.key() == applied.now.key.as_deref();
            if is_ours && !matches!(container.state(), State::Ready) && logs.len() < LOGS {
                let lines = self.last_lines(container.id()).await;
                logs.push(TaskLog { task: container.instance(), lines });
            }
        }
        logs.truncate(LOGS);
        Ok(logs)
    }
}

impl<'a> Driver<'a> {
    async fn new(compose: &'a Compose, applied: &'a Applied) -> Result<Self, ComposeError> {
        let info = compose.engine.get("describe itself", "/info").await?;
        let epoch = text(&info, &["SystemTime"]).parse();
        Ok(Self {
            compose,
            applied,
            epoch: epoch.map_err(|_bad| compose.engine.garbled("it says no time"))?,
            start: Instant::now(),
            refused: None,
            verification: None,
            verified: BTreeSet::new(),
            ready: BTreeMap::new(),
            containers: BTreeMap::new(),
            state: None,
        })
    }

    /// The same, of an engine that may be restarting.
    async fn patient(
        compose: &'a Compose,
        applied: &'a Applied,
        deadline: Duration,
    ) -> Result<Self, ComposeError> {
        let start = Instant::now();
        loop {
            match Self::new(compose, applied).await {
                Err(error) if error.may_pass() && start.elapsed() < deadline => sleep(LOOK_AGAIN).await,
                done => return done,
            }
        }
    }

    /// Looks, decides and does it: how the rollout ends, if it does.
    async fn turn(
        &mut self,
        slots: &mut Slots,
        deadline: Duration,
        seen: &mut impl FnMut(&Observation, &Step),
        verify: &impl AsyncFn(Vec<Preview>, Duration) -> Outcome,
    ) -> Result<Option<Next>, ComposeError> {
        let observation = self.observe().await?;
        let step = slots.next(&observation, self.start.elapsed());
        tracing::debug!(service = self.service(), %step, "compose rollout");
        seen(&observation, &step);
        match step {
            Step::Wait(pause) => sleep(pause).await,
            Step::Done => {
                self.done().await?;
                self.applied.arrive(observation.restarts());
                return Ok(Some(Next::Done));
            }
            Step::RollBack { cause } => return Ok(Some(Next::RollBack { cause })),
            // Neither is for this run to decide: what is there stays.
            Step::Overtaken { cause } | Step::Held { cause } => return Ok(Some(Next::Overtaken { cause })),
            Step::Stuck { cause } => return Ok(Some(Next::Stuck { cause })),
            Step::Start { slot, count } => self.start(slot, count).await?,
            Step::Restart { instances } => self.restart(&instances).await?,
            Step::Verify { instances } => {
                let serving = observation.instances.into_iter().find(is_serving).map(|one| one.id);
                let left = deadline.saturating_sub(self.start.elapsed());
                self.verify(&instances, serving.as_slice(), left, verify).await?;
            }
            Step::Shift { to } => self.shift(&to).await?,
            Step::Stop { instances } => self.stop(&instances).await?,
            Step::Remove { instances } => self.remove(&instances).await?,
        }
        Ok(None)
    }

    fn service(&self) -> &'a str {
        &self.applied.service
    }

    /// The time of the host.
    fn now(&self) -> Timestamp {
        let passed = jiff::SignedDuration::try_from(self.start.elapsed()).unwrap_or_default();
        self.epoch.checked_add(passed).unwrap_or(self.epoch)
    }

    async fn observe(&mut self) -> Result<Observation, ComposeError> {
        let state = self.compose.state().await?.services.remove(self.service());
        let containers = self.compose.containers(self.service()).await?;
        let is_ours = state.as_ref().is_some_and(|state| state.now.is_of_the_deploy_of(&self.applied.now));
        let state = state.unwrap_or_else(|| ServiceState {
            now: self.applied.now.clone(),
            previous: None,
            older: None,
            working: None,
        });
        let (traffic, settled) = self.traffic(&state, &containers).await?;
        let now = self.now();
        let mut instances: Vec<Instance> =
            containers.iter().map(|container| container.seen(&state, now, &traffic)).collect();
        instances.retain(|one| one.state != State::Gone || one.has_traffic);
        self.note_ready(&mut instances);
        let is_there = |id: &String| instances.iter().any(|one| one.id == *id);
        let gone: Vec<Instance> =
            traffic.iter().filter(|id| !is_there(id)).map(|id| self.gone(id, &state)).collect();
        instances.extend(gone);
        let count = |replicas| usize::try_from(replicas).unwrap_or(usize::MAX);
        let observation = Observation {
            is_ours,
            wanted: count(state.now.replicas),
            before: state.previous.as_ref().map_or(0, |previous| count(previous.replicas)),
            instances,
            settled,
            verification: self.verification.clone(),
            verified: self.verified.clone(),
            refused: self.refused.clone(),
        };
        self.containers.extend(containers.into_iter().map(|one| (one.instance(), one)));
        self.state = Some(state);
        Ok(observation)
    }

    /// Who gets traffic, and how long ago that was decided.
    async fn traffic(
        &self,
        state: &ServiceState,
        containers: &[Container],
    ) -> Result<(Vec<String>, Duration), ComposeError> {
        let age = |since: Timestamp| Duration::try_from(self.now().duration_since(since)).unwrap_or_default();
        let Some((_, proxy)) = self.compose.project.proxied(self.service()) else {
            if let Some(working) = &state.working {
                return Ok((working.instances.clone(), age(working.since)));
            }
            // Before anybody was told, everybody works.
            let old =
                containers.iter().filter(|one| one.is_running() && state.slot(one.key()) != Slot::Preview);
            return Ok((old.map(Container::instance).collect(), LONG));
        };
        let mut seen = self.compose.proxied(proxy, self.service()).await?;
        if seen.is_unsettled {
            // A run was killed before the proxy was told.
            self.compose.settle(proxy, self.service()).await?;
            seen = self.compose.proxied(proxy, self.service()).await?;
        }
        Ok((seen.instances, seen.since.map_or(LONG, |since| age(since).saturating_sub(COARSE))))
    }

    /// An instance is as old as it was seen ready, if its health checks show less.
    fn note_ready(&mut self, instances: &mut [Instance]) {
        let now = Instant::now();
        self.ready.retain(|id, _| instances.iter().any(|one| one.id == *id && one.is_ready()));
        for one in instances.iter_mut().filter(|one| one.is_ready()) {
            let since = self.ready.entry(one.id.clone()).or_insert(now);
            one.age = one.age.max(now.duration_since(*since));
        }
    }

    fn gone(&self, id: &str, state: &ServiceState) -> Instance {
        let slot = self.containers.get(id).map_or(Slot::Retired, |one| state.slot(one.key()));
        Instance {
            id: id.to_owned(),
            slot,
            state: State::Gone,
            age: Duration::ZERO,
            restarts: 0,
            has_traffic: true,
        }
    }

    fn found(&self, instances: &[String]) -> Vec<Container> {
        instances.iter().filter_map(|id| self.containers.get(id).cloned()).collect()
    }

    /// What containers of a slot are made from.
    fn deployed(&self, slot: Slot) -> Option<&Deployed> {
        let state = self.state.as_ref()?;
        match slot {
            Slot::Preview => Some(&state.now),
            Slot::Active => state.previous.as_ref(),
            Slot::Retired => None,
        }
    }

    async fn start(&mut self, slot: Slot, count: usize) -> Result<(), ComposeError> {
        let made = self.create(slot, count).await;
        match made {
            Ok(made) => self.run(&made, slot).await,
            // What the engine or Compose does not do, it will not do a moment later either; but Compose is refused by an
            // engine that restarts.
            Err(error) => {
                self.compose.engine.get("describe itself", "/info").await?;
                self.refuse(error)
            }
        }
    }

    /// Makes containers of a slot and starts none.
    async fn create(&self, slot: Slot, count: usize) -> Result<Vec<Container>, ComposeError> {
        let (compose, service) = (self.compose, self.service());
        let nothing = || ComposeError::NothingBefore(service.to_owned());
        let deployed = self.deployed(slot).ok_or_else(nothing)?;
        let image = deployed.image.as_ref().ok_or_else(nothing)?.to_string();
        let model = Model::parse(deployed.model.to_string().as_bytes())?;
        compose.pull(&image, self.applied.login.as_ref()).await?;
        let before = compose.containers(service).await?;
        // Never fewer than there are: Compose would remove some.
        compose.create(&model, service, before.len().saturating_add(count)).await?;
        let mut made = compose.containers(service).await?;
        made.retain(|one| one.is_fresh() && before.iter().all(|other| other.id() != one.id()));
        if made.is_empty() {
            // Asked again, it would make none again.
            let (what, reason) =
                (format!("create containers of `{service}`"), "Compose made no container".to_owned());
            return Err(ComposeError::Compose { what, reason, is_usage: false });
        }
        Ok(made)
    }

    async fn restart(&mut self, instances: &[String]) -> Result<(), ComposeError> {
        let containers = self.found(instances);
        let slot = self.state.as_ref().and_then(|state| containers.first().map(|one| state.slot(one.key())));
        self.run(&containers, slot.unwrap_or(Slot::Preview)).await
    }

    /// Starts containers at the same time, under the name that the files give them.
    async fn run(&mut self, containers: &[Container], slot: Slot) -> Result<(), ComposeError> {
        let given = self.deployed(slot).and_then(|deployed| deployed.container_name.clone());
        for container in containers {
            if let Some(name) = given.as_ref().filter(|name| *name != container.name()) {
                self.rename(container, name).await?;
            }
        }
        let compose = self.compose;
        let start = |container: &Container| {
            let path = format!("/containers/{}/start", container.id());
            async move { compose.engine.change_within("start a container", &path, STOPPING).await }
        };
        for started in join_all(containers.iter().map(start)).await {
            if let Err(error) = started {
                self.refuse(error.into())?;
            }
        }
        Ok(())
    }

    /// Gives a container a name, which another one of its service may still have.
    async fn rename(&self, container: &Container, name: &str) -> Result<(), ComposeError> {
        let engine = &self.compose.engine;
        let path = |id: &str, name: &str| format!("/containers/{id}/rename?name={name}");
        let what = "rename a container";
        for other in self.compose.containers(self.service()).await? {
            if other.name() == name && other.id() != container.id() {
                let (stack, instance) = (&self.compose.project.stack, other.instance());
                let kept = format!("{stack}-{}", instance.replace('@', "-"));
                engine.change(what, &path(other.id(), &kept), &json!({})).await?;
            }
        }
        Ok(engine.change(what, &path(container.id(), name), &json!({})).await?)
    }

    /// Notes what was refused for good; what could not be found out is an error.
    fn refuse(&mut self, error: ComposeError) -> Result<(), ComposeError> {
        self.refused = Some(error.refusal()?);
        Ok(())
    }

    /// Asks about new instances, as long as all of them are well; one that serves is there to be compared with.
    async fn verify(
        &mut self,
        instances: &[String],
        serving: &[String],
        left: Duration,
        verify: &impl AsyncFn(Vec<Preview>, Duration) -> Outcome,
    ) -> Result<(), ComposeError> {
        let serving = self.found(serving).pop();
        let preview = |one: &Container| self.compose.preview(one, serving.as_ref());
        let previews = self.found(instances).iter().map(preview).collect();
        let said = tokio::select! {
            said = verify(previews, left) => said,
            // What that means is decided as if nobody had been asked.
            failed = self.until_one_fails(instances) => return failed,
        };
        self.verified.extend(instances.iter().cloned());
        self.verification = Some(said);
        Ok(())
    }

    async fn until_one_fails(&self, instances: &[String]) -> Result<(), ComposeError> {
        loop {
            sleep(LOOK_AGAIN).await;
            let containers = self.compose.containers(self.service()).await?;
            let is_well = |id: &String| {
                containers.iter().any(|one| one.instance() == *id && one.state() == State::Ready)
            };
            if !instances.iter().all(is_well) {
                return Ok(());
            }
        }
    }

    async fn shift(&self, to: &[String]) -> Result<(), ComposeError> {
        let service = self.service();
        if let Some((port, proxy)) = self.compose.project.proxied(service) {
            let containers = self.found(to);
            let (to, drain) = (containers.iter().collect::<Vec<_>>(), self.applied.now.stop_grace);
            return self.compose.shift((proxy, port), service, &to, drain).await;
        }
        let working = Working { instances: to.to_vec(), since: self.now() };
        let note = |state: &mut shipkit_core::compose::State| {
            if let Some(there) = state.services.get_mut(service) {
                there.working = Some(working);
            }
        };
        self.compose.remember(note).await
    }

    /// Stops containers at the same time, so that they do not start again by themselves.
    async fn stop(&self, instances: &[String]) -> Result<(), ComposeError> {
        let mut stopping = JoinSet::new();
        for container in self.found(instances) {
            let engine = self.compose.engine.clone();
            stopping.spawn(async move {
                let path = |verb: &str| format!("/containers/{}/{verb}", container.id());
                if container.is_always_started() {
                    let policy = json!({"RestartPolicy": {"Name": "unless-stopped"}});
                    engine.post("change how a container restarts", &path("update"), &policy, None).await?;
                }
                let time = container.grace().saturating_add(STOPPING);
                match engine.change_within("stop a container", &path("stop"), time).await {
                    // Somebody else removed it.
                    Err(SwarmError::Refused { status: 404, .. }) => Ok(()),
                    ended => ended,
                }
            });
        }
        while let Some(stopped) = stopping.join_next().await {
            stopped.unwrap_or_else(|error| Err(self.compose.engine.garbled(&error.to_string())))?;
        }
        Ok(())
    }

    async fn remove(&self, instances: &[String]) -> Result<(), ComposeError> {
        for container in self.found(instances) {
            let is_ours = container.key() == self.applied.now.key.as_deref();
            let has_failed = match container.state() {
                State::Stopped { .. } | State::Unhealthy => !container.is_fresh(),
                State::Starting | State::Ready | State::Gone => false,
            };
            if is_ours && has_failed && self.applied.kept_logs().len() < LOGS {
                let lines = self.compose.last_lines(container.id()).await;
                self.applied.keep_log(TaskLog { task: container.instance(), lines });
            }
        }
        let runs = |id: &&String| self.containers.get(*id).is_some_and(Container::is_running);
        self.stop(&instances.iter().filter(runs).cloned().collect::<Vec<_>>()).await?;
        for container in self.found(instances) {
            let path = format!("/containers/{}?v=1&force=1", container.id());
            self.compose.engine.delete("remove a container", &path).await?;
        }
        Ok(())
    }

    /// A service that is back forgets what it left.
    async fn done(&self) -> Result<(), ComposeError> {
        match self.applied.purpose {
            Purpose::Deploy => Ok(()),
            Purpose::Restore => {
                let (service, returned) = (self.service(), self.applied.returned);
                self.compose.remember(|state| state.returned(service, returned)).await?;
                match returned {
                    // What was kept before counts again.
                    Returned::Undone => Ok(()),
                    Returned::RolledBack => self.compose.sweep(service).await,
                }
            }
        }
    }
}
