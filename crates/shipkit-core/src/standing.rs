//! `Standing`: which releases an environment has had, where there is no target that could be asked: of one that commands
//! deploy to, the registry knows what was begun there and what passed.

use crate::digest::Digest;
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::reference::{BadName, Tag};

/// Which releases an environment has had. Each is named by a tag beside the releases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The one whose commands were begun last.
    pub begun: Option<Digest>,
    /// The one that passed last.
    pub passed: Option<Digest>,
    /// The one that had passed before that; the same one, if there is no way back to any.
    pub before: Option<Digest>,
}

/// What a tag says of the release that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Its commands were begun last.
    Begun,
    /// It passed last.
    Passed,
    /// It had passed before that.
    Before,
}

/// Why there is no release to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoWayBack {
    /// None has passed.
    #[error("no release has passed there")]
    NonePassed,
    /// None had passed before.
    #[error("no release is known that passed there before")]
    NoneBefore,
}

impl Hint for NoWayBack {
    fn hint(&self) -> Option<String> {
        Some("deploy an earlier release by its version".to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::No
    }
}

impl Mark {
    /// The tag in the repository of releases.
    ///
    /// # Errors
    /// When the environment's name makes no tag.
    pub fn tag(self, environment: &str) -> Result<Tag, BadName> {
        match self {
            Self::Begun => format!("deploying-{environment}").parse(),
            Self::Passed => crate::plan::deployed_tag(environment),
            Self::Before => format!("before-{environment}").parse(),
        }
    }
}

impl Standing {
    /// The release that was begun and has not passed since, if there is one: it failed, or its run was killed.
    #[must_use]
    pub fn unfinished(&self) -> Option<&Digest> {
        self.begun.as_ref().filter(|begun| self.passed.as_ref() != Some(begun))
    }

    /// The release that may be there now, at least in part.
    #[must_use]
    pub fn there(&self) -> Option<&Digest> {
        self.begun.as_ref().or(self.passed.as_ref())
    }

    /// The release to go back to: where one did not pass the one that did, else the one before it.
    ///
    /// # Errors
    /// When there is none.
    pub fn way_back(&self) -> Result<&Digest, NoWayBack> {
        let passed = self.passed.as_ref().ok_or(NoWayBack::NonePassed)?;
        if self.unfinished().is_some() {
            return Ok(passed);
        }
        self.before.as_ref().filter(|before| *before != passed).ok_or(NoWayBack::NoneBefore)
    }

    /// What to write, in this order, when a release that was begun has passed. Cut short, it counts as not passed.
    #[must_use]
    pub fn after(&self, release: &Digest) -> Vec<(Mark, Digest)> {
        let earlier = self.passed.as_ref().filter(|passed| *passed != release);
        let earlier = earlier.map(|passed| (Mark::Before, passed.clone()));
        earlier.into_iter().chain([(Mark::Passed, release.clone())]).collect()
    }

    /// What to write, in this order, when a release is back. Cut short, the way back leads there again.
    #[must_use]
    pub fn after_return(&self, release: &Digest) -> Vec<(Mark, Digest)> {
        [Mark::Passed, Mark::Begun].map(|mark| (mark, release.clone())).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(name: &str) -> Option<Digest> {
        (name != "-").then(|| Digest::of(name.as_bytes()))
    }

    /// Begun, passed and before, `-` for none.
    fn standing(words: &str) -> Standing {
        let mut words = words.split(' ').map(release);
        let mut next = || words.next().unwrap();
        Standing { begun: next(), passed: next(), before: next() }
    }

    fn written(standing: &Standing, marks: Vec<(Mark, Digest)>) -> Vec<Standing> {
        let mut now = standing.clone();
        let write = |(mark, digest)| {
            match mark {
                Mark::Begun => now.begun = Some(digest),
                Mark::Passed => now.passed = Some(digest),
                Mark::Before => now.before = Some(digest),
            }
            now.clone()
        };
        marks.into_iter().map(write).collect()
    }

    #[test]
    fn the_way_back_leads_to_what_passed_and_then_to_what_had_passed_before() {
        for (words, expected) in [
            ("- - -", Err(NoWayBack::NonePassed)),
            ("one - -", Err(NoWayBack::NonePassed)),
            ("one one -", Err(NoWayBack::NoneBefore)),
            ("two one -", Ok("one")),
            ("two two one", Ok("one")),
            ("three two one", Ok("two")),
            ("one one one", Err(NoWayBack::NoneBefore)),
            // Deployed by a version that did not write down what was begun.
            ("- two one", Ok("one")),
        ] {
            let found = standing(words).way_back().cloned();
            assert_eq!(found, expected.map(|name| Digest::of(name.as_bytes())), "{words}");
        }
    }

    #[test]
    fn what_passed_becomes_what_was_before_and_a_release_is_never_before_itself() {
        let (two, three) = (release("two").unwrap(), release("three").unwrap());
        let first = standing("three two one");
        assert_eq!(written(&first, first.after(&three)).last(), Some(&standing("three three two")));
        let again = standing("two two one");
        assert_eq!(written(&again, again.after(&two)).last(), Some(&again));
        let none = standing("two - -");
        assert_eq!(written(&none, none.after(&two)).last(), Some(&standing("two two -")));
    }

    #[test]
    fn writing_that_is_cut_short_leaves_a_way_to_the_same_release() {
        let (three, one) = (release("three").unwrap(), release("one").unwrap());
        let begun = standing("three two one");
        let half = &written(&begun, begun.after(&three))[0];
        assert_eq!(half.way_back(), Ok(&release("two").unwrap()));
        let back = standing("two two one");
        let steps = written(&back, back.after_return(&one));
        assert_eq!(steps[0].way_back(), Ok(&one));
        assert_eq!(steps[1].way_back(), Err(NoWayBack::NoneBefore));
    }

    #[test]
    fn what_was_begun_and_did_not_pass_is_unfinished_and_may_be_there() {
        for (words, unfinished, there) in [
            ("- - -", "-", "-"),
            ("- one -", "-", "one"),
            ("one one -", "-", "one"),
            ("two one -", "two", "two"),
            ("two - -", "two", "two"),
        ] {
            let seen = standing(words);
            assert_eq!(
                (seen.unfinished(), seen.there()),
                (release(unfinished).as_ref(), release(there).as_ref()),
                "{words}"
            );
        }
    }

    #[test]
    fn each_mark_is_a_tag_of_its_own() {
        let tags =
            [Mark::Begun, Mark::Passed, Mark::Before].map(|mark| mark.tag("staging").unwrap().to_string());
        assert_eq!(tags, ["deploying-staging", "deployed-staging", "before-staging"]);
    }
}
