//! `Standing`: what one record says about one package.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Affected, Event, Range, Record};
use crate::version::{Scheme, Version};

/// An installed package, as OSV names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package<'text> {
    /// With its release where there are releases: `Debian:12`, `Alpine:v3.21`, `npm`.
    pub ecosystem: &'text str,
    /// With distributions that of the source package.
    pub name: &'text str,
    /// As the package manager writes it.
    pub version: &'text str,
}

/// What a record says about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is not about this package, or not about this version, or was withdrawn.
    NotAffected,
    /// This version has it.
    Affected(Fix),
    /// It is about this package, and nobody can say whether about this version.
    CannotTell(Doubt),
}

/// What can be done about it, as the record has it. Whether that is much depends on the ecosystem: Alpine lists only what it has fixed, and Debian lists all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// The next version without it.
    In(String),
    /// Versions after this one do not have it.
    After(String),
    /// There is none.
    None,
}

/// Why nobody can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// We know no order of versions in this ecosystem.
    Ecosystem,
    /// The installed version is none.
    Installed,
    /// A version in the record is none.
    Listed(String),
    /// The record lists neither versions nor ranges of them.
    NoVersions,
}

/// What an event does to the versions after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Introduced,
    Fixed,
    LastAffected,
}

impl Standing {
    /// What two say together: that it is affected counts for more than doubt, and doubt for more than nothing.
    pub(super) fn and(self, other: Self, scheme: Option<Scheme>) -> Self {
        match (self, other) {
            (Self::Affected(first), Self::Affected(second)) => Self::Affected(match scheme {
                Some(scheme) => first.or(second, scheme),
                None => first,
            }),
            (Self::Affected(fix), _) | (_, Self::Affected(fix)) => Self::Affected(fix),
            (Self::CannotTell(doubt), _) | (_, Self::CannotTell(doubt)) => Self::CannotTell(doubt),
            (Self::NotAffected, Self::NotAffected) => Self::NotAffected,
        }
    }
}

impl Fix {
    /// Whether another version of the package is without it.
    #[must_use]
    pub fn exists(&self) -> bool {
        match self {
            Self::In(_) | Self::After(_) => true,
            Self::None => false,
        }
    }

    /// Of two that apply both, the one that is without either vulnerability: a named version counts for more, and of two the later.
    fn or(self, other: Self, scheme: Scheme) -> Self {
        let is_later = |first: &str, second: &str| {
            let read = |text| Version::parse(scheme, text).ok();
            order(read(first).as_ref(), read(second).as_ref()) == Ordering::Greater
        };
        match (self, other) {
            (Self::In(first), Self::In(second)) => {
                Self::In(if is_later(&second, &first) { second } else { first })
            }
            (Self::In(version), _) | (_, Self::In(version)) => Self::In(version),
            (Self::After(first), Self::After(second)) => {
                Self::After(if is_later(&second, &first) { second } else { first })
            }
            (Self::After(version), _) | (_, Self::After(version)) => Self::After(version),
            (Self::None, Self::None) => Self::None,
        }
    }
}

impl Record {
    /// What it says about a package.
    #[must_use]
    pub fn standing(&self, package: &Package<'_>) -> Standing {
        if self.withdrawn.is_some() {
            return Standing::NotAffected;
        }
        let entries = self.affected.iter().filter(|entry| entry.is_about(package));
        let scheme = Scheme::of_ecosystem(package.ecosystem);
        entries
            .map(|entry| entry.standing(package))
            .fold(Standing::NotAffected, |said, more| said.and(more, scheme))
    }
}

impl Affected<'_> {
    /// An entry without a release is about all of them.
    pub(crate) fn is_about(&self, package: &Package<'_>) -> bool {
        let (listed, asked) = (self.package.ecosystem.as_str(), package.ecosystem);
        let family = asked.split_once(':').map_or(asked, |(family, _)| family);
        let is_named = if asked == "PyPI" {
            normal(&self.package.name) == normal(package.name)
        } else {
            self.package.name == package.name
        };
        is_named && !listed.is_empty() && (listed == asked || listed == family)
    }

    fn standing(&self, package: &Package<'_>) -> Standing {
        let scheme = Scheme::of_ecosystem(package.ecosystem);
        let installed = scheme.and_then(|scheme| Version::parse(scheme, package.version).ok());
        self.standing_of(package, scheme, installed.as_ref())
    }

    /// What it says about a package that it is about, whose version was read by the scheme of its ecosystem, if that is possible.
    pub(crate) fn standing_of(
        &self,
        package: &Package<'_>,
        scheme: Option<Scheme>,
        installed: Option<&Version<'_>>,
    ) -> Standing {
        let is_written = self.versions.iter().any(|version| version == package.version);
        let Some(scheme) = scheme else {
            return if is_written {
                Standing::Affected(Fix::None)
            } else {
                Standing::CannotTell(Doubt::Ecosystem)
            };
        };
        let ranges = || self.ranges.iter().filter(|range| range.kind != "GIT");
        let said = ranges()
            .map(|range| range.standing(scheme, installed))
            .fold(Standing::NotAffected, |said, more| said.and(more, Some(scheme)));
        let is_listed = || is_written || installed.is_some_and(|version| self.lists(scheme, version));
        let is_silent = self.versions.is_empty() && ranges().all(|range| range.turns().next().is_none());
        match said {
            Standing::Affected(fix) => Standing::Affected(fix),
            Standing::NotAffected | Standing::CannotTell(_) if is_listed() => {
                let fixes = ranges().map(|range| range.next_fix(scheme, installed));
                Standing::Affected(fixes.fold(Fix::None, |fix, more| fix.or(more, scheme)))
            }
            Standing::NotAffected if is_silent => Standing::CannotTell(Doubt::NoVersions),
            Standing::NotAffected if installed.is_none() => Standing::CannotTell(Doubt::Installed),
            said @ (Standing::NotAffected | Standing::CannotTell(_)) => said,
        }
    }

    /// The listed versions that say more than the ranges do: those of which the ranges do not say already that they are affected, and so the
    /// same of all that are equal to them. Maven's order has circles, and so there every version may tell something.
    pub(crate) fn telling_versions(&self) -> impl Iterator<Item = &str> {
        let scheme = Scheme::of_ecosystem(&self.package.ecosystem).filter(|scheme| *scheme != Scheme::Maven);
        let is_known = move |version: &str| {
            scheme.is_some_and(|scheme| {
                let installed = Version::parse(scheme, version).ok();
                let mut said = self.ranges.iter().filter(|range| range.kind != "GIT");
                said.any(|range| matches!(range.standing(scheme, installed.as_ref()), Standing::Affected(_)))
            })
        };
        self.versions.iter().map(AsRef::as_ref).filter(move |version| !is_known(version))
    }

    /// Whether it is one of the listed versions, however it is written.
    fn lists(&self, scheme: Scheme, version: &Version<'_>) -> bool {
        let is_equal = |listed: &Cow<'_, str>| {
            Version::parse(scheme, listed).is_ok_and(|listed| listed.order(version) == Some(Ordering::Equal))
        };
        self.versions.iter().any(is_equal)
    }
}

impl Range<'_> {
    /// The event that is the last one before the version decides; of equal ones, that which stands later.
    fn standing(&self, scheme: Scheme, installed: Option<&Version<'_>>) -> Standing {
        let is_all = !self.turns().any(|(turn, version)| turn != Turn::Introduced || version != "0");
        let Some(installed) = installed else {
            let is_sure = is_all && self.turns().next().is_some() && self.limits().next().is_none();
            return if is_sure {
                Standing::Affected(Fix::None)
            } else {
                Standing::CannotTell(Doubt::Installed)
            };
        };
        let mut last: Option<(Turn, Option<Version<'_>>)> = None;
        let unread = |limit: &&str| *limit != "*" && Version::parse(scheme, limit).is_err();
        let mut doubt = self.limits().find(unread).map(|limit| (false, limit.to_owned()));
        for (turn, text) in self.turns() {
            let version = match Version::parse(scheme, text) {
                _ if turn == Turn::Introduced && text == "0" => None,
                Ok(version) => Some(version),
                Err(refused) => {
                    doubt = doubt.max(Some((turn == Turn::Introduced, refused.text)));
                    continue;
                }
            };
            let is_reached = match (turn, order(version.as_ref(), Some(installed))) {
                (Turn::Introduced | Turn::Fixed, order) => order != Ordering::Greater,
                (Turn::LastAffected, order) => order == Ordering::Less,
            };
            let is_later = |(_, last): &(Turn, Option<Version<'_>>)| {
                order(version.as_ref(), last.as_ref()) != Ordering::Less
            };
            if is_reached && last.as_ref().is_none_or(is_later) {
                last = Some((turn, version));
            }
        }
        let is_affected = last.is_some_and(|(turn, _)| turn == Turn::Introduced);
        match (is_affected && self.is_within_limits(scheme, installed), doubt) {
            // Without an end that cannot be read too many versions are affected, without a beginning too few.
            (false, None | Some((false, _))) => Standing::NotAffected,
            (true, None) => Standing::Affected(self.next_fix(scheme, Some(installed))),
            (_, Some((_, text))) => Standing::CannotTell(Doubt::Listed(text)),
        }
    }

    /// A limit that cannot be read does not limit, nor does `*`.
    fn is_within_limits(&self, scheme: Scheme, installed: &Version<'_>) -> bool {
        let is_before = |limit: &str| {
            let limit = Version::parse(scheme, limit).ok();
            limit.is_none_or(|limit| installed.order(&limit) == Some(Ordering::Less))
        };
        self.limits().next().is_none() || self.limits().any(is_before)
    }

    /// The first version without it after the installed one, or else the last one with it.
    fn next_fix(&self, scheme: Scheme, installed: Option<&Version<'_>>) -> Fix {
        let first = |wanted: Turn, is_after: fn(Ordering) -> bool| {
            let mut first: Option<(Version<'_>, &str)> = None;
            for (_, text) in self.turns().filter(|(turn, _)| *turn == wanted) {
                let Ok(version) = Version::parse(scheme, text) else { continue };
                let is_candidate = is_after(order(Some(&version), installed));
                let is_earlier =
                    |(first, _): &(Version<'_>, &str)| order(Some(&version), Some(first)) == Ordering::Less;
                if is_candidate && first.as_ref().is_none_or(is_earlier) {
                    first = Some((version, text));
                }
            }
            first.map(|(_, text)| text.to_owned())
        };
        let fixed = first(Turn::Fixed, |order| order == Ordering::Greater).map(Fix::In);
        let last = || first(Turn::LastAffected, |order| order != Ordering::Less).map(Fix::After);
        fixed.or_else(last).unwrap_or(Fix::None)
    }

    fn turns(&self) -> impl Iterator<Item = (Turn, &str)> {
        self.events.iter().flat_map(Event::turns).filter_map(|(turn, version)| Some((turn, version?)))
    }

    fn limits(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter_map(|event| event.limit.as_deref())
    }
}

impl Event<'_> {
    fn turns(&self) -> [(Turn, Option<&str>); 3] {
        [
            (Turn::Introduced, self.introduced.as_deref()),
            (Turn::Fixed, self.fixed.as_deref()),
            (Turn::LastAffected, self.last_affected.as_deref()),
        ]
    }
}

/// Nothing is before all versions.
fn order(left: Option<&Version<'_>>, right: Option<&Version<'_>>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => left.order(right).unwrap_or(Ordering::Equal),
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

/// A name of a Python package as PEP 503 has it.
pub(crate) fn normal(name: &str) -> Cow<'_, str> {
    let is_kept = |byte: u8| !byte.is_ascii_uppercase() && !b"_.".contains(&byte);
    let has_words = !name.starts_with('-') && !name.ends_with('-') && !name.contains("--");
    if has_words && name.bytes().all(is_kept) {
        return Cow::Borrowed(name);
    }
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    Cow::Owned(words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-"))
}
