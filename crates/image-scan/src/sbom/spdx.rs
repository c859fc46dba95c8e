//! SPDX 2.3 (ISO/IEC 5962 is 2.2.1, of which it is a superset).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{TOOL, VERSION, image_purl, purl};
use crate::report::Judged;

/// The packages of an image. About their licences nothing is said.
pub(super) fn of(image: &Judged, now: Timestamp) -> Value {
    let package = |id: &str, name: &str, version: &str, purl: Option<String>| {
        let references: Vec<_> = purl
            .map(|purl| {
                json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl})
            })
            .into_iter()
            .collect();
        json!({"SPDXID": id, "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION", "supplier": "NOASSERTION", "externalRefs": references})
    };
    let inventory = &image.inventory;
    let digest = image.digest.to_string();
    let whole = package("SPDXRef-Image", &image.name, &digest, image_purl(image));
    let ids: Vec<String> =
        (0..inventory.packages.len()).map(|number| format!("SPDXRef-Package-{number}")).collect();
    let packages = inventory.packages.iter().zip(&ids);
    let packages = packages.map(|(one, id)| package(id, &one.name, &one.version, purl(one, inventory)));
    let relation = |from: &str, kind: &str, to: &str| json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to});
    let describes = relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image");
    let contains = ids.iter().map(|id| relation("SPDXRef-Image", "CONTAINS", id));
    // Created seconds, without a fraction (clause 6.9).
    let created = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let hex = digest.rsplit(':').next().unwrap_or_default();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": image.name,
        "documentNamespace": format!("https://shipkit.dev/spdx/{hex}/{}", now.as_second()),
        "creationInfo": {"created": created, "creators": [format!("Tool: {TOOL}-{VERSION}")]},
        "comment": inventory.doubts.join("; "),
        "packages": std::iter::once(whole).chain(packages).collect::<Vec<_>>(),
        "relationships": std::iter::once(describes).chain(contains).collect::<Vec<_>>(),
    })
}
