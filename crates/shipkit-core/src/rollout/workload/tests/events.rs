//! Which event joins the sentence about what is broken.

use super::*;
use crate::rollout::workload::{Event, with_event};

const CAUSE: &str =
    "`api` did not converge within 60 s, 0 of 3 pods ready: pod `api-0` runs and does not become ready";

/// Reason, message, and the second in which it was said last.
fn event((reason, message, second): &(&str, &str, u8)) -> Event {
    Event {
        pod: "api-0".to_owned(),
        container: None,
        reason: (*reason).to_owned(),
        message: (*message).to_owned(),
        time: format!("2026-01-02T03:04:{second:02}Z").parse().ok(),
    }
}

#[track_caller]
fn check(events: &[(&str, &str, u8)], expected: &str) {
    for turned in [false, true] {
        let mut events: Vec<Event> = events.iter().map(event).collect();
        if turned {
            events.reverse();
        }
        let said = with_event(CAUSE.to_owned(), &events);
        assert_eq!(said.strip_prefix(CAUSE).unwrap(), expected);
    }
}

#[test]
fn the_event_that_tells_most_is_told_and_of_those_the_last() {
    let unhealthy = ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", 1);
    let told =
        "; event of pod `api-0`: Unhealthy, Readiness probe failed: HTTP probe failed with statuscode: 503";
    check(&[], "");
    check(&[unhealthy], told);
    check(&[unhealthy, ("BackOff", "Back-off restarting failed container", 9)], told);
    check(&[unhealthy, ("NodeNotReady", "Node is not ready", 9)], told);
    check(&[("Unhealthy", "Readiness probe failed: connection refused", 0), unhealthy], told);
    let mount = ("FailedMount", "MountVolume.SetUp failed for volume \"tls\": secret \"tls\" not found", 0);
    let told = "; event of pod `api-0`: FailedMount, MountVolume.SetUp failed for volume \"tls\": secret \"tls\" not found";
    check(&[unhealthy, mount], told);
    let unplaced = ("FailedScheduling", "0/3 nodes are available: 3 Insufficient cpu.", 0);
    check(
        &[unhealthy, mount, unplaced],
        "; event of pod `api-0`: FailedScheduling, 0/3 nodes are available: 3 Insufficient cpu",
    );
    let node = ("NodeNotReady", "Node is not ready", 0);
    let back_off = ("BackOff", "Back-off restarting failed container", 9);
    check(&[node, back_off], "; event of pod `api-0`: NodeNotReady, Node is not ready");
    // The pod itself says that its containers fail, and why an image is not there.
    check(&[back_off, ("Failed", "Error: ErrImagePull", 1)], "");
}

#[test]
fn what_is_said_already_is_not_said_twice_and_foreign_text_is_one_short_line() {
    check(&[("Unhealthy", "pod `api-0` runs and does not become ready.", 1), ("Unhealthy", "", 2)], "");
    let said = with_event(
        CAUSE.to_owned(),
        &[event(&("Unhealthy", &format!("a\n::error::{}", "b".repeat(999)), 1))],
    );
    assert!(!said.contains('\n') && said.len() < CAUSE.len() + 400, "{said}");
}

#[test]
fn of_a_container_that_is_not_the_cause_nothing_is_told() {
    let event = event(&("Unhealthy", "Readiness probe failed: connection refused", 1));
    let of = |container| Event { container, ..event.clone() };
    let cause = "`api` cannot start: container `side` of pod `api-0` waits, ErrImagePull: not found";
    let is_told = |cause: &str, container: Option<&str>| {
        with_event(cause.to_owned(), &[of(container.map(str::to_owned))]) != cause
    };
    assert!(is_told(CAUSE, Some("api")) && is_told(cause, Some("side")) && is_told(cause, None));
    assert!(!is_told(cause, Some("api")) && !is_told(cause, Some("sid")));
}

#[test]
fn only_pods_of_the_new_revision_that_are_not_ready_are_asked_and_not_all_of_many() {
    let bad = |number| Pod { is_ready: false, ..pod(number) };
    let seen =
        Seen { pods: vec![pod(0), bad(1), bad(2), bad(3), bad(4)], holding: vec![bad(9)], ..Seen::default() };
    let asked: Vec<_> = seen.asked().map(|pod| pod.name.as_str()).collect();
    assert_eq!(asked, ["api-1", "api-2", "api-3"]);
}
