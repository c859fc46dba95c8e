//! `Story`: what happened on the way of a deploy, beside its outcome: how long each part took, what visitors saw, and what Prometheus
//! measured.

use std::time::Duration;

use serde_json::{Map, Value, json};
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
    /// What the analysis found, as it is kept.
    analysed: Value,
}

impl Story {
    /// It begins now.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), took: Vec::new(), watched: None, analysed: Value::Null }
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

    /// Both, for evidence.
    pub(crate) fn details(&self) -> Value {
        let watched = self.watched.as_ref().map(|report| ("watch".to_owned(), json!(report)));
        let analysed =
            Some(("analysis".to_owned(), self.analysed.clone())).filter(|(_, found)| !found.is_null());
        let details: Map<String, Value> = watched.into_iter().chain(analysed).collect();
        if details.is_empty() { Value::Null } else { Value::Object(details) }
    }

    /// What the analysis found; nothing where there was none.
    pub(crate) fn analysed(&self) -> Value {
        self.analysed.clone()
    }

    /// Keeps what an analysis found that was as good as its checks before it, if there was one, and gives what both came to.
    pub(crate) fn note_analysis(&mut self, checked: Outcome, analysed: Option<(Outcome, Value)>) -> Outcome {
        let Some((found, details)) = analysed else { return checked };
        self.end("analysis");
        self.analysed = details;
        match found.verdict {
            Verdict::Pass => Outcome { cause: format!("{}; {}", checked.cause, found.cause), ..checked },
            Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable | Verdict::Skipped => found,
        }
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
