//! `Job`: a command that runs once per release, in the new image of a service, before the release is rolled out.

use std::time::Duration;

use super::DesiredService;

/// A command that runs once per release.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The service whose image, environment, secrets and volumes it gets.
    pub service: &'a DesiredService,
    /// What it runs, in place of the command of the image.
    pub command: &'a [String],
    /// Whether it was begun before: then it is waited for, and a container that is gone is not made again.
    pub is_begun: bool,
    /// How long it is waited for.
    pub limit: Duration,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// It ended well.
    Done,
    /// It had ended well before, for this very release, and was not run again.
    DoneBefore,
    /// It was begun before and is not there any more: how it ended is not known.
    Gone,
    /// It failed, or does not end. What it has already done stays done.
    Failed {
        /// Why, in one sentence.
        cause: String,
    },
}
