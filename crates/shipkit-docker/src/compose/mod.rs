//! `Compose`: a Compose project on a Docker host, its services replaced by shipkit itself.
//!
//! One project stays one project: Compose renders it and makes the containers, so that whatever its files say keeps its
//! meaning, and `docker compose ps` shows everything. Old and new containers of a service live beside each other in it,
//! told apart by a label. Starting, stopping and removing them goes through the Engine API, in the steps that
//! `shipkit_core::rollout::slots` decides. What is remembered lies in `~/.shipkit/<stack>` on the host.

mod adopt;
mod change;
mod container;
mod error;
mod history;
mod kamal;
mod migrate;
mod observe;
mod preview;
mod project;
mod proxy;
mod rollout;
mod tar;
mod written;

use std::sync::Arc;

use serde_json::json;
use shipkit_core::SshAddress;
use shipkit_core::compose::{Model, State};
use tokio::sync::OnceCell;

pub use change::Applied as ComposeApplied;
pub use error::ComposeError;
pub use preview::Preview;
use project::has_compose;
pub use project::{ComposeProject, Proxy};

use crate::engine::Engine;
use crate::error::SwarmError;
use crate::host::Host;
use crate::rollout::text;
use crate::ssh::{Ended, HostCommand};
use crate::swarm::Access;

/// The most that the file with what is remembered may have, in bytes: 16 MiB.
const STATE: usize = 16 << 20;

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
    /// Connects to the engine at `unix:///var/run/docker.sock`, or at `ssh://user@host` for a host that is reached over SSH.
    ///
    /// # Errors
    /// When `docker compose` cannot run on the host, or the engine does not answer or is too old.
    pub async fn connect(
        engine: &str,
        access: &Access,
        host: Host,
        project: ComposeProject,
    ) -> Result<Self, ComposeError> {
        let socket = if engine.starts_with("ssh://") {
            let address: SshAddress = engine.parse().map_err(SwarmError::from)?;
            format!("unix://{}", address.socket())
        } else if engine.starts_with("unix://") {
            engine.to_owned()
        } else {
            return Err(ComposeError::BadHost(engine.to_owned()));
        };
        has_compose(&host).await?;
        let engine = Engine::connect(engine, access).await?;
        let folder = host.folder(&project.stack);
        Ok(Self { engine, host, project: Arc::new(project), socket, folder, model: Arc::default() })
    }

    /// Where the engine keeps images on the host, and how many bytes are left there.
    ///
    /// # Errors
    /// When the host cannot be asked, or does not say.
    pub async fn free_space(&self) -> Result<(String, u64), ComposeError> {
        let info = self.engine.get("describe itself", "/info").await?;
        let folder = text(&info, &["DockerRootDir"]).to_owned();
        let said = self.host.run(HostCommand::new(&["df", "-Pk", "--", &folder])).await?;
        let free = free_in(&String::from_utf8_lossy(&said.stdout));
        match (said.ended, free) {
            (Ended::Code(0), Some(free)) => Ok((folder, free)),
            (Ended::Code(_) | Ended::Signal(_), _) => {
                Err(ComposeError::NoSpaceSaid { folder, reason: project::last_line(&said.stderr) })
            }
        }
    }

    fn state_path(&self) -> String {
        format!("{}/state.json", self.folder)
    }

    /// What is remembered.
    pub(crate) async fn state(&self) -> Result<State, ComposeError> {
        let text = self.host.read(&self.state_path(), STATE).await?;
        Ok(text.map(|text| State::parse(&text)).transpose()?.unwrap_or_default())
    }

    /// Changes what is remembered. Only who has the lease does.
    pub(crate) async fn remember(&self, edit: impl FnOnce(&mut State)) -> Result<(), ComposeError> {
        let mut state = self.state().await?;
        edit(&mut state);
        let text = json!(state).to_string();
        Ok(self.host.write(&self.state_path(), text.as_bytes()).await?)
    }
}

/// The bytes that are left, as `df -Pk` says of one file system: the fourth word of its second line, in kibibytes (POSIX,
/// "df").
fn free_in(said: &str) -> Option<u64> {
    let kibibytes: u64 = said.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_the_fourth_word_of_the_second_line() {
        let said = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 100 60 40 60% /\n";
        assert_eq!(free_in(said), Some(40 * 1024));
        for strange in ["", "a\n", "a\n/dev/vda 1 2 - 3 /"] {
            assert_eq!(free_in(strange), None);
        }
    }
}
