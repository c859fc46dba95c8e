//! What is there of a project, what should be there by its files, and what is in the way of a deploy.

use std::collections::{BTreeMap, BTreeSet};

use shipkit_core::compose::{Deployed, Model, ProxyKind, Refusal, ServiceState, State};
use shipkit_core::rollout::Status;
use shipkit_core::target::{Absent, Desired, Observed, ObservedService, Settings, Update};

use super::Compose;
use super::container::Container;
use super::error::ComposeError;
use crate::swarm::{Login, Preflight};

/// How many problems of one service are named.
const PROBLEMS: usize = 3;

impl Compose {
    /// What the Compose files say of the desired services, written into them: how many, how they are replaced, and the
    /// digest of all the rest. What `shipkit.yml` says beside that counts where the files say nothing.
    ///
    /// # Errors
    /// When Compose cannot render the project, or it does not hold a service.
    pub async fn complete(&self, mut desired: Desired) -> Result<Desired, ComposeError> {
        let model = self.model().await?;
        for service in &mut desired.services {
            let said = &service.settings;
            let compose = model.digest(&service.name);
            service.settings = Settings {
                replicas: model.replicas(&service.name).or(said.replicas).or(Some(1)),
                environment: said.environment.clone(),
                update: model.update(&service.name, said.update),
                compose: Some(compose.ok_or_else(|| ComposeError::NotInFiles(service.name.clone()))?),
                ..Settings::default()
            };
            service.depends_on = model.depends_on(&service.name);
            let proxy = self.project.proxied(&service.name);
            service.depends_on.extend(proxy.map(|(_, proxy)| proxy.service.clone()));
        }
        Ok(desired)
    }

    /// What is there of the project. Without its files, of the services that are remembered and of those that are replaced.
    ///
    /// # Errors
    /// When the host cannot be asked, or Compose cannot render the project.
    pub async fn observe(&self) -> Result<Observed, ComposeError> {
        let state = self.state().await?;
        let model = if self.project.files.is_empty() { None } else { Some(self.model().await?) };
        let ours = state.services.keys().chain(self.project.services.keys()).map(String::as_str);
        let names: BTreeSet<&str> = model.into_iter().flat_map(Model::services).chain(ours).collect();
        let (mut services, mut absent) = (Vec::new(), Vec::new());
        for name in names {
            let containers = self.containers(name).await?;
            let is_ours = state.services.contains_key(name) || self.project.services.contains_key(name);
            if is_ours || !containers.is_empty() {
                services.extend(observed(name, &state, &containers));
            } else {
                absent.push(Absent { name: name.to_owned(), depends_on: self.comes_after(name).await? });
            }
        }
        // Networks are Compose's business.
        Ok(Observed { has_network: true, absent, services })
    }

    /// What is started before a service that is not there. A proxy comes before the services behind it.
    async fn comes_after(&self, name: &str) -> Result<Vec<String>, ComposeError> {
        let mut before = self.model().await?.depends_on(name);
        if self.project.proxy.as_ref().is_some_and(|proxy| proxy.service == name) {
            before.retain(|other| !self.project.services.contains_key(other));
        }
        Ok(before)
    }

    /// Whether a deploy can begin: everything that is in the way, all at once.
    ///
    /// # Errors
    /// When the host cannot be asked, or Compose cannot render the project.
    pub async fn preflight(
        &self,
        desired: &Desired,
        observed: &Observed,
        login: Option<&Login>,
    ) -> Result<Preflight<ComposeError>, ComposeError> {
        let mut found = Preflight { problems: Vec::new(), remarks: Vec::new() };
        for service in desired.services.iter().filter(|service| !service.stateful) {
            let proxy = self.project.proxied(&service.name).map(|(_, proxy)| proxy.service.as_str());
            let (settings, name) = (&service.settings, &service.name);
            found.problems.extend(self.refusals(name, &settings.update, settings.replicas).await?);
            if proxy.is_none() {
                found.remarks.push(format!(
                    "names resolve to new containers of `{name}` as soon as they start: its traffic does not come through a proxy"
                ));
            }
        }
        found.problems.extend(self.not_brought().await?);
        self.look_at_proxy(&mut found).await?;
        self.look_at_images(desired, observed, login, &mut found).await;
        let unfinished = observed.services.iter().filter(|service| !service.is_confirmed);
        found.remarks.extend(
            unfinished.map(|one| format!("service `{}` was left by a deploy that did not finish", one.name)),
        );
        Ok(found)
    }

    /// What the Compose files say of a service that cannot be replaced as they, and `otherwise` where they say nothing, ask
    /// for.
    ///
    /// # Errors
    /// When Compose cannot render the project.
    pub async fn refusals_of(
        &self,
        service: &str,
        otherwise: Update,
        replicas: Option<u64>,
    ) -> Result<Vec<ComposeError>, ComposeError> {
        let model = self.model().await?;
        let update = model.update(service, otherwise);
        self.refusals(service, &update, model.replicas(service).or(replicas)).await
    }

    async fn refusals(
        &self,
        service: &str,
        update: &Update,
        replicas: Option<u64>,
    ) -> Result<Vec<ComposeError>, ComposeError> {
        let proxy = self.project.proxied(service).map(|(_, proxy)| proxy.service.as_str());
        let refusals = Refusal::all(self.model().await?, service, update, replicas.unwrap_or(1), proxy);
        Ok(refusals.into_iter().map(ComposeError::from).collect())
    }

    /// What the files mean beside themselves, where only they were brought to the host.
    async fn not_brought(&self) -> Result<Option<ComposeError>, ComposeError> {
        let uploads = format!("{}/files/", self.folder);
        if !self.project.directory.starts_with(&uploads) {
            return Ok(None);
        }
        let keys = self.model().await?.below(&self.project.directory);
        Ok((!keys.is_empty()).then(|| ComposeError::NotBrought(keys.join(", "))))
    }

    async fn look_at_proxy(&self, found: &mut Preflight<ComposeError>) -> Result<(), ComposeError> {
        let Some(proxy) = &self.project.proxy else { return Ok(()) };
        let model = self.model().await?;
        if model.service(&proxy.service).is_none() {
            found.problems.push(ComposeError::NotInFiles(proxy.service.clone()));
            return Ok(());
        }
        if !model.is_mounted(&proxy.service, &proxy.directory) {
            let (service, directory) = (proxy.service.clone(), proxy.directory.clone());
            found.problems.push(ComposeError::NoVolume { kind: proxy.kind, service, directory });
        }
        if proxy.kind == ProxyKind::KamalProxy {
            found.problems.extend(self.not_asked(proxy).await?);
        }
        // One that is not there is started by the deploy.
        if self.containers(&proxy.service).await?.is_empty() {
            return Ok(());
        }
        let checked = match proxy.kind {
            ProxyKind::Nginx => self.check_nginx(proxy).await,
            ProxyKind::Traefik => {
                self.check_traefik(proxy, &model.how_it_starts(&proxy.service)).await.map(|()| Vec::new())
            }
            ProxyKind::KamalProxy => self.check_kamal(proxy).await,
        };
        match checked {
            Ok(remarks) => found.remarks.extend(remarks),
            Err(error) => found.problems.push(error),
        }
        Ok(())
    }

    /// Of the images that would come, those that the engine has not and does not find at their registry.
    async fn look_at_images(
        &self,
        desired: &Desired,
        observed: &Observed,
        login: Option<&Login>,
        found: &mut Preflight<ComposeError>,
    ) {
        let there = |name: &str| observed.services.iter().find(|one| one.name == name);
        for service in &desired.services {
            let comes = there(&service.name).is_none_or(|there| {
                there.image.is_none() || (!service.stateful && there.image.as_ref() != Some(&service.image))
            });
            let image = service.image.to_string();
            let login = login.filter(|login| image.starts_with(&format!("{}/", login.registry)));
            if comes && !self.has_image(&image).await.unwrap_or_default() {
                found.problems.extend(self.engine.find_image(&image, login).await.err().map(Into::into));
            }
        }
    }
}

/// One service in core's words; `None` if nothing of it is there.
fn observed(name: &str, state: &State, containers: &[Container]) -> Option<ObservedService> {
    let known = state.services.get(name);
    if known.is_none() && containers.is_empty() {
        return None;
    }
    let now = known.map(|known| &known.now);
    let runs = || containers.iter().filter(|container| container.is_running());
    let mut running = BTreeMap::new();
    for container in runs() {
        let image = container.image().map(|image| image.digest.to_string()).unwrap_or_default();
        *running.entry(image).or_insert(0) += 1;
    }
    // What others started is as it is: nothing about it is known, so everything differs.
    let unknown = || Settings { update: Update::default(), ..Settings::default() };
    let first = containers.first().and_then(Container::image);
    let is_short = |now: &Deployed| running.values().sum::<u64>() < now.replicas;
    let problems = if now.is_some_and(is_short) { problems(now, containers) } else { Vec::new() };
    Some(ObservedService {
        name: name.to_owned(),
        image: now.map_or(first, |now| now.image.clone()),
        settings: now.map_or_else(unknown, Deployed::settings),
        running,
        stamp: now.and_then(|now| now.stamp.clone()),
        revision: now.map(|now| now.revision.clone()),
        is_confirmed: now.is_none_or(|now| now.is_confirmed),
        previous: known.and_then(ServiceState::way_back),
        update: Status::None,
        version: 0,
        problems,
    })
}

/// What the containers that should run suffer from.
fn problems(now: Option<&Deployed>, containers: &[Container]) -> Vec<String> {
    let is_wanted = |one: &&Container| now.is_some_and(|now| now.key.as_deref() == one.key());
    let down = containers.iter().filter(is_wanted).filter(|container| !container.is_running());
    down.map(|one| match one.error() {
        Some(error) => format!("container `{}` cannot start: {error}", one.name()),
        None => format!("container `{}` does not run", one.name()),
    })
    .take(PROBLEMS)
    .collect()
}
