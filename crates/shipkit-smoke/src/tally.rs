//! `Tally`: what a stream of requests at a fixed rate shows, counted without a clock of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::Serialize;
use shipkit_core::Outcome;

use crate::class::Class;
use crate::client::Bad;
use crate::report::{all_millis, millis};
use crate::timeline::Timeline;

/// How many different revisions are told apart, so that a server cannot fill the memory.
const REVISIONS: usize = 50;
/// How many failed requests are described one by one.
const EXAMPLES: usize = 10;
/// How many points a curve of latencies has at most.
const POINTS: u64 = 200;
/// The longest latency that is told apart.
const LONGEST_MICROS: u64 = 60_000_000;

/// What a prober saw.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchReport {
    /// The verdict: `fail` if more requests failed than allowed, or if nobody was answered for longer than allowed; `inconclusive` if
    /// none was scheduled, or if this machine was so late to ask that it may be its own fault.
    pub outcome: Outcome,
    /// When the first request was scheduled.
    pub started: Timestamp,
    /// From the first scheduled request to the last answer.
    #[serde(rename = "tookMs", serialize_with = "millis")]
    pub took: Duration,
    /// How many requests were scheduled, whatever became of them.
    pub scheduled: u64,
    /// How many of them were answered well.
    pub answered: u64,
    /// How many were not.
    pub failed: u64,
    /// Those that failed, by what went wrong.
    pub failures: BTreeMap<String, u64>,
    /// The first that failed.
    pub examples: Vec<Example>,
    /// The longest time without a good answer, the time before the first and after the last included.
    #[serde(rename = "longestGapMs", serialize_with = "millis")]
    pub longest_gap: Duration,
    /// When that gap began, from the start.
    #[serde(rename = "longestGapAtMs", serialize_with = "millis")]
    pub longest_gap_at: Duration,
    /// How long after its moment a request was sent at most, which is the fault of this machine and not of the target.
    #[serde(rename = "lateMs", serialize_with = "millis")]
    pub late: Duration,
    /// How long good answers took, counted from the moment at which the request was due.
    pub latency: Latency,
    /// How long they took, in order: see [`Measured::curve`](crate::Measured::curve).
    #[serde(rename = "curveMs", serialize_with = "all_millis")]
    pub curve: Vec<Duration>,
    /// Which revisions answered, in the order in which they appeared.
    pub revisions: Vec<Seen>,
    /// What became of requests, by when they were due.
    pub timeline: Timeline,
}

/// What may be seen of a target that is good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    /// How many requests may fail.
    pub(crate) failures: u64,
    /// How long may pass between good answers.
    pub(crate) gap: Duration,
}

/// Who asks later than this has not seen what the target does meanwhile.
const LATE: Duration = Duration::from_secs(1);
/// Nobody was answered for so long while a release arrived: that is no hiccup.
const SILENCE: Duration = Duration::from_secs(10);

impl WatchReport {
    /// What this says about the rollout that it was seen during. A lost request is told and no failure: what arrived is
    /// verified by itself, and going back would lose more. It fails where nobody was answered for ten seconds that had been
    /// answered before, unless the way of replacing `may_stop` it for a while.
    #[must_use]
    pub fn of_rollout(&self, may_stop: bool) -> Outcome {
        let (gap, seen) = (self.longest_gap.as_millis(), &self.outcome.cause);
        if self.failures.contains_key(&Class::Status(429).to_string()) {
            return Outcome::skipped("it limits how often it is asked");
        }
        if self.longest_gap_at.is_zero() && SILENCE <= self.longest_gap || self.answered == 0 {
            return Outcome::skipped("it had not been answering before");
        }
        if SILENCE <= self.longest_gap && LATE <= self.late {
            return Outcome::skipped(self.outcome.cause.clone());
        }
        if SILENCE <= self.longest_gap && !may_stop {
            return Outcome::fail(format!("nobody was answered for {gap} ms while it rolled out: {seen}"));
        }
        Outcome::pass(format!("while it rolled out: {seen}"))
    }
}

/// One failed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// When it was due, from the start.
    #[serde(rename = "dueMs", serialize_with = "millis")]
    pub due: Duration,
    /// What went wrong.
    pub class: Class,
    /// In words.
    pub detail: String,
}

/// Percentiles of good answers. All zero if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// The median.
    #[serde(rename = "p50Ms", serialize_with = "millis")]
    pub p50: Duration,
    /// Nineteen of twenty are faster.
    #[serde(rename = "p95Ms", serialize_with = "millis")]
    pub p95: Duration,
    /// Ninety-nine of a hundred are faster.
    #[serde(rename = "p99Ms", serialize_with = "millis")]
    pub p99: Duration,
    /// The slowest.
    #[serde(rename = "maxMs", serialize_with = "millis")]
    pub max: Duration,
}

/// A revision that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The revision (or version) as the service says it.
    pub revision: String,
    /// How many answers said so.
    pub answers: u64,
    /// When the first of them came, from the start.
    #[serde(rename = "firstMs", serialize_with = "millis")]
    pub first: Duration,
    /// When the last of them came, from the start.
    #[serde(rename = "lastMs", serialize_with = "millis")]
    pub last: Duration,
}

/// What became of one scheduled request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// When it was due, from the start.
    pub(crate) due: Duration,
    /// How long after that it was sent.
    pub(crate) late: Duration,
    /// When it was over, from the start.
    pub(crate) done: Duration,
    /// A good answer and the revision in it, if one is read.
    pub(crate) seen: Result<Option<String>, Bad>,
}

/// Counts probes; they may come in any order.
pub(crate) struct Tally {
    scheduled: u64,
    failed: u64,
    failures: BTreeMap<String, u64>,
    examples: Vec<Example>,
    /// When good answers came. Kept, because answers do not end in the order in which probes are counted.
    good: Vec<Duration>,
    micros: Option<Histogram<u64>>,
    revisions: Vec<Seen>,
    timeline: Timeline,
    late: Duration,
    end: Duration,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            scheduled: 0,
            failed: 0,
            failures: BTreeMap::new(),
            examples: Vec::new(),
            good: Vec::new(),
            // One microsecond to a minute with three digits: these bounds are always accepted.
            micros: Histogram::new_with_bounds(1, LONGEST_MICROS, 3).ok(),
            revisions: Vec::new(),
            timeline: Timeline::default(),
            late: Duration::ZERO,
            end: Duration::ZERO,
        }
    }

    pub(crate) fn take(&mut self, probe: Probe) {
        self.scheduled += 1;
        self.end = self.end.max(probe.done);
        self.late = self.late.max(probe.late);
        match probe.seen {
            Ok(revision) => {
                self.good.push(probe.done);
                let micros =
                    u64::try_from(probe.done.saturating_sub(probe.due).as_micros()).unwrap_or(u64::MAX);
                self.micros.iter_mut().for_each(|micros_seen| micros_seen.saturating_record(micros));
                let is_told = revision.as_ref().is_some_and(|revision| self.note(revision, probe.done));
                self.timeline.answered(probe.due, revision.filter(|_| is_told));
            }
            Err(bad) => {
                self.failed += 1;
                self.timeline.failed(probe.due);
                *self.failures.entry(bad.class.to_string()).or_default() += 1;
                if self.examples.len() < EXAMPLES {
                    self.examples.push(Example { due: probe.due, class: bad.class, detail: bad.detail });
                }
            }
        }
    }

    /// Whether this revision is one of those that are told apart.
    fn note(&mut self, revision: &str, at: Duration) -> bool {
        let is_full = REVISIONS <= self.revisions.len();
        match self.revisions.iter_mut().find(|seen| seen.revision == revision) {
            Some(seen) => {
                seen.answers += 1;
                seen.first = seen.first.min(at);
                seen.last = seen.last.max(at);
            }
            None if is_full => return false,
            None => {
                let revision = revision.to_owned();
                self.revisions.push(Seen { revision, answers: 1, first: at, last: at });
            }
        }
        true
    }

    pub(crate) fn report(mut self, started: Timestamp, allowed: Allowed) -> WatchReport {
        let (longest_gap, longest_gap_at) = self.longest_gap();
        self.revisions.sort_by_key(|seen| seen.first);
        let answered = self.scheduled - self.failed;
        WatchReport {
            outcome: self.outcome(allowed, longest_gap),
            started,
            took: self.end,
            scheduled: self.scheduled,
            answered,
            failed: self.failed,
            longest_gap,
            longest_gap_at,
            late: self.late,
            latency: self.latency(),
            curve: self.curve(),
            timeline: self.timeline,
            failures: self.failures,
            examples: self.examples,
            revisions: self.revisions,
        }
    }

    fn outcome(&self, allowed: Allowed, gap: Duration) -> Outcome {
        let (scheduled, failed) = (self.scheduled, self.failed);
        if scheduled == 0 {
            return Outcome::inconclusive("no request was scheduled");
        }
        let is_long = allowed.gap < gap;
        let mut gap = format!("longest gap between good answers {} ms", gap.as_millis());
        if is_long {
            gap = format!("{gap}, over the {} ms that are allowed", allowed.gap.as_millis());
        }
        let sentence = if failed == 0 {
            format!("all {scheduled} scheduled requests answered, {gap}")
        } else {
            let classes: Vec<String> =
                self.failures.iter().map(|(class, count)| format!("{count} {class}")).collect();
            format!("{failed} of {scheduled} scheduled requests failed ({}), {gap}", classes.join(", "))
        };
        match failed {
            0 if !is_long => Outcome::pass(sentence),
            _ if failed <= allowed.failures && !is_long => {
                Outcome::pass(format!("{sentence}; {} allowed", allowed.failures))
            }
            _ if LATE <= self.late => Outcome::inconclusive(format!(
                "this machine was up to {} ms late to ask, so it may be its own fault that {sentence}",
                self.late.as_millis()
            )),
            _ => Outcome::fail(sentence),
        }
    }

    fn longest_gap(&mut self) -> (Duration, Duration) {
        self.good.sort_unstable();
        let mut longest = (Duration::ZERO, Duration::ZERO);
        let mut before = Duration::ZERO;
        for at in self.good.iter().copied().chain([self.end]) {
            let gap = at.saturating_sub(before);
            if longest.0 < gap {
                longest = (gap, before);
            }
            before = at;
        }
        longest
    }

    fn latency(&self) -> Latency {
        let seen = self.micros.as_ref().filter(|micros| !micros.is_empty());
        let at = |share| Duration::from_micros(seen.map_or(0, |micros| micros.value_at_quantile(share)));
        Latency { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
    }

    fn curve(&self) -> Vec<Duration> {
        let Some(micros) = &self.micros else { return Vec::new() };
        let points = micros.len().min(POINTS);
        let percent = |n| {
            100.0 * f64::from(u32::try_from(n).unwrap_or(u32::MAX))
                / f64::from(u32::try_from(points).unwrap_or(u32::MAX))
        };
        (1..=points).map(|n| Duration::from_micros(micros.value_at_percentile(percent(n)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shipkit_core::Verdict;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn tally(
        probes: impl IntoIterator<Item = (u64, u64, Result<Option<&'static str>, Class>)>,
    ) -> WatchReport {
        let mut tally = Tally::new();
        for (due, done, seen) in probes {
            let seen = seen.map(|r| r.map(str::to_owned)).map_err(|class| Bad::new(class, "x"));
            tally.take(Probe { due: ms(due), late: Duration::ZERO, done: ms(done), seen });
        }
        tally.report(Timestamp::UNIX_EPOCH, Allowed { failures: 0, gap: ms(1000) })
    }

    /// One good answer, and one after so many seconds to a request that was sent so late.
    fn late(late: u64, gap: u64) -> WatchReport {
        let mut tally = Tally::new();
        for (late, done) in [(0, 1), (late, gap)] {
            tally.take(Probe { due: Duration::ZERO, late: ms(late), done: ms(done), seen: Ok(None) });
        }
        tally.report(Timestamp::UNIX_EPOCH, Allowed { failures: 0, gap: ms(1000) })
    }

    /// Good answers at these seconds, lost requests at those.
    fn seconds(good: &[u64], lost: &[u64]) -> WatchReport {
        let good = good.iter().map(|at| (at * 1000, at * 1000 + 1, Ok(None)));
        let lost = lost.iter().map(|at| (at * 1000, at * 1000 + 1, Err(Class::Refused)));
        tally(good.chain(lost))
    }

    #[test]
    fn a_rollout_fails_only_where_nobody_is_answered_any_more() {
        let verdict = |report: &WatchReport, may_stop| report.of_rollout(may_stop).verdict;
        let hiccup = seconds(&[0, 9, 10], &[5]);
        assert_eq!(verdict(&hiccup, false), Verdict::Pass);
        assert!(hiccup.of_rollout(false).cause.contains("1 of 4 scheduled requests failed (1 refused)"));
        let silent = seconds(&[0, 11], &[5]);
        assert_eq!((verdict(&silent, false), verdict(&silent, true)), (Verdict::Fail, Verdict::Pass));
        assert!(silent.of_rollout(false).cause.starts_with("nobody was answered for 11000 ms"));
        // It went down and stayed down.
        assert_eq!(verdict(&seconds(&[0, 1], &[5, 12]), false), Verdict::Fail);
        let limited =
            tally([(0, 1, Ok(None)), (1000, 1001, Err(Class::Status(429))), (20_000, 20_001, Ok(None))]);
        assert_eq!(verdict(&limited, false), Verdict::Skipped);
        // The rollout is what mends it.
        for mended in [seconds(&[], &[0, 5]), seconds(&[12, 13], &[0, 5]), seconds(&[], &[])] {
            assert_eq!(verdict(&mended, false), Verdict::Skipped);
        }
    }

    #[test]
    fn nothing_scheduled_shows_nothing() {
        assert_eq!(tally([]).outcome.verdict, Verdict::Inconclusive);
    }

    #[test]
    fn one_failed_request_fails_and_is_named_by_its_class() {
        let report = tally([(0, 1, Ok(None)), (5, 6, Err(Class::Status(502))), (10, 11, Ok(None))]);
        assert_eq!((report.scheduled, report.answered, report.failed), (3, 2, 1));
        let cause = "1 of 3 scheduled requests failed (1 status 502), longest gap between good answers 10 ms";
        assert_eq!(report.outcome, Outcome::fail(cause));
        assert_eq!(report.examples[0].due, ms(5));
    }

    #[test]
    fn a_target_that_stands_still_fails_although_it_answers_all_in_the_end() {
        let verdict = |gap: u64| tally([(0, 1, Ok(None)), (5, gap + 1, Ok(None))]).outcome;
        assert_eq!(verdict(1000).verdict, Verdict::Pass);
        let cause = "all 2 scheduled requests answered, longest gap between good answers 1001 ms, over the 1000 ms that are allowed";
        assert_eq!(verdict(1001), Outcome::fail(cause));
    }

    #[test]
    fn who_asks_late_does_not_blame_the_target() {
        assert_eq!(late(999, 2001).outcome.verdict, Verdict::Fail);
        let report = late(1000, 2001);
        let cause = "this machine was up to 1000 ms late to ask, so it may be its own fault that all 2 scheduled requests answered, \
                     longest gap between good answers 2000 ms, over the 1000 ms that are allowed";
        assert_eq!((report.late, report.outcome), (ms(1000), Outcome::inconclusive(cause)));
        // Who was answered in time all the same has seen enough.
        assert_eq!(late(1000, 1001).outcome.verdict, Verdict::Pass);
        assert_eq!(late(1000, 11_000).of_rollout(false).verdict, Verdict::Skipped);
        assert_eq!(late(999, 11_000).of_rollout(false).verdict, Verdict::Fail);
    }

    #[test]
    fn the_gap_counts_good_answers_only_and_both_ends() {
        assert_eq!(tally([(0, 700, Ok(None)), (5, 710, Ok(None))]).longest_gap, ms(700));
        let report = tally([(0, 1, Ok(None)), (5, 900, Err(Class::Timeout))]);
        assert_eq!((report.longest_gap, report.longest_gap_at), (ms(899), ms(1)));
    }

    #[test]
    fn a_stall_shows_in_the_percentiles_because_time_counts_from_the_due_moment() {
        // 100 requests a second; the server stops from 1 s to 2 s and then answers all that waited at once.
        let probes = (0..200).map(|n| (n * 10, if 100 <= n { 2000 } else { n * 10 + 1 }, Ok(None)));
        let latency = tally(probes).latency;
        assert!(latency.p50 < ms(20), "{latency:?}");
        assert!(ms(890) < latency.p95 && latency.p95 < ms(910), "{latency:?}");
    }

    #[test]
    fn revisions_are_listed_by_first_appearance_whatever_the_order_of_counting() {
        let report = tally([(5, 9, Ok(Some("new"))), (0, 3, Ok(Some("old"))), (7, 12, Ok(Some("new")))]);
        let seen: Vec<_> =
            report.revisions.iter().map(|s| (s.revision.as_str(), s.answers, s.first, s.last)).collect();
        assert_eq!(seen, [("old", 1, ms(3), ms(3)), ("new", 2, ms(9), ms(12))]);
    }

    #[test]
    fn the_curve_is_every_answer_or_two_hundred_quantiles() {
        let curve = |count: u64| tally((0..count).map(|n| (n, n + count - n, Ok(None)))).curve;
        assert_eq!(tally([(0, 9, Ok(None)), (1, 5, Ok(None)), (2, 3, Err(Class::Reset))]).curve.len(), 2);
        let pair = tally([(0, 9, Ok(None)), (1, 5, Ok(None))]).curve;
        assert!(pair[0] < ms(5) && ms(9) <= pair[1] && pair[1] < ms(10), "{pair:?}");
        let long = curve(1000);
        assert_eq!(long.len(), 200);
        assert!(long.is_sorted() && long[99].abs_diff(ms(500)) < ms(2), "{:?}", long[99]);
        assert!(tally([]).curve.is_empty());
    }
}
