//! `Wanted`: the packages that advisories are looked for, by ecosystem and name.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::family;
use crate::osv::{Affected, Named, Package, Record, normal};

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
    by_key: HashMap<String, Vec<Named>>,
}

impl Wanted {
    pub(crate) fn of(packages: &[Package<'_>]) -> Self {
        let mut wanted = Self::default();
        for package in packages {
            let of_family = wanted.families.entry(family(package.ecosystem).to_owned()).or_default();
            of_family.ecosystems.insert(package.ecosystem.to_owned());
            let named = of_family.by_key.entry(normal(package.name)).or_default();
            let named_so = |one: &Named| one.ecosystem == package.ecosystem && one.name == package.name;
            if !named.iter().any(named_so) {
                let (ecosystem, name) = (package.ecosystem.to_owned(), package.name.to_owned());
                named.push(Named { ecosystem, name });
            }
        }
        wanted
    }
}

impl Family {
    /// The keys of the packages of one ecosystem.
    pub(crate) fn keys(&self, ecosystem: &str) -> HashSet<String> {
        let named = self.by_key.values().flatten().filter(|named| named.ecosystem == ecosystem);
        named.map(|named| key(ecosystem, &named.name)).collect()
    }

    /// A record with its entries about these packages, if it has any.
    pub(crate) fn part_of(&self, mut record: Record) -> Option<Record> {
        record.affected.retain(|entry| self.is_in(entry));
        (!record.affected.is_empty() && record.withdrawn.is_none()).then_some(record)
    }

    fn is_in(&self, entry: &Affected) -> bool {
        let mut named = self.by_key.get(&normal(&entry.package.name)).into_iter().flatten();
        named.any(|Named { ecosystem, name }| entry.is_about(&Package { ecosystem, name, version: "" }))
    }
}

/// The name under which an index has a package: one for all spellings that are the same package.
pub(crate) fn key(ecosystem: &str, name: &str) -> String {
    if ecosystem == "PyPI" { normal(name) } else { name.to_owned() }
}
