//! JSON of `osv-scanner --format json`, in its two generations.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{Report, ReportError, day, digests_of, failed, is_malware, named, parsed, title};
use crate::policy::finding::{Finding, Severity};
use crate::policy::purl::Purl;

const SCANNER: &str = "osv-scanner";

#[derive(Deserialize)]
struct OsvScanner {
    // An empty list is a scan that found nothing; null is no scan.
    results: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(alias = "packageSource")]
    source: Option<Source>,
    packages: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(alias = "Package")]
    package: Named,
    vulnerabilities: Option<Vec<Record>>,
    groups: Option<Vec<Group>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    ecosystem: String,
}

/// Records of the same vulnerability.
#[derive(Deserialize)]
struct Group {
    ids: Vec<String>,
    aliases: Option<Vec<String>>,
    /// A score as a text, or an empty one.
    max_severity: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    aliases: Option<Vec<String>>,
    upstream: Option<Vec<String>>,
    summary: Option<String>,
    published: Option<String>,
    severity: Option<Vec<Score>>,
    affected: Option<Vec<Affected>>,
    database_specific: Option<Value>,
}

#[derive(Deserialize)]
struct Score {
    #[serde(rename = "type")]
    method: String,
    score: String,
}

#[derive(Deserialize)]
struct Affected {
    package: Option<AffectedPackage>,
    severity: Option<Vec<Score>>,
    ranges: Option<Vec<Range>>,
    ecosystem_specific: Option<Value>,
}

#[derive(Deserialize)]
struct AffectedPackage {
    #[serde(default)]
    name: String,
    #[serde(default)]
    ecosystem: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "type", default)]
    kind: String,
    events: Option<Vec<Event>>,
}

#[derive(Deserialize)]
struct Event {
    fixed: Option<String>,
}

impl Named {
    fn is_meant_by(&self, affected: &Affected) -> bool {
        affected.package.as_ref().is_some_and(|its| its.name == self.name && its.ecosystem == self.ecosystem)
    }
}

/// The word of the distribution, else CVSS, else the word of the database: as advisories are judged that are looked up here.
fn severity(records: &[&Record], package: &Named, score: Option<&str>) -> Severity {
    let entries = || {
        records.iter().flat_map(|one| one.affected.iter().flatten()).filter(|one| package.is_meant_by(one))
    };
    let word = |value: Option<&Value>, key: &str| {
        value.and_then(|value| value.get(key)).and_then(Value::as_str).and_then(Severity::of_word)
    };
    let urgency = entries().filter_map(|entry| word(entry.ecosystem_specific.as_ref(), "urgency")).max();
    let scores = || {
        let own = records.iter().flat_map(|record| record.severity.iter().flatten());
        entries().flat_map(|entry| entry.severity.iter().flatten()).chain(own)
    };
    let vector = |method: &str| {
        scores().filter(|one| one.method == method).filter_map(|one| Severity::of_vector(&one.score)).max()
    };
    let score = score.and_then(|score| score.parse().ok()).and_then(Severity::of_score);
    let database =
        records.iter().filter_map(|record| word(record.database_specific.as_ref(), "severity")).max();
    urgency
        .or(score)
        .or_else(|| ["CVSS_V4", "CVSS_V3", "CVSS_V2"].into_iter().find_map(vector))
        .or(database)
        .unwrap_or(Severity::Unknown)
}

/// Every version that mends it: which of them comes next is for the ecosystem to say.
fn fixed_in(records: &[&Record], package: &Named) -> Option<String> {
    let entries =
        records.iter().flat_map(|one| one.affected.iter().flatten()).filter(|one| package.is_meant_by(one));
    let ranges = entries.flat_map(|entry| entry.ranges.iter().flatten()).filter(|range| range.kind != "GIT");
    let events = ranges.flat_map(|range| range.events.iter().flatten());
    let mut seen = BTreeSet::new();
    let versions = events.filter_map(|event| event.fixed.as_deref()).filter(|version| seen.insert(*version));
    let versions: Vec<&str> = versions.collect();
    (!versions.is_empty()).then(|| versions.join(", "))
}

fn finding(records: &[&Record], group: Option<&Group>, package: &Named) -> Finding {
    let ids = group.iter().flat_map(|group| group.ids.iter().chain(group.aliases.iter().flatten()));
    let own = records.iter().flat_map(|one| {
        std::iter::once(&one.id).chain(one.aliases.iter().flatten()).chain(one.upstream.iter().flatten())
    });
    let (id, aliases) = named(ids.chain(own).cloned());
    let score = group.and_then(|group| group.max_severity.as_deref());
    Finding {
        is_malware: is_malware(std::iter::once(&id).chain(&aliases).map(String::as_str)),
        id,
        aliases,
        package: package.name.clone(),
        version: package.version.clone(),
        purl: Purl::of(&package.ecosystem, &package.name, &package.version).map(|purl| purl.to_string()),
        built: Vec::new(),
        severity: severity(records, package, score),
        fixed_in: fixed_in(records, package),
        title: title(records.iter().find_map(|one| one.summary.as_deref())),
        published: records.iter().filter_map(|one| day(one.published.as_deref())).min(),
        ..Finding::default()
    }
}

impl Listed {
    fn findings(&self) -> Vec<Finding> {
        let records: Vec<&Record> = self.vulnerabilities.iter().flatten().collect();
        let groups = self.groups.as_deref().unwrap_or_default();
        let mut by_id: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, record) in records.iter().enumerate() {
            by_id.entry(&record.id).or_default().push(at);
        }
        let of_group = |group: &Group| {
            // In the order of the records.
            let places = group.ids.iter().filter_map(|id| by_id.get(id.as_str())).flatten();
            let places: BTreeSet<&usize> = places.collect();
            let members: Vec<_> = places.into_iter().filter_map(|at| records.get(*at)).copied().collect();
            finding(&members, Some(group), &self.package)
        };
        let in_groups: BTreeSet<&str> =
            groups.iter().flat_map(|group| &group.ids).map(String::as_str).collect();
        let alone = records.iter().copied().filter(|record| !in_groups.contains(record.id.as_str()));
        groups
            .iter()
            .map(of_group)
            .chain(alone.map(|record| finding(&[record], None, &self.package)))
            .collect()
    }
}

pub(super) fn read(value: Value) -> Result<Report, ReportError> {
    for key in ["error", "errors"] {
        match value.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Array(errors)) if errors.is_empty() => {}
            Some(said) => return Err(failed(SCANNER, said.to_string())),
        }
    }
    let OsvScanner { results } = parsed(SCANNER, value)?;
    let results = results.ok_or_else(|| failed(SCANNER, "it has no list of results"))?;
    let paths = results.iter().filter_map(|entry| entry.source.as_ref()).map(|source| source.path.as_str());
    let packages = results.iter().flat_map(|entry| entry.packages.iter().flatten());
    Ok(Report {
        scanner: SCANNER,
        digests: digests_of(paths.filter(|path| path.contains("@sha256:"))),
        findings: packages.flat_map(Listed::findings).collect(),
        doubts: Vec::new(),
    })
}
