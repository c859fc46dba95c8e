//! kamal-proxy: told by its own commands in its container who gets the traffic of a service, and read by the file that it
//! keeps of its services.
//!
//! It asks whoever shall get traffic itself, switches at once when all of them answer, and ends what it does when the
//! requests that were begun before have ended. So nothing is left half done: a run that is killed meanwhile leaves either
//! what was before or what it asked for, and the next one sees which.

use std::time::Duration;

use jiff::Timestamp;
use shipkit_core::compose::{BadKamalState, KamalState, KamalSwitch, Server};
use tokio::time::sleep;

use super::Compose;
use super::container::Container;
use super::error::ComposeError;
use super::project::{Proxy, last_line};
use super::proxy::{READING, Traffic};

/// The file that it keeps.
const STATE: &str = "kamal-proxy.state";
/// It writes its file over the old text, so half of it may be seen: it is read so often, and this long apart.
const READS: usize = 5;
const AGAIN: Duration = Duration::from_millis(100);

impl Compose {
    /// Who gets the traffic of a service. kamal-proxy knows containers by the beginning of their identifiers, a name that no
    /// other one is given; somebody whom others named otherwise is named as they did.
    pub(super) async fn kamal_traffic(
        &self,
        (container, proxy): (&Container, &Proxy),
        service: &str,
    ) -> Result<Traffic, ComposeError> {
        let (state, since) = self.kamal_state(container, proxy).await?;
        let Some(targets) = state.targets(service) else {
            return Ok(Traffic { instances: Vec::new(), since: None, is_unsettled: false });
        };
        let containers = self.containers(service).await?;
        let instance = |target: &str| {
            let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
            let found = containers.iter().find(|one| one.short_id() == host || one.name() == host);
            found.map_or_else(|| target.to_owned(), Container::instance)
        };
        let instances = targets.into_iter().map(instance).collect();
        Ok(Traffic { instances, since, is_unsettled: false })
    }

    /// Sends the traffic of a service to these containers and no others, and waits until what was begun before has ended.
    pub(super) async fn tell_kamal(
        &self,
        (container, proxy): (&Container, &Proxy),
        (service, port): (&str, u16),
        to: &[&Container],
        drain: Duration,
    ) -> Result<(), ComposeError> {
        let (state, _) = self.kamal_state(container, proxy).await?;
        let server = |one: &&Container| Server { instance: one.instance(), host: one.short_id().to_owned() };
        let servers: Vec<Server> = to.iter().map(server).collect();
        let ready = self.project.ready.get(service).map(String::as_str);
        let switch = KamalSwitch { service, port, ready, drain, directory: &proxy.directory };
        for command in state.switch(&servers, &switch) {
            let argv: Vec<&str> = command.iter().map(String::as_str).collect();
            let time = READING.saturating_add(KamalState::time(drain));
            let (code, said) = self.exec(container.id(), &argv, time).await?;
            if code != 0 {
                let reason = last_line(said.as_bytes());
                let reason = reason.strip_prefix("Error: ").unwrap_or(&reason).to_owned();
                let (proxy, service) = (proxy.service.clone(), service.to_owned());
                return Err(ComposeError::NotSwitched { proxy, service, reason });
            }
        }
        Ok(())
    }

    /// What is in the way of telling kamal-proxy, which runs, of these services, and what a person should know.
    pub(super) async fn check_kamal(&self, proxy: &Proxy) -> Result<Vec<String>, ComposeError> {
        let container = self.running_proxy(proxy).await?;
        self.told(&container, proxy, &["kamal-proxy", "list"]).await?;
        let (state, _) = self.kamal_state(&container, proxy).await?;
        let held = self.proxied_services().filter(|service| state.is_held(service));
        let remark = |service: &str| {
            format!(
                "kamal-proxy, the service `{}`, passes no request on to `{service}`, which somebody stopped or paused there: \
                 the deploy ends that",
                proxy.service
            )
        };
        Ok(held.map(remark).collect())
    }

    /// Of the services whose traffic comes through kamal-proxy, those of which nothing says where it should ask them.
    pub(super) async fn not_asked(&self, proxy: &Proxy) -> Result<Vec<ComposeError>, ComposeError> {
        let state = match self.containers(&proxy.service).await?.first() {
            Some(container) => self.kamal_state(container, proxy).await?.0,
            None => KamalState::default(),
        };
        let ready = &self.project.ready;
        let unknown = |service: &&str| !ready.contains_key(*service) && state.targets(service).is_none();
        Ok(self
            .proxied_services()
            .filter(unknown)
            .map(|one| ComposeError::NoReadyPath(one.to_owned()))
            .collect())
    }

    fn proxied_services(&self) -> impl Iterator<Item = &str> {
        self.project.services.iter().filter(|(_, port)| port.is_some()).map(|(service, _)| service.as_str())
    }

    /// What kamal-proxy keeps, and when it last wrote it.
    async fn kamal_state(
        &self,
        container: &Container,
        proxy: &Proxy,
    ) -> Result<(KamalState, Option<Timestamp>), ComposeError> {
        let path = format!("{}/{STATE}", proxy.directory);
        let mut bad: Option<BadKamalState> = None;
        for _ in 0..READS {
            let Some(entry) = self.files(container, &path).await?.pop() else {
                return Ok((KamalState::default(), None));
            };
            match KamalState::parse(&entry.bytes) {
                Ok(state) => return Ok((state, Some(entry.modified))),
                Err(error) => bad = Some(error),
            }
            sleep(AGAIN).await;
        }
        bad.map_or_else(|| Ok((KamalState::default(), None)), |error| Err(error.into()))
    }
}
