//! What is seen of a service while it changes, and the loop that asks `shipkit_core::rollout` what to do.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use shipkit_core::Outcome;
use shipkit_core::rollout::{
    Failure, FailureKind, Next, Observation, Purpose, Rollout, Status, why_not_still,
};
use tokio::time::{Instant, sleep};

use crate::engine::filtered;
use crate::error::SwarmError;
use crate::job::LOOK_AGAIN;
use crate::labels::{self, Mark};
use crate::slot_preview::SlotPreview;
use crate::slots::Shift;
use crate::spec::{self, at, items};
use crate::swarm::Swarm;

/// How many lines of a task's log are shown.
const LOG_LINES: usize = 50;
/// Of how many failed tasks the log is read: the later ones say the same.
pub(crate) const LOGS: usize = 3;

/// A service that was just changed (or found as it should be): what is needed to watch it and to undo it.
#[derive(Debug, Clone)]
pub struct Applied {
    pub(crate) service: String,
    pub(crate) full_name: String,
    pub(crate) id: String,
    pub(crate) purpose: Purpose,
    pub(crate) mark: Mark,
    /// The fingerprint of the tasks that should run.
    pub(crate) wanted: Value,
    /// The tasks that were there before.
    pub(crate) known: BTreeSet<String>,
    /// When the update before ours began: a status of that one says nothing about ours.
    pub(crate) earlier: Option<String>,
    pub(crate) monitor: Duration,
    pub(crate) undo: Undo,
    /// What comes once its tasks run, where it has two slots.
    pub(crate) shift: Option<Shift>,
}

/// What puts back what was there.
#[derive(Debug, Clone)]
pub(crate) enum Undo {
    /// Nothing was written, or nothing better is known.
    Nothing,
    /// The service did not exist.
    Remove,
    /// This specification.
    Restore(Box<Value>),
    /// The traffic goes back to the slot that it was brought beside.
    Shift,
}

/// The last lines of a failed task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLog {
    /// The task's identifier.
    pub task: String,
    /// What the container wrote, oldest first, at most 50 lines. Foreign text.
    pub lines: Vec<String>,
}

impl Applied {
    /// The service's name within the stack.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }
}

impl Swarm {
    /// Waits until the rollout is decided: everything but [`Next::Wait`]. `seen` is shown every observation, for
    /// progress. Of a service with two slots, the traffic then goes to the new one. Dropping the future stops the waiting and
    /// nothing else. A Swarm that does not answer is asked again until
    /// the deadline: its engine may be restarting.
    ///
    /// # Errors
    /// When the Swarm cannot be asked any more: then it is not known how the rollout ends.
    pub async fn rollout(
        &self,
        applied: &Applied,
        deadline: Duration,
        seen: impl FnMut(&Observation),
    ) -> Result<Next, SwarmError> {
        match (self.arrival(applied, deadline, seen).await?, &applied.shift) {
            (Next::Done, Some(shift)) => self.shift(applied, shift, deadline).await,
            (next, _) => Ok(next),
        }
    }

    /// The same, but `verify` is asked about a new slot before traffic goes to it, with the time that is left. If its tasks do
    /// not go on running meanwhile, that ends the question. Of what has no slots nothing is asked.
    ///
    /// # Errors
    /// As for [`rollout`](Self::rollout).
    pub async fn rollout_verified(
        &self,
        applied: &Applied,
        deadline: Duration,
        seen: impl FnMut(&Observation),
        verify: impl AsyncFn(SlotPreview, Duration) -> Outcome,
    ) -> Result<Next, SwarmError> {
        let start = Instant::now();
        let arrived = self.arrival(applied, deadline, seen).await?;
        let Some(shift) = applied.shift.as_ref().filter(|_| arrived == Next::Done) else {
            return Ok(arrived);
        };
        let left = deadline.saturating_sub(start.elapsed());
        match self.preview(applied, shift, left, verify).await? {
            Some(next) => Ok(next),
            None => self.shift(applied, shift, deadline).await,
        }
    }

    /// Waits until the tasks of a changed service run, or do not.
    async fn arrival(
        &self,
        applied: &Applied,
        deadline: Duration,
        mut seen: impl FnMut(&Observation),
    ) -> Result<Next, SwarmError> {
        let mut rollout = Rollout::new(&applied.service, applied.purpose, applied.monitor, deadline);
        let start = Instant::now();
        loop {
            let next = match self.observation(applied).await {
                Ok(observation) => {
                    seen(&observation);
                    rollout.next(&observation, start.elapsed())
                }
                Err(error) if error.may_pass() && start.elapsed() < deadline => Next::Wait(LOOK_AGAIN),
                Err(error) => return Err(error),
            };
            let Next::Wait(pause) = next else { return Ok(next) };
            sleep(pause).await;
        }
    }

    /// What is seen of a changed service now.
    ///
    /// # Errors
    /// When the Swarm cannot be asked.
    pub async fn observation(&self, applied: &Applied) -> Result<Observation, SwarmError> {
        let service = self.service(&applied.full_name).await?;
        let service = service.ok_or_else(|| SwarmError::NoSuchService(applied.full_name.clone()))?;
        let tasks = self.tasks(&applied.id).await?;
        Ok(observation(applied, &service, &tasks))
    }

    /// Why a service that had arrived does not run as it should any more, if that is so. What its node lost is waited for, until the
    /// deadline: the Swarm starts it again.
    ///
    /// # Errors
    /// When the Swarm cannot be asked any more.
    pub async fn why_not_still(
        &self,
        applied: &Applied,
        deadline: Duration,
    ) -> Result<Option<String>, SwarmError> {
        let start = Instant::now();
        loop {
            match self.observation(applied).await {
                Ok(seen) => match why_not_still(&applied.service, &seen) {
                    Some(_) if seen.may_come_back() && start.elapsed() < deadline => {}
                    told => return Ok(told),
                },
                Err(error) if error.may_pass() && start.elapsed() < deadline => {}
                Err(error) => return Err(error),
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The last lines of the tasks that the change started and that failed. A log that cannot be read is empty: it is
    /// gone with its node or its container.
    ///
    /// # Errors
    /// When the Swarm cannot be asked for the tasks.
    pub async fn logs(&self, applied: &Applied) -> Result<Vec<TaskLog>, SwarmError> {
        let tasks = self.tasks(&applied.id).await?;
        let mut logs = Vec::new();
        for failure in failures(applied, &tasks)
            .into_iter()
            .filter(|failed| failed.kind != FailureKind::Rejected)
            .take(LOGS)
        {
            let path = format!("/tasks/{}/logs?stdout=1&stderr=1&tail={LOG_LINES}", failure.task);
            let bytes = self.engine.get_bytes("show a log", &path).await.unwrap_or_default();
            logs.push(TaskLog { task: failure.task, lines: log_lines(&bytes) });
        }
        Ok(logs)
    }

    /// All tasks of a service, those that ended included, oldest first.
    pub(crate) async fn tasks(&self, service: &str) -> Result<Vec<Value>, SwarmError> {
        let path = filtered("/tasks", &json!({"service": [service]}));
        let answer = self.engine.get("list tasks", &path).await?;
        let mut tasks: Vec<Value> = items(&answer).cloned().collect();
        tasks.sort_by_key(|task| text(task, &["CreatedAt"]).to_owned());
        Ok(tasks)
    }
}

pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// Whether the task is meant to run and does. Swarm says `running` only once a health check has passed.
pub(crate) fn is_running(task: &Value) -> bool {
    text(task, &["Status", "State"]) == "running" && text(task, &["DesiredState"]) == "running"
}

fn observation(applied: &Applied, service: &Value, tasks: &[Value]) -> Observation {
    let spec = at(service, &["Spec"]);
    let (ours, others): (Vec<&Value>, Vec<&Value>) =
        tasks.iter().partition(|task| spec::fingerprint(at(task, &["Spec"])) == applied.wanted);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let is_known = |task: &Value| applied.known.contains(text(task, &["ID"]));
    let is_meant_to_run = |task: &&&Value| text(task, &["DesiredState"]) == "running";
    // A global service has no number: every task that is meant to run counts.
    let wanted = at(spec, &["Mode", "Replicated", "Replicas"])
        .as_u64()
        .unwrap_or_else(|| count(ours.iter().filter(is_meant_to_run).count()).max(1));
    let pending = |task: &&&Value| text(task, &["Status", "State"]) == "pending" && !is_known(task);
    let blocked = ours.iter().filter(pending).map(|task| text(task, &["Status", "Err"]));
    Observation {
        is_ours: labels::mark(spec) == applied.mark
            && spec::fingerprint(at(spec, &["TaskTemplate"])) == applied.wanted,
        status: match text(service, &["UpdateStatus", "StartedAt"]) {
            begun if Some(begun) == applied.earlier.as_deref() => Status::None,
            _ => status(service),
        },
        wanted,
        ready: count(ours.iter().filter(|task| is_running(task)).count()),
        fresh: count(ours.iter().filter(|task| is_running(task) && !is_known(task)).count()),
        others: count(others.iter().filter(is_meant_to_run).count()),
        failures: failures(applied, tasks),
        blocked: blocked.filter(|why| !why.is_empty()).map(str::to_owned).next_back(),
    }
}

/// How the engine says that the last update went.
pub(crate) fn status(service: &Value) -> Status {
    match text(service, &["UpdateStatus", "State"]) {
        "updating" => Status::Updating,
        "completed" => Status::Completed,
        "paused" => Status::Paused,
        "rollback_started" => Status::RollingBack,
        "rollback_completed" => Status::RolledBack,
        "rollback_paused" => Status::RollbackPaused,
        _ => Status::None,
    }
}

fn failures(applied: &Applied, tasks: &[Value]) -> Vec<Failure> {
    let is_ours = |task: &&Value| {
        !applied.known.contains(text(task, &["ID"]))
            && spec::fingerprint(at(task, &["Spec"])) == applied.wanted
    };
    tasks.iter().filter(is_ours).filter_map(failure).collect()
}

/// What became of a task in this state. A node whose engine restarts has lost its containers first, then does not know its networks
/// and refuses new ones until it has joined its Swarm again: seen with Docker 20.10.
fn kind(state: &str, error: &str) -> FailureKind {
    let is_lost = error.starts_with("No such container: ")
        || error.starts_with("error while removing network: unknown network ")
        || error.ends_with("when swarm is not active");
    match state {
        _ if is_lost => FailureKind::Lost,
        "rejected" => FailureKind::Rejected,
        _ => FailureKind::Ended,
    }
}

/// A task that ended although it should run; that its program ended well does not help a service.
pub(crate) fn failure(task: &Value) -> Option<Failure> {
    let state = text(task, &["Status", "State"]);
    let error = match (state, text(task, &["Status", "Err"])) {
        // A task whose health check fails is stopped, and a program that obeys then ends with 0: the Swarm calls that
        // complete and says no more.
        ("complete", "") => {
            "it was stopped because its health check did not pass, or the program ended by itself"
        }
        ("failed" | "rejected", "") => text(task, &["Status", "Message"]),
        ("complete" | "failed" | "rejected", error) => error,
        _ => return None,
    };
    Some(Failure {
        task: text(task, &["ID"]).to_owned(),
        kind: kind(state, error),
        error: error.to_owned(),
        exit_code: at(task, &["Status", "ContainerStatus", "ExitCode"]).as_i64(),
    })
}

/// The last lines of a log.
pub(crate) fn log_lines(bytes: &[u8]) -> Vec<String> {
    let lines: Vec<String> = log_text(bytes).lines().map(str::to_owned).collect();
    lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().to_vec()
}

/// The text of a log: frames of one byte for the stream, three zeros, four bytes of length, and the text; a container with
/// a terminal has no frames.
pub(crate) fn log_text(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    let mut rest = bytes;
    while let Some(([0..=2, 0, 0, 0, length @ ..], after)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX).min(after.len());
        let (frame, next) = after.split_at(length);
        text.extend_from_slice(frame);
        rest = next;
    }
    text.extend_from_slice(rest);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied() -> Applied {
        Applied {
            service: "api".to_owned(),
            full_name: "shop_api".to_owned(),
            id: "s".to_owned(),
            purpose: Purpose::Deploy,
            mark: None,
            wanted: spec::fingerprint(&json!({"ContainerSpec": {"Image": "new"}})),
            known: BTreeSet::from(["t0".to_owned()]),
            earlier: Some("then".to_owned()),
            monitor: Duration::ZERO,
            undo: Undo::Nothing,
            shift: None,
        }
    }

    fn service(image: &str, state: &str, begun: &str) -> Value {
        json!({
            "Spec": {"TaskTemplate": {"ContainerSpec": {"Image": image}}, "Mode": {"Replicated": {"Replicas": 2}}},
            "UpdateStatus": {"State": state, "StartedAt": begun},
        })
    }

    fn task(id: &str, image: &str, state: &str, desired: &str) -> Value {
        json!({
            "ID": id, "DesiredState": desired, "Spec": {"ContainerSpec": {"Image": image}},
            "Status": {"State": state, "Err": "why", "ContainerStatus": {"ExitCode": 3}},
        })
    }

    #[test]
    fn only_tasks_of_our_specification_count() {
        let tasks = [
            task("t0", "old", "running", "running"),
            task("t1", "new", "running", "running"),
            task("t2", "new", "starting", "running"),
            task("t3", "new", "running", "shutdown"),
        ];
        let seen = observation(&applied(), &service("new", "updating", "now"), &tasks);
        assert_eq!((seen.ready, seen.fresh, seen.others, seen.wanted), (1, 1, 1, 2));
        assert!(seen.is_ours && seen.status == Status::Updating);
    }

    #[test]
    fn the_status_of_an_earlier_update_says_nothing() {
        let seen = observation(&applied(), &service("new", "rollback_completed", "then"), &[]);
        assert_eq!(seen.status, Status::None);
    }

    #[test]
    fn another_specification_is_not_ours() {
        assert!(!observation(&applied(), &service("old", "rollback_started", "now"), &[]).is_ours);
    }

    #[test]
    fn failures_from_before_and_of_other_specifications_are_not_ours() {
        let tasks = [
            task("t0", "new", "failed", "shutdown"),
            task("t1", "old", "failed", "shutdown"),
            task("t2", "new", "rejected", "shutdown"),
            task("t3", "new", "complete", "shutdown"),
        ];
        let seen = observation(&applied(), &service("new", "updating", "now"), &tasks);
        let found: Vec<(&str, FailureKind)> =
            seen.failures.iter().map(|failed| (failed.task.as_str(), failed.kind)).collect();
        assert_eq!(found, [("t2", FailureKind::Rejected), ("t3", FailureKind::Ended)]);
    }

    #[test]
    fn a_node_whose_engine_restarts_has_lost_tasks_and_refused_none_for_good() {
        for (state, error) in [
            ("rejected", "cannot create a swarm scoped network when swarm is not active"),
            ("failed", "No such container: shop_api.1.wqc1x0r69hwofehgkzkmfasn0"),
            ("failed", "error while removing network: unknown network shop id 6djl0ffz1efwwhpx2z7fz27xa"),
        ] {
            let mut lost = task("t2", "new", state, "shutdown");
            lost["Status"]["Err"] = error.into();
            let failure = failure(&lost).unwrap();
            assert_eq!((failure.kind, failure.error.as_str()), (FailureKind::Lost, error));
        }
    }

    #[test]
    fn what_blocks_a_new_task_is_named() {
        let tasks = [task("t0", "new", "pending", "running"), task("t1", "new", "pending", "running")];
        let seen = observation(&applied(), &service("new", "updating", "now"), &tasks[..1]);
        assert_eq!(seen.blocked, None);
        let seen = observation(&applied(), &service("new", "updating", "now"), &tasks);
        assert_eq!(seen.blocked.as_deref(), Some("why"));
    }

    #[test]
    fn a_log_is_read_with_frames_and_without_and_a_broken_one_does_no_harm() {
        assert_eq!(log_lines(b"\x01\0\0\0\0\0\0\x02a\n\x02\0\0\0\0\0\0\x01b"), ["a", "b"]);
        assert_eq!(log_lines(b"plain\ntext"), ["plain", "text"]);
        assert_eq!(log_lines(b"\x01\0\0\0\xff\xff\xff\xffend"), ["end"]);
        assert_eq!(log_lines("x\n".repeat(99).as_bytes()).len(), LOG_LINES);
    }
}
