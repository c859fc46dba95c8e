//! What the cluster says about pods that are not as they should be, as the end of the sentence that tells of them.

use jiff::Timestamp;

use super::super::one_line;
use super::{Pod, Seen};

/// Of how many pods the events are asked for: the others say the same.
const ASKED: usize = 3;
/// What says most about why a pod is not ready, the most telling first. What is not named comes after these.
const TELLING: [&str; 6] = [
    "FailedScheduling",
    "FailedAttachVolume",
    "FailedMount",
    "FailedCreatePodSandBox",
    "FailedPostStartHook",
    "Unhealthy",
];
/// What says of a container only what the pod itself says, or that it is tried again.
const KNOWN: [&str; 2] = ["BackOff", "Failed"];

/// A warning about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The pod's name.
    pub pod: String,
    /// The container that it is about, if it is about one.
    pub container: Option<String>,
    /// One word.
    pub reason: String,
    /// A sentence. Foreign text.
    pub message: String,
    /// When it was said last, if it says.
    pub time: Option<Timestamp>,
}

impl Seen {
    /// The pods whose events may say why it is not as it should be: of the new revision, and not ready.
    pub fn asked(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| !pod.is_ready).take(ASKED)
    }
}

/// The cause, with the one event about these pods that tells most of what it does not say yet. Of two that tell as much it is the one
/// that was said last. Where the cause lies in a container, nothing is told of others, which may only be not ready yet.
#[must_use]
pub fn with_event(cause: String, events: &[Event]) -> String {
    let is_new = |event: &&Event| {
        let message = one_line(&event.message);
        let is_known = KNOWN.contains(&event.reason.as_str()) || cause.contains(&message);
        let is_elsewhere = |container: &String| {
            cause.contains("container `") && !cause.contains(&format!("container `{container}` of pod `"))
        };
        !message.is_empty() && !is_known && !event.container.as_ref().is_some_and(is_elsewhere)
    };
    let rank = |event: &&Event| {
        let reason = event.reason.as_str();
        let place = TELLING.iter().position(|one| *one == reason).unwrap_or(TELLING.len());
        (std::cmp::Reverse(place), event.time)
    };
    match events.iter().filter(is_new).max_by_key(rank) {
        Some(Event { pod, reason, message, .. }) => {
            format!("{cause}; event of pod `{pod}`: {}, {}", one_line(reason), one_line(message))
        }
        None => cause,
    }
}
