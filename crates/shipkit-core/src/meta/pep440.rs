//! `Pep440`: Python's versions, and their one normal form.

use std::fmt;

/// A version by PEP 440. Numbers are kept as digits, however many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pep440 {
    epoch: String,
    release: Vec<String>,
    /// `a`, `b` or `rc`, and a number.
    pre: Option<(&'static str, String)>,
    post: Option<String>,
    dev: Option<String>,
    local: Option<String>,
}

/// The words for a prerelease, a longer one before those that begin it, and what they are in normal form.
const PRE: [(&str, &str); 8] = [
    ("alpha", "a"),
    ("beta", "b"),
    ("preview", "rc"),
    ("pre", "rc"),
    ("rc", "rc"),
    ("c", "rc"),
    ("a", "a"),
    ("b", "b"),
];

/// What is not read yet, in lower case.
struct Rest<'a>(&'a str);

impl Pep440 {
    /// Reads every spelling that PEP 440 allows: `v1.0-Alpha.1`, `1!2`, `1.0-1`, `1.0dev4`, `1+ubuntu_1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let mut rest = Rest(text.strip_prefix('v').unwrap_or(&text));
        let mut version = Self::default();
        let first = rest.number()?;
        if rest.skip("!") {
            version.epoch = first;
            version.release.push(rest.number()?);
        } else {
            version.release.push(first);
        }
        while let Some(part) = rest.attempt(|rest| rest.skip(".").then(|| rest.number()).flatten()) {
            version.release.push(part);
        }
        version.pre = rest.marked(&PRE);
        version.post = rest
            .attempt(|rest| rest.skip("-").then(|| rest.number()).flatten())
            .or_else(|| rest.marked(&[("post", ""), ("rev", ""), ("r", "")]).map(|(_, number)| number));
        version.dev = rest.marked(&[("dev", "")]).map(|(_, number)| number);
        if rest.skip("+") {
            version.local = Some(local(rest.0)?);
            return Some(version);
        }
        rest.0.is_empty().then_some(version)
    }

    /// Whether it is a final release: no pre-, post- or development release.
    pub(super) fn is_final(&self) -> bool {
        self.pre.is_none() && self.post.is_none() && self.dev.is_none()
    }

    /// The number at this place of the release; what is not written is 0.
    pub(super) fn part(&self, at: usize) -> &str {
        self.release.get(at).map_or("0", String::as_str)
    }
}

impl fmt::Display for Pep440 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(self.epoch.as_str(), "" | "0") {
            write!(f, "{}!", self.epoch)?;
        }
        f.write_str(&self.release.join("."))?;
        self.pre.iter().try_for_each(|(name, number)| write!(f, "{name}{number}"))?;
        self.post.iter().try_for_each(|number| write!(f, ".post{number}"))?;
        self.dev.iter().try_for_each(|number| write!(f, ".dev{number}"))?;
        self.local.iter().try_for_each(|local| write!(f, "+{local}"))
    }
}

impl Rest<'_> {
    fn skip(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Tries; what was read is put back where it fails.
    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.0;
        let found = read(self);
        if found.is_none() {
            self.0 = before;
        }
        found
    }

    /// Digits, without zeros before them.
    fn number(&mut self) -> Option<String> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        let short = digits.trim_start_matches('0');
        (!digits.is_empty()).then(|| if short.is_empty() { "0" } else { short }.to_owned())
    }

    /// A word, alone or between separators, and its number: `a1`, `.alpha_1`, `-a`. Without a number it is 0.
    fn marked(&mut self, words: &[(&str, &'static str)]) -> Option<(&'static str, String)> {
        self.attempt(|rest| {
            rest.separator();
            let (_, normal) = words.iter().find(|(word, _)| rest.skip(word))?;
            let number = rest.attempt(|rest| {
                rest.separator();
                rest.number()
            });
            Some((*normal, number.unwrap_or_else(|| "0".to_owned())))
        })
    }

    fn separator(&mut self) {
        for separator in [".", "-", "_"] {
            if self.skip(separator) {
                return;
            }
        }
    }
}

/// The local part: words and numbers with separators between them, which become dots.
fn local(text: &str) -> Option<String> {
    let parts: Vec<_> = text.split(['.', '-', '_']).collect();
    let fits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let short = |part: &str| match part.trim_start_matches('0') {
        _ if part.bytes().any(|b| !b.is_ascii_digit()) => part.to_owned(),
        "" => "0".to_owned(),
        short => short.to_owned(),
    };
    parts.iter().all(fits).then(|| parts.into_iter().map(short).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_has_one_normal_form() {
        for (given, normal) in [
            ("1.2.3", "1.2.3"),
            ("v1.2.3", "1.2.3"),
            ("1.2.3rc2", "1.2.3rc2"),
            ("1.2.3-RC.2", "1.2.3rc2"),
            ("1.2.3c2", "1.2.3rc2"),
            ("1.2.3preview2", "1.2.3rc2"),
            ("1.1beta2", "1.1b2"),
            ("1.1a", "1.1a0"),
            ("1.2post1", "1.2.post1"),
            ("1.2-1", "1.2.post1"),
            ("1.2.rev3", "1.2.post3"),
            ("1.2r", "1.2.post0"),
            ("1.0dev4", "1.0.dev4"),
            ("1.0a1.post2.dev3", "1.0a1.post2.dev3"),
            ("1!2.0", "1!2.0"),
            ("0!2.0", "2.0"),
            ("2020.01.0010", "2020.1.10"),
            ("1.0+Ubuntu_1-02", "1.0+ubuntu.1.2"),
            (" 1 ", "1"),
            ("99999999999999999999999", "99999999999999999999999"),
        ] {
            assert_eq!(
                Pep440::parse(given).map(|version| version.to_string()).as_deref(),
                Some(normal),
                "{given}"
            );
        }
    }

    #[test]
    fn what_is_no_version_is_none() {
        for given in
            ["", "v", "sometag", "1.", "1.2.x", "1..2", "1+", "1+a..b", "1.0-", "1!", "!1", "vv1", "1.0 0"]
        {
            assert_eq!(Pep440::parse(given), None, "{given}");
        }
    }

    #[test]
    fn only_a_final_release_is_final_and_missing_parts_are_zero() {
        let version = |text| Pep440::parse(text).unwrap();
        assert!(version("1.2+local").is_final());
        for other in ["1.2a1", "1.2.post1", "1.2.dev1"] {
            assert!(!version(other).is_final(), "{other}");
        }
        assert_eq!((version("1").part(0), version("1").part(1), version("1.2.3").part(2)), ("1", "0", "3"));
    }
}
