//! The releases that were confirmed in a project: a file on its host for each, and the way back to any of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use shipkit_core::Digest;
use shipkit_core::compose::{Deployed, Returned};
use shipkit_core::history::{Entry, growth};
use shipkit_core::journal::Migration;
use shipkit_core::rollout::slots::Slot;
use shipkit_core::target::{Desired, Part};

use super::change::{Applied, applied};
use super::error::ComposeError;
use super::{Compose, STATE};
use crate::history::History;
use crate::swarm::Login;

impl Compose {
    /// The releases that were confirmed in the project.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn history(&self) -> Result<History, ComposeError> {
        let mut history = History { entries: Vec::new(), unreadable: Vec::new() };
        for (number, entry) in self.numbered().await?.into_iter().rev() {
            match entry {
                Ok(entry) => history.entries.push(entry),
                Err(why) => history.unreadable.push(format!("`{}`: {why}", self.entry_path(number))),
            }
        }
        Ok(history)
    }

    /// Writes down what was confirmed of this deploy, with all that its containers are made from, and removes what is older
    /// than the newest ten. What is written already is not written again. To be called by the holder of the lease, after
    /// [`confirm`](Self::confirm).
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn record(
        &self,
        desired: &Desired,
        migration: Migration,
        time: Timestamp,
    ) -> Result<(), ComposeError> {
        self.record_parts((&desired.stamp.release, &desired.parts()), migration, time).await
    }

    pub(crate) async fn record_parts(
        &self,
        of: (&Digest, &[Part<'_>]),
        migration: Migration,
        time: Timestamp,
    ) -> Result<(), ComposeError> {
        let Some(entry) = self.state().await?.entry(of, migration, time) else { return Ok(()) };
        let there = self.numbered().await?;
        let there = there.into_iter().map(|(number, entry)| (number, entry.ok())).collect();
        let growth = growth(&there, &entry);
        if let Some(number) = growth.number {
            let text = json!(entry).to_string();
            self.host.write(&self.entry_path(number), text.as_bytes()).await?;
        }
        for number in growth.surplus {
            self.host.remove(&self.entry_path(number)).await?;
        }
        Ok(())
    }

    /// Makes sure that what `entry` keeps of a service can run: its image is pulled, unless that or its containers are on the
    /// host. Nothing else of a way back needs a registry.
    ///
    /// # Errors
    /// When the entry keeps nothing of it, or its image can be had from nowhere.
    pub async fn bring(
        &self,
        entry: &Entry,
        service: &str,
        login: Option<&Login>,
    ) -> Result<(), ComposeError> {
        let to = kept(entry, service)?;
        let containers = self.containers(service).await?;
        let there = containers.iter().filter(|one| one.key() == to.key.as_deref()).count();
        if u64::try_from(there).is_ok_and(|there| to.replicas <= there) {
            return Ok(());
        }
        match &to.image {
            Some(image) => self.pull(&image.to_string(), login).await,
            None => Err(ComposeError::NothingBefore(service.to_owned())),
        }
    }

    /// Puts one service back to what `entry` keeps of it, or creates it again. Afterwards it remembers no release before.
    ///
    /// # Errors
    /// When the entry keeps nothing of it, or the host cannot be asked.
    pub async fn come_back(
        &self,
        entry: &Entry,
        service: &str,
        login: Option<&Login>,
    ) -> Result<Applied, ComposeError> {
        let to = kept(entry, service)?;
        let (mut state, found) = (self.state().await?, self.found_running(service).await?);
        let purpose = state.come_back(service, to.clone(), found);
        let now = state.services.get(service).map_or(to, |there| there.now.clone());
        self.remember(|there| *there = state).await?;
        let returned = Returned::RolledBack;
        Ok(Applied { returned, is_undone: false, ..applied(service, purpose, now, login) })
    }

    /// Makes a service forget which release it would go back to: one that stays while the others go further back. Restarts
    /// nothing.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn forget(&self, service: &str) -> Result<(), ComposeError> {
        self.remember(|state| state.forget(service)).await?;
        self.sweep(service).await
    }

    /// Removes the stopped containers of a service that nothing goes back to any more.
    pub(crate) async fn sweep(&self, service: &str) -> Result<(), ComposeError> {
        let state = self.state().await?;
        let Some(there) = state.services.get(service) else { return Ok(()) };
        for container in self.containers(service).await? {
            if !container.is_running() && there.slot(container.key()) == Slot::Retired {
                let path = format!("/containers/{}?v=1", container.id());
                self.engine.delete("remove a container", &path).await?;
            }
        }
        Ok(())
    }

    /// The entries by number; of those that cannot be read, why.
    async fn numbered(&self) -> Result<BTreeMap<u64, Result<Entry, String>>, ComposeError> {
        let mut entries = BTreeMap::new();
        for name in self.host.list(&self.history_folder()).await? {
            let Some(number) = name.strip_suffix(".json").and_then(|number| number.parse().ok()) else {
                continue;
            };
            // It may be gone meanwhile.
            if let Some(text) = self.host.read(&self.entry_path(number), STATE).await? {
                entries.insert(number, Entry::parse(&text).map_err(|error| error.to_string()));
            }
        }
        Ok(entries)
    }

    fn history_folder(&self) -> String {
        format!("{}/history", self.folder)
    }

    fn entry_path(&self, number: u64) -> String {
        format!("{}/{number}.json", self.history_folder())
    }
}

fn kept(entry: &Entry, service: &str) -> Result<Deployed, ComposeError> {
    Deployed::kept(entry, service).ok_or_else(|| ComposeError::NothingBefore(service.to_owned()))
}
