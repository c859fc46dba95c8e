//! When a workload is done and when it is broken, in plain values.

mod events;
mod kinds;

use std::collections::BTreeSet;

use super::*;
use crate::digest::Digest;

const MONITOR: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_mins(2);
const GENERATION: i64 = 2;

fn digest(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

fn image(content: &str) -> String {
    format!("ghcr.io/a/api@{}", digest(content))
}

/// A rollout to the image `new`, whose index holds the manifest `new amd64`.
fn rollout(purpose: Purpose, monitor: Duration) -> Workload {
    let digests = BTreeSet::from([digest("new"), digest("new amd64")]);
    let images = BTreeMap::from([("api".to_owned(), Wanted { image: image("new"), digests })]);
    Workload::new("api", purpose, GENERATION, images, (monitor, DEADLINE))
}

fn pod(number: u64) -> Pod {
    let container = Container { name: "api".to_owned(), image_id: image("new"), ..Container::default() };
    let name = format!("api-{number}");
    Pod { uid: name.clone(), name, is_ready: true, unplaced: None, containers: vec![container] }
}

fn with(state: State, restarts: u64) -> Pod {
    let mut pod = Pod { is_ready: false, ..pod(0) };
    pod.containers[0].state = state;
    pod.containers[0].restarts = restarts;
    pod
}

fn waits(reason: &str, message: &str) -> Pod {
    with(State::Waiting { reason: reason.to_owned(), message: message.to_owned() }, 0)
}

fn ended(exit_code: i64) -> End {
    End { exit_code, ..End::default() }
}

/// One pod of three is replaced so far, and it is this one.
fn half(pod: Pod) -> Seen {
    Seen { replicas: 4, updated: 1, available: 3, pods: vec![pod], ..done() }
}

/// Three pods, all new, all good.
fn done() -> Seen {
    Seen {
        is_ours: true,
        observed_generation: GENERATION,
        wanted: 3,
        replicas: 3,
        updated: 3,
        available: 3,
        images: BTreeMap::from([("api".to_owned(), image("new"))]),
        pods: (0..3).map(pod).collect(),
        ..Seen::default()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn waits_on(one: &mut Workload, seen: &Seen, second: u64) -> Duration {
    let next = one.next(seen, seconds(second));
    let Next::Wait(pause) = next else { panic!("second {second}: {next:?}") };
    pause
}

#[track_caller]
fn fails(one: &mut Workload, seen: &Seen, second: u64, why: &str) {
    assert_eq!(one.next(seen, seconds(second)), Next::RollBack { cause: why.to_owned() });
}

/// A whole update as a cluster showed it: generation seen, pods, new ones, available ones. Simpler rules take one
/// of the first four for the end: the names say which. The pods are as good as they can be each time.
#[test]
fn an_update_is_done_at_its_end_and_at_no_moment_before_that_fools_simpler_rules() {
    for (rule, observed, replicas, updated, available, is_done) in [
        ("kube-rs", 1, 3, 3, 3, false),
        ("kluctl", 2, 3, 0, 3, false),
        ("kluctl and kapp", 2, 4, 1, 4, false),
        ("kluctl and kapp again", 2, 4, 2, 4, false),
        ("the end", 2, 3, 3, 3, true),
    ] {
        let mut pods = done().pods;
        pods.truncate(usize::try_from(updated).unwrap());
        let seen = Seen { observed_generation: observed, replicas, updated, available, pods, ..done() };
        let next = rollout(Purpose::Deploy, Duration::ZERO).next(&seen, seconds(1));
        assert_eq!(next == Next::Done, is_done, "{rule}: {next:?}");
    }
}

/// As `done()`, but for one thing.
#[test]
fn each_condition_alone_holds_the_end_back() {
    let old = BTreeMap::from([("api".to_owned(), image("old"))]);
    let mut other_image = done();
    other_image.pods[2].containers[0].image_id = image("old");
    let mut not_ready = done();
    not_ready.pods[1].is_ready = false;
    for (what, seen) in [
        ("the controller is behind", Seen { observed_generation: 1, ..done() }),
        ("no new ReplicaSet", Seen { images: BTreeMap::new(), ..done() }),
        ("the newest ReplicaSet is the old one", Seen { images: old, ..done() }),
        ("too few new pods", Seen { updated: 2, available: 2, ..done() }),
        ("the old ones went first", Seen { replicas: 2, updated: 2, available: 2, ..done() }),
        ("an old pod is left", Seen { replicas: 4, ..done() }),
        ("a new pod is not available", Seen { available: 2, ..done() }),
        ("a pod is not ready", not_ready),
        ("a pod runs another image", other_image),
        ("the pods are not seen yet", Seen { pods: Vec::new(), ..done() }),
    ] {
        let next = rollout(Purpose::Deploy, Duration::ZERO).next(&seen, seconds(1));
        assert!(matches!(next, Next::Wait(_)), "{what}: {next:?}");
    }
    assert_eq!(rollout(Purpose::Deploy, Duration::ZERO).next(&done(), seconds(1)), Next::Done);
}

#[test]
fn a_node_may_name_the_image_by_a_manifest_of_its_index_and_one_by_tag_is_not_asked_for() {
    let mut seen = done();
    seen.pods[0].containers[0].image_id = format!("docker-pullable://{}", image("new amd64"));
    assert_eq!(rollout(Purpose::Deploy, Duration::ZERO).next(&seen, seconds(1)), Next::Done);

    let tagged = Wanted { image: "api:1".to_owned(), digests: BTreeSet::new() };
    let images = BTreeMap::from([("api".to_owned(), tagged)]);
    let mut restore = Workload::new("api", Purpose::Restore, 2, images, (Duration::ZERO, DEADLINE));
    let there = BTreeMap::from([("api".to_owned(), "api:1".to_owned())]);
    assert_eq!(restore.next(&Seen { images: there, ..seen }, seconds(1)), Next::Done);
}

#[test]
fn all_must_stay_as_it_should_be_and_a_restart_or_a_loss_starts_the_time_anew() {
    let mut one = rollout(Purpose::Deploy, MONITOR);
    assert_eq!(waits_on(&mut one, &done(), 1), MONITOR);
    let mut restarted = done();
    restarted.pods[0].containers[0].restarts = 1;
    assert_eq!(waits_on(&mut one, &restarted, 4), MONITOR);
    waits_on(&mut one, &Seen { available: 2, ..restarted.clone() }, 8);
    assert_eq!(waits_on(&mut one, &restarted, 9), MONITOR);
    assert_eq!(waits_on(&mut one, &restarted, 12), seconds(2));
    assert_eq!(one.next(&restarted, seconds(14)), Next::Done);
}

#[test]
fn one_crash_is_waited_out_and_the_second_is_a_crash_loop() {
    let mut one = rollout(Purpose::Deploy, MONITOR);
    waits_on(&mut one, &half(with(State::Running, 0)), 1);
    waits_on(&mut one, &half(with(State::Ended(ended(3)), 0)), 2);
    let mut again = with(State::Running, 1);
    again.containers[0].ended_before = Some(ended(3));
    waits_on(&mut one, &half(again), 3);
    let why = "`api` keeps failing: container `api` of pod `api-0` ended with exit code 3";
    fails(&mut one, &half(with(State::Ended(ended(3)), 1)), 4, why);
}

#[test]
fn a_crash_loop_is_told_by_how_its_container_ended() {
    let mut pod =
        with(State::Waiting { reason: "CrashLoopBackOff".to_owned(), message: "back-off".to_owned() }, 9);
    let (reason, message) = ("OOMKilled".to_owned(), "out of\nmemory.".to_owned());
    pod.containers[0].ended_before = Some(End { exit_code: 137, reason, message });
    // It was there before the rollout began, as after a killed run.
    let why = "`api` keeps failing: container `api` of pod `api-0` ended with exit code 137 (OOMKilled): out of memory";
    fails(&mut rollout(Purpose::Deploy, MONITOR), &half(pod.clone()), 0, why);
    assert_eq!(problems(&[pod]), [why.replace("`api` keeps failing: ", "")]);
}

#[test]
fn restarts_from_before_the_rollout_are_not_its_failures() {
    let mut one = rollout(Purpose::Deploy, MONITOR);
    let mut old = done();
    old.pods[0].containers[0].restarts = 7;
    waits_on(&mut one, &old, 0);
    assert_eq!(one.next(&old, MONITOR), Next::Done);
    old.pods[0].containers[0].restarts = 9;
    fails(&mut one, &old, 6, "`api` keeps failing: container `api` of pod `api-0` restarts again and again");
}

#[test]
fn an_initialisation_that_ends_well_is_no_failure_and_a_program_that_ends_well_is() {
    let init = |exit_code| {
        let state = State::Ended(ended(exit_code));
        let container =
            Container { name: "init".to_owned(), is_init: true, restarts: 1, state, ..Container::default() };
        Pod { is_ready: false, containers: vec![container], ..pod(0) }
    };
    waits_on(&mut rollout(Purpose::Deploy, MONITOR), &half(init(0)), 1);
    let mut one = rollout(Purpose::Deploy, MONITOR);
    waits_on(&mut one, &half(with(State::Running, 0)), 0);
    fails(
        &mut one,
        &half(init(2)),
        1,
        "`api` keeps failing: container `init` of pod `api-0` ended with exit code 2",
    );
    let mut one = rollout(Purpose::Deploy, MONITOR);
    waits_on(&mut one, &half(with(State::Ended(ended(0)), 0)), 1);
    fails(
        &mut one,
        &half(with(State::Ended(ended(0)), 1)),
        2,
        "`api` keeps failing: container `api` of pod `api-0` ended with exit code 0",
    );
}

#[test]
fn what_only_another_deploy_can_change_fails_at_once() {
    for reason in FOR_GOOD {
        let why = format!(
            "`api` cannot start: container `api` of pod `api-0` waits, {reason}: secret \"x\" not found"
        );
        fails(
            &mut rollout(Purpose::Deploy, MONITOR),
            &half(waits(reason, "secret \"x\" not found")),
            0,
            &why,
        );
    }
}

#[test]
fn an_image_that_cannot_be_pulled_has_time_and_is_told_by_its_first_message() {
    let mut one = rollout(Purpose::Deploy, MONITOR);
    assert_eq!(waits_on(&mut one, &half(waits("ContainerCreating", "")), 0), DEADLINE);
    assert_eq!(waits_on(&mut one, &half(waits("ErrImagePull", "manifest unknown")), 2), GRACE);
    assert_eq!(waits_on(&mut one, &half(waits("ImagePullBackOff", "Back-off")), 30), seconds(2));
    let why = "`api` cannot start: container `api` of pod `api-0` waits, ErrImagePull: manifest unknown";
    fails(&mut one, &half(waits("ImagePullBackOff", "Back-off")), 32, why);

    let mut healed = rollout(Purpose::Deploy, MONITOR);
    waits_on(&mut healed, &half(waits("ErrImagePull", "timeout")), 2);
    waits_on(&mut healed, &half(with(State::Running, 0)), 20);
    waits_on(&mut healed, &half(waits("ErrImagePull", "timeout")), 40);
    waits_on(&mut healed, &half(waits("ErrImagePull", "timeout")), 69);
}

#[test]
fn a_pod_that_no_node_takes_has_time() {
    let unplaced =
        || Pod { unplaced: Some("0/1 nodes are available: 1 Insufficient cpu.".to_owned()), ..waits("", "") };
    let mut one = rollout(Purpose::Deploy, MONITOR);
    assert_eq!(waits_on(&mut one, &half(unplaced()), 1), GRACE);
    let why =
        "`api` cannot be placed: no node takes pod `api-0`: 0/1 nodes are available: 1 Insufficient cpu";
    fails(&mut one, &half(unplaced()), 31, why);
    assert_eq!(problems(&[unplaced()]), [why.replace("`api` cannot be placed: ", "")]);
    let mut placed = rollout(Purpose::Deploy, MONITOR);
    waits_on(&mut placed, &half(unplaced()), 1);
    waits_on(&mut placed, &half(pod(0)), 20);
    waits_on(&mut placed, &half(unplaced()), 31);
}

#[test]
fn pods_that_are_refused_fail_soon_and_what_the_cluster_gave_up_fails_at_once() {
    let refused =
        Seen { refused: Some("exceeded quota: pods".to_owned()), pods: Vec::new(), updated: 0, ..done() };
    let mut one = rollout(Purpose::Deploy, MONITOR);
    assert_eq!(waits_on(&mut one, &refused, 1), REFUSED);
    fails(&mut one, &refused, 6, "`api` gets no pods: exceeded quota: pods");
    let gave_up = Seen { gave_up: Some("has timed out progressing.".to_owned()), ..half(pod(0)) };
    fails(
        &mut rollout(Purpose::Deploy, MONITOR),
        &gave_up,
        1,
        "`api` was given up by the cluster: has timed out progressing",
    );
    // The same words about the revision before ours.
    waits_on(&mut rollout(Purpose::Deploy, MONITOR), &Seen { observed_generation: 1, ..gave_up }, 1);
}

#[test]
fn pods_of_the_revision_before_are_not_judged() {
    let old = Seen {
        images: BTreeMap::from([("api".to_owned(), image("old"))]),
        ..half(waits("InvalidImageName", ""))
    };
    waits_on(&mut rollout(Purpose::Deploy, MONITOR), &old, 1);
}

#[test]
fn the_deadline_is_a_failure_that_names_what_is_missing() {
    let late = |seen: &Seen, why: &str| {
        let mut one = rollout(Purpose::Deploy, MONITOR);
        waits_on(&mut one, seen, 119);
        fails(&mut one, seen, 120, &format!("`api` did not converge within 120 s, {why}"));
    };
    let unready = || Pod { is_ready: false, ..pod(0) };
    late(&half(unready()), "0 of 3 pods ready: pod `api-0` runs and does not become ready");
    late(
        &half(waits("ContainerCreating", "")),
        "0 of 3 pods ready: pod `api-0` does not start (ContainerCreating); `kubectl describe pod api-0` tells why",
    );
    late(
        &Seen { observed_generation: 1, ..half(pod(0)) },
        "1 of 3 pods ready: its controller has not seen the change",
    );
    late(
        &half(waits("ErrImagePull", "no route")),
        "0 of 3 pods ready: container `api` of pod `api-0` waits, ErrImagePull: no route",
    );
    late(
        &half(with(State::Ended(ended(3)), 0)),
        "0 of 3 pods ready: container `api` of pod `api-0` ended with exit code 3",
    );
    late(&Seen { pods: Vec::new(), ..half(pod(0)) }, "0 of 3 pods ready");
    let mut other = done();
    other.pods[0].containers[0].image_id = "x@sha256:1".to_owned();
    late(
        &other,
        "2 of 3 pods ready: container `api` of pod `api-0` runs `x@sha256:1`, which is not an image of this release",
    );
}

#[test]
fn what_somebody_else_changed_or_paused_is_left_to_them() {
    for purpose in [Purpose::Deploy, Purpose::Restore] {
        for seen in [Seen { is_ours: false, ..done() }, Seen { is_paused: true, ..done() }] {
            let next = rollout(purpose, Duration::ZERO).next(&seen, seconds(1));
            assert!(matches!(next, Next::Overtaken { .. }), "{next:?}");
        }
    }
}

#[test]
fn a_restore_that_fails_is_stuck() {
    let next = rollout(Purpose::Restore, MONITOR).next(&half(waits("InvalidImageName", "")), seconds(1));
    assert!(matches!(next, Next::Stuck { .. }), "{next:?}");
}

#[test]
fn a_deployment_without_pods_is_done() {
    let none = Seen { wanted: 0, replicas: 0, updated: 0, available: 0, pods: Vec::new(), ..done() };
    assert_eq!(rollout(Purpose::Deploy, Duration::ZERO).next(&none, seconds(1)), Next::Done);
}

#[test]
fn what_must_stay_fails_by_the_first_thing_that_is_otherwise() {
    let staying = || rollout(Purpose::Deploy, MONITOR).staying();
    let mut restarted = done();
    restarted.pods[0].containers[0].restarts = 1;
    let mut gone = Seen { available: 2, ..done() };
    gone.pods[1].is_ready = false;
    for (seen, ready) in [(&restarted, 3), (&gone, 2)] {
        let mut one = staying();
        waits_on(&mut one, &done(), 1);
        let Next::RollBack { cause } = one.next(seen, seconds(2)) else { panic!("{seen:?}") };
        let expected = format!("`api` did not stay as it should be, {ready} of 3 pods ready");
        assert!(cause.starts_with(&expected), "{cause}");
        // What only has to arrive begins anew.
        let mut one = rollout(Purpose::Deploy, MONITOR);
        waits_on(&mut one, &done(), 1);
        waits_on(&mut one, seen, 2);
    }
    // What is not yet seen as it should be has nothing to lose.
    let mut one = staying();
    waits_on(&mut one, &gone, 0);
    waits_on(&mut one, &done(), 1);
    assert_eq!(one.next(&done(), seconds(6)), Next::Done);
}
