//! `Template`: texts with `{{expressions}}` in them, a small part of Handlebars. Nothing is escaped for HTML.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::explained::Place;

use super::error::{MetaError, Problem};
use super::facts::Facts;
use super::moment;

/// A text with expressions.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Word(Word),
    /// A moment in a format; without one in ISO 8601.
    Date(Moment, Option<String>, TimeZone),
}

/// What an expression stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Branch,
    Tag,
    Sha,
    BaseRef,
    IsDefaultBranch,
    IsNotDefaultBranch,
    Raw,
    Version,
    Major,
    Minor,
    Patch,
}

/// Which moment a date is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Now,
    Commit,
}

/// Where a template stands, which decides what its expressions may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knows {
    /// What is known everywhere.
    Event,
    /// The parts of a version as well.
    Version,
}

const EVERYWHERE: [(&str, Word); 6] = [
    ("branch", Word::Branch),
    ("tag", Word::Tag),
    ("sha", Word::Sha),
    ("base_ref", Word::BaseRef),
    ("is_default_branch", Word::IsDefaultBranch),
    ("is_not_default_branch", Word::IsNotDefaultBranch),
];
const OF_A_VERSION: [(&str, Word); 5] = [
    ("raw", Word::Raw),
    ("version", Word::Version),
    ("major", Word::Major),
    ("minor", Word::Minor),
    ("patch", Word::Patch),
];
const DATES: [(&str, Moment); 2] = [("date", Moment::Now), ("commit_date", Moment::Commit)];

/// The parts of a version, for the patterns of `type=semver` and `type=pep440`.
#[derive(Debug, Clone, Default)]
pub(super) struct VersionParts {
    pub(super) raw: String,
    pub(super) version: String,
    pub(super) major: String,
    pub(super) minor: String,
    pub(super) patch: String,
}

/// Where templates are read: at a place, with room for what is to be said about them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) place: &'a Place,
    pub(super) remarks: &'a mut Vec<String>,
}

impl Reader<'_> {
    /// Reads a template.
    ///
    /// # Errors
    /// When an expression is unknown or cannot be read, or its time zone is unknown.
    pub(super) fn template(&mut self, text: &str, knows: Knows) -> Result<Template, MetaError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            if let Some(before) = before.strip_suffix('\\') {
                // `\{{x}}` stands for itself.
                parts.push(Part::Text(format!("{before}{{{{")));
                rest = after;
                continue;
            }
            let (inner, behind, closing) = match after.strip_prefix('{') {
                Some(after) => (after.split_once("}}}"), after, "}}}"),
                None => (after.split_once("}}"), after, "}}"),
            };
            let (inner, behind) = inner.ok_or_else(|| {
                let opening = closing.replace('}', "{");
                let expression = format!("{opening}{}", behind.lines().next().unwrap_or_default());
                Problem::Expression { expression, wrong: "is never closed" }.at(self.place)
            })?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(self.expression(inner.trim(), knows)?);
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Template { parts })
    }

    fn expression(&mut self, text: &str, knows: Knows) -> Result<Part, MetaError> {
        let wrong =
            |wrong| Problem::Expression { expression: format!("{{{{{text}}}}}"), wrong }.at(self.place);
        let pieces = pieces(text).ok_or_else(|| wrong("has a quote that is never closed"))?;
        let mut pieces = pieces.into_iter();
        let name = match pieces.next() {
            None => return Err(wrong("is empty")),
            Some(Piece { key: None, value, is_quoted: false }) => value,
            Some(_) => return Err(wrong("does not begin with a word")),
        };
        if name.starts_with(['#', '/', '^', '!', '>', '&', '~', '{']) || name == "else" {
            return Err(wrong(
                "is more of Handlebars than there is here: a word, or a date, is what can stand there",
            ));
        }
        if let Some((_, moment)) = DATES.into_iter().find(|(known, _)| *known == name) {
            return self.date(moment, text, pieces.collect());
        }
        let of_a_version = if knows == Knows::Version { OF_A_VERSION.as_slice() } else { &[] };
        let words = || EVERYWHERE.iter().chain(of_a_version);
        let Some((_, word)) = words().find(|(known, _)| *known == name) else {
            let names = words().map(|(name, _)| *name).chain(DATES.map(|(name, _)| name));
            return Err(Problem::unknown("expression", &name, &names.collect::<Vec<_>>()).at(self.place));
        };
        if pieces.next().is_some() {
            return Err(wrong("has more than a word"));
        }
        Ok(Part::Word(*word))
    }

    fn date(&mut self, moment: Moment, text: &str, pieces: Vec<Piece>) -> Result<Part, MetaError> {
        let wrong =
            |wrong| Problem::Expression { expression: format!("{{{{{text}}}}}"), wrong }.at(self.place);
        let mut format = None;
        let mut zone = None;
        let mut ignored = None;
        for piece in pieces {
            match (piece.key.as_deref(), piece.is_quoted) {
                (None, _) if format.is_some() || ignored.is_some() => return Err(wrong("has two formats")),
                (None, true) => format = Some(piece.value),
                (None, false) => ignored = Some(piece.value),
                (Some("tz"), _) if zone.is_some() => return Err(wrong("has two time zones")),
                (Some("tz"), true) => zone = Some(piece.value),
                (Some("tz"), false) => {
                    return Err(wrong("has a time zone without quotes, as in `tz='Asia/Tokyo'`"));
                }
                (Some(key), _) => {
                    return Err(Problem::unknown("attribute of a date", key, &["tz"]).at(self.place));
                }
            }
        }
        if let Some(ignored) = &ignored {
            self.remarks.push(format!(
                "{}: the format `{ignored}` has no quotes and is not used; write it as `'{ignored}'`",
                self.place
            ));
        } else if format.is_none() {
            return Err(wrong("has no format, as in `'YYYYMMDD'`"));
        }
        let zone = zone.map_or(Ok(TimeZone::UTC), |zone| self.zone(&zone))?;
        Ok(Part::Date(moment, format, zone))
    }

    fn zone(&self, name: &str) -> Result<TimeZone, MetaError> {
        // The database that is built in: an image from scratch has none, and what a machine has may differ.
        let database = TimeZoneDatabase::bundled();
        database.get(name).map_err(|_unknown| {
            let known = database.available().map(|name| name.as_str().to_owned()).collect();
            Problem::Unknown { what: "time zone", found: name.to_owned(), known }.at(self.place)
        })
    }
}

impl Template {
    /// Whether it asks for the default branch.
    pub(super) fn asks_for_default_branch(&self) -> bool {
        let asks = |part: &Part| matches!(part, Part::Word(Word::IsDefaultBranch | Word::IsNotDefaultBranch));
        self.parts.iter().any(asks)
    }

    /// Whether it asks for the date of the commit.
    pub(super) fn asks_for_commit_date(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Date(Moment::Commit, ..)))
    }

    /// Whether it is this one expression and nothing else.
    pub(super) fn is_only(&self, word: Word) -> bool {
        self.parts == [Part::Word(word)]
    }

    /// The text for this event.
    pub(super) fn fill(&self, facts: &Facts, version: &VersionParts) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Word(word) => out.push_str(&word.value(facts, version)),
                Part::Date(moment, format, zone) => {
                    let at = moment.of(facts).to_zoned(zone.clone());
                    let text = format.as_ref().map(|format| moment::format(format, &at));
                    out.push_str(&text.unwrap_or_else(|| moment::iso(&at)));
                }
            }
        }
        out
    }
}

impl Word {
    fn value(self, facts: &Facts, version: &VersionParts) -> String {
        let word = |yes: bool| if yes { "true" } else { "false" };
        match self {
            Self::Branch => facts.branch().unwrap_or_default(),
            Self::Tag => facts.tag().unwrap_or_default(),
            Self::Sha => facts.short_commit(),
            Self::BaseRef => &facts.base_ref,
            Self::IsDefaultBranch => word(facts.is_on_default_branch()),
            Self::IsNotDefaultBranch => word(!facts.is_on_default_branch()),
            Self::Raw => &version.raw,
            Self::Version => &version.version,
            Self::Major => &version.major,
            Self::Minor => &version.minor,
            Self::Patch => &version.patch,
        }
        .to_owned()
    }
}

impl Moment {
    fn of(self, facts: &Facts) -> Timestamp {
        match self {
            Self::Now => facts.now,
            Self::Commit => facts.committed.unwrap_or(facts.now),
        }
    }
}

/// A word of an expression: `branch`, `'YYYY'`, `tz='UTC'`.
struct Piece {
    key: Option<String>,
    value: String,
    is_quoted: bool,
}

/// The words of an expression; `None` when a quote is not closed.
fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '=')).unwrap_or(rest.len());
        let (key, behind) = match rest.split_at_checked(end) {
            Some((key, behind)) if behind.starts_with('=') && !key.is_empty() => {
                (Some(key.to_owned()), behind.trim_start_matches('='))
            }
            Some(_) | None => (None, rest),
        };
        let quote = behind.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let (value, after) = if let Some(quote) = quote {
            behind.get(1..)?.split_once(quote)?
        } else {
            behind.split_at_checked(behind.find(char::is_whitespace).unwrap_or(behind.len()))?
        };
        found.push(Piece { key, value: value.to_owned(), is_quoted: quote.is_some() });
        rest = after.trim_start();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::facts::About;

    fn facts() -> Facts {
        Facts {
            event: "push".to_owned(),
            git_ref: "refs/heads/a&b".to_owned(),
            commit: "860c1904a1ce19322e91ac35af1ab07466440c37".to_owned(),
            short: 7,
            base_ref: "main".to_owned(),
            committed: Some("2020-01-10T00:30:00Z".parse().unwrap()),
            now: "2026-05-06T07:08:09Z".parse().unwrap(),
            created: "2020-01-10T00:30:00Z".parse().unwrap(),
            about: About { default_branch: Some("a&b".to_owned()), ..About::default() },
        }
    }

    fn read(text: &str) -> (Result<Template, MetaError>, Vec<String>) {
        let place = Place::Line { input: "tags", line: 3 };
        let mut remarks = Vec::new();
        let template = Reader { place: &place, remarks: &mut remarks }.template(text, Knows::Version);
        (template, remarks)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let version = VersionParts { raw: "v1".to_owned(), major: "1".to_owned(), ..VersionParts::default() };
        assert_eq!(read(text).0.unwrap().fill(&facts(), &version), expected, "{text}");
    }

    #[test]
    fn an_expression_stands_for_its_value_as_it_is() {
        check("x-{{branch}}-{{ sha }}", "x-a&b-860c190");
        check("{{{branch}}}", "a&b");
        check("{{tag}}|{{base_ref}}|{{is_default_branch}}|{{is_not_default_branch}}", "|main|true|false");
        check("v{{major}}.{{minor}}", "v1.");
        check("no {expression} }} here", "no {expression} }} here");
        check(r"\{{branch}}", "{{branch}}");
        check("", "");
    }

    #[test]
    fn dates_are_of_now_or_of_the_commit_in_a_zone() {
        check("{{date 'YYYYMMDD'}}", "20260506");
        check("{{commit_date \"YYYY-MM-DD HH:mm\" tz=\"Asia/Tokyo\"}}", "2020-01-10 09:30");
        check("{{ date 'HH' tz='europe/berlin' }}", "09");
        check("{{date '[a b]'}}", "a b");
    }

    #[test]
    fn a_format_without_quotes_is_not_used_and_that_is_said() {
        check("{{commit_date YYYY-MM-DD}}", "2020-01-10T00:30:00Z");
        let remarks = read("{{commit_date YYYY-MM-DD}}").1;
        assert_eq!(
            remarks,
            [
                "line 3 of `tags`: the format `YYYY-MM-DD` has no quotes and is not used; write it as `'YYYY-MM-DD'`"
            ]
        );
    }

    #[test]
    fn what_is_unknown_or_broken_is_an_error_with_the_nearest_word() {
        use crate::hint::Hint as _;
        for (text, message, hint) in [
            ("{{brnch}}", "unknown expression `brnch`", Some("did you mean `branch`?")),
            (
                "{{date 'Y' tz='Asia/Tokio'}}",
                "unknown time zone `Asia/Tokio`",
                Some("did you mean `Asia/Tokyo`?"),
            ),
            ("{{date 'Y' zone='UTC'}}", "unknown attribute of a date `zone`", Some("it is one of `tz`")),
            (
                "{{date 'Y' tz=UTC}}",
                "`{{date 'Y' tz=UTC}}` has a time zone without quotes, as in `tz='Asia/Tokyo'`",
                None,
            ),
            ("{{date}}", "`{{date}}` has no format, as in `'YYYYMMDD'`", None),
            ("{{date 'Y}}", "`{{date 'Y}}` has a quote that is never closed", None),
            ("{{branch", "`{{branch` is never closed", None),
            ("{{raw }.", "`{{raw }.` is never closed", None),
            ("{{}}", "`{{}}` is empty", None),
            ("{{'x'}}", "`{{'x'}}` does not begin with a word", None),
            ("{{branch sha}}", "`{{branch sha}}` has more than a word", None),
            (
                "{{#if tag}}a{{/if}}",
                "`{{#if tag}}` is more of Handlebars than there is here: a word, or a date, is what can stand there",
                None,
            ),
        ] {
            let error = read(text).0.unwrap_err();
            assert_eq!(error.to_string(), format!("line 3 of `tags`: {message}"));
            assert_eq!(error.hint().as_deref(), hint, "{text}");
        }
    }

    #[test]
    fn parts_of_a_version_are_known_in_its_patterns_only() {
        let place = Place::Default;
        let mut remarks = Vec::new();
        let mut reader = Reader { place: &place, remarks: &mut remarks };
        assert!(reader.template("{{version}}", Knows::Event).is_err());
        assert!(reader.template("{{ raw }}", Knows::Version).unwrap().is_only(Word::Raw));
        assert!(!reader.template("{{raw}}.{{version}}", Knows::Version).unwrap().is_only(Word::Raw));
    }
}
