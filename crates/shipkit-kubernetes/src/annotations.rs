//! The annotations on deployments: what was deployed, whether it was seen to succeed, and what to go back to.
//!
//! They are annotations of the deployment and not of its pods, so writing them restarts nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shipkit_core::Digest;
use shipkit_core::target::Stamp;

const RELEASE: &str = "shipkit.dev/release";
const VERSION: &str = "shipkit.dev/version";
const COMMIT: &str = "shipkit.dev/commit";
const REVISION: &str = "shipkit.dev/revision";
const ENVIRONMENT: &str = "shipkit.dev/environment";
const RUN: &str = "shipkit.dev/run";
const DEPLOYED: &str = "shipkit.dev/deployed";
const PLATFORMS: &str = "shipkit.dev/platforms";
const PREVIOUS: &str = "shipkit.dev/previous";
/// The digest of the manifests that an object is a part of.
pub(crate) const SET: &str = "shipkit.dev/manifests";
/// Where these are recorded.
pub(crate) const RECORD: &str = "shipkit.dev/record";
/// Which container runs which service.
pub(crate) const CONTAINERS: &str = "shipkit.dev/containers";
/// Names the deploy that it confirms by its time, so that a later one is not confirmed by what was left of it.
const CONFIRMED: &str = "shipkit.dev/confirmed";

/// Annotations by name.
pub(crate) type Annotations = BTreeMap<String, String>;

/// Which deploy put something there: release and time. `None` if it was not shipkit.
pub(crate) type Mark = Option<(String, String)>;

/// All that shipkit decides about one deployment: what it writes, remembers and puts back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ours {
    /// Our annotations.
    pub(crate) annotations: Annotations,
    /// The image of each container that is ours.
    pub(crate) images: BTreeMap<String, String>,
}

/// What a deploy writes about one service.
pub(crate) struct Deployed<'a> {
    pub(crate) stamp: &'a Stamp,
    pub(crate) revision: &'a str,
    pub(crate) platforms: String,
    pub(crate) images: BTreeMap<String, String>,
}

fn get<'a>(all: &'a Annotations, name: &str) -> Option<&'a str> {
    all.get(name).map(String::as_str)
}

/// Which deploy put this there.
pub(crate) fn mark(all: &Annotations) -> Mark {
    Some((get(all, RELEASE)?.to_owned(), get(all, DEPLOYED)?.to_owned()))
}

/// What was deployed; `None` if it was not shipkit or the annotations were damaged.
pub(crate) fn stamp(all: &Annotations) -> Option<Stamp> {
    Some(Stamp {
        release: get(all, RELEASE)?.parse().ok()?,
        version: get(all, VERSION)?.to_owned(),
        commit: get(all, COMMIT)?.to_owned(),
        environment: get(all, ENVIRONMENT)?.to_owned(),
        run: get(all, RUN).map(str::to_owned),
        time: get(all, DEPLOYED)?.parse().ok()?,
    })
}

/// The commit that the image was built from.
pub(crate) fn revision(all: &Annotations) -> Option<String> {
    get(all, REVISION).map(str::to_owned)
}

/// The digests of the image's manifests: a node may name what it runs by one of them.
pub(crate) fn platforms(all: &Annotations) -> Vec<Digest> {
    get(all, PLATFORMS).unwrap_or_default().split(' ').filter_map(|digest| digest.parse().ok()).collect()
}

/// The digest of the manifests that an object is a part of.
pub(crate) fn set(all: &Annotations) -> Option<Digest> {
    get(all, SET)?.parse().ok()
}

/// The service of each container, by the container's name.
pub(crate) fn containers(all: &Annotations) -> BTreeMap<String, String> {
    get(all, CONTAINERS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Whether the deploy was seen to succeed. What shipkit did not deploy is what serves: nobody else will confirm it.
pub(crate) fn is_confirmed(all: &Annotations) -> bool {
    mark(all).is_none() || (all.contains_key(CONFIRMED) && get(all, CONFIRMED) == get(all, DEPLOYED))
}

impl Ours {
    /// What of a deployment is ours: of all its annotations, and of these images.
    pub(crate) fn of(all: &Annotations, images: BTreeMap<String, String>) -> Self {
        let is_ours = |name: &str| name.starts_with("shipkit.dev/") && name != PREVIOUS;
        let annotations = all.iter().filter(|(name, _)| is_ours(name));
        Self { annotations: annotations.map(|(name, text)| (name.clone(), text.clone())).collect(), images }
    }

    /// The last good state that these annotations remember.
    pub(crate) fn previous(all: &Annotations) -> Option<Self> {
        serde_json::from_str(get(all, PREVIOUS)?).ok()
    }

    /// What to go back to if what replaces this state fails: the state itself if it is good, otherwise the good one
    /// that it remembers.
    pub(crate) fn last_good(all: &Annotations, images: BTreeMap<String, String>) -> Option<Self> {
        if is_confirmed(all) { Some(Self::of(all, images)) } else { Self::previous(all) }
    }

    /// What a deploy writes over a state that has a good one to go back to, or none.
    pub(crate) fn deploy(new: Deployed<'_>, last_good: Option<&Self>) -> Self {
        let stamp = new.stamp;
        let mut annotations = Annotations::new();
        let mut put = |name: &str, text: String| drop(annotations.insert(name.to_owned(), text));
        put(RELEASE, stamp.release.to_string());
        put(VERSION, stamp.version.clone());
        put(COMMIT, stamp.commit.clone());
        put(REVISION, new.revision.to_owned());
        put(ENVIRONMENT, stamp.environment.clone());
        put(DEPLOYED, stamp.time.to_string());
        if !new.platforms.is_empty() {
            put(PLATFORMS, new.platforms);
        }
        if let Some(run) = &stamp.run {
            put(RUN, run.clone());
        }
        if let Some(good) = last_good.and_then(|good| serde_json::to_string(good).ok()) {
            put(PREVIOUS, good);
        }
        Self { annotations, images: new.images }
    }

    /// Its annotations as they are once the deploy is confirmed, without the memory of what was before.
    pub(crate) fn confirmed(&self) -> Annotations {
        let mut all = self.annotations.clone();
        all.remove(PREVIOUS);
        all.extend(Self::confirmation(&self.annotations).into_iter().flatten());
        all
    }

    /// The deploy that these annotations name, as confirmation.
    pub(crate) fn confirmation(all: &Annotations) -> Option<Annotations> {
        Some(Annotations::from([(CONFIRMED.to_owned(), get(all, DEPLOYED)?.to_owned())]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp_of(release: &str) -> Stamp {
        let time = format!("2026-01-02T03:04:0{}Z", release.len());
        Stamp {
            release: Digest::of(release.as_bytes()),
            version: release.to_owned(),
            commit: "c".to_owned(),
            environment: "staging".to_owned(),
            run: None,
            time: time.parse().unwrap(),
        }
    }

    fn images(text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("api".to_owned(), text.to_owned())])
    }

    fn deployed(before: Option<&Ours>, release: &str) -> Ours {
        let good = before.and_then(|before| Ours::last_good(&before.annotations, before.images.clone()));
        let platforms = Digest::of(b"amd64").to_string();
        let new = Deployed { stamp: &stamp_of(release), revision: "r", platforms, images: images(release) };
        Ours::deploy(new, good.as_ref())
    }

    fn confirmed(mut state: Ours) -> Ours {
        state.annotations.extend(Ours::confirmation(&state.annotations).unwrap());
        state
    }

    #[test]
    fn a_stamp_comes_back_as_it_was_written() {
        let one = deployed(None, "1").annotations;
        assert_eq!(stamp(&one), Some(stamp_of("1")));
        assert_eq!(revision(&one).as_deref(), Some("r"));
        assert_eq!(platforms(&one), [Digest::of(b"amd64")]);
        assert_eq!(stamp(&Annotations::from([(RELEASE.to_owned(), "x".to_owned())])), None);
    }

    #[test]
    fn the_good_state_is_remembered_without_its_own_memory() {
        let one = confirmed(deployed(None, "1"));
        let two = confirmed(deployed(Some(&one), "22"));
        let three = deployed(Some(&two), "333");
        let good = Ours::previous(&three.annotations).unwrap();
        assert_eq!((good.images, Ours::previous(&good.annotations)), (images("22"), None));
        assert!(is_confirmed(&good.annotations));
    }

    #[test]
    fn what_was_never_confirmed_is_not_remembered() {
        let one = confirmed(deployed(None, "1"));
        let two = deployed(Some(&one), "22");
        let three = deployed(Some(&two), "333");
        assert_eq!(Ours::previous(&three.annotations).unwrap().images, images("1"));
        assert_eq!(Ours::previous(&deployed(Some(&deployed(None, "1")), "22").annotations), None);
    }

    #[test]
    fn the_confirmation_of_an_earlier_deploy_confirms_no_later_one() {
        let one = confirmed(deployed(None, "1"));
        let mut two = deployed(Some(&one), "22");
        two.annotations.insert(CONFIRMED.to_owned(), one.annotations.get(CONFIRMED).unwrap().clone());
        assert!(is_confirmed(&one.annotations) && !is_confirmed(&two.annotations));
        assert!(is_confirmed(&confirmed(two).annotations));
    }

    #[test]
    fn what_ran_before_shipkit_counts_as_good_and_only_what_is_ours_is_remembered() {
        let foreign = Annotations::from([("team".to_owned(), "a".to_owned())]);
        assert!(is_confirmed(&foreign));
        let good = Ours::last_good(&foreign, images("api:1")).unwrap();
        assert_eq!(good, Ours { annotations: Annotations::new(), images: images("api:1") });
    }

    #[test]
    fn a_damaged_memory_is_no_memory() {
        for text in ["{", "7", "{\"images\":3}"] {
            let all = Annotations::from([(PREVIOUS.to_owned(), text.to_owned())]);
            assert_eq!(Ours::previous(&all), None, "{text}");
        }
    }
}
