//! `Bill`: a bill of materials that somebody else has made, as far as it says which packages there are.

mod cyclonedx;
mod spdx;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::purl::Purl;
use super::report::digests_of;

/// What a bill says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bill {
    /// `CycloneDX`, `SPDX`.
    pub format: &'static str,
    /// What it is about, in its own words; empty where it has none.
    pub name: String,
    /// The digests of the image that it is about, if it is about one.
    pub digests: Vec<String>,
    /// The distribution by its own name, and its version: `debian`, `12`. Not every bill says that apart from its packages.
    pub system: Option<(String, String)>,
    /// Its packages.
    pub packages: Vec<Packaged>,
    /// What cannot be told, a clause each.
    pub doubts: Vec<String>,
}

/// A package of a bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packaged {
    /// What it is, with its version.
    pub purl: Purl,
    /// Its name outside of the package URL, where letters have kept their case.
    pub name: String,
    /// The name of what it was built from, and the version where it has another one.
    pub source: Option<(String, Option<String>)>,
}

/// Why there is no bill. It never means that there are no packages.
#[derive(Debug, thiserror::Error)]
pub enum BillError {
    /// Not JSON.
    #[error("it is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, and of neither format.
    #[error(
        "it is neither CycloneDX 1.4 to 1.7 (`bomFormat`) nor SPDX 2.2 or 2.3 (`spdxVersion`), nor a statement of in-toto about such"
    )]
    UnknownFormat,
    /// The right outline with a wrong part.
    #[error("the {format} document is malformed")]
    Malformed {
        /// Its format.
        format: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Bill {
    /// Reads a bill, or the statement of in-toto in which builders put one.
    ///
    /// # Errors
    /// When it is none of a known format and version.
    pub fn parse(json: &[u8]) -> Result<Self, BillError> {
        let mut value: Value = serde_json::from_slice(json).map_err(BillError::NotJson)?;
        let mut subjects = Vec::new();
        if value.get("predicateType").is_some() {
            subjects = digests_of_subjects(&value);
            value = value.get_mut("predicate").map(Value::take).unwrap_or_default();
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let is_cyclonedx = text("bomFormat") == "CycloneDX"
            && ["1.4", "1.5", "1.6", "1.7"].iter().any(|version| *version == text("specVersion"));
        let is_spdx = matches!(text("spdxVersion"), "SPDX-2.2" | "SPDX-2.3");
        let mut bill = match (is_cyclonedx, is_spdx) {
            (true, _) => cyclonedx::read(value)?,
            (false, true) => spdx::read(value)?,
            (false, false) => return Err(BillError::UnknownFormat),
        };
        bill.digests.extend(subjects);
        bill.digests.sort();
        bill.digests.dedup();
        if bill.packages.is_empty() {
            bill.doubts.push("it lists no packages".to_owned());
        }
        Ok(bill)
    }

    /// Takes a package, or the doubt about what has no usable name.
    fn take(&mut self, name: &str, purl: Option<&str>, source: Option<(String, Option<String>)>) {
        match purl.map(str::parse::<Purl>) {
            Some(Ok(purl)) if purl.version().is_some() => {
                let source = source.or_else(|| upstream(&purl));
                self.packages.push(Packaged { purl, name: name.to_owned(), source });
            }
            Some(Ok(purl)) => self.doubts.push(format!("`{purl:.200}` has no version")),
            Some(Err(error)) => self.doubts.push(format!("`{name:.80}`: {error:.200}")),
            None => self.doubts.push(format!("`{name:.80}` has no package URL")),
        }
    }
}

/// `upstream=openssl@3.0`, or without a version.
fn upstream(purl: &Purl) -> Option<(String, Option<String>)> {
    let upstream = purl.qualifier("upstream")?;
    let (name, version) =
        upstream.split_once('@').map_or((upstream, None), |(name, version)| (name, Some(version)));
    Some((name.to_owned(), version.map(str::to_owned)))
}

fn digests_of_subjects(statement: &Value) -> Vec<String> {
    let subjects = statement.get("subject").and_then(Value::as_array).into_iter().flatten();
    let digests = subjects.filter_map(|subject| subject.pointer("/digest/sha256")?.as_str());
    digests.map(|hex| format!("sha256:{hex}")).collect()
}

fn parsed<T: DeserializeOwned>(format: &'static str, value: Value) -> Result<T, BillError> {
    serde_json::from_value(value).map_err(|source| BillError::Malformed { format, source })
}

#[cfg(test)]
mod tests;
