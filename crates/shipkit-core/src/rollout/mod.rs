//! A rollout of one service as a state machine: (what is seen, how long it has taken) -> what to do next.
//!
//! The target may roll back by itself; this machine notices that, and it notices earlier than the target does what
//! can never work. It does nothing: whoever drives it observes, asks, acts and asks again.

pub mod shift;
pub mod slots;
pub mod workload;

use std::fmt;
use std::time::Duration;

/// How long to wait before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How many failed tasks make a crash loop. One may be bad luck, and the target judges it by its own rule.
const CRASH_LOOP: usize = 2;

/// A rollout under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    service: String,
    purpose: Purpose,
    monitor: Duration,
    deadline: Duration,
    steady_since: Option<Duration>,
    blocked_since: Option<Duration>,
}

/// What a rollout is for, which decides what its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Something new is put in place: if it fails, what was there comes back.
    Deploy,
    /// What was there comes back: if that fails, there is nothing else to try.
    Restore,
}

/// How the target says that the update is going: only of *this* update, an older status counts as `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing is said: the service is new, or no task had to be replaced.
    #[default]
    None,
    /// Tasks are being replaced.
    Updating,
    /// All tasks were replaced and watched.
    Completed,
    /// The target gave up and left things as they are.
    Paused,
    /// The target is going back by itself.
    RollingBack,
    /// The target went back by itself.
    RolledBack,
    /// The target gave up going back.
    RollbackPaused,
}

/// What is seen of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// Whether the specification is still the one that this rollout put there.
    pub is_ours: bool,
    /// How the target says that it is going.
    pub status: Status,
    /// How many tasks should run.
    pub wanted: u64,
    /// How many tasks of our specification run; with a health check that means healthy.
    pub ready: u64,
    /// How many of the ready ones were started by this rollout.
    pub fresh: u64,
    /// How many tasks of another specification are still meant to run.
    pub others: u64,
    /// The tasks of our specification that this rollout started and that failed, oldest first.
    pub failures: Vec<Failure>,
    /// Why a task that should start cannot be placed.
    pub blocked: Option<String>,
}

/// A task that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The task.
    pub task: String,
    /// Who is to blame for it.
    pub kind: FailureKind,
    /// What the target says about it.
    pub error: String,
    /// The exit code of its container, if one ran.
    pub exit_code: Option<i64>,
}

/// What became of a task that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It ran and ended, or did not become healthy.
    Ended,
    /// It never started: the node refused it, as for an image that does not exist.
    Rejected,
    /// Its node lost it or could not take it just then, as while the node's engine restarts: that says nothing about what it runs.
    Lost,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Look again after this time.
    Wait(Duration),
    /// It converged: exactly what was asked for runs.
    Done,
    /// It failed, and what was there before must be put back now.
    RollBack {
        /// Why, in one sentence.
        cause: String,
    },
    /// It failed, and the target has already put back what was there before.
    RolledBack {
        /// Why, in one sentence.
        cause: String,
    },
    /// Somebody else changed the service meanwhile: what they put there is theirs to judge.
    Overtaken {
        /// What was seen, in one sentence.
        cause: String,
    },
    /// Going back did not work either: a person must look.
    Stuck {
        /// Why, in one sentence.
        cause: String,
    },
}

impl Observation {
    /// Whether what is missing may come back by itself: nothing that the release is to blame for has failed.
    #[must_use]
    pub fn may_come_back(&self) -> bool {
        self.blameworthy().next().is_none()
    }

    fn blameworthy(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter().filter(|failure| failure.kind != FailureKind::Lost)
    }
}

impl Rollout {
    /// A rollout of `service` that begins now. `monitor` is how long tasks that nobody else watches must stay up;
    /// `deadline` is how long it may take in all, and how long a rollback by the target may take after that.
    #[must_use]
    pub fn new(service: impl Into<String>, purpose: Purpose, monitor: Duration, deadline: Duration) -> Self {
        Self { service: service.into(), purpose, monitor, deadline, steady_since: None, blocked_since: None }
    }

    /// Decides what to do, `elapsed` into the rollout.
    pub fn next(&mut self, seen: &Observation, elapsed: Duration) -> Next {
        match seen.status {
            Status::RolledBack => self.rolled_back(seen),
            Status::RollbackPaused => {
                Next::Stuck { cause: self.cause(seen, "was going back and the target paused") }
            }
            Status::RollingBack if self.deadline.saturating_mul(2) <= elapsed => {
                Next::Stuck { cause: self.cause(seen, "was going back and did not arrive in time") }
            }
            Status::RollingBack => Next::Wait(LOOK_AGAIN),
            Status::None | Status::Updating | Status::Completed | Status::Paused if !seen.is_ours => {
                Next::Overtaken {
                    cause: format!("`{}` was changed by somebody else during the rollout", self.service),
                }
            }
            Status::Paused => self.failed(seen, "was paused by the target"),
            Status::None | Status::Updating | Status::Completed => self.forward(seen, elapsed),
        }
    }

    /// Nothing has gone wrong as far as the target says.
    fn forward(&mut self, seen: &Observation, elapsed: Duration) -> Next {
        if seen.failures.iter().any(|failure| failure.kind == FailureKind::Rejected) {
            return self.failed(seen, "cannot start");
        }
        if CRASH_LOOP <= seen.blameworthy().count() {
            return self.failed(seen, "keeps failing");
        }
        if self.is_converged(seen, elapsed) {
            return Next::Done;
        }
        if self.is_blocked_for_good(seen, elapsed) {
            return self.failed(seen, "cannot be placed");
        }
        if self.deadline <= elapsed {
            let late = format!(
                "did not converge within {} s, {} of {} tasks ready",
                self.deadline.as_secs(),
                seen.ready,
                seen.wanted
            );
            return self.failed(seen, &late);
        }
        Next::Wait(LOOK_AGAIN.min(self.deadline.saturating_sub(elapsed)))
    }

    /// All wanted tasks are ours and no other is meant to run. Where the target watched them itself that is enough;
    /// otherwise new ones must stay up for `monitor`, because the target has no opinion about a first start.
    fn is_converged(&mut self, seen: &Observation, elapsed: Duration) -> bool {
        let all_there = seen.wanted <= seen.ready && seen.others == 0;
        if !all_there {
            self.steady_since = None;
            return false;
        }
        let since = *self.steady_since.get_or_insert(elapsed);
        match seen.status {
            Status::Completed => true,
            Status::None => seen.fresh == 0 || self.monitor <= elapsed.saturating_sub(since),
            Status::Updating
            | Status::Paused
            | Status::RollingBack
            | Status::RolledBack
            | Status::RollbackPaused => false,
        }
    }

    /// A published host port is held by the task that would stop only after the new one started: that never ends by
    /// itself, while a lack of room may.
    fn is_blocked_for_good(&mut self, seen: &Observation, elapsed: Duration) -> bool {
        if !seen.blocked.as_ref().is_some_and(|why| why.contains("port already in use")) {
            self.blocked_since = None;
            return false;
        }
        let since = *self.blocked_since.get_or_insert(elapsed);
        self.monitor <= elapsed.saturating_sub(since)
    }

    fn failed(&self, seen: &Observation, what: &str) -> Next {
        let cause = self.cause(seen, what);
        match self.purpose {
            Purpose::Deploy => Next::RollBack { cause },
            Purpose::Restore => Next::Stuck { cause },
        }
    }

    /// For a restore this means that the target went *forward* again, to what failed.
    fn rolled_back(&self, seen: &Observation) -> Next {
        let cause = self.cause(seen, "was rolled back by the target");
        match self.purpose {
            Purpose::Deploy => Next::RolledBack { cause },
            Purpose::Restore => Next::Stuck { cause },
        }
    }

    /// One sentence: the service, what happened, and what the target says about the task. The first failure tells the
    /// most: later ones are often only its echo.
    fn cause(&self, seen: &Observation, what: &str) -> String {
        let service = &self.service;
        match (seen.blameworthy().next().or(seen.failures.first()), &seen.blocked) {
            (Some(failure), _) => format!("`{service}` {what}: {failure}"),
            (None, Some(blocked)) => format!("`{service}` {what}: {}", one_line(blocked)),
            (None, None) => format!("`{service}` {what}"),
        }
    }
}

/// Why a service that had converged does not run as it should any more, if that is so. One that somebody else has changed
/// since is theirs to judge.
#[must_use]
pub fn why_not_still(service: &str, seen: &Observation) -> Option<String> {
    if !seen.is_ours || (seen.wanted <= seen.ready && seen.blameworthy().count() < CRASH_LOOP) {
        return None;
    }
    let (ready, wanted) = (seen.ready, seen.wanted);
    let what = format!("`{service}` had arrived and does not run any more, {ready} of {wanted} tasks ready");
    let failure = seen.blameworthy().next().or(seen.failures.first());
    Some(failure.map_or_else(|| what.clone(), |failure| format!("{what}: {failure}")))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.kind == FailureKind::Rejected { "rejected" } else { "failed" };
        write!(f, "task {word}: {}", one_line(&self.error))?;
        match self.exit_code {
            Some(code) if self.kind == FailureKind::Ended => write!(f, " (exit code {code})"),
            Some(_) | None => Ok(()),
        }
    }
}

/// Foreign text, fit for a sentence: one line, no control characters, at most 300 characters. Of a longer one the middle is left
/// out: containerd names an image three times before it says why it has none.
fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    const FIRST: usize = 100;
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.trim().trim_end_matches('.');
    let Some(left_out) = clean.chars().count().checked_sub(MOST).filter(|more| 0 < *more) else {
        return clean.to_owned();
    };
    let (first, last) = (clean.chars().take(FIRST), clean.chars().skip(FIRST + left_out + 1));
    first.chain(['…']).chain(last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONITOR: Duration = Duration::from_secs(5);
    const DEADLINE: Duration = Duration::from_mins(1);

    fn rollout(purpose: Purpose) -> Rollout {
        Rollout::new("api", purpose, MONITOR, DEADLINE)
    }

    fn seen(status: Status, ready: u64, others: u64) -> Observation {
        Observation {
            is_ours: true,
            status,
            wanted: 2,
            ready,
            fresh: ready,
            others,
            ..Observation::default()
        }
    }

    fn failure(is_rejected: bool, error: &str, exit_code: Option<i64>) -> Failure {
        let kind = if is_rejected { FailureKind::Rejected } else { FailureKind::Ended };
        Failure { task: "t".to_owned(), kind, error: error.to_owned(), exit_code }
    }

    fn failing(status: Status, failures: &[Failure]) -> Observation {
        Observation { failures: failures.to_vec(), ..seen(status, 0, 2) }
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Kind {
        Wait,
        Done,
        RollBack,
        RolledBack,
        Overtaken,
        Stuck,
    }

    fn kind(next: &Next) -> Kind {
        match next {
            Next::Wait(_) => Kind::Wait,
            Next::Done => Kind::Done,
            Next::RollBack { .. } => Kind::RollBack,
            Next::RolledBack { .. } => Kind::RolledBack,
            Next::Overtaken { .. } => Kind::Overtaken,
            Next::Stuck { .. } => Kind::Stuck,
        }
    }

    fn cause(next: Next) -> String {
        match next {
            Next::Wait(_) | Next::Done => panic!("no cause in {next:?}"),
            Next::RollBack { cause }
            | Next::RolledBack { cause }
            | Next::Overtaken { cause }
            | Next::Stuck { cause } => cause,
        }
    }

    #[track_caller]
    fn check(purpose: Purpose, seen: &Observation, seconds: u64, expected: Kind) {
        let next = rollout(purpose).next(seen, Duration::from_secs(seconds));
        assert_eq!(kind(&next), expected, "{next:?}");
    }

    #[test]
    fn what_a_node_lost_is_waited_for_and_tells_the_least() {
        let lost = Failure { kind: FailureKind::Lost, ..failure(false, "No such container: x", Some(0)) };
        let crash = failure(false, "non-zero exit (5)", Some(5));
        check(Purpose::Deploy, &failing(Status::Updating, &[lost.clone(), lost.clone()]), 1, Kind::Wait);
        let twice = [lost.clone(), crash.clone(), crash.clone()];
        let next = rollout(Purpose::Deploy).next(&failing(Status::Updating, &twice), Duration::ZERO);
        assert_eq!(cause(next), "`api` keeps failing: task failed: non-zero exit (5) (exit code 5)");
        let next =
            rollout(Purpose::Deploy).next(&failing(Status::Updating, std::slice::from_ref(&lost)), DEADLINE);
        let late =
            "`api` did not converge within 60 s, 0 of 2 tasks ready: task failed: No such container: x";
        assert_eq!(cause(next), late);
        let short = |failures: &[Failure]| Observation {
            failures: failures.to_vec(),
            ..seen(Status::Completed, 1, 0)
        };
        assert!(short(&[]).may_come_back() && short(std::slice::from_ref(&lost)).may_come_back());
        assert!(!short(&[lost, crash]).may_come_back());
    }

    #[test]
    fn what_had_arrived_is_still_there_unless_it_crashes_again_and_again_or_is_short() {
        let crash = failure(false, "non-zero exit (5)", Some(5));
        let with = |failures: &[Failure], ready| Observation {
            failures: failures.to_vec(),
            ..seen(Status::Completed, ready, 0)
        };
        assert_eq!(why_not_still("api", &with(&[], 2)), None);
        // The target has started another one: bad luck, as during the rollout.
        assert_eq!(why_not_still("api", &with(std::slice::from_ref(&crash), 2)), None);
        let why = "`api` had arrived and does not run any more, 1 of 2 tasks ready";
        assert_eq!(why_not_still("api", &with(&[], 1)).as_deref(), Some(why));
        let why = "`api` had arrived and does not run any more, 2 of 2 tasks ready: \
                   task failed: non-zero exit (5) (exit code 5)";
        let loops = with(&[crash.clone(), crash], 2);
        assert_eq!(why_not_still("api", &loops).as_deref(), Some(why));
        assert_eq!(why_not_still("api", &Observation { is_ours: false, ..loops }), None);
    }

    #[test]
    fn an_update_is_done_when_the_target_completed_it_and_only_our_tasks_run() {
        check(Purpose::Deploy, &seen(Status::Completed, 2, 0), 9, Kind::Done);
        check(Purpose::Restore, &seen(Status::Completed, 2, 0), 9, Kind::Done);
        check(Purpose::Deploy, &seen(Status::Completed, 1, 0), 9, Kind::Wait);
        check(Purpose::Deploy, &seen(Status::Completed, 2, 1), 9, Kind::Wait);
    }

    #[test]
    fn of_a_long_message_the_middle_is_left_out() {
        let said = |middle: usize| format!("no\timage {} not found.", "x".repeat(middle));
        assert_eq!(one_line(&said(281)), format!("no image {} not found", "x".repeat(281)));
        let told = one_line(&said(282));
        assert_eq!(told.chars().count(), 300);
        assert_eq!(told, format!("no image {}…{} not found", "x".repeat(91), "x".repeat(189)));
    }

    #[test]
    fn all_new_tasks_running_is_not_done_while_the_target_still_watches_them() {
        check(Purpose::Deploy, &seen(Status::Updating, 2, 0), 59, Kind::Wait);
    }

    #[test]
    fn a_change_that_starts_no_task_is_done_at_once() {
        let untouched = Observation { fresh: 0, ..seen(Status::None, 2, 0) };
        check(Purpose::Deploy, &untouched, 0, Kind::Done);
    }

    #[test]
    fn before_the_target_begins_the_old_tasks_do_not_count() {
        check(Purpose::Deploy, &seen(Status::None, 0, 2), 0, Kind::Wait);
    }

    #[test]
    fn first_tasks_must_stay_up_for_the_monitor_time_and_a_loss_starts_it_anew() {
        let mut rollout = rollout(Purpose::Deploy);
        let steps = [
            (2, 1, Kind::Wait),
            (2, 5, Kind::Wait),
            (1, 6, Kind::Wait),
            (2, 7, Kind::Wait),
            (2, 11, Kind::Wait),
            (2, 12, Kind::Done),
        ];
        for (ready, second, expected) in steps {
            let next = rollout.next(&seen(Status::None, ready, 0), Duration::from_secs(second));
            assert_eq!(kind(&next), expected, "second {second}");
        }
    }

    #[test]
    fn a_service_with_no_replicas_is_done() {
        check(Purpose::Deploy, &Observation { wanted: 0, ..seen(Status::None, 0, 0) }, 0, Kind::Done);
    }

    #[test]
    fn a_rejected_task_fails_at_once_and_its_error_is_named() {
        let seen = failing(Status::Updating, &[failure(true, "No such image: x@sha256:1", None)]);
        let next = rollout(Purpose::Deploy).next(&seen, Duration::from_secs(1));
        assert_eq!(kind(&next), Kind::RollBack);
        assert_eq!(cause(next), "`api` cannot start: task rejected: No such image: x@sha256:1");
        check(Purpose::Restore, &seen, 1, Kind::Stuck);
    }

    #[test]
    fn one_failed_task_is_waited_out_and_the_second_is_a_crash_loop() {
        let failed = failure(false, "task: non-zero exit (3)", Some(3));
        check(Purpose::Deploy, &failing(Status::None, std::slice::from_ref(&failed)), 1, Kind::Wait);
        let twice = failing(Status::None, &[failed.clone(), failed]);
        let next = rollout(Purpose::Deploy).next(&twice, Duration::from_secs(1));
        assert_eq!(
            next,
            Next::RollBack {
                cause: "`api` keeps failing: task failed: task: non-zero exit (3) (exit code 3)".to_owned()
            }
        );
        check(Purpose::Restore, &twice, 1, Kind::Stuck);
    }

    #[test]
    fn a_rollback_by_the_target_is_waited_for_and_then_named() {
        let failed = [failure(false, "unhealthy container", Some(137))];
        let mut one = rollout(Purpose::Deploy);
        let going = Observation { is_ours: false, ..failing(Status::RollingBack, &failed) };
        assert_eq!(kind(&one.next(&going, Duration::from_secs(70))), Kind::Wait);
        let gone = Observation { is_ours: false, ..failing(Status::RolledBack, &failed) };
        let next = one.next(&gone, Duration::from_secs(71));
        assert_eq!(kind(&next), Kind::RolledBack);
        assert_eq!(
            cause(next),
            "`api` was rolled back by the target: task failed: unhealthy container (exit code 137)"
        );
    }

    #[test]
    fn a_rollback_that_does_not_arrive_is_stuck() {
        check(Purpose::Deploy, &seen(Status::RollingBack, 0, 2), 120, Kind::Stuck);
        check(Purpose::Deploy, &seen(Status::RollbackPaused, 0, 2), 1, Kind::Stuck);
        check(Purpose::Restore, &seen(Status::RolledBack, 0, 2), 1, Kind::Stuck);
    }

    #[test]
    fn a_pause_is_a_failure() {
        check(Purpose::Deploy, &seen(Status::Paused, 1, 1), 1, Kind::RollBack);
        check(Purpose::Restore, &seen(Status::Paused, 1, 1), 1, Kind::Stuck);
    }

    #[test]
    fn the_deadline_is_a_failure_that_names_what_is_missing() {
        let blocked = Observation {
            blocked: Some("no suitable node (insufficient resources)".to_owned()),
            ..seen(Status::Updating, 1, 1)
        };
        check(Purpose::Deploy, &blocked, 59, Kind::Wait);
        let next = rollout(Purpose::Deploy).next(&blocked, DEADLINE);
        assert_eq!(
            cause(next),
            "`api` did not converge within 60 s, 1 of 2 tasks ready: no suitable node (insufficient resources)"
        );
        check(Purpose::Restore, &blocked, 60, Kind::Stuck);
    }

    #[test]
    fn a_wait_never_outlasts_the_deadline() {
        let next = rollout(Purpose::Deploy)
            .next(&seen(Status::Updating, 1, 1), DEADLINE.saturating_sub(Duration::from_millis(3)));
        assert_eq!(next, Next::Wait(Duration::from_millis(3)));
    }

    #[test]
    fn a_host_port_held_by_the_old_task_fails_after_the_monitor_time() {
        let held = Observation {
            blocked: Some("no suitable node (host-mode port already in use on 1 node)".to_owned()),
            ..seen(Status::Updating, 0, 1)
        };
        let mut one = rollout(Purpose::Deploy);
        assert_eq!(kind(&one.next(&held, Duration::from_secs(1))), Kind::Wait);
        assert_eq!(kind(&one.next(&seen(Status::Updating, 0, 1), Duration::from_secs(4))), Kind::Wait);
        assert_eq!(kind(&one.next(&held, Duration::from_secs(5))), Kind::Wait);
        let next = one.next(&held, Duration::from_secs(10));
        assert_eq!(kind(&next), Kind::RollBack);
        assert!(cause(next).contains("host-mode port already in use"));
    }

    #[test]
    fn a_service_that_somebody_else_changed_is_left_to_them() {
        for status in [Status::None, Status::Updating, Status::Completed, Status::Paused] {
            let theirs = Observation { is_ours: false, ..seen(status, 2, 0) };
            check(Purpose::Deploy, &theirs, 1, Kind::Overtaken);
            check(Purpose::Restore, &theirs, 1, Kind::Overtaken);
        }
    }

    #[test]
    fn foreign_text_in_a_cause_is_one_short_line() {
        let long = failure(true, &format!("a\n::error::b\r{}", "x".repeat(999)), None);
        let text = long.to_string();
        assert!(!text.contains(['\n', '\r']) && text.len() < 400);
    }
}
