//! What `deploy-promote` tells people and machines.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::config::Config;
use shipkit_core::history::Entry;
use shipkit_core::target::{Adoption, Change, Observed, ObservedService, Stamp, WayBack, Written};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_runner::markdown::{code, table, text};
use shipkit_runner::{Annotation, Failure, Level, Runner};
use shipkit_smoke::Report;

use crate::admission::Admission;
use crate::candidate::Candidate;
use crate::hooks::Hooks;
use crate::project::Project;
use crate::target::Place;

/// The plan, a line a step, and the way of requests to what it puts in place.
pub(crate) fn plan(hooks: &Hooks, changes: &[Change], way: &[String]) -> String {
    let changes = changes.iter().map(ToString::to_string);
    hooks.lines().into_iter().chain(changes).chain(way.iter().cloned()).collect::<Vec<_>>().join("\n")
}

/// The way back, a line a service, and what stays.
pub(crate) fn way_back(way: &WayBack) -> String {
    let returns = way.returns.iter().map(ToString::to_string);
    let data = way.data.iter().map(|name| format!("leave `{name}`, which holds data"));
    let stay = way.stay.iter().map(|name| format!("leave `{name}`, which was no part of it"));
    returns.chain(data).chain(stay).collect::<Vec<_>>().join("\n")
}

/// Says what was asked for and what was found.
pub(crate) fn admission(admission: &Admission, runner: &Runner) {
    for (_, outcome) in &admission.judged {
        runner.say(&format!("{}: {}", outcome.verdict, outcome.cause));
    }
    runner.say(&format!("admission: {}: {}", admission.outcome.verdict, admission.outcome.cause));
}

/// The summary of a refusal.
pub(crate) fn refusal(outcome: &Outcome, admission: &Admission) -> String {
    let rows =
        admission.judged.iter().map(|(_, outcome)| vec![outcome.verdict.to_string(), text(&outcome.cause)]);
    let rows: Vec<_> = rows.collect();
    format!("### Not deployed\n\n{}\n\n{}", text(&outcome.cause), table(&["verdict", "evidence"], &rows))
}

/// Which release serves, in one phrase. What holds data keeps the release that created it and says nothing about this.
pub(crate) fn serves(config: &Config, observed: &Observed) -> String {
    let is_stateful = |name: &str| config.services.get(name).is_some_and(|service| service.stateful);
    let (mut versions, mut unsure) = (BTreeSet::new(), Vec::new());
    for service in observed.services.iter().filter(|service| !is_stateful(&service.name)) {
        match &service.stamp {
            Some(stamp) if service.is_confirmed => drop(versions.insert(stamp.called().to_owned())),
            Some(stamp) => {
                unsure.push(format!("`{}` changes to {}, unconfirmed", service.name, stamp.version));
            }
            None => {}
        }
    }
    let versions: Vec<_> = versions.into_iter().collect();
    let serves = match versions.as_slice() {
        [] if unsure.is_empty() => "no release of shipkit serves".to_owned(),
        [] => "no release is confirmed".to_owned(),
        [version] => format!("{version} serves"),
        several => format!("a mixture serves: {}", several.join(", ")),
    };
    std::iter::once(serves).chain(unsure).collect::<Vec<_>>().join(", ")
}

/// Failed checks as annotations on their lines, and every check for people.
pub(crate) fn smoke(report: &Report, config: &Path, runner: &Runner) {
    for check in &report.checks {
        runner.say(&format!("{}: {}: {}", check.outcome.verdict, check.name, check.outcome.cause));
        if matches!(check.outcome.verdict, Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable) {
            runner.annotate(Annotation {
                level: Level::Warning,
                title: check.name.clone(),
                message: format!("{}; to repeat: {}", check.outcome.cause, check.repeat),
                file: Some(config.display().to_string()),
                line: check.line,
            });
        }
    }
}

/// What a deploy did, beside its outcome.
pub(crate) struct Done {
    /// Its steps, a line each.
    pub(crate) steps: Vec<String>,
    /// The release that served before.
    pub(crate) previous: Option<Digest>,
    /// The digest that each service runs now, as far as that is known.
    pub(crate) digests: Value,
    /// Milliseconds by part.
    pub(crate) timings: Value,
    /// What visitors saw while it rolled out.
    pub(crate) watched: Option<String>,
    /// What the analysis found; nothing where there was none.
    pub(crate) analysed: Value,
}

/// Outputs and summary of a deploy.
pub(crate) fn deployed(
    candidate: &Candidate<'_>,
    done: &Done,
    outcome: &Outcome,
    runner: &Runner,
) -> Result<(), Failure> {
    let Candidate { project, shipped, .. } = candidate;
    runner.output("url", project.environment.url.as_deref().unwrap_or_default())?;
    runner.output("digests", &done.digests.to_string())?;
    runner.output("previous", done.previous.as_ref().map_or("", Digest::as_str))?;
    runner.output("timings", &done.timings.to_string())?;
    let mut summary = headline(project, &shipped.release.version, outcome);
    if let Some(broken_glass) = &candidate.broken_glass {
        write!(summary, "**Break-glass:** {}\n\n", text(&broken_glass.cause)).ok();
    }
    if let Some(watched) = &done.watched {
        write!(summary, "While it rolled out: {}.\n\n", text(watched)).ok();
    }
    summary.push_str(&analysis(&done.analysed));
    let rows: Vec<_> = done.steps.iter().map(|step| vec![text(step)]).collect();
    summary.push_str(&table(&["plan"], &rows));
    runner.summary(&summary)?;
    if runner.is_json() {
        runner.data(&json!({"environment": project.environment.name, "release": shipped.digest, "version": shipped.release.version,
            "verdict": outcome.verdict, "cause": outcome.cause, "changes": done.steps, "digests": done.digests, "timings": done.timings, "watched": done.watched,
            "analysis": done.analysed}).to_string());
    }
    Ok(())
}

/// What the analysis found, a row for each metric.
fn analysis(found: &Value) -> String {
    let Some(metrics) = found["metrics"].as_array() else { return String::new() };
    let cell = |one: &Value, key: &str| {
        let said = one[key].as_str().map(str::to_owned);
        text(&said.or_else(|| Some(one[key].as_u64()?.to_string())).unwrap_or_default())
    };
    let keys = ["metric", "value", "limit", "requests", "verdict"];
    let rows: Vec<_> = metrics.iter().map(|one| keys.map(|key| cell(one, key)).to_vec()).collect();
    format!("{}\n", table(&keys, &rows))
}

/// What became of a release in an environment, at the head of a summary.
pub(crate) fn headline(project: &Project<'_>, version: &str, outcome: &Outcome) -> String {
    let (name, cause) = (text(&project.environment.name), text(&outcome.cause));
    format!("### {name}: {} {}\n\n{cause}\n\n", text(version), outcome.verdict)
}

/// The digest that each service runs.
pub(crate) fn digests(observed: &Observed) -> Value {
    let images =
        observed.services.iter().filter_map(|service| Some((service.name.clone(), service.image.as_ref()?)));
    images.map(|(name, image)| (name, json!(image.digest))).collect()
}

/// What runs where, as JSON.
pub(crate) fn status_json(place: Place<'_>, observed: &Observed, drift: &[String]) -> Value {
    let services: Vec<_> = observed.services.iter().map(|service| {
        json!({"service": service.name, "image": service.image, "running": service.running, "stamp": service.stamp,
            "revision": service.revision, "confirmed": service.is_confirmed, "problems": service.problems,
            "previous": service.previous.as_ref().and_then(|previous| previous.stamp.as_ref())})
    }).collect();
    json!({place.kind: place.name, "services": services, "drift": drift})
}

/// What runs where, for people.
pub(crate) fn status(place: Place<'_>, observed: &Observed, drift: &[String]) -> String {
    if observed.services.is_empty() {
        return format!("{}: no services\n", place.name);
    }
    let mut lines = String::new();
    for service in &observed.services {
        let running: u64 = service.running.values().sum();
        writeln!(
            lines,
            "{}: {}, {running} running, {}",
            place.full_name(&service.name),
            version(service),
            image(service)
        )
        .ok();
        for problem in &service.problems {
            writeln!(lines, "  {problem}").ok();
        }
    }
    for one in drift {
        writeln!(lines, "changed since: {one}").ok();
    }
    lines
}

/// The same as a table in the step summary.
pub(crate) fn status_summary(place: Place<'_>, observed: &Observed, drift: &[String]) -> String {
    let rows: Vec<_> = observed
        .services
        .iter()
        .map(|service| vec![code(&service.name), text(&version(service)), code(&image(service))])
        .collect();
    let drift =
        drift.iter().map(|one| format!("- changed since: {}\n", text(one))).collect::<Vec<_>>().concat();
    format!("### {}\n\n{}\n{drift}", text(place.name), table(&["service", "release", "image"], &rows))
}

/// The releases that were confirmed, for people.
pub(crate) fn history(place: Place<'_>, entries: &[Entry], observed: &Observed) -> String {
    if entries.is_empty() {
        return format!("{}: no confirmed releases\n", place.name);
    }
    let line = |entry: &Entry| {
        let Stamp { version, commit, release, .. } = &entry.stamp;
        let run = entry.stamp.run.as_ref().map(|run| format!(" by {run}")).unwrap_or_default();
        let commit = if entry.stamp.is_adopted() { String::new() } else { format!("commit {commit} ") };
        let (confirmed, standing) = (entry.confirmed, standing(entry, observed));
        format!("{version} {commit}{release}, confirmed {confirmed}{run}: {standing}\n")
    };
    entries.iter().map(line).collect()
}

/// The same as JSON.
pub(crate) fn history_json(place: Place<'_>, entries: &[Entry], observed: &Observed) -> Value {
    let release = |entry: &Entry| {
        let images = entry.services.iter().map(|(name, kept)| (name.clone(), json!(kept.image)));
        json!({"stamp": entry.stamp, "confirmed": entry.confirmed, "migration": entry.migration,
            "runs": entry.runs(observed), "reachable": entry.is_reachable(), "services": images.collect::<Value>()})
    };
    json!({place.kind: place.name, "releases": entries.iter().map(release).collect::<Vec<_>>()})
}

/// The same as a table in the step summary.
pub(crate) fn history_summary(place: Place<'_>, entries: &[Entry], observed: &Observed) -> String {
    let row = |entry: &Entry| {
        let Stamp { version, commit, release, .. } = &entry.stamp;
        let time = entry.confirmed.to_string();
        vec![
            text(version),
            code(commit),
            code(release.short()),
            text(&time),
            text(&standing(entry, observed)),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    let columns = ["release", "commit", "digest", "confirmed", ""];
    format!("### {}\n\n{}", text(place.name), table(&columns, &rows))
}

fn standing(entry: &Entry, observed: &Observed) -> String {
    match entry.why_not_reachable() {
        _ if entry.runs(observed) => "runs now".to_owned(),
        None => "`rollback --to` reaches it".to_owned(),
        Some(why) => format!("only listed, because {why}"),
    }
}

/// What is adopted, a line a service, and what is not there.
pub(crate) fn adoption(adoption: &Adoption) -> String {
    let adopted = adoption.services.iter().map(ToString::to_string);
    let absent = adoption.absent.iter().map(|name| format!("leave out `{name}`, which is not there"));
    adopted.chain(absent).collect::<Vec<_>>().join("\n")
}

/// The last lines of containers, each behind the name of its container.
pub(crate) fn written(all: &[Written]) -> String {
    let lines = |one: &Written| {
        let (mark, name) = (if one.is_failing { " (failing)" } else { "" }, &one.container);
        match one.lines.as_deref() {
            None => vec![format!("{name}{mark}: its log cannot be read")],
            Some([]) => vec![format!("{name}{mark}: has written nothing")],
            Some(lines) => lines.iter().map(|line| format!("{name}{mark} | {line}")).collect(),
        }
    };
    all.iter().flat_map(lines).collect::<Vec<_>>().join("\n")
}

/// The same as JSON.
pub(crate) fn written_json(place: Place<'_>, all: &[Written]) -> Value {
    let one = |one: &Written| json!({"service": one.service, "container": one.container, "failing": one.is_failing, "lines": one.lines});
    json!({place.kind: place.name, "containers": all.iter().map(one).collect::<Vec<_>>()})
}

fn version(service: &ObservedService) -> String {
    match &service.stamp {
        Some(stamp) => {
            let run = stamp.run.as_ref().map(|run| format!(" by {run}")).unwrap_or_default();
            let unsure = if service.is_confirmed { "" } else { ", not confirmed" };
            format!("{} since {}{run}{unsure}", stamp.version, stamp.time)
        }
        None => "not deployed by shipkit".to_owned(),
    }
}

fn image(service: &ObservedService) -> String {
    service.image.as_ref().map_or_else(|| "image not by digest".to_owned(), ToString::to_string)
}
