//! What `image-scan` tells people and machines.

use std::fmt::Write as _;

use serde_json::{Value, json};
use shipkit_core::policy::{Finding, Judgement};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_runner::markdown::text as escape;

/// How many blocking findings a report lists; all of them are in the evidence.
const LISTED: usize = 50;

/// One image of one platform, judged.
pub(crate) struct Judged {
    /// The service, or the image's name.
    pub(crate) name: String,
    /// `linux/amd64`.
    pub(crate) platform: String,
    /// What judging gave.
    pub(crate) judgement: Judgement,
}

/// The verdict over all images, and the sentence for it.
pub(crate) fn outcome(judged: &[Judged]) -> Outcome {
    let verdict = Verdict::of_all(judged.iter().map(|image| image.judgement.outcome.verdict));
    let decisive = judged.iter().filter(|image| image.judgement.outcome.verdict == verdict);
    let said = decisive
        .map(|image| format!("`{}` ({}): {}", image.name, image.platform, image.judgement.outcome.cause));
    Outcome { verdict, cause: said.collect::<Vec<_>>().join("; ") }
}

/// The step summary: the sentence, what fails, then every rule.
pub(crate) fn summary(outcome: &Outcome, judged: &[Judged]) -> String {
    let mut text = format!("### Image scan: {}\n\n{}\n\n", outcome.verdict, escape(&outcome.cause));
    text.push_str("| image | platform | rule | verdict | why |\n|---|---|---|---|---|\n");
    for image in judged {
        for (rule, outcome) in &image.judgement.rules {
            // Writing to a String cannot fail.
            writeln!(
                text,
                "| {} | {} | {rule} | {} | {} |",
                escape(&image.name),
                escape(&image.platform),
                outcome.verdict,
                escape(&outcome.cause)
            )
            .ok();
        }
    }
    let blocking: Vec<_> = judged
        .iter()
        .flat_map(|image| image.judgement.blocking.iter().map(move |finding| (image, finding)))
        .collect();
    if !blocking.is_empty() {
        text.push_str("\n| image | finding | severity | package | fixed in |\n|---|---|---|---|---|\n");
        for (image, finding) in blocking.iter().take(LISTED) {
            writeln!(text, "| {} |{}", escape(&image.name), row(finding)).ok();
        }
        if LISTED < blocking.len() {
            writeln!(text, "\nand {} more", blocking.len() - LISTED).ok();
        }
    }
    text
}

fn row(finding: &Finding) -> String {
    let package = format!("{} {}", finding.package, finding.version);
    let fixed = finding.fixed_in.as_deref().unwrap_or("no fix yet");
    format!(
        " {} | {} | {} | {} |",
        escape(&finding.id),
        finding.severity.word(),
        escape(&package),
        escape(fixed)
    )
}

/// The lines for a terminal.
pub(crate) fn lines(judged: &[Judged]) -> String {
    let mut text = String::new();
    for image in judged {
        writeln!(text, "{} ({}): {}", image.name, image.platform, image.judgement.outcome.verdict).ok();
        for (rule, outcome) in &image.judgement.rules {
            writeln!(text, "  {rule}: {} - {}", outcome.verdict, outcome.cause).ok();
        }
    }
    text
}

/// The same for machines; also what the evidence keeps.
pub(crate) fn json(judged: &[Judged]) -> Value {
    let images = judged.iter().map(|image| {
        let rules = image.judgement.rules.iter().map(|(rule, outcome)| json!({"rule": rule, "verdict": outcome.verdict, "cause": outcome.cause}));
        let blocking = image.judgement.blocking.iter().map(|finding| {
            json!({"id": finding.id, "package": finding.package, "version": finding.version,
                "severity": finding.severity.word(), "fixedIn": finding.fixed_in})
        });
        json!({"name": image.name, "platform": image.platform, "verdict": image.judgement.outcome.verdict,
            "cause": image.judgement.outcome.cause, "rules": rules.collect::<Vec<_>>(), "blocking": blocking.collect::<Vec<_>>()})
    });
    images.collect()
}
