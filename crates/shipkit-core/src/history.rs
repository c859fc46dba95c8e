//! `Entry`: a release that was confirmed on a target, with what it takes to come back to it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::journal::Migration;
use crate::reference::ImageRef;
use crate::rollout::Status;
use crate::target::{Observed, Previous, Return, Stamp, WayBack};

/// How many releases a target keeps.
pub const KEPT: usize = 10;
/// The one version of an entry that this program writes and reads.
const VERSION: u64 = 1;
/// How many digits name a digest or a commit at least.
const DIGITS: usize = 4;

/// A release that was confirmed on a target. It lies there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    version: u64,
    /// The deploy that was confirmed.
    pub stamp: Stamp,
    /// When it was.
    pub confirmed: Timestamp,
    /// Whether what was there before still worked afterwards.
    pub migration: Migration,
    /// The services of the release by their names within the stack.
    pub services: BTreeMap<String, Kept>,
}

/// One service of a confirmed release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kept {
    /// What it ran; `None` if that was not named by digest.
    pub image: Option<ImageRef>,
    /// What brings it back.
    pub means: Means,
}

/// What brings a service back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Means {
    /// Its whole specification, in the target's own words.
    Specification(Value),
    /// Nothing: it holds data and is never touched.
    HoldsData,
    /// Nothing: the specifications of the release were too large to be kept.
    TooLarge,
    /// Nothing: others started it from an image that no digest names.
    NotKnown,
}

/// What is written when a release is confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The number under which the release is written; `None` if it is there already.
    pub number: Option<u64>,
    /// The numbers that are removed.
    pub surplus: Vec<u64>,
}

/// Why no release is meant by a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// Nothing was confirmed there.
    #[error("`{0}` names no release, because none was confirmed here since releases are kept")]
    Empty(String),
    /// No release has that name.
    #[error("`{name}` names no release that was confirmed here")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is, the newest first.
        there: Vec<String>,
    },
    /// Several releases have it.
    #[error("`{name}` names several releases: {}", fits.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Those that it names, the newest first.
        fits: Vec<String>,
    },
}

/// What lies there is not an entry.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// Not JSON, or not the shape of an entry.
    #[error("it cannot be read")]
    Shape(#[source] serde_json::Error),
    /// Another version.
    #[error("it has the version {0}, and this program reads {VERSION}")]
    Version(u64),
}

impl Entry {
    /// The entry of a deploy that was confirmed at this time.
    #[must_use]
    pub fn new(
        stamp: Stamp,
        confirmed: Timestamp,
        migration: Migration,
        services: BTreeMap<String, Kept>,
    ) -> Self {
        Self { version: VERSION, stamp, confirmed, migration, services }
    }

    /// Reads what lies on the target.
    ///
    /// # Errors
    /// When it is not an entry, or one of a version that is not known.
    pub fn parse(text: &[u8]) -> Result<Self, BadEntry> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version } = serde_json::from_slice(text).map_err(BadEntry::Shape)?;
        if version != VERSION {
            return Err(BadEntry::Version(version));
        }
        serde_json::from_slice(text).map_err(BadEntry::Shape)
    }

    /// The same without what is too large: then it is only a line of the list.
    #[must_use]
    pub fn only_listed(mut self) -> Self {
        for kept in self.services.values_mut() {
            if matches!(kept.means, Means::Specification(_)) {
                kept.means = Means::TooLarge;
            }
        }
        self
    }

    /// Whether a rollback can come back to it.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.why_not_reachable().is_none()
    }

    /// Why no rollback can come back to it, if that is so, as it stands after "because".
    #[must_use]
    pub fn why_not_reachable(&self) -> Option<&'static str> {
        let has = |wanted: fn(&Means) -> bool| self.services.values().any(|kept| wanted(&kept.means));
        if has(|means| *means == Means::TooLarge) {
            Some("its specifications were too large to be kept")
        } else if has(|means| *means == Means::NotKnown) {
            Some("no digest names an image of it")
        } else if has(|means| matches!(means, Means::Specification(_))) {
            None
        } else {
            Some("it holds nothing that is ever replaced")
        }
    }

    /// Whether every service of it runs as this deploy left it, apart from what holds data.
    #[must_use]
    pub fn runs(&self, observed: &Observed) -> bool {
        let there = |name: &String| observed.services.iter().find(|service| service.name == *name);
        let mut replaced = self.services.iter().filter(|(_, kept)| kept.means != Means::HoldsData).peekable();
        replaced.peek().is_some()
            && replaced.all(|(name, _)| {
                there(name).and_then(|there| there.stamp.as_ref()).is_some_and(|stamp| self.is_of(stamp))
            })
    }

    /// The way from what is there to this release. Services that it did not have stay; what it had and is there no more
    /// is created again.
    #[must_use]
    pub fn way_to(&self, observed: &Observed) -> WayBack {
        let mut way = WayBack { returns: Vec::new(), stay: Vec::new(), data: Vec::new() };
        for (name, kept) in &self.services {
            if !matches!(kept.means, Means::Specification(_)) {
                way.data.push(name.clone());
                continue;
            }
            let there = observed.services.iter().find(|service| service.name == *name);
            way.returns.push(Return {
                service: name.clone(),
                is_there: there.is_some(),
                from: there.and_then(|there| there.stamp.clone()),
                from_image: there.and_then(|there| there.image.clone()),
                to: Previous { stamp: Some(self.stamp.clone()), image: kept.image.clone() },
            });
        }
        let is_new = |name: &&String| !self.services.contains_key(*name);
        way.stay = observed.services.iter().map(|service| &service.name).filter(is_new).cloned().collect();
        way
    }

    /// Whether it is of the deploy that this stamp is of.
    #[must_use]
    pub fn is_of(&self, stamp: &Stamp) -> bool {
        (&self.stamp.release, self.stamp.time) == (&stamp.release, stamp.time)
    }

    fn shares_a_service(&self, other: &Self) -> bool {
        self.services.keys().any(|name| other.services.contains_key(name))
    }

    fn has_name(&self, name: &str) -> bool {
        let stamp = &self.stamp;
        let is_hex = |text: &str| DIGITS <= text.len() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_digest = |text: &str| is_hex(text) && stamp.release.hex().starts_with(text);
        stamp.version == name
            || name.strip_prefix("sha256:").map_or_else(|| is_digest(name), is_digest)
            || (is_hex(name) && stamp.commit.starts_with(name))
    }

    /// The release in a few words, by all the names that it has.
    fn named(&self) -> String {
        let Stamp { release, version, commit, .. } = &self.stamp;
        let commit = if self.stamp.is_adopted() { "none known" } else { commit.get(..7).unwrap_or(commit) };
        format!("{version} (sha256:{}, commit {commit})", release.short())
    }
}

/// What is written when `entry` is confirmed on a target that holds this history by number; `None` is what cannot be
/// read, and stays. Releases that share no service with it (of another group of the stack) are counted for themselves.
#[must_use]
pub fn growth(history: &BTreeMap<u64, Option<Entry>>, entry: &Entry) -> Growth {
    let mut of_group: Vec<u64> = history
        .iter()
        .filter(|(_, there)| there.as_ref().is_some_and(|there| there.shares_a_service(entry)))
        .map(|(number, _)| *number)
        .collect();
    let is_there = history.values().flatten().any(|there| there.is_of(&entry.stamp));
    let next = history.keys().next_back().map_or(1, |last| last.saturating_add(1));
    let number = (!is_there).then_some(next);
    of_group.extend(number);
    of_group.truncate(of_group.len().saturating_sub(KEPT));
    Growth { number, surplus: of_group }
}

/// What is not as the deploys left it that were confirmed last, a sentence each: another image, tasks of another one, a service
/// that is gone or was put there by others. What is just being replaced is passed over.
#[must_use]
pub fn drift(newest_first: &[Entry], observed: &Observed) -> Vec<String> {
    let mut found = Vec::new();
    let mut of = BTreeSet::new();
    for service in observed.services.iter().filter(|service| service.is_confirmed) {
        let Some(stamp) = &service.stamp else {
            found.extend(put_by_others(newest_first, &service.name));
            continue;
        };
        let Some(at) = newest_first.iter().position(|entry| entry.is_of(stamp)) else { continue };
        let Some(kept) = newest_first.get(at).and_then(|entry| entry.services.get(&service.name)) else {
            continue;
        };
        // What holds data is of the release that created it, whatever came since.
        if kept.means != Means::HoldsData {
            of.insert(at);
        }
        let Some(kept) = &kept.image else { continue };
        let (name, version, left) = (&service.name, stamp.called(), kept.digest.short());
        let there = service.image.as_ref();
        if there.is_none_or(|image| image.digest != kept.digest) {
            let there = there.map_or("an image that no digest names", |image| image.digest.short());
            found.push(format!("`{name}` has {there}, and {version} left it at {left}"));
            continue;
        }
        if matches!(service.update, Status::Updating | Status::RollingBack) {
            continue;
        }
        for (image, count) in service.running.iter().filter(|(image, _)| **image != kept.digest.to_string()) {
            found.push(format!("{count} running of `{name}` have {image}, and {version} left {left}"));
        }
    }
    let is_there = |name: &&String| observed.services.iter().any(|service| service.name == **name);
    // Where nothing is left that could say which release serves, it was the newest.
    let of = of.into_iter().chain([0]).filter_map(|at| newest_first.get(at));
    let gone: BTreeSet<&String> =
        of.flat_map(|entry| entry.services.keys()).filter(|name| !is_there(name)).collect();
    found.extend(gone.into_iter().map(|name| format!("`{name}` is gone")));
    found
}

/// What is said of a service that no deploy of shipkit has put there, if one had before. What holds data is never put there again.
fn put_by_others(newest_first: &[Entry], name: &str) -> Option<String> {
    let is_of = |entry: &&Entry| {
        entry.services.get(name).is_some_and(|kept| matches!(kept.means, Means::Specification(_)))
    };
    let entry = newest_first.iter().find(is_of)?;
    Some(format!("`{name}` was put there by another tool since {}", entry.stamp.called()))
}

/// The release that is meant by a version, by a digest or by the first digits of a digest or commit. Of one that was
/// deployed several times, the last deploy that can be reached.
///
/// # Errors
/// When no release has that name, or several have it.
pub fn find<'a>(newest_first: &'a [Entry], name: &str) -> Result<&'a Entry, NotFound> {
    let named = |entries: &[&Entry]| {
        let mut seen = BTreeSet::new();
        entries.iter().filter(|entry| seen.insert(&entry.stamp.release)).map(|entry| entry.named()).collect()
    };
    let fits: Vec<&Entry> = newest_first.iter().filter(|entry| entry.has_name(name)).collect();
    let releases: BTreeSet<_> = fits.iter().map(|entry| &entry.stamp.release).collect();
    if 1 < releases.len() {
        return Err(NotFound::Ambiguous { name: name.to_owned(), fits: named(&fits) });
    }
    match fits.iter().find(|entry| entry.is_reachable()).or(fits.first()) {
        Some(entry) => Ok(entry),
        None if newest_first.is_empty() => Err(NotFound::Empty(name.to_owned())),
        None => {
            let all: Vec<&Entry> = newest_first.iter().collect();
            Err(NotFound::Unknown { name: name.to_owned(), there: named(&all) })
        }
    }
}

/// Why nobody must go back from the newest of these releases to `entry` without saying so, if that is so: a release after
/// it has migrated the data.
#[must_use]
pub fn why_not_to(newest_first: &[Entry], entry: &Entry) -> Option<String> {
    let later = newest_first.iter().take_while(|later| *later != entry);
    let breaking = later.filter(|later| later.migration == Migration::Breaking).last()?;
    Some(format!(
        "release {} has migrated the data, and its migration is not marked `compatible`: release {} may not work any more",
        breaking.stamp.version, entry.stamp.version
    ))
}

/// The same for the release before, where these are the releases that are left.
#[must_use]
pub fn why_not_back(newest_first: &[Entry], left: &[&Stamp]) -> Option<String> {
    let is_left = |entry: &&Entry| left.iter().any(|stamp| entry.stamp.release == stamp.release);
    let breaking = newest_first.iter().filter(is_left).find(|left| left.migration == Migration::Breaking)?;
    Some(format!(
        "release {} has migrated the data, and its migration is not marked `compatible`: \
         the release before it may not work any more",
        breaking.stamp.version
    ))
}

impl Hint for NotFound {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Empty(_) => Some("`deploy` takes any release of the registry".to_owned()),
            Self::Unknown { there, .. } => Some(format!("there is {}", there.join(", "))),
            Self::Ambiguous { .. } => Some("name the digest".to_owned()),
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::reference::Repository;
    use crate::target::{ObservedService, Settings};
    use serde_json::json;

    fn stamp(version: &str, commit: &str, minute: u8) -> Stamp {
        Stamp {
            release: Digest::of(version.as_bytes()),
            version: version.to_owned(),
            commit: commit.repeat(10),
            environment: "staging".to_owned(),
            run: None,
            time: format!("2026-01-02T03:{minute:02}:00Z").parse().unwrap(),
        }
    }

    fn image(content: &str) -> ImageRef {
        "ghcr.io/a/app".parse::<Repository>().unwrap().at(&Digest::of(content.as_bytes()))
    }

    fn entry(version: &str, minute: u8, services: &[(&str, Means)]) -> Entry {
        let services = services.iter().map(|(name, means)| {
            ((*name).to_owned(), Kept { image: Some(image(version)), means: means.clone() })
        });
        let confirmed = Timestamp::UNIX_EPOCH;
        Entry::new(stamp(version, "abcd", minute), confirmed, Migration::Compatible, services.collect())
    }

    fn specified() -> Means {
        Means::Specification(json!({"Name": "x"}))
    }

    fn plain(version: &str, minute: u8) -> Entry {
        entry(version, minute, &[("api", specified())])
    }

    fn there(name: &str, stamp: Option<Stamp>) -> ObservedService {
        ObservedService {
            name: name.to_owned(),
            image: Some(image("now")),
            settings: Settings::default(),
            running: BTreeMap::new(),
            stamp,
            revision: None,
            is_confirmed: true,
            previous: None,
            update: Status::None,
            version: 1,
            problems: Vec::new(),
        }
    }

    fn history(entries: impl IntoIterator<Item = (u64, Entry)>) -> BTreeMap<u64, Option<Entry>> {
        entries.into_iter().map(|(number, entry)| (number, Some(entry))).collect()
    }

    #[test]
    fn what_is_not_as_it_was_left_is_told_and_nothing_else() {
        let old = entry("1", 1, &[("gone", specified()), ("data", Means::HoldsData)]);
        let entries = [entry("2", 2, &[("api", specified()), ("db", Means::HoldsData)]), old];
        let left = |name: &str| {
            let stamp = Some(stamp("2", "abcd", 2));
            ObservedService {
                image: Some(image("2")),
                running: BTreeMap::from([(image("2").digest.to_string(), 2)]),
                ..there(name, stamp)
            }
        };
        let told = |change: fn(&mut ObservedService)| {
            let mut api = left("api");
            change(&mut api);
            let data =
                ObservedService { image: Some(image("1")), ..there("data", Some(stamp("1", "abcd", 1))) };
            let services = vec![api, left("db"), data, there("theirs", None)];
            drift(&entries, &Observed { services, ..Observed::default() }).join("; ")
        };
        assert_eq!(told(|_| {}), "");
        assert!(told(|api| api.image = Some(image("3"))).starts_with("`api` has "));
        assert!(
            told(|api| api.image = None)
                .starts_with("`api` has an image that no digest names, and 2 left it at ")
        );
        assert!(
            told(|api| api.running.extend([("other".to_owned(), 1)]))
                .starts_with("1 running of `api` have other, and 2 left ")
        );
        assert_eq!(told(|api| api.name = "renamed".to_owned()), "`api` is gone");
        assert_eq!(told(|api| api.stamp = None), "`api` was put there by another tool since 2");
        // It is being replaced, not yet confirmed, or of a deploy that nothing is kept of.
        let replaced = told(|api| {
            api.running.insert("other".to_owned(), 1);
            api.update = Status::Updating;
        });
        let unsure = told(|api| (api.image, api.is_confirmed) = (Some(image("3")), false));
        let unknown = told(|api| (api.image, api.stamp) = (Some(image("3")), Some(stamp("2", "abcd", 9))));
        assert_eq!([replaced, unsure, unknown], ["", "", ""]);
    }

    #[test]
    fn an_entry_comes_back_as_it_was_written_and_what_is_none_is_an_error() {
        let services = [("api", specified()), ("db", Means::HoldsData), ("web", Means::TooLarge)];
        let entry = entry("1", 1, &services);
        let text = serde_json::to_vec(&entry).unwrap();
        assert_eq!(Entry::parse(&text).unwrap(), entry);
        let other = String::from_utf8(text).unwrap().replacen("\"version\":1", "\"version\":2", 1);
        assert!(matches!(Entry::parse(other.as_bytes()), Err(BadEntry::Version(2))));
        for text in ["", "{}", "null", r#"{"version":1}"#] {
            assert!(matches!(Entry::parse(text.as_bytes()), Err(BadEntry::Shape(_))), "{text}");
        }
    }

    #[test]
    fn the_newest_ten_of_a_group_are_kept_and_a_deploy_is_written_once() {
        assert_eq!(growth(&BTreeMap::new(), &plain("1", 1)), Growth { number: Some(1), surplus: vec![] });
        let ten = history((1..=10).map(|n| (n, plain(&n.to_string(), 1))));
        assert_eq!(growth(&ten, &plain("11", 1)), Growth { number: Some(11), surplus: vec![1] });
        assert_eq!(growth(&ten, &plain("3", 1)), Growth { number: None, surplus: vec![] });
        assert_eq!(growth(&ten, &plain("3", 2)).number, Some(11));
        // A run that was killed before it removed one.
        let twelve = history((1..=12).map(|n| (n, plain(&n.to_string(), 1))));
        assert_eq!(growth(&twelve, &plain("12", 1)), Growth { number: None, surplus: vec![1, 2] });
        let other = entry("other", 1, &[("web", specified())]);
        assert_eq!(growth(&ten, &other), Growth { number: Some(11), surplus: vec![] });
        let mut damaged = ten;
        damaged.insert(40, None);
        assert_eq!(growth(&damaged, &plain("11", 1)), Growth { number: Some(41), surplus: vec![1] });
    }

    #[test]
    fn a_release_is_found_by_each_of_its_names_and_by_no_other() {
        let mut two = plain("2", 2);
        two.stamp.commit = "ef01".repeat(10);
        let one = plain("1", 1);
        let all = [two.clone(), one.clone()];
        let (digest, short) = (one.stamp.release.to_string(), one.stamp.release.short().to_owned());
        for name in ["1", &digest, &short, &format!("sha256:{short}"), "abcda", &"abcd".repeat(10)] {
            assert_eq!(find(&all, name), Ok(&one), "{name}");
        }
        for name in ["", "3", "abc", "sha256:", "abcdx", "sha256:abcdabcd"] {
            let error = find(&all, name).unwrap_err();
            assert!(matches!(&error, NotFound::Unknown { there, .. } if there.len() == 2), "{name}: {error}");
            assert_eq!(error.exit_code(), ExitCode::Usage);
        }
        assert!(find(&all, "3").unwrap_err().hint().unwrap().starts_with("there is 2 (sha256:"));
        assert_eq!(find(&[], "1"), Err(NotFound::Empty("1".to_owned())));
    }

    #[test]
    fn a_name_of_several_releases_names_none_and_several_deploys_of_one_release_are_one() {
        let (two, one) = (plain("2", 2), plain("1", 1));
        let error = find(&[two, one.clone()], "abcdabcd").unwrap_err();
        assert!(matches!(&error, NotFound::Ambiguous { fits, .. } if fits.len() == 2), "{error}");
        let again = plain("1", 9);
        assert_eq!(find(&[again.clone(), one.clone()], "1"), Ok(&again));
        assert_eq!(find(&[again.only_listed(), one.clone()], "1"), Ok(&one));
    }

    #[test]
    fn what_was_too_large_is_listed_and_not_reached() {
        let entry = entry("1", 1, &[("api", specified()), ("db", Means::HoldsData)]);
        assert!(entry.is_reachable());
        let unknown = self::entry("1", 1, &[("api", specified()), ("web", Means::NotKnown)]);
        assert_eq!(unknown.why_not_reachable(), Some("no digest names an image of it"));
        let listed = entry.only_listed();
        assert_eq!(listed.why_not_reachable(), Some("its specifications were too large to be kept"));
        assert_eq!(listed.services["db"].means, Means::HoldsData);
    }

    #[test]
    fn a_release_runs_where_every_service_bears_this_very_deploy_but_those_with_data() {
        let entry = entry("1", 1, &[("api", specified()), ("db", Means::HoldsData), ("web", specified())]);
        let observed = |web| Observed {
            services: vec![
                there("api", Some(entry.stamp.clone())),
                there("db", None),
                there("web", Some(web)),
            ],
            ..Observed::default()
        };
        assert!(entry.runs(&observed(entry.stamp.clone())));
        assert!(!entry.runs(&observed(stamp("1", "abcd", 2))));
        assert!(!entry.runs(&Observed::default()));
    }

    #[test]
    fn the_way_to_a_release_names_what_returns_what_is_created_and_what_stays() {
        let old = entry("1", 1, &[("api", specified()), ("db", Means::HoldsData), ("gone", specified())]);
        let now = Observed {
            services: vec![
                there("api", Some(stamp("3", "abcd", 3))),
                there("db", None),
                there("new", Some(stamp("3", "abcd", 3))),
            ],
            ..Observed::default()
        };
        let way = old.way_to(&now);
        let (from, to) = (Digest::of(b"now"), Digest::of(b"1"));
        let lines: Vec<String> = way.returns.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                format!("return `api` {} -> {} (release 3 -> 1)", from.short(), to.short()),
                format!("create `gone` again at {} (release 1)", to.short()),
            ]
        );
        assert_eq!((way.stay, way.data), (vec!["new".to_owned()], vec!["db".to_owned()]));
    }

    #[test]
    fn a_migration_holds_every_release_before_it_and_none_from_it_on() {
        let breaking = |entry: Entry| Entry { migration: Migration::Breaking, ..entry };
        let all = [plain("4", 4), breaking(plain("3", 3)), breaking(plain("2", 2)), plain("1", 1)];
        let why = why_not_to(&all, &all[3]).unwrap();
        assert!(
            why.starts_with("release 2 has") && why.ends_with("release 1 may not work any more"),
            "{why}"
        );
        assert!(why_not_to(&all, &all[2]).unwrap().starts_with("release 3 has"));
        assert_eq!(why_not_to(&all, &all[1]), None);
        assert_eq!(why_not_to(&all, &all[0]), None);
        assert!(why_not_back(&all, &[&all[1].stamp]).unwrap().starts_with("release 3 has"));
        assert_eq!(why_not_back(&all, &[&all[0].stamp]), None);
    }
}
