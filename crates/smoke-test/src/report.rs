//! What people and later steps get to see.

mod chart;
mod junit;
mod page;
mod secrets;
mod summary;
mod time;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use shipkit_core::{Secret, Verdict};
use shipkit_runner::files::{self, Unwritable};
use shipkit_runner::{Annotation, Failure, Level, OutputError, Runner, sanitize};
use shipkit_smoke::{CheckReport, Report, Severity, WatchReport};
use url::Url;

use time::ms;

/// How many errors are shown at the run beside the one that says how it ended: GitHub shows ten of a step.
const ERRORS: usize = 9;

/// The input that names the folder of the files.
const INPUT: &str = "report";
/// What is written, in this order.
const NAMES: [&str; 3] = ["smoke-test.json", "smoke-test.xml", "smoke-test.html"];

/// What a report is about.
pub(crate) struct About {
    /// The address, without user and password.
    pub(crate) target: String,
    /// The environment in the configuration, where one is named.
    pub(crate) environment: Option<String>,
    /// The release that was asked for.
    pub(crate) release: Option<String>,
    /// The configuration that lines belong to.
    pub(crate) config: String,
    /// When it began.
    pub(crate) started: Timestamp,
    /// How long it took.
    pub(crate) took: Duration,
    /// Where files go.
    pub(crate) folder: Option<PathBuf>,
}

impl About {
    /// What begins now at this address, and goes into this folder, which is made. A password in the address is masked.
    pub(crate) fn of(runner: &Runner, url: &Url, folder: Option<&Path>) -> Result<Self, Unwritable> {
        if let Some(folder) = folder {
            files::folder(INPUT, &runner.env().workspace().join(folder))?;
        }
        mask_password(runner, url);
        let mut target = url.clone();
        // Both fail only for addresses that have no host, which have no password either.
        target.set_password(None).ok();
        target.set_username("").ok();
        Ok(Self {
            target: target.into(),
            environment: None,
            release: None,
            config: String::new(),
            started: runner.now(),
            took: Duration::ZERO,
            folder: folder.map(Path::to_owned),
        })
    }
}

/// Masks the password in an address, as it stands there and as it is sent.
pub(crate) fn mask_password(runner: &Runner, url: &Url) {
    let Some(password) = url.password() else { return };
    runner.mask(&Secret::new(password));
    let form = format!("p={}", password.replace('+', "%2B").replace('&', "%26"));
    for (_, password) in url::form_urlencoded::parse(form.as_bytes()) {
        runner.mask(&Secret::new(password));
    }
}

/// Shows what the checks found: outputs, summary, annotations on the lines of the configuration, data on stdout, and files.
pub(crate) fn checks(runner: &Runner, report: &Report, about: &About) -> Result<(), Failure> {
    let report = &secrets::without(report, &|text| runner.redact(text));
    let worst = worst(report);
    let gates = || worst.iter().filter(|check| check.severity == Severity::Gate);
    let failed: Vec<String> = gates()
        .filter(|check| check.outcome.verdict == Verdict::Fail)
        .map(|check| sanitize::line(&check.name))
        .collect();
    runner.output("passed", &report.count(Verdict::Pass).to_string())?;
    runner.output("failed", &report.count(Verdict::Fail).to_string())?;
    runner.output("failed-gates", &failed.join("\n"))?;
    runner.output("exit-class", &word(gates().next().and_then(|check| check.class)))?;
    runner.output(
        "release-seen",
        &word(report.checks.iter().filter_map(|check| check.said.as_ref()).next_back()),
    )?;
    runner.output("p95-ms", &word(p95(report).map(|time| time.as_millis())))?;
    runner.summary(&summary::of_checks(report, about))?;
    annotate(runner, &worst, about);
    if runner.is_json() {
        runner.data(&json(report)?);
    } else {
        for check in &report.checks {
            let (name, outcome) = (&check.name, &check.outcome);
            runner.data(&format!("{:<12} {name}: {}", outcome.verdict.word(), outcome.cause));
        }
    }
    let texts = || Ok([json(report)?, junit::of_checks(report, about)?, page::of_checks(report, about)]);
    write(runner, about, texts)
}

/// Shows what a watch saw.
pub(crate) fn watched(runner: &Runner, report: &WatchReport, about: &About) -> Result<(), Failure> {
    let report = &secrets::without_watched(report, &|text| runner.redact(text));
    counts(runner, report)?;
    runner.summary(&summary::of_watch(report))?;
    if runner.is_json() {
        runner.data(&json(report)?);
    } else {
        tell(runner, report);
    }
    let texts = || Ok([json(report)?, junit::of_watch(report, about)?, page::of_watch(report, about)]);
    write(runner, about, texts)
}

fn tell(runner: &Runner, report: &WatchReport) {
    runner.data(&report.outcome.cause);
    for row in summary::facts(report) {
        runner.data(&row.join(": "));
    }
    for seen in &report.revisions {
        let (first, last) = (ms(seen.first), ms(seen.last));
        runner.data(&format!("revision {}: {} answers, from {first} to {last}", seen.revision, seen.answers));
    }
    for example in &report.examples {
        runner.data(&format!("failed at {}: {}: {}", ms(example.due), example.class, example.detail));
    }
}

fn counts(runner: &Runner, report: &WatchReport) -> Result<(), OutputError> {
    let most = report.failures.iter().max_by_key(|(_, count)| **count).map(|(class, _)| class);
    let last = report.revisions.iter().max_by_key(|seen| seen.last).map(|seen| &seen.revision);
    let p95 = (0 < report.answered).then_some(report.latency.p95.as_millis());
    runner.output("passed", &report.answered.to_string())?;
    runner.output("failed", &report.failed.to_string())?;
    runner.output("scheduled", &report.scheduled.to_string())?;
    runner.output("longest-gap-ms", &report.longest_gap.as_millis().to_string())?;
    runner.output("failed-gates", "")?;
    runner.output("exit-class", &word(most))?;
    runner.output("release-seen", &word(last))?;
    runner.output("p95-ms", &word(p95))
}

/// Writes the files, where some are wanted, last: whatever else there is to see has been shown by then.
fn write(
    runner: &Runner,
    about: &About,
    texts: impl FnOnce() -> Result<[String; 3], Failure>,
) -> Result<(), Failure> {
    let Some(folder) = &about.folder else { return Ok(runner.output("report-path", "")?) };
    let named = NAMES.map(str::to_owned).into_iter().zip(texts()?).collect::<Vec<_>>();
    files::write(INPUT, &runner.env().workspace().join(folder), &named)?;
    Ok(runner.output("report-path", &folder.to_string_lossy())?)
}

/// The value, or nothing where it is not known.
fn word(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn json(report: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(report).map_err(Failure::unknown)
}

fn p95(report: &Report) -> Option<Duration> {
    let measured = report.checks.iter().filter_map(|check| check.measured.as_ref());
    measured.filter(|measured| measured.failed < measured.samples).map(|measured| measured.latency.p95).max()
}

/// The checks that are not as they should be, the worst first.
fn worst(report: &Report) -> Vec<&CheckReport> {
    let mut worst: Vec<_> = report.checks.iter().filter(|check| rank(check).is_some()).collect();
    worst.sort_by_key(|check| (check.severity != Severity::Gate, rank(check)));
    worst
}

/// How bad it is, from 0; `None` where it is not.
fn rank(check: &CheckReport) -> Option<u8> {
    match check.outcome.verdict {
        Verdict::Fail => Some(0),
        Verdict::Inconclusive => Some(1),
        Verdict::Unreachable => Some(2),
        Verdict::Pass | Verdict::Skipped => None,
    }
}

/// Errors of gates and warnings of others. Of more than nine errors, the least bad ones are only told.
fn annotate(runner: &Runner, worst: &[&CheckReport], about: &About) {
    let mut errors = 0;
    for check in worst {
        let level = match check.severity {
            Severity::Gate => Level::Error,
            Severity::Warn => Level::Warning,
        };
        errors += usize::from(level == Level::Error);
        let message = format!("{}\nrepeat with: {}", check.outcome.cause, check.repeat);
        let annotation = Annotation::new(level, check.name.clone(), message);
        let annotation = match check.line {
            Some(line) => annotation.at(about.config.as_str(), Some(line)),
            None => annotation,
        };
        if level == Level::Error && ERRORS < errors {
            runner.say(&annotation.sentence());
        } else {
            runner.annotate(annotation);
        }
    }
}
