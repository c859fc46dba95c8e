//! The last lines that the tasks of a stack wrote.

use serde_json::Value;
use shipkit_core::rollout::FailureKind;
use shipkit_core::target::Written;

use crate::error::SwarmError;
use crate::rollout::{LOGS, failure, is_running, log_text, text};
use crate::slots::name_of;
use crate::spec::{self, at};
use crate::swarm::Swarm;

/// How many digits of its identifier name a task.
const SHORT: usize = 12;

impl Swarm {
    /// The last lines of the tasks of a stack, or of one service of it, at most `tail` of each: of all that should run, and of
    /// the newest that failed where too few do.
    ///
    /// # Errors
    /// When the Swarm cannot be asked.
    pub async fn written(
        &self,
        stack: &str,
        only: Option<&str>,
        tail: u32,
    ) -> Result<Vec<Written>, SwarmError> {
        let mut written = Vec::new();
        for service in self.services(stack).await? {
            let full = text(&service, &["Spec", "Name"]);
            let name = name_of(at(&service, &["Spec"]), stack);
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let tasks = self.tasks(text(&service, &["ID"])).await?;
            for (task, is_failing) in telling(&service, &tasks) {
                let id = text(task, &["ID"]);
                let path = format!("/tasks/{id}/logs?stdout=1&stderr=1&tail={tail}");
                let said = self.engine.get_bytes("show a log", &path).await.ok();
                let slot = at(task, &["Slot"]).as_u64().map(|slot| format!(".{slot}")).unwrap_or_default();
                written.push(Written {
                    service: name.clone(),
                    container: format!("{full}{slot}@{}", id.get(..SHORT).unwrap_or(id)),
                    is_failing,
                    lines: said.map(|bytes| log_text(&bytes).lines().map(str::to_owned).collect()),
                });
            }
        }
        Ok(written)
    }
}

/// The tasks whose words count, each with whether it fails: those of the present specification that are meant to run and,
/// where they are too few, the newest that failed.
fn telling<'a>(service: &Value, tasks: &'a [Value]) -> Vec<(&'a Value, bool)> {
    let spec = at(service, &["Spec"]);
    let wanted = spec::fingerprint(at(spec, &["TaskTemplate"]));
    let is_meant_to_run =
        |task: &&Value| text(task, &["DesiredState"]) == "running" && failure(task).is_none();
    let meant: Vec<(&Value, bool)> =
        tasks.iter().filter(is_meant_to_run).map(|task| (task, !is_running(task))).collect();
    let running = meant.iter().filter(|(_, is_failing)| !is_failing).count();
    let replicas = at(spec, &["Mode", "Replicated", "Replicas"]).as_u64().unwrap_or(1);
    if u64::try_from(running).is_ok_and(|running| replicas <= running) {
        return meant;
    }
    let has_failed = |task: &&Value| {
        // A rejected one has no container that could have written anything.
        spec::fingerprint(at(task, &["Spec"])) == wanted
            && failure(task).is_some_and(|one| one.kind != FailureKind::Rejected)
    };
    let failed = tasks.iter().rev().filter(has_failed).take(LOGS).map(|task| (task, true));
    failed.chain(meant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task(id: &str, image: &str, state: &str, desired: &str) -> Value {
        json!({
            "ID": id, "DesiredState": desired, "Spec": {"ContainerSpec": {"Image": image}},
            "Status": {"State": state},
        })
    }

    #[track_caller]
    fn check(replicas: u64, expected: &[(&str, bool)]) {
        let service = json!({"Spec": {
            "TaskTemplate": {"ContainerSpec": {"Image": "new"}}, "Mode": {"Replicated": {"Replicas": replicas}}
        }});
        let tasks = [
            task("left", "old", "shutdown", "shutdown"),
            task("old", "old", "failed", "shutdown"),
            task("f1", "new", "failed", "shutdown"),
            task("f2", "new", "failed", "shutdown"),
            task("f3", "new", "rejected", "shutdown"),
            task("f4", "new", "complete", "running"),
            task("f5", "new", "failed", "shutdown"),
            task("ok", "new", "running", "running"),
            task("slow", "new", "starting", "running"),
        ];
        let seen: Vec<(&str, bool)> = telling(&service, &tasks)
            .into_iter()
            .map(|(task, is_failing)| (text(task, &["ID"]), is_failing))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_failed_tells_something_only_where_too_few_run() {
        check(1, &[("ok", false), ("slow", true)]);
        check(2, &[("f5", true), ("f4", true), ("f2", true), ("ok", false), ("slow", true)]);
    }
}
