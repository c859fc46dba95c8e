//! Measures how long a service takes to answer, and how often it does not, alone or beside another release.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shipkit_core::Outcome;
use shipkit_core::config::Method;
use tokio::time::{Instant, sleep};

use super::Session;
use super::filled::{Request, url};
use super::log::Log;
use super::question::Rest;
use super::sender::Sender;
use super::together::First;
use crate::baseline::{Baseline, Beside, Compared, compared};
use crate::check::Check;
use crate::class::Class;
use crate::client::{Answer, Ask, Bad, Phases};
use crate::expected::Expected;
use crate::gauge::{Gauge, Limits, To};
use crate::judge;
use crate::latency::{Measured, RATE, is_warm_up, medians, pace};
use crate::open_loop::{OpenLoop, Settled, is_enough};
use crate::variable::Values;

/// Another release, as it is asked.
struct Other<'a> {
    beside: &'a Beside,
    factor: f64,
    /// It is not known by the marks of the one that is measured.
    sender: Sender,
    ask: Ask,
}

/// Why another release is not compared with.
struct Unusable {
    told: String,
    class: Class,
    /// Whether that is a reason not to pass.
    is_missed: bool,
}

impl Session<'_> {
    /// What else a good answer is asked for: how long others take and how many fail, where there is a limit.
    pub(super) async fn measured(&self, rest: &Rest<'_>, check: &Check, log: &mut Log) -> Option<Outcome> {
        let Rest::Http(request) = rest else { return None };
        let Expected { p95, errors, max_regress, .. } = request.expected;
        if request.ask.method != Method::Get {
            return None;
        }
        let has_limit = p95.is_some() || errors.is_some();
        let (other, compared) = match (max_regress, &self.options.baseline) {
            (Some(factor), Some(Baseline::Beside(beside))) => {
                self.look.is(First::Good).await;
                match self.other(request, (beside, factor), check).await {
                    Ok(other) => (Some(other), Compared::silent(p95)),
                    Err(Unusable { told, class, is_missed }) => {
                        if !has_limit {
                            let of = if is_missed { Outcome::inconclusive } else { Outcome::pass };
                            let outcome = of(told);
                            log.judged(Instant::now(), class, &outcome);
                            return Some(outcome);
                        }
                        (None, Compared::with_none(p95, told, is_missed))
                    }
                }
            }
            (_, Some(Baseline::Earlier(earlier))) if has_limit => {
                (None, compared(p95, max_regress, Some(earlier), &check.name))
            }
            (_, Some(_) | None) if has_limit => (None, compared(p95, max_regress, None, &check.name)),
            (_, Some(_) | None) => return None,
        };
        let limits = Limits { p95: compared.limit, errors };
        let began = Instant::now();
        let (outcome, measured) = self.gauged(request, limits, other).await;
        let outcome = compared.said(outcome);
        log.measured(began, &outcome, measured);
        Some(outcome)
    }

    /// The other release, if it answers this at all.
    async fn other<'a>(
        &self,
        request: &Request<'_>,
        (beside, factor): (&'a Beside, f64),
        check: &Check,
    ) -> Result<Other<'a>, Unusable> {
        let unusable = |told, class, is_missed| Err(Unusable { told, class, is_missed });
        let captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let values = Values { captured: &captured, own: &request.http.variables };
        let url = match url(&beside.url, check, request.http, values) {
            Ok(url) => url,
            Err(error) => return unusable(error.to_string(), Class::Protocol, true),
        };
        let name = &beside.name;
        if url == request.ask.url && self.sender.marks.is_none() {
            let told = format!("`{name}` is asked at the same address, so there is nothing to compare with");
            return unusable(told, Class::Protocol, true);
        }
        let sender = Sender { client: self.sender.client.clone(), marks: None };
        let ask = Ask { url, ..request.ask.clone() };
        let mut left = check.retries;
        let mut attempt = 1;
        loop {
            let timeout = timeout(&request.expected, self.options.timeout);
            let answer = sender.send(&ask, Instant::now() + timeout).await;
            match answer.and_then(|answer| is_there(&answer, &request.expected)) {
                Ok(()) => return Ok(Other { beside, factor, sender, ask }),
                Err(Bad { class: Class::Status(404), .. }) if beside.is_before => {
                    let told = format!("`{name}` does not know it yet, so it was not compared");
                    return unusable(told, Class::Status(404), false);
                }
                Err(bad) if 0 < left && bad.class.is_mendable() && self.pause(self.wait(attempt)).await => {
                    left -= 1;
                    attempt += 1;
                }
                Err(Bad { class, detail }) => {
                    let told = format!("`{name}` cannot be compared with: {detail}");
                    return unusable(told, class, true);
                }
            }
        }
    }

    /// What requests at a fixed rate show. Another release has its own between them, so that both see the same minute and neither
    /// waits for the other.
    async fn gauged(
        &self,
        request: &Request<'_>,
        limits: Limits,
        other: Option<Other<'_>>,
    ) -> (Outcome, Measured) {
        // Some hundred requests are for a target that is ready.
        self.look.is(First::Good).await;
        let Request { ask, expected, .. } = request;
        let timeout = timeout(expected, self.options.timeout.max(limits.p95.unwrap_or_default()));
        let pace = pace(timeout);
        let phases: Arc<Mutex<Vec<Phases>>> = Arc::default();
        let gauge = Mutex::new(match &other {
            Some(Other { beside, factor, .. }) => Gauge::beside(limits, beside.name.clone(), *factor),
            None => Gauge::of(limits),
        });
        let seen = phases.clone();
        let own =
            Asking { sender: self.sender.clone(), ask: ask.clone(), expected: expected.clone(), timeout };
        let own = asked(&gauge, To::Own, pace, own, move |n, answer, expected| {
            judge::expected(answer, expected)?;
            if !is_warm_up(n) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(answer.phases);
            }
            Ok(())
        });
        let beside = async {
            let Some(Other { sender, ask, .. }) = other else { return };
            sleep(Duration::from_secs(1) / (2 * RATE)).await;
            let asking = Asking { sender, ask, expected: expected.clone(), timeout };
            asked(&gauge, To::Other, pace, asking, |_, answer, expected| is_there(answer, expected)).await;
        };
        tokio::join!(own, beside);
        let (outcome, measured) = gauge.into_inner().unwrap_or_else(PoisonError::into_inner).outcome();
        let phases = medians(&phases.lock().unwrap_or_else(PoisonError::into_inner));
        (outcome, Measured { phases, ..measured })
    }
}

/// What is asked again and again.
struct Asking {
    sender: Sender,
    ask: Ask,
    expected: Expected,
    timeout: Duration,
}

/// Asks at a fixed rate until the gauge has seen enough. `judge` is told the number of each answer.
async fn asked(
    gauge: &Mutex<Gauge>,
    to: To,
    pace: OpenLoop,
    asking: Asking,
    judge: impl Fn(u32, &Answer, &Expected) -> Result<(), Bad> + Send + Sync + 'static,
) {
    let asking = Arc::new((asking, judge));
    let ask = |n: u32, due: Instant| {
        let asking = asking.clone();
        async move {
            let (Asking { sender, ask, expected, timeout }, judge) = &*asking;
            let answer = sender.send(ask, due + *timeout).await;
            let is_enough = answer.as_ref().is_ok_and(is_enough);
            let seen = answer.and_then(|answer| judge(n, &answer, expected));
            Settled { seen: seen.map(|()| None), is_enough }
        }
    };
    let take =
        |probe, is_enough| gauge.lock().unwrap_or_else(PoisonError::into_inner).take(to, probe, is_enough);
    pace.run(pending::<()>(), ask, take).await;
}

/// Whether another release answers: what stands in its answers is its own affair.
fn is_there(answer: &Answer, expected: &Expected) -> Result<(), Bad> {
    judge::status(answer.status, &expected.status)
}

fn timeout(expected: &Expected, usual: Duration) -> Duration {
    expected.within.unwrap_or(usual)
}
