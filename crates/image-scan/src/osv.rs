//! `Record`: an advisory in the format of OSV, of both generations: `CVE-...` with entries of several ecosystems, and `DEBIAN-CVE-...`
//! with the CVE in `upstream`. What cannot be used is left out here, and not an error: records are written by others.

mod finding;
mod standing;
mod title;

use std::borrow::Cow;

pub use finding::{Finding, findings};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
pub(crate) use standing::normal;
pub use standing::{Doubt, Fix, Package, Standing};

/// An advisory. Only what decides is read; references are not, and of the details only a title where there is no summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// `CVE-2026-1234`, `DEBIAN-CVE-2026-1234`, `GHSA-...`, `MAL-...`.
    pub id: String,
    /// When it was last changed; `0001-01-01T00:00:00Z` where nobody has said.
    #[serde(default, deserialize_with = "or_default")]
    pub modified: String,
    /// When it was published.
    #[serde(default, deserialize_with = "or_default")]
    pub published: Option<String>,
    /// When it was taken back. Such a record says nothing about any package.
    #[serde(default, deserialize_with = "or_default")]
    pub withdrawn: Option<String>,
    /// One line about it; the first sentence of the details where the source has none.
    #[serde(default, deserialize_with = "or_default")]
    pub summary: Option<String>,
    /// Other names of the same vulnerability.
    #[serde(default, deserialize_with = "or_default")]
    pub aliases: Vec<String>,
    /// The vulnerabilities that this advisory of a distribution is about.
    #[serde(default, deserialize_with = "or_default")]
    pub upstream: Vec<String>,
    /// What is near to it; in the older generation also the vulnerabilities that a security advisory of Debian is about.
    #[serde(default, deserialize_with = "or_default")]
    pub related: Vec<String>,
    /// How bad it is.
    #[serde(default, deserialize_with = "or_default")]
    pub severity: Vec<Score>,
    /// The packages it is in.
    #[serde(default, deserialize_with = "or_default")]
    pub affected: Vec<Affected<'static>>,
    /// Whatever its source adds.
    #[serde(default, deserialize_with = "or_default")]
    pub database_specific: Specific<'static>,
}

/// How bad, by one method.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Score {
    /// `CVSS_V2`, `CVSS_V3`, `CVSS_V4`, or another.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub method: String,
    /// The vector.
    #[serde(default, deserialize_with = "or_default")]
    pub score: String,
}

/// One package, and which of its versions have it. What is only compared borrows its texts; records own them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Affected<'text> {
    /// Empty where only commits are listed.
    #[serde(default, deserialize_with = "or_default")]
    pub package: Named,
    /// Ranges of versions.
    #[serde(default, deserialize_with = "or_default")]
    pub ranges: Vec<Range<'text>>,
    /// Single versions.
    #[serde(default, deserialize_with = "or_default")]
    pub versions: Vec<Cow<'text, str>>,
    /// How bad it is in this package.
    #[serde(default, deserialize_with = "or_default")]
    pub severity: Vec<Score>,
    /// Whatever the ecosystem adds: the urgency, with Debian.
    #[serde(default, deserialize_with = "or_default")]
    pub ecosystem_specific: Specific<'text>,
}

/// A package by ecosystem and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// `Debian:12`, `npm`.
    #[serde(default, deserialize_with = "or_default")]
    pub ecosystem: String,
    /// With distributions that of the source package.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
}

/// What changed when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Range<'text> {
    /// `ECOSYSTEM`, `SEMVER`, or `GIT`, which is about commits and not about versions.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub kind: Cow<'text, str>,
    /// In the order in which the record has them.
    #[serde(default, deserialize_with = "or_default")]
    pub events: Vec<Event<'text>>,
}

/// One change; one of them is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Event<'text> {
    /// The first version with it; `0` is before all versions.
    #[serde(default, deserialize_with = "or_default")]
    pub introduced: Option<Cow<'text, str>>,
    /// The first version without it.
    #[serde(default, deserialize_with = "or_default")]
    pub fixed: Option<Cow<'text, str>>,
    /// The last version with it.
    #[serde(default, deserialize_with = "or_default")]
    pub last_affected: Option<Cow<'text, str>>,
    /// The range says nothing about this version and later ones.
    #[serde(default, deserialize_with = "or_default")]
    pub limit: Option<Cow<'text, str>>,
}

/// The two words that decide, out of objects in which anything may stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Specific<'text> {
    /// Debian's: `unimportant`, `low`, `not yet assigned`.
    pub urgency: Option<Cow<'text, str>>,
    /// GitHub's: `MODERATE`.
    pub severity: Option<Cow<'text, str>>,
}

/// What a title is taken from.
#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    details: Option<String>,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// When it is no JSON, has no `id`, or has parts of other types than OSV's.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut record: Self = serde_json::from_slice(json)?;
        if record.summary.as_deref().is_none_or(|summary| summary.trim().is_empty()) {
            let details = serde_json::from_slice(json).map(|Details { details }| details).unwrap_or_default();
            record.summary = details.as_deref().and_then(title::of_details);
        }
        Ok(record)
    }

    /// Whether the package itself is the attack. No policy lets that pass.
    #[must_use]
    pub fn is_malware(&self) -> bool {
        self.names().any(|name| name.starts_with("MAL-"))
    }

    /// Its names: first its own, then those of the same vulnerability elsewhere.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.id).chain(&self.aliases).map(String::as_str).chain(self.original())
    }

    /// The vulnerability that a record of a distribution is a copy of: `CVE-2026-1` of `DEBIAN-CVE-2026-1`.
    fn original(&self) -> Option<&str> {
        let is_copied = |name: &&String| match self.id.strip_suffix(name.as_str()) {
            Some(distribution) => distribution.ends_with('-'),
            None => false,
        };
        self.upstream.iter().find(is_copied).map(String::as_str)
    }

    /// The vulnerabilities that an advisory such as `DSA-5000-1` is about, where it is no copy of one.
    pub(crate) fn subjects(&self) -> &[String] {
        let is_of_debian = ["DSA-", "DLA-", "DTSA-"].iter().any(|prefix| self.id.starts_with(prefix));
        match self.original() {
            Some(_) => &[],
            None if self.upstream.is_empty() && is_of_debian => &self.related,
            None => &self.upstream,
        }
    }
}

impl Affected<'_> {
    /// The same with texts of its own.
    pub(crate) fn into_owned(self) -> Affected<'static> {
        let Self { package, ranges, versions, severity, ecosystem_specific } = self;
        let Specific { urgency, severity: word } = ecosystem_specific;
        Affected {
            package,
            ranges: ranges.into_iter().map(Range::into_owned).collect(),
            versions: versions.into_iter().map(owned).collect(),
            severity,
            ecosystem_specific: Specific { urgency: urgency.map(owned), severity: word.map(owned) },
        }
    }
}

impl Range<'_> {
    fn into_owned(self) -> Range<'static> {
        let event = |event: Event<'_>| Event {
            introduced: event.introduced.map(owned),
            fixed: event.fixed.map(owned),
            last_affected: event.last_affected.map(owned),
            limit: event.limit.map(owned),
        };
        Range { kind: owned(self.kind), events: self.events.into_iter().map(event).collect() }
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl<'de> Deserialize<'de> for Specific<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).map(|word| Cow::Owned(word.to_owned()));
        Ok(Self { urgency: word("urgency"), severity: word("severity") })
    }
}

/// Some sources write `null` for what they do not have.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
