//! `Standing`: what a policy makes of one finding.

use super::{Compared, Decision, Finding, Policy};

/// What became of a finding when its image was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It fails.
    Blocks,
    /// It fails when its days of grace are over.
    Waits,
    /// What the image is compared with had it already.
    Old,
    /// It has no fix, and such are left out.
    Unfixed,
    /// It is accepted for some time.
    Accepted,
    /// A statement says that it is no danger here.
    NotAffected,
    /// It is less bad than those that fail, or nobody has said how bad it is.
    Below,
}

impl Standing {
    /// What became of it by this policy, and by what the image was compared with.
    #[must_use]
    pub fn of(finding: &Finding, policy: &Policy, compared: Option<&Compared>) -> Self {
        let is_old = compared.is_some_and(|compared| !compared.new.contains(finding));
        match policy.decide(finding) {
            Decision::Blocks | Decision::Waits(_) if is_old => Self::Old,
            Decision::Blocks => Self::Blocks,
            Decision::Waits(_) => Self::Waits,
            Decision::Stays if !policy.is_bad(finding) => Self::Below,
            Decision::Stays if policy.accepts(finding) => Self::Accepted,
            Decision::Stays if policy.vex.takes_out(finding).is_some() => Self::NotAffected,
            Decision::Stays => Self::Unfixed,
        }
    }

    /// Whether the policy wants to hear of it: nothing but the baseline or its days let it pass.
    #[must_use]
    pub fn counts(self) -> bool {
        match self {
            Self::Blocks | Self::Waits | Self::Old => true,
            Self::Unfixed | Self::Accepted | Self::NotAffected | Self::Below => false,
        }
    }

    /// The word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Waits => "waits",
            Self::Old => "old",
            Self::Unfixed => "unfixed",
            Self::Accepted => "accepted",
            Self::NotAffected => "not-affected",
            Self::Below => "below",
        }
    }

    /// The same for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Blocks => "fails",
            Self::Waits => "does not fail yet",
            Self::Old => "was there before",
            Self::Unfixed => "has no fix",
            Self::Accepted => "accepted",
            Self::NotAffected => "no danger here (VEX)",
            Self::Below => "below the limit",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::date;

    use super::super::{
        Baseline, Budget, Grace, Ignore, ImageFacts, Severity, UnknownSeverity, Vex, Vulnerabilities, judge,
    };
    use super::*;

    fn finding(id: &str, severity: Severity, fixed_in: Option<&str>) -> Finding {
        let (id, package, version) = (id.to_owned(), "a".to_owned(), "1".to_owned());
        Finding {
            id,
            package,
            version,
            severity,
            fixed_in: fixed_in.map(str::to_owned),
            ..Finding::default()
        }
    }

    #[test]
    fn every_finding_has_one() {
        let policy = Policy {
            rules: Vec::new(),
            port: None,
            budget: Budget::default(),
            severity: Severity::High,
            unknown: UnknownSeverity::Pass,
            grace: Grace::default(),
            exploits: Arc::default(),
            ignore_unfixed: true,
            ignores: vec![Ignore {
                id: "CVE-4".to_owned(),
                package: None,
                reason: "unused".to_owned(),
                owner: None,
                until: date(2026, 5, 6),
            }],
            today: date(2026, 5, 6),
            vex: Vex::default(),
        };
        let malware = Finding { is_malware: true, ..finding("MAL-1", Severity::Unknown, None) };
        let old = finding("CVE-5", Severity::Critical, Some("2"));
        let findings = vec![
            finding("CVE-1", Severity::High, Some("2")),
            malware,
            finding("CVE-2", Severity::High, None),
            finding("CVE-3", Severity::Unknown, Some("2")),
            finding("CVE-4", Severity::High, Some("2")),
            old.clone(),
        ];
        let known = Vulnerabilities { findings: findings.clone(), doubts: Vec::new() };
        let baseline = Baseline { findings: vec![old], ..Baseline::default() };
        let judgement = judge(&ImageFacts::default(), Some(&known), Some(&baseline), &policy);
        let told = findings.iter().map(|finding| Standing::of(finding, &policy, judgement.compared.as_ref()));
        let told: Vec<_> = told.map(|standing| (standing.word(), standing.counts())).collect();
        let expected = [
            ("blocks", true),
            ("blocks", true),
            ("unfixed", false),
            ("below", false),
            ("accepted", false),
            ("old", true),
        ];
        assert_eq!(told, expected);
    }
}
