//! `deploy-promote logs`: the last lines of the containers, those that fail first.

use shipkit_core::target::failing_first;
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner};

use crate::args::LogsArgs;
use crate::project::Project;
use crate::report;

/// Reads them and shows them: on a terminal as the data that was asked for, in a step as a group for people.
pub(crate) async fn run(project: &Project<'_>, args: &LogsArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let target = project.target(runner).await?;
    let service = args.service.as_deref();
    let mut written = failing_first(target.written(service, args.tail).await?);
    if project.config.group.is_some() && service.is_none() {
        written.retain(|one| project.config.services.contains_key(&one.service));
    }
    let place = target.place();
    if let Some(service) = service.filter(|_| written.is_empty()) {
        let known: Vec<_> = project.config.services.keys().map(|name| format!("`{name}`")).collect();
        let sentence = format!("nothing of a service `{service}` is in {} `{}`", place.kind, place.name);
        return Err(Failure::usage(sentence).with_hint(format!("shipkit.yml names {}", known.join(", "))));
    }
    // Data is written as it is, so it must hold no secret.
    for line in written.iter_mut().filter_map(|one| one.lines.as_mut()).flatten() {
        *line = project.redact(line);
    }
    let text = report::written(&written);
    if runner.is_json() {
        runner.data(&report::written_json(place, &written).to_string());
    } else if runner.env().is_actions() {
        let _group = runner.group(&format!("last lines of {}", place.name));
        runner.say(&text);
    } else {
        runner.data(&text);
    }
    let failing = written.iter().filter(|one| one.is_failing).count();
    Ok(Outcome::pass(format!("{} containers, {failing} of them failing", written.len())))
}
