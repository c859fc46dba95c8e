//! CycloneDX 1.4 to 1.7 as JSON, with vulnerabilities.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Report, ReportError, SOME_FIX, day, digests_of, failed, is_malware, named, or_unnamed, parsed, title,
};
use crate::policy::cyclonedx::{Bom, Component};
use crate::policy::finding::{Finding, Severity};

const SCANNER: &str = "CycloneDX";

#[derive(Deserialize)]
struct Vulnerability {
    id: Option<String>,
    source: Option<Source>,
    references: Option<Vec<Reference>>,
    ratings: Option<Vec<Rating>>,
    recommendation: Option<String>,
    description: Option<String>,
    published: Option<String>,
    affects: Option<Vec<Affected>>,
}

#[derive(Deserialize)]
struct Source {
    name: Option<String>,
}

/// The same vulnerability elsewhere.
#[derive(Deserialize)]
struct Reference {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Rating {
    source: Option<Source>,
    score: Option<f64>,
    severity: Option<String>,
    method: Option<String>,
    vector: Option<String>,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(rename = "ref")]
    reference: String,
}

impl Vulnerability {
    /// The word of the source of the vulnerability, else the worst word, else vectors, else scores of CVSS: other scores, such as
    /// of EPSS, say something else.
    fn severity(&self) -> Severity {
        let ratings = || self.ratings.iter().flatten();
        let word = |rating: &Rating| rating.severity.as_deref().and_then(Severity::of_word);
        let source = self.source.as_ref().and_then(|source| source.name.as_ref());
        let is_own = |rating: &&Rating| {
            let its = rating.source.as_ref().and_then(|source| source.name.as_ref());
            source.is_some() && source == its
        };
        let is_cvss =
            |rating: &&Rating| rating.method.as_deref().is_some_and(|method| method.starts_with("CVSS"));
        let own = ratings().filter(is_own).filter_map(word).max();
        own.or_else(|| ratings().filter_map(word).max())
            .or_else(|| {
                ratings().filter_map(|rating| rating.vector.as_deref().and_then(Severity::of_vector)).max()
            })
            .or_else(|| {
                ratings().filter(is_cvss).filter_map(|one| one.score.and_then(Severity::of_score)).max()
            })
            .unwrap_or(Severity::Unknown)
    }

    fn findings(&self, known: &BTreeMap<String, &Component>, tells_fixes: bool) -> Vec<Finding> {
        let others = self.references.iter().flatten().filter_map(|one| one.id.clone());
        let (id, aliases) = named(self.id.iter().cloned().chain(others));
        let severity = self.severity();
        let finding = |component: Option<&Component>, reference: &str| Finding {
            id: id.clone(),
            aliases: aliases.clone(),
            package: or_unnamed(Some(component.map_or_else(|| reference.to_owned(), Component::full_name))),
            version: component.and_then(|one| one.version.clone()).unwrap_or_default(),
            purl: component.and_then(|one| one.purl.clone()),
            built: Vec::new(),
            severity,
            fixed_in: fixed_in(self.recommendation.as_deref(), tells_fixes),
            is_malware: is_malware(std::iter::once(&id).chain(&aliases).map(String::as_str)),
            title: title(self.description.as_deref()),
            published: day(self.published.as_deref()),
            ..Finding::default()
        };
        let affected = self.affects.as_deref().unwrap_or_default();
        if affected.is_empty() {
            return vec![finding(None, "")];
        }
        let component = |reference: &str| known.get(last(reference)).copied();
        affected.iter().map(|one| finding(component(&one.reference), last(&one.reference))).collect()
    }
}

/// Of a link into another document (`urn:cdx:...#ref`) what it links to.
fn last(reference: &str) -> &str {
    reference
        .strip_prefix("urn:cdx:")
        .and_then(|link| link.split_once('#'))
        .map_or(reference, |(_, last)| last)
}

/// As Trivy writes: `Upgrade zlib to version 1.3; Upgrade ...`.
fn fixed_in(recommendation: Option<&str>, tells_fixes: bool) -> Option<String> {
    match recommendation.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => {
            let version = text.split_once(" to version ").map(|(_, rest)| rest);
            let version = version.and_then(|rest| rest.split([';', '\n']).next());
            Some(version.map_or(SOME_FIX, str::trim).to_owned())
        }
        None if tells_fixes => None,
        None => Some(SOME_FIX.to_owned()),
    }
}

pub(super) fn read(value: Value) -> Result<Report, ReportError> {
    let bom: Bom<Vulnerability> = parsed(SCANNER, value)?;
    let vulnerabilities = bom
        .vulnerabilities
        .as_deref()
        .ok_or_else(|| failed(SCANNER, "it lists components, and nobody looked for vulnerabilities"))?;
    let named = |component: &'_ Component| component.reference.clone();
    let known: BTreeMap<_, _> =
        bom.all().into_iter().filter_map(|component| Some((named(component)?, component))).collect();
    let tools = bom.metadata.as_ref().and_then(|metadata| metadata.tools.as_ref());
    let tells_fixes = tools.is_some_and(|tools| tools.to_string().contains("\"trivy\""));
    let mut doubts = Vec::new();
    if vulnerabilities.is_empty() {
        // Trivy writes an empty list also where it was not asked to look for any.
        doubts.push(
            "the CycloneDX document lists no vulnerabilities, and nothing in it says that somebody looked"
                .to_owned(),
        );
    }
    let findings = vulnerabilities.iter().flat_map(|one| one.findings(&known, tells_fixes)).collect();
    let digests = bom.subject().map(|image| digests_of(image.image_references())).unwrap_or_default();
    Ok(Report { scanner: SCANNER, digests, findings, doubts })
}
