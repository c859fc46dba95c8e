//! `Report`: what a scanner says about one image, in any of the formats that are read here.

mod cargo_audit;
mod cyclonedx;
mod grype;
mod npm_audit;
mod osv_scanner;
mod sarif;
mod snyk;
mod trivy;

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::finding::Finding;

/// The version that mends a finding, where a format has no place for it or leaves it open: then nobody knows that there is none, and the
/// finding counts.
const SOME_FIX: &str = "a version that the report does not tell";

/// The most characters of a title.
const TITLE: usize = 200;

/// A scanner's report about one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The scanner, or the format where that is of no scanner: `trivy`, `SARIF`.
    pub scanner: &'static str,
    /// The digests that the scanner says it looked at; empty where it does not say.
    pub digests: Vec<String>,
    /// What it found.
    pub findings: Vec<Finding>,
    /// What it says it could not look at, or gives no sign of having looked at, a clause each.
    pub doubts: Vec<String>,
}

/// Why a report cannot be used. It never means that there are no findings.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not JSON.
    #[error("it is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but of no scanner we read.
    #[error(
        "it is no report that is known here: Trivy (`SchemaVersion`), Grype (`matches`), osv-scanner (`results`), Snyk (`vulnerabilities`, `ok`), \
         SARIF (`runs`), CycloneDX (`bomFormat`), `npm audit` (`auditReportVersion` or `advisories`) or `cargo audit` (`lockfile`), each as JSON"
    )]
    UnknownFormat,
    /// The right outline with a wrong part.
    #[error("the {scanner} report is malformed")]
    Malformed {
        /// Whose report it is.
        scanner: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The report of a scan that did not take place.
    #[error("the {scanner} report is of a scan that failed: {why}")]
    Failed {
        /// Whose report it is.
        scanner: &'static str,
        /// What it says itself.
        why: String,
    },
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Trivy,
    Grype,
    OsvScanner,
    Snyk,
    Sarif,
    CycloneDx,
    NpmAudit,
    CargoAudit,
}

impl Format {
    /// By what is in it. Each of them has a key that no other has.
    fn of(value: &Value) -> Option<Self> {
        // `snyk --all-projects` writes a list.
        let first = value.as_array().map_or(Some(value), |list| list.first())?;
        let has = |key: &str| first.get(key).is_some();
        let is_list = value.is_array();
        let is_error = has("error") || has("message") && (has("statusCode") || has("uri"));
        let signs = [
            (has("ok") && (has("vulnerabilities") || has("error") || is_list), Self::Snyk),
            (has("SchemaVersion"), Self::Trivy),
            (has("bomFormat"), Self::CycloneDx),
            (has("runs"), Self::Sarif),
            (has("matches"), Self::Grype),
            (has("auditReportVersion") || has("advisories"), Self::NpmAudit),
            (has("lockfile") && has("vulnerabilities"), Self::CargoAudit),
            (has("results"), Self::OsvScanner),
            // What npm writes in place of a report, in two generations.
            (is_error, Self::NpmAudit),
        ];
        let format = signs.into_iter().find_map(|(is, format)| is.then_some(format))?;
        (!is_list || format == Self::Snyk).then_some(format)
    }
}

impl Report {
    /// Reads a JSON report of a scanner; of which one, it finds out.
    ///
    /// # Errors
    /// When it is none that is known, malformed, or of a scan that failed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        let value: Value = serde_json::from_slice(bytes).map_err(ReportError::NotJson)?;
        let mut report = match Format::of(&value).ok_or(ReportError::UnknownFormat)? {
            Format::Trivy => trivy::read(value),
            Format::Grype => grype::read(value),
            Format::OsvScanner => osv_scanner::read(value),
            Format::Snyk => snyk::read(value),
            Format::Sarif => sarif::read(value),
            Format::CycloneDx => cyclonedx::read(value),
            Format::NpmAudit => npm_audit::read(value),
            Format::CargoAudit => cargo_audit::read(value),
        }?;
        // Several formats list a package once for each way to it. What differs in anything that is judged stays.
        let mut seen = BTreeSet::new();
        report.findings.retain(|one| {
            let judged = (one.severity, one.fixed_in.clone(), one.is_malware);
            seen.insert((one.id.clone(), one.package.clone(), one.version.clone(), one.purl.clone(), judged))
        });
        Ok(report)
    }

    /// Whether the report is about one of these digests, as far as it says what it is about.
    #[must_use]
    pub fn is_about<'a>(&self, mut digests: impl Iterator<Item = &'a str>) -> bool {
        self.digests.is_empty() || digests.any(|digest| self.digests.iter().any(|own| own == digest))
    }
}

fn parsed<T: DeserializeOwned>(scanner: &'static str, value: Value) -> Result<T, ReportError> {
    serde_json::from_value(value).map_err(|source| ReportError::Malformed { scanner, source })
}

fn failed(scanner: &'static str, why: impl Into<String>) -> ReportError {
    ReportError::Failed { scanner, why: why.into() }
}

/// The digests of references such as `acme/api@sha256:...`; what names none is left out.
pub(super) fn digests_of<'a>(references: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let digest = |reference: &'a str| {
        let digest = reference.rsplit('@').next()?.replace("%3A", ":").replace("%3a", ":");
        let digest = digest.split(['?', '#']).next()?;
        digest.starts_with("sha256:").then(|| digest.to_owned())
    };
    references.into_iter().filter_map(digest).collect()
}

/// The name to show first, which is the CVE where there is one, and the others.
fn named(names: impl IntoIterator<Item = String>) -> (String, Vec<String>) {
    let mut seen = BTreeSet::new();
    let mut all: Vec<String> =
        names.into_iter().filter(|name| !name.is_empty() && seen.insert(name.clone())).collect();
    let first = all.iter().position(|name| name.starts_with("CVE-")).unwrap_or_default();
    let id = if all.is_empty() { String::new() } else { all.remove(first) };
    (id, all)
}

/// What there is of the vulnerability or package where a report names none.
fn or_unnamed(name: Option<String>) -> String {
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "an unnamed package".to_owned())
}

/// The day of a time such as `2026-01-02T03:04:05Z`; what is none tells nothing.
fn day(time: Option<&str>) -> Option<Date> {
    time?.trim().get(..10)?.parse().ok()
}

/// A title out of a text that may be a whole description: its first line, cut where that is long.
fn title(text: Option<&str>) -> String {
    let line = text.and_then(|text| text.trim().lines().next()).unwrap_or_default();
    let cut: String = line.chars().take(TITLE).collect();
    if cut.len() < line.len() { format!("{}...", cut.trim_end()) } else { cut }
}

/// Whether a record is about a package that is itself the attack: as in github.com/ossf/malicious-packages.
fn is_malware<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    names.into_iter().any(|name| name.starts_with("MAL-"))
}

#[cfg(test)]
mod tests;
