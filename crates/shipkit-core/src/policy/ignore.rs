//! `Ignore`: a finding that somebody has accepted, until a day.

use jiff::civil::Date;

use super::finding::Finding;

/// A finding that may stay for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignore {
    /// The vulnerability, by any of its names.
    pub id: String,
    /// The only package in which it may stay; any, if not given.
    pub package: Option<String>,
    /// Why it may stay.
    pub reason: String,
    /// Who answers for that.
    pub owner: Option<String>,
    /// The last day on which it may stay.
    pub until: Date,
}

impl Ignore {
    /// Whether it is about a finding. Malware is never accepted.
    #[must_use]
    pub fn is_about(&self, finding: &Finding) -> bool {
        let is_package = self.package.as_ref().is_none_or(|package| *package == finding.package);
        !finding.is_malware && is_package && finding.is_named(&self.id)
    }

    /// Whether its last day is over.
    #[must_use]
    pub fn is_over(&self, today: Date) -> bool {
        self.until < today
    }

    /// What it accepts, in words.
    pub(super) fn what(&self) -> String {
        let package = self.package.as_ref().map(|package| format!(" in {package}")).unwrap_or_default();
        format!("{}{package}", self.id)
    }

    /// Since when, why and by whom, in words.
    pub(super) fn ended(&self) -> String {
        let owner = self.owner.as_ref().map(|owner| format!("; ask {owner}")).unwrap_or_default();
        format!("{} was accepted until {} ({}{owner})", self.what(), self.until, self.reason)
    }
}
