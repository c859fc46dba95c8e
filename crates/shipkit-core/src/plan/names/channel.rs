//! Channels: tags that move from version to version and never back, decided from the tags that are there.

use semver::Version;

use super::{NameError, is_taken, plain, version_of};
use crate::reference::Tag;

/// The tag of a version itself: `1.2.3`. A `+build` part is legal in a version and illegal in a tag; `_`, which no
/// version holds, stands for its sign.
pub(super) fn exact(version: &Version) -> Result<Tag, NameError> {
    plain(&version.to_string().replace('+', "_"))
}

/// The channels of a version besides `latest`: `1.2` and `1` for `1.2.3`, without a `0` for `0.x`, which promises
/// nothing; for a prerelease the word that begins it, `rc` for `1.2.3-rc.1`.
pub(super) fn channels(version: &Version) -> Result<Vec<Tag>, NameError> {
    let mut names = Vec::new();
    if version.pre.is_empty() {
        names.push(format!("{}.{}", version.major, version.minor));
        if version.major != 0 {
            names.push(version.major.to_string());
        }
    } else {
        names.extend(word(version));
    }
    names.iter().map(|name| plain(name)).collect()
}

/// The word that a prerelease begins with, in lower case and without a number behind it: `rc` of `rc.1`, `RC1` and
/// `rc-1`. None where it begins with a number, or where the word is a name that other tags have.
fn word(version: &Version) -> Option<String> {
    let first = version.pre.split('.').next()?;
    let word = first.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_ascii_lowercase();
    let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_taken(&word);
    is_word.then_some(word)
}

/// Whether a channel moves to a version, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// It moves, because nothing newer is there.
    Moves(String),
    /// It stays where it is.
    Stays(String),
}

/// Whether `channel` moves to `version` in a repository that has these tags: not if one of its versions is newer.
#[must_use]
pub fn channel<'a>(channel: &Tag, version: &Version, present: impl IntoIterator<Item = &'a Tag>) -> Channel {
    let versions = present.into_iter().filter_map(|tag| version_of(tag.as_str()));
    let newest = versions.filter(|other| belongs(channel.as_str(), other)).max_by(Version::cmp_precedence);
    match newest {
        Some(newest) if version.cmp_precedence(&newest).is_lt() => {
            Channel::Stays(format!("`{channel}` stays on {newest}: {version} is older"))
        }
        Some(newest) if version.cmp_precedence(&newest).is_gt() => {
            Channel::Moves(format!("`{channel}` moves to {version}: {newest} was the newest"))
        }
        Some(_) => Channel::Moves(format!("`{channel}` is {version}: nothing newer is there")),
        None => Channel::Moves(format!("`{channel}` begins with {version}")),
    }
}

/// Whether a version is one of those that a channel may name.
fn belongs(channel: &str, version: &Version) -> bool {
    let is_release = version.pre.is_empty();
    let mut parts = channel.split('.').map(str::parse::<u64>);
    match (parts.next(), parts.next(), parts.next()) {
        _ if channel == "latest" => is_release,
        (Some(Ok(major)), None, None) => is_release && version.major == major,
        (Some(Ok(major)), Some(Ok(minor)), None) => {
            is_release && (version.major, version.minor) == (major, minor)
        }
        (Some(Ok(_)), Some(Ok(_)), Some(_)) => exact(version).is_ok_and(|tag| tag.as_str() == channel),
        _ => word(version).as_deref() == Some(channel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Vec<Tag> {
        text.split_whitespace().map(|tag| tag.parse().unwrap()).collect()
    }

    /// Which channels of `version` move and which stay, where these tags are there.
    #[track_caller]
    fn check(version: &str, present: &str, moves: &str, stays: &str) {
        let version = Version::parse(version).unwrap();
        let mut wanted = channels(&version).unwrap();
        if version.pre.is_empty() {
            wanted.push("latest".parse().unwrap());
        }
        let present = tags(present);
        let mut found = (Vec::new(), Vec::new());
        for tag in wanted {
            match channel(&tag, &version, &present) {
                Channel::Moves(_) => found.0.push(tag),
                Channel::Stays(_) => found.1.push(tag),
            }
        }
        assert_eq!(found, (tags(moves), tags(stays)), "{version} where there is {present:?}");
    }

    #[test]
    fn no_channel_moves_to_an_older_major_or_a_backport() {
        check("2.0.0", "", "2.0 2 latest", "");
        check("2.0.0", "1.9.5 1.9 1 latest", "2.0 2 latest", "");
        check("1.9.5", "2.0.0 2.0 2 latest 1.9.4", "1.9 1", "latest");
        check("1.8.9", "1.9.5 2.0.0 1.8.8", "1.8", "1 latest");
        check("1.8.9", "2.8.10", "1.8 1", "latest");
        check("1.8.9", "1.8.10", "", "1.8 1 latest");
        check("1.8.10", "1.8.9", "1.8 1 latest", "");
        check("0.2.4", "0.3.0", "0.2", "latest");
        check("1.0.0", "0.9.9", "1.0 1 latest", "");
    }

    #[test]
    fn the_same_version_again_moves_what_it_moved_before() {
        check("1.9.5", "1.9.5 1.9 1 latest", "1.9 1 latest", "");
        check("1.9.5+b2", "1.9.5_b1", "1.9 1 latest", "");
    }

    #[test]
    fn a_prerelease_holds_no_release_back_and_moves_its_own_channel_only() {
        check("1.9.5", "2.0.0-rc.1 2.0.0-beta.1", "1.9 1 latest", "");
        check("2.0.0-rc.2", "1.9.5 2.0.0-rc.1 latest", "rc", "");
        check("2.0.0-rc.2", "2.0.0-rc.3", "", "rc");
        check("2.0.0-rc.10", "2.0.0-rc.9", "rc", "");
        check("1.9.6-rc.1", "2.0.0-rc.1", "", "rc");
        check("2.0.0-beta.1", "2.0.0-rc.3", "beta", "");
    }

    #[test]
    fn what_is_no_version_holds_nothing_back() {
        check("1.0.0", "main sha-0123 latest 9 9.9 2026-01-31 v9 9.9.9.9 09.1.1 9.x", "1.0 1 latest", "");
        check("1.0.0", "1.0.1-main.12.gabc 0.0.0-main.gabc", "1.0 1 latest", "");
    }

    #[test]
    fn versions_that_other_tools_wrote_count() {
        check("1.9.5", "v2.0.0", "1.9 1", "latest");
        check("1.9.5", "1.9.6_build.7", "", "1.9 1 latest");
    }

    #[test]
    fn the_word_of_a_prerelease_is_its_channel() {
        for (version, expected) in [
            ("1.0.0-rc.1", "rc"),
            ("1.0.0-RC1", "rc"),
            ("1.0.0-beta-3", "beta"),
            ("1.0.0-alpha", "alpha"),
            ("1.0.0-release-candidate.1", "release-candidate"),
            ("1.0.0-0.3.7", ""),
            ("1.0.0-3", ""),
            ("1.0.0--1", ""),
            ("1.0.0-latest.1", ""),
            ("1.0.0-sha-abc.1", ""),
            ("1.0.0-build-x", ""),
            ("1.0.0-pr-7", "pr"),
        ] {
            let found = channels(&Version::parse(version).unwrap()).unwrap();
            assert_eq!(found, tags(expected), "{version}");
        }
    }

    #[test]
    fn every_decision_says_why() {
        let version = Version::parse("1.9.5").unwrap();
        let said = |present: &str| match channel(&"latest".parse().unwrap(), &version, &tags(present)) {
            Channel::Moves(why) | Channel::Stays(why) => why,
        };
        assert_eq!(said("2.0.0 1.9.4"), "`latest` stays on 2.0.0: 1.9.5 is older");
        assert_eq!(said("1.9.4 1.9.3"), "`latest` moves to 1.9.5: 1.9.4 was the newest");
        assert_eq!(said("1.9.5"), "`latest` is 1.9.5: nothing newer is there");
        assert_eq!(said("main"), "`latest` begins with 1.9.5");
    }

    #[test]
    fn the_version_itself_may_always_be_given_where_it_is_not_permanent() {
        let version = Version::parse("1.9.5").unwrap();
        let decided = channel(&exact(&version).unwrap(), &version, &tags("1.9.6 1.9.5 2.0.0"));
        assert!(matches!(decided, Channel::Moves(_)), "{decided:?}");
    }
}
