//! `Series`: what became of the requests to one release in a measurement: no clock, no network.

use std::time::Duration;

use jiff::Timestamp;

use crate::latency::{FIRST, RATE, WARM_UP, WarmUp};
use crate::tally::{Allowed, Probe, Tally, WatchReport};

/// Takes requests in any order. Those of the first second are not judged, and what is due after the first look waits for it.
pub(crate) struct Series {
    warm_up: WarmUp,
    tally: Tally,
    /// How long each took; `None` if it was not answered well.
    took: Vec<Option<Duration>>,
    /// What was settled of the time after the first look, before it.
    later: Vec<Probe>,
}

impl Series {
    pub(crate) fn new() -> Self {
        Self { warm_up: WarmUp::default(), tally: Tally::new(), took: Vec::new(), later: Vec::new() }
    }

    pub(crate) fn take(&mut self, probe: Probe, has_looked: bool) {
        if probe.due < WARM_UP {
            self.warm_up.take(&probe);
        } else if WARM_UP + FIRST <= probe.due && !has_looked {
            self.later.push(probe);
        } else {
            self.count(probe);
        }
    }

    /// Whether all is settled that the first look is for.
    pub(crate) fn is_due_a_look(&self) -> bool {
        u64::from(self.samples()) == FIRST.as_secs() * u64::from(RATE)
    }

    /// Counts what has waited for the first look.
    pub(crate) fn go_on(&mut self) {
        for probe in std::mem::take(&mut self.later) {
            self.count(probe);
        }
    }

    /// How many are judged.
    pub(crate) fn samples(&self) -> u32 {
        number(self.took.len())
    }

    /// How many of them were answered well.
    pub(crate) fn answered(&self) -> u32 {
        number(self.took.iter().flatten().count())
    }

    /// How many of them were answered well within the limit.
    pub(crate) fn within(&self, limit: Duration) -> u32 {
        number(self.took.iter().flatten().filter(|took| **took <= limit).count())
    }

    /// The one with this rank, from 1, if what was not answered well is taken to have taken so long.
    pub(crate) fn ranked(&self, rank: u32, unanswered: Duration) -> Option<Duration> {
        let mut all: Vec<Duration> = self.took.iter().map(|took| took.unwrap_or(unanswered)).collect();
        all.sort_unstable();
        all.get(usize::try_from(rank).ok()?.checked_sub(1)?).copied()
    }

    /// How many were asked, those included that are not judged.
    pub(crate) fn asked(&self) -> u64 {
        self.warm_up.samples + u64::from(self.samples())
    }

    pub(crate) fn report(self) -> (WarmUp, WatchReport) {
        (self.warm_up, self.tally.report(Timestamp::UNIX_EPOCH, Allowed { failures: 0, gap: Duration::MAX }))
    }

    fn count(&mut self, probe: Probe) {
        let took = probe.done.saturating_sub(probe.due);
        self.took.push(probe.seen.is_ok().then_some(took));
        self.tally.take(probe);
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
