//! Each question of the course by a table: what is seen, and the step that follows.

use super::*;
use crate::verdict::Outcome;

const SECOND: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_mins(1);
const BLUE_GREEN: Strategy = Strategy::BlueGreen { bake: Duration::from_secs(10) };

fn rolling(parallelism: usize, order: Order) -> Strategy {
    Strategy::Rolling { parallelism, delay: 4 * SECOND, order }
}

fn slots(purpose: Purpose, strategy: Strategy) -> Slots {
    Slots::new("api", purpose, Plan::new(strategy, 5 * SECOND, 3 * SECOND, DEADLINE))
}

/// `a1` is of the active slot, `p1` of the preview, `r1` is retired; `*` marks who gets traffic.
fn instance(text: &str) -> Instance {
    let (id, state) = text.split_once(':').unwrap();
    let slot = match id.chars().next() {
        Some('a') => Slot::Active,
        Some('p') => Slot::Preview,
        other => (other == Some('r')).then_some(Slot::Retired).unwrap(),
    };
    let (state, age, restarts) = match state.trim_end_matches('*') {
        "new" => (State::Starting, 1, 0),
        "fresh" => (State::Ready, 4, 0),
        "ready" => (State::Ready, 60, 0),
        "again" => (State::Ready, 60, 1),
        "loop" => (State::Starting, 1, 2),
        "ill" => (State::Unhealthy, 1, 0),
        "off" => (State::Stopped { exit_code: 1 }, 1, 0),
        "gone" => (State::Gone, 0, 0),
        other => panic!("{other}"),
    };
    let (id, age, has_traffic) = (id.to_owned(), Duration::from_secs(age), text.ends_with('*'));
    Instance { id, slot, state, age, restarts, has_traffic }
}

/// Two are wanted, two were there, nothing was to be verified, the traffic shifted long ago.
fn seen(instances: &str) -> Observation {
    Observation {
        is_ours: true,
        wanted: 2,
        before: 2,
        instances: instances.split_whitespace().map(instance).collect(),
        settled: Duration::from_hours(1),
        verification: Some(Outcome::skipped("no checks")),
        verified: [].into(),
        refused: None,
    }
}

#[test]
fn what_has_arrived_and_crashes_since_does_not_run_any_more() {
    let then = seen("p1:again* p2:ready*").restarts();
    assert_eq!(then, BTreeMap::from([("p1".to_owned(), 1), ("p2".to_owned(), 0)]));
    let why = |instances: &str| seen(instances).why_not_still("api", &then);
    let said = "`api` had arrived and does not run any more, ";
    for fine in ["p1:again* p2:ready*", "p1:again* p2:again*", "p1:ready* p2:ready* a1:off"] {
        assert_eq!(why(fine), None, "{fine}");
    }
    for (instances, expected) in [
        ("p1:again* p2:off*", "1 of 2 instances ready: instance `p2` ended with exit code 1"),
        ("p1:again* p2:ill*", "1 of 2 instances ready: instance `p2` is unhealthy"),
        ("p1:again*", "1 of 2 instances ready"),
        ("a1:ready* a2:ready*", "0 of 2 instances ready"),
    ] {
        assert_eq!(why(instances), Some(format!("{said}{expected}")), "{instances}");
    }
    let mut loops = seen("p1:again* p2:ready*");
    loops.instances[0].restarts = 3;
    let again = "2 of 2 instances ready: instance `p1` ended and was started again (3 times so far)";
    assert_eq!(loops.why_not_still("api", &then), Some(format!("{said}{again}")));
    let theirs = Observation { is_ours: false, ..loops };
    assert_eq!(theirs.why_not_still("api", &then), None);
}

fn step(purpose: Purpose, strategy: Strategy, seen: &Observation) -> String {
    slots(purpose, strategy).next(seen, Duration::ZERO).to_string().replace('`', "")
}

#[track_caller]
fn check(purpose: Purpose, strategy: Strategy, table: &[(&str, &str)]) {
    for (instances, expected) in table {
        assert_eq!(step(purpose, strategy, &seen(instances)), *expected, "{instances}");
    }
}

#[test]
fn rolling_start_first_brings_a_batch_and_then_lets_as_many_go() {
    check(
        Purpose::Deploy,
        rolling(1, Order::StartFirst),
        &[
            ("a1:ready* a2:ready*", "start 1 in the preview slot"),
            ("a1:ready* a2:ready* p1:new", "wait"),
            ("a1:ready* a2:ready* p1:fresh", "wait"),
            ("a1:ready* a2:ready* p1:ready", "send the traffic to p1, a1"),
            ("a1:ready* a2:ready p1:ready*", "stop and keep a2"),
            ("a1:ready* a2:off p1:ready*", "start 1 in the preview slot"),
            ("a1:ready* a2:off p1:ready* p2:ready", "send the traffic to p1, p2"),
            ("a1:ready a2:off p1:ready* p2:ready*", "stop and keep a1"),
            ("a1:off a2:off p1:ready* p2:ready*", "done"),
        ],
    );
}

#[test]
fn rolling_stop_first_takes_traffic_away_stops_and_then_starts() {
    check(
        Purpose::Deploy,
        rolling(1, Order::StopFirst),
        &[
            ("a1:ready* a2:ready*", "send the traffic to a1"),
            ("a1:ready* a2:ready", "stop and keep a2"),
            ("a1:ready* a2:off", "start 1 in the preview slot"),
            ("a1:ready* a2:off p1:ready", "send the traffic to p1, a1"),
            ("a1:ready* a2:off p1:ready*", "send the traffic to p1"),
            ("a1:ready a2:off p1:ready*", "stop and keep a1"),
            ("a1:off a2:off p1:ready*", "start 1 in the preview slot"),
            ("a1:off a2:off p1:ready* p2:ready", "send the traffic to p1, p2"),
            ("a1:off a2:off p1:ready* p2:ready*", "done"),
        ],
    );
}

#[test]
fn blue_green_brings_all_and_shifts_at_once_and_keeps_the_old_ones() {
    check(
        Purpose::Deploy,
        BLUE_GREEN,
        &[
            ("a1:ready* a2:ready*", "start 2 in the preview slot"),
            ("a1:ready* a2:ready* p1:ready", "start 1 in the preview slot"),
            ("a1:ready* a2:ready* p1:ready p2:fresh", "wait"),
            ("a1:ready* a2:ready* p1:ready p2:ready", "send the traffic to p1, p2"),
            ("a1:ready a2:ready p1:ready* p2:ready*", "stop and keep a1, a2"),
            ("a1:off a2:off p1:ready* p2:ready* r1:off", "remove r1"),
            ("a1:off a2:off p1:ready* p2:ready*", "done"),
        ],
    );
}

#[test]
fn recreate_stops_all_before_it_starts_any() {
    check(
        Purpose::Deploy,
        Strategy::Recreate,
        &[
            ("a1:ready* a2:ready*", "send the traffic to nobody"),
            ("a1:ready a2:ready", "stop and keep a1, a2"),
            ("a1:off a2:off", "start 2 in the preview slot"),
            ("a1:off a2:off p1:ready p2:ready", "send the traffic to p1, p2"),
            ("a1:off a2:off p1:ready* p2:ready*", "done"),
        ],
    );
}

#[test]
fn a_parallelism_of_zero_is_all_at_once() {
    let all = rolling(0, Order::StartFirst);
    check(Purpose::Deploy, all, &[("a1:ready* a2:ready*", "start 2 in the preview slot")]);
}

#[test]
fn the_first_release_and_the_last_instance_have_no_other_side() {
    let first = Observation { before: 0, ..seen("") };
    assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &first), "start 2 in the preview slot");
    let none = |instances| Observation { wanted: 0, ..seen(instances) };
    let steps =
        [("a1:ready*", "send the traffic to nobody"), ("a1:ready", "stop and keep a1"), ("a1:off", "done")];
    for (instances, expected) in steps {
        assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &none(instances)), expected);
    }
    let undo = |instances| Observation { before: 0, ..seen(instances) };
    assert_eq!(step(Purpose::Restore, BLUE_GREEN, &undo("p1:ready* p2:new")), "send the traffic to nobody");
    assert_eq!(step(Purpose::Restore, BLUE_GREEN, &undo("p1:ready p2:new")), "remove p2, p1");
    assert_eq!(step(Purpose::Restore, BLUE_GREEN, &undo("")), "done");
}

#[test]
fn going_back_shifts_first_then_starts_what_was_kept_and_removes_the_rest_last() {
    check(
        Purpose::Restore,
        BLUE_GREEN,
        &[
            ("a1:ready a2:ready p1:ready* p2:ready*", "send the traffic to a1, a2"),
            ("a1:ready* a2:ready* p1:ready p2:ill", "remove p2, p1"),
            ("a1:off a2:off p1:ready* p2:ready*", "start a1, a2 again"),
            ("a1:fresh a2:new p1:ready* p2:ready*", "wait"),
            ("a1:fresh a2:fresh p1:ready* p2:ready*", "send the traffic to a1, a2"),
            ("a1:ready* a2:ready* p1:off", "remove p1"),
            ("p1:ready* p2:ready*", "start 2 in the active slot"),
            ("a1:ready* a2:ready* r1:off", "done"),
        ],
    );
}

#[test]
fn going_back_stop_first_keeps_to_its_rule() {
    check(
        Purpose::Restore,
        rolling(1, Order::StopFirst),
        &[
            ("a1:ready* a2:off p1:ready*", "send the traffic to a1"),
            ("a1:ready* a2:off p1:ready", "remove p1"),
            ("a1:ready* a2:off", "start a2 again"),
            ("a1:off a2:off p1:ready* p2:ready*", "send the traffic to p1"),
        ],
    );
    check(
        Purpose::Restore,
        Strategy::Recreate,
        &[
            ("a1:off a2:off p1:ready* p2:ill*", "send the traffic to p1"),
            ("a1:off a2:off p1:ready* p2:ill", "send the traffic to nobody"),
            ("a1:off a2:off p1:ready p2:ill", "remove p2, p1"),
            ("a1:off a2:off", "start a1, a2 again"),
        ],
    );
}

#[test]
fn what_gets_no_traffic_any_more_drains_and_bakes_before_it_stops() {
    let after = |seconds, instances| Observation { settled: seconds * SECOND, ..seen(instances) };
    let shifted = "a1:ready a2:ready p1:ready* p2:ready*";
    assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &after(9, shifted)), "wait");
    assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &after(10, shifted)), "stop and keep a1, a2");
    let half = "a1:ready* a2:ready p1:ready*";
    let one = rolling(1, Order::StartFirst);
    assert_eq!(step(Purpose::Deploy, one, &after(2, half)), "wait");
    assert_eq!(step(Purpose::Deploy, one, &after(3, half)), "stop and keep a2");
    let back = "a1:ready* a2:ready* p1:ready";
    assert_eq!(step(Purpose::Restore, BLUE_GREEN, &after(2, back)), "wait");
    assert_eq!(step(Purpose::Restore, BLUE_GREEN, &after(3, back)), "remove p1");
    let surplus = "p1:ready* p2:ready* p3:ready";
    assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &after(2, surplus)), "wait");
    assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &after(3, surplus)), "remove p3");
}

#[test]
fn between_two_batches_is_a_pause_and_before_the_first_none() {
    let after = |seconds, instances| Observation { settled: seconds * SECOND, ..seen(instances) };
    let (start_first, stop_first) = (rolling(1, Order::StartFirst), rolling(1, Order::StopFirst));
    let half = "a1:ready* a2:off p1:ready*";
    assert_eq!(step(Purpose::Deploy, start_first, &after(3, half)), "wait");
    assert_eq!(step(Purpose::Deploy, start_first, &after(4, half)), "start 1 in the preview slot");
    assert_eq!(step(Purpose::Deploy, stop_first, &after(3, half)), "wait");
    assert_eq!(step(Purpose::Deploy, stop_first, &after(4, half)), "send the traffic to p1");
    let begin = after(0, "a1:ready* a2:ready*");
    assert_eq!(step(Purpose::Deploy, start_first, &begin), "start 1 in the preview slot");
    assert_eq!(step(Purpose::Deploy, stop_first, &begin), "send the traffic to a1");
    assert_eq!(step(Purpose::Restore, stop_first, &after(0, half)), "send the traffic to a1");
}

#[test]
fn the_preview_is_verified_before_it_gets_traffic_and_before_the_last_old_one_stops() {
    let unknown = |instances| Observation { verification: None, ..seen(instances) };
    let table = [
        (BLUE_GREEN, "a1:ready* a2:ready* p1:ready p2:fresh", "wait"),
        (BLUE_GREEN, "a1:ready* a2:ready* p1:ready p2:ready", "verify p1, p2"),
        (BLUE_GREEN, "a1:ready a2:ready p1:ready* p2:ready*", "verify p1, p2"),
        (BLUE_GREEN, "a1:off a2:off p1:ready* p2:ready*", "done"),
        (rolling(1, Order::StartFirst), "a1:ready* a2:ready p1:ready*", "verify p1"),
        (Strategy::Recreate, "a1:off a2:off p1:ready p2:ready", "verify p1, p2"),
    ];
    for (strategy, instances, expected) in table {
        assert_eq!(step(Purpose::Deploy, strategy, &unknown(instances)), expected, "{instances}");
    }
    let back = unknown("a1:ready a2:ready p1:ready* p2:ready*");
    assert_eq!(step(Purpose::Restore, BLUE_GREEN, &back), "send the traffic to a1, a2");
}

#[test]
fn a_failed_verification_rolls_back_and_one_that_found_nothing_out_holds() {
    let said = |outcome| Observation {
        verification: Some(outcome),
        ..seen("a1:ready* a2:ready* p1:ready p2:ready")
    };
    let failed = said(Outcome::fail("GET / gave 500"));
    let rolls_back = "roll back: api was not verified: GET / gave 500";
    assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &failed), rolls_back);
    assert_eq!(step(Purpose::Restore, BLUE_GREEN, &failed), "remove p1, p2");
    for outcome in [Outcome::inconclusive("no samples"), Outcome::unreachable("no samples")] {
        let held = "hold: whether api is good could not be found out: no samples";
        assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &said(outcome)), held);
    }
    let half = Observation { verified: ["p1".to_owned()].into(), ..said(Outcome::pass("")) };
    assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &half), "verify p2");
}

#[test]
fn one_failure_is_replaced_and_the_second_ends_the_rollout() {
    let mut deploy = slots(Purpose::Deploy, BLUE_GREEN);
    let table = [
        ("a1:ready* a2:ready*", "start 2 in the preview slot"),
        ("a1:ready* a2:ready* p1:new p2:off", "remove `p2`"),
        ("a1:ready* a2:ready* p1:new", "start 1 in the preview slot"),
        (
            "a1:ready* a2:ready* p1:new p3:ill",
            "roll back: `api` keeps failing: instance `p2` ended with exit code 1",
        ),
    ];
    for (instances, expected) in table {
        assert_eq!(deploy.next(&seen(instances), SECOND).to_string(), expected);
    }
    let looping = "roll back: api keeps failing: instance p1 ended and was started again (2 times so far)";
    let mut deploy = slots(Purpose::Deploy, BLUE_GREEN);
    deploy.next(&seen("a1:ready* a2:ready* p1:new"), SECOND);
    let next = deploy.next(&seen("a1:ready* a2:ready* p1:loop"), SECOND).to_string();
    assert_eq!(next.replace('`', ""), looping);
}

#[test]
fn a_budget_of_zero_is_one_and_a_greater_one_forgives_more() {
    for (budget, expected) in [(0, true), (1, true), (2, false)] {
        let mut deploy = slots(Purpose::Deploy, BLUE_GREEN);
        deploy.plan.budget = budget;
        deploy.next(&seen("a1:ready*"), Duration::ZERO);
        let next = deploy.next(&seen("a1:ready* p1:ill"), Duration::ZERO);
        assert_eq!(matches!(next, Step::RollBack { .. }), expected, "{budget}: {next}");
    }
}

#[test]
fn what_failed_before_the_first_look_is_repaired_and_not_counted() {
    let mut deploy = slots(Purpose::Deploy, BLUE_GREEN);
    let table = [
        ("p1:off p2:off p3:ill p4:again*", "remove `p3`"),
        ("p1:off p2:off p4:again*", "start `p1` again"),
        ("p1:off p2:off p4:again*", "remove `p1`"),
        ("p2:off p4:again*", "start `p2` again"),
        ("p2:off p4:again*", "roll back: `api` keeps failing: instance `p1` ended with exit code 1"),
    ];
    for (instances, expected) in table {
        assert_eq!(deploy.next(&seen(instances), SECOND).to_string(), expected, "{instances}");
    }
}

#[test]
fn what_failed_during_the_rollout_is_not_started_again() {
    let mut deploy = slots(Purpose::Deploy, BLUE_GREEN);
    let one = |instances| Observation { wanted: 1, before: 0, ..seen(instances) };
    assert_eq!(deploy.next(&one("p1:ready*"), SECOND), Step::Done);
    let next = deploy.next(&one("p1:off*"), SECOND);
    assert_eq!(next, Step::Start { slot: Slot::Preview, count: 1 });
}

#[test]
fn on_the_way_back_nothing_that_leaves_gets_traffic_again() {
    let half =
        Observation { wanted: 4, before: 3, ..seen("a1:ready a2:off a3:off p1:ready* p2:ready* p3:ready") };
    let next = step(Purpose::Restore, rolling(1, Order::StopFirst), &half);
    assert_eq!(next, "send the traffic to a1, p1, p2");
}

#[test]
fn an_instance_that_got_well_and_falls_ill_again_has_failed() {
    let mut deploy = slots(Purpose::Deploy, BLUE_GREEN);
    deploy.plan.budget = 1;
    for (instances, fails) in [("p1:ill*", false), ("p1:ready*", false), ("p1:ill*", true)] {
        let next = deploy.next(&seen(instances), SECOND);
        assert_eq!(matches!(next, Step::RollBack { .. }), fails, "{next}");
    }
}

#[test]
fn a_new_instance_that_falls_ill_loses_the_traffic_and_old_ones_help_out() {
    check(
        Purpose::Deploy,
        BLUE_GREEN,
        &[
            ("a1:ready a2:ready p1:ready* p2:ill*", "send the traffic to p1, a1"),
            ("a1:ready a2:ready p1:gone* p2:gone*", "send the traffic to a1, a2"),
            ("a1:off a2:off p1:ready* p2:ill*", "send the traffic to p1"),
            ("a1:off a2:off p1:ill*", "start 2 in the preview slot"),
            ("a1:off a2:off p1:gone*", "start 2 in the preview slot"),
            ("a1:ill* a2:ready* p1:ready p2:ready", "send the traffic to p1, p2"),
            ("a1:ill* a2:ready*", "start 2 in the preview slot"),
            ("a1:ready* a2:ready", "send the traffic to a1, a2"),
        ],
    );
    check(
        Purpose::Restore,
        BLUE_GREEN,
        &[("a1:ready* a2:ill* p1:ready* p2:ready*", "send the traffic to a1, p1, p2")],
    );
}

#[test]
fn what_the_target_refuses_to_start_ends_the_rollout_at_once() {
    let refused =
        Observation { refused: Some("No such image:\nx".to_owned()), ..seen("a1:ready* a2:ready*") };
    let why = "api cannot start: No such image: x";
    assert_eq!(step(Purpose::Deploy, BLUE_GREEN, &refused), format!("roll back: {why}"));
    assert_eq!(step(Purpose::Restore, BLUE_GREEN, &refused), format!("stuck: {why}"));
}

#[test]
fn a_service_that_somebody_else_changed_is_left_to_them() {
    let theirs = Observation { is_ours: false, ..seen("a1:ready* p1:ill*") };
    for purpose in [Purpose::Deploy, Purpose::Restore] {
        let said = "leave it: api was changed by somebody else during the rollout";
        assert_eq!(step(purpose, BLUE_GREEN, &theirs), said);
    }
}

#[test]
fn the_deadline_is_a_failure_that_says_what_is_missing() {
    let late = |purpose, instances, elapsed| slots(purpose, BLUE_GREEN).next(&seen(instances), elapsed);
    let slow = "a1:ready* a2:ready* p1:fresh p2:new";
    let just_before = DEADLINE.saturating_sub(Duration::from_millis(3));
    assert_eq!(late(Purpose::Deploy, slow, just_before), Step::Wait(Duration::from_millis(3)));
    let cause = "`api` did not converge within 60 s, 1 of 2 instances ready: \
                 instance `p2` runs and does not become ready";
    assert_eq!(late(Purpose::Deploy, slow, DEADLINE), Step::RollBack { cause: cause.to_owned() });
    let back = late(Purpose::Restore, "a1:new p1:ready*", DEADLINE);
    assert!(matches!(back, Step::Stuck { .. }), "{back}");
    let done = "a1:off a2:off p1:ready* p2:ready*";
    assert_eq!(late(Purpose::Deploy, done, 9 * DEADLINE), Step::Done);
}

#[test]
fn after_the_shift_the_bake_and_the_drain_come_on_top_of_the_deadline() {
    let shifted = "a1:ready a2:ready p1:ready* p2:ready*";
    let after = |seconds| slots(Purpose::Deploy, BLUE_GREEN).next(&seen(shifted), seconds * SECOND);
    assert!(matches!(after(72), Step::Stop { .. }));
    let cause = "`api` serves, and what it replaces was not gone within 73 s".to_owned();
    assert_eq!(after(73), Step::RollBack { cause });
}
