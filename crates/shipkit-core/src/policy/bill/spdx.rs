//! SPDX 2.2 and 2.3 as JSON.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::{Bill, BillError, digests_of, parsed};

const FORMAT: &str = "SPDX";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    name: Option<String>,
    comment: Option<String>,
    creation_info: Option<CreationInfo>,
    packages: Option<Vec<Package>>,
    relationships: Option<Vec<Relationship>>,
    #[serde(rename = "documentDescribes")]
    describes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CreationInfo {
    creators: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
    #[serde(default)]
    name: String,
    version_info: Option<String>,
    source_info: Option<String>,
    primary_package_purpose: Option<String>,
    external_refs: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_type: String,
    reference_locator: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    #[serde(rename = "relationshipType")]
    kind: String,
    related_spdx_element: String,
}

impl Package {
    fn purls(&self) -> impl Iterator<Item = &str> {
        let is_purl = |one: &&Reference| one.reference_type == "purl";
        self.external_refs.iter().flatten().filter(is_purl).map(|one| one.reference_locator.as_str())
    }

    /// `built package from: openssl 3.0-1`, as Trivy writes it.
    fn source(&self) -> Option<(String, Option<String>)> {
        let (_, source) = self.source_info.as_deref()?.split_once("built package from: ")?;
        let (name, version) = source.trim().split_once(' ')?;
        Some((name.to_owned(), Some(version.to_owned())))
    }
}

pub(super) fn read(value: Value) -> Result<Bill, BillError> {
    let document: Document = parsed(FORMAT, value)?;
    let described = document.described();
    let mut bill = Bill { format: FORMAT, name: document.name.unwrap_or_default(), ..Bill::default() };
    // Ours have no other place for what could not be read.
    let creators = document.creation_info.and_then(|info| info.creators).unwrap_or_default();
    let is_ours = creators.iter().any(|creator| creator.starts_with("Tool: image-scan-"));
    bill.doubts.extend(document.comment.filter(|comment| is_ours && !comment.is_empty()));
    for package in document.packages.iter().flatten() {
        let is_image =
            package.purls().any(|purl| purl.starts_with("pkg:oci/") || purl.starts_with("pkg:docker/"));
        let version = package.version_info.as_deref().unwrap_or_default();
        let purl = package.purls().next();
        match package.primary_package_purpose.as_deref() {
            Some("OPERATING-SYSTEM" | "OPERATING_SYSTEM") => {
                bill.system = Some((package.name.clone(), version.to_owned()));
            }
            Some("FILE" | "DEVICE") => {}
            // What it is about, and not what is in that.
            purpose if is_image || purpose == Some("CONTAINER") => {
                bill.digests.extend(digests_of(package.purls().chain([version])));
            }
            _ if described.contains(&package.id) => {}
            // A lock file, under which the packages that it lists stand.
            Some("APPLICATION") if purl.is_none() && version.is_empty() => {}
            Some(_) | None => bill.take(&package.name, purl, package.source()),
        }
    }
    Ok(bill)
}

impl Document {
    /// What the document is about; where it is about several, those may well be the packages themselves.
    fn described(&self) -> BTreeSet<String> {
        let is_about =
            |one: &&Relationship| one.spdx_element_id == "SPDXRef-DOCUMENT" && one.kind == "DESCRIBES";
        let related = self.relationships.iter().flatten().filter(is_about);
        let related = related.map(|one| one.related_spdx_element.clone());
        let all: BTreeSet<_> = related.chain(self.describes.iter().flatten().cloned()).collect();
        if all.len() == 1 { all } else { BTreeSet::new() }
    }
}
