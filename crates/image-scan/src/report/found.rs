//! `Found`: a finding as a report tells it, with what became of it.

use shipkit_core::policy::{Build, Finding, Judgement, Policy, Standing};

/// A finding, and what the policy made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What was found.
    pub(crate) finding: Finding,
    /// What became of it.
    pub(crate) standing: Standing,
}

impl Found {
    /// All of these, the worst first.
    pub(crate) fn all(findings: Vec<Finding>, policy: &Policy, judgement: &Judgement) -> Vec<Self> {
        let stand = |finding: Finding| {
            let standing = Standing::of(&finding, policy, judgement.compared.as_ref());
            Self { finding: Finding { exploited: policy.exploits.of(&finding), ..finding }, standing }
        };
        let mut all: Vec<_> = findings.into_iter().map(stand).collect();
        all.sort_by(|a, b| {
            let rank = |one: &Self| {
                let Self { finding, standing } = one;
                (*standing != Standing::Blocks, !finding.is_malware, std::cmp::Reverse(finding.severity))
            };
            let name = |one: &Self| {
                let Finding { id, package, version, .. } = &one.finding;
                (id.clone(), package.clone(), version.clone())
            };
            rank(a).cmp(&rank(b)).then_with(|| name(a).cmp(&name(b)))
        });
        all
    }
}

/// What is to be said of a finding beyond its name and its package: how bad it is, what mends it, where it comes from, and its title.
pub(crate) fn sentence(finding: &Finding, build: &Build) -> String {
    let fixed = match (&finding.fixed_in, finding.is_malware) {
        (_, true) => "malware".to_owned(),
        (Some(version), false) => format!("fixed in {version}"),
        (None, false) => "no fix yet".to_owned(),
    };
    let title = if finding.title.is_empty() { String::new() } else { format!(": {}", finding.title) };
    let whence = build.whence(finding.layer);
    format!("{}, {fixed}; {whence}{title}", finding.severity.word())
}
