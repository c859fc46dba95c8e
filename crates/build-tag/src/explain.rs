//! `build-tag explain`: which rule gives which tag, and why the others give none.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;
use shipkit_core::explained::Explained;
use shipkit_core::meta::Meta;
use shipkit_core::plan::{self, PlanError};
use shipkit_core::{Outcome, Secret};
use shipkit_runner::{Failure, Runner, markdown};

use crate::args::MetaArgs;
use crate::plan::given;
use crate::{event, meta};

const CONFIG: &str = "shipkit.yml";

/// Tells; puts nothing out.
pub(crate) async fn run(
    args: &MetaArgs,
    token: Option<&Secret>,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let asks_nothing = args.images.trim().is_empty() && args.tags.trim().is_empty();
    if asks_nothing && args.directory.join(CONFIG).is_file() {
        return of_project(args, runner);
    }
    let meta = meta::decided(args, token, runner).await?;
    if runner.is_json() {
        runner.data(&json!(meta.explained).to_string());
    } else {
        runner.data(&table(&meta.explained));
    }
    runner.summary(&summary(&meta))?;
    Ok(outcome(&meta))
}

/// The rules of the project's own configuration, where no others are given.
fn of_project(args: &MetaArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let config = runner.config(&args.directory, Path::new(CONFIG))?;
    let (event, committed) = event::find(runner, None, &args.directory)?;
    let explained = plan::explain(&event, committed, &config).map_err(PlanError::Name)?;
    let mut text = String::new();
    let mut rows = String::new();
    for rule in &explained {
        let tags = if rule.tags.is_empty() { "(none)".to_owned() } else { given(rule) };
        // Writing to a String cannot fail.
        writeln!(text, "{tags} <- {}\n    {}", rule.rule, rule.because).ok();
        let cells = [tags, rule.rule.clone(), rule.because.clone()].map(|cell| markdown::text(&cell));
        writeln!(rows, "| {} |", cells.join(" | ")).ok();
    }
    runner.data(if runner.is_json() { json!(explained).to_string() } else { text }.as_str());
    let outcome = match explained.iter().map(|rule| rule.tags.len()).sum() {
        0 => Outcome::skipped("no rule of shipkit.yml gives a tag for this event"),
        1 => Outcome::pass("1 tag by the rules of shipkit.yml"),
        count => Outcome::pass(format!("{count} tags by the rules of shipkit.yml")),
    };
    let title = markdown::text(&outcome.cause);
    runner.summary(&format!("### Tags: {title}\n\n| tags | rule | why |\n|---|---|---|\n{rows}"))?;
    Ok(outcome)
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
