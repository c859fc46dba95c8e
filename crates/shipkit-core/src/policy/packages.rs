//! Judges packages that are in no image: those of lock files, or of a bill of materials.

use super::{Budget, ImageFacts, Judgement, Policy, Vulnerabilities, judge};
use crate::verdict::{Outcome, Verdict};

/// Judges vulnerabilities by the same policy as those of an image. What is about images is skipped, and does not count.
#[must_use]
pub fn judge_packages(known: &Vulnerabilities, policy: &Policy) -> Judgement {
    let of_packages = Policy { rules: Vec::new(), budget: Budget::default(), ..policy.clone() };
    let Judgement { rules: judged, blocking, waiting, compared, .. } =
        judge(&ImageFacts::default(), Some(known), None, &of_packages);
    let skipped = policy.rules.iter().map(|rule| (rule.word(), Outcome::skipped("there is no image")));
    // Nothing has no size.
    let judged = judged.into_iter().filter(|(rule, _)| *rule != "size");
    let rules: Vec<_> = skipped.chain(judged).collect();
    let verdict = Verdict::of_all(rules.iter().map(|(_, outcome)| outcome.verdict));
    let decisive = rules.iter().filter(|(_, outcome)| outcome.verdict == verdict);
    let cause = decisive.map(|(_, outcome)| outcome.cause.as_str()).collect::<Vec<_>>().join("; ");
    Judgement { outcome: Outcome { verdict, cause }, rules, blocking, waiting, compared }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::date;

    use super::*;
    use crate::policy::{Finding, Grace, ImageRule, Severity, UnknownSeverity, Vex};

    fn policy() -> Policy {
        Policy {
            rules: vec![ImageRule::NonRoot, ImageRule::NoSecrets],
            port: None,
            budget: Budget { layers: Some(1), growth: Some(1), ..Budget::default() },
            severity: Severity::High,
            unknown: UnknownSeverity::Pass,
            grace: Grace::default(),
            exploits: Arc::default(),
            ignore_unfixed: true,
            ignores: Vec::new(),
            today: date(2026, 5, 6),
            vex: Vex::default(),
        }
    }

    fn judged(findings: Vec<Finding>, doubts: &[&str]) -> (Verdict, String, Vec<&'static str>) {
        let doubts = doubts.iter().map(|&doubt| doubt.to_owned()).collect();
        let judgement = judge_packages(&Vulnerabilities { findings, doubts }, &policy());
        let counted = judgement.rules.iter().filter(|(_, outcome)| outcome.verdict != Verdict::Skipped);
        (judgement.outcome.verdict, judgement.outcome.cause.clone(), counted.map(|(rule, _)| *rule).collect())
    }

    #[test]
    fn findings_count_as_in_an_image_and_rules_of_images_do_not() {
        let (verdict, cause, counted) = judged(Vec::new(), &[]);
        assert_eq!((verdict, counted), (Verdict::Pass, vec!["vulnerabilities"]));
        assert_eq!(cause, "0 findings, none blocks, 0 of unknown severity");
        let finding = Finding {
            id: "GHSA-1".to_owned(),
            package: "ws".to_owned(),
            version: "8.0.0".to_owned(),
            severity: Severity::High,
            fixed_in: Some("8.1.0".to_owned()),
            ..Finding::default()
        };
        let (verdict, cause, _) = judged(vec![finding], &["x cannot be read"]);
        assert_eq!(verdict, Verdict::Fail);
        assert!(cause.contains("GHSA-1 in ws 8.0.0, fixed in 8.1.0"), "{cause}");
        let (verdict, cause, _) = judged(Vec::new(), &["x cannot be read"]);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(cause.contains("x cannot be read"), "{cause}");
    }
}
