//! Whether the 95th percentile of the times that a service takes to answer is within a limit: no clock, no network.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use shipkit_core::Outcome;

use crate::bounds::{Shown, shown};
use crate::class::Class;
use crate::client::Phases;
use crate::open_loop::OpenLoop;
use crate::report::{all_millis, millis};
use crate::tally::{Latency, Probe, Tally};

/// Requests a second.
pub(crate) const RATE: u32 = 20;
/// What is due in this time is told and not judged: who has not been asked for a while has connections to open and caches to fill.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);
/// The requests that are due in this time after it are judged first, and not before all of them are settled: few samples of a few
/// seconds would be enough by number, but see nothing of a server that stops now and then.
pub(crate) const FIRST: Duration = Duration::from_secs(15);
/// What those leave open is judged by all requests of this time.
pub(crate) const BUDGET: Duration = Duration::from_secs(20);
/// How many requests may wait for their answers: those of the five seconds that one may take.
pub(crate) const AT_ONCE: usize = 100;

/// How long requests of a measurement took.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// How many requests were due.
    pub samples: u64,
    /// How many of them were not answered well, those that were dropped included.
    pub failed: u64,
    /// How many were not sent, because too many were waiting for their answers.
    pub dropped: u64,
    /// The requests before them, which are not judged.
    pub warm_up: WarmUp,
    /// The median of each part of good answers; without good answers there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<Phases>,
    /// How long good answers took, counted from the moment at which the request was due.
    #[serde(flatten)]
    pub latency: Latency,
    /// How long good answers took, the quickest first: all of them where they are at most 200, else the quantiles at 0.5 %, 1 % and
    /// so on up to 100 %. In JSON these are milliseconds with fractions.
    #[serde(rename = "curveMs", serialize_with = "all_millis")]
    pub curve: Vec<Duration>,
}

/// What came of the requests of the first second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WarmUp {
    /// How many were due.
    pub samples: u64,
    /// How many of them were not answered well.
    pub failed: u64,
    /// How long the slowest good answer took.
    #[serde(rename = "maxMs", serialize_with = "millis")]
    pub max: Duration,
}

impl WarmUp {
    fn take(&mut self, probe: &Probe) {
        self.samples += 1;
        match &probe.seen {
            Ok(_) => self.max = self.max.max(probe.done.saturating_sub(probe.due)),
            Err(_) => self.failed += 1,
        }
    }
}

/// The median of each part; `None` of nothing.
pub(crate) fn medians(of: &[Phases]) -> Option<Phases> {
    let median = |part: fn(&Phases) -> Duration| {
        let mut times: Vec<Duration> = of.iter().map(part).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    };
    Some(Phases {
        dns: median(|phases| phases.dns)?,
        connect: median(|phases| phases.connect)?,
        tls: median(|phases| phases.tls)?,
        first_byte: median(|phases| phases.first_byte)?,
        body: median(|phases| phases.body)?,
    })
}

/// How often to ask, where one request may take this long.
pub(crate) fn pace(timeout: Duration) -> OpenLoop {
    OpenLoop { rate: RATE, at_once: AT_ONCE, duration: Some(WARM_UP + BUDGET), drain: timeout }
}

/// Whether request `n`, from 0, is not judged.
pub(crate) fn is_warm_up(n: u32) -> bool {
    Duration::from_secs(u64::from(n)) / RATE < WARM_UP
}

/// Takes the requests of a measurement, in any order.
pub(crate) struct Gauge {
    limit: Duration,
    samples: u32,
    within: u32,
    warm_up: WarmUp,
    tally: Tally,
    /// What was settled of the time after the first look, before it.
    later: Vec<Probe>,
    has_looked: bool,
    shown: Shown,
    /// The server wants no more requests.
    is_enough: bool,
}

impl Gauge {
    pub(crate) fn of(limit: Duration) -> Self {
        Self {
            limit,
            samples: 0,
            within: 0,
            warm_up: WarmUp::default(),
            tally: Tally::new(),
            later: Vec::new(),
            has_looked: false,
            shown: Shown::Neither,
            is_enough: false,
        }
    }

    /// Takes one request, and whether the server wants no more; breaks when nothing more needs to be asked.
    pub(crate) fn take(&mut self, probe: Probe, is_enough: bool) -> ControlFlow<()> {
        if self.is_done() {
            return ControlFlow::Break(());
        }
        self.is_enough = is_enough;
        if probe.due < WARM_UP {
            self.warm_up.take(&probe);
        } else if WARM_UP + FIRST <= probe.due && !self.has_looked {
            self.later.push(probe);
        } else {
            self.count(probe);
        }
        if !self.has_looked && u64::from(self.samples) == FIRST.as_secs() * u64::from(RATE) {
            self.has_looked = true;
            self.shown = shown(self.samples, self.within);
            if self.shown == Shown::Neither {
                for probe in std::mem::take(&mut self.later) {
                    self.count(probe);
                }
            }
        }
        if self.is_done() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn is_done(&self) -> bool {
        self.is_enough || self.shown != Shown::Neither
    }

    fn count(&mut self, probe: Probe) {
        let took = probe.done.saturating_sub(probe.due);
        self.samples += 1;
        self.within += u32::from(probe.seen.is_ok() && took <= self.limit);
        self.tally.take(probe);
    }

    /// What it shows about the limit, when nothing more is asked.
    pub(crate) fn outcome(self) -> (Outcome, Measured) {
        let Self { limit, samples, within, warm_up, .. } = self;
        let report = self.tally.report(Timestamp::UNIX_EPOCH, 0);
        let dropped = report.failures.get(&Class::Dropped.to_string()).copied().unwrap_or(0);
        let measured = Measured {
            samples: report.scheduled,
            failed: report.failed,
            dropped,
            warm_up,
            phases: None,
            latency: report.latency,
            curve: report.curve,
        };
        let failures = report.failures.iter();
        let mut classes: Vec<_> = failures.map(|(class, count)| format!("{count} {class}")).collect();
        if dropped == 0 {
            classes.push("none dropped".to_owned());
        }
        let figures = format!(
            "{}; {} of {samples} requests at {RATE} a second were not answered within it ({})",
            times(measured.latency),
            samples - within,
            classes.join(", "),
        );
        let shown = if self.has_looked && !self.is_enough && self.shown == Shown::Neither {
            shown(samples, within)
        } else {
            self.shown
        };
        let outcome = match shown {
            _ if self.is_enough => Outcome::inconclusive(format!(
                "p95 was not measured: the server limits how often it is asked, after {} requests at {RATE} a second",
                warm_up.samples + u64::from(samples)
            )),
            Shown::Within => Outcome::pass(format!("p95 is within {limit:?}: {figures}")),
            Shown::Over => Outcome::fail(format!("p95 is over {limit:?}: {figures}")),
            Shown::Neither => Outcome::inconclusive(format!(
                "p95 is neither within {limit:?} for sure nor over it: {figures}"
            )),
        };
        (outcome, measured)
    }
}

fn times(Latency { p50, p95, p99, max }: Latency) -> String {
    let ms = |time: Duration| format!("{} ms", time.as_millis());
    format!("p50 {}, p95 {}, p99 {}, max {}", ms(p50), ms(p95), ms(p99), ms(max))
}

#[cfg(test)]
mod tests {
    use shipkit_core::Verdict;
    use tokio::time::{Instant, sleep_until};

    use super::*;
    use crate::client::Bad;
    use crate::open_loop::Settled;

    const LIMIT: Duration = Duration::from_millis(500);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Request `n` of those that are judged.
    fn probe(n: u64, took: Duration) -> Probe {
        let due = WARM_UP + ms(n * 50);
        Probe { due, done: due + took, seen: Ok(None) }
    }

    fn lost(n: u64, class: Class) -> Probe {
        Probe { seen: Err(Bad::new(class, "x")), ..probe(n, ms(1)) }
    }

    /// How many requests were wanted, and what they showed.
    fn gauged(probes: impl IntoIterator<Item = Probe>) -> (u64, Outcome, Measured) {
        let (mut gauge, mut wanted) = (Gauge::of(LIMIT), 0);
        for probe in probes {
            wanted += 1;
            if gauge.take(probe, false).is_break() {
                break;
            }
        }
        let (outcome, measured) = gauge.outcome();
        (wanted, outcome, measured)
    }

    /// So many are slow, and the others quick.
    fn slow(count: u64, first: u64) -> (u64, Verdict) {
        let took = |n| if first <= n && n < first + count { ms(501) } else { ms(500) };
        let (wanted, outcome, _) = gauged((0..400).map(|n| probe(n, took(n))));
        (wanted, outcome.verdict)
    }

    #[test]
    fn three_hundred_requests_decide_or_else_four_hundred() {
        assert_eq!(slow(0, 0), (300, Verdict::Pass));
        assert_eq!(slow(8, 0), (300, Verdict::Pass));
        assert_eq!(slow(9, 0), (400, Verdict::Pass));
        assert_eq!(slow(12, 0), (400, Verdict::Pass));
        assert_eq!(slow(13, 0), (400, Verdict::Inconclusive));
        assert_eq!(slow(21, 0), (400, Verdict::Inconclusive));
        assert_eq!(slow(22, 0), (300, Verdict::Fail));
        assert_eq!(slow(27, 280), (400, Verdict::Inconclusive));
        assert_eq!(slow(28, 280), (400, Verdict::Fail));
    }

    #[test]
    fn what_was_lost_is_over_any_limit() {
        let lost_ones = |count| {
            gauged((0..400).map(|n| if n < count { lost(n, Class::Dropped) } else { probe(n, ms(1)) }))
        };
        let (wanted, outcome, measured) = lost_ones(22);
        assert_eq!((wanted, outcome.verdict), (300, Verdict::Fail));
        assert_eq!((measured.samples, measured.failed, measured.dropped), (300, 22, 22));
        let part = "22 of 300 requests at 20 a second were not answered within it (22 dropped)";
        assert!(outcome.cause.contains(part), "{outcome:?}");
        assert_eq!(lost_ones(8).1.verdict, Verdict::Pass);
        assert_eq!(gauged((0..400).map(|n| lost(n, Class::Status(502)))).1.verdict, Verdict::Fail);
    }

    #[test]
    fn the_first_look_waits_for_the_slow_ones_among_the_first() {
        // The answers to 22 of the first requests come after those of all others.
        let late = (0..22).map(|n| probe(n, ms(30_000)));
        let quick = (22..400).map(|n| probe(n, ms(1)));
        let (wanted, outcome, measured) = gauged(quick.chain(late));
        assert_eq!((wanted, outcome.verdict, measured.samples), (400, Verdict::Fail, 300));
    }

    #[test]
    fn a_few_good_seconds_show_nothing() {
        assert_eq!(gauged((0..299).map(|n| probe(n, ms(1)))).1.verdict, Verdict::Inconclusive);
        assert_eq!(gauged([]).1.verdict, Verdict::Inconclusive);
    }

    #[test]
    fn a_server_that_limits_how_often_it_is_asked_is_not_measured() {
        let mut gauge = Gauge::of(LIMIT);
        assert!(gauge.take(probe(0, ms(1)), false).is_continue());
        assert!(gauge.take(lost(1, Class::Status(429)), true).is_break());
        let (outcome, _) = gauge.outcome();
        assert_eq!(outcome.verdict, Verdict::Inconclusive);
        assert!(outcome.cause.contains("limits how often it is asked, after 2 requests"), "{outcome:?}");
    }

    #[test]
    fn the_first_second_is_told_and_not_judged() {
        let cold = |n: u64, seen| Probe { due: ms(n * 50), done: ms(n * 50 + 900), seen };
        let failed = cold(0, Err(Bad::new(Class::Status(503), "x")));
        let warm_up = std::iter::once(failed).chain((1..20).map(|n| cold(n, Ok(None))));
        let (wanted, outcome, measured) = gauged(warm_up.chain((0..400).map(|n| probe(n, ms(1)))));
        assert_eq!(
            (wanted, outcome.verdict, measured.samples, measured.failed),
            (320, Verdict::Pass, 300, 0)
        );
        assert_eq!(measured.warm_up, WarmUp { samples: 20, failed: 1, max: ms(900) });
        assert!(measured.latency.max < ms(2), "{measured:?}");
    }

    #[test]
    fn each_part_has_a_median_of_its_own() {
        let of = |dns, tls| Phases { dns: ms(dns), tls: ms(tls), ..Phases::default() };
        assert_eq!(medians(&[of(1, 9), of(2, 7), of(9, 8)]), Some(of(2, 8)));
        assert_eq!(medians(&[]), None);
    }

    /// Asks a server whose answers come when `answered` says, by the virtual clock.
    async fn measured(answered: impl Fn(Duration) -> Duration) -> Outcome {
        let (start, mut gauge) = (Instant::now(), Gauge::of(LIMIT));
        let ask = |_, due: Instant| {
            let at = start + answered(due - start);
            async move {
                sleep_until(at).await;
                Settled { seen: Ok(None), is_enough: false }
            }
        };
        let never = std::future::pending::<()>();
        pace(Duration::from_secs(5)).run(never, ask, |probe, is_enough| gauge.take(probe, is_enough)).await;
        gauge.outcome().0
    }

    /// In every six seconds it stands still for one, which begins at `phase`.
    fn stalls(at: Duration, phase: u64) -> Duration {
        let since = (at.as_micros() + 6_000_000 - u128::from(phase) * 1000) % 6_000_000;
        let rest = 1_000_000_u128.saturating_sub(since);
        at + Duration::from_micros(u64::try_from(rest).unwrap()) + ms(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_for_one_second_in_six_fails_whenever_it_begins() {
        for phase in (0..6000).step_by(250) {
            let outcome = measured(|at| stalls(at, phase)).await;
            assert_eq!(outcome.verdict, Verdict::Fail, "{phase}: {outcome:?}");
            assert!(outcome.cause.starts_with("p95 is over 500ms: p50 1 ms, p95 "), "{outcome:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_server_passes_after_fifteen_seconds() {
        let start = Instant::now();
        let outcome = measured(|at| at + ms(3)).await;
        assert_eq!(outcome.verdict, Verdict::Pass);
        let expected = "p95 is within 500ms: p50 3 ms, p95 3 ms, p99 3 ms, max 3 ms; 0 of 300 requests at 20 a second were \
                        not answered within it (none dropped)";
        assert_eq!(outcome.cause, expected);
        assert_eq!(start.elapsed(), ms(16_000));
    }
}
