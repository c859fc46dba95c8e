//! `Story`: what happened on the way of a deploy, beside its outcome: how long each part took, and what visitors saw.

use std::time::Duration;

use serde_json::{Value, json};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_runner::Runner;
use shipkit_smoke::{WatchOptions, WatchReport, watch};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::candidate::Candidate;

/// What happened on the way.
pub(crate) struct Story {
    began: Instant,
    /// What each part took that came to its end, in the order of the parts.
    took: Vec<(&'static str, Duration)>,
    watched: Option<WatchReport>,
}

impl Story {
    /// It begins now.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), took: Vec::new(), watched: None }
    }

    /// The part that began when the last one ended, ends now.
    pub(crate) fn end(&mut self, part: &'static str) {
        let before: Duration = self.took.iter().map(|(_, took)| *took).sum();
        self.took.push((part, self.began.elapsed().saturating_sub(before)));
    }

    /// Milliseconds by part, and of all together.
    pub(crate) fn timings(&self) -> Value {
        let all = self.took.iter().copied().chain([("total", self.began.elapsed())]);
        all.map(|(part, took)| (format!("{part}Ms"), json!(took.as_millis()))).collect()
    }

    /// What visitors saw, in one sentence.
    pub(crate) fn seen(&self) -> Option<String> {
        self.watched.as_ref().map(|report| report.outcome.cause.clone())
    }

    /// The same, for evidence.
    pub(crate) fn details(&self) -> Value {
        self.watched.as_ref().map_or(Value::Null, |report| json!({"watch": report}))
    }

    /// Asks the environment as its visitors do while something happens to it, if there is something to ask. Gives what came of
    /// it, and what that says about what happened: a pass where nothing was asked.
    pub(crate) async fn watching<T>(
        &mut self,
        candidate: &Candidate<'_>,
        may_stop: bool,
        happens: impl Future<Output = T>,
        runner: &Runner,
    ) -> (T, Outcome) {
        let checks = candidate.checks.as_ref();
        let Some(options) = checks.and_then(|(url, checks)| WatchOptions::of_rollout(url, checks)) else {
            return (happens.await, Outcome::pass(""));
        };
        let (happening, is_over) = oneshot::channel::<()>();
        let happens = async {
            let done = happens.await;
            drop(happening);
            done
        };
        let (done, report) = tokio::join!(happens, watch(options, is_over));
        // What cannot be asked was refused before anything changed.
        let Ok(report) = report else { return (done, Outcome::pass("")) };
        let outcome = report.of_rollout(may_stop);
        if outcome.verdict != Verdict::Skipped {
            runner.say(&outcome.cause);
            self.watched = Some(report);
        }
        (done, outcome)
    }
}
