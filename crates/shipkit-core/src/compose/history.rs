//! What is remembered of a project, in the words of its history: what is kept of a deploy, and how a service comes back to it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::state::{Deployed, ServiceState, State};
use crate::digest::Digest;
use crate::history::{Entry, Kept, Means};
use crate::journal::Migration;
use crate::rollout::Purpose;
use crate::target::Part;

impl State {
    /// What is kept of a deploy of this release, as far as it was confirmed; `None` if nothing of it was.
    #[must_use]
    pub fn entry(
        &self,
        (release, parts): (&Digest, &[Part<'_>]),
        migration: Migration,
        confirmed: Timestamp,
    ) -> Option<Entry> {
        let mut stamps = Vec::new();
        let mut services = BTreeMap::new();
        for part in parts {
            let Some(ServiceState { now, .. }) = self.services.get(part.name) else { continue };
            let stamp = now.stamp.as_ref().filter(|stamp| now.is_confirmed && stamp.release == *release);
            let means = match stamp {
                _ if part.is_stateful => Means::HoldsData,
                None => continue,
                Some(_) if now.image.is_none() => Means::NotKnown,
                Some(_) => Means::Specification(json!(now)),
            };
            stamps.extend(stamp);
            services.insert(part.name.to_owned(), Kept { image: now.image.clone(), means });
        }
        let stamp = stamps.into_iter().max_by_key(|stamp| stamp.time)?.clone();
        Some(Entry::new(stamp, confirmed, migration, services))
    }

    /// A service goes to what was deployed once; when it is there, nothing leads to what it left. `found` are containers
    /// that others started, which count where nothing was deployed before. Says which way it goes: to what it has now, or
    /// back.
    pub fn come_back(&mut self, service: &str, to: Deployed, found: Option<Deployed>) -> Purpose {
        let Some(there) = self.services.get_mut(service) else {
            self.begin(service, to, found);
            return Purpose::Deploy;
        };
        there.older = None;
        if there.now.key == to.key {
            // The same containers, perhaps another number of them.
            (there.now, there.previous) = (to, None);
            return Purpose::Deploy;
        }
        there.previous = Some(to);
        Purpose::Restore
    }

    /// A service that stays forgets what was before it.
    pub fn forget(&mut self, service: &str) {
        if let Some(there) = self.services.get_mut(service) {
            (there.previous, there.older) = (None, None);
        }
    }

    /// What others started is what serves from now on.
    pub fn adopt(&mut self, service: &str, adopted: Deployed) {
        let there = ServiceState { now: adopted, previous: None, older: None, working: None };
        self.services.insert(service.to_owned(), there);
    }
}

impl Deployed {
    /// What an entry keeps of a service; `None` if that brings nothing back.
    #[must_use]
    pub fn kept(entry: &Entry, service: &str) -> Option<Self> {
        match &entry.services.get(service)?.means {
            Means::Specification(kept) => serde_json::from_value(kept.clone()).ok(),
            Means::HoldsData | Means::TooLarge | Means::NotKnown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::Returned;
    use crate::reference::{ImageRef, Repository};
    use crate::target::Stamp;

    fn image(content: &str) -> ImageRef {
        "ghcr.io/a/app".parse::<Repository>().unwrap().at(&Digest::of(content.as_bytes()))
    }

    fn deployed(release: &str, key: &str) -> Deployed {
        let stamp = Stamp {
            release: Digest::of(release.as_bytes()),
            version: release.to_owned(),
            commit: "c".repeat(40),
            environment: "staging".to_owned(),
            run: None,
            time: Timestamp::UNIX_EPOCH,
        };
        Deployed {
            key: Some(key.to_owned()),
            image: Some(image(key)),
            stamp: Some(stamp),
            is_confirmed: true,
            ..Deployed::by_others(1)
        }
    }

    fn adopted() -> Deployed {
        let stamp = deployed("x", "x").stamp.map(|stamp| Stamp { commit: String::new(), ..stamp });
        Deployed { image: Some(image("x")), stamp, ..Deployed::by_others(2) }
    }

    /// After releases 1, 2 and 3 of `api`, each of containers of its own.
    fn third() -> State {
        let mut state = State::default();
        for release in ["1", "2", "3"] {
            state.begin("api", deployed(release, release), None);
        }
        state
    }

    fn part(name: &str) -> Part<'_> {
        Part { name, is_stateful: name == "db" }
    }

    /// `now previous older` of `api`, by their keys.
    fn keys(state: &State) -> [Option<&str>; 3] {
        let api = &state.services["api"];
        [Some(&api.now), api.previous.as_ref(), api.older.as_ref()].map(|one| one?.key.as_deref())
    }

    #[test]
    fn what_was_confirmed_of_a_release_is_kept_whole_and_comes_back_as_it_was() {
        let mut state = third();
        state.begin("db", deployed("1", "data"), None);
        state.begin("other", deployed("2", "other"), None);
        state.begin("web", Deployed { is_confirmed: false, ..deployed("3", "web") }, None);
        let release = Digest::of(b"3");
        let parts = ["api", "db", "gone", "other", "web"].map(part);
        let entry = state.entry((&release, &parts), Migration::Breaking, Timestamp::MAX).unwrap();
        let names: Vec<&str> = entry.services.keys().map(String::as_str).collect();
        assert_eq!((names, entry.stamp.version.as_str()), (vec!["api", "db"], "3"));
        assert_eq!((entry.migration, entry.confirmed), (Migration::Breaking, Timestamp::MAX));
        assert_eq!(entry.services["db"].means, Means::HoldsData);
        assert_eq!(entry.services["api"].image, Some(image("3")));
        assert_eq!(Deployed::kept(&entry, "api"), Some(deployed("3", "3")));
        assert_eq!((Deployed::kept(&entry, "db"), Deployed::kept(&entry, "web")), (None, None));
        let nothing = state.entry((&Digest::of(b"4"), &parts), Migration::Compatible, Timestamp::MAX);
        assert_eq!(nothing, None, "what holds data makes no release");
    }

    #[test]
    fn a_service_comes_back_to_any_release_and_nothing_leads_to_what_it_left() {
        for (to, expected) in [("1", Purpose::Restore), ("2", Purpose::Restore), ("3", Purpose::Deploy)] {
            let mut state = third();
            let purpose = state.come_back("api", deployed("0", to), None);
            assert_eq!(purpose, expected, "{to}");
            if purpose == Purpose::Restore {
                assert_eq!(keys(&state), [Some("3"), Some(to), None]);
                // Killed, and again.
                assert_eq!(state.come_back("api", deployed("0", to), None), Purpose::Restore);
                state.returned("api", Returned::RolledBack);
            }
            assert_eq!(keys(&state), [Some(to), None, None]);
            assert_eq!(state.services["api"].now.stamp, deployed("0", to).stamp);
        }
        let mut state = State::default();
        assert_eq!(state.come_back("api", deployed("1", "1"), None), Purpose::Deploy);
        assert_eq!(keys(&state), [Some("1"), None, None]);
        let mut state = third();
        state.forget("api");
        state.forget("gone");
        assert_eq!(keys(&state), [Some("3"), None, None]);
    }

    #[test]
    fn what_was_adopted_is_what_a_deploy_replaces_and_a_rollback_brings_back() {
        let mut state = State::default();
        state.adopt("api", adopted());
        let release = Digest::of(b"x");
        let entry = |state: &State| {
            state.entry((&release, &[part("api")]), Migration::Compatible, Timestamp::MAX).unwrap()
        };
        assert_eq!(Deployed::kept(&entry(&state), "api"), Some(adopted()));
        state.begin("api", deployed("1", "1"), Some(Deployed::by_others(2)));
        assert_eq!(state.services["api"].previous, Some(adopted()));
        state.returned("api", Returned::RolledBack);
        assert_eq!(state.services["api"].now, adopted());
        state.adopt("api", Deployed { image: None, ..adopted() });
        let unknown = entry(&state);
        assert_eq!((unknown.is_reachable(), Deployed::kept(&unknown, "api")), (false, None));
    }
}
