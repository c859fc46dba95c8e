//! `JUnit` XML, for what draws tests: a suite for each image and platform, a case for each rule and for each finding that fails.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use shipkit_core::policy::Finding;
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_runner::Failure;
use shipkit_runner::sanitize::xml as text;

use super::{Judged, found};

/// All images.
pub(super) fn of(images: &[Judged]) -> Result<String, Failure> {
    let mut report = Report::new("image-scan");
    report.add_test_suites(images.iter().map(suite));
    report.to_string().map_err(Failure::unknown)
}

fn suite(image: &Judged) -> TestSuite {
    let mut suite = TestSuite::new(text(&format!("{} ({})", image.name, image.platform)));
    suite.add_property(Property::new("digest", image.digest.to_string()));
    let base = image.build.base.as_ref();
    suite.add_properties(base.map(|base| Property::new("base", text(&base.name))));
    suite.add_test_cases(image.judgement.rules.iter().map(|(rule, outcome)| {
        let mut case = TestCase::new(*rule, status(outcome));
        case.set_classname(text(&image.name));
        case
    }));
    suite.add_test_cases(image.judgement.blocking.iter().map(|finding| of_finding(finding, image)));
    suite
}

fn of_finding(finding: &Finding, image: &Judged) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(text(&found::sentence(finding, &image.build))).set_type(finding.severity.word());
    let mut case = TestCase::new(text(&format!("{} in {}", finding.id, finding.what())), status);
    case.set_classname(text(&image.name));
    case
}

/// Who reads `JUnit` knows failures of what is tested, errors of the test itself, and tests that were skipped.
fn status(outcome: &Outcome) -> TestCaseStatus {
    let mut status = match outcome.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive | Verdict::Unreachable => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Skipped => TestCaseStatus::skipped(),
    };
    status.set_message(text(&outcome.cause)).set_type(outcome.verdict.word());
    status
}
