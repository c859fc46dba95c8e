//! Analysis: whether what requests go to now may stay, by what Prometheus has measured since.
//!
//! Of each metric there are four answers. Above its critical limit it fails; what too few requests were measured of, or what
//! Prometheus says nothing about, is inconclusive; where Prometheus does not answer it is unreachable; all else passes.

mod metrics;
pub mod query;

use std::time::Duration;

use serde::Serialize;

pub use metrics::{COUNTERS, HISTOGRAMS, Metrics, Quantile, STATUS_LABELS, Share, Times};

use crate::config::{Analysis, BasisPoints, Bounds};
use crate::prometheus::{PrometheusError, Samples};
use crate::verdict::{Outcome, Verdict};

/// Fewer requests say nothing about a 95th percentile: the slowest of 59 is above it with a probability of 95 % (`1 - 0.95^59`),
/// and so is one of 59 among the failed ones where 5 % fail.
pub const ENOUGH: u64 = 59;

/// How often Prometheus is asked: ten times, but neither more often than its own scrapes are apart nor so rarely that a release
/// that fails stays long.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(30);

/// What Prometheus says about one thing.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<T> {
    /// This.
    Given(T),
    /// Nothing, and why.
    Nothing(String),
    /// It does not answer.
    Unreachable(String),
}

/// What Prometheus says at one moment about all that has happened since the analysis began.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The requests, and how many failed.
    pub errors: Answer<Share>,
    /// How long they took.
    pub times: Answer<Times>,
    /// What the queries of the configuration give, in their order.
    pub queries: Vec<Answer<Samples>>,
}

/// What was found about one metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The metric.
    pub metric: String,
    /// What it is; empty where it is not known.
    pub value: String,
    /// Where failing begins; empty where it is only asked for.
    pub limit: String,
    /// How many requests were measured, where requests are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// What that means.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask once more after this time.
    Wait(Duration),
    /// It is over, and this was found.
    Done(Vec<Finding>),
}

impl<T> From<PrometheusError> for Answer<T> {
    fn from(error: PrometheusError) -> Self {
        match error {
            PrometheusError::Query { .. } | PrometheusError::TooLarge { .. } => {
                Self::Nothing(error.to_string())
            }
            PrometheusError::Refused { .. }
            | PrometheusError::Foreign { .. }
            | PrometheusError::Unreachable { .. } => Self::Unreachable(error.to_string()),
        }
    }
}

/// Decides after `elapsed`, of a window that may be shorter than the configured one where a release is tried in steps.
///
/// What fails twice in a row ends it early: one reading after a start may be of cold caches. Queries of the configuration are
/// judged at the end alone, since their ranges may reach back to before the release.
#[must_use]
pub fn next(analysis: &Analysis, window: Duration, elapsed: Duration, readings: &[Reading]) -> Next {
    let has_failed = |reading: &Reading| {
        of_requests(analysis, reading).iter().any(|finding| finding.outcome.verdict == Verdict::Fail)
    };
    let is_lost = matches!(readings, [.., before, last] if has_failed(before) && has_failed(last));
    match readings.last() {
        Some(last) if is_lost && elapsed < window => Next::Done(of_requests(analysis, last).into()),
        Some(last) if window <= elapsed => Next::Done(judge(analysis, last)),
        Some(_) | None => {
            let interval = (window / 10).clamp(SHORTEST, LONGEST);
            Next::Wait(interval.min(window.saturating_sub(elapsed)))
        }
    }
}

/// What a reading means.
#[must_use]
pub fn judge(analysis: &Analysis, reading: &Reading) -> Vec<Finding> {
    let queries = analysis.promql.iter().zip(&reading.queries);
    let queries = queries.map(|(query, answer)| of_query(&query.name, &query.query, answer));
    of_requests(analysis, reading).into_iter().chain(queries).collect()
}

/// The worst of what was found; where all is well, all of it.
#[must_use]
pub fn outcome(findings: &[Finding], over: Duration) -> Outcome {
    let verdict = Verdict::of_all(findings.iter().map(|finding| finding.outcome.verdict));
    let deciding = findings.iter().filter(|finding| finding.outcome.verdict == verdict);
    let mut causes: Vec<&str> = deciding.map(|finding| finding.outcome.cause.as_str()).collect();
    causes.dedup();
    Outcome { verdict, cause: format!("analysis of {}: {}", span(over), causes.join(", ")) }
}

/// A reading in one line, for whoever waits.
#[must_use]
pub fn progress(analysis: &Analysis, reading: &Reading) -> String {
    let findings = of_requests(analysis, reading);
    let mut causes: Vec<&str> = findings.iter().map(|finding| finding.outcome.cause.as_str()).collect();
    causes.dedup();
    causes.join(", ")
}

/// What is known of the requests themselves.
fn of_requests(analysis: &Analysis, reading: &Reading) -> [Finding; 2] {
    let (errors, p95) = (&analysis.error_rate, &analysis.p95);
    let limit = percent(points(errors.critical));
    let rate = found(
        "error rate",
        &reading.errors,
        &limit,
        |share| share.all,
        |share| {
            let rate = share.failed / share.all;
            let warning = errors.warning.map(points).filter(|warning| *warning < rate).map(percent);
            (percent(rate), points(errors.critical) < rate, warning)
        },
    );
    let limit = seconds(p95.critical.as_secs_f64());
    let times = found(
        "p95",
        &reading.times,
        &limit,
        |times| times.requests,
        |times| {
            let text = match times.p95 {
                Quantile::About(value) => seconds(value),
                Quantile::Above(value) => format!("above {}", seconds(value)),
            };
            let is_above = |limit: f64| match times.p95 {
                Quantile::About(value) => limit < value,
                Quantile::Above(value) => limit <= value,
            };
            let warning = p95.warning.map(|warning| warning.as_secs_f64());
            let warning = warning.filter(|warning| is_above(*warning)).map(seconds);
            (text, is_above(p95.critical.as_secs_f64()), warning)
        },
    );
    [rate, unknown_above(times, &reading.times, p95.critical)]
}

/// A histogram that ends below the limit cannot tell what is above it.
fn unknown_above(finding: Finding, times: &Answer<Times>, critical: Duration) -> Finding {
    match times {
        Answer::Given(Times { p95: Quantile::Above(end), .. })
            if finding.outcome.verdict == Verdict::Pass && *end < critical.as_secs_f64() =>
        {
            let cause = format!(
                "p95 is above {}, where the buckets of its histogram end, so whether it is above {} is not known",
                seconds(*end),
                seconds(critical.as_secs_f64())
            );
            Finding { outcome: Outcome::inconclusive(cause), ..finding }
        }
        Answer::Given(_) | Answer::Nothing(_) | Answer::Unreachable(_) => finding,
    }
}

/// One metric of requests: its value, whether it is above its limit, and the warning that it is above.
fn found<T>(
    metric: &str,
    answer: &Answer<T>,
    limit: &str,
    requests: impl Fn(&T) -> f64,
    measure: impl Fn(&T) -> (String, bool, Option<String>),
) -> Finding {
    let finding = |value: String, requests, outcome| Finding {
        metric: metric.to_owned(),
        value,
        limit: limit.to_owned(),
        requests,
        outcome,
    };
    let given = match answer {
        Answer::Given(given) => given,
        Answer::Nothing(why) => return finding(String::new(), None, Outcome::inconclusive(why)),
        Answer::Unreachable(why) => return finding(String::new(), None, Outcome::unreachable(why)),
    };
    let Some(count) = whole(requests(given)) else {
        return finding(String::new(), None, Outcome::inconclusive(format!("{metric} is not a number")));
    };
    if count < ENOUGH {
        let cause = format!("too few requests: {count}, and {ENOUGH} are needed");
        return finding(String::new(), Some(count), Outcome::inconclusive(cause));
    }
    let (value, is_above, warning) = measure(given);
    let said = format!("{metric} {value} of {count} requests");
    let outcome = match (is_above, warning) {
        (true, _) => Outcome::fail(format!("{said} is above {limit}")),
        (false, Some(warning)) => Outcome::pass(format!("{said} is above the warning of {warning}")),
        (false, None) => Outcome::pass(said),
    };
    finding(value, Some(count), outcome)
}

/// A query of the configuration.
fn of_query(name: &str, query: &str, answer: &Answer<Samples>) -> Finding {
    let value = match answer {
        Answer::Given(given) => query::values(given),
        Answer::Nothing(_) | Answer::Unreachable(_) => String::new(),
    };
    let outcome = query::judged(name, query, answer, &Bounds::default());
    Finding { metric: name.to_owned(), value, limit: String::new(), requests: None, outcome }
}

/// Prometheus estimates how much a counter grew; what is not a number is none.
fn whole(count: f64) -> Option<u64> {
    // Through its text, since a number that is too large for it has none there.
    Some(count).filter(|count| count.is_finite()).and_then(|count| format!("{:.0}", count.abs()).parse().ok())
}

fn points(BasisPoints(points): BasisPoints) -> f64 {
    f64::from(points) / 10_000.0
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        return format!("{:.0}ms", seconds * 1000.0);
    }
    let text = format!("{seconds:.2}");
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A duration as the configuration writes it.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        whole if whole % 60 == 0 => format!("{}m", whole / 60),
        whole => format!("{whole}s"),
    }
}

#[cfg(test)]
mod tests;
