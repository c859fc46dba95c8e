//! A rollout on a target where shipkit itself starts and stops the instances: (what is seen, how long it has taken) ->
//! one step.
//!
//! Rolling, blue-green and recreate are one way of going from a slot to the other, in batches: the new instances of a
//! batch come before the old ones leave, or after. Blue-green is one batch of all that comes first and is watched for a
//! while before the old ones stop; recreate is one batch of all that comes after. Going back is the same way in the other
//! direction. Every step is decided from what is there, so a run that was killed at any step is resumed by a new one that
//! is built with the same purpose.

mod course;
mod observation;
mod step;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CRASH_LOOP, Purpose, one_line};
use crate::target::Order;
use crate::verdict::Verdict;
use course::Course;
pub use observation::{Instance, Observation, Slot, State};
pub use step::Step;

/// How the instances are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Batch by batch. Start-first never has fewer in traffic than were promised before or are afterwards; stop-first has
    /// up to `parallelism` fewer.
    Rolling {
        /// How many at a time; 0 is all.
        parallelism: usize,
        /// The pause between batches.
        delay: Duration,
        /// Whether new instances start before old ones stop.
        order: Order,
    },
    /// All new instances beside the old ones, then the traffic shifts at once.
    BlueGreen {
        /// How long the old ones go on running after that, without traffic.
        bake: Duration,
    },
    /// The old ones stop, then the new ones start: between the two nobody serves.
    Recreate,
}

/// How a rollout proceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How the instances are replaced.
    pub strategy: Strategy,
    /// How many failures of new instances end the rollout; 0 counts as 1.
    pub budget: usize,
    /// How long a new instance must be ready before it counts. One that comes back has served before and need not wait.
    pub monitor: Duration,
    /// How long an instance without traffic goes on running for what it has begun.
    pub drain: Duration,
    /// How long it may take until the traffic has shifted, pauses included; the bake and the drain come on top.
    pub deadline: Duration,
}

/// A rollout of one service under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    service: String,
    purpose: Purpose,
    plan: Plan,
    /// The failures of each instance that are older than this rollout; `None` before the first look.
    old: Option<BTreeMap<String, u64>>,
    /// The failures of each instance during the rollout: also of those that are gone.
    failures: BTreeMap<String, u64>,
    /// The first of them in words: later ones are often only its echo.
    first: Option<String>,
}

impl Plan {
    /// A plan with the usual failure budget.
    #[must_use]
    pub fn new(strategy: Strategy, monitor: Duration, drain: Duration, deadline: Duration) -> Self {
        Self { strategy, budget: CRASH_LOOP, monitor, drain, deadline }
    }
}

impl Slots {
    /// A rollout of `service` that begins now, or goes on from whatever an earlier one left. A
    /// [`Deploy`](Purpose::Deploy) goes from the active slot to the preview slot, a [`Restore`](Purpose::Restore) back.
    #[must_use]
    pub fn new(service: impl Into<String>, purpose: Purpose, plan: Plan) -> Self {
        let service = service.into();
        Self { service, purpose, plan, old: None, failures: BTreeMap::new(), first: None }
    }

    /// Decides what to do, `elapsed` into the rollout.
    pub fn next(&mut self, seen: &Observation, elapsed: Duration) -> Step {
        self.remember(seen);
        if !seen.is_ours {
            let cause = format!("`{}` was changed by somebody else during the rollout", self.service);
            return Step::Overtaken { cause };
        }
        if let Some(end) = self.broken(seen) {
            return end;
        }
        let course = Course::new(self, seen);
        let (step, limit) = (course.step(), course.limit());
        if step != Step::Done && limit <= elapsed {
            return self.failed(&course.late(elapsed, self.first.as_deref()));
        }
        if let Step::Wait(time) = step {
            return Step::Wait(time.min(limit.saturating_sub(elapsed)));
        }
        if let Step::Restart { instances } = &step {
            // One that ends again at once looks as it did before, and has failed.
            self.old.get_or_insert_default().extend(instances.iter().map(|id| (id.clone(), 0)));
        }
        step
    }

    /// The slot that the rollout goes to.
    fn to(&self) -> Slot {
        match self.purpose {
            Purpose::Deploy => Slot::Preview,
            Purpose::Restore => Slot::Active,
        }
    }

    /// Counts what fails in the slot that the rollout goes to. What had failed before the first look is not counted: it is
    /// what a deploy of the same release repairs.
    fn remember(&mut self, seen: &Observation) {
        let to = self.to();
        let old = self.old.get_or_insert_with(|| {
            seen.instances.iter().map(|instance| (instance.id.clone(), instance.failures())).collect()
        });
        for instance in seen.instances.iter().filter(|instance| instance.slot == to) {
            let failures = instance.failures();
            let old = old.entry(instance.id.clone()).or_default();
            // It got well, or the target began to count anew.
            *old = failures.min(*old);
            let fresh = failures.saturating_sub(*old);
            let worst = self.failures.entry(instance.id.clone()).or_default();
            if *worst < fresh {
                *worst = fresh;
                self.first.get_or_insert_with(|| one_line(&instance.to_string()));
            }
        }
    }

    /// Whether this instance has failed during the rollout.
    fn has_failed(&self, instance: &Instance) -> bool {
        self.failures.get(&instance.id).is_some_and(|failures| 0 < *failures)
    }

    /// What ends the rollout before it arrives.
    fn broken(&self, seen: &Observation) -> Option<Step> {
        if let Some(why) = &seen.refused {
            return Some(self.failed(&format!("cannot start: {}", one_line(why))));
        }
        let failures: u64 = self.failures.values().sum();
        if u64::try_from(self.plan.budget.max(1)).is_ok_and(|budget| budget <= failures) {
            let first = self.first.as_deref().unwrap_or("its instances end");
            return Some(self.failed(&format!("keeps failing: {first}")));
        }
        let said = seen.verification.as_ref().filter(|_| self.purpose == Purpose::Deploy)?;
        let cause = one_line(&said.cause);
        match said.verdict {
            Verdict::Pass | Verdict::Skipped => None,
            Verdict::Fail => Some(self.failed(&format!("was not verified: {cause}"))),
            Verdict::Inconclusive | Verdict::Unreachable => {
                let cause = format!("whether `{}` is good could not be found out: {cause}", self.service);
                Some(Step::Held { cause })
            }
        }
    }

    fn failed(&self, why: &str) -> Step {
        let cause = format!("`{}` {why}", self.service);
        match self.purpose {
            Purpose::Deploy => Step::RollBack { cause },
            Purpose::Restore => Step::Stuck { cause },
        }
    }
}

#[cfg(test)]
mod tests;
