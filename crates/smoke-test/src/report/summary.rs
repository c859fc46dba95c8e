//! The summary of the step: one sentence, what failed, tables, charts, and details that are folded.

use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_runner::markdown;
use shipkit_smoke::{
    Attempt, CheckReport, Latency, Measured, MeasuredBeside, Phases, Report, Severity, WarmUp, WatchReport,
};

use super::time::{ms, short, tenths};
use super::{About, worst};

/// How many points a chart has: renderers write a label below each.
const POINTS: usize = 20;
/// How many checks have a chart.
const CHARTS: usize = 5;
/// How many attempts of a check are listed.
const ATTEMPTS: usize = 10;

/// What the checks found.
pub(super) fn of_checks(report: &Report, about: &About) -> String {
    let head = head("Smoke test", report.outcome.verdict, &sentence(report, about));
    let failures: String = worst(report).into_iter().map(failure).collect();
    let rows: Vec<Vec<String>> = report.checks.iter().map(row).collect();
    let table = markdown::table(&["Check", "Verdict", "Attempts", "Took", "What was seen"], &rows);
    let measured = report.checks.iter().filter_map(|check| Some((check, check.measured.as_ref()?)));
    let charts: String =
        measured.take(CHARTS).map(|(check, measured)| timed(&check.name, measured)).collect();
    format!("{head}{failures}{table}\n{charts}{}", details(report))
}

/// What a watch saw.
pub(super) fn of_watch(report: &WatchReport) -> String {
    let head = head("Watch", report.outcome.verdict, &report.outcome.cause);
    let facts = markdown::table(&["What", "Value"], &facts(report));
    let revision = |seen: &shipkit_smoke::Seen| {
        vec![markdown::code(&seen.revision), seen.answers.to_string(), ms(seen.first), ms(seen.last)]
    };
    let revisions: Vec<Vec<String>> = report.revisions.iter().map(revision).collect();
    let revisions = if revisions.is_empty() {
        String::new()
    } else {
        markdown::table(&["Revision", "Answers", "First", "Last"], &revisions)
    };
    let asked = format!("{} requests, {} of them failed", report.scheduled, report.failed);
    let chart = if report.curve.is_empty() {
        String::new()
    } else {
        times("watch", &asked, report.latency, &report.curve)
    };
    format!("{head}{facts}\n{revisions}\n{chart}")
}

/// What a watch saw, in three lines.
pub(super) fn facts(report: &WatchReport) -> Vec<Vec<String>> {
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

fn head(title: &str, verdict: Verdict, sentence: &str) -> String {
    format!("### {title}: {verdict}\n\n{}\n\n", markdown::text(sentence))
}

/// Which release answers on how many connections, how many checks found what, and how long it took.
pub(super) fn sentence(report: &Report, about: &About) -> String {
    let checks = &report.checks;
    let released =
        checks.iter().filter(|check| check.said.is_some() && check.outcome.verdict == Verdict::Pass);
    let mut parts: Vec<String> = released.map(|check| check.outcome.cause.clone()).collect();
    let count = |verdict| report.count(verdict);
    let mut counts = vec![format!("{} of {} checks pass", count(Verdict::Pass), checks.len())];
    for (verdict, what) in [
        (Verdict::Fail, "fail"),
        (Verdict::Inconclusive, "inconclusive"),
        (Verdict::Unreachable, "unreachable"),
        (Verdict::Skipped, "skipped"),
    ] {
        counts.extend(Some(count(verdict)).filter(|count| 0 < *count).map(|count| format!("{count} {what}")));
    }
    let flaky = checks.iter().filter(|check| check.is_flaky).count();
    counts.extend(Some(flaky).filter(|flaky| 0 < *flaky).map(|flaky| format!("{flaky} after a retry")));
    parts.push(counts.join(", "));
    parts.push(format!("it took {}", short(about.took)));
    parts.join("; ")
}

fn failure(check: &CheckReport) -> String {
    let (name, cause) = (markdown::text(&check.name), markdown::text(&check.outcome.cause));
    let verdict = check.outcome.verdict;
    let weight = match check.severity {
        Severity::Gate => "",
        Severity::Warn => ", only warns",
    };
    format!("- **{name}** ({verdict}{weight}): {cause}; repeat with {}\n\n", markdown::code(&check.repeat))
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

/// How long answers took, as a table and as a chart. Where the chart is not drawn the table says what matters.
fn times(name: &str, asked: &str, latency: Latency, curve: &[Duration]) -> String {
    let Latency { p50, p95, p99, max } = latency;
    let row = [p50, p95, p99, max].map(|time| format!("{} ms", tenths(time))).to_vec();
    let table = markdown::table(&["Half", "95 %", "99 %", "All"], &[row]);
    let name = markdown::text(name);
    format!("**{name}**: {asked}; good answers came within\n\n{table}\n{}", chart(curve))
}

/// What was measured of a check.
fn timed(name: &str, measured: &Measured) -> String {
    let asked =
        format!("{} requests, {} of them failed; {}", measured.samples, measured.failed, warm_up(measured));
    let beside = beside(measured).map(|beside| format!("; {}", markdown::text(&beside)));
    let asked = format!("{asked}{}", beside.unwrap_or_default());
    let parts = phases(measured).unwrap_or_default();
    format!("{}{parts}", times(name, &asked, measured.latency, &measured.curve))
}

/// What was not judged.
pub(super) fn warm_up(measured: &Measured) -> String {
    let WarmUp { samples, failed, max } = measured.warm_up;
    format!(
        "before them {samples} that are not judged, {failed} of them failed, the slowest took {} ms",
        tenths(max)
    )
}

/// What another release did at the same time.
pub(super) fn beside(measured: &Measured) -> Option<String> {
    let MeasuredBeside { name, samples, failed, latency } = measured.beside.as_ref()?;
    let p95 = tenths(latency.p95);
    Some(format!(
        "{name} had 95 % within {p95} ms at the same time, of {samples} requests, {failed} of them failed"
    ))
}

/// Where the time of answers goes.
pub(super) fn parts(phases: &Phases) -> [(&'static str, String); 5] {
    let Phases { dns, connect, tls, first_byte, body } = phases;
    [("Name", dns), ("Connection", connect), ("TLS", tls), ("First byte", first_byte), ("Rest", body)]
        .map(|(name, time)| (name, format!("{} ms", tenths(*time))))
}

fn phases(measured: &Measured) -> Option<String> {
    let parts = parts(measured.phases.as_ref()?);
    let row = parts.clone().map(|(_, time)| time).to_vec();
    let table = markdown::table(&parts.map(|(name, _)| name), &[row]);
    Some(format!("Half of them took no longer for\n\n{table}\n"))
}

/// A chart of Mermaid (`xychart-beta`, which older versions know as well). Nothing foreign is in it.
fn chart(curve: &[Duration]) -> String {
    let points = curve.len().min(POINTS);
    if points < 2 {
        return String::new();
    }
    let at = |n: usize| curve.get((n * curve.len()).div_ceil(points) - 1).copied().unwrap_or_default();
    let percent: Vec<String> = (1..=points).map(|n| format!("\"{}\"", 100 * n / points)).collect();
    let values: Vec<String> = (1..=points).map(|n| tenths(at(n))).collect();
    let highest = tenths(at(points).max(Duration::from_millis(1)));
    format!(
        "```mermaid\nxychart-beta\n    title \"Time of answers\"\n    x-axis \"percent of good answers\" [{}]\n    \
         y-axis \"within ms\" 0 --> {highest}\n    line [{}]\n```\n\n",
        percent.join(", "),
        values.join(", ")
    )
}

/// The attempts of checks that were not good at once, folded.
fn details(report: &Report) -> String {
    let told = report.checks.iter().filter(|check| check.attempts.iter().any(|attempt| !attempt.is_good));
    let tables: String = told.map(attempts).collect();
    if tables.is_empty() {
        return String::new();
    }
    format!("<details><summary>Attempts</summary>\n\n{tables}</details>\n")
}

fn attempts(check: &CheckReport) -> String {
    let left_out = check.attempts.len().saturating_sub(ATTEMPTS);
    let row = |attempt: &Attempt| {
        let word = if attempt.is_good { "good" } else { "bad" };
        vec![ms(attempt.at), ms(attempt.took), word.to_owned(), markdown::text(&attempt.seen)]
    };
    let rows: Vec<Vec<String>> = check.attempts.iter().skip(left_out).map(row).collect();
    let before = if left_out == 0 { String::new() } else { format!(", after {left_out} others") };
    let table = markdown::table(&["At", "Took", "Answer", "What was seen"], &rows);
    format!("**{}**{before}\n\n{table}\n", markdown::text(&check.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Vec<Duration> {
        (1..=count).map(Duration::from_millis).collect()
    }

    #[track_caller]
    fn check(curve: &[Duration], percent: &str, values: &str) {
        let drawn = chart(curve);
        assert!(drawn.contains(&format!("x-axis \"percent of good answers\" [{percent}]\n")), "{drawn}");
        assert!(drawn.contains(&format!("line [{values}]\n```\n")), "{drawn}");
    }

    #[test]
    fn a_point_of_the_chart_is_the_time_within_which_so_many_were_answered() {
        check(&ms(4), "\"25\", \"50\", \"75\", \"100\"", "1.0, 2.0, 3.0, 4.0");
        let all: Vec<String> = (1..=20).map(|n| format!("{}.0", n * 10)).collect();
        let percent: Vec<String> = (1..=20).map(|n| format!("\"{}\"", n * 5)).collect();
        check(&ms(200), &percent.join(", "), &all.join(", "));
        assert!(chart(&ms(200)).contains("0 --> 200.0\n"));
    }

    #[test]
    fn one_answer_makes_no_chart() {
        assert_eq!((chart(&ms(1)), chart(&[])), (String::new(), String::new()));
    }
}
