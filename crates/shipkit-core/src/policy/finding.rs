//! `Finding`: one vulnerability in one image, whoever found it.

use std::str::FromStr as _;

use cvss::Cvss;
use jiff::civil::Date;

use super::exploits::Exploited;

/// How bad a finding is. `Unknown` is a class of its own: it is reported, and whether it fails is said by a rule of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nobody has said yet.
    #[default]
    Unknown,
    /// Grype's `Negligible` too.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

/// One vulnerability of one package in one image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// `CVE-2026-1234`, `GHSA-...`.
    pub id: String,
    /// Other names of the same vulnerability.
    pub aliases: Vec<String>,
    /// The package it is in.
    pub package: String,
    /// The version that is installed; empty where a report does not say.
    pub version: String,
    /// The package URL of that package, where it is known.
    pub purl: Option<String>,
    /// The package URLs of what was built from it and is installed; it may be the same one.
    pub built: Vec<String>,
    /// How bad it is.
    pub severity: Severity,
    /// The version that mends it, where there is one.
    pub fixed_in: Option<String>,
    /// What lists of exploited vulnerabilities say of it: told when it is judged.
    pub exploited: Option<Exploited>,
    /// The package itself is the attack: no policy lets that pass.
    pub is_malware: bool,
    /// One line about it; empty where nobody has written one. Foreign text.
    pub title: String,
    /// The day on which it became known, where that is told.
    pub published: Option<Date>,
    /// The day on which the version that mends it was published, where that is told.
    pub fix_published: Option<Date>,
    /// The layer that brought the package, from 0, where it is known.
    pub layer: Option<usize>,
}

impl Finding {
    /// Whether both are about one vulnerability, by any of its names.
    #[must_use]
    pub fn is_one_with(&self, other: &Self) -> bool {
        other.is_named(&self.id) || self.aliases.iter().any(|name| other.is_named(name))
    }

    /// The package and its version, as far as they are known.
    #[must_use]
    pub fn what(&self) -> String {
        format!("{} {}", self.package, self.version).trim_end().to_owned()
    }

    /// Whether this is a name of the vulnerability.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        std::iter::once(&self.id).chain(&self.aliases).any(|own| own.eq_ignore_ascii_case(name))
    }
}

impl Severity {
    /// The word, as scanners write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }

    /// The severity that a scanner's word means; a word nobody knows means none.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        match word.trim().to_ascii_uppercase().as_str() {
            // `NONE` is a score of zero: somebody has looked.
            "LOW" | "NEGLIGIBLE" | "UNIMPORTANT" | "MINOR" | "INFO" | "NONE" => Some(Self::Low),
            "MEDIUM" | "MODERATE" => Some(Self::Medium),
            "HIGH" | "IMPORTANT" => Some(Self::High),
            "CRITICAL" => Some(Self::Critical),
            _ => None,
        }
    }

    /// The severity that a vector of CVSS 2, 3 or 4 means; one that cannot be read means none.
    #[must_use]
    pub fn of_vector(vector: &str) -> Option<Self> {
        // A score of zero is known, and so it is the least that is known.
        Some(match Cvss::from_str(vector.trim()).ok()?.severity() {
            cvss::Severity::None | cvss::Severity::Low => Self::Low,
            cvss::Severity::Medium => Self::Medium,
            cvss::Severity::High => Self::High,
            cvss::Severity::Critical => Self::Critical,
        })
    }

    /// The severity that a score of CVSS means; what is no score means none.
    #[must_use]
    pub fn of_score(score: f64) -> Option<Self> {
        (0.0..=10.0).contains(&score).then_some(match score {
            ..4.0 => Self::Low,
            ..7.0 => Self::Medium,
            ..9.0 => Self::High,
            _ => Self::Critical,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_vectors_and_scores_mean_the_same_severities() {
        let vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N";
        for (said, expected) in [
            (Severity::of_word("Negligible"), Some(Severity::Low)),
            (Severity::of_word("moderate"), Some(Severity::Medium)),
            (Severity::of_word("unknown"), None),
            (Severity::of_word(""), None),
            (Severity::of_vector(vector), Some(Severity::High)),
            (Severity::of_vector("AV:L/AC:H/Au:N/C:N/I:N/A:P"), Some(Severity::Low)),
            (Severity::of_vector("7.5"), None),
            (Severity::of_score(0.0), Some(Severity::Low)),
            (Severity::of_score(3.9), Some(Severity::Low)),
            (Severity::of_score(4.0), Some(Severity::Medium)),
            (Severity::of_score(7.0), Some(Severity::High)),
            (Severity::of_score(8.9), Some(Severity::High)),
            (Severity::of_score(9.0), Some(Severity::Critical)),
            (Severity::of_score(10.1), None),
            (Severity::of_score(-1.0), None),
            (Severity::of_score(f64::NAN), None),
        ] {
            assert_eq!(said, expected);
        }
    }
}
