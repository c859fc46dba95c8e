//! Semantic versions, read with the tolerance that OSV's records need: a `v` in front, fewer or more than three numbers, leading zeros.

use super::Number;
use super::number::{split, split_digits};

/// A semantic version. What is built how (`+...`) has no part in the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'text> {
    numbers: Vec<Number<'text>>,
    stage: Stage<'text>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stage<'text> {
    Before(Vec<Identifier<'text>>),
    Release,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'text> {
    Number(Number<'text>),
    Word(&'text str),
}

impl<'text> Version<'text> {
    pub(super) fn parse(text: &'text str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (numbers, stage) = match text.split_once('-') {
            Some((numbers, identifiers)) => (numbers, Stage::Before(identifiers_of(identifiers)?)),
            None => (text, Stage::Release),
        };
        if let Some(build) = build {
            identifiers_of(build)?;
        }
        let mut numbers = numbers.split('.').map(number).collect::<Option<Vec<_>>>()?;
        while numbers.len() < 3 {
            numbers.push(Number::of(""));
        }
        Some(Self { numbers, stage })
    }

    /// A version of a module, or of Go itself: `go1.22rc1` is `1.22.0-rc.1` in the records.
    pub(super) fn of_go(text: &'text str) -> Option<Self> {
        let Some(release) = text.strip_prefix("go") else { return Self::parse(text) };
        let (numbers, stage) = split(release, |c| c.is_ascii_digit() || c == '.');
        if stage.is_empty() {
            return Self::parse(numbers);
        }
        let (word, number) = split(stage, |c| c.is_ascii_alphabetic());
        let is_known = matches!(word, "rc" | "beta") && split_digits(number).1.is_empty();
        let numbers = is_known.then(|| Self::parse(numbers))??.numbers;
        let stage = identifiers_of(number)?.into_iter();
        let stage = Stage::Before(std::iter::once(Identifier::Word(word)).chain(stage).collect());
        Some(Self { numbers, stage })
    }
}

fn number(text: &str) -> Option<Number<'_>> {
    let is_number = !text.is_empty() && split_digits(text).1.is_empty();
    is_number.then(|| Number::of(text))
}

fn identifiers_of(text: &str) -> Option<Vec<Identifier<'_>>> {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let identifier = |word| match number(word) {
        Some(number) => Some(Identifier::Number(number)),
        None => is_word(word).then_some(Identifier::Word(word)),
    };
    text.split('.').map(identifier).collect()
}
