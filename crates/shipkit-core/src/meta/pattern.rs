//! `Pattern`: regular expressions as JavaScript writes them, over the names of tags.

use std::collections::VecDeque;

use fancy_regex::{Regex, RegexBuilder};

use super::error::Problem;

/// A regular expression.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    text: String,
    /// The flag `g`: groups are then the matches one after the other.
    is_global: bool,
}

impl Pattern {
    /// Reads `v(.*)`; there are no flags.
    pub(super) fn plain(text: &str) -> Result<Self, Problem> {
        Self::new(text, text, "")
    }

    /// Reads `v(.*)`, or `/v(.*)/i` with flags.
    pub(super) fn with_flags(text: &str) -> Result<Self, Problem> {
        let inner = text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
        match inner.filter(|(pattern, _)| !pattern.is_empty()) {
            Some((pattern, flags)) => Self::new(text, pattern, flags),
            None => Self::new(text, text, ""),
        }
    }

    fn new(text: &str, pattern: &str, flags: &str) -> Result<Self, Problem> {
        let wrong = |wrong: String| Problem::Pattern { pattern: text.to_owned(), wrong };
        if let Some(flag) = flags.chars().find(|flag| !"dgimsu".contains(*flag)) {
            return Err(wrong(format!("has the flag `{flag}`, and those known are d, g, i, m, s and u")));
        }
        let regex = RegexBuilder::new(&ascii_classes(pattern))
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'))
            .dot_matches_new_line(flags.contains('s'))
            .build()
            .map_err(|error| wrong(format!("cannot be read: {}", one_line(&error.to_string()))))?;
        Ok(Self { regex, text: text.to_owned(), is_global: flags.contains('g') })
    }

    /// Whether it has a group of this number.
    pub(super) fn has_group(&self, group: usize) -> bool {
        self.is_global || group < self.regex.captures_len()
    }

    /// What this group matched: the outer `None` where the whole does not match, the inner where the group has no part
    /// in the match.
    ///
    /// # Errors
    /// When it takes too many steps to find out.
    #[expect(clippy::option_option, reason = "no match and an empty group are two different answers")]
    pub(super) fn group(&self, name: &str, group: usize) -> Result<Option<Option<String>>, Problem> {
        let slow = |_too_many_steps| Problem::Pattern {
            pattern: self.text.clone(),
            wrong: format!("takes too many steps on `{name}`"),
        };
        if self.is_global {
            let mut matches = VecDeque::new();
            for found in self.regex.find_iter(name) {
                matches.push_back(found.map_err(slow)?.as_str().to_owned());
            }
            return Ok((!matches.is_empty()).then(|| matches.get(group).cloned()));
        }
        let captures = self.regex.captures(name).map_err(slow)?;
        Ok(captures.map(|captures| captures.get(group).map(|found| found.as_str().to_owned())))
    }

    /// The pattern as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// `\d` and `\w` mean ASCII in JavaScript, and every script of the world here.
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    let mut is_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match (chars.next(), is_class) {
                (Some('d'), false) => out.push_str("[0-9]"),
                (Some('d'), true) => out.push_str("0-9"),
                (Some('D'), false) => out.push_str("[^0-9]"),
                (Some('w'), false) => out.push_str("[0-9A-Za-z_]"),
                (Some('w'), true) => out.push_str("0-9A-Za-z_"),
                (Some('W'), false) => out.push_str("[^0-9A-Za-z_]"),
                (Some('/'), _) => out.push('/'),
                (Some(other), _) => out.extend(['\\', other]),
                (None, _) => out.push('\\'),
            },
            '[' => {
                // A `[` inside a class is a character in JavaScript, and opens another class here.
                out.push_str(if is_class { "\\[" } else { "[" });
                is_class = true;
            }
            ']' => {
                out.push(']');
                is_class = false;
            }
            // So are these operators on classes.
            '&' | '~' if is_class => out.extend(['\\', c]),
            other => out.push(other),
        }
    }
    out
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is what the group matched, or `no match`, or `no group`.
    #[track_caller]
    fn check(pattern: &str, name: &str, group: usize, expected: &str) {
        let found = Pattern::with_flags(pattern).unwrap().group(name, group).unwrap();
        let found = found.map_or(Some("no match".to_owned()), |group| group);
        assert_eq!(found.as_deref().unwrap_or("no group"), expected, "{pattern} on {name}");
    }

    #[test]
    fn a_pattern_finds_its_group() {
        check(r"\d.\d.\d", "v1.2.3", 0, "1.2.3");
        check(r"v(.*)-beta.(.*)", "v2.0.8-beta.67", 2, "67");
        check(r"v(.*)", "sometag", 1, "no match");
        check(r"v(\d)(x)?", "v1", 2, "no group");
        check(r"v(\d)", "v1", 3, "no group");
        check(r"^v(?!0)(\d+)", "v0", 1, "no match");
        check(r"^v(?!0)(\d+)", "v12", 1, "12");
    }

    #[test]
    fn flags_stand_behind_the_second_slash() {
        check(r"/^V(\d)$/i", "v1", 1, "1");
        check(r"/^V(\d)$/", "v1", 1, "no match");
        check(r"/\d/g", "v1.2", 1, "2");
        check(r"/\d/g", "v1.2", 2, "no group");
        check("p1/v(.*)", "p1/v1", 1, "1");
        assert!(matches!(Pattern::with_flags("/a/xyz"), Err(Problem::Pattern { .. })));
    }

    #[test]
    fn digits_are_those_of_ascii() {
        check(r"\d", "v١", 0, "no match");
        check(r"[\d.]+", "v1.2", 0, "1.2");
        check(r"[^\d]+", "v1", 0, "v");
        check(r"\w+", "ä1_b", 0, "1_b");
        check(r"[\w&&]+", "a&&b", 0, "a&&b");
        check(r"a\/b", "a/b", 0, "a/b");
    }

    #[test]
    fn what_is_no_pattern_or_never_ends_is_an_error() {
        assert!(matches!(Pattern::plain("v("), Err(Problem::Pattern { .. })));
        let endless = Pattern::plain(r"^(\w+\s?)*(?=x)\1$").unwrap();
        assert!(matches!(endless.group(&format!("{}!", "a".repeat(60)), 0), Err(Problem::Pattern { .. })));
    }
}
