//! `Wanted`: the packages that advisories are looked for, by ecosystem and name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::family;
use crate::osv::{Affected, Package, Record, Standing, normal};
use crate::version::{Scheme, Version};

/// Packages by family of ecosystems.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The packages of each family of ecosystems.
    pub(crate) families: BTreeMap<String, Family>,
}

/// The packages of one family: of all releases of Debian, say.
#[derive(Debug, Default)]
pub(crate) struct Family {
    /// Each with its release.
    pub(crate) ecosystems: BTreeSet<String>,
    by_key: HashMap<String, Vec<Installed>>,
}

/// A package whose version was read, if it is one.
#[derive(Debug)]
pub(crate) struct Versioned<'wanted> {
    package: Package<'wanted>,
    scheme: Option<Scheme>,
    version: Option<Version>,
}

/// A package of an image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    ecosystem: String,
    name: String,
    version: String,
}

impl Wanted {
    pub(crate) fn of(packages: &[Package<'_>]) -> Self {
        let mut wanted = Self::default();
        for package in packages {
            let of_family = wanted.families.entry(family(package.ecosystem).to_owned()).or_default();
            of_family.ecosystems.insert(package.ecosystem.to_owned());
            let known = of_family.by_key.entry(normal(package.name)).or_default();
            if !known.iter().any(|one| one.package() == *package) {
                let [ecosystem, name, version] =
                    [package.ecosystem, package.name, package.version].map(str::to_owned);
                known.push(Installed { ecosystem, name, version });
            }
        }
        wanted
    }
}

impl Family {
    /// The packages of one ecosystem, by the name under which an index has them.
    pub(crate) fn of_ecosystem(&self, ecosystem: &str) -> HashMap<String, Vec<Versioned<'_>>> {
        let scheme = Scheme::of_ecosystem(ecosystem);
        let mut by_key: HashMap<_, Vec<_>> = HashMap::new();
        for one in self.by_key.values().flatten().filter(|one| one.ecosystem == ecosystem) {
            let version = scheme.and_then(|scheme| Version::parse(scheme, &one.version).ok());
            let versioned = Versioned { package: one.package(), scheme, version };
            by_key.entry(key(ecosystem, &one.name)).or_default().push(versioned);
        }
        by_key
    }

    /// A record with its entries about these packages, if it has any.
    pub(crate) fn part_of(&self, mut record: Record) -> Option<Record> {
        record.affected.retain(|entry| self.is_in(entry));
        (!record.affected.is_empty() && record.withdrawn.is_none()).then_some(record)
    }

    fn is_in(&self, entry: &Affected) -> bool {
        let mut known = self.by_key.get(&normal(&entry.package.name)).into_iter().flatten();
        known.any(|one| entry.is_about(&one.package()))
    }
}

impl Installed {
    fn package(&self) -> Package<'_> {
        Package { ecosystem: &self.ecosystem, name: &self.name, version: &self.version }
    }
}

impl Versioned<'_> {
    /// Whether an entry about this package says for sure that its version is without what it is about.
    pub(crate) fn is_without(&self, entry: &Affected) -> bool {
        let Self { package, scheme, version } = self;
        entry.standing_of(package, *scheme, version.as_ref()) == Standing::NotAffected
    }
}

/// The name under which an index has a package: one for all spellings that are the same package.
pub(crate) fn key(ecosystem: &str, name: &str) -> String {
    if ecosystem == "PyPI" { normal(name) } else { name.to_owned() }
}
