//! `Verdict`: an answer with more than two values, and `Outcome`: a verdict with its cause.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::exit::ExitCode;

/// What a gate or a check found. "Could not find out" never passes a gate, and never rolls anything back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Yes.
    Pass,
    /// No.
    Fail,
    /// No data, or too few samples.
    Inconclusive,
    /// It could not be reached from here, which says nothing about the thing itself.
    Unreachable,
    /// It was not asked, for a reason that stands beside it.
    Skipped,
}

/// A verdict and the one sentence that explains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence: what decided. Never empty unless the verdict is `pass`.
    pub cause: String,
}

impl Verdict {
    /// The exit code that this verdict means.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Pass | Self::Skipped => ExitCode::Yes,
            Self::Fail => ExitCode::No,
            Self::Inconclusive | Self::Unreachable => ExitCode::Unknown,
        }
    }

    /// The word for outputs and reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Unreachable => "unreachable",
            Self::Skipped => "skipped",
        }
    }

    /// How bad it is: of several verdicts the one with the greatest rank is the verdict of all.
    fn rank(self) -> u8 {
        match self {
            Self::Skipped => 0,
            Self::Pass => 1,
            Self::Unreachable => 2,
            Self::Inconclusive => 3,
            Self::Fail => 4,
        }
    }

    /// The verdict over all of them: a `fail` decides, then what could not be found out, then `pass`. Nothing at all
    /// is `inconclusive`: an empty list of checks has shown nothing.
    #[must_use]
    pub fn of_all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max_by_key(|verdict| verdict.rank()).unwrap_or(Self::Inconclusive)
    }
}

impl Outcome {
    /// A pass; `cause` may say what was seen.
    #[must_use]
    pub fn pass(cause: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass, cause: cause.into() }
    }

    /// A fail, and why.
    #[must_use]
    pub fn fail(cause: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, cause: cause.into() }
    }

    /// Could not find out, and why.
    #[must_use]
    pub fn inconclusive(cause: impl Into<String>) -> Self {
        Self { verdict: Verdict::Inconclusive, cause: cause.into() }
    }

    /// Not reachable from here, and what was tried.
    #[must_use]
    pub fn unreachable(cause: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unreachable, cause: cause.into() }
    }

    /// Not asked, and why.
    #[must_use]
    pub fn skipped(cause: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, cause: cause.into() }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Pass, Self::Fail, Self::Inconclusive, Self::Unreachable, Self::Skipped]
            .into_iter()
            .find(|verdict| verdict.word() == text)
            .ok_or_else(|| format!("`{text}` is not a verdict"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fail_decides_and_nothing_at_all_passes_nothing() {
        use Verdict::{Fail, Inconclusive, Pass, Skipped, Unreachable};
        assert_eq!(Verdict::of_all([Pass, Fail, Inconclusive]), Fail);
        assert_eq!(Verdict::of_all([Pass, Unreachable]), Unreachable);
        assert_eq!(Verdict::of_all([Pass, Skipped]), Pass);
        assert_eq!(Verdict::of_all([Skipped]), Skipped);
        assert_eq!(Verdict::of_all([]), Inconclusive);
    }

    #[test]
    fn could_not_find_out_is_exit_3_and_never_1() {
        assert_eq!(Verdict::Inconclusive.exit_code().code(), 3);
        assert_eq!(Verdict::Unreachable.exit_code().code(), 3);
        assert_eq!(Verdict::Fail.exit_code().code(), 1);
        assert_eq!(Verdict::Skipped.exit_code().code(), 0);
    }
}
