//! `Flavor`: what holds for all tags of a run.

use crate::explained::Place;

use super::attributes::{flag, pair};
use super::csv;
use super::error::{MetaError, Problem};
use super::expression::{Knows, Reader, Template};

/// Prefix, suffix, and who is `latest`.
#[derive(Debug, Clone)]
pub(super) struct Flavor {
    pub(super) latest: Latest,
    pub(super) prefix: Affix,
    pub(super) suffix: Affix,
}

/// Whether there is a tag `latest`, and where that is said.
#[derive(Debug, Clone)]
pub(super) struct Latest {
    pub(super) wanted: Wanted,
    pub(super) place: Place,
}

/// Whether there is a tag `latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// If the first tag names a release.
    Auto,
    /// Beside every tag.
    Always,
    /// Never.
    Never,
}

/// A prefix or a suffix.
#[derive(Debug, Clone, Default)]
pub(super) struct Affix {
    pub(super) text: Template,
    /// Whether `latest` gets it too.
    pub(super) is_on_latest: bool,
}

impl Flavor {
    /// Reads the input.
    ///
    /// # Errors
    /// When an entry is unknown or has a value that it cannot have.
    pub(super) fn read(text: &str, remarks: &mut Vec<String>) -> Result<Self, MetaError> {
        let latest = Latest { wanted: Wanted::Auto, place: Place::Default };
        let mut flavor = Self { latest, prefix: Affix::default(), suffix: Affix::default() };
        for record in csv::entries("flavor", text)? {
            let place = &record.place;
            let mut before: Option<String> = None;
            for field in record.fields.iter().filter(|field| !field.text.trim().is_empty()) {
                let no_equals = || Problem::NoEquals(field.text.trim().to_owned()).at(place);
                let (key, value) = pair(&field.text).ok_or_else(no_equals)?;
                let mut template = |text: &str| Reader { place, remarks }.template(text, Knows::Event);
                match key.as_str() {
                    "latest" => {
                        flavor.latest = Latest { wanted: wanted(&value, place)?, place: place.clone() }
                    }
                    "prefix" => flavor.prefix = Affix { text: template(&value)?, is_on_latest: false },
                    "suffix" => flavor.suffix = Affix { text: template(&value)?, is_on_latest: false },
                    "onlatest" => {
                        let is_on_latest = flag("onlatest", &value, place)?;
                        match before.as_deref() {
                            Some("prefix") => flavor.prefix.is_on_latest = is_on_latest,
                            Some("suffix") => flavor.suffix.is_on_latest = is_on_latest,
                            Some(_) | None => return Err(Problem::OnLatest.at(place)),
                        }
                    }
                    other => {
                        let known = ["latest", "prefix", "suffix", "onlatest"];
                        return Err(Problem::unknown("flavor", other, &known).at(place));
                    }
                }
                before = Some(key);
            }
        }
        Ok(flavor)
    }
}

fn wanted(text: &str, place: &Place) -> Result<Wanted, MetaError> {
    match text {
        "auto" => Ok(Wanted::Auto),
        "true" => Ok(Wanted::Always),
        "false" => Ok(Wanted::Never),
        other => {
            let wanted = "`auto`, `true` or `false`";
            Err(Problem::Value { name: "latest", found: other.to_owned(), wanted }.at(place))
        }
    }
}

impl Wanted {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "true",
            Self::Never => "false",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Flavor, MetaError> {
        Flavor::read(text, &mut Vec::new())
    }

    #[test]
    fn onlatest_belongs_to_what_stands_before_it() {
        let flavor = read("prefix=a-,onlatest=true\nsuffix=-b\nlatest=false").unwrap();
        assert!(flavor.prefix.is_on_latest && !flavor.suffix.is_on_latest);
        assert_eq!(flavor.latest.wanted, Wanted::Never);
        assert_eq!(flavor.latest.place, Place::Line { input: "flavor", line: 3 });
        let flavor = read("prefix=a-\nsuffix=-b,onlatest=true").unwrap();
        assert!(!flavor.prefix.is_on_latest && flavor.suffix.is_on_latest);
        assert_eq!(read("").unwrap().latest.wanted, Wanted::Auto);
    }

    #[test]
    fn what_is_no_flavor_is_an_error_at_its_line() {
        for (text, message) in [
            ("randomstr", "line 1 of `flavor`: `randomstr` has no `=`"),
            ("\nlates=true", "line 2 of `flavor`: unknown flavor `lates`"),
            ("latest=foo", "line 1 of `flavor`: `latest` is `foo`, and not `auto`, `true` or `false`"),
            (
                "onlatest=true",
                "line 1 of `flavor`: `onlatest` stands before the `prefix` or `suffix` that it is about",
            ),
            ("prefix=a,onlatest=yes", "line 1 of `flavor`: `onlatest` is `yes`, and not `true` or `false`"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), message);
        }
    }
}
