//! A rollout by slots on a simulated host: instances with fates, drivers that are killed, people who meddle.
//!
//! What must hold whatever happens: nobody who is not ready is given traffic, no step of ours leaves fewer ready instances
//! in traffic than the strategy promises, what gets traffic or still drains is not stopped, the way back stays open until
//! the end, it ends after few steps, and it ends the same however often the driver was killed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use shipkit_core::rollout::Purpose;
use shipkit_core::rollout::slots::{Instance, Observation, Plan, Slot, Slots, State, Step, Strategy as Way};
use shipkit_core::target::Order;
use shipkit_core::{Outcome, Verdict};

const MONITOR: u64 = 2_000;
const DRAIN: u64 = 3_000;
const BAKE: u64 = 5_000;
const DELAY: u64 = 1_000;
const DEADLINE: u64 = 120_000;
/// More steps than any run of a service with a handful of instances needs, waits not counted.
const MANY: usize = 60;

/// What becomes of an instance, by the milliseconds since its start.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
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
struct One {
    id: String,
    slot: Slot,
    fate: Fate,
    started: u64,
    /// When somebody stopped it.
    stopped: Option<u64>,
    has_traffic: bool,
    /// When it was last in traffic.
    served: Option<u64>,
    is_gone: bool,
}

/// How a run of the driver ends before its time, at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kill {
    Before,
    /// Only the first of several instances is done.
    Half,
    After,
    /// And the next run is told to go back.
    Back,
}

#[derive(Debug, Clone)]
enum Meddle {
    Stop(Index),
    Delete(Index),
    TakeTraffic(Index),
    /// Another specification is put in place.
    Change,
}

#[derive(Debug, Clone)]
struct Scenario {
    way: Way,
    wanted: usize,
    before: usize,
    /// What an unknown past has left, instead of `before` good instances.
    left: Option<Vec<One>>,
    purpose: Purpose,
    /// Of new instances in the order of their starts, and then of the first again.
    fates: Vec<Fate>,
    /// Of old instances that start again.
    old_fates: Vec<Fate>,
    verdict: Verdict,
    kills: Vec<(usize, Kill)>,
    meddling: Option<(usize, Meddle)>,
}

impl Scenario {
    /// How many ready ones in traffic are promised.
    fn promised(&self) -> usize {
        let both = self.wanted.min(self.before);
        match self.way {
            Way::Rolling { order: Order::StopFirst, parallelism: 0, .. } | Way::Recreate => 0,
            Way::Rolling { order: Order::StopFirst, parallelism, .. } => both.saturating_sub(parallelism),
            Way::Rolling { order: Order::StartFirst, .. } | Way::BlueGreen { .. } => both,
        }
    }

    fn is_undisturbed(&self) -> bool {
        self.meddling.is_none() && self.old_fates.iter().all(|fate| fate.is_good())
    }

    fn is_all_good(&self) -> bool {
        self.is_undisturbed()
            && self.fates.iter().all(|fate| fate.is_good())
            && matches!(self.verdict, Verdict::Pass | Verdict::Skipped)
    }
}

struct Host<'a> {
    scenario: &'a Scenario,
    now: u64,
    shifted: u64,
    ones: Vec<One>,
    starts: [usize; 2],
    steps: usize,
    is_changed: bool,
    /// The journal: which way it goes.
    purpose: Purpose,
    /// What the verification said; a killed run takes it along.
    verification: Option<Verdict>,
}

impl<'a> Host<'a> {
    fn new(scenario: &'a Scenario) -> Self {
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

    fn see(&self) -> Observation {
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
                let verdict = self.verification;
                assert!(matches!(verdict, Some(Verdict::Pass | Verdict::Skipped)), "{id} is not verified");
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
    fn run(&mut self) -> Step {
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
    fn check_done(&self) {
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

fn plan(way: Way) -> Plan {
    let [monitor, drain, deadline] = [MONITOR, DRAIN, DEADLINE].map(Duration::from_millis);
    Plan::new(way, monitor, drain, deadline)
}

fn ways() -> impl Strategy<Value = Way> {
    let rolling = (0usize..4, select(vec![0, DELAY]), select(vec![Order::StartFirst, Order::StopFirst]))
        .prop_map(|(parallelism, delay, order)| Way::Rolling {
            parallelism,
            delay: Duration::from_millis(delay),
            order,
        });
    let blue_green =
        select(vec![0, BAKE]).prop_map(|bake| Way::BlueGreen { bake: Duration::from_millis(bake) });
    prop_oneof![4 => rolling, 2 => blue_green, 1 => Just(Way::Recreate)]
}

fn good_fates() -> impl Strategy<Value = Vec<Fate>> {
    prop::collection::vec((0u64..4_000).prop_map(Fate::Good), 1..5)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => (0u64..4_000).prop_map(Fate::Good),
        1 => Just(Fate::Never),
        1 => (0u64..3_000).prop_map(Fate::Crash),
        1 => Just(Fate::Crash(0)),
        2 => (0u64..2_000, 2_000u64..15_000).prop_map(|(ready, end)| Fate::Late(ready, end)),
        2 => (0u64..2_000, 2_000u64..15_000).prop_map(|(ready, end)| Fate::Ill(ready, end)),
        1 => (500u64..5_000).prop_map(Fate::Loop),
    ];
    prop_oneof![good_fates(), prop::collection::vec(fate, 1..8)]
}

/// Anything that drivers and people may have left: of each slot, running or not, in traffic or not.
fn left() -> impl Strategy<Value = Vec<One>> {
    let fate = prop_oneof![
        4 => Just(Fate::Good(0)),
        1 => Just(Fate::Good(9_998_000)),
        1 => Just(Fate::Crash(9_000_000)),
        1 => Just(Fate::Ill(0, 9_000_000)),
    ];
    let slot = select(vec![Slot::Active, Slot::Preview, Slot::Retired]);
    let one =
        (slot, fate, any::<bool>(), any::<bool>()).prop_map(|(slot, fate, is_stopped, has_traffic)| One {
            id: String::new(),
            slot,
            fate,
            started: 0,
            stopped: is_stopped.then_some(9_500_000),
            has_traffic,
            served: None,
            is_gone: false,
        });
    prop::collection::vec(one, 0..8).prop_map(|mut ones| {
        for (number, one) in ones.iter_mut().enumerate() {
            one.id = format!("left-{number}");
        }
        ones
    })
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let kill = select(vec![Kill::Before, Kill::Half, Kill::After, Kill::Back]);
    let meddle = prop_oneof![
        any::<Index>().prop_map(Meddle::Stop),
        any::<Index>().prop_map(Meddle::Delete),
        any::<Index>().prop_map(Meddle::TakeTraffic),
        Just(Meddle::Change),
    ];
    let verdict = prop_oneof![
        5 => Just(Verdict::Pass),
        2 => Just(Verdict::Skipped),
        1 => Just(Verdict::Fail),
        1 => Just(Verdict::Unreachable),
    ];
    let purpose = prop_oneof![4 => Just(Purpose::Deploy), 1 => Just(Purpose::Restore)];
    (
        (ways(), 0usize..5, 0usize..5, prop::option::weighted(0.4, left()), purpose),
        (fates(), prop_oneof![4 => good_fates(), 1 => fates()], verdict),
        prop::collection::vec((0usize..120, kill), 0..4),
        prop::option::weighted(0.2, (0usize..100, meddle)),
    )
        .prop_map(
            |((way, wanted, before, left, purpose), (fates, old_fates, verdict), kills, meddling)| Scenario {
                way,
                wanted,
                before,
                left,
                purpose,
                fates,
                old_fates,
                verdict,
                kills,
                meddling,
            },
        )
}

/// What an end may have as its reason.
fn check_end(scenario: &Scenario, host: &Host<'_>, end: &Step) {
    match end {
        Step::Done => host.check_done(),
        Step::Held { .. } => assert_eq!(scenario.verdict, Verdict::Unreachable),
        Step::Overtaken { .. } => assert!(host.is_changed),
        Step::Stuck { .. } => assert!(!scenario.is_undisturbed(), "{end}"),
        Step::Wait(_)
        | Step::Start { .. }
        | Step::Restart { .. }
        | Step::Verify { .. }
        | Step::Shift { .. }
        | Step::Stop { .. }
        | Step::Remove { .. }
        | Step::RollBack { .. } => panic!("{end} is not an end"),
    }
    let went_back = host.purpose != scenario.purpose;
    let is_told = scenario.kills.iter().any(|(_, kill)| *kill == Kill::Back);
    if scenario.is_all_good() {
        assert_eq!(*end, Step::Done);
        assert!(is_told || !went_back, "it went back for no reason");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_what_is_promised_holds_and_it_ends(scenario in scenarios()) {
        let mut host = Host::new(&scenario);
        let end = host.run();
        check_end(&scenario, &host, &end);
        // A later run of the same purpose finds nothing to do.
        if end == Step::Done && scenario.is_all_good() {
            let again = Slots::new("api", host.purpose, plan(scenario.way)).next(&host.see(), Duration::ZERO);
            prop_assert_eq!(again, Step::Done);
        }
    }

    #[test]
    fn until_it_is_done_there_is_a_way_back(mut scenario in scenarios(), at in 0usize..200) {
        scenario.old_fates = vec![Fate::Good(1_000)];
        (scenario.meddling, scenario.left) = (None, None);
        scenario.kills = vec![(at, Kill::Back)];
        let mut host = Host::new(&scenario);
        let end = host.run();
        if host.purpose == Purpose::Restore {
            prop_assert_eq!(end, Step::Done);
            host.check_done();
        }
    }
}
