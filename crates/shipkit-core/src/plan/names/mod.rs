//! Names out of an event: the version of a build, and the tags that it gets.

mod channel;
mod explain;
mod version;

pub use channel::{Channel, channel};
pub use explain::{Explained, Given, Life, explain};
pub use version::{History, Named, git_tag, semver, version};

pub(super) use explain::{built, tags};

use crate::reference::{BadName, Tag};

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
    if is_taken(tag.as_str()) { plain(&format!("branch-{tag}")) } else { Ok(tag) }
}

/// Whether a name is one that tags of another kind have.
fn is_taken(text: &str) -> bool {
    text == "latest"
        || ["sha-", "sha256-", "pr-", "build-"].iter().any(|prefix| text.starts_with(prefix))
        || text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'))
        || version_of(text).is_some()
}

/// The version whose tag this is; `_` stands for the `+` that a tag may not hold.
fn version_of(tag: &str) -> Option<::semver::Version> {
    semver(&tag.replacen('_', "+", 1))
}

fn plain(text: &str) -> Result<Tag, NameError> {
    text.parse().map_err(|source| NameError::NotATag { name: text.to_owned(), source })
}

/// 12 digits of a commit: enough for people.
fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Trigger};

    pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    pub(super) fn event(trigger: Trigger) -> Event {
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

    pub(super) fn branch(name: &str) -> Event {
        event(Trigger::Branch { name: name.to_owned(), dispatched: false })
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
            ("1.2.3_b5", "branch-1.2.3_b5"),
            ("1.x", "1.x"),
            ("v1", "v1"),
        ] {
            assert_eq!(branch_tag(name).unwrap().as_str(), tag, "{name}");
        }
    }

    #[test]
    fn a_name_that_makes_no_tag_is_an_error_and_is_never_cut() {
        assert!(matches!(slug("a\";b\n##[set-output"), Err(NameError::ControlCharacters(_))));
        assert!(matches!(slug(&"b".repeat(129)), Err(NameError::NotATag { .. })));
        assert!(matches!(slug("日本"), Err(NameError::NotATag { .. })));
    }
}
