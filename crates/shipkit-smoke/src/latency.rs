//! What is measured of a service by requests at a fixed rate, and when: no clock, no network.

use std::time::Duration;

use serde::Serialize;

use crate::client::Phases;
use crate::open_loop::OpenLoop;
use crate::report::{all_millis, millis};
use crate::tally::{Latency, Probe};

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
    /// What another release did at the same time, where one was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<MeasuredBeside>,
}

impl Measured {
    /// The same, with another name for the other release.
    #[must_use]
    pub fn renamed(self, name: impl Fn(&str) -> String) -> Self {
        let beside = self.beside.map(|beside| MeasuredBeside { name: name(&beside.name), ..beside });
        Self { beside, ..self }
    }
}

/// What came of the requests to another release at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MeasuredBeside {
    /// Its name.
    pub name: String,
    /// How many requests were due.
    pub samples: u64,
    /// How many of them were not answered well, those that were dropped included.
    pub failed: u64,
    /// How long good answers took.
    #[serde(flatten)]
    pub latency: Latency,
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
    pub(crate) fn take(&mut self, probe: &Probe) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_median_of_its_own() {
        let ms = Duration::from_millis;
        let of = |dns, tls| Phases { dns: ms(dns), tls: ms(tls), ..Phases::default() };
        assert_eq!(medians(&[of(1, 9), of(2, 7), of(9, 8)]), Some(of(2, 8)));
        assert_eq!(medians(&[]), None);
    }
}
