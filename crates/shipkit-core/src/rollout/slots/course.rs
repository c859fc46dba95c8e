//! `Course`: the way from one slot to the other, decided from what is there now.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::time::Duration;

use super::{Instance, Observation, Slot, Slots, State, Step, Strategy};
use crate::rollout::{LOOK_AGAIN, Purpose};
use crate::target::Order;
use crate::verdict::Verdict;

/// A step to take now, or nothing to do here: go on to the next question.
type Decision = ControlFlow<Step>;

/// The way from one slot to the other.
pub(super) struct Course<'a> {
    slots: &'a Slots,
    seen: &'a Observation,
    /// Where it goes, and how many should serve there.
    to: Slot,
    wanted: usize,
    /// How many should have served in the slot that leaves.
    before: usize,
    order: Order,
    /// How many are replaced at a time.
    batch: usize,
    delay: Duration,
    /// How long one must be ready before it counts.
    monitor: Duration,
    /// How long one that leaves goes on running without traffic.
    hold: Duration,
}

impl<'a> Course<'a> {
    /// The way that `slots` goes. Going back is urgent: nothing is paused, watched or verified, and where old and new can
    /// run beside each other all come back at once.
    pub(super) fn new(slots: &'a Slots, seen: &'a Observation) -> Self {
        let plan = &slots.plan;
        let (order, parallelism, delay, bake) = match plan.strategy {
            Strategy::Rolling { parallelism, delay, order } => (order, parallelism, delay, Duration::ZERO),
            Strategy::BlueGreen { bake } => (Order::StartFirst, 0, Duration::ZERO, bake),
            Strategy::Recreate => (Order::StopFirst, 0, Duration::ZERO, Duration::ZERO),
        };
        let batch = if parallelism == 0 { usize::MAX } else { parallelism };
        let forward = Self {
            slots,
            seen,
            to: slots.to(),
            wanted: seen.wanted,
            before: seen.before,
            order,
            batch,
            delay,
            monitor: plan.monitor,
            hold: plan.drain.max(bake),
        };
        match slots.purpose {
            Purpose::Deploy => forward,
            Purpose::Restore => Self {
                wanted: seen.before,
                before: seen.wanted,
                batch: if order == Order::StartFirst { usize::MAX } else { batch },
                delay: Duration::ZERO,
                monitor: Duration::ZERO,
                hold: plan.drain,
                ..forward
            },
        }
    }

    /// The next step.
    pub(super) fn step(&self) -> Step {
        match self.decide() {
            ControlFlow::Break(step) => step,
            ControlFlow::Continue(()) => Step::Done,
        }
    }

    /// How long it may take: what comes after the shift has its own times.
    pub(super) fn limit(&self) -> Duration {
        let plan = &self.slots.plan;
        if self.has_shifted() {
            plan.deadline.saturating_add(self.hold).saturating_add(plan.drain)
        } else {
            plan.deadline
        }
    }

    /// What is missing when the time is over; `failure` is the first one that was seen.
    pub(super) fn late(&self, elapsed: Duration, failure: Option<&str>) -> String {
        let seconds = elapsed.as_secs();
        if self.has_shifted() {
            return format!("serves, and what it replaces was not gone within {seconds} s");
        }
        let ready = self.arriving().filter(|one| one.is_ready()).count();
        let slow = self.arriving().find(|one| one.state == State::Starting).map(ToString::to_string);
        let reason = failure.map(str::to_owned).or(slow);
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let wanted = self.wanted;
        format!("did not converge within {seconds} s, {ready} of {wanted} instances ready{reason}")
    }

    /// Whether the slot that it goes to serves alone.
    fn has_shifted(&self) -> bool {
        self.wanted <= self.serving() && !self.leavers().any(|one| one.has_traffic)
    }

    fn decide(&self) -> Decision {
        self.rescue()?;
        self.clear_failed()?;
        match self.order {
            Order::StopFirst => self.make_room()?,
            Order::StartFirst if (1..self.wanted).contains(&self.serving()) => {
                self.verify()?;
                self.retire(self.allowed(self.serving()))?;
            }
            Order::StartFirst => {}
        }
        self.raise()?;
        self.verify()?;
        self.shift(self.traffic())?;
        self.retire(0)?;
        self.clean()
    }

    /// The instances of the slot that it goes to.
    fn arriving(&self) -> impl Iterator<Item = &'a Instance> {
        self.of(self.to)
    }

    /// The instances of the slot that leaves; what an earlier rollout should have stopped leaves with them.
    fn leavers(&self) -> impl Iterator<Item = &'a Instance> {
        self.seen.instances.iter().filter(|instance| instance.slot != self.to)
    }

    fn of(&self, slot: Slot) -> impl Iterator<Item = &'a Instance> {
        self.seen.instances.iter().filter(move |instance| instance.slot == slot)
    }

    /// Whether it has been ready for long enough.
    fn is_good(&self, instance: &Instance) -> bool {
        instance.is_ready() && self.monitor <= instance.age
    }

    /// How many good instances have arrived and get traffic.
    fn serving(&self) -> usize {
        self.arriving().filter(|one| one.has_traffic && self.is_good(one)).count()
    }

    /// How many should have arrived when this batch is over.
    fn goal(&self) -> usize {
        self.wanted.min(self.serving().saturating_add(self.batch))
    }

    /// How many that leave may be left when `arrived` serve. Where there is only one batch, they leave together.
    fn allowed(&self, arrived: usize) -> usize {
        if self.wanted <= arrived {
            0
        } else if self.batch == usize::MAX {
            usize::MAX
        } else {
            self.before.saturating_sub(arrived)
        }
    }

    /// How many ready instances in traffic the strategy promises.
    fn promised(&self) -> usize {
        let both = self.wanted.min(self.before);
        match self.order {
            Order::StartFirst => both,
            Order::StopFirst => both.saturating_sub(self.batch),
        }
    }

    /// Takes the traffic away from new instances that fell ill, and gives it back to old ones if too few are left. An old
    /// one that falls ill on the way forward is left to the proxy: what is broken must not keep its repair from coming.
    fn rescue(&self) -> Decision {
        let is_back = self.slots.purpose == Purpose::Restore;
        let is_lame = |one: &&Instance| !one.is_ready() && (is_back || one.slot == Slot::Preview);
        let in_traffic = || self.seen.instances.iter().filter(|one| one.has_traffic);
        let serving: Vec<&Instance> = in_traffic().filter(|one| one.is_ready()).collect();
        let missing = self.promised().saturating_sub(serving.len());
        let spare: Vec<&Instance> =
            self.of(Slot::Active).filter(|one| one.is_ready() && !one.has_traffic).take(missing).collect();
        let can_do_better = !serving.is_empty() || !spare.is_empty() || self.order == Order::StopFirst;
        if spare.is_empty() && !(in_traffic().any(|one| is_lame(&one)) && can_do_better) {
            return Decision::Continue(());
        }
        self.shift(serving.into_iter().chain(spare).collect())
    }

    /// Removes what failed, so that another one takes its place.
    fn clear_failed(&self) -> Decision {
        let is_failed = |one: &&Instance| match one.state {
            State::Unhealthy => true,
            State::Stopped { .. } => self.slots.has_failed(one),
            State::Starting | State::Ready | State::Gone => false,
        };
        let failed = ids(self.arriving().filter(|one| !one.has_traffic).filter(is_failed));
        if failed.is_empty() {
            return Decision::Continue(());
        }
        Decision::Break(Step::Remove { instances: failed })
    }

    /// Stop-first: as many leave as the batch brings.
    fn make_room(&self) -> Decision {
        let allowed = self.allowed(self.goal());
        if allowed < self.leavers().filter(|one| one.has_traffic).count() {
            self.pause()?;
            let stays = self.arriving().filter(|one| one.is_ready() && one.has_traffic);
            self.shift(stays.chain(self.last(allowed)).collect())?;
        }
        self.retire(allowed)
    }

    /// The pause between two batches.
    fn pause(&self) -> Decision {
        if self.serving() == 0 || self.delay <= self.seen.settled {
            return Decision::Continue(());
        }
        wait()
    }

    /// Stops what leaves and gets no traffic any more, down to this many. Going back removes it: it is what failed.
    fn retire(&self, allowed: usize) -> Decision {
        let excess = self.leavers().filter(|one| one.is_running()).count().saturating_sub(allowed);
        let mut idle: Vec<&Instance> =
            self.leavers().filter(|one| one.is_running() && !one.has_traffic).collect();
        idle.sort_by_key(|one| one.is_ready());
        idle.truncate(excess);
        if idle.is_empty() {
            return Decision::Continue(());
        }
        if self.seen.settled < self.hold {
            return wait();
        }
        let instances = ids(idle.into_iter());
        Decision::Break(match self.slots.purpose {
            Purpose::Deploy => Step::Stop { instances },
            Purpose::Restore => Step::Remove { instances },
        })
    }

    /// Brings the batch up: what is there and stopped is started again, the rest is new.
    fn raise(&self) -> Decision {
        let alive = self.arriving().filter(|one| matches!(one.state, State::Starting | State::Ready)).count();
        let missing = self.goal().saturating_sub(alive);
        if 0 < missing {
            if self.order == Order::StartFirst {
                self.pause()?;
            }
            let can_start =
                |one: &&Instance| matches!(one.state, State::Stopped { .. }) && !self.slots.has_failed(one);
            let stopped = ids(self.arriving().filter(can_start).take(missing));
            return Decision::Break(if stopped.is_empty() {
                Step::Start { slot: self.to, count: missing }
            } else {
                Step::Restart { instances: stopped }
            });
        }
        if self.arriving().filter(|one| self.is_good(one)).count() < self.goal() {
            return wait();
        }
        Decision::Continue(())
    }

    /// No new instance gets traffic, and start-first nothing old stops, before it is verified. What has nothing to verify
    /// is asked about once.
    fn verify(&self) -> Decision {
        let is_verified = |one: &&Instance| match &self.seen.verification {
            Some(said) => said.verdict == Verdict::Skipped || self.seen.verified.contains(&one.id),
            None => false,
        };
        let unverified = ids(self.arriving().filter(|one| self.is_good(one)).filter(|one| !is_verified(one)));
        let is_over = self.is_traffic(&self.traffic()) && !self.leavers().any(Instance::is_running);
        if self.slots.purpose != Purpose::Deploy || unverified.is_empty() || is_over {
            return Decision::Continue(());
        }
        Decision::Break(Step::Verify { instances: unverified })
    }

    /// Who should get traffic when the batch is up.
    fn traffic(&self) -> Vec<&'a Instance> {
        let most = if self.to == Slot::Preview { self.wanted } else { usize::MAX };
        let mut arrived: Vec<&Instance> =
            self.arriving().filter(|one| self.is_good(one) || (one.is_ready() && one.has_traffic)).collect();
        arrived.sort_by_key(|one| (!one.has_traffic, Reverse(one.age)));
        arrived.truncate(most);
        arrived.into_iter().chain(self.last(self.allowed(self.goal()))).collect()
    }

    /// Those that leave and go on serving, up to this many.
    fn last(&self, allowed: usize) -> impl Iterator<Item = &'a Instance> {
        self.leavers().filter(|one| one.is_ready() && one.has_traffic).take(allowed)
    }

    fn is_traffic(&self, to: &[&Instance]) -> bool {
        self.seen.instances.iter().all(|one| one.has_traffic == to.iter().any(|other| other.id == one.id))
    }

    fn shift(&self, to: Vec<&Instance>) -> Decision {
        if self.is_traffic(&to) {
            return Decision::Continue(());
        }
        Decision::Break(Step::Shift { to: ids(to.into_iter()) })
    }

    /// Removes what is left over: more than were wanted, and what nothing returns to any more.
    fn clean(&self) -> Decision {
        let unwanted = match self.slots.purpose {
            Purpose::Deploy => Slot::Retired,
            Purpose::Restore => Slot::Preview,
        };
        let left: Vec<&Instance> =
            self.arriving().chain(self.of(unwanted)).filter(|one| !one.has_traffic).collect();
        if left.is_empty() {
            return Decision::Continue(());
        }
        if left.iter().any(|one| one.is_running()) && self.seen.settled < self.slots.plan.drain {
            return wait();
        }
        Decision::Break(Step::Remove { instances: ids(left.into_iter()) })
    }
}

fn wait() -> Decision {
    Decision::Break(Step::Wait(LOOK_AGAIN))
}

fn ids<'a>(instances: impl Iterator<Item = &'a Instance>) -> Vec<String> {
    instances.map(|instance| instance.id.clone()).collect()
}
