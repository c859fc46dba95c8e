//! The last lines that the containers of a project wrote.

use serde_json::json;
use shipkit_core::compose::ServiceState;
use shipkit_core::rollout::slots::{Slot, State};
use shipkit_core::target::Written;

use super::Compose;
use super::container::{Container, ONEOFF, PROJECT, SERVICE};
use super::error::ComposeError;
use crate::engine::filtered;
use crate::rollout::{log_text, text};
use crate::spec::items;

impl Compose {
    /// The last lines of the containers of the project, or of one service of it, at most `tail` of each. What is kept for a
    /// way back tells nothing and is left out.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn written(&self, only: Option<&str>, tail: u32) -> Result<Vec<Written>, ComposeError> {
        let mut labels = vec![format!("{PROJECT}={}", self.project.stack), format!("{ONEOFF}=False")];
        labels.extend(only.map(|service| format!("{SERVICE}={service}")));
        let path = filtered("/containers/json", &json!({"label": labels}));
        let list = self.engine.get("list containers", &format!("{path}&all=1")).await?;
        let state = self.state().await?;
        let mut written = Vec::new();
        for id in items(&list).map(|container| text(container, &["Id"])) {
            // It may be gone meanwhile.
            let Some(container) = self.container(id).await? else { continue };
            let service = container.label(SERVICE).unwrap_or_default();
            let Some(is_failing) = telling(&container, state.services.get(service)) else { continue };
            let path = format!("/containers/{id}/logs?stdout=1&stderr=1&tail={tail}");
            let said = self.engine.get_bytes("show a log", &path).await.ok();
            written.push(Written {
                service: service.to_owned(),
                container: container.name().to_owned(),
                is_failing,
                lines: said.map(|bytes| log_text(&bytes).lines().map(str::to_owned).collect()),
            });
        }
        Ok(written)
    }
}

/// Whether a container fails; `None` if its words do not count. `known` is what is remembered of its service.
fn telling(container: &Container, known: Option<&ServiceState>) -> Option<bool> {
    match (container.state(), known) {
        (State::Ready, _) => Some(false),
        (State::Starting | State::Unhealthy, _) => Some(true),
        (State::Gone, _) => None,
        (State::Stopped { .. }, Some(known)) => {
            (known.slot(container.key()) == Slot::Preview).then_some(true)
        }
        (State::Stopped { exit_code }, None) => Some(exit_code != 0),
    }
}

#[cfg(test)]
mod tests {
    use shipkit_core::compose::Deployed;

    use super::*;

    #[test]
    fn what_is_kept_for_a_way_back_tells_nothing() {
        let one = |status: &str, code: i64, key: Option<&str>| {
            Container::of(json!({
                "State": {"Status": status, "ExitCode": code},
                "Config": {"Labels": {shipkit_core::compose::KEY: key}},
            }))
        };
        let of = |key: Option<&str>| ServiceState {
            now: Deployed { key: key.map(str::to_owned), ..Deployed::by_others(1) },
            previous: None,
            older: None,
            working: None,
        };
        let (new, theirs) = (of(Some("new")), of(None));
        for (container, known, expected) in [
            (one("running", 0, Some("old")), Some(&new), Some(false)),
            (one("exited", 0, Some("old")), Some(&new), None),
            (one("exited", 0, Some("new")), Some(&new), Some(true)),
            (one("exited", 0, None), Some(&theirs), Some(true)),
            (one("restarting", 1, Some("new")), Some(&new), Some(true)),
            (one("exited", 0, None), None, Some(false)),
            (one("exited", 3, None), None, Some(true)),
            (one("removing", 0, None), None, None),
        ] {
            assert_eq!(telling(&container, known), expected, "{container:?}");
        }
    }
}
