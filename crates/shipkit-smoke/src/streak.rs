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
    /// Whether the next answer is enough, if it is good.
    trusts: bool,
}

impl Streak {
    /// So many are wanted.
    pub(crate) fn of(wanted: u32) -> Self {
        Self { wanted: wanted.max(1), now: 0, trusts: false }
    }

    /// So many are wanted, or only one if it is the very first answer: of a target that nobody has changed, nothing else is expected.
    pub(crate) fn of_settled(wanted: u32) -> Self {
        Self { trusts: true, ..Self::of(wanted) }
    }

    /// Takes one answer; whether it is enough now. A bad one starts the count again.
    pub(crate) fn take(&mut self, is_good: bool) -> bool {
        self.now = if is_good { self.now + 1 } else { 0 };
        let trusted = std::mem::take(&mut self.trusts);
        is_good && trusted || self.wanted <= self.now
    }

    /// What was counted was about something else.
    pub(crate) fn restart(&mut self) {
        self.now = 0;
    }

    /// How many there were in a row.
    pub(crate) fn count(self) -> u32 {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mut streak: Streak, answers: &[bool], expected: &[bool]) {
        let taken: Vec<_> = answers.iter().map(|is_good| streak.take(*is_good)).collect();
        assert_eq!(taken, expected, "{answers:?}");
    }

    #[test]
    fn three_good_answers_count_only_in_a_row() {
        check(
            Streak::of(3),
            &[true, true, false, true, true, true],
            &[false, false, false, false, false, true],
        );
    }

    #[test]
    fn of_a_settled_target_one_answer_is_enough_but_only_the_first() {
        check(Streak::of_settled(3), &[true], &[true]);
        check(Streak::of_settled(3), &[false, true, true, true], &[false, false, false, true]);
    }

    #[test]
    fn answers_about_something_else_do_not_count() {
        let mut streak = Streak::of(2);
        streak.take(true);
        streak.restart();
        assert_eq!((streak.take(true), streak.take(true), streak.count()), (false, true, 2));
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
