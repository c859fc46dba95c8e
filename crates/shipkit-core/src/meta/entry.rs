//! `Entry`: one line of the input `tags`: a type and its attributes.

use crate::explained::Place;

use super::attributes::Attributes;
use super::csv;
use super::error::{MetaError, Problem};
use super::expression::{Knows, Reader, Template};
use super::pattern::Pattern;

/// One rule for a tag.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// As it was written.
    pub(super) rule: String,
    pub(super) place: Place,
    pub(super) enable: Template,
    pub(super) priority: i64,
    /// In place of the flavor's, even if it is empty.
    pub(super) prefix: Option<Template>,
    pub(super) suffix: Option<Template>,
    pub(super) kind: Kind,
}

/// What makes the tag.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Schedule(Template),
    Semver(Template, Source),
    Pep440(Template, Source),
    /// A pattern, its group, and what it is tried on.
    Match(Pattern, usize, Option<Template>),
    /// The branch; without one the default branch.
    Edge(Option<String>),
    Ref(RefEvent),
    Raw(Template),
    Sha(Length),
}

/// Where a version comes from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// In place of the git tag.
    pub(super) value: Option<Template>,
    /// Its first group is the version.
    pub(super) part: Option<Pattern>,
}

/// Which kind of ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefEvent {
    Branch,
    Tag,
    PullRequest,
}

/// How much of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Short,
    Long,
}

/// A type: its name, how an error calls its attributes, its priority, and the attributes that only it has.
struct Type {
    name: &'static str,
    attribute: &'static str,
    priority: i64,
    own: &'static [&'static str],
}

const TYPES: [Type; 8] = [
    Type { name: "schedule", attribute: "attribute of type=schedule", priority: 1000, own: &["pattern"] },
    Type {
        name: "semver",
        attribute: "attribute of type=semver",
        priority: 900,
        own: &["pattern", "value", "match"],
    },
    Type {
        name: "pep440",
        attribute: "attribute of type=pep440",
        priority: 900,
        own: &["pattern", "value", "match"],
    },
    Type {
        name: "match",
        attribute: "attribute of type=match",
        priority: 800,
        own: &["pattern", "group", "value"],
    },
    Type { name: "edge", attribute: "attribute of type=edge", priority: 700, own: &["branch"] },
    Type { name: "ref", attribute: "attribute of type=ref", priority: 600, own: &["event"] },
    Type { name: "raw", attribute: "attribute of type=raw", priority: 200, own: &["value"] },
    Type { name: "sha", attribute: "attribute of type=sha", priority: 100, own: &["format"] },
];
const COMMON: [&str; 5] = ["type", "enable", "priority", "prefix", "suffix"];
const DEFAULT: &str = "type=schedule\ntype=ref,event=branch\ntype=ref,event=tag\ntype=ref,event=pr";

/// The entries, the ones with the highest priority first; without any those that hold by default.
///
/// # Errors
/// When an entry is no rule.
pub(super) fn entries(text: &str, remarks: &mut Vec<String>) -> Result<Vec<Entry>, MetaError> {
    let mut records = csv::entries("tags", text)?;
    if records.is_empty() {
        records = csv::entries("tags", DEFAULT)?;
        for record in &mut records {
            record.place = Place::Default;
        }
    }
    let mut entries = records.iter().map(|record| entry(record, remarks)).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.priority));
    Ok(entries)
}

fn entry(record: &csv::Record, remarks: &mut Vec<String>) -> Result<Entry, MetaError> {
    let place = &record.place;
    let mut attributes = Attributes::of(record)?;
    let name = attributes.take("type").unwrap_or_else(|| "raw".to_owned());
    let names = TYPES.map(|of| of.name);
    let of = TYPES.iter().find(|of| of.name == name);
    let of = of.ok_or_else(|| Problem::unknown("type", &name, &names).at(place))?;
    bare_word(&mut attributes, of, place)?;
    let mut reader = Reader { place, remarks };
    let mut template =
        |text: Option<String>| text.map(|text| reader.template(&text, Knows::Event)).transpose();
    let enable = template(Some(attributes.take("enable").unwrap_or_else(|| "true".to_owned())))?;
    let prefix = match (of.name, attributes.take("prefix")) {
        ("ref", None) => None,
        ("sha", None) => template(Some("sha-".to_owned()))?,
        (_, prefix) => template(prefix)?,
    };
    let suffix = template(attributes.take("suffix"))?;
    let priority = priority(attributes.take("priority"), of, place)?;
    let kind = kind(of.name, &mut attributes, &mut reader)?;
    let known: Vec<_> = COMMON.iter().chain(of.own).copied().collect();
    attributes.finish(of.attribute, &known)?;
    let prefix = match (&kind, prefix) {
        (Kind::Ref(RefEvent::PullRequest), None) => Some(reader.template("pr-", Knows::Event)?),
        (_, prefix) => prefix,
    };
    let rule = record.joined();
    Ok(Entry {
        rule,
        place: place.clone(),
        enable: enable.unwrap_or_default(),
        priority,
        prefix,
        suffix,
        kind,
    })
}

/// A word without a key is the value, where there can be one. Nothing at all is a value too: an expression of the
/// workflow that came out empty.
fn bare_word(attributes: &mut Attributes, of: &Type, place: &Place) -> Result<(), MetaError> {
    let words = std::mem::take(&mut attributes.bare);
    let mut given: Vec<_> = words.iter().filter(|word| !word.is_empty()).collect();
    let known: Vec<_> = COMMON.iter().chain(of.own).copied().collect();
    match (given.pop(), given.pop()) {
        (Some(_), Some(_)) => Err(Problem::Twice("value".to_owned()).at(place)),
        (Some(word), None) if of.own.contains(&"value") => attributes.add("value", word.clone(), place),
        (Some(word), None) => Err(Problem::unknown(of.attribute, word, &known).at(place)),
        (None, _) if of.name == "raw" && !words.is_empty() && !attributes.has("value") => {
            attributes.add("value", String::new(), place)
        }
        (None, _) => Ok(()),
    }
}

fn priority(text: Option<String>, of: &Type, place: &Place) -> Result<i64, MetaError> {
    let Some(text) = text else { return Ok(of.priority) };
    text.parse().map_err(|_not_a_number| {
        Problem::Value { name: "priority", found: text, wanted: "a whole number" }.at(place)
    })
}

fn kind(name: &str, attributes: &mut Attributes, reader: &mut Reader<'_>) -> Result<Kind, MetaError> {
    let place = reader.place;
    let missing = |attribute, of| Problem::Missing { attribute, of }.at(place);
    match name {
        "schedule" => {
            let pattern = attributes.take("pattern").unwrap_or_else(|| "nightly".to_owned());
            reader.template(&pattern, Knows::Event).map(Kind::Schedule)
        }
        "semver" | "pep440" => {
            let of = if name == "semver" { "type=semver" } else { "type=pep440" };
            let pattern = attributes.take("pattern").ok_or_else(|| missing("pattern", of))?;
            let pattern = reader.template(&pattern, Knows::Version)?;
            let source = source(attributes, reader)?;
            Ok(if name == "semver" { Kind::Semver(pattern, source) } else { Kind::Pep440(pattern, source) })
        }
        "match" => {
            let pattern = attributes.take("pattern").ok_or_else(|| missing("pattern", "type=match"))?;
            let pattern = Pattern::with_flags(&pattern).map_err(|problem| problem.at(place))?;
            let group = attributes.take("group").filter(|group| !group.is_empty());
            let group = group.unwrap_or_else(|| "0".to_owned());
            let group = group.parse().map_err(|_not_a_number| {
                Problem::Value { name: "group", found: group, wanted: "the number of a group" }.at(place)
            })?;
            Ok(Kind::Match(pattern, group, value(attributes, reader)?))
        }
        "edge" => Ok(Kind::Edge(attributes.take("branch").filter(|branch| !branch.is_empty()))),
        "ref" => {
            let event = attributes.take("event").ok_or_else(|| missing("event", "type=ref"))?;
            ref_event(&event, place).map(Kind::Ref)
        }
        "sha" => match attributes.take("format").as_deref() {
            None | Some("short") => Ok(Kind::Sha(Length::Short)),
            Some("long") => Ok(Kind::Sha(Length::Long)),
            Some(other) => Err(Problem::unknown("format", other, &["short", "long"]).at(place)),
        },
        // `raw`, the only one that is left.
        _ => {
            let value = attributes.take("value").ok_or_else(|| missing("value", "type=raw"))?;
            reader.template(&value, Knows::Event).map(Kind::Raw)
        }
    }
}

fn ref_event(text: &str, place: &Place) -> Result<RefEvent, MetaError> {
    match text {
        "branch" => Ok(RefEvent::Branch),
        "tag" => Ok(RefEvent::Tag),
        "pr" => Ok(RefEvent::PullRequest),
        other => Err(Problem::unknown("event", other, &["branch", "tag", "pr"]).at(place)),
    }
}

fn source(attributes: &mut Attributes, reader: &mut Reader<'_>) -> Result<Source, MetaError> {
    let value = value(attributes, reader)?;
    let Some(text) = attributes.take("match").filter(|text| !text.is_empty()) else {
        return Ok(Source { value, part: None });
    };
    let part = Pattern::plain(&text).map_err(|problem| problem.at(reader.place))?;
    if !part.has_group(1) {
        let wrong = "has no group: put what is the version into `( )`".to_owned();
        return Err(Problem::Pattern { pattern: text, wrong }.at(reader.place));
    }
    Ok(Source { value, part: Some(part) })
}

fn value(attributes: &mut Attributes, reader: &mut Reader<'_>) -> Result<Option<Template>, MetaError> {
    let text = attributes.take("value").filter(|text| !text.is_empty());
    text.map(|text| reader.template(&text, Knows::Event)).transpose()
}

impl Entry {
    /// Every text of it that may hold expressions.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let own = match &self.kind {
            Kind::Schedule(text) | Kind::Raw(text) => [Some(text), None],
            Kind::Semver(pattern, source) | Kind::Pep440(pattern, source) => {
                [Some(pattern), source.value.as_ref()]
            }
            Kind::Match(_, _, value) => [value.as_ref(), None],
            Kind::Edge(_) | Kind::Ref(_) | Kind::Sha(_) => [None, None],
        };
        self.prefix.iter().chain(&self.suffix).chain([&self.enable]).chain(own.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::Hint as _;

    fn read(text: &str) -> Result<Vec<Entry>, MetaError> {
        entries(text, &mut Vec::new())
    }

    #[test]
    fn the_highest_priority_comes_first_and_equals_stay_in_order() {
        let text = "type=ref,event=branch\ntype=sha\nfoo\ntype=edge\ntype=semver,pattern={{version}}\nbar\n\
                    type=schedule\ntype=raw,baz,priority=-1\ntype=match,pattern=a";
        let order: Vec<_> =
            read(text).unwrap().into_iter().map(|entry| (entry.priority, entry.rule)).collect();
        let expected = [
            (1000, "type=schedule"),
            (900, "type=semver,pattern={{version}}"),
            (800, "type=match,pattern=a"),
            (700, "type=edge"),
            (600, "type=ref,event=branch"),
            (200, "foo"),
            (200, "bar"),
            (100, "type=sha"),
            (-1, "type=raw,baz,priority=-1"),
        ];
        assert_eq!(order, expected.map(|(priority, rule)| (priority, rule.to_owned())));
    }

    #[test]
    fn without_entries_there_are_four() {
        let rules: Vec<_> = read("\n# none\n").unwrap().into_iter().map(|entry| entry.rule).collect();
        assert_eq!(
            rules,
            ["type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr"]
        );
    }

    #[test]
    fn an_empty_value_is_a_value_and_none_is_not() {
        for fine in ["type=raw,", "type=raw,value=", "value=", "type=sha,", "type=raw,a,enable=true,"] {
            assert!(read(fine).is_ok(), "{fine}");
        }
        assert_eq!(
            read("type=raw").unwrap_err().to_string(),
            "line 1 of `tags`: `type=raw` needs the attribute `value`"
        );
    }

    #[test]
    fn what_is_no_rule_is_an_error_with_its_line_and_a_hint() {
        for (text, message, hint) in [
            ("a\ntype=semvr", "line 2 of `tags`: unknown type `semvr`", Some("did you mean `semver`?")),
            ("type=Raw,value=a", "line 1 of `tags`: unknown type `Raw`", Some("did you mean `raw`?")),
            (
                "type=sha,fromat=long",
                "line 1 of `tags`: unknown attribute of type=sha `fromat`",
                Some("did you mean `format`?"),
            ),
            (
                "type=sha,long",
                "line 1 of `tags`: unknown attribute of type=sha `long`",
                Some("it is one of `type`, `enable`, `priority`, `prefix`, `suffix`, `format`"),
            ),
            ("type=sha,format=lng", "line 1 of `tags`: unknown format `lng`", Some("did you mean `long`?")),
            (
                "type=ref,event=brnch",
                "line 1 of `tags`: unknown event `brnch`",
                Some("did you mean `branch`?"),
            ),
            ("type=ref", "line 1 of `tags`: `type=ref` needs the attribute `event`", None),
            ("type=semver", "line 1 of `tags`: `type=semver` needs the attribute `pattern`", None),
            ("type=pep440", "line 1 of `tags`: `type=pep440` needs the attribute `pattern`", None),
            ("type=match", "line 1 of `tags`: `type=match` needs the attribute `pattern`", None),
            (
                "type=match,pattern=a,group=foo",
                "line 1 of `tags`: `group` is `foo`, and not the number of a group",
                None,
            ),
            ("a,priority=high", "line 1 of `tags`: `priority` is `high`, and not a whole number", None),
            ("type=raw,a,b", "line 1 of `tags`: `value` is given twice", None),
            ("value=a,value=b", "line 1 of `tags`: `value` is given twice", None),
            ("a,value=b", "line 1 of `tags`: `value` is given twice", None),
            (
                "type=semver,pattern={{version}},match=v.*",
                "line 1 of `tags`: the pattern `v.*` has no group: put what is the version into `( )`",
                None,
            ),
            (
                "type=semver,pattern={{versoin}}",
                "line 1 of `tags`: unknown expression `versoin`",
                Some("did you mean `version`?"),
            ),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.hint().as_deref(), hint, "{text}");
        }
    }
}
