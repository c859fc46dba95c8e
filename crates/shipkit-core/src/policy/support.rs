//! `Support`: until when those who make a distribution or a runtime publish fixes for it, and what is done after that.

use jiff::civil::Date;

use crate::verdict::Outcome;

/// How long there are fixes for something that an image holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Support {
    /// For people: `Node.js 18`.
    pub what: String,
    /// The last day with fixes; none where that is not known.
    pub until: Option<Date>,
}

/// Something for which there are no fixes any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndOfLife {
    /// For people.
    pub what: String,
    /// The last day with fixes.
    pub since: Date,
}

impl Support {
    /// Whether there are no fixes any more, on this day.
    #[must_use]
    pub fn end_of_life(&self, today: Date) -> Option<EndOfLife> {
        let since = self.until.filter(|until| *until < today)?;
        Some(EndOfLife { what: self.what.clone(), since })
    }
}

impl EndOfLife {
    /// In words.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{} has had no fixes since {}", self.what, self.since)
    }
}

/// Whether there are fixes for all of it today. Of what nobody knows the end, it cannot be told; of an image that holds nothing of the
/// kind, nothing is claimed.
pub(super) fn judge(support: &[Support], today: Date) -> Outcome {
    let ended: Vec<_> =
        support.iter().filter_map(|one| one.end_of_life(today)).map(|ended| ended.said()).collect();
    if !ended.is_empty() {
        return Outcome::fail(ended.join("; "));
    }
    let unknown: Vec<_> =
        support.iter().filter(|one| one.until.is_none()).map(|one| one.what.as_str()).collect();
    if !unknown.is_empty() {
        let what = unknown.join(", ");
        return Outcome::inconclusive(format!("until when there are fixes is not known here: {what}"));
    }
    match support.iter().filter_map(|one| Some((one.until?, &one.what))).min() {
        Some((until, what)) => Outcome::pass(format!("fixes until {until} at least (then not for {what})")),
        None => Outcome::skipped("it holds no distribution and no runtime whose end is known here"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::verdict::Verdict;

    #[track_caller]
    fn check(support: &[(&str, Option<Date>)], verdict: Verdict, cause: &str) {
        let support: Vec<_> =
            support.iter().map(|&(what, until)| Support { what: what.to_owned(), until }).collect();
        let outcome = judge(&support, date(2026, 5, 6));
        assert_eq!((outcome.verdict, outcome.cause.as_str()), (verdict, cause));
    }

    #[test]
    fn what_has_no_fixes_any_more_fails_and_what_is_not_known_is_no_pass() {
        let (debian, alpine) =
            (("Debian 13", Some(date(2030, 6, 30))), ("Alpine 3.20", Some(date(2026, 5, 6))));
        let (node, rocky) = (("Node.js 18", Some(date(2025, 4, 30))), ("Rocky Linux 9", None));
        let last_day = "fixes until 2026-05-06 at least (then not for Alpine 3.20)";
        check(&[debian, alpine], Verdict::Pass, last_day);
        let ended = "Node.js 18 has had no fixes since 2025-04-30";
        check(&[debian, node], Verdict::Fail, ended);
        check(&[rocky, node], Verdict::Fail, ended);
        let unknown = "until when there are fixes is not known here: Rocky Linux 9";
        check(&[rocky, debian], Verdict::Inconclusive, unknown);
        let nothing = "it holds no distribution and no runtime whose end is known here";
        check(&[], Verdict::Skipped, nothing);
    }
}
