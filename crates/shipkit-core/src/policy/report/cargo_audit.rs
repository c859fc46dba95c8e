//! JSON of `cargo audit --json`.

use serde::Deserialize;
use serde_json::Value;

use super::{Report, ReportError, day, is_malware, named, parsed, title};
use crate::policy::finding::{Finding, Severity};
use crate::policy::purl::Purl;

const SCANNER: &str = "cargo audit";

#[derive(Deserialize)]
struct CargoAudit {
    lockfile: Lockfile,
    vulnerabilities: Vulnerabilities,
}

#[derive(Deserialize)]
struct Lockfile {
    #[serde(rename = "dependency-count")]
    dependency_count: Option<u64>,
}

#[derive(Deserialize)]
struct Vulnerabilities {
    count: Option<usize>,
    list: Vec<Vulnerability>,
}

#[derive(Deserialize)]
struct Vulnerability {
    advisory: Advisory,
    versions: Option<Versions>,
    package: Package,
}

#[derive(Deserialize)]
struct Advisory {
    id: String,
    aliases: Option<Vec<String>>,
    cvss: Option<String>,
    title: Option<String>,
    date: Option<String>,
}

#[derive(Deserialize)]
struct Versions {
    patched: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

impl Vulnerability {
    fn finding(self) -> Finding {
        let Advisory { id, aliases, cvss, title: said, date } = self.advisory;
        let (id, aliases) = named(std::iter::once(id).chain(aliases.into_iter().flatten()));
        let patched = self.versions.and_then(|versions| versions.patched).unwrap_or_default();
        let patched: Vec<_> =
            patched.iter().map(|range| range.trim().trim_start_matches(['>', '=', '^', ' '])).collect();
        let Package { name, version } = self.package;
        Finding {
            is_malware: is_malware([id.as_str()]),
            id,
            aliases,
            purl: Purl::of("crates.io", &name, &version).map(|purl| purl.to_string()),
            built: Vec::new(),
            package: name,
            version,
            severity: cvss.as_deref().and_then(Severity::of_vector).unwrap_or(Severity::Unknown),
            fixed_in: (!patched.is_empty()).then(|| patched.join(", ")),
            title: title(said.as_deref()),
            published: day(date.as_deref()),
            ..Finding::default()
        }
    }
}

pub(super) fn read(value: Value) -> Result<Report, ReportError> {
    let CargoAudit { lockfile, vulnerabilities } = parsed(SCANNER, value)?;
    let Vulnerabilities { count, list } = vulnerabilities;
    let mut doubts = Vec::new();
    if lockfile.dependency_count == Some(0) {
        doubts.push("cargo audit looked at no package".to_owned());
    }
    if let Some(count) = count
        && list.len() < count
    {
        doubts.push(format!("cargo audit counts {count} vulnerabilities and lists {}", list.len()));
    }
    let findings = list.into_iter().map(Vulnerability::finding).collect();
    Ok(Report { scanner: SCANNER, digests: Vec::new(), findings, doubts })
}
