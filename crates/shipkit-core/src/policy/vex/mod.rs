//! `Vex`: what documents say of vulnerabilities that are none in an image, or are mended there.

mod csaf;
mod cyclonedx;
mod openvex;

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::finding::Finding;
use super::purl::Purl;

/// Documents, and the image that they are asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vex {
    /// In the order in which they are given.
    pub documents: Vec<Document>,
    /// The digests of the image: its own, and that of the index which lists it.
    pub image: Vec<String>,
}

/// A document with statements, of any of the three formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its file.
    pub name: String,
    statements: Vec<Statement>,
}

/// Why a document cannot be used. It never means that it says nothing.
#[derive(Debug, thiserror::Error)]
pub enum VexError {
    /// Not JSON.
    #[error("it is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, and of none of the formats.
    #[error("it is neither OpenVEX (`@context`), nor CSAF (`document`), nor CycloneDX (`bomFormat`)")]
    UnknownFormat,
    /// The right outline with a wrong part.
    #[error("the {format} document is malformed")]
    Malformed {
        /// Its format.
        format: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A document without a statement.
    #[error("the {0} document makes no statement")]
    Empty(&'static str),
    /// A statement that says less than one must.
    #[error("its statement about {about} {why}")]
    Statement {
        /// The vulnerability.
        about: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What somebody says of vulnerabilities in products.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    /// All names of the vulnerability.
    names: Vec<String>,
    status: Status,
    time: Timestamp,
    products: Vec<Product>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    NotAffected,
    Affected,
    Fixed,
    UnderInvestigation,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Product {
    /// Everything in an image.
    Image(String),
    /// A package in an image that has one of these digests.
    Part(Arc<[String]>, Purl),
    /// A package, wherever it is.
    Package(Purl),
    /// What cannot be told here: a name, a CPE, an image without a digest, a package inside of another one.
    Other,
}

/// What is known of a product or a component.
#[derive(Debug, Clone, Default)]
struct Identity {
    /// Digests of images.
    digests: Vec<String>,
    packages: Vec<Purl>,
}

impl Status {
    fn takes_out(self) -> bool {
        match self {
            Self::NotAffected | Self::Fixed => true,
            Self::Affected | Self::UnderInvestigation => false,
        }
    }
}

impl Identity {
    /// Takes a package URL, or a reference with a digest; other texts say nothing here.
    fn take(&mut self, text: &str) {
        match text.parse::<Purl>() {
            Ok(purl) if purl.is_image() => self.digests.extend(purl.image_digest().map(str::to_owned)),
            Ok(purl) => self.packages.push(purl),
            Err(_) => {
                let digest = text.rsplit_once('@').map(|(_, digest)| digest);
                self.digests.extend(digest.filter(|digest| is_digest(digest)).map(str::to_owned));
            }
        }
    }

    /// Takes the hash of an image. That of a file of a package is of no use.
    fn take_hash(&mut self, algorithm: &str, value: &str) {
        let digest = format!("sha256:{}", value.to_ascii_lowercase());
        let is_usable = matches!(algorithm, "sha-256" | "sha256" | "SHA-256") && self.packages.is_empty();
        self.digests.extend(Some(digest).filter(|digest| is_usable && is_digest(digest)));
    }

    /// What is said of it, or of components of it.
    fn products(&self, components: &[Self]) -> Vec<Product> {
        let whole = |digest: &String| Product::Image(digest.clone());
        let package = |package: &Purl| Product::Package(package.clone());
        let found: Vec<_> = if components.is_empty() {
            self.digests.iter().map(whole).chain(self.packages.iter().map(package)).collect()
        } else {
            // Shared: there may be as many images as there are parts.
            let images: Arc<[String]> = self.digests.clone().into();
            let parts = components.iter().flat_map(|component| &component.packages);
            let parts = parts.filter(|_| !images.is_empty());
            parts.map(|part| Product::Part(Arc::clone(&images), part.clone())).collect()
        };
        if found.is_empty() { vec![Product::Other] } else { found }
    }
}

impl Product {
    /// Whether it is about packages of an image that has these digests.
    fn covers(&self, image: &[String], packages: &[&Purl]) -> bool {
        let is_of = |said: &Purl| packages.iter().any(|package| said.covers(package));
        match self {
            Self::Image(digest) => image.contains(digest),
            Self::Part(images, said) => images.iter().any(|one| image.contains(one)) && is_of(said),
            Self::Package(said) => is_of(said),
            Self::Other => false,
        }
    }
}

impl Document {
    /// Reads OpenVEX, CSAF or CycloneDX as JSON; which one, its content says.
    ///
    /// # Errors
    /// When it is none of them, malformed, or not understood as a whole: one statement that is left out may be the one that counts.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, VexError> {
        let value: Value = serde_json::from_slice(bytes).map_err(VexError::NotJson)?;
        let is_openvex =
            value.get("@context").is_some_and(|context| context.to_string().contains("openvex.dev/ns"));
        let (format, statements) = if is_openvex {
            ("OpenVEX", openvex::read(value)?)
        } else if value.pointer("/document/csaf_version").is_some() {
            ("CSAF", csaf::read(value)?)
        } else if value.get("bomFormat").is_some() {
            ("CycloneDX", cyclonedx::read(value)?)
        } else {
            return Err(VexError::UnknownFormat);
        };
        if statements.is_empty() {
            return Err(VexError::Empty(format));
        }
        Ok(Self { name: name.to_owned(), statements })
    }
}

impl Vex {
    /// The document by which a finding does not count, if there is one. Of what is said about the same, the latest is true; malware always
    /// counts.
    #[must_use]
    pub fn takes_out(&self, finding: &Finding) -> Option<&str> {
        if finding.is_malware || self.documents.is_empty() {
            return None;
        }
        let parsed = |purl: &String| purl.parse::<Purl>().ok();
        let own: Vec<Purl> = finding.purl.iter().filter_map(parsed).collect();
        let built: Vec<Purl> = finding.built.iter().filter_map(parsed).collect();
        if built.is_empty() {
            return self.latest(finding, &own.iter().collect::<Vec<_>>());
        }
        // A source counts until all that was built from it is taken out.
        let mut documents = built
            .iter()
            .map(|package| self.latest(finding, &own.iter().chain([package]).collect::<Vec<_>>()));
        let first = documents.next().flatten()?;
        documents.all(|document| document.is_some()).then_some(first)
    }

    /// The document of the latest statement about a finding in packages, if that takes it out.
    fn latest(&self, finding: &Finding, packages: &[&Purl]) -> Option<&str> {
        let all = self.documents.iter();
        let all = all.flat_map(|one| one.statements.iter().map(move |statement| (&one.name, statement)));
        let about = all.filter(|(_, statement)| {
            statement.names.iter().any(|name| finding.is_named(name))
                && statement.products.iter().any(|product| product.covers(&self.image, packages))
        });
        // Of statements of the same time the one that is further down.
        let (name, latest) = about.max_by_key(|(_, statement)| statement.time)?;
        latest.status.takes_out().then_some(name)
    }

    /// How many findings each document takes out, in words.
    pub(super) fn said(&self, findings: &[Finding]) -> String {
        let by: Vec<_> = findings.iter().filter_map(|finding| self.takes_out(finding)).collect();
        let each = self.documents.iter().map(|document| {
            let count = by.iter().filter(|name| **name == document.name).count();
            format!("{count} by {}", document.name)
        });
        format!("{} findings taken out: {}", by.len(), each.collect::<Vec<_>>().join(", "))
    }
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn parsed<T: DeserializeOwned>(format: &'static str, value: Value) -> Result<T, VexError> {
    serde_json::from_value(value).map_err(|source| VexError::Malformed { format, source })
}

/// What is wrong with a statement about the first of these names.
fn wrong(names: &[String], why: impl Into<String>) -> VexError {
    let about =
        names.first().map_or_else(|| "a vulnerability without a name".to_owned(), |name| format!("`{name}`"));
    VexError::Statement { about, why: why.into() }
}

/// Whether a text says something.
fn is_told(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests;
