//! `Finding`: one vulnerability of one package, out of all records that are about it.

use std::collections::HashMap;

use shipkit_core::policy::Severity;

use super::{Package, Record, Standing};
use crate::severity;
use crate::version::Scheme;

/// One vulnerability of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding<'records> {
    /// All its names: the one to show first, which is the CVE where there is one.
    pub names: Vec<&'records str>,
    /// The records that say so.
    pub records: Vec<&'records Record>,
    /// `Affected`, or `CannotTell` where no record says for sure.
    pub standing: Standing,
    /// How bad it is: the worst that a record says.
    pub severity: Severity,
    /// The package itself is the attack.
    pub is_malware: bool,
}

/// What the records say about a package: those that are about the same vulnerability are one finding.
#[must_use]
pub fn findings<'records>(
    records: impl IntoIterator<Item = &'records Record>,
    package: &Package<'_>,
) -> Vec<Finding<'records>> {
    let said = records.into_iter().map(|record| (record, record.standing(package)));
    let said = said.filter(|(_, standing)| *standing != Standing::NotAffected);
    let (advisories, said): (Vec<_>, Vec<_>) = said.partition(|(record, _)| !record.subjects().is_empty());
    let mut groups = Groups::default();
    for (record, standing) in said {
        groups.add(record, record.names(), standing);
    }
    // An advisory is about several vulnerabilities, and would join what is not the same. It is one of its own only where none of them is known.
    let firsts: HashMap<_, _> = groups.by_name.clone();
    for (record, standing) in advisories {
        let known: Vec<_> =
            record.subjects().iter().filter(|name| firsts.contains_key(name.as_str())).collect();
        if known.is_empty() {
            groups.add(record, record.names(), standing);
        } else {
            for name in known {
                groups.attach(name, record, &standing);
            }
        }
    }
    groups.members().into_iter().map(|members| finding(&members, package)).collect()
}

type Said<'records> = (&'records Record, Standing);

/// Records with a name in common, over any number of steps.
#[derive(Default)]
struct Groups<'records> {
    by_name: HashMap<&'records str, usize>,
    /// What leads from a group that was joined to the one it is in now.
    joined: Vec<usize>,
    said: Vec<(usize, Said<'records>)>,
}

impl<'records> Groups<'records> {
    fn add(
        &mut self,
        record: &'records Record,
        names: impl Iterator<Item = &'records str>,
        standing: Standing,
    ) {
        let mut group = self.joined.len();
        self.joined.push(group);
        let own = group;
        for name in names {
            let known = *self.by_name.entry(name).or_insert(group);
            let known = self.root(known);
            // Always to the older one, so that findings keep the order of the records.
            let (older, younger) = (known.min(group), known.max(group));
            if let Some(joined) = self.joined.get_mut(younger) {
                *joined = older;
            }
            group = older;
        }
        self.said.push((own, (record, standing)));
    }

    fn attach(&mut self, name: &str, record: &'records Record, standing: &Standing) {
        if let Some(group) = self.by_name.get(name) {
            self.said.push((*group, (record, standing.clone())));
        }
    }

    fn root(&mut self, mut group: usize) -> usize {
        while let Some(next) = self.joined.get(group).copied().filter(|next| *next != group) {
            // Each step leaves a shorter way behind, however long the chain is that the records make.
            let after = self.joined.get(next).copied().unwrap_or(next);
            if let Some(joined) = self.joined.get_mut(group) {
                *joined = after;
            }
            group = after;
        }
        group
    }

    fn members(mut self) -> Vec<Vec<Said<'records>>> {
        let mut members: Vec<Vec<Said<'records>>> = self.joined.iter().map(|_| Vec::new()).collect();
        for (group, said) in std::mem::take(&mut self.said) {
            let Some(members) = members.get_mut(self.root(group)) else { continue };
            // An advisory may be about two names of one vulnerability.
            if !members.iter().any(|(record, _)| std::ptr::eq(*record, said.0)) {
                members.push(said);
            }
        }
        members.retain(|members| !members.is_empty());
        members
    }
}

fn finding<'records>(members: &[Said<'records>], package: &Package<'_>) -> Finding<'records> {
    let scheme = Scheme::of_ecosystem(package.ecosystem);
    let records: Vec<_> = members.iter().map(|(record, _)| *record).collect();
    let mut names: Vec<_> = records.iter().flat_map(|record| record.names()).collect();
    names.sort_by_key(|name| (rank(name), *name));
    names.dedup();
    let standings = members.iter().map(|(_, standing)| standing.clone());
    Finding {
        names,
        standing: standings.fold(Standing::NotAffected, |said, more| said.and(more, scheme)),
        severity: records
            .iter()
            .map(|record| severity::of(record, package))
            .max()
            .unwrap_or(Severity::Unknown),
        is_malware: records.iter().any(|record| record.is_malware()),
        records,
    }
}

/// The best known name first.
fn rank(name: &str) -> usize {
    let known = ["MAL-", "CVE-", "GHSA-"];
    known.iter().position(|prefix| name.starts_with(prefix)).unwrap_or(known.len())
}
