//! `Grace`: how long a finding may be known before it fails.

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::finding::{Finding, Severity};

/// Days for which a finding of a severity does not fail yet, from the day on which it became known; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grace {
    /// Of those that are critical.
    pub critical: u16,
    /// Of high ones.
    pub high: u16,
    /// Of medium ones.
    pub medium: u16,
    /// Of low ones.
    pub low: u16,
    /// Of those whose severity nobody has told.
    pub unknown: u16,
}

impl Grace {
    /// Whether any finding has days.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// The days of a severity.
    #[must_use]
    pub fn days(&self, severity: Severity) -> u16 {
        match severity {
            Severity::Unknown => self.unknown,
            Severity::Low => self.low,
            Severity::Medium => self.medium,
            Severity::High => self.high,
            Severity::Critical => self.critical,
        }
    }

    /// The first day on which a finding fails, where that is still to come. They count from its publication, or from its fix where that
    /// came later and its day is told: before, nobody could do anything. Without such a day there is no grace, nor with one that is still
    /// to come, by which it would never end.
    #[must_use]
    pub fn ends(&self, finding: &Finding, today: Date) -> Option<Date> {
        let since = known_since(finding, today)?;
        let end = since.saturating_add(i64::from(self.days(finding.severity)).days());
        (today < end).then_some(end)
    }

    /// Whether a finding would have days, and nobody has told when it became known.
    pub(super) fn is_lost_on(&self, finding: &Finding, today: Date) -> bool {
        self.days(finding.severity) != 0 && known_since(finding, today).is_none()
    }
}

/// The day from which something could be done about it.
fn known_since(finding: &Finding, today: Date) -> Option<Date> {
    let told = |day: Option<Date>| day.filter(|day| *day <= today);
    told(finding.fix_published).max(told(finding.published))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[track_caller]
    fn check(published: Option<Date>, fix_published: Option<Date>, expected: Option<Date>) {
        let grace = Grace { high: 14, ..Grace::default() };
        let finding = Finding { severity: Severity::High, published, fix_published, ..Finding::default() };
        assert_eq!(grace.ends(&finding, date(2026, 5, 20)), expected);
    }

    #[test]
    fn days_count_from_the_day_on_which_something_could_be_done() {
        check(Some(date(2026, 5, 20)), None, Some(date(2026, 6, 3)));
        check(Some(date(2026, 5, 7)), None, Some(date(2026, 5, 21)));
        check(Some(date(2026, 5, 6)), None, None);
        check(Some(date(2026, 1, 1)), Some(date(2026, 5, 10)), Some(date(2026, 5, 24)));
        check(Some(date(2026, 5, 10)), Some(date(2026, 1, 1)), Some(date(2026, 5, 24)));
        check(None, Some(date(2026, 5, 10)), Some(date(2026, 5, 24)));
    }

    #[test]
    fn without_a_day_or_with_one_to_come_there_is_no_grace() {
        check(None, None, None);
        check(Some(date(2026, 5, 21)), None, None);
        check(Some(date(9999, 12, 31)), None, None);
        check(Some(date(2026, 1, 1)), Some(date(2026, 5, 21)), None);
    }

    #[test]
    fn each_severity_has_its_own_days() {
        let grace = Grace { critical: 1, high: 2, medium: 3, low: 4, unknown: 5 };
        let severities =
            [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Unknown];
        assert_eq!(severities.map(|severity| grace.days(severity)), [1, 2, 3, 4, 5]);
        let far = Grace { high: u16::MAX, ..Grace::default() };
        let published = Some(date(9999, 12, 1));
        let finding = Finding { severity: Severity::High, published, ..Finding::default() };
        assert_eq!(far.ends(&finding, date(9999, 12, 2)), Some(Date::MAX));
    }
}
