//! Tags and versions out of an event: which names a build gets.

use jiff::Timestamp;

use crate::event::{Event, Trigger};
use crate::reference::{BadName, Tag};
use crate::release::PublishTags;

/// Which tags are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagRule {
    /// `sha-<full commit>`, permanent.
    Sha,
    /// The branch's name, moving.
    Branch,
    /// `1.2.3` permanent, `1.2` and `1` moving, from a version tag.
    Semver,
    /// `pr-<number>`, moving.
    Pr,
    /// `2026-01-31`, the commit's day in UTC, moving.
    Date,
    /// `latest` on the default branch.
    LatestOnDefaultBranch,
    /// `latest` on a version tag that is no prerelease.
    LatestOnRelease,
}

/// A branch or tag whose name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Control characters, which git refuses too: somebody made this event up.
    #[error("the name {0:?} of the branch or tag holds control characters, which git does not allow")]
    ControlCharacters(String),
    /// What is left of the name makes no tag.
    #[error("no image tag can be made of `{name}`")]
    NotATag {
        /// The name as it came.
        name: String,
        /// Why.
        source: BadName,
    },
}

/// A branch or tag name as an image tag: every run of characters that a tag may not hold becomes one `-`, and a
/// leading `.` or `-` is dropped.
///
/// # Errors
/// When nothing is left, or more than 128 characters: cutting could make two branches share a tag.
pub fn slug(name: &str) -> Result<Tag, NameError> {
    if name.chars().any(char::is_control) {
        return Err(NameError::ControlCharacters(name.to_owned()));
    }
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            text.push(c);
        } else if !text.ends_with('-') {
            text.push('-');
        }
    }
    let text = text.trim_start_matches(['.', '-']);
    text.parse().map_err(|source| NameError::NotATag { name: name.to_owned(), source })
}

/// The moving tag of a branch: its slug, or `branch-<slug>` where the slug is a name that other tags have (`1.2.3`, `1`,
/// `latest`, `sha-...`): a branch called `1.2.3` must not move the permanent tag of a version.
fn branch_tag(name: &str) -> Result<Tag, NameError> {
    let tag = slug(name)?;
    let text = tag.as_str();
    let is_taken = text == "latest"
        || ["sha-", "sha256-", "pr-", "build-"].iter().any(|prefix| text.starts_with(prefix))
        || text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'))
        || semver(text).is_some();
    if is_taken { plain(&format!("branch-{text}")) } else { Ok(tag) }
}

/// The semantic version that a tag names, with or without a `v` before it.
#[must_use]
pub(super) fn semver(tag: &str) -> Option<semver::Version> {
    semver::Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

/// The name of the tag that this event is about, if it is about one.
#[must_use]
pub fn git_tag(trigger: &Trigger) -> Option<&str> {
    match trigger {
        Trigger::Tag { name } | Trigger::Release { tag: name, .. } => Some(name),
        Trigger::Branch { .. } | Trigger::PullRequest { .. } | Trigger::Other { .. } => None,
    }
}

/// The version for people: the version tag's own, or `0.0.0-<branch>.g<12 digits of the commit>` between tags.
///
/// # Errors
/// When the branch's name makes no identifier, or a version that is too long for the tag of the release.
pub fn version(event: &Event) -> Result<String, NameError> {
    let short = event.commit.get(..12).unwrap_or(&event.commit);
    let identifier = |name: &str| slug(name).map(|tag| tag.as_str().replace(['.', '_'], "-"));
    let version = match &event.trigger {
        Trigger::Tag { name } | Trigger::Release { tag: name, .. } => match semver(name) {
            Some(version) => version.to_string(),
            None => format!("0.0.0-{}.g{short}", identifier(name)?),
        },
        Trigger::Branch { name, .. } => format!("0.0.0-{}.g{short}", identifier(name)?),
        Trigger::PullRequest { number, .. } => format!("0.0.0-pr-{number}.g{short}"),
        Trigger::Other { .. } => format!("0.0.0-g{short}"),
    };
    // The release is tagged with it when it is published; too late to find out that it does not fit.
    slug(&version)?;
    Ok(version)
}

/// The tags that `rules` give for this event, each once, in the order of the rules.
///
/// # Errors
/// When a branch's name makes no tag.
pub(super) fn tags(event: &Event, committed: Timestamp, rules: &[TagRule]) -> Result<PublishTags, NameError> {
    let version = git_tag(&event.trigger).and_then(semver);
    let mut permanent = Vec::new();
    let mut moving = Vec::new();
    for rule in rules {
        match rule {
            TagRule::Sha => permanent.push(plain(&format!("sha-{}", event.commit))?),
            TagRule::Branch => {
                if let Trigger::Branch { name, .. } = &event.trigger {
                    moving.push(branch_tag(name)?);
                }
            }
            TagRule::Semver => {
                if let Some(version) = &version {
                    // A `+build` part is legal in a version and illegal in a tag.
                    permanent.push(slug(&version.to_string())?);
                    moving.extend(channels(version)?);
                }
            }
            TagRule::Pr => {
                if let Trigger::PullRequest { number, .. } = &event.trigger {
                    moving.push(plain(&format!("pr-{number}"))?);
                }
            }
            TagRule::Date => moving.push(plain(&committed.strftime("%Y-%m-%d").to_string())?),
            TagRule::LatestOnDefaultBranch => {
                let on_default = matches!(&event.trigger, Trigger::Branch { name, .. } if Some(name) == event.default_branch.as_ref());
                if on_default {
                    moving.push(plain("latest")?);
                }
            }
            TagRule::LatestOnRelease => {
                if version.as_ref().is_some_and(|version| version.pre.is_empty()) {
                    moving.push(plain("latest")?);
                }
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    permanent.retain(|tag: &Tag| seen.insert(tag.clone()));
    moving.retain(|tag: &Tag| seen.insert(tag.clone()));
    Ok(PublishTags { permanent, moving })
}

/// `1.2` and `1` for `1.2.3`; nothing for a prerelease, and no `0` for `0.x`, which promises nothing.
fn channels(version: &semver::Version) -> Result<Vec<Tag>, NameError> {
    if !version.pre.is_empty() {
        return Ok(Vec::new());
    }
    let minor = format!("{}.{}", version.major, version.minor);
    let names = if version.major == 0 { vec![minor] } else { vec![minor, version.major.to_string()] };
    names.iter().map(|name| plain(name)).collect()
}

fn plain(text: &str) -> Result<Tag, NameError> {
    text.parse().map_err(|source| NameError::NotATag { name: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    const ALL: [TagRule; 7] = [
        TagRule::Sha,
        TagRule::Branch,
        TagRule::Semver,
        TagRule::Pr,
        TagRule::Date,
        TagRule::LatestOnDefaultBranch,
        TagRule::LatestOnRelease,
    ];

    fn event(trigger: Trigger) -> Event {
        Event {
            trigger,
            commit: COMMIT.to_owned(),
            committed: None,
            repository: None,
            default_branch: Some("main".to_owned()),
            server_url: "https://github.com".to_owned(),
            run: None,
        }
    }

    fn branch(name: &str) -> Event {
        event(Trigger::Branch { name: name.to_owned(), dispatched: false })
    }

    #[track_caller]
    fn check(event: &Event, permanent: &[&str], moving: &[&str]) {
        let tags = tags(event, "2026-01-31T23:00:00Z".parse().unwrap(), &ALL).unwrap();
        let text = |tags: &[Tag]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((text(&tags.permanent), text(&tags.moving)), (text_of(permanent), text_of(moving)));
    }

    fn text_of(tags: &[&str]) -> Vec<String> {
        tags.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_event_gets_its_tags() {
        let sha = format!("sha-{COMMIT}");
        check(&branch("main"), &[&sha], &["main", "2026-01-31", "latest"]);
        check(&branch("feat/x y"), &[&sha], &["feat-x-y", "2026-01-31"]);
        let tag = |name: &str| event(Trigger::Tag { name: name.to_owned() });
        check(&tag("v1.2.3"), &[&sha, "1.2.3"], &["1.2", "1", "2026-01-31", "latest"]);
        check(&tag("0.2.3"), &[&sha, "0.2.3"], &["0.2", "2026-01-31", "latest"]);
        check(&tag("v2.0.0-rc.1"), &[&sha, "2.0.0-rc.1"], &["2026-01-31"]);
        check(&tag("v1.2.3+b5"), &[&sha, "1.2.3-b5"], &["1.2", "1", "2026-01-31", "latest"]);
        check(&tag("nightly"), &[&sha], &["2026-01-31"]);
        check(
            &event(Trigger::PullRequest { number: 7, base: "main".to_owned() }),
            &[&sha],
            &["pr-7", "2026-01-31"],
        );
    }

    #[test]
    fn a_branch_named_like_a_shell_script_becomes_a_plain_tag() {
        assert_eq!(slug("a\";b##[set-output").unwrap().as_str(), "a-b-set-output");
        assert_eq!(slug("-lead").unwrap().as_str(), "lead");
        assert_eq!(slug(".x").unwrap().as_str(), "x");
    }

    #[test]
    fn a_branch_named_like_a_version_moves_no_tag_of_a_version() {
        for (name, tag) in [
            ("1.2.3", "branch-1.2.3"),
            ("v1.2.3", "branch-v1.2.3"),
            ("1", "branch-1"),
            ("1.2", "branch-1.2"),
            ("2026-01-31", "branch-2026-01-31"),
            ("latest", "branch-latest"),
            ("sha-0123", "branch-sha-0123"),
            ("pr-7", "branch-pr-7"),
            ("build/1-1", "branch-build-1-1"),
            ("1.x", "1.x"),
            ("v1", "v1"),
        ] {
            assert_eq!(branch_tag(name).unwrap().as_str(), tag, "{name}");
        }
    }

    #[test]
    fn a_version_that_is_too_long_for_a_tag_is_an_error_before_anything_is_built() {
        assert!(version(&branch(&"b".repeat(108))).is_ok());
        assert!(matches!(version(&branch(&"b".repeat(109))), Err(NameError::NotATag { .. })));
    }

    #[test]
    fn a_name_that_makes_no_tag_is_an_error_and_is_never_cut() {
        assert!(matches!(slug("a\";b\n##[set-output"), Err(NameError::ControlCharacters(_))));
        assert!(matches!(slug(&"b".repeat(129)), Err(NameError::NotATag { .. })));
        assert!(matches!(slug("日本"), Err(NameError::NotATag { .. })));
    }

    #[test]
    fn a_version_between_tags_is_a_semantic_version_below_every_release() {
        for (event, expected) in [
            (branch("feat/a.b_c"), "0.0.0-feat-a-b-c.g0123456789ab"),
            (event(Trigger::Tag { name: "v1.2.3-rc.1".to_owned() }), "1.2.3-rc.1"),
            (event(Trigger::PullRequest { number: 7, base: "main".to_owned() }), "0.0.0-pr-7.g0123456789ab"),
        ] {
            let version = version(&event).unwrap();
            assert_eq!(version, expected);
            assert!(semver(&version).is_some(), "{version}");
        }
    }
}
