//! When a Kubernetes deployment is done and when it is broken: (what is seen, how long it has taken) -> what to do next.
//!
//! Numbers alone are wrong: all of them can be right before the controller has seen a change, or while pods of another
//! image serve. So "done" asks for the generation that our own change got, our images in the new replica set, and pods
//! that say themselves what they run and stay up for a while. "Broken" is read from the new pods: the cluster's own
//! deadline is ten minutes, and a crash shows after seconds.

mod seen;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CRASH_LOOP, Next, Purpose, one_line};
pub use seen::{Container, End, Pod, Seen, State, Wanted, problems};
use seen::{containers, count, ending, key, runs, trouble, unplaced};

/// How long a pod may wait for what can still come: an image, a mount, a node that an autoscaler starts.
const GRACE: Duration = Duration::from_secs(30);
/// How long the API server may refuse new pods: a quota is free again when old pods are gone.
const REFUSED: Duration = Duration::from_secs(5);
/// Reasons of a waiting container that nothing but another deploy changes.
const FOR_GOOD: [&str; 3] = ["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"];

/// The rollout of one Kubernetes deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    service: String,
    purpose: Purpose,
    generation: i64,
    images: BTreeMap<String, Wanted>,
    monitor: Duration,
    deadline: Duration,
    /// Restarts that are older than this rollout, by pod and container; `None` before the first look.
    old_restarts: Option<BTreeMap<(String, String), u64>>,
    /// What containers that wait said first, and since when: later they only say that they are backing off.
    waiting: BTreeMap<(String, String), (Duration, String)>,
    unplaced_since: Option<Duration>,
    refused_since: Option<Duration>,
    /// Since when all is as it should be, and the restarts then.
    steady: Option<(Duration, u64)>,
}

impl Deployment {
    /// A rollout of `service` that begins now: `generation` is what the change itself returned, `images` what each
    /// container should run. All must stay as it should be for `monitor`; `deadline` is how long it may take in all.
    #[must_use]
    pub fn new(
        service: impl Into<String>,
        purpose: Purpose,
        generation: i64,
        images: BTreeMap<String, Wanted>,
        (monitor, deadline): (Duration, Duration),
    ) -> Self {
        Self {
            service: service.into(),
            purpose,
            generation,
            images,
            monitor,
            deadline,
            old_restarts: None,
            waiting: BTreeMap::new(),
            unplaced_since: None,
            refused_since: None,
            steady: None,
        }
    }

    /// Decides what to do, `elapsed` into the rollout. [`Next::Wait`] says when time alone may decide something: what
    /// changes on the target should be shown at once.
    pub fn next(&mut self, seen: &Seen, elapsed: Duration) -> Next {
        self.remember(seen, elapsed);
        if !seen.is_ours {
            let cause = format!("`{}` was changed by somebody else during the rollout", self.service);
            return Next::Overtaken { cause };
        }
        if seen.is_paused {
            let cause = format!("`{}` is paused: nothing happens until somebody resumes it", self.service);
            return Next::Overtaken { cause };
        }
        if self.is_seen(seen) {
            if let Some(why) = self.broken(seen, elapsed) {
                return self.failed(&why);
            }
            if self.is_done(seen, elapsed) {
                return Next::Done;
            }
        }
        if self.deadline <= elapsed {
            return self.failed(&self.late(seen));
        }
        Next::Wait(self.until_something(elapsed))
    }

    /// Whether the controller has seen our change: only then is anything that it says about it.
    fn is_seen(&self, seen: &Seen) -> bool {
        let is_new =
            |(container, wanted): (&String, &Wanted)| seen.images.get(container) == Some(&wanted.image);
        self.generation <= seen.observed_generation && self.images.iter().all(is_new)
    }

    /// Keeps what later looks need: since when something is so, and what was said first.
    fn remember(&mut self, seen: &Seen, elapsed: Duration) {
        let restarts = || containers(seen).map(|(pod, container)| (key(pod, container), container.restarts));
        self.old_restarts.get_or_insert_with(|| restarts().collect());
        let troubled: BTreeMap<_, _> = containers(seen)
            .filter_map(|(pod, container)| Some((key(pod, container), trouble(pod, container)?)))
            .collect();
        self.waiting.retain(|key, _| troubled.contains_key(key));
        for (key, said) in troubled {
            self.waiting.entry(key).or_insert((elapsed, said));
        }
        since(&mut self.unplaced_since, unplaced(seen).is_some(), elapsed);
        since(&mut self.refused_since, seen.refused.is_some(), elapsed);
    }

    /// What can never work, or has not for too long.
    fn broken(&self, seen: &Seen, elapsed: Duration) -> Option<String> {
        let is_over = |since: &Duration, grace: Duration| grace <= elapsed.saturating_sub(*since);
        let for_good = containers(seen).find(|(_, container)| FOR_GOOD.contains(&container.reason()));
        if let Some((pod, container)) = for_good {
            return Some(format!("cannot start: {}", trouble(pod, container)?));
        }
        let failures: u64 = containers(seen).map(|(pod, one)| self.failures(pod, one)).sum();
        let is_looping = containers(seen).any(|(_, container)| container.reason() == "CrashLoopBackOff");
        if is_looping || u64::try_from(CRASH_LOOP).is_ok_and(|most| most <= failures) {
            let last = containers(seen).filter(|(pod, container)| 0 < self.failures(pod, container));
            let words: Vec<String> = last.map(|(pod, container)| ending(pod, container)).collect();
            let words = words.into_iter().next().unwrap_or_else(|| "its containers restart".to_owned());
            return Some(format!("keeps failing: {words}"));
        }
        if let Some((_, said)) = self.waiting.values().find(|(since, _)| is_over(since, GRACE)) {
            return Some(format!("cannot start: {said}"));
        }
        if let (Some(since), Some(why)) = (&self.unplaced_since, unplaced(seen))
            && is_over(since, GRACE)
        {
            return Some(format!("cannot be placed: {why}"));
        }
        if let (Some(since), Some(why)) = (&self.refused_since, &seen.refused)
            && is_over(since, REFUSED)
        {
            return Some(format!("gets no pods: {}", one_line(why)));
        }
        seen.gave_up.as_ref().map(|why| format!("was given up by the cluster: {}", one_line(why)))
    }

    /// How often a container failed since the rollout began. One that should go on running fails by ending at all.
    fn failures(&self, pod: &Pod, container: &Container) -> u64 {
        let old = self.old_restarts.as_ref().and_then(|old| old.get(&key(pod, container)));
        let has_failed = match &container.state {
            State::Ended(end) => !container.is_init || end.exit_code != 0,
            State::Waiting { reason, .. } => reason == "CrashLoopBackOff",
            State::Running => false,
        };
        container.restarts.saturating_sub(old.copied().unwrap_or_default()) + u64::from(has_failed)
    }

    /// The comparisons of `kubectl rollout status`, then what the pods themselves say, and all of it for a while without
    /// a restart.
    fn is_done(&mut self, seen: &Seen, elapsed: Duration) -> bool {
        let numbers_agree = seen.wanted <= seen.updated
            && seen.replicas <= seen.updated
            && seen.updated <= seen.available
            && seen.wanted <= count(seen.pods.iter().filter(|pod| self.is_ready(pod)));
        if !numbers_agree {
            self.steady = None;
            return false;
        }
        let restarts = containers(seen).map(|(_, container)| container.restarts).sum();
        let steady = self.steady.get_or_insert((elapsed, restarts));
        if steady.1 != restarts {
            *steady = (elapsed, restarts);
        }
        let (since, _) = *steady;
        self.monitor <= elapsed.saturating_sub(since)
    }

    /// A pod that is ready and runs what it should, as its node identifies it.
    fn is_ready(&self, pod: &Pod) -> bool {
        pod.is_ready
            && self.images.iter().all(|(name, wanted)| {
                let container = pod.containers.iter().find(|container| container.name == *name);
                wanted.digests.is_empty() || container.is_some_and(|container| runs(container, wanted))
            })
    }

    /// What is missing when the time is over, with the first thing that looks like a reason.
    fn late(&self, seen: &Seen) -> String {
        let ready = count(seen.pods.iter().filter(|pod| self.is_ready(pod)));
        let reason = containers(seen)
            .find(|(pod, container)| 0 < self.failures(pod, container))
            .map(|(pod, container)| ending(pod, container))
            .or_else(|| self.waiting.values().next().map(|(_, said)| said.clone()))
            .or_else(|| unplaced(seen))
            .or_else(|| seen.refused.as_deref().map(one_line))
            .or_else(|| self.stranger(seen))
            .or_else(|| (!self.is_seen(seen)).then(|| "its controller has not seen the change".to_owned()))
            .or_else(|| {
                let pod = seen.pods.iter().find(|pod| !pod.is_ready)?;
                Some(format!("pod `{}` runs and does not become ready", pod.name))
            });
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        format!(
            "did not converge within {} s, {ready} of {} pods ready{reason}",
            self.deadline.as_secs(),
            seen.wanted
        )
    }

    /// A ready pod that runs something else than the image which its template names.
    fn stranger(&self, seen: &Seen) -> Option<String> {
        let (pod, container) = containers(seen).find(|(pod, container)| {
            let wanted = self.images.get(&container.name).filter(|wanted| !wanted.digests.is_empty());
            pod.is_ready && wanted.is_some_and(|wanted| !runs(container, wanted))
        })?;
        let (name, pod, id) = (&container.name, &pod.name, one_line(&container.image_id));
        Some(format!("container `{name}` of pod `{pod}` runs `{id}`, which is not an image of this release"))
    }

    /// The time until something that is only waited for decides.
    fn until_something(&self, elapsed: Duration) -> Duration {
        let at = |since: &Duration, grace: Duration| since.saturating_add(grace).saturating_sub(elapsed);
        let waiting = self.waiting.values().map(|(since, _)| at(since, GRACE));
        let unplaced = self.unplaced_since.iter().map(|since| at(since, GRACE));
        let refused = self.refused_since.iter().map(|since| at(since, REFUSED));
        let steady = self.steady.iter().map(|(since, _)| at(since, self.monitor));
        let graces = waiting.chain(unplaced).chain(refused).chain(steady).filter(|left| !left.is_zero());
        let deadline = self.deadline.saturating_sub(elapsed);
        graces.min().map_or(deadline, |first| first.min(deadline))
    }

    fn failed(&self, why: &str) -> Next {
        let cause = format!("`{}` {why}", self.service);
        match self.purpose {
            Purpose::Deploy => Next::RollBack { cause },
            Purpose::Restore => Next::Stuck { cause },
        }
    }
}

/// Sets a time when something begins to be so, and forgets it when it ends.
fn since(time: &mut Option<Duration>, is_so: bool, elapsed: Duration) {
    *time = is_so.then(|| time.unwrap_or(elapsed));
}

#[cfg(test)]
mod tests {
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
    fn rollout(purpose: Purpose, monitor: Duration) -> Deployment {
        let digests = BTreeSet::from([digest("new"), digest("new amd64")]);
        let images = BTreeMap::from([("api".to_owned(), Wanted { image: image("new"), digests })]);
        Deployment::new("api", purpose, GENERATION, images, (monitor, DEADLINE))
    }

    fn pod(number: u64) -> Pod {
        let container = Container { name: "api".to_owned(), image_id: image("new"), ..Container::default() };
        let name = format!("api-{number}");
        Pod { name, is_ready: true, unplaced: None, containers: vec![container] }
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
    fn waits_on(one: &mut Deployment, seen: &Seen, second: u64) -> Duration {
        let next = one.next(seen, seconds(second));
        let Next::Wait(pause) = next else { panic!("second {second}: {next:?}") };
        pause
    }

    #[track_caller]
    fn fails(one: &mut Deployment, seen: &Seen, second: u64, why: &str) {
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
        let mut restore = Deployment::new("api", Purpose::Restore, 2, images, (Duration::ZERO, DEADLINE));
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
        fails(
            &mut one,
            &old,
            6,
            "`api` keeps failing: container `api` of pod `api-0` restarts again and again",
        );
    }

    #[test]
    fn an_initialisation_that_ends_well_is_no_failure_and_a_program_that_ends_well_is() {
        let init = |exit_code| {
            let state = State::Ended(ended(exit_code));
            let container = Container {
                name: "init".to_owned(),
                is_init: true,
                restarts: 1,
                state,
                ..Container::default()
            };
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
        let unplaced = || Pod {
            unplaced: Some("0/1 nodes are available: 1 Insufficient cpu.".to_owned()),
            ..waits("", "")
        };
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
}
