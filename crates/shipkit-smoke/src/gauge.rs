//! `Gauge`: what a measurement shows about its limits, and beside another release that is asked at the same time: no clock, no network.

use std::ops::ControlFlow;
use std::time::Duration;

use shipkit_core::Outcome;

use crate::bounds::{Bounds, FEWEST, P95, Shown, doubt, shown};
use crate::class::Class;
use crate::latency::{Measured, MeasuredBeside, RATE};
use crate::series::Series;
use crate::tally::{Latency, Probe, WatchReport};

/// What a measurement must show, as far as it is given.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Limits {
    /// Of the 95th percentile.
    pub(crate) p95: Option<Duration>,
    /// Of the share of requests that are not answered well.
    pub(crate) errors: Option<f64>,
}

/// Whom a request was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// The one that is measured.
    Own,
    /// The other release.
    Other,
}

/// Takes the requests of a measurement, in any order.
pub(crate) struct Gauge {
    limits: Limits,
    own: Series,
    other: Option<Other>,
    has_looked: bool,
    shown: Shown,
    /// Who wants no more requests.
    enough: Option<To>,
}

/// Another release, and how many times its 95th percentile is allowed.
struct Other {
    name: String,
    factor: f64,
    series: Series,
}

/// What is shown about one limit, and in words.
struct Judged {
    shown: Shown,
    said: String,
}

impl Gauge {
    pub(crate) fn of(limits: Limits) -> Self {
        Self {
            limits,
            own: Series::new(),
            other: None,
            has_looked: false,
            shown: Shown::Neither,
            enough: None,
        }
    }

    /// The same, of which so many times the 95th percentile of another release are allowed.
    pub(crate) fn beside(limits: Limits, name: String, factor: f64) -> Self {
        Self { other: Some(Other { name, factor, series: Series::new() }), ..Self::of(limits) }
    }

    /// Takes one request, and whether the server wants no more; breaks when nothing more needs to be asked of anybody.
    pub(crate) fn take(&mut self, to: To, probe: Probe, is_enough: bool) -> ControlFlow<()> {
        if self.is_done() {
            return ControlFlow::Break(());
        }
        self.enough = is_enough.then_some(to);
        match (to, &mut self.other) {
            (To::Own, _) => self.own.take(probe, self.has_looked),
            (To::Other, Some(other)) => other.series.take(probe, self.has_looked),
            (To::Other, None) => {}
        }
        let is_due = |series: &Series| series.is_due_a_look();
        if !self.has_looked
            && is_due(&self.own)
            && self.other.as_ref().is_none_or(|other| is_due(&other.series))
        {
            self.look();
        }
        if self.is_done() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn look(&mut self) {
        self.has_looked = true;
        self.shown = together(&self.judged());
        if self.shown == Shown::Neither {
            self.own.go_on();
            self.other.iter_mut().for_each(|other| other.series.go_on());
        }
    }

    fn is_done(&self) -> bool {
        self.enough.is_some() || self.shown != Shown::Neither
    }

    /// What is shown about each limit: nothing before the first look.
    fn judged(&self) -> Vec<Judged> {
        let samples = self.own.samples();
        let seen = |shown| if self.has_looked { shown } else { Shown::Neither };
        let p95 = self.limits.p95.map(|limit| {
            Judged::of("p95", seen(shown(samples, self.own.within(limit), P95)), &format!("{limit:?}"))
        });
        let beside = self.other.as_ref().map(|other| other.judged(&self.own, seen));
        let errors = self.limits.errors.map(|limit| {
            let shown = shown(samples, self.own.answered(), 1.0 - limit);
            Judged::of("the share of errors", seen(shown), &percent(limit))
        });
        p95.into_iter().chain(beside).chain(errors).collect()
    }

    /// What it shows about the limits, when nothing more is asked.
    pub(crate) fn outcome(self) -> (Outcome, Measured) {
        let judged = self.judged();
        let shown = together(&judged);
        let said = judged.into_iter().filter(|one| one.shown == shown).map(|one| one.said);
        let said = said.collect::<Vec<_>>().join(" and ");
        let why_no_more = self.why_no_more();
        let (samples, answered) = (self.own.samples(), self.own.answered());
        let within = self.limits.p95.map(|limit| self.own.within(limit));
        let (warm_up, report) = self.own.report();
        let beside = self.other.map(Other::measured);
        let doubt = self.limits.errors.map(|_| percent(doubt(samples, answered)));
        let doubt = doubt.map(|most| format!(", which are at most {most} of all, with 95 % certainty"));
        let told = beside.as_ref().map(|beside| format!("; {}", told(beside)));
        let cause = format!(
            "{said}: {}; {}{}{}",
            times(report.latency),
            counted(samples, within, &report),
            doubt.unwrap_or_default(),
            told.unwrap_or_default(),
        );
        let outcome = match (why_no_more, shown) {
            (Some(why), _) => Outcome::inconclusive(why),
            (None, Shown::Within) => Outcome::pass(cause),
            (None, Shown::Over) => Outcome::fail(cause),
            (None, Shown::Neither) => Outcome::inconclusive(cause),
        };
        let measured = Measured {
            samples: report.scheduled,
            failed: report.failed,
            dropped: dropped(&report),
            warm_up,
            phases: None,
            latency: report.latency,
            curve: report.curve,
            beside,
        };
        (outcome, measured)
    }

    fn why_no_more(&self) -> Option<String> {
        let (what, asked) = match (self.enough?, &self.other) {
            (To::Own, _) | (To::Other, None) => {
                ("p95 was not measured: the server".to_owned(), self.own.asked())
            }
            (To::Other, Some(other)) => {
                (format!("p95 was not compared: `{}`", other.name), other.series.asked())
            }
        };
        Some(format!("{what} limits how often it is asked, after {asked} requests at {RATE} a second"))
    }
}

impl Other {
    fn judged(&self, own: &Series, seen: impl Fn(Shown) -> Shown) -> Judged {
        let Self { name, factor, series } = self;
        let (answered, samples) = (series.answered(), series.samples());
        // By the measure of its own requests it has no 95th percentile then, and what it did answer is slow for the same reason.
        if answered < FEWEST || answered * 20 < samples * 19 {
            let said =
                format!("p95 cannot be compared: `{name}` answered only {answered} of {samples} requests");
            return Judged { shown: Shown::Neither, said };
        }
        Judged::of("p95", seen(self.against(own)), &format!("{factor} times that of `{name}`"))
    }

    /// Whether the percentile is within so many times that of the other, or over it: by the bounds of both, each of which is 95 %
    /// sure. What the other did not answer is taken for quick where quick ones make it harder to pass, and for slow where slow ones
    /// make it harder to fail, so that its failures decide nothing.
    fn against(&self, own: &Series) -> Shown {
        let bounds = |series: &Series| Bounds::of(series.samples(), P95);
        let (of_own, of_other) = (bounds(own), bounds(&self.series));
        let own = |rank: Option<u32>| own.ranked(rank?, Duration::MAX);
        let allowed = |rank: Option<u32>, unanswered| {
            let time = self.series.ranked(rank?, unanswered)?;
            // What is no time any more is over any other.
            Some(Duration::try_from_secs_f64(time.as_secs_f64() * self.factor).unwrap_or(Duration::MAX))
        };
        let least = allowed(of_other.lower, Duration::ZERO);
        let most = allowed(of_other.upper, Duration::MAX);
        if own(of_own.upper).zip(least).is_some_and(|(own, allowed)| own <= allowed) {
            Shown::Within
        } else if own(of_own.lower).zip(most).is_some_and(|(own, allowed)| allowed < own) {
            Shown::Over
        } else {
            Shown::Neither
        }
    }

    fn measured(self) -> MeasuredBeside {
        let (_, report) = self.series.report();
        let WatchReport { scheduled: samples, failed, latency, .. } = report;
        MeasuredBeside { name: self.name, samples, failed, latency }
    }
}

impl Judged {
    fn of(what: &str, shown: Shown, limit: &str) -> Self {
        let said = match shown {
            Shown::Within => format!("{what} is within {limit}"),
            Shown::Over => format!("{what} is over {limit}"),
            Shown::Neither => format!("{what} is neither within {limit} for sure nor over it"),
        };
        Self { shown, said }
    }
}

/// One limit that is broken is enough; all must be kept.
fn together(judged: &[Judged]) -> Shown {
    let has = |shown| judged.iter().any(|one| one.shown == shown);
    if has(Shown::Over) {
        Shown::Over
    } else if has(Shown::Neither) || judged.is_empty() {
        Shown::Neither
    } else {
        Shown::Within
    }
}

/// How many requests were not answered well, or not `within` a limit where there is one.
fn counted(samples: u32, within: Option<u32>, report: &WatchReport) -> String {
    let failures = report.failures.iter();
    let mut classes: Vec<_> = failures.map(|(class, count)| format!("{count} {class}")).collect();
    if dropped(report) == 0 {
        classes.push("none dropped".to_owned());
    }
    let (bad, what) = match within {
        Some(within) => (u64::from(samples - within), "were not answered within it"),
        None => (report.failed, "were not answered well"),
    };
    format!("{bad} of {samples} requests at {RATE} a second {what} ({})", classes.join(", "))
}

fn dropped(report: &WatchReport) -> u64 {
    report.failures.get(&Class::Dropped.to_string()).copied().unwrap_or(0)
}

/// What another release had.
fn told(beside: &MeasuredBeside) -> String {
    let MeasuredBeside { name, samples, failed, latency } = beside;
    let failures = match failed {
        0 => String::new(),
        failed => format!(", and {failed} of {samples} requests to it were not answered well"),
    };
    let p95 = if failed < samples {
        format!("had {:.1} ms", latency.p95.as_secs_f64() * 1e3)
    } else {
        "had no good answer".to_owned()
    };
    format!("`{name}` {p95} at the same time{failures}")
}

fn percent(share: f64) -> String {
    // To two decimals, as limits are written.
    format!("{} %", (share * 1e4).round() / 1e2)
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
    use crate::latency::{WARM_UP, WarmUp, pace};
    use crate::open_loop::Settled;

    const P95_ALONE: Limits = Limits { p95: Some(Duration::from_millis(500)), errors: None };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Request `n` of those that are judged.
    fn probe(n: u64, took: Duration) -> Probe {
        let due = WARM_UP + ms(n * 50);
        Probe { due, late: Duration::ZERO, done: due + took, seen: Ok(None) }
    }

    fn lost(n: u64, class: Class) -> Probe {
        Probe { seen: Err(Bad::new(class, "x")), ..probe(n, ms(1)) }
    }

    /// How many requests were wanted, and what they showed.
    fn gauged(probes: impl IntoIterator<Item = Probe>) -> (u64, Outcome, Measured) {
        let (mut gauge, mut wanted) = (Gauge::of(P95_ALONE), 0);
        for probe in probes {
            wanted += 1;
            if gauge.take(To::Own, probe, false).is_break() {
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
        let mut gauge = Gauge::of(P95_ALONE);
        assert!(gauge.take(To::Own, probe(0, ms(1)), false).is_continue());
        assert!(gauge.take(To::Own, lost(1, Class::Status(429)), true).is_break());
        let (outcome, _) = gauge.outcome();
        assert_eq!(outcome.verdict, Verdict::Inconclusive);
        assert!(outcome.cause.contains("limits how often it is asked, after 2 requests"), "{outcome:?}");
    }

    #[test]
    fn the_first_second_is_told_and_not_judged() {
        let cold =
            |n: u64, seen| Probe { due: ms(n * 50), done: ms(n * 50 + 900), late: Duration::ZERO, seen };
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

    /// Asks a server whose answers come when `answered` says, by the virtual clock.
    async fn measured(answered: impl Fn(Duration) -> Duration) -> Outcome {
        let (start, mut gauge) = (Instant::now(), Gauge::of(P95_ALONE));
        let ask = |_, due: Instant| {
            let at = start + answered(due - start);
            async move {
                sleep_until(at).await;
                Settled { seen: Ok(None), is_enough: false }
            }
        };
        let never = std::future::pending::<()>();
        pace(Duration::from_secs(5))
            .run(never, ask, |probe, is_enough| gauge.take(To::Own, probe, is_enough))
            .await;
        gauge.outcome().0
    }

    /// In every six seconds it stands still for one, which begins at `phase`.
    fn stalls(at: Duration, phase: u64) -> Duration {
        let since = (at.as_micros() + 6_000_000 - u128::from(phase) * 1000) % 6_000_000;
        let rest = 1_000_000_u128.saturating_sub(since);
        at + Duration::from_micros(u64::try_from(rest).unwrap()) + ms(1)
    }

    /// How many were wanted of each, and what they showed beside another release, of which 1.25 times are allowed. What takes no time
    /// is not answered.
    fn beside(
        limits: Limits,
        own: impl Fn(u64) -> Duration,
        other: impl Fn(u64) -> Duration,
    ) -> (u64, Outcome, Measured) {
        let (mut gauge, mut wanted) = (Gauge::beside(limits, "blue".to_owned(), 1.25), 0);
        let of =
            |n, took: Duration| if took.is_zero() { lost(n, Class::Status(503)) } else { probe(n, took) };
        for n in 0..400 {
            wanted += 1;
            let is_over = gauge.take(To::Own, of(n, own(n)), false).is_break()
                || gauge.take(To::Other, of(n, other(n)), false).is_break();
            if is_over {
                break;
            }
        }
        let (outcome, measured) = gauge.outcome();
        (wanted, outcome, measured)
    }

    /// What all meet who ask at this moment.
    fn noise(n: u64) -> Duration {
        ms(100 + n * 37 % 100)
    }

    #[track_caller]
    fn check(seen: &(u64, Outcome, Measured), wanted: u64, verdict: Verdict, part: &str) {
        assert_eq!((seen.0, seen.1.verdict), (wanted, verdict), "{:?}", seen.1);
        assert!(seen.1.cause.contains(part), "{:?}", seen.1);
    }

    #[test]
    fn what_both_meet_is_no_regression_and_what_one_meets_is() {
        let none = Limits::default();
        let same = beside(none, noise, noise);
        check(&same, 300, Verdict::Pass, "p95 is within 1.25 times that of `blue`: p50 ");
        check(
            &same,
            300,
            Verdict::Pass,
            "; 0 of 300 requests at 20 a second were not answered well (none dropped); `blue` had 194.0 ms",
        );
        let json = serde_json::to_value(&same.2).unwrap();
        assert_eq!(
            (&json["beside"]["name"], &json["beside"]["samples"]),
            (&"blue".into(), &300.into()),
            "{json}"
        );
        check(
            &beside(none, |n| noise(n) * 2, noise),
            300,
            Verdict::Fail,
            "p95 is over 1.25 times that of `blue`",
        );
        check(
            &beside(none, |n| noise(n) * 9 / 10, |n| noise(n) * 2),
            300,
            Verdict::Pass,
            "`blue` had 388.1 ms at the same time",
        );
        // Its lower bound is between 1.25 times the lower bound of the other, and of the upper one.
        let between = beside(none, |n| noise(n) * 126 / 100, noise);
        check(
            &between,
            400,
            Verdict::Inconclusive,
            "p95 is neither within 1.25 times that of `blue` for sure nor over it",
        );
    }

    #[test]
    fn all_limits_have_to_be_kept() {
        let strict = Limits { p95: Some(ms(120)), errors: None };
        check(&beside(strict, noise, noise), 300, Verdict::Fail, "p95 is over 120ms: ");
        let wide = Limits { p95: Some(ms(900)), errors: Some(0.01) };
        let all = "p95 is within 900ms and p95 is within 1.25 times that of `blue` and the share of errors is within 1 %: ";
        check(&beside(wide, noise, noise), 300, Verdict::Pass, all);
        check(
            &beside(wide, |n| noise(n) * 2, noise),
            300,
            Verdict::Fail,
            "p95 is over 1.25 times that of `blue`: ",
        );
        let few = beside(wide, |n| if n % 50 == 0 { Duration::ZERO } else { noise(n) }, noise);
        check(
            &few,
            400,
            Verdict::Inconclusive,
            "the share of errors is neither within 1 % for sure nor over it: ",
        );
    }

    #[test]
    fn a_failing_other_release_is_no_reason_to_pass_and_none_to_fail() {
        let none = Limits::default();
        let fails = |every: u64| move |n: u64| if n.is_multiple_of(every) { Duration::ZERO } else { ms(900) };
        let dead = beside(none, |_| ms(1), |_| Duration::ZERO);
        check(
            &dead,
            400,
            Verdict::Inconclusive,
            "p95 cannot be compared: `blue` answered only 0 of 400 requests: ",
        );
        check(&dead, 400, Verdict::Inconclusive, "`blue` had no good answer at the same time");
        check(
            &beside(none, |_| ms(1), fails(15)),
            400,
            Verdict::Inconclusive,
            "answered only 373 of 400 requests",
        );
        check(
            &beside(none, |_| ms(1), fails(50)),
            300,
            Verdict::Pass,
            ", and 6 of 300 requests to it were not answered well",
        );
        // Its quick answers, and what it lost among them, would have been as quick as these.
        let quick_or_lost = |n: u64| match n % 100 {
            0..4 => Duration::ZERO,
            4..8 => ms(100),
            _ => ms(10),
        };
        check(
            &beside(none, |n| if n % 100 < 8 { ms(100) } else { ms(10) }, quick_or_lost),
            400,
            Verdict::Inconclusive,
            "neither within",
        );
        // All are lost: that is over any other.
        check(&beside(none, |_| Duration::ZERO, noise), 300, Verdict::Fail, "is over 1.25 times");
    }

    #[test]
    fn few_answers_are_nothing_to_compare_with() {
        let mut gauge = Gauge::beside(Limits::default(), "blue".to_owned(), 1.25);
        for n in 0..58 {
            assert!(gauge.take(To::Other, probe(n, ms(9)), false).is_continue());
            assert!(gauge.take(To::Own, probe(n, ms(1)), false).is_continue());
        }
        let (outcome, _) = gauge.outcome();
        assert_eq!(outcome.verdict, Verdict::Inconclusive);
        assert!(
            outcome.cause.starts_with("p95 cannot be compared: `blue` answered only 58 of 58 requests"),
            "{outcome:?}"
        );
    }

    #[test]
    fn another_release_that_limits_how_often_it_is_asked_is_not_compared_with() {
        let mut gauge = Gauge::beside(Limits::default(), "blue".to_owned(), 1.25);
        assert!(gauge.take(To::Own, probe(0, ms(1)), false).is_continue());
        assert!(gauge.take(To::Other, probe(0, ms(1)), true).is_break());
        assert!(gauge.take(To::Own, probe(1, ms(1)), false).is_break());
        let (outcome, _) = gauge.outcome();
        assert_eq!(outcome.verdict, Verdict::Inconclusive);
        assert!(
            outcome.cause.starts_with("p95 was not compared: `blue` limits how often it is asked, after 1 "),
            "{outcome:?}"
        );
    }

    #[test]
    fn the_first_look_waits_for_both() {
        let mut gauge = Gauge::beside(Limits::default(), "blue".to_owned(), 1.25);
        for n in 0..320 {
            assert!(gauge.take(To::Own, probe(n, noise(n)), false).is_continue());
        }
        for n in 0..299 {
            assert!(gauge.take(To::Other, probe(n, noise(n)), false).is_continue());
        }
        assert!(gauge.take(To::Other, probe(299, noise(299)), false).is_break());
        let (outcome, measured) = gauge.outcome();
        assert_eq!((outcome.verdict, measured.samples), (Verdict::Pass, 300));
    }

    #[test]
    fn the_share_of_errors_is_kept_or_broken_only_beyond_doubt() {
        let lost_of = |every: u64, limit: f64| {
            let mut gauge = Gauge::of(Limits { p95: None, errors: Some(limit) });
            for n in 0..400 {
                let probe = if n % every == 1 { lost(n, Class::Dropped) } else { probe(n, ms(900)) };
                if gauge.take(To::Own, probe, false).is_break() {
                    break;
                }
            }
            gauge.outcome()
        };
        let (outcome, measured) = lost_of(1000, 0.05);
        assert_eq!((outcome.verdict, measured.samples), (Verdict::Pass, 300));
        let part = "0 of 300 requests at 20 a second were not answered well (none dropped), which are at most 1 % of all, with 95 % certainty";
        let none_at_all = Gauge::of(Limits { p95: None, errors: Some(0.01) });
        assert_eq!(none_at_all.outcome().0.verdict, Verdict::Inconclusive);
        assert!(!outcome.cause.contains(part), "one is lost: {outcome:?}");
        for (every, limit, verdict, samples) in [
            (401, 0.01, Verdict::Inconclusive, 400),
            (50, 0.05, Verdict::Pass, 300),
            (50, 0.01, Verdict::Inconclusive, 400),
            (10, 0.01, Verdict::Fail, 300),
        ] {
            let (outcome, measured) = lost_of(every, limit);
            assert_eq!(
                (outcome.verdict, measured.samples),
                (verdict, samples),
                "{every} {limit}: {outcome:?}"
            );
        }
        let mut gauge = Gauge::of(Limits { p95: None, errors: Some(0.01) });
        let asked =
            (0..400).take_while(|n| gauge.take(To::Own, probe(*n, ms(900)), false).is_continue()).count();
        let (outcome, _) = gauge.outcome();
        assert_eq!((asked, outcome.verdict), (299, Verdict::Pass));
        assert!(
            outcome.cause.starts_with("the share of errors is within 1 %: p50 ")
                && outcome.cause.ends_with(part),
            "{outcome:?}"
        );
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
