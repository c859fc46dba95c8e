//! The version of an event: the one that a git tag names, or one that is counted from the tag before.

use semver::Version;

use super::{NameError, short, slug};
use crate::event::{Event, Trigger};

/// What git knows about the way from the last version to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum History {
    /// The nearest version tag behind the commit, and how many commits lie after it.
    Since {
        /// Its name, as it was typed: `v1.4.0`.
        tag: String,
        /// The commits that the tag does not reach.
        distance: u64,
    },
    /// The whole history is there, and no version tag is in it.
    Untagged,
    /// A part of the history, as a shallow checkout holds it, and no version tag in that.
    Cut,
    /// No checkout, or one that does not hold the commit.
    Missing,
}

/// A version for people, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The version.
    pub version: String,
    /// Why it is this one, as the end of a sentence.
    pub because: String,
}

/// The version that a git tag names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TaggedVersion {
    /// The one service that it is a version of; `None` where it is one of all of them.
    pub(super) service: Option<String>,
    /// The version.
    pub(super) version: Version,
}

/// The semantic version that a tag of a whole release names, with or without a `v` before it: `v1.2.3`.
#[must_use]
pub fn semver(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

/// The name of the tag that this event is about, if it is about one.
#[must_use]
pub fn git_tag(trigger: &Trigger) -> Option<&str> {
    match trigger {
        Trigger::Tag { name } | Trigger::Release { tag: name, .. } => Some(name),
        Trigger::Branch { .. } | Trigger::PullRequest { .. } | Trigger::Other { .. } => None,
    }
}

/// What the tag of this event is a version of: of everything (`v1.2.3`), or of one of the services (`api/v1.2.3`, and
/// `api@1.2.3` or `api-v1.2.3`, as the tools write that make such tags).
pub(super) fn tagged<'a>(
    trigger: &Trigger,
    services: impl IntoIterator<Item = &'a String>,
) -> Option<TaggedVersion> {
    let tag = git_tag(trigger)?;
    if let Some(version) = semver(tag) {
        return Some(TaggedVersion { service: None, version });
    }
    services.into_iter().find_map(|service| {
        let version = semver(tag.strip_prefix(service.as_str())?.strip_prefix(['/', '@', '-'])?)?;
        Some(TaggedVersion { service: Some(service.clone()), version })
    })
}

/// The version for people.
///
/// A version tag names it: `1.2.3`, or `api-1.2.3` for a tag `api/v1.2.3`. Between tags it is counted from the nearest
/// one: `1.4.1-main.12.g<12 digits of the commit>` is 12 commits after `v1.4.0`, above it and below whatever may come
/// next; without one it is `0.0.0-main.g<12 digits of the commit>`.
///
/// # Errors
/// When the branch's name makes no identifier, or a version that is too long for the tag of the release.
pub fn version<'a>(
    event: &Event,
    history: &History,
    services: impl IntoIterator<Item = &'a String>,
) -> Result<Named, NameError> {
    let named = match tagged(&event.trigger, services) {
        Some(TaggedVersion { service: None, version }) => Named {
            version: version.to_string(),
            because: format!("the tag `{}` names it", git_tag(&event.trigger).unwrap_or_default()),
        },
        Some(TaggedVersion { service: Some(service), version }) => Named {
            because: format!("the tag `{}` names it", git_tag(&event.trigger).unwrap_or_default()),
            version: format!("{service}-{version}"),
        },
        None => counted(event, history)?,
    };
    // The release is tagged with it when it is published; too late to find out that it does not fit.
    slug(&named.version)?;
    Ok(named)
}

/// The version of a commit that no version tag names.
fn counted(event: &Event, history: &History) -> Result<Named, NameError> {
    let mut identifiers: Vec<String> = identifier(&event.trigger)?.into_iter().collect();
    let (base, because) = match history {
        History::Since { tag, distance } => {
            identifiers.push(distance.to_string());
            let commits = if *distance == 1 { "1 commit".to_owned() } else { format!("{distance} commits") };
            (semver(tag), format!("{commits} after the tag `{tag}`"))
        }
        History::Untagged => (None, "no version tag is behind this commit".to_owned()),
        History::Cut => {
            let why = "the checkout does not hold the whole history, and no version tag in what it holds; with all \
                       of it (`fetch-depth: 0`) versions are counted from the last one";
            (None, why.to_owned())
        }
        History::Missing => (None, "the checkout does not hold this commit".to_owned()),
    };
    identifiers.push(format!("g{}", short(&event.commit)));
    let version = match base {
        // More identifiers make a prerelease a later one (semver.org, 11.4.4).
        Some(base) if !base.pre.is_empty() => {
            format!("{}.{}.{}-{}.", base.major, base.minor, base.patch, base.pre)
        }
        Some(base) => format!("{}.{}.{}-", base.major, base.minor, base.patch.saturating_add(1)),
        None => "0.0.0-".to_owned(),
    };
    Ok(Named { version: version + &identifiers.join("."), because })
}

/// What a version between tags calls the line of commits: an identifier, which has no `.` and is no number.
fn identifier(trigger: &Trigger) -> Result<Option<String>, NameError> {
    let (kind, name) = match trigger {
        Trigger::Branch { name, .. } => ("branch", name),
        Trigger::Tag { name } | Trigger::Release { tag: name, .. } => ("tag", name),
        Trigger::PullRequest { number, .. } => return Ok(Some(format!("pr-{number}"))),
        Trigger::Other { .. } => return Ok(None),
    };
    let text = slug(name)?.as_str().replace(['.', '_'], "-");
    // Numbers compare as numbers, and may not begin with a zero (semver.org, 9).
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    Ok(Some(if is_number { format!("{kind}-{text}") } else { text }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{branch, event};
    use super::*;

    const SERVICES: [&str; 3] = ["api", "api-1", "web"];

    fn services() -> Vec<String> {
        SERVICES.map(str::to_owned).to_vec()
    }

    fn since(tag: &str, distance: u64) -> History {
        History::Since { tag: tag.to_owned(), distance }
    }

    fn tag(name: &str) -> Event {
        event(Trigger::Tag { name: name.to_owned() })
    }

    #[track_caller]
    fn check(event: &Event, history: &History, version_and_reason: (&str, &str)) {
        let named = version(event, history, &services()).unwrap();
        assert_eq!((named.version.as_str(), named.because.as_str()), version_and_reason);
        if git_tag(&event.trigger).is_none() {
            assert!(semver(&named.version).is_some(), "{} is no semantic version", named.version);
        }
    }

    #[test]
    fn a_version_between_tags_is_counted_from_the_nearest() {
        let main = branch("main");
        check(
            &main,
            &since("v1.4.0", 12),
            ("1.4.1-main.12.g0123456789ab", "12 commits after the tag `v1.4.0`"),
        );
        check(&main, &since("1.4.0", 1), ("1.4.1-main.1.g0123456789ab", "1 commit after the tag `1.4.0`"));
        // The tag's own name is taken by the release that the tag itself makes.
        check(&main, &since("v1.4.0", 0), ("1.4.1-main.0.g0123456789ab", "0 commits after the tag `v1.4.0`"));
        check(
            &main,
            &since("v2.0.0-rc.1", 3),
            ("2.0.0-rc.1.main.3.g0123456789ab", "3 commits after the tag `v2.0.0-rc.1`"),
        );
        check(
            &main,
            &since("v1.4.0+b7", 3),
            ("1.4.1-main.3.g0123456789ab", "3 commits after the tag `v1.4.0+b7`"),
        );
        let request = event(Trigger::PullRequest { number: 7, base: "main".to_owned() });
        check(
            &request,
            &since("v1.4.0", 2),
            ("1.4.1-pr-7.2.g0123456789ab", "2 commits after the tag `v1.4.0`"),
        );
        let schedule = event(Trigger::Other { name: "schedule".to_owned(), branch: None });
        check(&schedule, &since("v1.4.0", 2), ("1.4.1-2.g0123456789ab", "2 commits after the tag `v1.4.0`"));
        check(
            &tag("nightly"),
            &since("v1.4.0", 2),
            ("1.4.1-nightly.2.g0123456789ab", "2 commits after the tag `v1.4.0`"),
        );
    }

    #[test]
    fn without_a_tag_to_count_from_it_is_below_every_release_and_says_why() {
        let feature = branch("feat/a.b_c");
        let version = "0.0.0-feat-a-b-c.g0123456789ab";
        check(&feature, &History::Untagged, (version, "no version tag is behind this commit"));
        check(&feature, &History::Missing, (version, "the checkout does not hold this commit"));
        let cut = "the checkout does not hold the whole history, and no version tag in what it holds; with all of it \
                   (`fetch-depth: 0`) versions are counted from the last one";
        check(&feature, &History::Cut, (version, cut));
        let schedule = event(Trigger::Other { name: "schedule".to_owned(), branch: None });
        let missing = "the checkout does not hold this commit";
        check(&schedule, &History::Missing, ("0.0.0-g0123456789ab", missing));
    }

    #[test]
    fn a_branch_named_by_a_number_makes_a_legal_version() {
        let history = since("v1.4.0", 2);
        for (name, expected) in
            [("007", "1.4.1-branch-007.2."), ("12", "1.4.1-branch-12.2."), ("1-2", "1.4.1-1-2.2.")]
        {
            let version = version(&branch(name), &history, &services()).unwrap().version;
            assert_eq!(version, format!("{expected}g0123456789ab"));
            assert!(semver(&version).is_some(), "{version}");
        }
    }

    #[test]
    fn versions_sort_as_the_commits_were_made() {
        let at = |history: &History| {
            semver(&version(&branch("main"), history, &services()).unwrap().version).unwrap()
        };
        let plain = |text: &str| Version::parse(text).unwrap();
        let in_order = [
            at(&History::Untagged),
            plain("1.4.0-rc.1"),
            at(&since("v1.4.0-rc.1", 9)),
            at(&since("v1.4.0-rc.1", 10)),
            plain("1.4.0-rc.2"),
            plain("1.4.0"),
            at(&since("v1.4.0", 0)),
            at(&since("v1.4.0", 9)),
            at(&since("v1.4.0", 10)),
            plain("1.4.1"),
        ];
        assert!(in_order.is_sorted(), "{in_order:#?}");
    }

    #[test]
    fn a_tag_names_the_version_of_everything_or_of_one_service() {
        let named = |name: &str| {
            let found = tagged(&Trigger::Tag { name: name.to_owned() }, &services());
            found.map(|found| (found.service.unwrap_or_default(), found.version.to_string()))
        };
        let some = |service: &str, version: &str| Some((service.to_owned(), version.to_owned()));
        assert_eq!(named("v1.2.3"), some("", "1.2.3"));
        assert_eq!(named("1.2.3-rc.1"), some("", "1.2.3-rc.1"));
        for name in ["api/v1.2.3", "api/1.2.3", "api@1.2.3", "api-v1.2.3", "api-1.2.3"] {
            assert_eq!(named(name), some("api", "1.2.3"), "{name}");
        }
        assert_eq!(named("api-1-2.3.0"), some("api-1", "2.3.0"));
        assert_eq!(named("api-1/v2.3.0"), some("api-1", "2.3.0"));
        for name in [
            "nightly",
            "v1.2",
            "lib/v1.2.3",
            "api/v1.2",
            "api/",
            "api",
            "apiv1.2.3",
            "api//1.2.3",
            "x/api/v1.2.3",
        ] {
            assert_eq!(named(name), None, "{name}");
        }
        check(&tag("api/v1.2.3"), &History::Missing, ("api-1.2.3", "the tag `api/v1.2.3` names it"));
        check(&tag("v1.2.3-rc.1"), &History::Missing, ("1.2.3-rc.1", "the tag `v1.2.3-rc.1` names it"));
    }

    #[test]
    fn a_version_that_is_too_long_for_a_tag_is_an_error_before_anything_is_built() {
        let named =
            |length: usize, history: &History| version(&branch(&"b".repeat(length)), history, &services());
        assert!(named(108, &History::Untagged).is_ok());
        assert!(matches!(named(109, &History::Untagged), Err(NameError::NotATag { .. })));
        assert!(matches!(named(108, &since("v1.4.0", 1)), Err(NameError::NotATag { .. })));
    }
}
