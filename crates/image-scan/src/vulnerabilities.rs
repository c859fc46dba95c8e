//! `Sought`: what advisories say about the packages of an image.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::Date;
use shipkit_core::policy::purl::Purl;
use shipkit_core::policy::{Finding, Vulnerabilities};

use crate::advisories::Known;
use crate::inventory::{self, Inventory};
use crate::osv::{self, Doubt, Fix, Package, Record, Standing};

/// The packages of an image as advisories name them, each once, and what is not known of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sought {
    /// By ecosystem, name and version.
    named: BTreeMap<(String, String, String), Installed>,
    doubts: Vec<String>,
}

/// What is there of a package that advisories know.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Installed {
    /// Of a source package the names and versions of what was built from it, otherwise its own.
    built: BTreeSet<(String, String)>,
    /// The first layer that brought any of it.
    layer: usize,
}

impl Sought {
    /// Packages that were built from one source are one. The runtime of a language has no advisories at OSV.
    pub(crate) fn of(packages: &[inventory::Package], doubts: &[String]) -> Self {
        let is_listed = |ecosystem: &str| ecosystem != "node";
        let mut named: BTreeMap<_, Installed> = BTreeMap::new();
        for package in packages.iter().filter(|package| is_listed(&package.ecosystem)) {
            let own = (package.name.clone(), package.version.clone());
            let (name, version) = package.source.clone().unwrap_or_else(|| own.clone());
            let key = (package.ecosystem.clone(), name, version);
            let known = named
                .entry(key)
                .or_insert_with(|| Installed { built: BTreeSet::new(), layer: package.layer });
            known.built.insert(own);
            known.layer = known.layer.min(package.layer);
        }
        Self { named, doubts: doubts.to_vec() }
    }

    /// The packages of all of these.
    pub(crate) fn all<'a>(several: impl IntoIterator<Item = &'a Self>) -> Self {
        let named = several.into_iter().flat_map(|sought| sought.named.clone());
        Self { named: named.collect(), doubts: Vec::new() }
    }

    /// Names and versions of the packages, by those of their sources and by their own: scanners report either.
    pub(crate) fn named_or_built(&self) -> BTreeSet<(String, String)> {
        let named = self.named.keys().map(|(_, name, version)| (name.clone(), version.clone()));
        named.chain(self.named.values().flat_map(|one| one.built.iter().cloned())).collect()
    }

    /// As a source of advisories is asked for them.
    pub(crate) fn packages(&self) -> Vec<Package<'_>> {
        self.named.keys().map(|(ecosystem, name, version)| Package { ecosystem, name, version }).collect()
    }

    /// What records say about them.
    pub(crate) fn vulnerabilities(&self, known: &Known) -> Vulnerabilities {
        let mut by_name: HashMap<Cow<'_, str>, Vec<&Record>> = HashMap::new();
        for record in &known.records {
            // Spellings that may mean the same package come together here; which of them do is for the record to say.
            let names: BTreeSet<_> =
                record.affected.iter().map(|entry| osv::normal(&entry.package.name)).collect();
            for name in names {
                by_name.entry(name).or_default().push(record);
            }
        }
        let unread = known.unread.iter().map(|name| format!("the advisory `{name}` cannot be understood"));
        let mut vulnerabilities = Vulnerabilities {
            findings: Vec::new(),
            doubts: self.doubts.iter().cloned().chain(unread).collect(),
        };
        for (package, installed) in self.packages().into_iter().zip(self.named.values()) {
            let records = by_name.get(&osv::normal(package.name)).into_iter().flatten().copied();
            for finding in osv::findings(records, &package) {
                take(&finding, (&package, installed), &mut vulnerabilities);
            }
        }
        vulnerabilities
    }
}

fn take(
    found: &osv::Finding<'_>,
    (package, installed): (&Package<'_>, &Installed),
    to: &mut Vulnerabilities,
) {
    let purl =
        |name: &str, version: &str| Purl::of(package.ecosystem, name, version).map(|purl| purl.to_string());
    let mut names = found.names.iter().copied();
    let id = names.next().unwrap_or_default();
    let fixed_in = match &found.standing {
        Standing::NotAffected => return,
        Standing::CannotTell(doubt) => {
            to.doubts.push(format!("whether {} {} has {id} ({})", package.name, package.version, why(doubt)));
            return;
        }
        Standing::Affected(Fix::In(version)) => Some(version.clone()),
        Standing::Affected(Fix::After(version)) => Some(format!("a version after {version}")),
        Standing::Affected(Fix::None) => None,
    };
    to.findings.push(Finding {
        id: id.to_owned(),
        aliases: names.map(str::to_owned).collect(),
        package: package.name.to_owned(),
        version: package.version.to_owned(),
        purl: purl(package.name, package.version),
        built: installed.built.iter().filter_map(|(name, version)| purl(name, version)).collect(),
        severity: found.severity,
        fixed_in,
        is_malware: found.is_malware,
        title: found.records.iter().find_map(|record| record.summary.clone()).unwrap_or_default(),
        published: found.records.iter().filter_map(|record| day(record.published.as_deref()?)).min(),
        layer: Some(installed.layer),
        ..Finding::default()
    });
}

/// The day of a time as records have it: `2026-01-02T03:04:05Z`.
fn day(time: &str) -> Option<Date> {
    time.get(..10)?.parse().ok()
}

fn why(doubt: &Doubt) -> String {
    match doubt {
        Doubt::Ecosystem => "the order of its versions is not known here".to_owned(),
        Doubt::Installed => "that is no version there".to_owned(),
        Doubt::Listed(version) => format!("`{version}` is no version there"),
        Doubt::NoVersions => "its record lists no versions".to_owned(),
    }
}

/// Gives findings of scanners, which know no layers, the one that brought their package.
pub(crate) fn placed(known: Vulnerabilities, inventory: &Inventory) -> Vulnerabilities {
    let mut layers: HashMap<(&str, &str), usize> = HashMap::new();
    for package in &inventory.packages {
        let own = (package.name.as_str(), package.version.as_str());
        let source = package.source.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
        for name in std::iter::once(own).chain(source) {
            let layer = layers.entry(name).or_insert(package.layer);
            *layer = (*layer).min(package.layer);
        }
    }
    let placed = |finding: Finding| {
        let layer = layers.get(&(finding.package.as_str(), finding.version.as_str())).copied();
        Finding { layer: finding.layer.or(layer), ..finding }
    };
    Vulnerabilities { findings: known.findings.into_iter().map(placed).collect(), ..known }
}

/// What two sources found together: of one vulnerability in one package, the worse of both is kept.
pub(crate) fn together(first: Vulnerabilities, second: Vulnerabilities) -> Vulnerabilities {
    let mut both = first;
    both.doubts.extend(second.doubts);
    for finding in second.findings {
        let same = |one: &&mut Finding| {
            // Some reports have no versions: then it is the version that is known.
            let is_version =
                one.version == finding.version || one.version.is_empty() || finding.version.is_empty();
            one.is_one_with(&finding) && is_version && one.package == finding.package
        };
        match both.findings.iter_mut().find(same) {
            Some(known) => {
                known.severity = known.severity.max(finding.severity);
                known.fixed_in = known.fixed_in.take().or(finding.fixed_in);
                known.purl = known.purl.take().or(finding.purl);
                known.built.extend(finding.built);
                known.is_malware |= finding.is_malware;
                known.published = known.published.or(finding.published);
                known.fix_published = known.fix_published.or(finding.fix_published);
                if known.title.is_empty() {
                    known.title = finding.title;
                }
            }
            None => both.findings.push(finding),
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shipkit_core::policy::Severity;

    use super::*;
    use crate::inventory;

    fn package(ecosystem: &str, name: &str, version: &str, source: Option<&str>) -> inventory::Package {
        let text = str::to_owned;
        inventory::Package {
            ecosystem: text(ecosystem),
            name: text(name),
            version: text(version),
            source: source.map(|source| (text(source), text(version))),
            layer: 0,
            path: text("x"),
            is_dev: false,
        }
    }

    fn inventory(packages: Vec<inventory::Package>, doubts: &[&str]) -> Inventory {
        let doubts = doubts.iter().map(|&doubt| doubt.to_owned()).collect();
        Inventory { system: None, packages, owned: 0, support: Vec::new(), doubts }
    }

    fn record(id: &str, ecosystem: &str, name: &str, events: &Value) -> Record {
        let affected = json!([{"package": {"ecosystem": ecosystem, "name": name},
            "ranges": [{"type": "ECOSYSTEM", "events": events}]}]);
        let record = json!({"id": id, "affected": affected, "database_specific": {"severity": "HIGH"}});
        Record::parse(record.to_string().as_bytes()).unwrap()
    }

    fn found(sought: &Sought, records: Vec<Record>) -> Vec<String> {
        let known = Known { records, unread: Vec::new() };
        let Vulnerabilities { findings, doubts } = sought.vulnerabilities(&known);
        let told = findings.iter().map(|finding| {
            let Finding { id, package, version, severity, fixed_in, is_malware, .. } = finding;
            format!("{id} {package} {version} {} {fixed_in:?} {is_malware}", severity.word())
        });
        told.chain(doubts).collect()
    }

    #[test]
    fn packages_that_were_built_from_one_source_are_one_finding() {
        let built = |name| package("Debian:12", name, "3.0.1-1", Some("openssl"));
        let sought =
            Sought::of(&[built("libssl3"), built("openssl"), package("node", "node", "20.1.0", None)], &[]);
        let fixed = json!([{"introduced": "0"}, {"fixed": "3.0.2-1"}]);
        let records = vec![
            record("CVE-1", "Debian:12", "openssl", &fixed),
            record("CVE-2", "Debian:11", "openssl", &fixed),
        ];
        assert_eq!(found(&sought, records.clone()), ["CVE-1 openssl 3.0.1-1 HIGH Some(\"3.0.2-1\") false"]);
        let known = Known { records, unread: Vec::new() };
        let finding = &sought.vulnerabilities(&known).findings[0];
        assert_eq!(finding.purl.as_deref(), Some("pkg:deb/debian/openssl@3.0.1-1"));
        assert_eq!(finding.layer, Some(0));
        assert_eq!(finding.built, ["pkg:deb/debian/libssl3@3.0.1-1", "pkg:deb/debian/openssl@3.0.1-1"]);
    }

    #[test]
    fn what_a_scanner_found_is_in_the_layer_of_its_package() {
        let packages = vec![
            inventory::Package { layer: 3, ..package("Debian:12", "libssl3", "1", Some("openssl")) },
            inventory::Package { layer: 2, ..package("Debian:12", "openssl", "1", Some("openssl")) },
        ];
        let finding = |package: &str, layer| Finding {
            package: package.to_owned(),
            version: "1".to_owned(),
            layer,
            ..Finding::default()
        };
        let findings = vec![
            finding("libssl3", None),
            finding("openssl", None),
            finding("openssl", Some(7)),
            finding("other", None),
        ];
        let known = Vulnerabilities { findings, doubts: Vec::new() };
        let placed = placed(known, &inventory(packages, &[]));
        let layers: Vec<_> = placed.findings.iter().map(|finding| finding.layer).collect();
        assert_eq!(layers, [Some(3), Some(2), Some(7), None]);
    }

    #[test]
    fn names_are_those_of_the_ecosystem() {
        let sought =
            Sought::of(&[package("PyPI", "Jinja_2", "1.0", None), package("npm", "a.b", "1.0.0", None)], &[]);
        let all = json!([{"introduced": "0"}]);
        let records = vec![
            record("MAL-1", "PyPI", "jinja-2", &all),
            record("GHSA-2", "npm", "a-b", &all),
            record("GHSA-3", "npm", "a.b", &json!([{"introduced": "0"}, {"last_affected": "1.0.0"}])),
        ];
        let expected = [
            "GHSA-3 a.b 1.0.0 HIGH Some(\"a version after 1.0.0\") false",
            "MAL-1 Jinja_2 1.0 HIGH None true",
        ];
        let mut seen = found(&sought, records);
        seen.sort();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_cannot_be_told_is_told() {
        let sought = Sought::of(&[package("npm", "a", "latest", None)], &["x cannot be read".to_owned()]);
        let known = Known {
            records: vec![record("GHSA-1", "npm", "a", &json!([{"introduced": "1.0.0"}]))],
            unread: vec!["npm/GHSA-2.json".to_owned()],
        };
        let expected = [
            "x cannot be read",
            "the advisory `npm/GHSA-2.json` cannot be understood",
            "whether a latest has GHSA-1 (that is no version there)",
        ];
        assert_eq!(
            sought.vulnerabilities(&known),
            Vulnerabilities { findings: Vec::new(), doubts: expected.map(str::to_owned).to_vec() }
        );
    }

    #[test]
    fn of_what_two_sources_found_the_worse_counts_once() {
        let one = |severity, fixed_in: Option<&str>, id: &str| Finding {
            id: id.to_owned(),
            aliases: (id == "CVE-1").then(|| "GHSA-1".to_owned()).into_iter().collect(),
            package: "a".to_owned(),
            version: "1".to_owned(),
            purl: None,
            built: Vec::new(),
            severity,
            fixed_in: fixed_in.map(str::to_owned),
            is_malware: false,
            ..Finding::default()
        };
        let known = |findings, doubt: &str| Vulnerabilities { findings, doubts: vec![doubt.to_owned()] };
        let both = together(
            known(vec![one(Severity::Low, None, "CVE-1")], "x"),
            known(vec![one(Severity::High, Some("2"), "GHSA-1"), one(Severity::Low, None, "CVE-2")], "y"),
        );
        let findings = vec![one(Severity::High, Some("2"), "CVE-1"), one(Severity::Low, None, "CVE-2")];
        assert_eq!(both, Vulnerabilities { findings, doubts: vec!["x".to_owned(), "y".to_owned()] });
    }
}
