//! `Version`: a version in the order of its ecosystem, exactly as the package manager there has it.

mod alpine;
mod debian;
mod maven;
mod number;
mod semver;

use std::cmp::Ordering;
use std::str::FromStr as _;

use number::Number;

/// Longer than any version; what is longer is not worth the time to compare it.
const LONGEST: usize = 512;

/// The rules by which versions are read and ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `dpkg`: Debian and Ubuntu.
    Debian,
    /// `apk`.
    Alpine,
    /// Semantic versions, read with tolerance: npm and Rust.
    Semver,
    /// PEP 440.
    Pypi,
    /// Semantic versions, pseudo-versions among them, and releases of Go itself, such as `go1.22rc1`.
    Go,
    /// `ComparableVersion`.
    Maven,
}

/// A version. Two versions of different schemes have no order.
#[derive(Debug, Clone)]
pub struct Version<'text>(Order<'text>);

#[derive(Debug, Clone)]
enum Order<'text> {
    Debian(debian::Version<'text>),
    Alpine(alpine::Version<'text>),
    Semver(semver::Version<'text>),
    Pypi(pep440_rs::Version),
    Maven(maven::Version),
}

/// A text that the package manager would not take for a version. It is neither equal to a version nor before or after one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text:.80}` is no version of {scheme:?}")]
pub struct NotAVersion {
    /// By whose rules.
    pub scheme: Scheme,
    /// What was read.
    pub text: String,
}

impl Scheme {
    /// The scheme of an ecosystem as OSV names it, such as `Debian:12`; none where we know no order.
    #[must_use]
    pub fn of_ecosystem(ecosystem: &str) -> Option<Self> {
        let family = ecosystem.split_once(':').map_or(ecosystem, |(family, _)| family);
        match family {
            "Debian" | "Ubuntu" => Some(Self::Debian),
            "Alpine" => Some(Self::Alpine),
            "npm" | "crates.io" => Some(Self::Semver),
            "PyPI" => Some(Self::Pypi),
            "Go" => Some(Self::Go),
            "Maven" => Some(Self::Maven),
            _ => None,
        }
    }
}

impl<'text> Version<'text> {
    /// Reads a version.
    ///
    /// # Errors
    /// When the text is no version there.
    pub fn parse(scheme: Scheme, text: &'text str) -> Result<Self, NotAVersion> {
        Order::parse(scheme, text)
            .map(Self)
            .ok_or_else(|| NotAVersion { scheme, text: text.chars().take(LONGEST).collect() })
    }

    /// Which of the two is newer; none between versions of different schemes.
    ///
    /// This is not `Ord`: Maven's own order has circles among odd versions, such as `1.0.alpha`, `1` and `1.foo`, and sorting needs an order without them.
    #[must_use]
    pub fn order(&self, other: &Version<'_>) -> Option<Ordering> {
        match (&self.0, &other.0) {
            (Order::Debian(this), Order::Debian(other)) => Some(this.order(other)),
            (Order::Alpine(this), Order::Alpine(other)) => Some(this.cmp(other)),
            (Order::Semver(this), Order::Semver(other)) => Some(this.cmp(other)),
            (Order::Pypi(this), Order::Pypi(other)) => Some(this.cmp(other)),
            (Order::Maven(this), Order::Maven(other)) => Some(this.order(other)),
            (
                Order::Debian(_) | Order::Alpine(_) | Order::Semver(_) | Order::Pypi(_) | Order::Maven(_),
                _,
            ) => None,
        }
    }
}

impl<'text> Order<'text> {
    fn parse(scheme: Scheme, text: &'text str) -> Option<Self> {
        if LONGEST < text.len() {
            return None;
        }
        match scheme {
            Scheme::Debian => debian::Version::parse(text).map(Self::Debian),
            Scheme::Alpine => alpine::Version::parse(text).map(Self::Alpine),
            Scheme::Semver => semver::Version::parse(text).map(Self::Semver),
            Scheme::Go => semver::Version::of_go(text).map(Self::Semver),
            Scheme::Pypi => pep440_rs::Version::from_str(text).ok().map(Self::Pypi),
            Scheme::Maven => maven::Version::parse(text).map(Self::Maven),
        }
    }
}

#[cfg(test)]
mod tests;
