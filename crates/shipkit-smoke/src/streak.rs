//! When to ask again, and when it was enough: no clock, no network.

use std::time::Duration;

/// How long to wait between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Pace {
    /// The wait before attempt `attempt` (from 1): half as long again as the one before, up to the longest, and of that
    /// between a half and all of it as `random` says, so that many runs do not ask in step.
    pub(crate) fn wait(self, attempt: u32, random: u8) -> Duration {
        let grown = (1..attempt).take(32).fold(self.first, |wait, _| (wait * 3 / 2).min(self.longest));
        grown / 2 + grown * u32::from(random) / 510
    }
}

/// Counts good answers in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Streak {
    wanted: u32,
    now: u32,
}

impl Streak {
    pub(crate) fn of(wanted: u32) -> Self {
        Self { wanted: wanted.max(1), now: 0 }
    }

    /// Takes one answer; whether it is enough now. A bad one starts the count again.
    pub(crate) fn take(&mut self, is_good: bool) -> bool {
        self.now = if is_good { self.now + 1 } else { 0 };
        self.wanted <= self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_good_answers_count_only_in_a_row() {
        let mut streak = Streak::of(3);
        let taken = [true, true, false, true, true, true].map(|is_good| streak.take(is_good));
        assert_eq!(taken, [false, false, false, false, false, true]);
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_never_vanish() {
        let pace = Pace { first: Duration::from_millis(250), longest: Duration::from_secs(5) };
        assert_eq!(pace.wait(1, 255), Duration::from_millis(250));
        assert_eq!(pace.wait(1, 0), Duration::from_millis(125));
        assert_eq!(pace.wait(3, 255), Duration::from_micros(562_500));
        assert_eq!(pace.wait(u32::MAX, 255), Duration::from_secs(5));
        assert_eq!(pace.wait(u32::MAX, 0), Duration::from_millis(2500));
    }
}
