//! What is seen of a service whose instances shipkit itself starts and stops.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::rollout::CRASH_LOOP;
use crate::verdict::Outcome;

/// Which release an instance belongs to. The instance itself says so, by the digest and the stamp that it carries: there
/// is no other memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// What served before the rollout.
    Active,
    /// What the rollout brings.
    Preview,
    /// What an earlier rollout kept: older than the active slot, and not the release that is wanted.
    Retired,
}

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs and its health is not known yet, or it is being started again.
    Starting,
    /// It runs and is healthy; without a health check, it runs.
    Ready,
    /// It runs and its health check fails.
    Unhealthy,
    /// It does not run: it ended, or was stopped and kept. From outside the two are one, and so they are here: of the
    /// slot that the rollout goes to, one that stopped *during* the rollout has failed.
    Stopped {
        /// Its exit code.
        exit_code: i64,
    },
    /// Somebody removed it, and the proxy still names it.
    Gone,
}

/// One instance of the service: a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name or id: unique, and never used again for another one.
    pub id: String,
    /// Which release it belongs to.
    pub slot: Slot,
    /// What it does.
    pub state: State,
    /// For how long it has done that, by the clock of the target.
    pub age: Duration,
    /// How often the target started it again by itself, since it was last started on purpose.
    pub restarts: u64,
    /// Whether the proxy sends traffic to it. Where there is no proxy, as for a worker of a queue, the driver keeps the
    /// list of those that should work in a file, as if one read it.
    pub has_traffic: bool,
}

/// What is seen of the service. What could not be seen is an error of the driver's and never comes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Whether the specification on the target is still the one that this rollout put there.
    pub is_ours: bool,
    /// How many instances of the preview slot should run.
    pub wanted: usize,
    /// How many instances of the active slot should run: what its own files on the target say; 0 for a new service.
    pub before: usize,
    /// All instances of the service, in any order.
    pub instances: Vec<Instance>,
    /// How long ago the traffic was last told to go elsewhere, by the clock of the target: the age of the proxy's file.
    pub settled: Duration,
    /// What the verification of the preview slot said, once it has been run; `skipped` where there is nothing to verify.
    /// After the shift it may be replaced by what is seen then.
    pub verification: Option<Outcome>,
    /// The instances that it was about, by their ids.
    pub verified: BTreeSet<String>,
    /// Why the target refused to start an instance, if it did: a missing image, a port that is taken.
    pub refused: Option<String>,
}

impl Observation {
    /// How often each instance of the preview slot was started again.
    #[must_use]
    pub fn restarts(&self) -> BTreeMap<String, u64> {
        self.preview().map(|one| (one.id.clone(), one.restarts)).collect()
    }

    /// Why what had arrived in the preview slot does not run as it should any more, if that is so; `then` is how often each
    /// was started again when it arrived. What somebody else has changed since is theirs to judge.
    #[must_use]
    pub fn why_not_still(&self, service: &str, then: &BTreeMap<String, u64>) -> Option<String> {
        let crashes = |one: &Instance| one.restarts.saturating_sub(then.get(&one.id).copied().unwrap_or(0));
        let ready = self.preview().filter(|one| one.is_ready()).count();
        let loops = u64::try_from(CRASH_LOOP).unwrap_or(u64::MAX) <= self.preview().map(crashes).sum();
        if !self.is_ours || (self.wanted <= ready && !loops) {
            return None;
        }
        let failing = self.preview().find(|one| !one.is_ready() || 0 < crashes(one));
        let failing = failing.map(|one| format!(": {one}")).unwrap_or_default();
        let wanted = self.wanted;
        Some(format!(
            "`{service}` had arrived and does not run any more, {ready} of {wanted} instances ready{failing}"
        ))
    }

    fn preview(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|one| one.slot == Slot::Preview)
    }
}

impl Instance {
    /// Whether it runs, well or not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        match self.state {
            State::Starting | State::Ready | State::Unhealthy => true,
            State::Stopped { .. } | State::Gone => false,
        }
    }

    /// Whether it can serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// How often it failed, as far as can be seen of it.
    pub(super) fn failures(&self) -> u64 {
        let fails_now = match self.state {
            State::Unhealthy | State::Stopped { .. } | State::Gone => true,
            State::Starting | State::Ready => false,
        };
        self.restarts.saturating_add(u64::from(fails_now))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance `{}` ", self.id)?;
        match self.state {
            State::Stopped { exit_code } => write!(f, "ended with exit code {exit_code}"),
            State::Gone => f.write_str("is gone"),
            State::Unhealthy => f.write_str("is unhealthy"),
            State::Starting | State::Ready if 0 < self.restarts => {
                write!(f, "ended and was started again ({} times so far)", self.restarts)
            }
            State::Starting => f.write_str("runs and does not become ready"),
            State::Ready => f.write_str("is ready"),
        }
    }
}
