//! `JUnit` XML, for what draws tests: a check is a test case. Attempts before a pass are `flakyFailure` and those before a failure
//! `rerunFailure`, as Maven Surefire has them (surefire-test-report.xsd).

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestRerun, TestSuite};
use shipkit_core::Verdict;
use shipkit_runner::Failure;
use shipkit_runner::sanitize::xml as text;
use shipkit_smoke::{Attempt, CheckReport, Report, WatchReport};
use url::Url;

use super::{About, p95};

/// The checks as test cases.
pub(super) fn of_checks(report: &Report, about: &About) -> Result<String, Failure> {
    let mut suite = suite(about);
    let seen = report.checks.iter().filter_map(|check| check.said.as_deref()).next_back();
    suite.add_properties(seen.map(|release| Property::new("release", text(release))));
    suite.add_properties(p95(report).map(|time| Property::new("p95-ms", time.as_millis().to_string())));
    suite.add_test_cases(report.checks.iter().map(case));
    whole(suite, about)
}

/// A watch as one test case.
pub(super) fn of_watch(report: &WatchReport, about: &About) -> Result<String, Failure> {
    let mut suite = suite(about);
    let revisions = report.revisions.iter().map(|seen| Property::new("release", text(&seen.revision)));
    suite.add_properties(revisions);
    if 0 < report.answered {
        suite.add_property(Property::new("p95-ms", report.latency.p95.as_millis().to_string()));
    }
    let status = status(report.outcome.verdict, &report.outcome.cause, None);
    let mut case = TestCase::new("watch", status);
    case.set_classname(host(&about.target)).set_time(report.took);
    suite.add_test_case(case);
    whole(suite, about)
}

fn suite(about: &About) -> TestSuite {
    let mut suite =
        TestSuite::new(about.environment.as_deref().map_or_else(|| "smoke-test".to_owned(), text));
    suite.set_time(about.took);
    suite.extra.insert("timestamp".into(), about.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
    suite
}

fn whole(suite: TestSuite, about: &About) -> Result<String, Failure> {
    let mut report = quick_junit::Report::new("smoke-test");
    report.set_time(about.took).add_test_suite(suite);
    report.to_string().map_err(Failure::unknown)
}

fn case(check: &CheckReport) -> TestCase {
    let outcome = &check.outcome;
    let mut status = status(outcome.verdict, &outcome.cause, check.class.map(|class| class.to_string()));
    let bad = check.attempts.iter().filter(|attempt| !attempt.is_good);
    match outcome.verdict {
        // Readiness is waited for, which makes no check flaky.
        Verdict::Pass if check.is_flaky => drop(status.add_reruns(bad.map(rerun))),
        Verdict::Pass | Verdict::Skipped => {}
        Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable => {
            // The last one is the failure itself.
            status.add_reruns(bad.rev().skip(1).collect::<Vec<_>>().into_iter().rev().map(rerun));
            status.set_description(format!("repeat with: {}", text(&check.repeat)));
        }
    }
    let mut case = TestCase::new(text(&check.name), status);
    case.set_classname(host(&check.url)).set_time(check.took);
    let measured = check.measured.as_ref().map(|measured| measured.latency.p95.as_millis().to_string());
    case.add_properties(measured.map(|p95| Property::new("p95-ms", p95)));
    case
}

/// Who reads `JUnit` knows failures of what is tested, errors of the test itself, and tests that were skipped.
fn status(verdict: Verdict, cause: &str, class: Option<String>) -> TestCaseStatus {
    let mut status = match verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive | Verdict::Unreachable => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Skipped => TestCaseStatus::skipped(),
    };
    status.set_message(text(cause));
    let class = class.filter(|_| verdict == Verdict::Fail);
    status.set_type(class.unwrap_or_else(|| verdict.word().to_owned()));
    status
}

fn rerun(attempt: &Attempt) -> TestRerun {
    let mut rerun = TestRerun::new(NonSuccessKind::Failure);
    rerun.set_time(attempt.took).set_message(text(&attempt.seen)).set_type("fail");
    rerun
}

fn host(url: &str) -> String {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_else(|| "smoke-test".to_owned())
}
