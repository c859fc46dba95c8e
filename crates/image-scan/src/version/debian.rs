//! Versions of Debian and Ubuntu: `[epoch:]upstream[-revision]`, as in deb-version(7).

use std::cmp::Ordering;

use super::Number;
use super::number::{self, split, split_digits};

/// A version of a Debian package.
#[derive(Debug, Clone)]
pub(super) struct Version<'text> {
    epoch: Number<'text>,
    upstream: &'text str,
    revision: &'text str,
}

impl<'text> Version<'text> {
    pub(super) fn parse(text: &'text str) -> Option<Self> {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        let is_number = !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit());
        let is_upstream = upstream.starts_with(|c: char| c.is_ascii_digit())
            && upstream.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-~:".contains(&b));
        let is_revision = !revision.is_empty()
            && revision.bytes().all(|b| b.is_ascii_alphanumeric() || b".+~".contains(&b));
        (is_number && is_upstream && is_revision).then(|| Self {
            epoch: Number::of(epoch),
            upstream,
            revision,
        })
    }

    pub(super) fn order(&self, other: &Version<'_>) -> Ordering {
        let rest = || order(self.upstream, other.upstream).then_with(|| order(self.revision, other.revision));
        self.epoch.cmp(&other.epoch).then_with(rest)
    }
}

/// Words and numbers in turn, until one pair differs.
fn order(mut left: &str, mut right: &str) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let ((left_word, left_rest), (right_word, right_rest)) = (split_word(left), split_word(right));
        let ((left_digits, left_after), (right_digits, right_after)) =
            (split_digits(left_rest), split_digits(right_rest));
        let numbers = || number::order(left_digits, right_digits);
        let pair = order_of_words(left_word, right_word).then_with(numbers);
        if pair != Ordering::Equal {
            return pair;
        }
        (left, right) = (left_after, right_after);
    }
    Ordering::Equal
}

fn split_word(text: &str) -> (&str, &str) {
    split(text, |c| !c.is_ascii_digit())
}

fn order_of_words(left: &str, right: &str) -> Ordering {
    let places = left.len().max(right.len());
    let (left, right) = (left.bytes().map(weight), right.bytes().map(weight));
    let end = || std::iter::repeat(0);
    left.chain(end()).take(places).cmp(right.chain(end()).take(places))
}

/// A tilde is before the end of a word, which is before letters, which are before all else.
fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        _ if byte.is_ascii_alphabetic() => i32::from(byte),
        _ => i32::from(byte) + 256,
    }
}
