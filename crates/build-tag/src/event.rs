//! What is to be built: by the runner's event, or by git on a laptop.

use std::path::Path;

use jiff::Timestamp;
use shipkit_core::event::Event;
use shipkit_runner::{Failure, Runner};

use crate::git;

/// The event, and when its commit was made. The event's own time comes first, then git's, then, said out loud, now.
///
/// # Errors
/// When there is neither a runner's event nor a git checkout.
pub(crate) fn find(
    runner: &Runner,
    file: Option<&Path>,
    directory: &Path,
) -> Result<(Event, Timestamp), Failure> {
    let event = match runner.event(file, None)? {
        Some(event) => event,
        None => git::event(directory)?,
    };
    let committed = event.committed.or_else(|| git::commit_time(directory, &event.commit));
    let committed = committed.unwrap_or_else(|| {
        runner.say(&format!(
            "commit {} is in neither the event nor the checkout: its date is taken as now",
            event.commit
        ));
        runner.now()
    });
    Ok((event, committed))
}
