//! What the entries make of an event: tags, and why.

use crate::explained::{Explained, Place};
use crate::reference::Tag;

use super::attributes::flag;
use super::entry::{Entry, Kind, Length, RefEvent, Source};
use super::error::{MetaError, Problem};
use super::expression::{Template, VersionParts, Word};
use super::facts::Facts;
use super::flavor::{Flavor, Wanted};
use super::pattern::Pattern;
use super::pep440::Pep440;

/// The tags, in their order, and why.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// The first is the version; `latest` is the last.
    pub(super) names: Vec<Tag>,
    pub(super) explained: Vec<Explained>,
    pub(super) remarks: Vec<String>,
    /// The rule that gave the first tag, and whether that names a release.
    first: Option<(Place, bool)>,
}

/// What an entry comes to.
enum Made {
    Value {
        value: String,
        /// Whether `latest=auto` follows from it.
        is_release: bool,
        because: String,
    },
    Nothing(String),
}

/// Applies every entry, then `latest`.
///
/// # Errors
/// When an entry gives what cannot be a tag.
pub(super) fn tags(entries: &[Entry], flavor: &Flavor, facts: &Facts) -> Result<Tags, MetaError> {
    let mut tags = Tags::default();
    for entry in entries {
        tags.apply(entry, flavor, facts)?;
    }
    tags.latest(flavor, facts)?;
    Ok(tags)
}

impl Tags {
    fn apply(&mut self, entry: &Entry, flavor: &Flavor, facts: &Facts) -> Result<(), MetaError> {
        let no_version = VersionParts::default();
        let enable = entry.enable.fill(facts, &no_version);
        let made = if flag("enable", &enable, &entry.place)? {
            make(&entry.kind, facts).map_err(|problem| problem.at(&entry.place))?
        } else {
            Made::Nothing("`enable` is `false`".to_owned())
        };
        let (tags, because) = match made {
            Made::Nothing(because) => (Vec::new(), because),
            Made::Value { value, is_release, because } => {
                let fill = |template: &Template| template.fill(facts, &no_version);
                let own = |affix: &Option<Template>| affix.as_ref().map(fill);
                // An empty value is one that a workflow left out: a flavor alone makes no tag of it.
                let (flavored_prefix, flavored_suffix) = if value.is_empty() {
                    (String::new(), String::new())
                } else {
                    (fill(&flavor.prefix.text), fill(&flavor.suffix.text))
                };
                let prefix = own(&entry.prefix).unwrap_or(flavored_prefix);
                let suffix = own(&entry.suffix).unwrap_or(flavored_suffix);
                self.add(&format!("{prefix}{value}{suffix}"), &entry.place, is_release, because)?
            }
        };
        self.explained.push(Explained {
            rule: entry.rule.clone(),
            place: entry.place.clone(),
            tags,
            because,
        });
        Ok(())
    }

    /// Adds a tag, unless it is empty or there already.
    fn add(
        &mut self,
        text: &str,
        place: &Place,
        is_release: bool,
        because: String,
    ) -> Result<(Vec<Tag>, String), MetaError> {
        if text.is_empty() {
            return Ok((Vec::new(), "its value is empty".to_owned()));
        }
        let tag = self.tag(text, place)?;
        if self.first.is_none() {
            self.first = Some((place.clone(), is_release));
        }
        if self.names.contains(&tag) {
            return Ok((Vec::new(), format!("it gives `{tag}`, which is there already")));
        }
        self.names.push(tag.clone());
        Ok((vec![tag], because))
    }

    /// The text as a tag: every run of characters that a tag cannot hold is one `-`, and what cannot begin a tag is
    /// left out.
    fn tag(&mut self, text: &str, place: &Place) -> Result<Tag, MetaError> {
        let mut clean = String::with_capacity(text.len());
        let mut is_run = false;
        for c in text.chars() {
            let fits = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if fits {
                clean.push(c);
            } else if !is_run {
                clean.push('-');
            }
            is_run = !fits;
        }
        let start = clean.trim_start_matches(['.', '-']);
        if start.len() < clean.len() {
            self.remarks.push(format!("{place}: a tag cannot begin like `{clean}`, so it is `{start}`"));
        }
        start.parse().map_err(|_unfit| {
            let problem = if start.is_empty() {
                Problem::Nothing(text.to_owned())
            } else {
                Problem::TooLong { tag: start.to_owned(), length: start.len() }
            };
            problem.at(place)
        })
    }

    fn latest(&mut self, flavor: &Flavor, facts: &Facts) -> Result<(), MetaError> {
        let wanted = flavor.latest.wanted;
        let (is_wanted, because) = match (wanted, &self.first) {
            (_, None) => (false, "there is no tag beside which it could stand".to_owned()),
            (Wanted::Always, Some(_)) => (true, "it is wanted beside every tag".to_owned()),
            (Wanted::Never, Some(_)) => (false, "it is not wanted".to_owned()),
            (Wanted::Auto, Some((place, true))) => {
                (true, format!("the first tag, {}, names a release", by(place)))
            }
            (Wanted::Auto, Some((place, false))) => {
                (false, format!("the first tag, {}, names no release", by(place)))
            }
        };
        let mut explained = Explained {
            rule: format!("latest={}", wanted.word()),
            place: flavor.latest.place.clone(),
            tags: Vec::new(),
            because,
        };
        if is_wanted {
            let fill = |is_on_latest, template: &Template| {
                if is_on_latest { template.fill(facts, &VersionParts::default()) } else { String::new() }
            };
            let prefix = fill(flavor.prefix.is_on_latest, &flavor.prefix.text);
            let suffix = fill(flavor.suffix.is_on_latest, &flavor.suffix.text);
            let place = flavor.latest.place.clone();
            (explained.tags, explained.because) =
                self.add(&format!("{prefix}latest{suffix}"), &place, true, explained.because)?;
        }
        self.explained.push(explained);
        Ok(())
    }
}

/// Which rule, for a sentence.
fn by(place: &Place) -> String {
    match place {
        Place::Default => "of a default rule".to_owned(),
        Place::Line { .. } | Place::Key(_) => format!("of {place}"),
    }
}

fn make(kind: &Kind, facts: &Facts) -> Result<Made, Problem> {
    let fill = |template: &Template| template.fill(facts, &VersionParts::default());
    let plain = |value: String, because: String| Made::Value { value, is_release: false, because };
    Ok(match kind {
        Kind::Schedule(pattern) if facts.event.contains("schedule") => {
            plain(fill(pattern), "the event is a schedule".to_owned())
        }
        Kind::Schedule(_) => Made::Nothing(format!("{} is no schedule", event(facts))),
        Kind::Semver(pattern, source) => semver(pattern, source, facts)?,
        Kind::Pep440(pattern, source) => pep440(pattern, source, facts)?,
        Kind::Match(pattern, group, value) => matching(pattern, *group, value.as_ref(), facts)?,
        Kind::Edge(branch) => edge(branch.as_deref(), facts),
        Kind::Ref(event) => of_ref(*event, facts),
        Kind::Raw(value) => plain(fill(value), "it is asked for".to_owned()),
        Kind::Sha(_) if facts.commit.is_empty() => Made::Nothing("no commit is known".to_owned()),
        Kind::Sha(Length::Short) => {
            plain(facts.short_commit().to_owned(), format!("the commit is `{}`", facts.commit))
        }
        Kind::Sha(Length::Long) => plain(facts.commit.clone(), format!("the commit is `{}`", facts.commit)),
    })
}

fn event(facts: &Facts) -> String {
    if facts.event.is_empty() { "this".to_owned() } else { format!("the event `{}`", facts.event) }
}

/// The ref, for a sentence.
fn the_ref(facts: &Facts) -> String {
    if facts.git_ref.is_empty() { "no ref is known".to_owned() } else { format!("`{}`", facts.git_ref) }
}

fn edge(branch: Option<&str>, facts: &Facts) -> Made {
    let Some(on) = facts.branch() else { return Made::Nothing(format!("{} is no branch", the_ref(facts))) };
    let Some(wanted) = branch.or(facts.about.default_branch.as_deref()) else {
        return Made::Nothing("the default branch is not known".to_owned());
    };
    if on == wanted {
        let because = format!("the branch is `{on}`");
        Made::Value { value: "edge".to_owned(), is_release: false, because }
    } else {
        Made::Nothing(format!("the branch is `{on}`, and not `{wanted}`"))
    }
}

fn of_ref(event: RefEvent, facts: &Facts) -> Made {
    let (name, what) = match event {
        RefEvent::Branch => (facts.branch(), "branch"),
        RefEvent::Tag => (facts.tag(), "tag"),
        RefEvent::PullRequest => (facts.pull_request(), "pull request"),
    };
    match name {
        Some(name) => Made::Value {
            value: name.to_owned(),
            is_release: event == RefEvent::Tag,
            because: format!("the ref is the {what} `{name}`"),
        },
        None => Made::Nothing(format!("{} is no {what}", the_ref(facts))),
    }
}

/// What a version or a pattern is looked for in: the value that is given, else the git tag.
fn looked_in(value: Option<&Template>, facts: &Facts) -> Result<String, Made> {
    match (value, facts.tag()) {
        (Some(value), _) => Ok(value.fill(facts, &VersionParts::default())),
        (None, Some(tag)) => Ok(tag.to_owned()),
        (None, None) => Err(Made::Nothing(format!("{} is no tag, and there is no `value`", the_ref(facts)))),
    }
}

fn matching(
    pattern: &Pattern,
    group: usize,
    value: Option<&Template>,
    facts: &Facts,
) -> Result<Made, Problem> {
    let name = match looked_in(value, facts) {
        Ok(name) => name,
        Err(nothing) => return Ok(nothing),
    };
    let text = pattern.text();
    Ok(match pattern.group(&name, group)? {
        Some(Some(value)) => {
            Made::Value { value, is_release: true, because: format!("`{text}` matches `{name}`") }
        }
        Some(None) => Made::Nothing(format!("`{text}` matches `{name}` without a group {group}")),
        None => Made::Nothing(format!("`{text}` does not match `{name}`")),
    })
}

/// The text that should be a version.
fn candidate(source: &Source, facts: &Facts) -> Result<Result<String, Made>, Problem> {
    let name = match looked_in(source.value.as_ref(), facts) {
        Ok(name) => name,
        Err(nothing) => return Ok(Err(nothing)),
    };
    // What the pattern does not match is tried whole.
    let part = match &source.part {
        Some(pattern) => pattern.group(&name, 1)?.map_or(Some(name.clone()), |group| group),
        None => Some(name.clone()),
    };
    Ok(part
        .map(|part| part.replace('/', "-"))
        .ok_or_else(|| Made::Nothing(format!("the pattern finds no version in `{name}`"))))
}

fn semver(pattern: &Template, source: &Source, facts: &Facts) -> Result<Made, Problem> {
    let raw = match candidate(source, facts)? {
        Ok(raw) => raw,
        Err(nothing) => return Ok(nothing),
    };
    let trimmed = raw.trim();
    let Ok(version) = semver::Version::parse(trimmed.strip_prefix('v').unwrap_or(trimmed)) else {
        return Ok(Made::Nothing(format!("`{raw}` is no semantic version")));
    };
    let is_final = version.pre.is_empty();
    let dash = if is_final { "" } else { "-" };
    let parts = VersionParts {
        raw,
        version: format!("{}.{}.{}{dash}{}", version.major, version.minor, version.patch, version.pre),
        major: version.major.to_string(),
        minor: version.minor.to_string(),
        patch: version.patch.to_string(),
    };
    Ok(versioned(pattern, parts, is_final, facts))
}

fn pep440(pattern: &Template, source: &Source, facts: &Facts) -> Result<Made, Problem> {
    let raw = match candidate(source, facts)? {
        Ok(raw) => raw,
        Err(nothing) => return Ok(nothing),
    };
    let Some(version) = Pep440::parse(&raw) else {
        return Ok(Made::Nothing(format!("`{raw}` is no version by PEP 440")));
    };
    let parts = VersionParts {
        raw,
        version: version.to_string(),
        major: version.part(0).to_owned(),
        minor: version.part(1).to_owned(),
        patch: version.part(2).to_owned(),
    };
    Ok(versioned(pattern, parts, version.is_final(), facts))
}

/// A version in its pattern. One that is not final is a tag as a whole only: what moves with `1.2` must be a release.
fn versioned(pattern: &Template, parts: VersionParts, is_final: bool, facts: &Facts) -> Made {
    if is_final {
        let because = format!("`{}` is the version {}", parts.raw, parts.version);
        return Made::Value { value: pattern.fill(facts, &parts), is_release: true, because };
    }
    let because = format!("`{}` is not a final release, so only the whole of it is a tag", parts.raw);
    let value = if pattern.is_only(Word::Raw) { parts.raw } else { parts.version };
    Made::Value { value, is_release: false, because }
}
