//! The page: what the checks found, or what a watch saw. All that is foreign in it passes [`text`].

use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_runner::html::{Page, columns, section, text};
use shipkit_smoke::{
    Attempt, CheckReport, Example, Latency, Measured, Phases, Report, Seen, Severity, WatchReport,
};

use super::time::{short, tenths};
use super::{About, chart, summary, worst};

const STYLE: &str = include_str!("page.css");

/// What the checks found.
pub(super) fn of_checks(report: &Report, about: &About) -> String {
    let sentence = summary::sentence(report, about);
    let failures: String = worst(report).into_iter().map(failure).collect();
    let failures = section("What is not as it should be", &failures);
    let rows: String = report.checks.iter().map(row).collect();
    let checks = format!(
        "<table class=\"checks\" role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">{}</tr></thead>\
         <tbody role=\"rowgroup\">{rows}</tbody></table>",
        columns(&["Check", "Verdict", "What was seen"]).replace("<th ", "<th role=\"columnheader\" ")
    );
    let measured = report.checks.iter().filter_map(|check| Some((check, check.measured.as_ref()?)));
    let times: String = measured.map(|(check, measured)| timed(&check.name, measured)).collect();
    let body = [
        failures,
        section("Checks", &checks),
        section("Times of answers", &times),
        section("Attempts", &attempts(report)),
    ];
    page("Smoke test", report.outcome.verdict, &sentence, about, &body.concat())
}

/// What a watch saw.
pub(super) fn of_watch(report: &WatchReport, about: &About) -> String {
    let failures: String = report.examples.iter().map(example).collect();
    let head = columns(&["Due at", "Kind", "What was seen"]);
    let failures = if failures.is_empty() {
        failures
    } else {
        let caption = "<caption>The first that failed</caption>";
        format!("<table>{caption}<thead><tr>{head}</tr></thead><tbody>{failures}</tbody></table>")
    };
    let asked = format!("Requests at a fixed rate: {}. Failed: {}.", report.scheduled, report.failed);
    let times = if report.curve.is_empty() {
        String::new()
    } else {
        times("All good answers", &asked, report.latency, &report.curve)
    };
    let body = [
        section("Rollout window", &rollout(report)),
        section("What failed", &failures),
        section("Times of answers", &times),
    ];
    page("Watch", report.outcome.verdict, &report.outcome.cause, about, &body.concat())
}

fn page(title: &str, verdict: Verdict, sentence: &str, about: &About, body: &str) -> String {
    let (began, took) = (about.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(), short(about.took));
    let facts = [
        ("Address", Some(about.target.as_str())),
        ("Environment", about.environment.as_deref()),
        ("Release", about.release.as_deref()),
        ("Began", Some(began.as_str())),
        ("Took", Some(took.as_str())),
    ];
    let target = about.target.as_str();
    Page { title, verdict, target, sentence, facts: &facts, style: STYLE, script: None, body }.html()
}

fn example(Example { due, class, detail }: &Example) -> String {
    let (due, class, detail) = (short(*due), text(&class.to_string()), text(detail));
    format!("<tr><th scope=\"row\">{due}</th><td>{class}</td><td>{detail}</td></tr>")
}

fn failure(check: &CheckReport) -> String {
    let word = check.outcome.verdict.word();
    let weight = match check.severity {
        Severity::Gate => "",
        Severity::Warn => ", only warns",
    };
    let line = check.line.map(|line| format!(" (line {line} of the configuration)")).unwrap_or_default();
    format!(
        "<article class=\"{word}\"><h3>{}</h3><p><span class=\"verdict {word}\">{word}</span>{weight}{line}: {}</p>\
         <p class=\"quiet\">Repeat with</p><pre><code>{}</code></pre></article>\n",
        text(&check.name),
        text(&check.outcome.cause),
        text(&check.repeat),
    )
}

/// One check. On a phone the table is laid out in another way, and would not be read aloud as a table without the roles.
fn row(check: &CheckReport) -> String {
    let word = check.outcome.verdict.word();
    let flaky = if check.is_flaky { "<br><span class=\"quiet\">after a retry</span>" } else { "" };
    format!(
        "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">{}</th>\
         <td role=\"cell\"><span class=\"verdict {word}\">{word}</span>{flaky}</td><td role=\"cell\">{}<br><span class=\"quiet\">{}, {}</span></td></tr>\n",
        text(&check.name),
        text(&check.outcome.cause),
        text(&check.url),
        short(check.took),
    )
}

/// How long answers took: in words, as a chart and as a table.
fn times(name: &str, asked: &str, Latency { p50, p95, p99, max }: Latency, curve: &[Duration]) -> String {
    let highest = curve.last().copied().unwrap_or_default().max(Duration::from_millis(1));
    let ms = |time: Duration| format!("{} ms", tenths(time));
    let label = format!(
        "Half of the good answers took at most {}, 95 % of them {}, the slowest {}",
        ms(p50),
        ms(p95),
        ms(max)
    );
    let picture = || {
        figure(
            &format!(
                "Good answers, the quickest first, and how long each took. The dashed line stands at 95 %. {label}."
            ),
            &chart::curve(&label, curve, highest),
            &[ms(highest), ms(highest / 2), "0".to_owned()],
            &["0 %", "25 %", "50 %", "75 %", "100 %"].map(str::to_owned),
        )
    };
    // One answer makes no curve.
    let picture = if curve.len() < 2 { String::new() } else { picture() };
    let cells: String =
        [p50, p95, p99, max].map(|time| format!("<td class=\"number\">{}</td>", ms(time))).concat();
    let head = columns(&["Half", "95 %", "99 %", "All"]);
    format!(
        "<h3>{}</h3>\n<p>{asked}</p>\n{picture}<table><caption>Good answers came within</caption><thead><tr>{head}</tr></thead>\
         <tbody><tr>{cells}</tr></tbody></table>\n",
        text(name)
    )
}

/// What was measured of a check.
fn timed(name: &str, measured: &Measured) -> String {
    let asked = format!(
        "Requests at a fixed rate: {}. Failed: {}, of which {} were not sent; {}.",
        measured.samples,
        measured.failed,
        measured.dropped,
        summary::warm_up(measured)
    );
    let beside = summary::beside(measured).map(|beside| format!(" {}.", text(&beside)));
    let asked = format!("{asked}{}", beside.unwrap_or_default());
    let phases = measured.phases.as_ref().map(phases).unwrap_or_default();
    format!("{}{phases}", times(name, &asked, measured.latency, &measured.curve))
}

/// Where the time of answers goes.
fn phases(phases: &Phases) -> String {
    let parts = summary::parts(phases);
    let cells = parts.clone().map(|(_, time)| format!("<td class=\"number\">{time}</td>")).concat();
    let head = columns(&parts.map(|(name, _)| name));
    format!(
        "<table><caption>Half of them took no longer for</caption><thead><tr>{head}</tr></thead><tbody><tr>{cells}</tr></tbody></table>\n"
    )
}

/// When each check was asked, from its own start.
fn attempts(report: &Report) -> String {
    let whole = report.checks.iter().map(|check| check.took).max().unwrap_or_default();
    let strips: String = report
        .checks
        .iter()
        .filter(|check| !check.attempts.is_empty())
        .map(|check| strip(check, whole))
        .collect();
    if strips.is_empty() {
        return strips;
    }
    format!(
        "<p>Every attempt, from the start of its check: each strip is {} long. Those with a bad answer are high and red, those \
         with a good one low and green.</p>\n{strips}",
        short(whole)
    )
}

fn strip(check: &CheckReport, whole: Duration) -> String {
    let count = check.attempts.len();
    let bad = check.attempts.iter().filter(|attempt| !attempt.is_good).count();
    let took = short(check.took);
    let label = format!("{count} attempts, {bad} of them bad, in {took}");
    let picture = chart::attempts(&label, &check.attempts, whole);
    let rows: String = check.attempts.iter().map(attempt).collect();
    let head = columns(&["At", "Took", "What was seen"]);
    format!(
        "<h3>{}</h3>\n<figure><figcaption>{label}</figcaption>{picture}</figure>\n<details><summary>Each of them</summary>\
         <table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>\n",
        text(&check.name)
    )
}

fn attempt(attempt: &Attempt) -> String {
    let (word, class) = if attempt.is_good { ("good", "pass") } else { ("bad", "fail") };
    let (at, took, seen) = (short(attempt.at), short(attempt.took), text(&attempt.seen));
    format!(
        "<tr><th scope=\"row\" class=\"number\">{at}</th><td class=\"number\">{took}</td>\
         <td><span class=\"{class}\">{word}</span>: {seen}</td></tr>"
    )
}

/// Who answered when, what was lost, and the longest gap.
fn rollout(report: &WatchReport) -> String {
    let gap = format!(
        "The longest time without a good answer was {}, from {}",
        short(report.longest_gap),
        short(report.longest_gap_at)
    );
    let label = format!("{} requests, {} of them failed. {gap}", report.scheduled, report.failed);
    let (picture, most, whole) = chart::rollout(&label, report);
    let step = short(report.timeline.step);
    let caption = format!("Requests by when they were due, in parts of {step}. {gap}.");
    let up = [most.to_string(), String::new(), "0".to_owned()];
    let along = [0_u32, 1, 2, 3, 4].map(|n| short(whole * n / 4));
    let picture = figure(&caption, &picture, &up, &along);
    let mut key: String = report
        .revisions
        .iter()
        .take(chart::COLOURS)
        .enumerate()
        .map(|(colour, seen)| entry(&format!("c{colour}"), &text(&seen.revision)))
        .collect();
    let named: u64 = report.revisions.iter().take(chart::COLOURS).map(|seen| seen.answers).sum();
    if named < report.answered {
        key.push_str(&entry("other", if report.revisions.is_empty() { "answered" } else { "other answers" }));
    }
    if 0 < report.failed {
        key.push_str(&entry("bad", "failed"));
    }
    key.push_str(&entry("gap", "longest time without a good answer"));
    format!("{picture}<ul class=\"key\">{key}</ul>\n{}", revisions(&report.revisions))
}

fn entry(class: &str, html: &str) -> String {
    format!(
        "<li><svg viewBox=\"0 0 1 1\" aria-hidden=\"true\"><rect class=\"{class}\" width=\"1\" height=\"1\"/></svg>{html}</li>"
    )
}

fn revisions(revisions: &[Seen]) -> String {
    if revisions.is_empty() {
        return String::new();
    }
    let row = |seen: &Seen| {
        let cells = [seen.answers.to_string(), short(seen.first), short(seen.last)];
        let cells = cells.map(|cell| format!("<td class=\"number\">{cell}</td>")).concat();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", text(&seen.revision))
    };
    let rows: String = revisions.iter().map(row).collect();
    let head = columns(&["Revision", "Answers", "First", "Last"]);
    format!("<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>\n")
}

/// A chart with words at its axes.
fn figure(caption: &str, picture: &str, up: &[String], along: &[String]) -> String {
    let words = |words: &[String]| format!("<span>{}</span>", words.join("</span><span>"));
    format!(
        "<figure><figcaption>{caption}</figcaption><div class=\"chart\"><div class=\"axis up\">{}</div>{picture}\
         <div class=\"axis along\">{}</div></div></figure>\n",
        words(up),
        words(along)
    )
}
