//! `Wanted`: the packages that advisories are looked for, by ecosystem and name.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

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
    /// By ecosystem with its release; each once, in the order of their names.
    by_ecosystem: BTreeMap<String, Vec<Installed>>,
}

/// The packages of a family by names that may mean the same package.
#[derive(Debug)]
pub(crate) struct Names<'wanted>(HashMap<Cow<'wanted, str>, Vec<Package<'wanted>>>);

/// The packages that an index has under one name.
#[derive(Debug)]
pub(crate) struct Sought<'wanted> {
    pub(crate) key: Cow<'wanted, str>,
    pub(crate) installed: Vec<Versioned<'wanted>>,
}

/// A package whose version was read, if it is one.
#[derive(Debug)]
pub(crate) struct Versioned<'wanted> {
    package: Package<'wanted>,
    scheme: Option<Scheme>,
    version: Option<Version<'wanted>>,
}

/// A package of an image.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Installed {
    name: String,
    version: String,
}

impl Wanted {
    pub(crate) fn of(packages: &[Package<'_>]) -> Self {
        let mut by_ecosystem: BTreeMap<&str, Vec<Installed>> = BTreeMap::new();
        for package in packages {
            let [name, version] = [package.name, package.version].map(str::to_owned);
            by_ecosystem.entry(package.ecosystem).or_default().push(Installed { name, version });
        }
        let mut wanted = Self::default();
        for (ecosystem, mut installed) in by_ecosystem {
            installed.sort_unstable();
            installed.dedup();
            let of_family = wanted.families.entry(family(ecosystem).to_owned()).or_default();
            of_family.by_ecosystem.insert(ecosystem.to_owned(), installed);
        }
        wanted
    }
}

impl Family {
    /// The ecosystems of its packages, each with its release.
    pub(crate) fn ecosystems(&self) -> impl Iterator<Item = &String> {
        self.by_ecosystem.keys()
    }

    /// The packages of one ecosystem, in the order of the names under which an index has them.
    pub(crate) fn of_ecosystem(&self, ecosystem: &str) -> Vec<Sought<'_>> {
        let scheme = Scheme::of_ecosystem(ecosystem);
        let Some((ecosystem, installed)) = self.by_ecosystem.get_key_value(ecosystem) else {
            return Vec::new();
        };
        let keyed = |one| {
            let package = Installed::package(one, ecosystem);
            let version = scheme.and_then(|scheme| Version::parse(scheme, package.version).ok());
            (key(ecosystem, package.name), Versioned { package, scheme, version })
        };
        let mut keyed: Vec<_> = installed.iter().map(keyed).collect();
        keyed.sort_by(|(left, _), (right, _)| left.cmp(right));
        let mut sought: Vec<Sought<'_>> = Vec::with_capacity(keyed.len());
        for (key, versioned) in keyed {
            match sought.last_mut() {
                Some(last) if last.key == key => last.installed.push(versioned),
                _ => sought.push(Sought { key, installed: vec![versioned] }),
            }
        }
        sought
    }

    /// All packages, for looking into records one by one.
    pub(crate) fn names(&self) -> Names<'_> {
        let mut names: HashMap<_, Vec<_>> = HashMap::new();
        for (ecosystem, installed) in &self.by_ecosystem {
            for package in installed.iter().map(|one| one.package(ecosystem)) {
                names.entry(normal(package.name)).or_default().push(package);
            }
        }
        Names(names)
    }
}

impl Names<'_> {
    /// A record with its entries about these packages, if it has any.
    pub(crate) fn part_of(&self, mut record: Record) -> Option<Record> {
        record.affected.retain(|entry| self.is_in(entry));
        (!record.affected.is_empty() && record.withdrawn.is_none()).then_some(record)
    }

    fn is_in(&self, entry: &Affected<'_>) -> bool {
        let mut known = self.0.get(&normal(&entry.package.name)).into_iter().flatten();
        known.any(|package| entry.is_about(package))
    }
}

impl Installed {
    fn package<'wanted>(&'wanted self, ecosystem: &'wanted str) -> Package<'wanted> {
        Package { ecosystem, name: &self.name, version: &self.version }
    }
}

impl Versioned<'_> {
    /// Whether an entry about this package says for sure that its version is without what it is about.
    pub(crate) fn is_without(&self, entry: &Affected<'_>) -> bool {
        let Self { package, scheme, version } = self;
        entry.standing_of(package, *scheme, version.as_ref()) == Standing::NotAffected
    }
}

/// The name under which an index has a package: one for all spellings that are the same package.
pub(crate) fn key<'name>(ecosystem: &str, name: &'name str) -> Cow<'name, str> {
    if ecosystem == "PyPI" { normal(name) } else { Cow::Borrowed(name) }
}
