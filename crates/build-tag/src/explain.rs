//! `build-tag explain`: which rule gives which tag, and why the others give none.

use std::fmt::Write as _;

use serde_json::json;
use shipkit_core::explained::Explained;
use shipkit_core::meta::Meta;
use shipkit_core::{Outcome, Secret};
use shipkit_runner::{Failure, Runner, markdown};

use crate::args::MetaArgs;
use crate::meta;

/// Tells; puts nothing out.
pub(crate) async fn run(
    args: &MetaArgs,
    token: Option<&Secret>,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let meta = meta::decided(args, token, runner).await?;
    if runner.is_json() {
        runner.data(&json!(meta.explained).to_string());
    } else {
        runner.data(&table(&meta.explained));
    }
    runner.summary(&summary(&meta))?;
    Ok(outcome(&meta))
}

/// How many tags there are.
pub(crate) fn outcome(meta: &Meta) -> Outcome {
    match (meta.version(), meta.names.len()) {
        (None, _) => Outcome::skipped("no rule gives a tag for this event; `build-tag explain` tells why"),
        (Some(version), 1) => Outcome::pass(format!("version {version}, 1 tag")),
        (Some(version), count) => Outcome::pass(format!("version {version}, {count} tags")),
    }
}

/// Each rule in two lines: what it gives, and where it stands and why.
pub(crate) fn table(explained: &[Explained]) -> String {
    let mut text = String::new();
    for rule in explained {
        // Writing to a String cannot fail.
        writeln!(text, "{} <- {}", tags(rule), rule.rule).ok();
        writeln!(text, "    {}: {}", rule.place, rule.because).ok();
    }
    text
}

/// The same for the summary of a step.
pub(crate) fn summary(meta: &Meta) -> String {
    let mut text = format!("### Tags: {}\n\n", markdown::text(&outcome(meta).cause));
    text.push_str("| tags | rule | why |\n|---|---|---|\n");
    for rule in &meta.explained {
        let why = format!("{}: {}", rule.place, rule.because);
        let cells = [tags(rule), rule.rule.clone(), why].map(|cell| markdown::text(&cell));
        writeln!(text, "| {} |", cells.join(" | ")).ok();
    }
    text
}

fn tags(rule: &Explained) -> String {
    let tags: Vec<_> = rule.tags.iter().map(ToString::to_string).collect();
    if tags.is_empty() { "(none)".to_owned() } else { tags.join(", ") }
}
