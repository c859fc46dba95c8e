//! JSON of `npm audit --json`: version 2, which npm writes since 7, and version 1, which pnpm still writes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Report, ReportError, day, failed, is_malware, named, parsed, title};
use crate::policy::finding::{Finding, Severity};
use crate::policy::purl::Purl;

const SCANNER: &str = "npm audit";
/// Embedded malicious code.
const MALWARE: &str = "CWE-506";

#[derive(Deserialize)]
struct Second {
    vulnerabilities: BTreeMap<String, Vulnerable>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    vulnerabilities: Option<Counts>,
    dependencies: Option<Value>,
    #[serde(rename = "totalDependencies")]
    total_dependencies: Option<u64>,
}

#[derive(Deserialize)]
struct Counts {
    total: Option<usize>,
}

/// A package that has a vulnerability, or one below it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vulnerable {
    via: Vec<Via>,
    #[serde(default)]
    range: String,
    fix_available: Option<Fix>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Via {
    /// The name of the package from which it comes.
    Package(String),
    Advisory(Box<Advisory>),
}

#[derive(Deserialize)]
struct Advisory {
    #[serde(alias = "id")]
    source: Option<Value>,
    name: Option<String>,
    title: Option<String>,
    url: Option<String>,
    #[serde(default)]
    severity: String,
    cvss: Option<Cvss>,
    cwe: Option<Cwe>,
    range: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cvss {
    score: Option<f64>,
    vector_string: Option<String>,
}

/// A list, or one of them in reports of version 1.
#[derive(Deserialize)]
#[serde(untagged)]
enum Cwe {
    List(Vec<String>),
    One(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Fix {
    /// Whether there is one.
    Is(bool),
    /// A direct dependency with which it comes.
    With { name: String, version: String },
}

#[derive(Deserialize)]
struct First {
    advisories: BTreeMap<String, FirstAdvisory>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct FirstAdvisory {
    id: Option<Value>,
    github_advisory_id: Option<String>,
    cves: Option<Vec<String>>,
    module_name: String,
    title: Option<String>,
    created: Option<String>,
    #[serde(default)]
    severity: String,
    url: Option<String>,
    cvss: Option<Cvss>,
    cwe: Option<Cwe>,
    patched_versions: Option<String>,
    findings: Option<Vec<Found>>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    version: String,
}

fn is_malicious(cwe: Option<&Cwe>) -> bool {
    match cwe {
        Some(Cwe::List(list)) => list.iter().any(|one| one == MALWARE),
        Some(Cwe::One(one)) => one == MALWARE,
        None => false,
    }
}

fn severity(word: &str, cvss: Option<&Cvss>) -> Severity {
    let vector = || Severity::of_vector(cvss?.vector_string.as_ref()?);
    // A score of 0 is what npm writes where there is none.
    let score = || cvss?.score.filter(|score| 0.0 < *score).and_then(Severity::of_score);
    Severity::of_word(word).or_else(vector).or_else(score).unwrap_or(Severity::Unknown)
}

/// `GHSA-...` of the address of an advisory.
fn of_address(url: Option<&str>) -> Option<String> {
    url?.rsplit('/').next().filter(|last| last.starts_with("GHSA-")).map(str::to_owned)
}

/// A number of npm's own.
fn own_id(id: Option<&Value>) -> Option<String> {
    Some(match id? {
        Value::String(id) => id.clone(),
        Value::Number(id) => format!("npm:{id}"),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    })
}

impl Vulnerable {
    fn fixed_in(&self, package: &str, range: &str) -> Option<String> {
        match self.fix_available.as_ref()? {
            Fix::Is(false) => None,
            Fix::Is(true) => Some(format!("a version outside of {range}")),
            Fix::With { name, version } if name == package => Some(version.clone()),
            Fix::With { name, version } => Some(format!("{name} {version}")),
        }
    }

    fn findings(&self, package: &str) -> Vec<Finding> {
        let advisories = self.via.iter().filter_map(|via| match via {
            Via::Package(_) => None,
            Via::Advisory(advisory) => Some(&**advisory),
        });
        let finding = |advisory: &Advisory| {
            let ids = [of_address(advisory.url.as_deref()), own_id(advisory.source.as_ref())];
            let (id, aliases) = named(ids.into_iter().flatten());
            let name = advisory.name.as_deref().unwrap_or(package);
            let range = advisory.range.as_deref().unwrap_or(&self.range);
            Finding {
                is_malware: is_malicious(advisory.cwe.as_ref()) || is_malware([id.as_str()]),
                id,
                aliases,
                package: name.to_owned(),
                // The report has ranges and folders, and no version.
                version: String::new(),
                purl: Purl::of("npm", name, "").map(|purl| purl.to_string()),
                built: Vec::new(),
                severity: severity(&advisory.severity, advisory.cvss.as_ref()),
                fixed_in: self.fixed_in(name, range),
                title: title(advisory.title.as_deref()),
                ..Finding::default()
            }
        };
        advisories.map(finding).collect()
    }
}

impl FirstAdvisory {
    fn findings(&self) -> Vec<Finding> {
        let ghsa = self.github_advisory_id.clone().or_else(|| of_address(self.url.as_deref()));
        let cves = self.cves.iter().flatten().cloned();
        let (id, aliases) = named(ghsa.into_iter().chain(cves).chain(own_id(self.id.as_ref())));
        let patched = self.patched_versions.as_deref().map(str::trim).unwrap_or_default();
        // Below nothing is how npm says that there is no fix.
        let fixed = patched.trim_start_matches(">=").trim();
        let has_fix = !fixed.is_empty() && !patched.starts_with('<') && patched != "No fix available";
        let finding = |version: &str| Finding {
            id: id.clone(),
            aliases: aliases.clone(),
            package: self.module_name.clone(),
            version: version.to_owned(),
            purl: Purl::of("npm", &self.module_name, version).map(|purl| purl.to_string()),
            built: Vec::new(),
            severity: severity(&self.severity, self.cvss.as_ref()),
            fixed_in: has_fix.then(|| fixed.to_owned()),
            title: title(self.title.as_deref()),
            published: day(self.created.as_deref()),
            is_malware: is_malicious(self.cwe.as_ref()) || is_malware([id.as_str()]),
            ..Finding::default()
        };
        match self.findings.as_deref() {
            None | Some([]) => vec![finding("")],
            Some(found) => found.iter().map(|found| finding(&found.version)).collect(),
        }
    }
}

/// What npm writes in place of a report, if it does.
fn error(value: &Value) -> Option<String> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let error = value.get("error").filter(|error| !error.is_null());
    if let Some(error) = error {
        let said = text(error, "summary").or_else(|| text(error, "message")).or_else(|| text(error, "code"));
        return Some(said.filter(|said| !said.is_empty()).unwrap_or_else(|| error.to_string()));
    }
    let has_report = value.get("vulnerabilities").is_some() || value.get("advisories").is_some();
    text(value, "message").filter(|_| !has_report)
}

fn of_second(value: Value) -> Result<Report, ReportError> {
    let Second { vulnerabilities, metadata } = parsed(SCANNER, value)?;
    let mut doubts = Vec::new();
    for (package, vulnerable) in &vulnerabilities {
        for via in &vulnerable.via {
            if let Via::Package(name) = via
                && !vulnerabilities.contains_key(name)
            {
                doubts.push(format!(
                    "{package} has a vulnerability through {name}, which the report leaves out"
                ));
            }
        }
    }
    let metadata = metadata.ok_or_else(|| failed(SCANNER, "it does not say what was looked at"))?;
    let listed = vulnerabilities.len();
    if let Some(total) = metadata.vulnerabilities.and_then(|counts| counts.total)
        && listed < total
    {
        doubts.push(format!("npm audit counts {total} packages with vulnerabilities and lists {listed}"));
    }
    if metadata.dependencies.as_ref().and_then(|all| all.get("total")).and_then(Value::as_u64) == Some(0) {
        doubts.push("npm audit looked at no package".to_owned());
    }
    let findings = vulnerabilities.iter().flat_map(|(package, vulnerable)| vulnerable.findings(package));
    Ok(Report { scanner: SCANNER, digests: Vec::new(), findings: findings.collect(), doubts })
}

fn of_first(value: Value) -> Result<Report, ReportError> {
    let First { advisories, metadata } = parsed(SCANNER, value)?;
    let mut doubts = Vec::new();
    let looked_at = metadata.and_then(|metadata| metadata.total_dependencies);
    if looked_at == Some(0) || looked_at.is_none() && advisories.is_empty() {
        doubts.push("npm audit looked at no package".to_owned());
    }
    let findings = advisories.values().flat_map(FirstAdvisory::findings).collect();
    Ok(Report { scanner: SCANNER, digests: Vec::new(), findings, doubts })
}

pub(super) fn read(value: Value) -> Result<Report, ReportError> {
    if let Some(said) = error(&value) {
        return Err(failed(SCANNER, said));
    }
    if value.get("advisories").is_some() { of_first(value) } else { of_second(value) }
}
