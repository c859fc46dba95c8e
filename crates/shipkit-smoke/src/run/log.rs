//! `Log`: the attempts of one check.

use std::time::Duration;

use shipkit_core::{Outcome, Verdict};
use tokio::time::Instant;
use url::Url;

use super::asked::{Asked, harmless};
use super::filled::unmarked;
use super::question::Question;
use crate::class::Class;
use crate::client::Bad;
use crate::latency::Measured;
use crate::report::{Attempt, CheckReport};

/// How many attempts are kept; the first are dropped.
const KEPT: usize = 200;
/// How many different causes a sentence names.
const NAMED: usize = 3;

/// What happened to one check so far.
pub(super) struct Log {
    start: Instant,
    attempts: Vec<Attempt>,
    /// Only the attempts since the last good one count: what was before was mended.
    bad_in_a_row: u32,
    is_silent: bool,
    /// How the last attempt ended, if badly.
    class: Option<Class>,
    /// How the last bad attempt ended.
    worst: Option<Class>,
    measured: Option<Measured>,
    /// Which release said last that it answers.
    said: Option<String>,
}

impl Log {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            attempts: Vec::new(),
            bad_in_a_row: 0,
            is_silent: true,
            class: None,
            worst: None,
            measured: None,
            said: None,
        }
    }

    /// Writes an attempt down and gives back whether it was bad.
    pub(super) fn take(&mut self, began: Instant, seen: Result<String, Bad>) -> Result<(), Bad> {
        let (is_good, text, result) = match seen {
            Ok(text) => (true, text, Ok(())),
            Err(bad) => (false, bad.detail.clone(), Err(bad)),
        };
        self.bad_in_a_row = if is_good { 0 } else { self.bad_in_a_row.saturating_add(1) };
        self.class = result.as_ref().err().map(|bad: &Bad| bad.class);
        self.worst = self.class.or(self.worst);
        self.is_silent &= self.class.is_some_and(Class::is_silence);
        if KEPT <= self.attempts.len() {
            self.attempts.remove(0);
        }
        let at = began.duration_since(self.start);
        self.attempts.push(Attempt { at, took: began.elapsed(), is_good, seen: text });
        result
    }

    /// Writes down which release says that it answers.
    pub(super) fn said(&mut self, name: String) {
        self.said = Some(name);
    }

    /// Writes a measurement down as one attempt.
    pub(super) fn measured(&mut self, began: Instant, outcome: &Outcome, measured: Measured) {
        self.judged(began, Class::Timeout, outcome);
        self.measured = Some(measured);
    }

    /// Writes many requests, which an outcome was made of, down as one attempt; `class` is what is bad if it is no pass.
    pub(super) fn judged(&mut self, began: Instant, class: Class, outcome: &Outcome) {
        let cause = outcome.cause.clone();
        let seen = if outcome.verdict == Verdict::Pass { Ok(cause) } else { Err(Bad::new(class, cause)) };
        // What is bad about it stands in the outcome.
        self.take(began, seen).ok();
    }

    /// How many bad answers came in a row, up to now.
    pub(super) fn bad_in_a_row(&self) -> u32 {
        self.bad_in_a_row
    }

    /// Whether nothing ever came back.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent && !self.attempts.is_empty()
    }

    pub(super) fn last_seen(&self) -> String {
        self.attempts.last().map(|attempt| attempt.seen.clone()).unwrap_or_default()
    }

    pub(super) fn elapsed(&self) -> String {
        tenths(self.start.elapsed())
    }

    /// The last different causes, and how often each was seen.
    pub(super) fn causes(&self) -> String {
        let mut causes: Vec<(&str, usize)> = Vec::new();
        for attempt in self.attempts.iter().rev().filter(|attempt| !attempt.is_good) {
            match causes.iter_mut().find(|(cause, _)| *cause == attempt.seen) {
                Some((_, count)) => *count += 1,
                None => causes.push((&attempt.seen, 1)),
            }
        }
        let name = |(cause, count): &(&str, usize)| match count {
            1 => (*cause).to_owned(),
            count => format!("{cause} ({count} times)"),
        };
        if causes.is_empty() {
            return format!("only {} good answers in the time", self.attempts.len());
        }
        causes.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", before that: ")
    }

    pub(super) fn report(self, asked: &Asked<'_>, outcome: Outcome, url: &Url) -> CheckReport {
        let is_flaky =
            matches!(asked.question, Question::Rest(_) | Question::Promql(_) | Question::Alerts { .. })
                && outcome.verdict == Verdict::Pass
                && self.attempts.iter().any(|attempt| !attempt.is_good);
        let is_failed = is_flaky && asked.check.flaky_fails;
        let outcome = if is_failed {
            Outcome::fail(format!("good only after a retry: {}", self.causes()))
        } else {
            outcome
        };
        let names = asked.check.names();
        let repeat = unmarked(&asked.question.repeat(url), &names);
        CheckReport {
            name: asked.check.name.clone(),
            severity: asked.check.severity,
            line: asked.check.line,
            took: self.start.elapsed(),
            class: if is_failed { self.worst } else { self.class },
            measured: self.measured,
            said: self.said,
            attempts: self.attempts,
            url: unmarked(harmless(url).as_str(), &names),
            is_flaky: is_flaky && !is_failed,
            outcome,
            repeat,
        }
    }
}

/// Seconds to one tenth.
fn tenths(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
