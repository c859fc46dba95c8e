//! What to do next in a rollout whose instances shipkit itself starts and stops.

use std::fmt;
use std::time::Duration;

use super::observation::Slot;

/// One step. The driver carries it out, looks again and asks again; a step that was carried out by half is no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Look again after this time.
    Wait(Duration),
    /// Start this many new instances.
    Start {
        /// Of which release.
        slot: Slot,
        /// How many.
        count: usize,
    },
    /// Start instances again that are there and stopped.
    Restart {
        /// Their ids.
        instances: Vec<String>,
    },
    /// Verify these instances of the preview slot, before traffic goes to them.
    Verify {
        /// Their ids.
        instances: Vec<String>,
    },
    /// Send the traffic to these instances and no others. All of them are ready; nobody gets traffic if there are none.
    Shift {
        /// Their ids.
        to: Vec<String>,
    },
    /// Stop instances, with the time that they have for it, and keep them for a return. They get no traffic any more.
    Stop {
        /// Their ids.
        instances: Vec<String>,
    },
    /// Remove instances; what runs is stopped first, with the time that it has for it. They get no traffic any more. What
    /// failed is among them: show its last lines before.
    Remove {
        /// Their ids.
        instances: Vec<String>,
    },
    /// The slot that the rollout goes to serves alone, and nothing is left behind.
    Done,
    /// It failed, and what was there before must come back: write that down, then go on with a
    /// [`Restore`](super::super::Purpose::Restore).
    RollBack {
        /// Why, in one sentence.
        cause: String,
    },
    /// Whether the preview slot is good could not be found out. Everything stays as it is; the next run goes on from here,
    /// forward or back.
    Held {
        /// Why, in one sentence.
        cause: String,
    },
    /// Somebody else changed the service meanwhile: what they put there is theirs to judge.
    Overtaken {
        /// What was seen, in one sentence.
        cause: String,
    },
    /// Going back did not work either: a person must look. Nothing that serves was touched.
    Stuck {
        /// Why, in one sentence.
        cause: String,
    },
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Preview => "preview",
            Self::Retired => "retired",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(_) => f.write_str("wait"),
            Self::Start { slot, count } => write!(f, "start {count} in the {slot} slot"),
            Self::Restart { instances } => write!(f, "start {} again", names(instances)),
            Self::Verify { instances } => write!(f, "verify {}", names(instances)),
            Self::Shift { to } if to.is_empty() => f.write_str("send the traffic to nobody"),
            Self::Shift { to } => write!(f, "send the traffic to {}", names(to)),
            Self::Stop { instances } => write!(f, "stop and keep {}", names(instances)),
            Self::Remove { instances } => write!(f, "remove {}", names(instances)),
            Self::Done => f.write_str("done"),
            Self::RollBack { cause } => write!(f, "roll back: {cause}"),
            Self::Held { cause } => write!(f, "hold: {cause}"),
            Self::Overtaken { cause } => write!(f, "leave it: {cause}"),
            Self::Stuck { cause } => write!(f, "stuck: {cause}"),
        }
    }
}

fn names(instances: &[String]) -> String {
    instances.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}
