//! `Compose`: a Compose project on a Docker host, its services replaced by shipkit itself.
//!
//! One project stays one project: Compose renders it and makes the containers, so that whatever its files say keeps its
//! meaning, and `docker compose ps` shows everything. Old and new containers of a service live beside each other in it,
//! told apart by a label. Starting, stopping and removing them goes through the Engine API, in the steps that
//! `shipkit_core::rollout::slots` decides. What is remembered lies in `~/.shipkit/<stack>` on the host.

mod change;
mod container;
mod error;
mod host;
mod observe;
mod project;
mod proxy;
mod rollout;
mod tar;

use std::sync::Arc;

use shipkit_core::compose::{Model, State};
use tokio::sync::OnceCell;

pub use change::Applied as ComposeApplied;
pub use error::ComposeError;
pub use observe::Found as ComposeFound;
pub use project::{ComposeProject, Proxy};

use crate::engine::Engine;
use crate::swarm::Access;
use host::Host;

/// A Compose project on a Docker host. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Compose {
    pub(crate) engine: Engine,
    host: Host,
    project: Arc<ComposeProject>,
    /// Where `docker` finds the engine, on the host.
    socket: String,
    /// The folder on the host with what is remembered.
    folder: String,
    model: Arc<OnceCell<Model>>,
}

impl Compose {
    /// Connects to the engine at `unix:///var/run/docker.sock`.
    ///
    /// # Errors
    /// When the engine does not answer or is too old, or `docker compose` cannot run where it is.
    pub async fn connect(host: &str, access: &Access, project: ComposeProject) -> Result<Self, ComposeError> {
        if !host.starts_with("unix://") {
            return Err(ComposeError::BadHost(host.to_owned()));
        }
        let engine = Engine::connect(host, access).await?;
        let socket = host.to_owned();
        let folder = format!("{}/.shipkit/{}", Host.home().await?, project.stack);
        Ok(Self { engine, host: Host, project: Arc::new(project), socket, folder, model: Arc::default() })
    }

    fn state_path(&self) -> String {
        format!("{}/state.json", self.folder)
    }

    /// What is remembered.
    pub(crate) async fn state(&self) -> Result<State, ComposeError> {
        let text = self.host.read(&self.state_path()).await?;
        Ok(text.map(|text| State::parse(&text)).transpose()?.unwrap_or_default())
    }

    /// Changes what is remembered. Only who has the lease does.
    pub(crate) async fn remember(&self, edit: impl FnOnce(&mut State)) -> Result<(), ComposeError> {
        let mut state = self.state().await?;
        edit(&mut state);
        let text = serde_json::to_vec_pretty(&state).map_err(|error| ComposeError::Host {
            what: "write the state".to_owned(),
            reason: error.to_string(),
        })?;
        self.host.write(&self.state_path(), &text).await
    }
}
