//! Asks Prometheus about itself, and about the alerts that fire.

use shipkit_core::analysis::Answer;
use shipkit_core::config::Alerts;
use shipkit_core::prometheus::PrometheusError;
use shipkit_core::{Outcome, Verdict};
use tokio::time::Instant;

use super::Session;
use super::log::Log;
use crate::alerts::{FIRING, State};
use crate::class::Class;
use crate::prometheus::Prometheus;

impl Session<'_> {
    /// Asks until nothing is on its way any more: what was not evaluated or scraped yet, or not well, is waited for as long as
    /// two scrapes take.
    pub(super) async fn alerts(
        &self,
        (prometheus, wanted): (&Prometheus, &Alerts),
        retries: u32,
        log: &mut Log,
    ) -> Outcome {
        let mut left = retries;
        loop {
            let began = Instant::now();
            let (outcome, is_on_its_way) = match self.state(prometheus).await {
                Ok(state) => {
                    let is_in_time = began < self.began + state.patience(wanted);
                    (state.judged(wanted), is_in_time && state.is_on_its_way(wanted))
                }
                Err(error) => {
                    let outcome = match Answer::<()>::from(error) {
                        Answer::Unreachable(why) => Outcome::unreachable(why),
                        Answer::Nothing(why) => Outcome::inconclusive(why),
                        Answer::Given(()) => Outcome::inconclusive("nothing was said"),
                    };
                    let is_asked_again = outcome.verdict == Verdict::Unreachable && 0 < left;
                    left = left.saturating_sub(1);
                    (outcome, is_asked_again)
                }
            };
            log.judged(began, Class::Body, &outcome);
            if !is_on_its_way || !self.pause(self.wait(log.bad_in_a_row())).await {
                return outcome;
            }
        }
    }

    async fn state(&self, prometheus: &Prometheus) -> Result<State, PrometheusError> {
        let before = match self.options.since {
            Some(since) => Some(prometheus.ask_at(Some(since), FIRING).await?.samples),
            None => None,
        };
        Ok(State {
            rules: prometheus.rules().await?,
            targets: prometheus.targets().await?,
            firing: prometheus.ask(FIRING).await?.samples,
            before,
        })
    }
}
