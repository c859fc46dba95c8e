//! JSON of `trivy image --format json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Report, ReportError, day, digests_of, is_malware, parsed, title};
use crate::policy::finding::{Finding, Severity};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Trivy {
    metadata: Option<Metadata>,
    // Left out, or null, where it found nothing that it could have looked at.
    results: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    repo_digests: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    /// `os-pkgs`, `lang-pkgs`, `secret`, `config`, `license`; reports of 2020 have none.
    class: Option<String>,
    vulnerabilities: Option<Vec<Vulnerability>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    #[serde(rename = "VendorIDs")]
    vendor_ids: Option<Vec<String>>,
    pkg_name: String,
    pkg_identifier: Option<Identifier>,
    installed_version: String,
    #[serde(default)]
    fixed_version: String,
    #[serde(default)]
    severity: String,
    #[serde(rename = "CVSS")]
    cvss: Option<BTreeMap<String, Cvss>>,
    title: Option<String>,
    published_date: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "PURL")]
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Cvss {
    #[serde(rename = "V40Vector")]
    v4: Option<String>,
    #[serde(rename = "V3Vector")]
    v3: Option<String>,
    #[serde(rename = "V2Vector")]
    v2: Option<String>,
}

impl Vulnerability {
    /// Trivy's own word, which it chose among those of its sources, else the worst vector of the newest method.
    fn severity(&self) -> Severity {
        let scores = || self.cvss.iter().flatten().map(|(_, score)| score);
        let worst = |vector: fn(&Cvss) -> Option<&String>| {
            scores().filter_map(vector).filter_map(|vector| Severity::of_vector(vector)).max()
        };
        Severity::of_word(&self.severity)
            .or_else(|| worst(|score| score.v4.as_ref()))
            .or_else(|| worst(|score| score.v3.as_ref()))
            .or_else(|| worst(|score| score.v2.as_ref()))
            .unwrap_or(Severity::Unknown)
    }

    fn finding(self) -> Finding {
        Finding {
            severity: self.severity(),
            is_malware: is_malware([self.id.as_str()]),
            id: self.id,
            aliases: self.vendor_ids.unwrap_or_default(),
            package: self.pkg_name,
            version: self.installed_version,
            purl: self.pkg_identifier.and_then(|identifier| identifier.purl).filter(|purl| !purl.is_empty()),
            built: Vec::new(),
            fixed_in: Some(self.fixed_version).filter(|version| !version.is_empty()),
            title: title(self.title.as_deref()),
            published: day(self.published_date.as_deref()),
            ..Finding::default()
        }
    }
}

pub(super) fn read(value: Value) -> Result<Report, ReportError> {
    let Trivy { metadata, results } = parsed("trivy", value)?;
    let results = results.unwrap_or_default();
    let is_about_packages =
        |entry: &Entry| entry.class.as_deref().is_none_or(|class| class.ends_with("-pkgs"));
    let mut doubts = Vec::new();
    if !results.iter().any(is_about_packages) {
        doubts.push("the trivy report has no result about packages".to_owned());
    }
    let findings = results.into_iter().filter_map(|entry| entry.vulnerabilities).flatten();
    let digests = metadata.and_then(|metadata| metadata.repo_digests).unwrap_or_default();
    Ok(Report {
        scanner: "trivy",
        digests: digests_of(digests.iter().map(String::as_str)),
        findings: findings.map(Vulnerability::finding).collect(),
        doubts,
    })
}
