//! Versions of Alpine: `digits{.digits}...{letter}{_suffix{digits}}...{~hash}{-r digits}`.
//!
//! `apk` 3 reads fewer texts than `apk` 2 does, and both are in use. What either reads is a version here, and where both do the order is that of `apk` 3.
//! The difference matters: packages such as `opensmtpd-6.6.2p1-r0` are fine with `apk` 2, while `apk` 3 takes `6.6.2p1-r0` and `6.6.2p2-r1` for equal.

use super::Number;
use super::number::{split, split_digits};

const PRE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
const POST: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// A version of an Alpine package: its tokens, the last of which is `End`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version<'text>(Vec<Token<'text>>);

/// Where two versions go on differently, the kind of token decides: the order is that of the lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Token<'text> {
    Pre(usize),
    End,
    Revision(Number<'text>),
    Hash(&'text str),
    SuffixNumber(Number<'text>),
    Post(usize),
    /// Dots with no digits after them, as in `0.8.21.r2`.
    Empty,
    Letter(char),
    Digits(Digits<'text>),
}

/// A leading zero makes a fraction of a number: `1.01` is before `1.1`, and so is `1.010`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Digits<'text> {
    Fraction(&'text str),
    Whole(Number<'text>),
}

impl<'text> Version<'text> {
    pub(super) fn parse(text: &'text str) -> Option<Self> {
        let (first, mut rest) = split_digits(text);
        let mut tokens = vec![match first {
            "" => Token::Empty,
            _ => Token::Digits(Digits::Whole(Number::of(first))),
        }];
        while !rest.is_empty() {
            rest = next(&mut tokens, rest)?;
        }
        let says_something = tokens.iter().any(|token| matches!(token, Token::Digits(_) | Token::Letter(_)));
        tokens.push(Token::End);
        says_something.then_some(Self(tokens))
    }
}

/// Reads one token and its number; gives what is left. Each kind may follow only some others.
fn next<'text>(tokens: &mut Vec<Token<'text>>, text: &'text str) -> Option<&'text str> {
    let last = tokens.last()?;
    let is_in_numbers = matches!(last, Token::Digits(_) | Token::Empty);
    let is_before_hash = !matches!(last, Token::Hash(_) | Token::Revision(_));
    let first = text.chars().next()?;
    let after = text.get(first.len_utf8()..)?;
    match first {
        'a'..='z' if is_in_numbers => {
            tokens.push(Token::Letter(first));
            Some(after)
        }
        '.' if is_in_numbers => Some(digits(tokens, after)),
        '0'..='9' if matches!(last, Token::Letter(_)) => Some(digits(tokens, text)),
        '_' if is_before_hash => suffix(tokens, after),
        '~' if is_before_hash => {
            let (hash, rest) = split(after, |c| matches!(c, '0'..='9' | 'a'..='f'));
            tokens.push(Token::Hash(hash));
            (!hash.is_empty()).then_some(rest)
        }
        '-' if !matches!(last, Token::Revision(_)) => {
            let (revision, rest) = split_digits(after.strip_prefix('r')?);
            tokens.push(Token::Revision(Number::of(revision)));
            Some(rest)
        }
        _ => None,
    }
}

fn digits<'text>(tokens: &mut Vec<Token<'text>>, text: &'text str) -> &'text str {
    let (digits, rest) = split_digits(text);
    tokens.push(match digits {
        "" => Token::Empty,
        _ if digits.starts_with('0') => Token::Digits(Digits::Fraction(digits)),
        _ => Token::Digits(Digits::Whole(Number::of(digits))),
    });
    rest
}

fn suffix<'text>(tokens: &mut Vec<Token<'text>>, text: &'text str) -> Option<&'text str> {
    let (word, rest) = split(text, |c| c.is_ascii_lowercase());
    let place = |words: &[&str]| words.iter().position(|known| *known == word);
    tokens.push(place(&PRE).map(Token::Pre).or_else(|| place(&POST).map(Token::Post))?);
    let (number, rest) = split_digits(rest);
    if !number.is_empty() {
        tokens.push(Token::SuffixNumber(Number::of(number)));
    }
    Some(rest)
}
