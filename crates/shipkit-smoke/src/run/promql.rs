//! Asks Prometheus about what happened since the run began.

use shipkit_core::analysis::{Answer, query};
use shipkit_core::config::Bounds;
use shipkit_core::{Outcome, Verdict};
use tokio::time::{Instant, sleep_until};

use super::Session;
use super::log::Log;
use crate::class::Class;
use crate::prometheus::Prometheus;

/// A query, and what its values must be.
pub(super) struct Promql<'a> {
    pub(super) prometheus: &'a Prometheus,
    pub(super) name: &'a str,
    pub(super) query: &'a str,
    pub(super) bounds: &'a Bounds,
}

impl Session<'_> {
    /// Asks at once whether it can be asked, and what it gives once all that it looks back at lies after the beginning of the
    /// run. Only Prometheus itself is asked again: what is measured is not another thing a moment later.
    pub(super) async fn promql(&self, promql: &Promql<'_>, retries: u32, log: &mut Log) -> Outcome {
        if let Err(unanswered) = self.given(promql, retries, log).await {
            return unanswered;
        }
        // Others that speak its language may not tell what they scrape.
        let targets = promql.prometheus.targets().await.unwrap_or_default();
        let Some(after) = query::settles(promql.query, &targets) else {
            return Outcome::inconclusive(format!("how far `{}` looks back is not clear", promql.query));
        };
        let due = self.began + after;
        if self.end <= due {
            let (after, left) = (after.as_secs_f64(), self.options.deadline.as_secs_f64());
            return Outcome::inconclusive(format!(
                "what `{}` looks back at lies after the beginning of this run in {after} s, and the time is up after {left} s",
                promql.name
            ));
        }
        sleep_until(due).await;
        match self.given(promql, retries, log).await {
            Ok((began, outcome)) => {
                log.judged(began, Class::Body, &outcome);
                outcome
            }
            Err(unanswered) => unanswered,
        }
    }

    /// What it gives, once Prometheus answers, and when that was asked. What is no answer stands in the log.
    async fn given(
        &self,
        promql: &Promql<'_>,
        retries: u32,
        log: &mut Log,
    ) -> Result<(Instant, Outcome), Outcome> {
        let mut left = retries;
        loop {
            let began = Instant::now();
            let answer = promql.prometheus.ask(promql.query).await.map_or_else(Answer::from, Answer::Given);
            let outcome = query::judged(promql.name, promql.query, &answer, promql.bounds);
            if matches!(answer, Answer::Given(_)) {
                return Ok((began, outcome));
            }
            log.judged(began, Class::Body, &outcome);
            let may_mend = outcome.verdict == Verdict::Unreachable && 0 < left;
            if !may_mend || !self.pause(self.wait(log.bad_in_a_row())).await {
                return Err(outcome);
            }
            left -= 1;
        }
    }
}
