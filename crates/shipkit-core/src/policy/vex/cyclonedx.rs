//! CycloneDX 1.4 to 1.7 with an analysis of vulnerabilities.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Identity, Product, Statement, Status, VexError, is_told, parsed, wrong};
use crate::policy::cyclonedx::{Bom, Component};
use crate::policy::purl::{Purl, decoded};

#[derive(Deserialize)]
struct Vulnerability {
    id: Option<String>,
    references: Option<Vec<Reference>>,
    updated: Option<Timestamp>,
    analysis: Option<Analysis>,
    affects: Option<Vec<Affected>>,
}

/// The same vulnerability elsewhere.
#[derive(Deserialize)]
struct Reference {
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Analysis {
    state: Option<String>,
    justification: Option<String>,
    detail: Option<String>,
    last_updated: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(rename = "ref")]
    reference: String,
    versions: Option<Vec<Version>>,
}

#[derive(Deserialize)]
struct Version {
    version: Option<String>,
}

/// What the document is about, and what is in it.
struct Contents {
    subject: Identity,
    subject_reference: Option<String>,
    components: BTreeMap<String, Identity>,
}

fn identity(of: &Component) -> Identity {
    let mut identity = Identity::default();
    of.purl.iter().for_each(|purl| identity.take(purl));
    if of.kind == "container" {
        of.version.iter().for_each(|version| identity.take(&format!("image@{version}")));
    }
    identity
}

impl Contents {
    /// What a reference means, in this document or by itself.
    fn products(&self, affected: &Affected) -> Result<Vec<Product>, String> {
        let link = affected.reference.strip_prefix("urn:cdx:").and_then(|link| link.split_once('#'));
        let reference = link.map_or(affected.reference.as_str(), |(_, last)| last);
        let reference =
            if link.is_some() { decoded(reference).unwrap_or_default() } else { reference.to_owned() };
        if self.subject_reference.as_deref() == Some(&reference) {
            return Ok(self.subject.products(&[]));
        }
        let mut identity = self.components.get(&reference).cloned().unwrap_or_default();
        if identity.packages.is_empty() && identity.digests.is_empty() {
            identity.take(&reference);
        }
        if identity.packages.is_empty() && identity.digests.is_empty() {
            return Err(format!(
                "is about `{reference}`, which is neither a package URL nor the reference of a component with one"
            ));
        }
        let versions = affected.versions.as_deref().unwrap_or_default();
        if !versions.is_empty() {
            let told: Option<Vec<_>> = versions.iter().map(|one| one.version.as_deref()).collect();
            let told = told.ok_or("is about a range of versions, which cannot be told here")?;
            let with = |purl: &Purl| -> Vec<Purl> {
                told.iter().map(|version| purl.clone().with_version(Some(version))).collect()
            };
            identity.packages = identity.packages.iter().flat_map(with).collect();
        }
        let is_image = !self.subject.digests.is_empty() && identity.digests.is_empty();
        Ok(if is_image { self.subject.products(&[identity]) } else { identity.products(&[]) })
    }
}

/// A statement; none where nobody has said anything yet.
fn statement(
    vulnerability: &Vulnerability,
    contents: &Contents,
    document: Option<Timestamp>,
) -> Result<Option<Statement>, VexError> {
    let Vulnerability { id, references, updated, analysis, affects } = vulnerability;
    let Some(Analysis { state: Some(state), justification, detail, last_updated }) = analysis else {
        return Ok(None);
    };
    let others = references.iter().flatten().filter_map(|one| one.id.clone());
    let names: Vec<_> = id.iter().cloned().chain(others).collect();
    if names.is_empty() {
        return Err(wrong(&names, "cannot be told apart from others"));
    }
    let status = match state.as_str() {
        "not_affected" if !is_told(justification.as_ref()) && !is_told(detail.as_ref()) => {
            return Err(wrong(&names, "says `not_affected`, and has neither `justification` nor `detail`"));
        }
        "not_affected" | "false_positive" => Status::NotAffected,
        "resolved" | "resolved_with_pedigree" => Status::Fixed,
        "exploitable" => Status::Affected,
        "in_triage" => Status::UnderInvestigation,
        other => return Err(wrong(&names, format!("has the state `{other}`, which there is not"))),
    };
    let mut products = Vec::new();
    for affected in affects.iter().flatten() {
        products.extend(contents.products(affected).map_err(|why| wrong(&names, why))?);
    }
    if products.is_empty() {
        return Err(wrong(&names, "names no product"));
    }
    // One without any time is older than all others.
    let time = last_updated.or(*updated).or(document).unwrap_or(Timestamp::MIN);
    Ok(Some(Statement { names, status, time, products }))
}

pub(super) fn read(value: Value) -> Result<Vec<Statement>, VexError> {
    let bom: Bom<Vulnerability> = parsed("CycloneDX", value)?;
    let referred = |component: &Component| Some((component.reference.clone()?, identity(component)));
    let contents = Contents {
        subject: bom.subject().map(identity).unwrap_or_default(),
        subject_reference: bom.subject().and_then(|subject| subject.reference.clone()),
        components: bom.all().into_iter().filter_map(referred).collect(),
    };
    let time = bom.metadata.and_then(|metadata| metadata.timestamp);
    let time: Option<Timestamp> = time.map(|time| parsed("CycloneDX", time)).transpose()?;
    let vulnerabilities = bom.vulnerabilities.iter().flatten();
    vulnerabilities.filter_map(|one| statement(one, &contents, time).transpose()).collect()
}
