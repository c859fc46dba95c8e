//! `Failure`: an error on its way to the one place that prints it.

use std::fmt;

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;

/// An error with its causes, what to do about it, and what the process ends with. Any error that implements
/// [`Hint`] becomes one by `?`.
pub struct Failure {
    /// What failed, with its causes.
    pub error: anyhow::Error,
    /// What to do about it.
    pub hint: Option<String>,
    /// What the process ends with.
    pub exit: ExitCode,
}

impl<E: std::error::Error + Hint + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { hint: error.hint(), exit: error.exit_code(), error: error.into() }
    }
}

impl Failure {
    /// Asked wrongly: exit 2.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// Could not find out: exit 3.
    pub fn unknown(message: impl fmt::Display) -> Self {
        Self::new(ExitCode::Unknown, message)
    }

    fn new(exit: ExitCode, message: impl fmt::Display) -> Self {
        Self { error: anyhow::Error::msg(message.to_string()), hint: None, exit }
    }

    /// With this hint, in place of the one that the error itself has.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a sentence before: what was tried when the error came.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.error = self.error.context(what.to_string());
        self
    }

    /// The error and its causes in one sentence. A cause that the text before it ends with is not said twice.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut sentence = String::new();
        for cause in self.error.chain() {
            let cause = cause.to_string();
            if sentence.is_empty() {
                sentence = cause;
            } else if !sentence.ends_with(&cause) {
                sentence = format!("{sentence}: {cause}");
            }
        }
        sentence
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}: {}", self.exit.code(), self.sentence())?;
        self.hint.iter().try_for_each(|hint| write!(f, " (hint: {hint})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read `a`")]
    struct Outer(#[source] std::io::Error);

    impl Hint for Outer {
        fn hint(&self) -> Option<String> {
            Some("look".to_owned())
        }

        fn exit_code(&self) -> ExitCode {
            ExitCode::Unknown
        }
    }

    #[test]
    fn an_error_keeps_its_causes_hint_and_exit_code() {
        let failure = Failure::from(Outer(std::io::Error::other("disk on fire"))).context("release `r`");
        assert_eq!(
            format!("{failure:?}"),
            "exit 3: release `r`: could not read `a`: disk on fire (hint: look)"
        );
    }

    #[test]
    fn a_cause_is_said_once() {
        let failure =
            Failure { error: anyhow::Error::msg("x").context("no: x"), hint: None, exit: ExitCode::No };
        assert_eq!(failure.sentence(), "no: x");
    }
}
