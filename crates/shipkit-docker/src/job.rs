//! A command that runs once per release, in the new image of a service, before the release is rolled out.
//!
//! It is a job of the Swarm (a service that ends), so the Swarm itself remembers what ran: a run that comes later finds the
//! job and waits for it, or takes its end for what it was. Nothing is ever run a second time for one release.

use std::time::Duration;

use serde_json::Value;
use shipkit_core::target::{Desired, Job, JobEnd};
use tokio::time::{Instant, sleep};

use crate::error::SwarmError;
use crate::labels;
use crate::rollout::{failure, log_lines, text};
use crate::spec::{self, at, full_name};
use crate::swarm::{Login, Swarm};

/// How long to wait before looking again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long a job may be about to vanish before one of the same name is made.
const GONE: Duration = Duration::from_secs(30);

impl Swarm {
    /// Runs the migration of a release, or waits for the one that a killed run began. `line` is told what it writes, as it
    /// comes; foreign text. After its limit it is left running, for the next deploy of this release to wait for. Dropping
    /// the future leaves it running, too.
    ///
    /// # Errors
    /// When the Swarm refuses or cannot be asked, or a migration of another release still runs.
    pub async fn migrate(
        &self,
        desired: &Desired,
        job: Job<'_>,
        login: Option<&Login>,
        line: impl FnMut(&str),
    ) -> Result<JobEnd, SwarmError> {
        // The Swarm makes a job wholly or not at all: one that a killed run has written down and that is not there was
        // never begun.
        let is_new = self.needs_job(desired).await?;
        if is_new {
            let name = full_name(&desired.stack, labels::MIGRATION);
            self.begin(desired, job, &name, login).await?;
        }
        self.follow(desired, job, is_new, line).await
    }

    /// Whether the job that migrates this release is to be made. What is left of another release is removed.
    pub(crate) async fn needs_job(&self, desired: &Desired) -> Result<bool, SwarmError> {
        match self.service(&full_name(&desired.stack, labels::MIGRATION)).await? {
            Some(there) => Ok(!self.is_for(desired, &there).await?),
            None => Ok(true),
        }
    }

    /// Waits for the job that migrates a release.
    pub(crate) async fn follow(
        &self,
        desired: &Desired,
        job: Job<'_>,
        is_new: bool,
        mut line: impl FnMut(&str),
    ) -> Result<JobEnd, SwarmError> {
        let name = full_name(&desired.stack, labels::MIGRATION);
        let mut log = Log::default();
        let start = Instant::now();
        loop {
            let there = self.service(&name).await?.ok_or_else(|| SwarmError::NoSuchService(name.clone()))?;
            let end = self.end_of(&there).await?;
            let wants_log = is_new || end.is_none() || matches!(end, Some(Err(_)));
            if wants_log {
                self.tell_new_lines(text(&there, &["ID"]), &mut log, &mut line).await?;
            }
            match end {
                Some(Ok(())) => return Ok(if is_new { JobEnd::Done } else { JobEnd::DoneBefore }),
                Some(Err(cause)) if is_new => return Ok(JobEnd::Failed { cause }),
                Some(Err(cause)) => {
                    let cause = format!(
                        "{cause}; it is not run twice for one release: `docker service rm {name}` allows it again"
                    );
                    return Ok(JobEnd::Failed { cause });
                }
                None if job.limit <= start.elapsed() => {
                    let cause = format!(
                        "it did not end within {} s, and still runs as `{name}`: the next deploy of this release waits for it",
                        job.limit.as_secs()
                    );
                    return Ok(JobEnd::Failed { cause });
                }
                None => sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Whether the job that is there is the one of this release. One of another release is removed, unless it still runs.
    async fn is_for(&self, desired: &Desired, there: &Value) -> Result<bool, SwarmError> {
        let (spec, name) = (at(there, &["Spec"]), text(there, &["Spec", "Name"]));
        if !labels::is_migration(spec) {
            return Err(SwarmError::Overtaken { service: name.to_owned() });
        }
        if labels::mark(spec).is_some_and(|(release, _)| release == desired.stamp.release.as_str()) {
            return Ok(true);
        }
        if self.end_of(there).await?.is_none() {
            return Err(SwarmError::StillMigrating { service: name.to_owned() });
        }
        self.engine.delete("remove an ended job", &format!("/services/{}", text(there, &["ID"]))).await?;
        Ok(false)
    }

    async fn begin(
        &self,
        desired: &Desired,
        job: Job<'_>,
        name: &str,
        login: Option<&Login>,
    ) -> Result<(), SwarmError> {
        let ids = self.ids(&desired.stack).await?;
        let body = spec::migration(desired, job.service, &ids, (name, job.command));
        let start = Instant::now();
        loop {
            match self.engine.post("create a job", "/services/create", &body, login).await {
                Ok(_) => return Ok(()),
                Err(error @ (SwarmError::NoAnswer { .. } | SwarmError::Refused { status: 409, .. })) => {
                    // The answer was lost, or one of the same name is still on its way out.
                    let there = self.service(name).await?;
                    let is_ours = |there: &Value| labels::mark(at(there, &["Spec"])) == labels::mark(&body);
                    match there {
                        Some(there) if is_ours(&there) => return Ok(()),
                        Some(_) => return Err(SwarmError::Overtaken { service: name.to_owned() }),
                        None if GONE <= start.elapsed() => return Err(error),
                        None => sleep(LOOK_AGAIN).await,
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// How a job ended; `None` while it has not.
    async fn end_of(&self, job: &Value) -> Result<Option<Result<(), String>>, SwarmError> {
        let tasks = self.tasks(text(job, &["ID"])).await?;
        let Some(task) = tasks.last() else { return Ok(None) };
        if text(task, &["Status", "State"]) == "complete" {
            return Ok(Some(Ok(())));
        }
        Ok(failure(task).map(|failure| Err(failure.to_string())))
    }

    async fn tell_new_lines(
        &self,
        job: &str,
        log: &mut Log,
        line: &mut impl FnMut(&str),
    ) -> Result<(), SwarmError> {
        let path = format!("/services/{job}/logs?stdout=1&stderr=1&timestamps=1&since={}", log.since());
        // A log that cannot be had is no reason to stop waiting: it is gone with its container.
        let bytes = self.engine.get_bytes("show a log", &path).await.unwrap_or_default();
        for new in log.take(&log_lines(&bytes)) {
            line(&new);
        }
        Ok(())
    }
}

/// How far a log was read: the engine gives lines since a second, and each with its time.
#[derive(Debug, Default)]
pub(crate) struct Log {
    last: String,
}

impl Log {
    /// The whole second of the last line.
    pub(crate) fn since(&self) -> i64 {
        self.last.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_second).unwrap_or_default()
    }

    /// The lines that are new, without their times.
    pub(crate) fn take(&mut self, lines: &[String]) -> Vec<String> {
        let mut new = Vec::new();
        for (time, text) in lines.iter().filter_map(|line| line.split_once(' ')) {
            // Times are written with nine digits behind the point, so texts compare as times do.
            if self.last.as_str() < time && time.parse::<jiff::Timestamp>().is_ok() {
                time.clone_into(&mut self.last);
                new.push(text.to_owned());
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gives_each_line_once() {
        let line = |nanos: u32, text: &str| format!("2026-01-02T03:04:05.{nanos:09}Z {text}");
        let mut log = Log::default();
        assert_eq!(log.since(), 0);
        assert_eq!(log.take(&[line(1, "a"), line(2, "b")]), ["a", "b"]);
        assert_eq!(log.since(), 1_767_323_045);
        assert_eq!(log.take(&[line(1, "a"), line(2, "b"), line(10, "c d")]), ["c d"]);
        assert_eq!(log.take(&[line(10, "c d"), "no time".to_owned()]), Vec::<String>::new());
    }
}
