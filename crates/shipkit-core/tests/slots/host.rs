//! A host that is played: instances with fates, drivers that are killed, people who meddle. It checks what must hold at
//! every step.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::sample::Index;
use shipkit_core::rollout::Purpose;
use shipkit_core::rollout::slots::{Instance, Observation, Slot, Slots, State, Step, Strategy as Way};
use shipkit_core::target::Order;
use shipkit_core::{Outcome, Verdict};

use crate::{DEADLINE, DRAIN, MANY, plan};

/// What becomes of an instance, by the milliseconds since its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    Good(u64),
    Never,
    /// Ends before it is ready.
    Crash(u64),
    /// Is ready, and ends later.
    Late(u64, u64),
    /// Is ready, and falls ill later.
    Ill(u64, u64),
    /// Ends, and the target starts it again and again.
    Loop(u64),
}

impl Fate {
    /// The state, since when it is so, and how often the target has started it again.
    fn at(self, time: u64) -> (State, u64, u64) {
        let ended = State::Stopped { exit_code: 3 };
        match self {
            Self::Good(ready) | Self::Late(ready, _) | Self::Ill(ready, _) if time < ready => {
                (State::Starting, 0, 0)
            }
            Self::Crash(end) if time < end => (State::Starting, 0, 0),
            Self::Good(ready) => (State::Ready, ready, 0),
            Self::Late(ready, end) | Self::Ill(ready, end) if time < end => (State::Ready, ready, 0),
            Self::Never => (State::Starting, 0, 0),
            Self::Crash(end) | Self::Late(_, end) => (ended, end, 0),
            Self::Ill(_, end) => (State::Unhealthy, end, 0),
            Self::Loop(every) => (State::Starting, time / every * every, time / every),
        }
    }

    fn is_good(self) -> bool {
        matches!(self, Self::Good(_))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct One {
    pub(crate) id: String,
    pub(crate) slot: Slot,
    pub(crate) fate: Fate,
    pub(crate) started: u64,
    /// When somebody stopped it.
    pub(crate) stopped: Option<u64>,
    pub(crate) has_traffic: bool,
    /// When it was last in traffic.
    pub(crate) served: Option<u64>,
    pub(crate) is_gone: bool,
}

/// How a run of the driver ends before its time, at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kill {
    Before,
    /// Only the first of several instances is done.
    Half,
    After,
    /// And the next run is told to go back.
    Back,
}

#[derive(Debug, Clone)]
pub(crate) enum Meddle {
    Stop(Index),
    Delete(Index),
    TakeTraffic(Index),
    /// Another specification is put in place.
    Change,
}

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) way: Way,
    pub(crate) wanted: usize,
    pub(crate) before: usize,
    /// What an unknown past has left, instead of `before` good instances.
    pub(crate) left: Option<Vec<One>>,
    pub(crate) purpose: Purpose,
    /// Of new instances in the order of their starts, and then of the first again.
    pub(crate) fates: Vec<Fate>,
    /// Of old instances that start again.
    pub(crate) old_fates: Vec<Fate>,
    pub(crate) verdict: Verdict,
    pub(crate) kills: Vec<(usize, Kill)>,
    pub(crate) meddling: Option<(usize, Meddle)>,
}

impl Scenario {
    /// How many ready ones in traffic are promised.
    pub(crate) fn promised(&self) -> usize {
        let both = self.wanted.min(self.before);
        match self.way {
            Way::Rolling { order: Order::StopFirst, parallelism: 0, .. } | Way::Recreate => 0,
            Way::Rolling { order: Order::StopFirst, parallelism, .. } => both.saturating_sub(parallelism),
            Way::Rolling { order: Order::StartFirst, .. } | Way::BlueGreen { .. } => both,
        }
    }

    pub(crate) fn is_undisturbed(&self) -> bool {
        self.meddling.is_none() && self.old_fates.iter().all(|fate| fate.is_good())
    }

    pub(crate) fn is_all_good(&self) -> bool {
        self.is_undisturbed()
            && self.fates.iter().all(|fate| fate.is_good())
            && matches!(self.verdict, Verdict::Pass | Verdict::Skipped)
    }
}

pub(crate) struct Host<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) now: u64,
    pub(crate) shifted: u64,
    pub(crate) ones: Vec<One>,
    pub(crate) starts: [usize; 2],
    pub(crate) steps: usize,
    pub(crate) is_changed: bool,
    /// The journal: which way it goes.
    pub(crate) purpose: Purpose,
    /// What the verification said; a killed run takes it along.
    pub(crate) verification: Option<Verdict>,
    pub(crate) verified: BTreeSet<String>,
}

impl<'a> Host<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        let now = 10_000_000;
        let old = |number| One {
            id: format!("old-{number}"),
            slot: Slot::Active,
            fate: Fate::Good(0),
            started: 0,
            stopped: None,
            has_traffic: true,
            served: None,
            is_gone: false,
        };
        let ones = scenario.left.clone().unwrap_or_else(|| (0..scenario.before).map(old).collect());
        let verification = (scenario.verdict == Verdict::Skipped).then_some(Verdict::Skipped);
        let purpose = scenario.purpose;
        Self {
            scenario,
            now,
            shifted: now - 1_000_000,
            ones,
            starts: [0, 0],
            steps: 0,
            is_changed: false,
            purpose,
            verification,
            verified: BTreeSet::new(),
        }
    }

    fn state(&self, one: &One) -> (State, u64, u64) {
        if one.is_gone {
            return (State::Gone, 0, 0);
        }
        if let Some(at) = one.stopped {
            return (State::Stopped { exit_code: 143 }, self.now - at, 0);
        }
        let time = self.now - one.started;
        let (state, since, restarts) = one.fate.at(time);
        (state, time - since, restarts)
    }

    fn is_ready(&self, one: &One) -> bool {
        self.state(one).0 == State::Ready
    }

    fn is_running(&self, one: &One) -> bool {
        !matches!(self.state(one).0, State::Stopped { .. } | State::Gone)
    }

    fn serving(&self) -> usize {
        self.ones.iter().filter(|one| one.has_traffic && self.is_ready(one)).count()
    }

    fn running(&self, slot: Slot) -> usize {
        self.ones.iter().filter(|one| one.slot == slot && self.is_running(one)).count()
    }

    pub(crate) fn see(&self) -> Observation {
        let instances = self.ones.iter().filter(|one| !one.is_gone || one.has_traffic).map(|one| {
            let (state, age, restarts) = self.state(one);
            let age = Duration::from_millis(age);
            Instance {
                id: one.id.clone(),
                slot: one.slot,
                state,
                age,
                restarts,
                has_traffic: one.has_traffic,
            }
        });
        Observation {
            is_ours: !self.is_changed,
            wanted: self.scenario.wanted,
            before: self.scenario.before,
            instances: instances.collect(),
            settled: Duration::from_millis(self.now - self.shifted),
            verification: self
                .verification
                .map(|verdict| Outcome { verdict, cause: "the checks said so".to_owned() }),
            verified: self.verified.clone(),
            refused: None,
        }
    }

    fn one(&mut self, id: &str) -> &mut One {
        self.ones.iter_mut().find(|one| one.id == id).unwrap_or_else(|| panic!("there is no {id}"))
    }

    /// Stops or removes one, which must have no traffic and have had time for what it had begun.
    fn end(&mut self, id: &str, keep: bool) {
        let now = self.now;
        let one = self.one(id).clone();
        assert!(!one.has_traffic, "{id} still gets traffic");
        let has_drained = one.served.is_none_or(|served| served + DRAIN <= now);
        assert!(has_drained || !self.is_ready(&one), "{id} is stopped before it has drained");
        assert!(!one.is_gone, "{id} is gone already");
        if keep {
            self.one(id).stopped = Some(now);
        } else {
            self.ones.retain(|one| one.id != id);
        }
    }

    fn start(&mut self, slot: Slot) {
        let fate = self.fate(slot);
        let id = format!("{slot}-{}", self.starts.iter().sum::<usize>());
        let started = self.now;
        self.ones.push(One {
            id,
            slot,
            fate,
            started,
            stopped: None,
            has_traffic: false,
            served: None,
            is_gone: false,
        });
    }

    fn fate(&mut self, slot: Slot) -> Fate {
        let (kind, fates) = match slot {
            Slot::Preview => (0, &self.scenario.fates),
            Slot::Active | Slot::Retired => (1, &self.scenario.old_fates),
        };
        self.starts[kind] += 1;
        fates[(self.starts[kind] - 1) % fates.len()]
    }

    /// Carries out a step, or the first half of it, and checks what it must not do.
    fn carry_out(&mut self, step: &Step, is_half: bool) {
        let some =
            |ids: &[String]| ids.iter().take(if is_half { 1 } else { MANY }).cloned().collect::<Vec<_>>();
        let serving = self.serving();
        let active = self.ones.iter().filter(|one| one.slot == Slot::Active && !one.is_gone).count();
        match step {
            Step::Wait(time) => {
                assert!(Duration::ZERO < *time, "a wait of no time");
                self.check_traffic();
                self.now += u64::try_from(time.as_millis()).unwrap();
            }
            Step::Start { slot, count } => {
                assert!(0 < *count && *slot != Slot::Retired);
                self.check_room(*slot, *count);
                for _ in 0..if is_half { 1 } else { *count } {
                    self.start(*slot);
                }
            }
            Step::Restart { instances } => {
                self.check_room(self.to(), instances.len());
                for id in some(instances) {
                    let slot = self.one(&id).slot;
                    assert_eq!(slot, self.to(), "{id} is started again");
                    let (fate, now) = (self.fate(slot), self.now);
                    let one = self.one(&id);
                    (one.fate, one.started, one.stopped, one.served) = (fate, now, None, None);
                }
            }
            Step::Verify { instances } => {
                assert!(self.purpose == Purpose::Deploy && !instances.is_empty());
                for id in instances {
                    let one = self.one(id).clone();
                    assert!(one.slot == Slot::Preview && self.is_ready(&one), "{id} is verified");
                    assert!(self.verified.insert(id.clone()), "{id} is verified twice");
                }
                self.verification = Some(self.scenario.verdict);
            }
            // The file is renamed into its place: there is no half of it.
            Step::Shift { to } => self.shift(to),
            Step::Stop { instances } => some(instances).iter().for_each(|id| self.end(id, true)),
            Step::Remove { instances } => some(instances).iter().for_each(|id| self.end(id, false)),
            Step::Done
            | Step::RollBack { .. }
            | Step::Held { .. }
            | Step::Overtaken { .. }
            | Step::Stuck { .. } => panic!("{step} is an end"),
        }
        if !matches!(step, Step::Wait(_)) {
            let floor = self.scenario.promised().min(serving);
            assert!(floor <= self.serving(), "{} serve after: {step}; {floor} were promised", self.serving());
            if self.purpose == Purpose::Deploy {
                let left = self.ones.iter().filter(|one| one.slot == Slot::Active && !one.is_gone).count();
                assert!(active <= left, "there is no way back after: {step}");
            }
        }
    }

    /// Nothing waits while the traffic could go to better places.
    fn check_traffic(&self) {
        let serving = self.serving();
        for one in self.ones.iter().filter(|one| one.slot == Slot::Preview && one.has_traffic) {
            assert!(self.is_ready(one) || serving == 0, "{} keeps traffic and is not ready", one.id);
        }
        let is_idle = |one: &&One| one.slot == Slot::Active && !one.has_traffic && self.is_ready(one);
        let idle = self.ones.iter().filter(is_idle).count();
        assert!(self.scenario.promised() <= serving || idle == 0, "{serving} serve, and {idle} could");
    }

    /// Not more at a time than the strategy says, and not beside each other where that is not possible.
    fn check_room(&self, slot: Slot, count: usize) {
        let (other, wanted) = match slot {
            Slot::Preview => (Slot::Active, self.scenario.wanted),
            Slot::Active | Slot::Retired => (Slot::Preview, self.scenario.before),
        };
        assert!(
            self.running(slot) + count <= wanted + self.ill(slot),
            "more than {wanted} in the {slot} slot"
        );
        match self.scenario.way {
            Way::Recreate => assert_eq!(self.running(other), 0, "old and new run beside each other"),
            Way::Rolling { parallelism, order, .. } if 0 < parallelism => {
                let is_urgent = self.purpose == Purpose::Restore && order == Order::StartFirst;
                assert!(is_urgent || count <= parallelism, "{count} start at a time");
                if order == Order::StopFirst && self.scenario.left.is_none() {
                    let most = self.scenario.wanted.max(self.scenario.before);
                    assert!(self.running(slot) + self.running(other) + count <= most, "no room for {count}");
                }
            }
            Way::Rolling { .. } | Way::BlueGreen { .. } => {}
        }
    }

    /// The unhealthy ones of a slot, which run until another one has taken their traffic.
    fn ill(&self, slot: Slot) -> usize {
        let is_ill = |one: &&One| one.slot == slot && self.state(one).0 == State::Unhealthy;
        self.ones.iter().filter(is_ill).count()
    }

    fn shift(&mut self, to: &[String]) {
        for id in to {
            let one = self.one(id).clone();
            assert!(self.is_ready(&one), "{id} gets traffic and is not ready");
            if one.slot == Slot::Preview && !one.has_traffic {
                assert_eq!(self.purpose, Purpose::Deploy, "{id} gets traffic on the way back");
                let is_verified = match self.verification {
                    Some(Verdict::Pass) => self.verified.contains(id),
                    said => said == Some(Verdict::Skipped),
                };
                assert!(is_verified, "{id} is not verified");
            }
        }
        let now = self.now;
        let before: Vec<bool> = self.ones.iter().map(|one| one.has_traffic).collect();
        for one in &mut self.ones {
            let has_traffic = to.contains(&one.id);
            if one.has_traffic && !has_traffic {
                one.served = Some(now);
            }
            one.has_traffic = has_traffic;
        }
        assert!(self.ones.iter().map(|one| one.has_traffic).ne(before), "a shift that changes nothing");
        self.shifted = now;
    }

    fn to(&self) -> Slot {
        match self.purpose {
            Purpose::Deploy => Slot::Preview,
            Purpose::Restore => Slot::Active,
        }
    }

    fn meddle(&mut self, meddle: &Meddle) {
        if let Meddle::Change = meddle {
            self.is_changed = true;
        }
        let (Meddle::Stop(index) | Meddle::Delete(index) | Meddle::TakeTraffic(index)) = meddle else {
            return;
        };
        if self.ones.is_empty() {
            return;
        }
        let now = self.now;
        let one = index.index(self.ones.len());
        let one = &mut self.ones[one];
        match meddle {
            Meddle::Stop(_) => one.stopped = Some(now),
            Meddle::Delete(_) => one.is_gone = true,
            Meddle::TakeTraffic(_) => {
                (one.has_traffic, one.served) = (false, Some(now));
                self.shifted = now;
            }
            Meddle::Change => {}
        }
    }

    /// Runs drivers until one comes to an end; gives that end.
    pub(crate) fn run(&mut self) -> Step {
        let mut kills = self.scenario.kills.clone();
        'run: loop {
            let mut slots = Slots::new("api", self.purpose, plan(self.scenario.way));
            let began = self.now;
            let mut steps = 0;
            loop {
                if let Some((at, meddle)) = self.scenario.meddling.clone()
                    && at == self.steps
                {
                    self.meddle(&meddle);
                }
                self.steps += 1;
                let step = slots.next(&self.see(), Duration::from_millis(self.now - began));
                let kill = kills.iter().position(|(at, _)| *at < self.steps).map(|at| kills.remove(at).1);
                let is_end = matches!(
                    step,
                    Step::Done | Step::Held { .. } | Step::Overtaken { .. } | Step::Stuck { .. }
                );
                if is_end {
                    return step;
                }
                if kill != Some(Kill::Before) {
                    if let Step::RollBack { .. } = step {
                        assert_eq!(self.purpose, Purpose::Deploy);
                        self.purpose = Purpose::Restore;
                        continue 'run;
                    }
                    self.carry_out(&step, kill == Some(Kill::Half));
                    self.now += 20;
                }
                if let Some(kill) = kill {
                    self.verification = self.verification.filter(|verdict| *verdict == Verdict::Skipped);
                    self.verified.clear();
                    self.now += 3_000;
                    if kill == Kill::Back {
                        self.purpose = Purpose::Restore;
                    }
                    continue 'run;
                }
                steps += usize::from(!matches!(step, Step::Wait(_)));
                assert!(steps < MANY, "{step} is step {steps} of this run");
                assert!(self.now - began < 2 * DEADLINE, "it does not end");
            }
        }
    }

    /// One release serves, complete, and nothing is left behind.
    pub(crate) fn check_done(&self) {
        let count = |slot: Slot| self.ones.iter().filter(|one| one.slot == slot && !one.is_gone).count();
        let to = self.to();
        assert!(self.ones.iter().all(|one| !one.has_traffic || one.slot == to), "two releases serve");
        assert!(
            self.ones
                .iter()
                .all(|one| one.slot != to || (one.has_traffic && self.is_ready(one)) || one.is_gone)
        );
        match self.purpose {
            Purpose::Deploy => {
                assert_eq!(count(Slot::Preview), self.scenario.wanted);
                assert_eq!((self.running(Slot::Active), count(Slot::Retired)), (0, 0));
            }
            Purpose::Restore => {
                assert!(self.scenario.before <= count(Slot::Active));
                assert_eq!(count(Slot::Preview), 0);
            }
        }
    }
}
