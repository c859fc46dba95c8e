//! `Finding`: one vulnerability in one image, read from the report of a scanner.

use serde::Deserialize;

/// How bad a finding is. `Unknown` is a class of its own: it is reported, and it is below every threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nobody has said yet.
    Unknown,
    /// Grype's `Negligible` too.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

/// One vulnerability of one package in one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `CVE-2026-1234`, `GHSA-...`.
    pub id: String,
    /// Other names of the same vulnerability.
    pub aliases: Vec<String>,
    /// The package it is in.
    pub package: String,
    /// The version that is installed.
    pub version: String,
    /// How bad it is.
    pub severity: Severity,
    /// The version that mends it, where there is one.
    pub fixed_in: Option<String>,
    /// The package itself is the attack: no policy lets that pass.
    pub is_malware: bool,
}

impl Finding {
    /// Whether both are about one vulnerability, by any of its names.
    #[must_use]
    pub fn is_one_with(&self, other: &Self) -> bool {
        let names = || std::iter::once(&self.id).chain(&self.aliases);
        names().any(|name| *name == other.id || other.aliases.contains(name))
    }
}

/// A scanner's report about one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `trivy` or `grype`.
    pub scanner: &'static str,
    /// The digests that the scanner says it looked at; empty where it does not say.
    pub digests: Vec<String>,
    /// What it found.
    pub findings: Vec<Finding>,
}

/// Why a report cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not JSON.
    #[error("it is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but of no scanner we read.
    #[error("it is neither a Trivy report (`SchemaVersion`, `Results`) nor a Grype report (`matches`)")]
    UnknownFormat,
    /// The right outline with a wrong part.
    #[error("the {scanner} report is malformed")]
    Malformed {
        /// Whose report it is.
        scanner: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Severity {
    /// The word, as scanners write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }

    /// The severity that a scanner's word means; a word nobody knows is `Unknown`.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word.to_ascii_uppercase().as_str() {
            "LOW" | "NEGLIGIBLE" => Self::Low,
            "MEDIUM" => Self::Medium,
            "HIGH" => Self::High,
            "CRITICAL" => Self::Critical,
            _ => Self::Unknown,
        }
    }
}

/// Whether a record is about a package that is itself the attack: as in github.com/ossf/malicious-packages.
fn is_malware(id: &str) -> bool {
    id.starts_with("MAL-")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Trivy {
    metadata: Option<TrivyMetadata>,
    // Trivy leaves `Results` out, or writes null, where it found no package manager.
    results: Option<Vec<TrivyResult>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TrivyMetadata {
    repo_digests: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TrivyResult {
    vulnerabilities: Option<Vec<TrivyVulnerability>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TrivyVulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    pkg_name: String,
    installed_version: String,
    #[serde(default)]
    fixed_version: String,
    #[serde(default)]
    severity: String,
}

#[derive(Deserialize)]
struct Grype {
    matches: Vec<GrypeMatch>,
    source: Option<GrypeSource>,
}

#[derive(Deserialize)]
struct GrypeSource {
    target: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrypeMatch {
    vulnerability: GrypeVulnerability,
    artifact: GrypeArtifact,
    /// The same vulnerability elsewhere: the CVE of a GHSA.
    #[serde(default)]
    related_vulnerabilities: Vec<GrypeRelated>,
}

#[derive(Deserialize)]
struct GrypeRelated {
    id: String,
}

#[derive(Deserialize)]
struct GrypeVulnerability {
    id: String,
    #[serde(default)]
    severity: String,
    fix: Option<GrypeFix>,
}

#[derive(Deserialize)]
struct GrypeFix {
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct GrypeArtifact {
    name: String,
    version: String,
}

impl Report {
    /// Reads a JSON report of Trivy (`trivy image --format json`) or Grype (`grype -o json`); which one, it finds out.
    ///
    /// # Errors
    /// When it is neither, or malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(ReportError::NotJson)?;
        if value.get("SchemaVersion").is_some() {
            let report = serde_json::from_value(value)
                .map_err(|source| ReportError::Malformed { scanner: "trivy", source })?;
            Ok(Self::from_trivy(report))
        } else if value.get("matches").is_some() {
            let report = serde_json::from_value(value)
                .map_err(|source| ReportError::Malformed { scanner: "grype", source })?;
            Ok(Self::from_grype(report))
        } else {
            Err(ReportError::UnknownFormat)
        }
    }

    fn from_trivy(report: Trivy) -> Self {
        let findings =
            report.results.into_iter().flatten().filter_map(|result| result.vulnerabilities).flatten();
        let findings = findings.map(|found| Finding {
            severity: Severity::from_word(&found.severity),
            is_malware: is_malware(&found.id),
            id: found.id,
            aliases: Vec::new(),
            package: found.pkg_name,
            version: found.installed_version,
            fixed_in: Some(found.fixed_version).filter(|version| !version.is_empty()),
        });
        let digests = report.metadata.and_then(|metadata| metadata.repo_digests).unwrap_or_default();
        Self { scanner: "trivy", digests: digests_of(&digests), findings: findings.collect() }
    }

    fn from_grype(report: Grype) -> Self {
        let findings = report.matches.into_iter().map(|found| Finding {
            severity: Severity::from_word(&found.vulnerability.severity),
            is_malware: is_malware(&found.vulnerability.id),
            id: found.vulnerability.id,
            aliases: found.related_vulnerabilities.into_iter().map(|related| related.id).collect(),
            package: found.artifact.name,
            version: found.artifact.version,
            fixed_in: found.vulnerability.fix.and_then(|fix| fix.versions.into_iter().next()),
        });
        let target = report.source.map(|source| source.target).unwrap_or_default();
        let text = |key: &str| target.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        let repo_digests =
            target.get("repoDigests").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
        let mut digests: Vec<_> =
            repo_digests.iter().filter_map(|digest| digest.as_str().map(str::to_owned)).collect();
        digests.extend(text("manifestDigest"));
        Self { scanner: "grype", digests: digests_of(&digests), findings: findings.collect() }
    }

    /// Whether the report is about one of these digests, as far as it says what it is about.
    #[must_use]
    pub fn is_about<'a>(&self, mut digests: impl Iterator<Item = &'a str>) -> bool {
        self.digests.is_empty() || digests.any(|digest| self.digests.iter().any(|own| own == digest))
    }
}

fn digests_of(references: &[String]) -> Vec<String> {
    references.iter().map(|reference| reference.rsplit('@').next().unwrap_or(reference).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIVY: &str = r#"{"SchemaVersion": 2, "Metadata": {"RepoDigests": ["acme/api@sha256:aa"]}, "Results": [
        {"Target": "debian", "Vulnerabilities": [
            {"VulnerabilityID": "CVE-1", "PkgName": "zlib1g", "InstalledVersion": "1.2", "FixedVersion": "1.3", "Severity": "HIGH"},
            {"VulnerabilityID": "CVE-2", "PkgName": "bash", "InstalledVersion": "5.2", "Severity": "UNKNOWN"}]},
        {"Target": "node"}, {"Target": "pip", "Vulnerabilities": null}]}"#;
    const GRYPE: &str = r#"{"matches": [
        {"vulnerability": {"id": "CVE-1", "severity": "Negligible", "fix": {"versions": ["1.3"], "state": "fixed"}},
         "artifact": {"name": "zlib1g", "version": "1.2"}},
        {"vulnerability": {"id": "CVE-2", "severity": "Critical", "fix": {"versions": [], "state": "not-fixed"}},
         "artifact": {"name": "bash", "version": "5.2"}}],
        "source": {"target": {"manifestDigest": "sha256:bb", "repoDigests": ["acme/api@sha256:aa"]}}}"#;

    #[test]
    fn both_scanners_give_the_same_kind_of_finding() {
        for (text, scanner, severities) in [
            (TRIVY, "trivy", [Severity::High, Severity::Unknown]),
            (GRYPE, "grype", [Severity::Low, Severity::Critical]),
        ] {
            let report = Report::parse(text.as_bytes()).unwrap();
            assert_eq!(report.scanner, scanner);
            assert_eq!(report.findings.iter().map(|f| f.severity).collect::<Vec<_>>(), severities);
            assert_eq!(
                report.findings.iter().map(|f| f.fixed_in.as_deref()).collect::<Vec<_>>(),
                [Some("1.3"), None]
            );
            assert!(report.is_about(["sha256:aa"].into_iter()));
            assert!(!report.is_about(["sha256:cc"].into_iter()));
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert!(matches!(Report::parse(b"<html>"), Err(ReportError::NotJson(_))));
        assert!(matches!(Report::parse(b"{}"), Err(ReportError::UnknownFormat)));
        assert!(matches!(
            Report::parse(br#"{"matches": 1}"#),
            Err(ReportError::Malformed { scanner: "grype", .. })
        ));
        assert!(matches!(
            Report::parse(br#"{"SchemaVersion": 2, "Results": {}}"#),
            Err(ReportError::Malformed { .. })
        ));
    }
}
