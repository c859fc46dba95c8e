//! Semantic versions, read with the tolerance that OSV's records need: a `v` in front, fewer or more than three numbers, leading zeros.

use super::Number;
use super::number::{split, split_digits};

/// A semantic version. What is built how (`+...`) has no part in the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    numbers: Vec<Number>,
    stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Before(Vec<Identifier>),
    Release,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(Number),
    Word(String),
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text.split_once('+').unwrap_or((text, "0"));
        let (numbers, stage) = match text.split_once('-') {
            Some((numbers, identifiers)) => (numbers, Stage::Before(identifiers_of(identifiers)?)),
            None => (text, Stage::Release),
        };
        identifiers_of(build)?;
        let mut numbers = numbers.split('.').map(number).collect::<Option<Vec<_>>>()?;
        while numbers.len() < 3 {
            numbers.push(Number::of(""));
        }
        Some(Self { numbers, stage })
    }

    /// A version of a module, or of Go itself: `go1.22rc1` is `1.22.0-rc.1` in the records.
    pub(super) fn of_go(text: &str) -> Option<Self> {
        let Some(release) = text.strip_prefix("go") else { return Self::parse(text) };
        let (numbers, stage) = split(release, |c| c.is_ascii_digit() || c == '.');
        if stage.is_empty() {
            return Self::parse(numbers);
        }
        let (word, number) = split(stage, |c| c.is_ascii_alphabetic());
        let is_known = matches!(word, "rc" | "beta") && split_digits(number).1.is_empty();
        is_known.then(|| Self::parse(&format!("{numbers}-{word}.{number}"))).flatten()
    }
}

fn number(text: &str) -> Option<Number> {
    let is_number = !text.is_empty() && split_digits(text).1.is_empty();
    is_number.then(|| Number::of(text))
}

fn identifiers_of(text: &str) -> Option<Vec<Identifier>> {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let identifier = |word: &str| match number(word) {
        Some(number) => Some(Identifier::Number(number)),
        None => is_word(word).then(|| Identifier::Word(word.to_owned())),
    };
    text.split('.').map(identifier).collect()
}
