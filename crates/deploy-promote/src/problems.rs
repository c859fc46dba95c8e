//! `Problems`: every reason not to begin, told at once.

use shipkit_core::exit::ExitCode;
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_docker::Preflight;
use shipkit_runner::Failure;

/// What was found so far.
#[derive(Default)]
pub(crate) struct Problems(Vec<Failure>);

impl Problems {
    /// Keeps an error, and gives what came instead of one.
    pub(crate) fn note<T>(&mut self, found: Result<T, impl Into<Failure>>) -> Option<T> {
        found.map_err(|error| self.0.push(error.into())).ok()
    }

    /// Keeps what a target found in the way of a deploy, or why it could not be asked; gives what a person should know.
    pub(crate) fn found<E: Into<Failure>>(&mut self, found: Result<Preflight<E>, E>) -> Vec<String> {
        let Some(found) = self.note(found) else { return Vec::new() };
        self.0.extend(found.problems.into_iter().map(Into::into));
        found.remarks
    }

    /// Keeps a refusal.
    pub(crate) fn refused(&mut self, refusal: &Outcome) {
        let failure = Failure::unknown(&refusal.cause);
        let exit = if refusal.verdict == Verdict::Fail { ExitCode::No } else { ExitCode::Unknown };
        self.0.push(Failure { exit, ..failure });
    }

    /// Nothing, if nothing was found.
    ///
    /// # Errors
    /// With all that was found.
    pub(crate) fn told(&mut self) -> Result<(), Failure> {
        match std::mem::take(&mut self.0) {
            none if none.is_empty() => Ok(()),
            found => Err(together(found)),
        }
    }

    /// The error, where it cannot go on without what it did not find.
    pub(crate) fn ended<T>(self) -> Result<T, Failure> {
        Err(together(self.0))
    }
}

/// One failure that says all. What was asked wrongly counts first, then what is refused: the rest may mend itself.
fn together(mut found: Vec<Failure>) -> Failure {
    if found.len() == 1
        && let Some(only) = found.pop()
    {
        return only;
    }
    let has = |exit: ExitCode| found.iter().any(|failure| failure.exit == exit);
    let exit =
        [ExitCode::Usage, ExitCode::No].into_iter().find(|exit| has(*exit)).unwrap_or(ExitCode::Unknown);
    let say = |failure: &Failure| {
        let hint = failure.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}{hint}", failure.sentence())
    };
    let all: Vec<_> = found.iter().map(say).collect();
    Failure { exit, ..Failure::unknown(format!("{} problems: {}", all.len(), all.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(found: Vec<Failure>) -> (String, ExitCode) {
        let failure = together(found);
        (failure.sentence(), failure.exit)
    }

    #[test]
    fn one_problem_is_itself_and_several_are_told_together() {
        let usage = || Failure::usage("a").with_hint("do b");
        assert_eq!(together(vec![usage()]).hint.as_deref(), Some("do b"));
        let both = told(vec![Failure::unknown("c"), usage()]);
        assert_eq!(both, ("2 problems: c; a (do b)".to_owned(), ExitCode::Usage));
        assert_eq!(told(vec![Failure::unknown("c"), Failure::unknown("d")]).1, ExitCode::Unknown);
        assert!(Problems::default().told().is_ok());
    }

    #[test]
    fn a_refusal_counts_more_than_what_could_not_be_found_out() {
        let mut problems = Problems::default();
        problems.refused(&Outcome::fail("no"));
        problems.note::<()>(Err(Failure::unknown("c")));
        assert_eq!(problems.told().unwrap_err().exit, ExitCode::No);
        problems.refused(&Outcome::inconclusive("missing"));
        assert_eq!(problems.told().unwrap_err().exit, ExitCode::Unknown);
    }
}
