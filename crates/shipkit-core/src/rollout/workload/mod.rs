//! When a Kubernetes workload is done and when it is broken: (what is seen, how long it has taken) -> what to do next.
//!
//! Numbers alone are wrong: all of them can be right before the controller has seen a change, or while pods of another
//! image serve. So "done" asks for the generation that our own change got, our images in the new revision, and pods
//! that say themselves what they run and stay up for a while. "Broken" is read from the new pods: a crash shows after
//! seconds, the deadline of a deployment is ten minutes, and stateful sets and daemon sets have none.
//!
//! One rule judges deployments, stateful sets, daemon sets and jobs. [`Seen`] says what the numbers of each mean. A job
//! is done when the cluster says that it is complete, and broken when the cluster says that it failed: how often its
//! pods may fail before that is for the job to say.

mod events;
mod seen;
mod strategy;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CRASH_LOOP, Next, Purpose, one_line};
pub use events::{Event, with_event};
pub use seen::{Container, End, Pod, Seen, State, Wanted, Work, problems};
use seen::{containers, count, ending, held, held_up, key, not_ready, runs, trouble, unplaced};
pub use strategy::{never_ends, stays};

/// How long a pod may wait for what can still come: an image, a mount, a node that an autoscaler starts.
const GRACE: Duration = Duration::from_secs(30);
/// How long the API server may refuse new pods: a quota is free again when old pods are gone.
const REFUSED: Duration = Duration::from_secs(5);
/// Reasons of a waiting container that nothing but another deploy changes.
const FOR_GOOD: [&str; 3] = ["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"];

/// The rollout of one Kubernetes workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
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
    held_since: Option<Duration>,
    /// Since when all is as it should be, and the restarts then.
    steady: Option<(Duration, u64)>,
    /// Whether it was as it should be once and may not be otherwise again.
    must_stay: bool,
    /// Whether it was as it should be, and then was not.
    has_lapsed: bool,
}

impl Workload {
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
            held_since: None,
            steady: None,
            must_stay: false,
            has_lapsed: false,
        }
    }

    /// The same for what has arrived already: once it is seen as it should be, it must stay so without a break.
    #[must_use]
    pub fn staying(self) -> Self {
        Self { must_stay: true, ..self }
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
            if self.must_stay && self.has_lapsed {
                return self.failed(&self.lapsed(seen));
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
        since(&mut self.held_since, held(seen).is_some(), elapsed);
    }

    /// What can never work, or has not for too long.
    fn broken(&self, seen: &Seen, elapsed: Duration) -> Option<String> {
        let is_over = |since: &Duration, grace: Duration| grace <= elapsed.saturating_sub(*since);
        let for_good = containers(seen).find(|(_, container)| FOR_GOOD.contains(&container.reason()));
        if let Some((pod, container)) = for_good {
            return Some(format!("cannot start: {}", trouble(pod, container)?));
        }
        if self.is_looping(seen) {
            let words = self.failure(seen).unwrap_or_else(|| "its containers restart".to_owned());
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
        if let (Some(since), Some(why)) = (&self.held_since, held(seen))
            && is_over(since, GRACE)
        {
            return Some(format!("cannot go on: {why}"));
        }
        if seen.is_by_hand && seen.updated.saturating_add(seen.kept) < seen.replicas {
            return Some(
                "waits for somebody to delete its pods: its update strategy is `OnDelete`".to_owned(),
            );
        }
        seen.gave_up.as_ref().map(|why| self.given_up(seen, why))
    }

    /// What the cluster says when it has given up, and of a job what its pods do.
    fn given_up(&self, seen: &Seen, why: &str) -> String {
        let why = one_line(why);
        match seen.work {
            Work::Serves => format!("was given up by the cluster: {why}"),
            Work::Ends | Work::Ended => {
                let failure = self.failure(seen).map(|words| format!(": {words}")).unwrap_or_default();
                format!("failed, {why}{failure}")
            }
        }
    }

    /// Whether containers that should go on running fail again and again. Those of a job may.
    fn is_looping(&self, seen: &Seen) -> bool {
        let failures: u64 = containers(seen).map(|(pod, one)| self.failures(seen.work, pod, one)).sum();
        let is_backing_off = containers(seen).any(|(_, container)| container.reason() == "CrashLoopBackOff");
        let is_often = u64::try_from(CRASH_LOOP).is_ok_and(|most| most <= failures);
        seen.work == Work::Serves && (is_backing_off || is_often)
    }

    /// How a container ended that has failed since the rollout began.
    fn failure(&self, seen: &Seen) -> Option<String> {
        let (pod, container) = containers(seen).find(|(pod, one)| 0 < self.failures(seen.work, pod, one))?;
        Some(ending(pod, container))
    }

    /// How often a container failed since the rollout began. One that should go on running fails by ending at all.
    fn failures(&self, work: Work, pod: &Pod, container: &Container) -> u64 {
        let old = self.old_restarts.as_ref().and_then(|old| old.get(&key(pod, container)));
        let has_failed = match &container.state {
            State::Ended(end) => end.exit_code != 0 || (work == Work::Serves && !container.is_init),
            State::Waiting { reason, .. } => reason == "CrashLoopBackOff",
            State::Running => false,
        };
        container.restarts.saturating_sub(old.copied().unwrap_or_default()) + u64::from(has_failed)
    }

    /// The comparisons of `kubectl rollout status`, then what the pods themselves say, and all of it for a while without
    /// a restart. Pods that are kept must be available too, as `kubectl` wants it.
    ///
    /// When the numbers of a stateful set agree that no pod is kept, its `currentRevision` has become its
    /// `updateRevision` by the same write, so it is not asked for.
    fn is_done(&mut self, seen: &Seen, elapsed: Duration) -> bool {
        match seen.work {
            Work::Serves => {}
            Work::Ends => return false,
            Work::Ended => return true,
        }
        let numbers_agree = seen.renewed() <= seen.updated
            && seen.replicas <= seen.updated.saturating_add(seen.kept)
            && seen.wanted.max(seen.updated) <= seen.available
            && seen.renewed() <= self.ready(seen);
        if !numbers_agree {
            self.has_lapsed |= self.steady.take().is_some();
            return false;
        }
        let restarts = containers(seen).map(|(_, container)| container.restarts).sum();
        let steady = self.steady.get_or_insert((elapsed, restarts));
        if steady.1 != restarts {
            self.has_lapsed = true;
            *steady = (elapsed, restarts);
        }
        let (since, _) = *steady;
        self.monitor <= elapsed.saturating_sub(since)
    }

    /// How many of the new pods are as they should be.
    fn ready(&self, seen: &Seen) -> u64 {
        count(seen.pods.iter().filter(|pod| self.is_ready(pod)))
    }

    /// A pod that is ready and runs what it should, as its node identifies it.
    fn is_ready(&self, pod: &Pod) -> bool {
        pod.is_ready
            && self.images.iter().all(|(name, wanted)| {
                let container = pod.containers.iter().find(|container| container.name == *name);
                wanted.digests.is_empty() || container.is_some_and(|container| runs(container, wanted))
            })
    }

    /// What is missing of what was there, with the first thing that looks like a reason.
    fn lapsed(&self, seen: &Seen) -> String {
        let (ready, renewed) = (self.ready(seen), seen.renewed());
        format!("did not stay as it should be, {ready} of {renewed} pods ready{}", self.reason(seen))
    }

    /// What is missing when the time is over, with the first thing that looks like a reason.
    fn late(&self, seen: &Seen) -> String {
        let reason = self.reason(seen);
        let seconds = self.deadline.as_secs();
        match seen.work {
            Work::Serves => {
                let (ready, renewed) = (self.ready(seen), seen.renewed());
                format!("did not converge within {seconds} s, {ready} of {renewed} pods ready{reason}")
            }
            Work::Ends | Work::Ended => format!("did not end within {seconds} s{reason}"),
        }
    }

    /// The first thing that looks like a reason, behind a colon.
    fn reason(&self, seen: &Seen) -> String {
        let reason = self
            .failure(seen)
            .or_else(|| self.waiting.values().next().map(|(_, said)| said.clone()))
            .or_else(|| unplaced(seen))
            .or_else(|| held(seen))
            .or_else(|| seen.refused.as_deref().map(one_line))
            .or_else(|| self.stranger(seen))
            .or_else(|| (!self.is_seen(seen)).then(|| "its controller has not seen the change".to_owned()))
            .or_else(|| {
                let pod = seen.pods.iter().find(|pod| !pod.is_ready && seen.work == Work::Serves)?;
                Some(not_ready(pod))
            })
            .or_else(|| held_up(seen));
        reason.map(|reason| format!(": {reason}")).unwrap_or_default()
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
        let held = self.held_since.iter().map(|since| at(since, GRACE));
        let steady = self.steady.iter().map(|(since, _)| at(since, self.monitor));
        let graces = waiting.chain(unplaced).chain(refused).chain(held).chain(steady);
        let graces = graces.filter(|left| !left.is_zero());
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
mod tests;
