//! `Number`: a whole number of any length, as versions have them.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Dates and commits make numbers that no machine word holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Number<'text>(Cow<'text, str>);

impl<'text> Number<'text> {
    /// Of ASCII digits; no digits are zero.
    pub(super) fn of(digits: &'text str) -> Self {
        Self(Cow::Borrowed(digits.trim_start_matches('0')))
    }

    /// The same of a text that does not last.
    pub(super) fn owned(self) -> Number<'static> {
        Number(Cow::Owned(self.0.into_owned()))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.0, &other.0)
    }
}

/// Which of two numbers in ASCII digits is greater; no digits are zero.
pub(super) fn order(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The digits that a text begins with, and the rest.
pub(super) fn split_digits(text: &str) -> (&str, &str) {
    split(text, |c| c.is_ascii_digit())
}

/// The longest beginning of such characters, and the rest.
pub(super) fn split(text: &str, is_such: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !is_such(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}
