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

mod host;

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use shipkit_core::Verdict;
use shipkit_core::rollout::Purpose;
use shipkit_core::rollout::slots::{Plan, Slot, Slots, Step, Strategy as Way};
use shipkit_core::target::Order;

use host::{Fate, Host, Kill, Meddle, One, Scenario};

const MONITOR: u64 = 2_000;
const DRAIN: u64 = 3_000;
const BAKE: u64 = 5_000;
const DELAY: u64 = 1_000;
const DEADLINE: u64 = 120_000;
/// More steps than any run of a service with a handful of instances needs, waits not counted.
const MANY: usize = 60;

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
