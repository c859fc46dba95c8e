//! Reports without secrets. They are taken out before anything is made of a report: JSON, XML and HTML write some characters of a
//! secret in another way, and it would not be found in them any more.

use std::collections::BTreeMap;

use shipkit_core::Outcome;
use shipkit_smoke::{Attempt, CheckReport, Example, Part, Report, Seen, Timeline, WatchReport};

/// The report, with every text in it changed by `redact`.
pub(super) fn without(report: &Report, redact: &dyn Fn(&str) -> String) -> Report {
    let attempt = |attempt: &Attempt| Attempt { seen: redact(&attempt.seen), ..attempt.clone() };
    let check = |check: &CheckReport| CheckReport {
        name: redact(&check.name),
        outcome: outcome(&check.outcome, redact),
        url: redact(&check.url),
        attempts: check.attempts.iter().map(attempt).collect(),
        said: check.said.as_deref().map(redact),
        measured: check.measured.clone().map(|measured| measured.renamed(redact)),
        repeat: redact(&check.repeat),
        ..check.clone()
    };
    Report {
        outcome: outcome(&report.outcome, redact),
        checks: report.checks.iter().map(check).collect(),
        ..report.clone()
    }
}

/// The same for what a watch saw.
pub(super) fn without_watched(report: &WatchReport, redact: &dyn Fn(&str) -> String) -> WatchReport {
    let example = |example: &Example| Example { detail: redact(&example.detail), ..example.clone() };
    let seen = |seen: &Seen| Seen { revision: redact(&seen.revision), ..seen.clone() };
    let part = |part: &Part| {
        let mut revisions = BTreeMap::new();
        for (revision, answers) in &part.revisions {
            *revisions.entry(redact(revision)).or_default() += answers;
        }
        Part { revisions, ..part.clone() }
    };
    WatchReport {
        outcome: outcome(&report.outcome, redact),
        examples: report.examples.iter().map(example).collect(),
        revisions: report.revisions.iter().map(seen).collect(),
        timeline: Timeline {
            parts: report.timeline.parts.iter().map(part).collect(),
            ..report.timeline.clone()
        },
        ..report.clone()
    }
}

fn outcome(outcome: &Outcome, redact: &dyn Fn(&str) -> String) -> Outcome {
    Outcome { verdict: outcome.verdict, cause: redact(&outcome.cause) }
}
