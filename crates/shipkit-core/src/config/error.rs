//! `ConfigError`: everything that is wrong with a file, each with its place and what would be right.

use std::fmt;

use crate::exit::ExitCode;
use crate::hint::Hint;

/// Why a `shipkit.yml` and its Compose file are refused: at least one problem, in the order of each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The key path, `environments.staging.needs`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right, where that is known.
    pub hint: Option<String>,
}

impl ConfigError {
    /// What is wrong, in the order of each file, each once.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// `None` if there is no problem.
    pub(super) fn of(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|a, b| a.place().cmp(&b.place()));
        // A list that several environments share by an alias is wrong in one place.
        problems.dedup_by(|a, b| {
            (&a.file, a.line, a.column, &a.message) == (&b.file, b.line, b.column, &b.message)
        });
        (!problems.is_empty()).then_some(Self { problems })
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl Problem {
    fn place(&self) -> (&str, usize, usize, &str) {
        (&self.file, self.line, self.column, &self.path)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index != 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Hint for ConfigError {
    /// None: every problem carries its own, and says it in its message.
    fn hint(&self) -> Option<String> {
        None
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// The sentence that names the nearest of `known` words, or all of them where none is near.
pub(super) fn suggestion(word: &str, known: &[&str]) -> Option<String> {
    let distance = |other: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &other.to_lowercase());
    let nearest = known.iter().map(|other| (distance(other), other)).min();
    match nearest {
        Some((distance, other)) if distance <= 2 && distance < other.len() => {
            Some(format!("did you mean `{other}`?"))
        }
        Some(_) if known.len() == 1 => Some(format!("the only one is {}", list(known))),
        Some(_) => Some(format!("known are {}", list(known))),
        None => None,
    }
}

/// Words in backticks, with commas.
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
