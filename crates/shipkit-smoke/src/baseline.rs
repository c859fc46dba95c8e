//! `Baseline`: what measurements are compared with. How long answers took in an earlier run, out of its report, and what a measurement
//! may be beside it: no clock, no network.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use shipkit_core::{Outcome, Verdict};
use url::Url;

use crate::bounds::FEWEST;

/// What measurements are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// An earlier run.
    Earlier(Earlier),
    /// Another release, which is asked at the same time.
    Beside(Beside),
}

/// How long answers took in an earlier run, by the names of checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier(BTreeMap<String, Result<Duration, Unusable>>);

/// Another release, which is asked what is measured as often and at the same time: what both meet is no fault of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Where it answers. Paths of checks lie below it, and what checks send is sent there as well.
    pub url: Url,
    /// How people call it.
    pub name: String,
    /// Whether it is known to be the release before: a path that it does not know (404) is new then, and not compared.
    pub is_before: bool,
}

/// Why nothing can be compared with a check of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    NotThere,
    NoPass,
    NotMeasured,
    TooFew,
}

#[derive(Deserialize)]
struct Run {
    checks: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    name: String,
    outcome: Ended,
    measured: Option<Times>,
}

#[derive(Deserialize)]
struct Ended {
    verdict: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    samples: u64,
    failed: u64,
    curve_ms: Vec<f64>,
}

impl Baseline {
    /// Reads the JSON of a [`Report`](crate::Report).
    ///
    /// # Errors
    /// When it is none.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        Earlier::read(json).map(Self::Earlier)
    }
}

impl Earlier {
    fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let run: Run = serde_json::from_slice(json)?;
        Ok(Self(run.checks.into_iter().map(|one| (one.name.clone(), one.p95())).collect()))
    }

    fn p95(&self, name: &str) -> Result<Duration, Unusable> {
        self.0.get(name).copied().unwrap_or(Err(Unusable::NotThere))
    }
}

impl One {
    fn p95(&self) -> Result<Duration, Unusable> {
        let times = self.measured.as_ref().ok_or(Unusable::NotMeasured)?;
        if self.outcome.verdict != Verdict::Pass.word() {
            return Err(Unusable::NoPass);
        }
        if times.samples.saturating_sub(times.failed) < u64::from(FEWEST) {
            return Err(Unusable::TooFew);
        }
        // All answers in order, or that many quantiles of them.
        let place = (times.curve_ms.len() * 19).div_ceil(20).saturating_sub(1);
        let millis = times.curve_ms.get(place).ok_or(Unusable::NotMeasured)?;
        Duration::try_from_secs_f64(millis / 1e3).map_err(|_no_time| Unusable::NotMeasured)
    }
}

impl Unusable {
    fn why(self) -> &'static str {
        match self {
            Self::NotThere => "is not in the baseline",
            Self::NoPass => "did not pass in the baseline",
            Self::NotMeasured => "was not measured in the baseline",
            Self::TooFew => "has too few answers in the baseline",
        }
    }
}

/// What a 95th percentile is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compared {
    /// The lesser of the limit and what the baseline allows; `None` where there is no limit.
    pub(crate) limit: Option<Duration>,
    /// What else there is to say about it.
    told: Option<String>,
    /// Whether there should be a baseline, and it says nothing.
    is_unknown: bool,
}

/// What the check of this name is held against. A baseline that nobody gave is told and not missed: the first run has none.
pub(crate) fn compared(
    limit: Option<Duration>,
    max_regress: Option<f64>,
    baseline: Option<&Earlier>,
    name: &str,
) -> Compared {
    let of = |told, is_unknown| Compared { limit, told, is_unknown };
    let Some((limit, factor)) = limit.zip(max_regress) else { return of(None, false) };
    let Some(baseline) = baseline else {
        return of(Some("there is no baseline, so it was not compared".to_owned()), false);
    };
    let before = match baseline.p95(name) {
        Ok(before) => before,
        Err(unusable) => return of(Some(format!("`{name}` {}", unusable.why())), true),
    };
    // What is no time any more is over any limit.
    let allowed = Duration::try_from_secs_f64(before.as_secs_f64() * factor).unwrap_or(Duration::MAX);
    let told = Some(format!("the baseline has {before:.1?}, of which {factor} times are allowed"));
    Compared { limit: Some(limit.min(allowed)), told, is_unknown: false }
}

impl Compared {
    /// With nothing that there is to say of.
    pub(crate) fn silent(limit: Option<Duration>) -> Self {
        Self { limit, told: None, is_unknown: false }
    }

    /// With another release, of which this is known and no more.
    pub(crate) fn with_none(limit: Option<Duration>, told: String, is_unknown: bool) -> Self {
        Self { limit, told: Some(told), is_unknown }
    }

    /// The outcome of a measurement with what is to say. Where the baseline says nothing, a pass is none.
    pub(crate) fn said(self, outcome: Outcome) -> Outcome {
        let Some(told) = self.told else { return outcome };
        let cause = format!("{}; {told}", outcome.cause);
        if self.is_unknown && outcome.verdict == Verdict::Pass {
            return Outcome::inconclusive(cause);
        }
        Outcome { cause, ..outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_millis(500));

    fn run(verdict: &str, measured: &str) -> Earlier {
        let json = format!(
            r#"{{"outcome": {{}}, "checks": [{{"name": "x", "outcome": {{"verdict": "{verdict}", "cause": ""}}{measured}}}]}}"#
        );
        Earlier::read(json.as_bytes()).unwrap()
    }

    /// Answers of 1 ms, 2 ms and so on, with as many requests and failures.
    fn times(answers: u32, samples: u64, failed: u64) -> String {
        let curve: Vec<u32> = (1..=answers).collect();
        format!(r#", "measured": {{"samples": {samples}, "failed": {failed}, "curveMs": {curve:?}}}"#)
    }

    #[track_caller]
    fn check(baseline: Option<&Earlier>, micros: u64, verdict: Verdict, told: &str) {
        let compared = compared(LIMIT, Some(1.25), baseline, "x");
        assert_eq!(compared.limit, Some(Duration::from_micros(micros)));
        let said = compared.said(Outcome::pass("p95 is within it"));
        assert_eq!(
            (said.verdict, said.cause.as_str()),
            (verdict, format!("p95 is within it; {told}").as_str())
        );
    }

    #[test]
    fn the_lesser_of_both_limits_holds() {
        let of = |p95| format!("the baseline has {p95}.0ms, of which 1.25 times are allowed");
        check(Some(&run("pass", &times(200, 300, 0))), 237_500, Verdict::Pass, &of(190));
        check(Some(&run("pass", &times(1000, 1000, 0))), 500_000, Verdict::Pass, &of(950));
    }

    #[test]
    fn a_baseline_that_says_nothing_makes_no_pass() {
        let unknown = |baseline: &Earlier, told| check(Some(baseline), 500_000, Verdict::Inconclusive, told);
        unknown(&Earlier::default(), "`x` is not in the baseline");
        unknown(&run("fail", &times(200, 300, 0)), "`x` did not pass in the baseline");
        unknown(&run("pass", ""), "`x` was not measured in the baseline");
        unknown(&run("pass", &times(0, 300, 0)), "`x` was not measured in the baseline");
        unknown(&run("pass", &times(58, 300, 242)), "`x` has too few answers in the baseline");
        check(
            Some(&run("pass", &times(59, 300, 241))),
            71_250,
            Verdict::Pass,
            "the baseline has 57.0ms, of which 1.25 times are allowed",
        );
    }

    #[test]
    fn without_a_baseline_only_the_limit_is_judged_and_that_is_said() {
        check(None, 500_000, Verdict::Pass, "there is no baseline, so it was not compared");
        let silent = compared(LIMIT, None, Some(&Earlier::default()), "x");
        assert_eq!(silent.said(Outcome::pass("p")), Outcome::pass("p"));
    }

    #[test]
    fn a_failure_stays_one_whatever_the_baseline_says() {
        let unknown = compared(LIMIT, Some(2.0), Some(&Earlier::default()), "x");
        assert_eq!(unknown.said(Outcome::fail("p")).verdict, Verdict::Fail);
    }

    #[test]
    fn what_is_no_report_is_no_baseline() {
        for text in ["", "[]", "{}", r#"{"checks": 1}"#] {
            assert!(Baseline::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
