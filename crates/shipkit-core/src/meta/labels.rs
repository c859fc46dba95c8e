//! Labels and annotations: what the image says about itself.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::explained::Place;
use crate::reference::Tag;

use super::csv;
use super::error::{MetaError, Problem};
use super::expression::{Knows, Reader, Template, VersionParts};
use super::facts::Facts;
use super::moment;

/// What the user adds: each with its place.
pub(super) type Extra = Vec<(Place, Template)>;

/// Reads the input `labels` or `annotations`.
///
/// # Errors
/// When a quote is not closed or an expression is unknown.
pub(super) fn extra(input: &'static str, text: &str, remarks: &mut Vec<String>) -> Result<Extra, MetaError> {
    let mut found = Vec::new();
    for record in csv::records(input, text)? {
        let place = record.place.clone();
        let template = Reader { place: &place, remarks }.template(&record.joined(), Knows::Event)?;
        found.push((place, template));
    }
    Ok(found)
}

/// The keys that OCI names, as far as they are known, and what the user adds or replaces.
pub(super) fn labels(
    version: Option<&Tag>,
    facts: &Facts,
    extra: &[(Place, Template)],
    remarks: &mut Vec<String>,
) -> Vec<(String, String)> {
    let known = |text: &Option<String>| text.clone().unwrap_or_default();
    let created =
        moment::format("YYYY-MM-DDTHH:mm:ss.SSS[Z]", &facts.created.to_zoned(jiff::tz::TimeZone::UTC));
    let url = known(&facts.about.url);
    let mut all: BTreeMap<String, String> = [
        ("title", known(&facts.about.title)),
        ("description", known(&facts.about.description)),
        ("url", url.clone()),
        ("source", url),
        ("version", version.map(ToString::to_string).unwrap_or_default()),
        ("created", created),
        ("revision", facts.commit.clone()),
        ("licenses", known(&facts.about.license)),
    ]
    .into_iter()
    .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value))
    .collect();
    for (place, template) in extra {
        let text = template.fill(facts, &VersionParts::default());
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                all.insert(key.to_owned(), value.to_owned());
            }
            Some(_) | None => remarks.push(format!("{place}: `{text}` is no `key=value` and is left out")),
        }
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by(|a, b| as_people_sort(&a.0, &b.0));
    all
}

/// The levels of annotations: `manifest`, `index`, and both with `-descriptor`, each with `[platform]` if it must be.
///
/// # Errors
/// When one is unknown.
pub(super) fn levels(text: &str) -> Result<Vec<String>, MetaError> {
    const KNOWN: [&str; 4] = ["manifest", "index", "manifest-descriptor", "index-descriptor"];
    let mut found: Vec<String> = Vec::new();
    for level in split_outside_brackets(text) {
        let level = level.trim();
        let (name, platform) = level.split_once('[').map_or((level, None), |(name, rest)| (name, Some(rest)));
        if !KNOWN.contains(&name) || platform.is_some_and(|platform| !platform.ends_with(']')) {
            let place = Place::Key("DOCKER_METADATA_ANNOTATIONS_LEVELS".to_owned());
            return Err(Problem::unknown("level", level, &KNOWN).at(&place));
        }
        if !found.iter().any(|known| known == level) {
            found.push(level.to_owned());
        }
    }
    Ok(found)
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut is_inside = false;
    text.split(|c| {
        is_inside = (is_inside || c == '[') && c != ']';
        c == ',' && !is_inside
    })
    .collect()
}

/// The order in which dictionaries and Unicode sort: punctuation, digits, letters, and a letter's case only where
/// nothing else differs.
fn as_people_sort(a: &str, b: &str) -> Ordering {
    const PUNCTUATION: &str = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";
    let rank = |c: char| {
        let at = PUNCTUATION.find(c).map_or(PUNCTUATION.len(), |at| at);
        (at, c.to_lowercase().next().unwrap_or(c))
    };
    let case = |c: char| (c.is_uppercase(), c);
    a.chars().map(rank).cmp(b.chars().map(rank)).then_with(|| a.chars().map(case).cmp(b.chars().map(case)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_as_in_a_dictionary() {
        let mut keys = ["maintainer", "a.b", "B", "a-b", "b", "a_b", "org.x", "a1", "ab", "a"];
        keys.sort_by(|a, b| as_people_sort(a, b));
        assert_eq!(keys, ["a", "a_b", "a-b", "a.b", "a1", "ab", "b", "B", "maintainer", "org.x"]);
    }

    #[test]
    fn levels_are_those_of_buildkit_each_once() {
        let text = "manifest, index,manifest,index-descriptor[linux/amd64,linux/arm64]";
        assert_eq!(levels(text).unwrap(), ["manifest", "index", "index-descriptor[linux/amd64,linux/arm64]"]);
        for wrong in ["manifst", "", "manifest[linux", "manifest,,index"] {
            assert!(levels(wrong).is_err(), "{wrong}");
        }
    }
}
