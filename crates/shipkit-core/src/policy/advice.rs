//! `Advice`: what to do about findings, so that a change or two mend many of them.

use std::collections::BTreeMap;
use std::fmt;

use super::build::{Build, Whence};
use super::finding::Finding;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What is to be done.
    pub what: Deed,
    /// How many findings are gone then.
    pub fixes: usize,
    /// Of how many.
    pub of: usize,
}

/// What can be done about findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A package is an attack.
    Remove(Upgrade),
    /// Take a newer base image, or build the layer with packages of the distribution anew; it has to bring these.
    Layer(Whence, Vec<Upgrade>),
    /// Take another version of a package that a step of the build added.
    Package(Upgrade),
    /// Wait, or do without: these packages have no fix yet.
    Wait(Vec<String>),
}

/// A package, and the version that is needed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// Its name. Foreign text.
    pub package: String,
    /// What is installed; empty where that is not known. Foreign text.
    pub from: String,
    /// The versions that mend what was found: the highest, or all where they have no order that is known here. Foreign text.
    pub to: Vec<String>,
    /// Where it comes from.
    pub whence: Whence,
}

/// Findings of one version of a package that come from one place.
type Group<'a> = (Whence, &'a str, &'a str);

/// What to do about these findings of an image that was made so: malware first, then what mends most of them. `highest` is the one
/// of several versions of a package that is the highest there, if all have an order.
#[must_use]
pub fn advice(
    findings: &[Finding],
    build: &Build,
    highest: impl Fn(&Finding, &[&str]) -> Option<String>,
) -> Vec<Advice> {
    let mut groups: BTreeMap<Group<'_>, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        let whence = build.whence(finding.layer);
        groups.entry((whence, &finding.package, &finding.version)).or_default().push(finding);
    }
    let mut layers: BTreeMap<Whence, (usize, Vec<Upgrade>)> = BTreeMap::new();
    let (mut all, mut unfixed, mut waiting) = (Vec::new(), 0_usize, Vec::new());
    for ((whence, package, version), group) in groups {
        let upgrade = |to| Upgrade {
            package: package.to_owned(),
            from: version.to_owned(),
            to,
            whence: whence.clone(),
        };
        if group.iter().any(|finding| finding.is_malware) {
            all.push((Deed::Remove(upgrade(Vec::new())), group.len()));
            continue;
        }
        let fixed: Vec<&Finding> =
            group.iter().filter(|finding| finding.fixed_in.is_some()).copied().collect();
        if fixed.len() < group.len() {
            unfixed = unfixed.saturating_add(group.len().saturating_sub(fixed.len()));
            waiting.push(package.to_owned());
        }
        if fixed.is_empty() {
            continue;
        }
        let upgrade = upgrade(versions(&fixed, &highest));
        if is_together(&whence, &fixed) {
            let (count, upgrades) = layers.entry(whence.clone()).or_default();
            *count = count.saturating_add(fixed.len());
            upgrades.push(upgrade);
        } else {
            all.push((Deed::Package(upgrade), fixed.len()));
        }
    }
    // Of two that mend as many, the base image goes first.
    let of_layers =
        layers.into_iter().map(|(whence, (count, upgrades))| (Deed::Layer(whence, upgrades), count));
    let mut all: Vec<_> = of_layers.chain(all).collect();
    all.sort_by_key(|(what, fixes)| (!matches!(what, Deed::Remove(_)), std::cmp::Reverse(*fixes)));
    waiting.sort();
    waiting.dedup();
    all.extend((0 < unfixed).then_some((Deed::Wait(waiting), unfixed)));
    all.into_iter().map(|(what, fixes)| Advice { what, fixes, of: findings.len() }).collect()
}

/// Whether packages from there are renewed together: all of a base image, and those of a distribution, whose newest versions a step gets.
fn is_together(whence: &Whence, findings: &[&Finding]) -> bool {
    let is_of_system = |finding: &&Finding| {
        let purl = finding.purl.as_deref().unwrap_or_default();
        ["pkg:deb/", "pkg:apk/", "pkg:rpm/"].iter().any(|kind| purl.starts_with(kind))
    };
    match whence {
        Whence::Base(_) => true,
        Whence::Step(_) | Whence::Layer(_) => findings.iter().all(is_of_system),
        Whence::Unknown => false,
    }
}

/// The versions that are needed to mend all of these findings of one package.
fn versions(fixed: &[&Finding], highest: &impl Fn(&Finding, &[&str]) -> Option<String>) -> Vec<String> {
    let mut all: Vec<&str> = fixed.iter().filter_map(|finding| finding.fixed_in.as_deref()).collect();
    all.sort_unstable();
    all.dedup();
    let highest = fixed.first().and_then(|first| highest(first, &all));
    highest.map_or_else(|| all.iter().map(|&one| one.to_owned()).collect(), |one| vec![one])
}

/// How many packages a sentence names.
const NAMED: usize = 8;

/// The first of these, and how many there are more.
fn listed(all: &[String]) -> String {
    let more = all.len().saturating_sub(NAMED);
    let named = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = if self.from.is_empty() { String::new() } else { format!(" {}", self.from) };
        write!(f, "`{}`{from} to {}", self.package, self.to.join(" and "))
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, fixes, of } = self;
        match what {
            Deed::Remove(Upgrade { package, from, whence, .. }) => {
                write!(
                    f,
                    "take out `{package}` {from}, which is malware ({whence}), and change the secrets that it could read"
                )
            }
            Deed::Layer(whence, upgrades) => {
                match whence {
                    Whence::Base(name) => write!(f, "update the base image `{name}`")?,
                    Whence::Step(step) => write!(f, "build `{step}` anew, without its cache")?,
                    Whence::Layer(layer) => write!(f, "build layer {layer} anew, without its cache")?,
                    Whence::Unknown => f.write_str("build anew, without a cache")?,
                }
                let named: Vec<_> = upgrades.iter().map(ToString::to_string).collect();
                write!(f, ": fixes {fixes} of {of}, once it has {}", listed(&named))
            }
            Deed::Package(upgrade) => {
                write!(f, "{upgrade}: fixes {fixes} of {of} ({})", upgrade.whence)
            }
            Deed::Wait(packages) => {
                write!(f, "{fixes} of {of} cannot be fixed by another version yet: {}", listed(packages))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Base;
    use super::*;

    fn finding(package: &str, version: &str, layer: Option<usize>, fixed_in: &str) -> Finding {
        Finding {
            package: package.to_owned(),
            version: version.to_owned(),
            fixed_in: Some(fixed_in.to_owned()).filter(|version| !version.is_empty()),
            layer,
            ..Finding::default()
        }
    }

    fn build() -> Build {
        let base = Base { name: "node:20-alpine".to_owned(), layers: 1 };
        Build { base: Some(base), steps: ["ADD x", "RUN npm ci"].map(str::to_owned).to_vec() }
    }

    fn told(findings: &[Finding]) -> Vec<String> {
        let highest = |_: &Finding, all: &[&str]| {
            let number = |text: &&str| text.parse::<u32>().ok();
            let numbers: Option<Vec<u32>> = all.iter().map(number).collect();
            numbers?.into_iter().max().map(|number| number.to_string())
        };
        advice(findings, &build(), highest).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_mends_most_comes_first_and_all_of_the_base_together() {
        let findings = [
            finding("ws", "1", Some(1), "9"),
            finding("ws", "1", Some(1), "10"),
            finding("openssl", "3", Some(0), "4"),
            finding("openssl", "3", Some(0), "5"),
            finding("zlib", "1", Some(0), "2"),
            finding("zlib", "1", Some(0), ""),
            finding("qs", "6", None, "x"),
            finding("qs", "6", None, "7"),
            finding("qs", "5", None, "7"),
        ];
        let expected = [
            "update the base image `node:20-alpine`: fixes 3 of 9, once it has `openssl` 3 to 5, `zlib` 1 to 2",
            "`ws` 1 to 10: fixes 2 of 9 (added by `RUN npm ci`)",
            "`qs` 6 to 7 and x: fixes 2 of 9 (nobody knows which layer added it)",
            "`qs` 5 to 7: fixes 1 of 9 (nobody knows which layer added it)",
            "1 of 9 cannot be fixed by another version yet: zlib",
        ];
        assert_eq!(told(&findings), expected);
        assert_eq!(told(&[]), Vec::<String>::new());
    }

    #[test]
    fn packages_of_a_distribution_are_renewed_with_their_step() {
        let of_system = |package, layer| Finding {
            purl: Some(format!("pkg:apk/alpine/{package}@1")),
            ..finding(package, "1", layer, "2")
        };
        let expected = [
            "build `RUN npm ci` anew, without its cache: fixes 2 of 5, once it has `a` 1 to 2, `b` 1 to 2",
            "build layer 7 anew, without its cache: fixes 1 of 5, once it has `c` 1 to 2",
            "`ws` 1 to 2: fixes 1 of 5 (added by `RUN npm ci`)",
            "`d` 1 to 2: fixes 1 of 5 (nobody knows which layer added it)",
        ];
        let findings = [
            of_system("a", Some(1)),
            of_system("b", Some(1)),
            of_system("c", Some(7)),
            finding("ws", "1", Some(1), "2"),
            of_system("d", None),
        ];
        assert_eq!(told(&findings), expected);
    }

    #[test]
    fn malware_comes_first_and_is_not_waited_for() {
        let malware = Finding { is_malware: true, ..finding("evil", "1", Some(1), "") };
        let expected = [
            "take out `evil` 1, which is malware (added by `RUN npm ci`), and change the secrets that it could read",
            "update the base image `node:20-alpine`: fixes 2 of 3, once it has `a` 1 to 2",
        ];
        let findings = [finding("a", "1", Some(0), "2"), finding("a", "1", Some(0), "2"), malware];
        assert_eq!(told(&findings), expected);
        let findings = [finding("a", "1", Some(1), "2"), finding("a", "1", Some(0), "2")];
        assert!(told(&findings).first().is_some_and(|first| first.starts_with("update the base")));
    }

    #[test]
    fn a_sentence_names_a_few_packages() {
        let findings: Vec<_> =
            (0..11).map(|number| finding(&format!("p{number:02}"), "", Some(0), "2")).collect();
        let said = told(&findings);
        assert!(said[0].ends_with("`p06` to 2, `p07` to 2 and 3 more"), "{said:?}");
    }
}
