//! `Decision`: what becomes of one finding. Here all that a policy says of findings comes together.

use jiff::civil::Date;

use super::finding::{Finding, Severity};
use super::{Policy, UnknownSeverity};

/// What becomes of one finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It fails.
    Blocks,
    /// It fails from this day on.
    Waits(Date),
    /// It does not.
    Stays,
}

impl Policy {
    /// What becomes of a finding that is new. In this order: malware fails; what is neither severe enough nor exploited stays, and so does
    /// what cannot be fixed, was accepted, or was taken out by a statement; of the rest, what is not exploited has its days of grace.
    #[must_use]
    pub fn decide(&self, finding: &Finding) -> Decision {
        if finding.is_malware {
            return Decision::Blocks;
        }
        let is_fixable = finding.fixed_in.is_some() || !self.ignore_unfixed;
        let is_taken_out = self.accepts(finding) || self.vex.takes_out(finding).is_some();
        if !self.is_bad(finding) || !is_fixable || is_taken_out {
            return Decision::Stays;
        }
        let is_exploited = self.exploits.of(finding).is_some();
        let end = self.grace.ends(finding, self.today).filter(|_| !is_exploited);
        end.map_or(Decision::Blocks, Decision::Waits)
    }

    /// Whether it is as bad as what fails.
    pub(super) fn is_bad(&self, finding: &Finding) -> bool {
        self.is_severe(finding.severity) || self.exploits.of(finding).is_some()
    }

    fn is_severe(&self, severity: Severity) -> bool {
        match (severity, self.unknown) {
            (Severity::Unknown, UnknownSeverity::Fail) => true,
            (Severity::Unknown, UnknownSeverity::Pass) => false,
            (Severity::Low | Severity::Medium | Severity::High | Severity::Critical, _) => {
                self.severity <= severity
            }
        }
    }
}

/// The findings that fail, worst first, and those that will, by their day.
pub(super) fn sorted(findings: &[Finding], policy: &Policy) -> (Vec<Finding>, Vec<(Date, Finding)>) {
    let (mut blocking, mut waiting) = (Vec::new(), Vec::new());
    for finding in findings {
        match policy.decide(finding) {
            Decision::Blocks => {
                blocking.push(Finding { exploited: policy.exploits.of(finding), ..finding.clone() });
            }
            Decision::Waits(end) => waiting.push((end, finding.clone())),
            Decision::Stays => {}
        }
    }
    let badness = |finding: &Finding| (finding.is_malware, finding.exploited, finding.severity);
    blocking.sort_by(|a, b| (badness(b), &a.id, &a.package).cmp(&(badness(a), &b.id, &b.package)));
    waiting.sort_by(|(a_end, a), (b_end, b)| (a_end, &a.id, &a.package).cmp(&(b_end, &b.id, &b.package)));
    (blocking, waiting)
}

#[cfg(test)]
mod tests;
