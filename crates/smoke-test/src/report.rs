//! What people and later steps get to see.

use std::time::Duration;

use serde::Serialize;
use shipkit_core::Verdict;
use shipkit_runner::{Annotation, Failure, Level, OutputError, Runner, markdown};
use shipkit_smoke::{CheckReport, Report, Severity, WatchReport};

/// Shows what the checks found: outputs, summary, annotations on the lines of `config`, and data on stdout.
pub(crate) fn checks(runner: &Runner, report: &Report, config: &str) -> Result<(), Failure> {
    runner.output("passed", &report.count(Verdict::Pass).to_string())?;
    runner.output("failed", &report.count(Verdict::Fail).to_string())?;
    runner.summary(&checks_summary(report))?;
    for check in report.checks.iter().filter(|check| is_bad(check)) {
        let level = match check.severity {
            Severity::Gate => Level::Error,
            Severity::Warn => Level::Warning,
        };
        let message = format!("{}\nrepeat with: {}", check.outcome.cause, check.repeat);
        let annotation = Annotation::new(level, check.name.clone(), message);
        runner.annotate(match check.line {
            Some(line) => annotation.at(config, Some(line)),
            None => annotation,
        });
    }
    if runner.is_json() {
        return json(runner, report);
    }
    for check in &report.checks {
        runner.data(&format!("{:<12} {}: {}", check.outcome.verdict.word(), check.name, check.outcome.cause));
    }
    Ok(())
}

/// Shows what a watch saw.
pub(crate) fn watched(runner: &Runner, report: &WatchReport) -> Result<(), Failure> {
    counts(runner, report)?;
    runner.summary(&watch_summary(report))?;
    if runner.is_json() {
        return json(runner, report);
    }
    runner.data(&report.outcome.cause);
    for row in facts(report) {
        runner.data(&row.join(": "));
    }
    for seen in &report.revisions {
        let (first, last) = (ms(seen.first), ms(seen.last));
        runner.data(&format!("revision {}: {} answers, from {first} to {last}", seen.revision, seen.answers));
    }
    for example in &report.examples {
        runner.data(&format!("failed at {}: {}: {}", ms(example.due), example.class, example.detail));
    }
    Ok(())
}

fn counts(runner: &Runner, report: &WatchReport) -> Result<(), OutputError> {
    runner.output("passed", &report.answered.to_string())?;
    runner.output("failed", &report.failed.to_string())?;
    runner.output("scheduled", &report.scheduled.to_string())?;
    runner.output("longest-gap-ms", &report.longest_gap.as_millis().to_string())
}

fn json(runner: &Runner, report: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(report).map_err(Failure::unknown)?;
    runner.data(&text);
    Ok(())
}

fn is_bad(check: &CheckReport) -> bool {
    match check.outcome.verdict {
        Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable => true,
        Verdict::Pass | Verdict::Skipped => false,
    }
}

fn checks_summary(report: &Report) -> String {
    let Outline { head, sentence } = outline("Smoke test", report.outcome.verdict, &report.outcome.cause);
    let failures: String = report.checks.iter().filter(|check| is_bad(check)).map(failure).collect();
    let rows: Vec<Vec<String>> = report.checks.iter().map(row).collect();
    let table = markdown::table(&["Check", "Verdict", "Attempts", "Took", "What was seen"], &rows);
    format!("{head}{sentence}{failures}{table}\n")
}

struct Outline {
    head: String,
    sentence: String,
}

fn outline(title: &str, verdict: Verdict, cause: &str) -> Outline {
    Outline {
        head: format!("### {title}: {verdict}\n\n"),
        sentence: format!("{}\n\n", markdown::text(cause)),
    }
}

fn failure(check: &CheckReport) -> String {
    let (name, cause) = (markdown::text(&check.name), markdown::text(&check.outcome.cause));
    format!("- **{name}**: {cause}; repeat with {}\n\n", markdown::code(&check.repeat))
}

fn row(check: &CheckReport) -> Vec<String> {
    let attempts = check.attempts.len();
    let flaky = if check.is_flaky { " (passed after a retry)" } else { "" };
    vec![
        markdown::text(&check.name),
        check.outcome.verdict.word().to_owned(),
        format!("{attempts}{flaky}"),
        ms(check.took),
        markdown::text(&check.outcome.cause),
    ]
}

fn watch_summary(report: &WatchReport) -> String {
    let Outline { head, sentence } = outline("Watch", report.outcome.verdict, &report.outcome.cause);
    let facts = markdown::table(&["What", "Value"], &facts(report));
    let revisions: Vec<Vec<String>> = report
        .revisions
        .iter()
        .map(|seen| {
            vec![markdown::code(&seen.revision), seen.answers.to_string(), ms(seen.first), ms(seen.last)]
        })
        .collect();
    let revisions = if revisions.is_empty() {
        String::new()
    } else {
        markdown::table(&["Revision", "Answers", "First", "Last"], &revisions)
    };
    format!("{head}{sentence}{facts}\n{revisions}\n")
}

fn facts(report: &WatchReport) -> Vec<Vec<String>> {
    let latency = &report.latency;
    let percentiles =
        format!("{} / {} / {} / {}", ms(latency.p50), ms(latency.p95), ms(latency.p99), ms(latency.max));
    let counts = format!("{} / {} / {}", report.scheduled, report.answered, report.failed);
    let gap = format!("{} (from {})", ms(report.longest_gap), ms(report.longest_gap_at));
    [
        ("scheduled / answered / failed", counts),
        ("longest gap between good answers", gap),
        ("latency p50 / p95 / p99 / max", percentiles),
    ]
    .map(|(what, value)| vec![what.to_owned(), value])
    .to_vec()
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
