//! Measures how long a service takes to answer.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use shipkit_core::Outcome;
use shipkit_core::config::Method;
use tokio::time::Instant;

use super::Session;
use super::filled::Request;
use super::log::Log;
use super::question::Rest;
use super::together::First;
use crate::baseline::{Compared, compared};
use crate::client::Phases;
use crate::judge;
use crate::latency::{Gauge, Measured, is_warm_up, medians, pace};
use crate::open_loop::{Settled, is_enough};

impl Session<'_> {
    /// What else a good answer is asked for: how long others take, where there is a limit.
    pub(super) async fn measured(&self, rest: &Rest<'_>, name: &str, log: &mut Log) -> Option<Outcome> {
        let Rest::Http(request) = rest else { return None };
        let is_read = request.ask.method == Method::Get;
        let limit = request.expected.p95.filter(|_| is_read)?;
        let compared = compared(limit, request.expected.max_regress, self.options.baseline.as_ref(), name);
        Some(self.p95(request, compared, log).await)
    }

    /// Whether nineteen of twenty answers take no longer than the limit, by requests at a fixed rate.
    async fn p95(&self, request: &Request<'_>, compared: Compared, log: &mut Log) -> Outcome {
        let limit = compared.limit;
        let Request { ask, expected, .. } = request;
        // Some hundred requests are for a target that is ready.
        self.look.is(First::Good).await;
        let began = Instant::now();
        let timeout = expected.within.unwrap_or(self.options.timeout.max(limit));
        let question = Arc::new((self.sender.clone(), ask.clone(), expected.clone()));
        let phases: Arc<Mutex<Vec<Phases>>> = Arc::default();
        let asking = |n: u32, due: Instant| {
            let (question, phases) = (question.clone(), phases.clone());
            async move {
                let (sender, ask, expected) = &*question;
                let answer = sender.send(ask, due + timeout).await;
                let is_enough = answer.as_ref().is_ok_and(is_enough);
                let seen = answer.and_then(|answer| {
                    judge::expected(&answer, expected)?;
                    if !is_warm_up(n) {
                        phases.lock().unwrap_or_else(PoisonError::into_inner).push(answer.phases);
                    }
                    Ok(())
                });
                Settled { seen: seen.map(|()| None), is_enough }
            }
        };
        let mut gauge = Gauge::of(limit);
        let take = |probe, is_enough| gauge.take(probe, is_enough);
        pace(timeout).run(pending::<()>(), asking, take).await;
        let (outcome, measured) = gauge.outcome();
        let phases = medians(&phases.lock().unwrap_or_else(PoisonError::into_inner));
        let measured = Measured { phases, ..measured };
        let outcome = compared.said(outcome);
        log.measured(began, &outcome, measured);
        outcome
    }
}
