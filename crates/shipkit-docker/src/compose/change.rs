//! How a service begins to change: what is remembered is written, and then the rollout goes from what is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use shipkit_core::compose::{Deployed, Returned, ServiceState};
use shipkit_core::rollout::Purpose;
use shipkit_core::rollout::slots::State;
use shipkit_core::target::{Change, Desired, DesiredService, Return};
use tokio::time::{Instant, sleep};

use super::Compose;
use super::error::ComposeError;
use crate::rollout::TaskLog;
use crate::swarm::Login;

/// How long a service that shipkit only starts may take to be well.
const UP: Duration = Duration::from_mins(5);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long pulling an image may take.
const PULL: Duration = Duration::from_mins(15);

/// A service that was just changed (or found as it should be): what is needed to watch it and to undo it.
#[derive(Debug, Clone)]
pub struct Applied {
    pub(crate) service: String,
    pub(crate) purpose: Purpose,
    /// Why it goes back, if it does.
    pub(crate) returned: Returned,
    /// What was written: if somebody writes something else, the service is theirs.
    pub(crate) now: Deployed,
    /// Whether something is to be put back if it fails.
    pub(crate) is_undone: bool,
    pub(crate) login: Option<Login>,
    /// The last lines of what failed and was removed.
    pub(crate) logs: Arc<Mutex<Vec<TaskLog>>>,
    /// How often each container was started again when the rollout was done.
    pub(crate) restarts: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Applied {
    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    pub(crate) fn keep_log(&self, log: TaskLog) {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push(log);
    }

    /// Notes what the containers had been through when they arrived.
    pub(crate) fn arrive(&self, restarts: BTreeMap<String, u64>) {
        *self.restarts.lock().unwrap_or_else(PoisonError::into_inner) = restarts;
    }

    pub(crate) fn kept_logs(&self) -> Vec<TaskLog> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Compose {
    /// Carries out one step of a plan, or begins to: what it gives is to be waited for. `None` if there is nothing to wait
    /// for any more.
    ///
    /// # Errors
    /// When the host cannot be asked, or a service that is only started does not come up.
    pub async fn apply(
        &self,
        desired: &Desired,
        change: &Change,
        login: Option<&Login>,
    ) -> Result<Option<Applied>, ComposeError> {
        let find = |name: &str| {
            let found = desired.services.iter().find(|service| service.name == name);
            found.ok_or_else(|| ComposeError::NotDesired(name.to_owned()))
        };
        match change {
            Change::CreateNetwork { .. } | Change::LeaveStateful { .. } | Change::Object { .. } => Ok(None),
            Change::Start { service } => self.start_once(service).await.map(|()| None),
            Change::Create { service, .. } if find(service)?.stateful => {
                self.create_stateful(desired, find(service)?, login).await.map(|()| None)
            }
            Change::Create { service, .. }
            | Change::Update { service, .. }
            | Change::Relabel { service, .. } => self.begin(desired, find(service)?, login).await.map(Some),
            Change::Keep { service, .. } => self.keep(service, login).await.map(Some),
        }
    }

    /// Puts back what was there before a change. `None` if nothing is left to do, because nothing was written or somebody
    /// else has changed the service since.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn undo(
        &self,
        applied: &Applied,
        login: Option<&Login>,
    ) -> Result<Option<Applied>, ComposeError> {
        let state = self.state().await?;
        let is_ours = state
            .services
            .get(&applied.service)
            .is_some_and(|there| there.now.is_of_the_deploy_of(&applied.now));
        if !is_ours || !applied.is_undone {
            return Ok(None);
        }
        self.back(&applied.service, Returned::Undone, login).await.map(Some)
    }

    /// Puts one service back to the last good release that it remembers, and forgets what it leaves. Needs nothing but the
    /// host, and no registry while the image is on it.
    ///
    /// # Errors
    /// When it remembers nothing, or the host cannot be asked.
    pub async fn restore(&self, back: &Return, login: Option<&Login>) -> Result<Applied, ComposeError> {
        let state = self.state().await?;
        let is_there = state.services.get(&back.service).and_then(ServiceState::way_back).is_some();
        if !is_there {
            return Err(ComposeError::NothingBefore(back.service.clone()));
        }
        self.back(&back.service, Returned::RolledBack, login).await
    }

    /// Writes down that this deploy was seen to succeed: from now on it is what later rollbacks go back to.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn confirm(&self, desired: &Desired) -> Result<(), ComposeError> {
        self.remember(|state| state.confirm(&desired.stamp.release)).await
    }

    async fn begin(
        &self,
        desired: &Desired,
        service: &DesiredService,
        login: Option<&Login>,
    ) -> Result<Applied, ComposeError> {
        let now = self.deployed(desired, service).await?;
        let found = self.found_running(&service.name).await?;
        self.remember(|state| state.begin(&service.name, now.clone(), found)).await?;
        Ok(applied(&service.name, Purpose::Deploy, now, login))
    }

    /// What runs of a service, as it counts where others started it.
    pub(crate) async fn found_running(&self, service: &str) -> Result<Option<Deployed>, ComposeError> {
        let running = self.containers(service).await?.iter().filter(|one| one.is_running()).count();
        Ok(u64::try_from(running).ok().filter(|running| 0 < *running).map(Deployed::by_others))
    }

    /// The service as it is written down.
    async fn deployed(&self, desired: &Desired, service: &DesiredService) -> Result<Deployed, ComposeError> {
        let (model, settings, name) = (self.model().await?, &service.settings, &service.name);
        let absent = || ComposeError::NotInFiles(name.clone());
        let alone = model.alone(name, &service.image, &settings.environment).ok_or_else(absent)?;
        Ok(Deployed {
            key: Some(model.key(name, &service.image, &settings.environment).ok_or_else(absent)?),
            image: Some(service.image.clone()),
            compose: settings.compose.clone(),
            environment: settings.environment.clone(),
            revision: service.revision.clone(),
            replicas: settings.replicas.unwrap_or(1),
            update: settings.update,
            stop_grace: model.stop_grace(name),
            container_name: model.container_name(name).map(str::to_owned),
            stamp: Some(desired.stamp.clone()),
            is_confirmed: false,
            model: alone.value().clone(),
        })
    }

    async fn keep(&self, service: &str, login: Option<&Login>) -> Result<Applied, ComposeError> {
        let state = self.state().await?;
        let there =
            state.services.get(service).ok_or_else(|| ComposeError::NotDesired(service.to_owned()))?;
        let mut applied = applied(service, Purpose::Deploy, there.now.clone(), login);
        // What a killed run left is taken back with the rest; what was seen to succeed is what there is to go back to.
        applied.is_undone = !there.now.is_confirmed;
        Ok(applied)
    }

    async fn back(
        &self,
        service: &str,
        returned: Returned,
        login: Option<&Login>,
    ) -> Result<Applied, ComposeError> {
        let mut state = self.state().await?;
        let there =
            state.services.get(service).ok_or_else(|| ComposeError::NothingBefore(service.to_owned()))?;
        let (is_same, mut now) = (there.is_same_before(), there.now.clone());
        let mut purpose = Purpose::Restore;
        if is_same {
            // The same containers, perhaps another number of them.
            state.returned(service, returned);
            self.remember(|there| *there = state.clone()).await?;
            now = state.services.get(service).map_or(now, |service| service.now.clone());
            purpose = Purpose::Deploy;
        }
        let applied = Applied { returned, is_undone: false, ..applied(service, purpose, now, login) };
        Ok(applied)
    }

    /// Starts a service that is not there, and waits until it is well.
    pub(crate) async fn start_once(&self, service: &str) -> Result<(), ComposeError> {
        if let Some(proxy) = self.project.proxy.as_ref().filter(|proxy| proxy.service == service) {
            self.prepare_proxy(proxy).await?;
        }
        self.up(service, None).await?;
        self.is_up(service).await
    }

    async fn create_stateful(
        &self,
        desired: &Desired,
        service: &DesiredService,
        login: Option<&Login>,
    ) -> Result<(), ComposeError> {
        let (model, now) = (self.model().await?, self.deployed(desired, service).await?);
        let absent = || ComposeError::NotInFiles(service.name.clone());
        let alone = model.alone(&service.name, &service.image, &service.settings.environment);
        self.pull(&service.image.to_string(), login).await?;
        self.up(&service.name, Some(&alone.ok_or_else(absent)?)).await?;
        self.is_up(&service.name).await?;
        self.remember(|state| state.begin(&service.name, now, None)).await
    }

    /// Waits until all containers of a service are well, or have ended well.
    async fn is_up(&self, service: &str) -> Result<(), ComposeError> {
        let (start, not_up) =
            (Instant::now(), |reason| ComposeError::NotUp { service: service.to_owned(), reason });
        loop {
            let containers = self.containers(service).await?;
            let mut is_well = !containers.is_empty();
            for container in &containers {
                match container.state() {
                    State::Ready | State::Stopped { exit_code: 0 } => {}
                    State::Starting | State::Gone => is_well = false,
                    State::Unhealthy => return Err(not_up("it is unhealthy".to_owned())),
                    State::Stopped { exit_code } => {
                        let said = self.last_lines(container.id()).await.pop().unwrap_or_default();
                        return Err(not_up(format!("it ended with exit code {exit_code}: {said}")));
                    }
                }
            }
            if is_well {
                return Ok(());
            }
            if UP <= start.elapsed() {
                return Err(not_up(format!("it is not ready after {} s", UP.as_secs())));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether the engine has an image.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn has_image(&self, image: &str) -> Result<bool, ComposeError> {
        Ok(self.engine.find("show an image", &format!("/images/{image}/json")).await?.is_some())
    }

    /// Makes sure that the engine has an image.
    pub(crate) async fn pull(&self, image: &str, login: Option<&Login>) -> Result<(), ComposeError> {
        if self.has_image(image).await? {
            return Ok(());
        }
        let login = login.filter(|login| image.starts_with(&format!("{}/", login.registry)));
        let (what, path) = (format!("pull `{image}`"), format!("/images/create?fromImage={image}"));
        let said = self.engine.post_for_bytes(&what, &path, &json!({}), (login, PULL)).await?;
        // What goes wrong after the answer has begun stands in it.
        let lines = said.split(|byte| *byte == b'\n');
        let mut parsed = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
        let error = parsed.find_map(|line| Some(line.get("error")?.as_str()?.to_owned()));
        match error {
            None => Ok(()),
            Some(message) => Err(crate::SwarmError::Refused { what, status: 200, message }.into()),
        }
    }
}

pub(crate) fn applied(service: &str, purpose: Purpose, now: Deployed, login: Option<&Login>) -> Applied {
    Applied {
        service: service.to_owned(),
        purpose,
        returned: Returned::Undone,
        now,
        is_undone: true,
        login: login.cloned(),
        logs: Arc::default(),
        restarts: Arc::default(),
    }
}
