//! CycloneDX 1.4 to 1.7 as JSON.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Bill, BillError, digests_of, parsed};
use crate::policy::cyclonedx::{Bom, Component};

const FORMAT: &str = "CycloneDX";

pub(super) fn read(value: Value) -> Result<Bill, BillError> {
    let bom: Bom<IgnoredAny> = parsed(FORMAT, value)?;
    let mut bill = Bill { format: FORMAT, ..Bill::default() };
    if let Some(subject) = bom.subject() {
        bill.name = subject.name.clone().unwrap_or_default();
        bill.digests = digests_of(subject.image_references());
    }
    if bom.compositions.as_ref().is_some_and(is_incomplete) {
        bill.doubts.push("it says itself that it is not complete".to_owned());
    }
    let parts = bom.all().into_iter().skip(usize::from(bom.subject().is_some()));
    for component in parts {
        let version = component.version.clone().unwrap_or_default();
        match component.kind.as_str() {
            "operating-system" => {
                bill.system = Some((component.name.clone().unwrap_or_default(), version));
            }
            "file" | "container" | "device" | "data" | "machine-learning-model" | "cryptographic-asset" => {}
            // A lock file, under which the packages that it lists stand.
            "application" if component.purl.is_none() && version.is_empty() => {}
            _ => bill.take(&component.full_name(), component.versioned_purl().as_deref(), source(component)),
        }
    }
    Ok(bill)
}

impl Component {
    /// Its package URL, with the version that stands beside it where it has none of its own.
    fn versioned_purl(&self) -> Option<String> {
        let purl = self.purl.clone()?;
        let version = self.version.as_deref().filter(|version| !version.is_empty());
        match purl.parse::<crate::policy::purl::Purl>() {
            Ok(parsed) if parsed.version().is_none() => Some(parsed.with_version(version).to_string()),
            Ok(_) | Err(_) => Some(purl),
        }
    }
}

/// As Trivy tells it, which has no `upstream` in its package URLs.
fn source(component: &Component) -> Option<(String, Option<String>)> {
    let property = |ending: &'static str| component.properties(ending).next();
    let name = property(":SrcName")?;
    let version = property(":SrcVersion").map(|version| {
        let epoch = property(":SrcEpoch").filter(|epoch| *epoch != "0").map(|epoch| format!("{epoch}:"));
        let release = property(":SrcRelease").map(|release| format!("-{release}"));
        format!("{}{version}{}", epoch.unwrap_or_default(), release.unwrap_or_default())
    });
    Some((name.to_owned(), version))
}

/// Whether an author says of anything that there is more of it.
fn is_incomplete(compositions: &Value) -> bool {
    let aggregates =
        compositions.as_array().into_iter().flatten().filter_map(|one| one.get("aggregate")?.as_str());
    aggregates.into_iter().any(|aggregate| aggregate.starts_with("incomplete"))
}
