//! `Report`: what the checks found, every attempt included.

use std::time::Duration;

use serde::{Serialize, Serializer};
use shipkit_core::{Outcome, Secret, Verdict};

use crate::check::Severity;
use crate::class::Class;
use crate::latency::Measured;

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The verdict over all gates, and the sentence that explains it.
    pub outcome: Outcome,
    /// Every check, in the order in which it was asked.
    pub checks: Vec<CheckReport>,
    /// The checks that were asked because they fit the address, as they would stand under `smoke` in `shipkit.yml`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detected: Vec<&'static str>,
    /// What the environment gave to checks and what was captured: it is not in this report, and belongs in no log.
    #[serde(skip)]
    pub secrets: Vec<Secret>,
}

/// What one check found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Its name.
    pub name: String,
    /// What it found.
    pub outcome: Outcome,
    /// What a bad outcome means.
    pub severity: Severity,
    /// The whole address that was asked; the one that worked, where there was a choice.
    pub url: String,
    /// Every attempt in order; a check that was not asked has none.
    pub attempts: Vec<Attempt>,
    /// How long all attempts took, waiting included.
    #[serde(rename = "tookMs", serialize_with = "millis")]
    pub took: Duration,
    /// Whether it passed, but only after a retry, which should not stay hidden.
    pub is_flaky: bool,
    /// How the last attempt ended, if it ended badly.
    #[serde(skip)]
    pub class: Option<Class>,
    /// How long requests took, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// The release that answered last, as the service says it, where a check asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Where it stands in the configuration.
    pub line: Option<u64>,
    /// A shell command that asks the same.
    pub repeat: String,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// How long after the start of its check it began.
    #[serde(rename = "atMs", serialize_with = "millis")]
    pub at: Duration,
    /// How long it took.
    #[serde(rename = "tookMs", serialize_with = "millis")]
    pub took: Duration,
    /// Whether the answer was good.
    pub is_good: bool,
    /// What was seen, in a few words.
    pub seen: String,
}

impl Report {
    /// The report over these checks. Only gates decide; without any gate that was asked it is `inconclusive`.
    #[must_use]
    pub fn of(checks: Vec<CheckReport>) -> Self {
        let gates = || checks.iter().filter(|check| check.severity == Severity::Gate);
        let verdict = Verdict::of_all(gates().map(|check| check.outcome.verdict));
        let cause = match verdict {
            Verdict::Pass => sentence(&checks),
            Verdict::Inconclusive if gates().next().is_none() => "no check that decides was asked".to_owned(),
            Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable | Verdict::Skipped => gates()
                .filter(|check| check.outcome.verdict == verdict)
                .map(|check| format!("{}: {}", check.name, check.outcome.cause))
                .collect::<Vec<_>>()
                .join("; "),
        };
        Self { outcome: Outcome { verdict, cause }, checks, detected: Vec::new(), secrets: Vec::new() }
    }

    /// How many checks have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.outcome.verdict == verdict).count()
    }
}

/// What to say when nothing is wrong.
fn sentence(checks: &[CheckReport]) -> String {
    let count = |verdict| checks.iter().filter(|check| check.outcome.verdict == verdict).count();
    let (passed, skipped) = (count(Verdict::Pass), count(Verdict::Skipped));
    let warned = checks.len() - passed - skipped;
    let flaky = checks.iter().filter(|check| check.is_flaky).count();
    let mut sentence = vec![format!("{passed} of {} checks pass", checks.len())];
    if 0 < warned {
        sentence.push(format!("{warned} only warn"));
    }
    if 0 < skipped {
        sentence.push(format!("{skipped} skipped"));
    }
    if 0 < flaky {
        sentence.push(format!("{flaky} after a retry"));
    }
    sentence.join(", ")
}

pub(crate) fn millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Milliseconds with what is below them, to the microsecond.
pub(crate) fn exact_millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(fractions(*time))
}

/// The same of many.
pub(crate) fn all_millis<S: Serializer>(times: &[Duration], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(times.iter().map(|time| fractions(*time)))
}

fn fractions(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
