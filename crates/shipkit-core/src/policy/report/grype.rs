//! JSON of `grype -o json`.

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;

use super::{Report, ReportError, day, digests_of, is_malware, parsed, title};
use crate::policy::finding::{Finding, Severity};

#[derive(Deserialize)]
struct Grype {
    matches: Vec<Match>,
    source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    target: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    vulnerability: Vulnerability,
    artifact: Artifact,
    /// The same vulnerability elsewhere: the CVE of a GHSA.
    #[serde(default)]
    related_vulnerabilities: Vec<Related>,
}

#[derive(Deserialize)]
struct Related {
    id: String,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: String,
    #[serde(default)]
    severity: String,
    cvss: Option<Vec<Cvss>>,
    fix: Option<Fix>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Cvss {
    #[serde(default)]
    vector: String,
}

#[derive(Deserialize)]
struct Fix {
    versions: Option<Vec<String>>,
    available: Option<Vec<Available>>,
}

/// When a version that mends it came out.
#[derive(Deserialize)]
struct Available {
    #[serde(default)]
    version: String,
    date: Option<String>,
}

impl Fix {
    /// The version that mends it, with its day where that is told.
    fn first(&self) -> Option<(&String, Option<Date>)> {
        let version = self.versions.iter().flatten().next()?;
        let mut available = self.available.iter().flatten();
        let available = available.find(|one| one.version == *version);
        Some((version, available.and_then(|one| day(one.date.as_deref()))))
    }
}

#[derive(Deserialize)]
struct Artifact {
    name: String,
    version: String,
    purl: Option<String>,
}

impl Match {
    fn finding(self) -> Finding {
        let Vulnerability { id, severity, cvss, fix, description } = self.vulnerability;
        let fix = fix.as_ref().and_then(Fix::first);
        let vectors = cvss.into_iter().flatten();
        let worst = vectors.filter_map(|cvss| Severity::of_vector(&cvss.vector)).max();
        Finding {
            severity: Severity::of_word(&severity).or(worst).unwrap_or(Severity::Unknown),
            is_malware: is_malware([id.as_str()]),
            id,
            aliases: self.related_vulnerabilities.into_iter().map(|related| related.id).collect(),
            package: self.artifact.name,
            version: self.artifact.version,
            purl: self.artifact.purl.filter(|purl| !purl.is_empty()),
            built: Vec::new(),
            fixed_in: fix.map(|(version, _)| version.clone()),
            fix_published: fix.and_then(|(_, day)| day),
            title: title(description.as_deref()),
            ..Finding::default()
        }
    }
}

pub(super) fn read(value: Value) -> Result<Report, ReportError> {
    let Grype { matches, source } = parsed("grype", value)?;
    let mut doubts = Vec::new();
    if source.is_none() && matches.is_empty() {
        doubts.push("the grype report does not say what was looked at".to_owned());
    }
    let target = source.map(|source| source.target).unwrap_or_default();
    let repo_digests = target.get("repoDigests").and_then(Value::as_array).into_iter().flatten();
    let digests = repo_digests.chain(target.get("manifestDigest")).filter_map(Value::as_str);
    Ok(Report {
        scanner: "grype",
        digests: digests_of(digests),
        findings: matches.into_iter().map(Match::finding).collect(),
        doubts,
    })
}
