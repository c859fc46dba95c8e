//! Every combination of what is known of a finding and what a policy says of it.

use std::sync::Arc;

use jiff::civil::date;

use super::*;
use crate::policy::{
    Baseline, Budget, Catalog, Exploits, Grace, Ignore, ImageFacts, Judgement, Vex, Vulnerabilities, judge,
    vex,
};
use crate::verdict::Verdict;

const TODAY: Date = date(2026, 5, 20);

fn policy() -> Policy {
    let catalog =
        |what: &str, name: &str| Some(Catalog { what: what.to_owned(), names: [name.to_owned()].into() });
    Policy {
        rules: Vec::new(),
        port: None,
        budget: Budget::default(),
        severity: Severity::High,
        unknown: UnknownSeverity::Pass,
        grace: Grace { critical: 14, high: 14, medium: 14, low: 14, unknown: 14 },
        exploits: Arc::new(Exploits { known: catalog("KEV", "CVE-1"), likely: catalog("EPSS", "CVE-2") }),
        ignore_unfixed: true,
        ignores: Vec::new(),
        today: TODAY,
        vex: Vex::default(),
    }
}

fn finding(name: &str, severity: Severity) -> Finding {
    Finding {
        id: "GHSA-1".to_owned(),
        aliases: vec![name.to_owned()],
        package: "zlib".to_owned(),
        version: "1.2".to_owned(),
        purl: Some("pkg:deb/debian/zlib@1.2".to_owned()),
        severity,
        fixed_in: Some("1.3".to_owned()),
        ..Finding::default()
    }
}

fn judged(finding: &Finding, is_old: bool, policy: &Policy) -> Judgement {
    let known = Vulnerabilities { findings: vec![finding.clone()], doubts: Vec::new() };
    let old = Baseline { what: "before".to_owned(), findings: vec![finding.clone()], ..Baseline::default() };
    judge(&ImageFacts::default(), Some(&known), is_old.then_some(&old), policy)
}

/// What is known of a finding, and what a policy says.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each of them goes with each other")]
struct Case {
    severity: Severity,
    /// `CVE-1` was seen, `CVE-2` is likely, `CVE-3` is on no list.
    name: &'static str,
    published: Option<Date>,
    /// The last day of an ignore.
    accepted: Option<Date>,
    is_malware: bool,
    is_fixable: bool,
    is_taken_out: bool,
    is_old: bool,
    unknown: UnknownSeverity,
    ignores_unfixed: bool,
    has_grace: bool,
}

impl Case {
    fn decided(self) -> Decision {
        let mut policy = Policy { unknown: self.unknown, ignore_unfixed: self.ignores_unfixed, ..policy() };
        if !self.has_grace {
            policy.grace = Grace::default();
        }
        let ignore = |until| Ignore {
            id: self.name.to_owned(),
            package: None,
            reason: "it is never called".to_owned(),
            owner: None,
            until,
        };
        policy.ignores.extend(self.accepted.map(ignore));
        if self.is_taken_out {
            policy.vex.documents.push(statement());
        }
        let finding = Finding {
            published: self.published,
            is_malware: self.is_malware,
            fixed_in: self.is_fixable.then(|| "1.3".to_owned()),
            ..finding(self.name, self.severity)
        };
        let judgement = judged(&finding, self.is_old, &policy);
        match (&judgement.blocking[..], &judgement.waiting[..]) {
            ([], []) => Decision::Stays,
            ([_], []) => Decision::Blocks,
            ([], [(end, _)]) => Decision::Waits(*end),
            more => panic!("{more:?}"),
        }
    }

    /// The promises to people, one after the other.
    fn promised(self) -> Decision {
        let is_exploited = self.name != "CVE-3";
        let is_severe = match self.severity {
            Severity::Critical | Severity::High => true,
            Severity::Medium | Severity::Low => false,
            Severity::Unknown => self.unknown == UnknownSeverity::Fail,
        };
        let may_stay = self.accepted.is_some_and(|until| TODAY <= until)
            || self.is_taken_out
            || self.is_old
            || self.ignores_unfixed && !self.is_fixable
            || !is_severe && !is_exploited;
        match self {
            Self { is_malware: true, .. } => Decision::Blocks,
            _ if may_stay => Decision::Stays,
            Self { has_grace: true, published: Some(RECENT), .. } if !is_exploited => Decision::Waits(END),
            _ => Decision::Blocks,
        }
    }
}

const RECENT: Date = date(2026, 5, 7);
const END: Date = date(2026, 5, 21);

fn statement() -> vex::Document {
    let text = r#"{"@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2026-01-01T00:00:00Z", "statements": [
        {"vulnerability": {"name": "GHSA-1"}, "products": ["pkg:deb/debian/zlib"], "status": "fixed"}]}"#;
    vex::Document::parse("vex.json", text.as_bytes()).unwrap()
}

/// Each of these with each of `values` put in.
fn times<T: Copy>(cases: &[Case], values: &[T], put: impl Fn(&mut Case, T)) -> Vec<Case> {
    let with = |case: &Case, value: T| {
        let mut case = *case;
        put(&mut case, value);
        case
    };
    cases.iter().flat_map(|case| values.iter().map(|value| with(case, *value)).collect::<Vec<_>>()).collect()
}

#[test]
fn of_every_combination_what_is_promised_is_done() {
    let both = [false, true];
    let first = Case {
        severity: Severity::Unknown,
        name: "CVE-3",
        published: None,
        accepted: None,
        is_malware: false,
        is_fixable: true,
        is_taken_out: false,
        is_old: false,
        unknown: UnknownSeverity::Pass,
        ignores_unfixed: true,
        has_grace: false,
    };
    let severities = [Severity::Unknown, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let days = [None, Some(RECENT), Some(date(2026, 5, 6)), Some(date(2026, 5, 21))];
    let cases = times(&[first], &severities, |case, value| case.severity = value);
    let cases = times(&cases, &["CVE-1", "CVE-2", "CVE-3"], |case, value| case.name = value);
    let cases = times(&cases, &days, |case, value| case.published = value);
    let cases =
        times(&cases, &[None, Some(date(2026, 5, 19)), Some(TODAY)], |case, value| case.accepted = value);
    let cases = times(&cases, &both, |case, value| case.is_malware = value);
    let cases = times(&cases, &both, |case, value| case.is_fixable = value);
    let cases = times(&cases, &both, |case, value| case.is_taken_out = value);
    let cases = times(&cases, &both, |case, value| case.is_old = value);
    let cases = times(&cases, &[UnknownSeverity::Pass, UnknownSeverity::Fail], |case, value| {
        case.unknown = value;
    });
    let cases = times(&cases, &both, |case, value| case.ignores_unfixed = value);
    let cases = times(&cases, &both, |case, value| case.has_grace = value);
    assert_eq!(cases.len(), 5 * 3 * 4 * 3 * 128);
    for case in cases {
        assert_eq!(case.decided(), case.promised(), "{case:?}");
    }
}

#[test]
fn what_is_exploited_comes_first_and_its_sentence_says_so() {
    let one = |name: &str, severity| Finding { id: name.to_owned(), ..finding(name, severity) };
    let findings = [
        one("CVE-3", Severity::Critical),
        one("CVE-2", Severity::High),
        one("CVE-1", Severity::Low),
        one("CVE-4", Severity::Medium),
    ];
    let said = |findings: &[Finding]| {
        let known = Vulnerabilities { findings: findings.to_vec(), doubts: Vec::new() };
        let judgement = judge(&ImageFacts::default(), Some(&known), None, &policy());
        assert_eq!(judgement.outcome.verdict, Verdict::Fail);
        let rule = |word| judgement.rules.iter().find(|(own, _)| *own == word).unwrap().1.cause.clone();
        (rule("vulnerabilities"), rule("exploits"))
    };
    let (first, lists) = said(&findings);
    assert_eq!(first, "3 findings, first CVE-1 in zlib 1.2, which is known to be exploited, fixed in 1.3");
    assert_eq!(lists, "2 findings listed, 2 of them fail (KEV and EPSS)");
    let (first, _) = said(&findings[..2]);
    assert_eq!(first, "2 findings, first CVE-2 in zlib 1.2, which is likely to be exploited, fixed in 1.3");
}

#[test]
fn until_when_findings_wait_is_told() {
    let at = |day, severity| Finding { published: day, ..finding("CVE-3", severity) };
    let high = |day| at(Some(day), Severity::High);
    let findings = [
        high(date(2026, 5, 10)),
        high(date(2026, 5, 8)),
        high(date(2026, 5, 10)),
        at(None, Severity::Low),
        at(Some(RECENT), Severity::Low),
    ];
    let judged = |findings: &[Finding]| {
        let known = Vulnerabilities { findings: findings.to_vec(), doubts: Vec::new() };
        let judgement = judge(&ImageFacts::default(), Some(&known), None, &policy());
        let grace = judgement.rules.iter().find(|(word, _)| *word == "grace").unwrap().1.clone();
        assert_eq!(grace.verdict, Verdict::Pass);
        (judgement.outcome.verdict, grace.cause, judgement.waiting.iter().map(|(end, _)| *end).collect())
    };
    let ends: Vec<Date> = vec![date(2026, 5, 22), date(2026, 5, 24), date(2026, 5, 24)];
    let told = "1 findings block from 2026-05-22 on, 2 findings block from 2026-05-24 on".to_owned();
    assert_eq!(judged(&findings), (Verdict::Pass, told, ends));
    let told = "no finding has days left; 1 have no days, as nobody tells when they became known".to_owned();
    assert_eq!(judged(&[at(None, Severity::High)]), (Verdict::Fail, told, Vec::new()));
    let many: Vec<_> = (8..=12).map(|day| high(date(2026, 5, day))).collect();
    let (_, told, ends) = judged(&many);
    assert!(told.ends_with(", 1 findings block from 2026-05-24 on, 2 later"), "{told}");
    assert_eq!(ends.len(), 5);
    let nothing = "no finding has days left".to_owned();
    assert_eq!(judged(&[]), (Verdict::Pass, nothing.clone(), Vec::new()));
    assert_eq!(judged(&[high(date(2026, 1, 1))]), (Verdict::Fail, nothing, Vec::new()));
    let nobody = judge(&ImageFacts::default(), None, None, &policy());
    let skipped = |(word, _): &&(&str, _)| ["grace", "exploits"].contains(word);
    assert!(nobody.rules.iter().filter(skipped).all(|(_, outcome)| outcome.verdict == Verdict::Skipped));
}

#[test]
fn unknown_severity_is_named_where_it_fails() {
    let policy = Policy { unknown: UnknownSeverity::Fail, grace: Grace::default(), ..policy() };
    let judgement = judged(&finding("CVE-3", Severity::Unknown), false, &policy);
    assert_eq!(
        judgement.outcome.cause,
        "1 findings of HIGH and above or of unknown severity, first GHSA-1 in zlib 1.2, fixed in 1.3"
    );
}
