//! Talking to the GitHub Actions runner, and to people: inputs, events, outputs, summaries, annotations, masks, errors.
//!
//! A program is `fn main() -> ExitCode { shipkit_runner::run(my_crate::run) }`.

pub mod argv;
pub mod command;
pub mod env;
pub mod event;
pub mod failure;
pub mod files;
pub mod html;
mod log;
pub mod markdown;
pub mod output;
mod project;
mod run;
pub mod runner;
pub mod sanitize;
pub mod signal;

pub use argv::Verbatim;
pub use command::{Annotation, Level};
pub use env::Env;
pub use event::EventError;
pub use failure::Failure;
pub use output::OutputError;
pub use run::{run, run_with_default};
pub use runner::{Form, Group, Progress, Runner};
pub use signal::Signal;

/// The options that every program has; flatten it into the program's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct CommonArgs {
    /// Write what was found as JSON to standard output.
    #[arg(long, global = true)]
    pub json: bool,
}
