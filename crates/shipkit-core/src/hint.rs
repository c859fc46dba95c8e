//! `Hint`: what a person can do about an error.

use crate::exit::ExitCode;

/// An error that knows which exit code it means and, where one is known for sure, what to do about it.
pub trait Hint {
    /// What to do; `None` is better than a guess.
    fn hint(&self) -> Option<String>;

    /// What the process should end with.
    fn exit_code(&self) -> ExitCode;
}
