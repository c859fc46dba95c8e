//! `State`: what shipkit remembers of a Compose project, in a file on its host. Labels of containers cannot be changed, so
//! everything that changes is here; which release a container belongs to, its own label says.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::reference::ImageRef;
use crate::rollout::slots::Slot;
use crate::target::{Previous, Settings, Stamp, Update};

/// The one version of the file that this program writes and reads.
const VERSION: u64 = 1;

/// What is remembered of a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    version: u64,
    /// The services that were deployed, by name.
    pub services: BTreeMap<String, ServiceState>,
}

/// What is remembered of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceState {
    /// What was deployed last, whether that has ended or not.
    pub now: Deployed,
    /// What comes back if that fails, or is taken back later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Deployed>,
    /// What was there to return to before `now` came: it counts again when `now` fails.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub older: Option<Deployed>,
    /// Who should work, where no proxy knows it. `None` before anybody was told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub working: Option<Working>,
}

/// The instances that should work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Working {
    /// Their ids.
    pub instances: Vec<String>,
    /// Since when, by the clock of the host.
    pub since: Timestamp,
}

/// A service as it was deployed once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployed {
    /// The label of its containers; `None` for those that others started, adopted or not.
    pub key: Option<String>,
    /// Its image; `None` if others started it from one that no digest names.
    pub image: Option<ImageRef>,
    /// The digest of what the Compose files said.
    pub compose: Option<Digest>,
    /// The environment variables that were added to those of the files.
    pub environment: BTreeMap<String, String>,
    /// The commit that the image was built from.
    pub revision: String,
    /// How many containers should run.
    pub replicas: u64,
    /// How it was put in place, and is taken back.
    pub update: Update,
    /// How long a container has to stop.
    pub stop_grace: Duration,
    /// The name that its one container has while it runs, if the files give it one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container_name: Option<String>,
    /// What was deployed; `None` if others started it and nobody has adopted it.
    pub stamp: Option<Stamp>,
    /// Whether the deploy was seen to succeed.
    pub is_confirmed: bool,
    /// What Compose makes its containers from: a return needs nothing else, even when all containers are gone. It holds the
    /// values of variables, as the containers do, so the file is for its owner alone.
    pub model: Value,
}

/// What should be the state of a project is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`state.json` of the project on its host cannot be read: {0}")]
pub struct BadState(String);

impl Hint for BadState {
    fn hint(&self) -> Option<String> {
        Some("use the version of shipkit that wrote it, or move it away and deploy again".to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Unknown
    }
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, services: BTreeMap::new() }
    }
}

impl State {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is damaged or of another version.
    pub fn parse(text: &[u8]) -> Result<Self, BadState> {
        let state: Self = serde_json::from_slice(text).map_err(|error| BadState(error.to_string()))?;
        if state.version == VERSION {
            return Ok(state);
        }
        Err(BadState(format!("it is of version {}, and this program knows version {VERSION}", state.version)))
    }

    /// A deploy begins. What was there is what to return to, unless it never succeeded and something better is known.
    /// `found` are containers of the service that others started, which count where nothing was deployed before.
    pub fn begin(&mut self, service: &str, deployed: Deployed, found: Option<Deployed>) {
        let (previous, older, working) = match self.services.remove(service) {
            None => (found, None, None),
            Some(ServiceState { now, previous, older, working }) => match previous {
                // A better one is known than one that never succeeded.
                Some(good) if !now.is_confirmed => (Some(good), older, working),
                _ if !now.is_confirmed && now.key == deployed.key => (None, older, working),
                previous => (Some(now), previous, working),
            },
        };
        self.services.insert(service.to_owned(), ServiceState { now: deployed, previous, older, working });
    }

    /// All services of this release were seen to succeed.
    pub fn confirm(&mut self, release: &Digest) {
        for service in self.services.values_mut() {
            if service.now.stamp.as_ref().is_some_and(|stamp| stamp.release == *release) {
                service.now.is_confirmed = true;
            }
        }
    }

    /// A service is back where it was; what it left must never be gone "back" to. `is_undone` says that the deploy failed,
    /// and that what was there to return to before it is so again.
    pub fn returned(&mut self, service: &str, returned: Returned) {
        let Some(ServiceState { previous, older, working, .. }) = self.services.remove(service) else {
            return;
        };
        let Some(now) = previous.filter(|deployed| !deployed.is_of_others()) else { return };
        let previous = match returned {
            Returned::Undone => older,
            Returned::RolledBack => None,
        };
        self.services.insert(service.to_owned(), ServiceState { now, previous, older: None, working });
    }
}

/// Why a service is back where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// The deploy failed.
    Undone,
    /// It succeeded and was taken back later.
    RolledBack,
}

impl ServiceState {
    /// The slot of a container with this label.
    #[must_use]
    pub fn slot(&self, key: Option<&str>) -> Slot {
        if self.now.key.as_deref() == key {
            Slot::Preview
        } else if self.previous.as_ref().is_some_and(|previous| previous.key.as_deref() == key) {
            Slot::Active
        } else {
            Slot::Retired
        }
    }

    /// Whether the way back is to the same containers, so that there is nothing to go through.
    #[must_use]
    pub fn is_same_before(&self) -> bool {
        self.previous.as_ref().is_some_and(|previous| previous.key == self.now.key)
    }

    /// What a later rollback goes back to: only what was seen to succeed.
    #[must_use]
    pub fn way_back(&self) -> Option<Previous> {
        let good = self.previous.as_ref().filter(|previous| previous.is_confirmed)?;
        Some(Previous { stamp: good.stamp.clone(), image: good.image.clone() })
    }
}

impl Deployed {
    /// What was not started by shipkit: it serves, so it is good.
    #[must_use]
    pub fn by_others(running: u64) -> Self {
        Self {
            key: None,
            image: None,
            compose: None,
            environment: BTreeMap::new(),
            revision: String::new(),
            replicas: running,
            update: Update::default(),
            stop_grace: Duration::from_secs(10),
            container_name: None,
            stamp: None,
            is_confirmed: true,
            model: Value::Null,
        }
    }

    /// Whether others started it and nobody has adopted it.
    #[must_use]
    pub fn is_of_others(&self) -> bool {
        self.key.is_none() && self.stamp.is_none()
    }

    /// Whether both are from the same deploy.
    #[must_use]
    pub fn is_of_the_deploy_of(&self, other: &Self) -> bool {
        (&self.key, &self.stamp) == (&other.key, &other.stamp)
    }

    /// Its settings, as far as a plan compares them.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            replicas: Some(self.replicas),
            environment: self.environment.clone(),
            update: self.update,
            compose: self.compose.clone(),
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployed(release: &str) -> Deployed {
        let stamp = Stamp {
            release: Digest::of(release.as_bytes()),
            version: release.to_owned(),
            commit: "c".to_owned(),
            environment: "staging".to_owned(),
            run: None,
            time: Timestamp::UNIX_EPOCH,
        };
        Deployed {
            key: Some(release.to_owned()),
            stamp: Some(stamp),
            is_confirmed: false,
            ..Deployed::by_others(1)
        }
    }

    /// `deploy 1 ok`, `deploy 2`, `undo`, `back`: what each leaves, as `now previous older`, `-` for none and `others` for
    /// what shipkit did not start.
    #[track_caller]
    fn check(found: Option<&Deployed>, script: &[(&str, &str)]) {
        let mut state = State::default();
        for (step, expected) in script {
            let words: Vec<&str> = step.split_whitespace().collect();
            match words[..] {
                ["deploy", release] => state.begin("api", deployed(release), found.cloned()),
                ["ok", release] => state.confirm(&Digest::of(release.as_bytes())),
                ["undo"] => state.returned("api", Returned::Undone),
                ["back"] => state.returned("api", Returned::RolledBack),
                _ => panic!("{step}"),
            }
            let name = |one: Option<&Deployed>| {
                one.map_or("-".to_owned(), |one| one.key.clone().unwrap_or_else(|| "others".to_owned()))
            };
            let api = state.services.get("api");
            let seen = [
                name(api.map(|api| &api.now)),
                name(api.and_then(|api| api.previous.as_ref())),
                name(api.and_then(|api| api.older.as_ref())),
            ];
            assert_eq!(seen.join(" "), *expected, "after {step}");
            assert_eq!(State::parse(serde_json::to_string(&state).unwrap().as_bytes()).unwrap(), state);
        }
    }

    #[test]
    fn what_was_seen_to_succeed_is_what_comes_back() {
        check(
            None,
            &[
                ("deploy 1", "1 - -"),
                ("ok 1", "1 - -"),
                ("deploy 2", "2 1 -"),
                ("ok 2", "2 1 -"),
                ("deploy 3", "3 2 1"),
                ("back", "2 - -"),
            ],
        );
    }

    #[test]
    fn a_deploy_that_fails_leaves_the_way_back_that_was_there() {
        check(
            None,
            &[
                ("deploy 1", "1 - -"),
                ("ok 1", "1 - -"),
                ("deploy 2", "2 1 -"),
                ("ok 2", "2 1 -"),
                ("deploy 3", "3 2 1"),
                ("deploy 4", "4 2 1"),
                ("deploy 3", "3 2 1"),
                ("undo", "2 1 -"),
                ("back", "1 - -"),
            ],
        );
    }

    #[test]
    fn the_first_release_leaves_nothing_and_is_not_gone_back_to_by_itself() {
        check(None, &[("deploy 1", "1 - -"), ("deploy 1", "1 - -"), ("undo", "- - -"), ("undo", "- - -")]);
    }

    #[test]
    fn where_nothing_ever_succeeded_what_was_there_is_better_than_nothing() {
        check(
            None,
            &[("deploy 1", "1 - -"), ("deploy 2", "2 1 -"), ("deploy 3", "3 1 -"), ("undo", "1 - -")],
        );
        let mut state = State::default();
        state.begin("api", deployed("1"), None);
        state.begin("api", deployed("2"), None);
        assert_eq!(state.services["api"].way_back(), None);
    }

    #[test]
    fn what_others_started_comes_back_and_is_theirs_again() {
        check(
            Some(&Deployed::by_others(2)),
            &[("deploy 1", "1 others -"), ("deploy 2", "2 others -"), ("undo", "- - -")],
        );
        let mut state = State::default();
        state.begin("api", deployed("1"), Some(Deployed::by_others(2)));
        let service = &state.services["api"];
        assert_eq!((service.slot(None), service.slot(Some("1"))), (Slot::Active, Slot::Preview));
        assert_eq!(service.way_back(), Some(Previous { stamp: None, image: None }));
    }

    #[test]
    fn a_container_is_of_the_release_that_its_label_names() {
        let mut state = State::default();
        for release in ["1", "2", "3"] {
            state.begin("api", deployed(release), None);
            state.confirm(&Digest::of(release.as_bytes()));
        }
        let service = &state.services["api"];
        let slots = ["3", "2", "1"].map(|key| service.slot(Some(key)));
        assert_eq!(slots, [Slot::Preview, Slot::Active, Slot::Retired]);
        assert_eq!(service.slot(None), Slot::Retired);
        assert!(!service.is_same_before());
    }

    #[test]
    fn a_new_release_of_the_same_containers_has_them_before_and_after() {
        let mut state = State::default();
        state.begin("api", deployed("1"), None);
        state.confirm(&Digest::of(b"1"));
        state.begin("api", Deployed { replicas: 3, ..deployed("1") }, None);
        assert!(state.services["api"].is_same_before());
        assert_eq!(state.services["api"].slot(Some("1")), Slot::Preview);
    }

    #[test]
    fn a_file_that_is_damaged_or_of_another_version_is_no_state() {
        for text in
            ["", "{}", r#"{"version": 2, "services": {}}"#, r#"{"version": 1, "services": {}, "x": 1}"#]
        {
            let error = State::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Unknown, "{text}");
        }
    }
}
