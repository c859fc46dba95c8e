//! What is seen of stateful sets, daemon sets and jobs in the middle of their rollouts, and what others make of it.

use super::*;

/// The comparisons by which `kubectl rollout status` says that a deployment is done. Helm waits for the same numbers and for
/// conditions that come with them; k8s-deploy asks `kubectl`.
fn kubectl(seen: &Seen) -> bool {
    GENERATION <= seen.observed_generation
        && seen.wanted <= seen.updated
        && seen.replicas <= seen.updated
        && seen.updated <= seen.available
}

fn pods(count: u64) -> Vec<Pod> {
    (0..count).map(pod).collect()
}

/// The last look decides, and before it nothing does.
#[track_caller]
fn ends_with(looks: &[(&str, Seen)], end: &Next) {
    let mut one = rollout(Purpose::Deploy, Duration::ZERO);
    for (second, (what, seen)) in (0..).zip(looks) {
        let next = one.next(seen, seconds(second));
        if usize::try_from(second).unwrap() + 1 == looks.len() {
            assert_eq!(next, *end, "{what}");
        } else {
            assert!(matches!(next, Next::Wait(_)), "{what}: {next:?}");
        }
    }
}

#[test]
fn numbers_with_which_kubectl_helm_and_k8s_deploy_are_content_are_not_the_end_when_pods_say_otherwise() {
    let mut other_image = done();
    other_image.pods[2].containers[0].image_id = image("old");
    let mut not_ready = done();
    not_ready.pods[1].is_ready = false;
    let unseen = Seen { pods: Vec::new(), ..done() };
    for (what, seen) in
        [("a cached image", other_image), ("one is not ready", not_ready), ("no pods", unseen)]
    {
        let next = rollout(Purpose::Deploy, Duration::ZERO).next(&seen, seconds(1));
        assert!(kubectl(&seen) && matches!(next, Next::Wait(_)), "{what}: {next:?}");
    }
    // One that crashes a second after it was ready.
    let mut one = rollout(Purpose::Deploy, MONITOR);
    assert!(kubectl(&done()));
    waits_on(&mut one, &done(), 1);
    let crashed =
        Seen { available: 2, pods: vec![pod(1), pod(2), with(State::Ended(ended(3)), 0)], ..done() };
    waits_on(&mut one, &crashed, 2);
    let again = Seen { available: 2, pods: vec![pod(1), pod(2), with(State::Ended(ended(3)), 1)], ..done() };
    fails(&mut one, &again, 3, "`api` keeps failing: container `api` of pod `api-0` ended with exit code 3");
    assert!(!kubectl(&again), "they wait on, for ten minutes");
}

/// A whole update as a cluster showed it: generation seen, pods, new ones, available ones.
fn update(looks: &[(&'static str, i64, u64, u64, u64)]) -> Vec<(&'static str, Seen)> {
    let looks = looks.iter().map(|&(what, observed_generation, replicas, updated, available)| {
        (what, Seen { observed_generation, replicas, updated, available, pods: pods(updated), ..done() })
    });
    looks.collect()
}

#[test]
fn a_stateful_set_is_done_when_all_its_pods_are_new_and_available() {
    let looks = update(&[
        ("its controller is behind, and the old pods are the updated ones", 1, 3, 3, 3),
        ("all pods are ready, and none is new", 2, 3, 0, 3),
        ("one is new and starts", 2, 3, 1, 2),
        ("all pods are ready, and one is new", 2, 3, 1, 3),
        ("one is on its way", 2, 2, 1, 2),
        ("two are new, one starts", 2, 3, 2, 2),
        ("all pods are ready, and two are new", 2, 3, 2, 3),
        ("the last one is on its way", 2, 2, 2, 2),
        ("all are new, one starts", 2, 3, 3, 2),
        ("all are new and available", 2, 3, 3, 3),
    ]);
    ends_with(&looks, &Next::Done);
}

/// Of five pods the two with the lowest numbers stay. `kubectl` counts in the same way.
#[test]
fn of_a_stateful_set_with_a_partition_the_pods_from_there_on_are_new_and_all_are_available() {
    let of = |updated, replicas, available| Seen {
        wanted: 5,
        kept: 2,
        replicas,
        updated,
        available,
        pods: pods(updated),
        ..done()
    };
    let one_is_ill = Seen { pods: [pods(2), vec![with(State::Running, 0)]].concat(), ..of(3, 5, 4) };
    ends_with(
        &[
            ("nothing is new", of(0, 5, 5)),
            ("two of three are new", of(2, 5, 5)),
            ("the third is not ready", one_is_ill),
            ("one that stays is not available", of(3, 5, 4)),
            ("one too many is still there", of(3, 6, 5)),
            ("three are new, two stay", of(3, 5, 5)),
        ],
        &Next::Done,
    );
    let nothing_to_do =
        Seen { wanted: 2, kept: 2, replicas: 2, updated: 0, available: 2, pods: vec![], ..done() };
    ends_with(&[("all stay", nothing_to_do)], &Next::Done);
    let late = Seen { pods: vec![with(State::Running, 0)], ..of(1, 5, 4) };
    let mut one = rollout(Purpose::Deploy, MONITOR);
    let why =
        "`api` did not converge within 120 s, 0 of 3 pods ready: pod `api-0` runs and does not become ready";
    fails(&mut one, &late, 120, why);
}

/// Of a daemon set the numbers are of nodes: those with a pod, with a new one, with one that is available.
#[test]
fn a_daemon_set_is_done_when_each_node_has_a_new_pod_that_is_available() {
    let looks = update(&[
        ("its controller is behind, and the old pods are the updated ones", 1, 3, 3, 3),
        ("all pods are available, and none is new", 2, 3, 0, 3),
        ("one is new and starts", 2, 3, 1, 2),
        ("one is on its way", 2, 2, 1, 2),
        ("two are new, one starts", 2, 3, 2, 2),
        ("all pods are available, and two are new", 2, 3, 2, 3),
        ("the last one is on its way", 2, 2, 2, 2),
        ("all are new, one starts", 2, 3, 3, 2),
        ("all are new and available", 2, 3, 3, 3),
    ]);
    ends_with(&looks, &Next::Done);
    let no_node = Seen { wanted: 0, replicas: 0, updated: 0, available: 0, pods: vec![], ..done() };
    let unseen = Seen { observed_generation: 1, ..no_node.clone() };
    ends_with(&[("no node is counted yet", unseen), ("there is none", no_node)], &Next::Done);
}

/// A job of two pods that have run `succeeded` times.
fn job(work: Work, succeeded: u64, pods: Vec<Pod>) -> Seen {
    let (wanted, replicas) = (2, succeeded + 1);
    Seen { work, wanted, replicas, updated: succeeded, available: succeeded, pods, ..done() }
}

/// One that only runs is current for Helm, which asks no job for its end.
#[test]
fn a_job_is_done_when_it_is_complete_and_its_pods_may_fail_until_the_cluster_says_that_it_failed() {
    let looping = with(State::Waiting { reason: "CrashLoopBackOff".to_owned(), message: String::new() }, 9);
    let looks = [
        ("it begins", job(Work::Ends, 0, vec![pod(0)])),
        ("one failed", job(Work::Ends, 0, vec![pod(1), with(State::Ended(ended(3)), 0)])),
        ("one fails again and again", job(Work::Ends, 0, vec![looping])),
        ("all pods have ended", job(Work::Ends, 2, vec![])),
        ("it is complete", job(Work::Ended, 2, vec![])),
    ];
    ends_with(&looks, &Next::Done);

    let gave_up = Some("BackoffLimitExceeded: Job has reached the specified backoff limit".to_owned());
    let failed = |pods| Seen { gave_up: gave_up.clone(), ..job(Work::Ends, 0, pods) };
    let why = "`api` failed, BackoffLimitExceeded: Job has reached the specified backoff limit";
    let of_its_pod = format!("{why}: container `api` of pod `api-0` ended with exit code 3");
    // Another of its containers has ended well.
    let mut pod = with(State::Ended(ended(3)), 0);
    let mut well = pod.containers[0].clone();
    (well.name, well.state) = ("proxy".to_owned(), State::Ended(ended(0)));
    pod.containers.insert(0, well);
    for (pods, cause) in [(vec![], why.to_owned()), (vec![pod], of_its_pod)] {
        ends_with(&[("it failed", failed(pods))], &Next::RollBack { cause });
    }
}

#[test]
fn a_job_that_cannot_start_is_told_as_others_are_and_one_that_does_not_end_at_the_deadline() {
    let mut one = rollout(Purpose::Deploy, MONITOR);
    let stuck = job(Work::Ends, 0, vec![waits("ErrImagePull", "manifest unknown")]);
    waits_on(&mut one, &stuck, 1);
    let why = "`api` cannot start: container `api` of pod `api-0` waits, ErrImagePull: manifest unknown";
    fails(&mut one, &stuck, 31, why);
    let mut one = rollout(Purpose::Deploy, MONITOR);
    let runs = job(Work::Ends, 1, vec![with(State::Running, 0)]);
    waits_on(&mut one, &runs, 119);
    fails(&mut one, &runs, 120, "`api` did not end within 120 s");
}

/// A stateful set that keeps its order has one pod of a revision that crashes, and should go back.
#[test]
fn a_pod_of_another_revision_that_holds_everything_up_is_told_when_it_had_time() {
    let ill = |state| Pod { uid: "ill".to_owned(), name: "api-2".to_owned(), ..with(state, 0) };
    let held = |pod| Seen { updated: 2, available: 2, pods: pods(2), holding: vec![pod], ..done() };
    let looping = held(ill(State::Waiting { reason: "CrashLoopBackOff".to_owned(), message: String::new() }));
    let crashed = held(ill(State::Ended(ended(3))));
    let runs = held(ill(State::Running));
    let helps = "`kubectl delete pod api-2` helps";

    let mut one = rollout(Purpose::Restore, MONITOR);
    assert_eq!(waits_on(&mut one, &crashed, 1), GRACE);
    waits_on(&mut one, &looping, 20);
    waits_on(&mut one, &crashed, 30);
    let cause = format!(
        "`api` cannot go on: no pod is replaced before `api-2` of another revision is ready (container `api` of pod \
         `api-2` ended with exit code 3); {helps}"
    );
    assert_eq!(one.next(&crashed, seconds(31)), Next::Stuck { cause });

    // One that may still become ready is waited for.
    let mut slow = rollout(Purpose::Restore, MONITOR);
    waits_on(&mut slow, &crashed, 1);
    waits_on(&mut slow, &runs, 20);
    waits_on(&mut slow, &crashed, 40);
    waits_on(&mut slow, &crashed, 69);
    let mut late = rollout(Purpose::Deploy, MONITOR);
    waits_on(&mut late, &runs, 119);
    let why = format!(
        "`api` did not converge within 120 s, 2 of 3 pods ready: no pod is replaced before `api-2` of another \
         revision is ready (it runs and does not become ready); {helps}"
    );
    fails(&mut late, &runs, 120, &why);
}

#[test]
fn pods_that_only_a_person_replaces_are_waited_for_only_where_none_has_to_be() {
    let by_hand = |replicas, updated| Seen { is_by_hand: true, replicas, updated, ..done() };
    ends_with(&[("it was made so", by_hand(3, 3))], &Next::Done);
    let cause = "`api` waits for somebody to delete its pods: its update strategy is `OnDelete`".to_owned();
    ends_with(&[("an old one is left", by_hand(3, 2))], &Next::RollBack { cause });
}

/// A pod of a stateful set has the name of the one before it, and begins to count anew.
#[test]
fn restarts_of_a_pod_with_the_same_name_are_its_own() {
    let of = |uid: &str, restarts| {
        let mut pod = Pod { uid: uid.to_owned(), ..pod(0) };
        pod.containers[0].restarts = restarts;
        Seen { pods: vec![pod, super::pod(1), super::pod(2)], ..done() }
    };
    let mut one = rollout(Purpose::Deploy, MONITOR);
    waits_on(&mut one, &of("first", 7), 0);
    waits_on(&mut one, &of("second", 0), 1);
    fails(
        &mut one,
        &of("second", 2),
        2,
        "`api` keeps failing: container `api` of pod `api-0` restarts again and again",
    );
}
