//! `build-tag plan`.

use std::fmt::Write as _;

use serde_json::json;
use shipkit_core::config::Config;
use shipkit_core::plan::{COMPOSE_FILE, Plan, bake_file, gaps, plan, test_compose, test_script};
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Annotation, Failure, Level, Runner, markdown};

use crate::args::PlanArgs;
use crate::{event, folder};

/// Plans; writes `.shipkit/{plan.json,bake.json,test.sh,test.compose.yml}` unless it is a dry run.
pub(crate) fn run(args: &PlanArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let directory = &args.project.directory;
    let config = runner.config(&directory.join(&args.project.config))?;
    say_gaps(&config, runner)?;
    let (event, committed) = event::find(runner, args.event.as_deref(), directory)?;
    let variables = |name: &str| runner.env().lookup(name).map(str::to_owned);
    let plan = plan(&event, committed, &config, &variables)?;
    let bake = pretty(&bake_file(&plan));
    if args.dry_run || runner.is_json() {
        runner.data(&pretty(&json!(plan)));
    }
    if args.dry_run {
        runner.data(&bake);
    } else {
        let test = config.test.as_ref();
        let files = [
            ("plan.json", pretty(&json!(plan))),
            ("bake.json", bake),
            ("test.sh", test_script(test)),
            (COMPOSE_FILE, pretty(&test_compose(test))),
        ];
        folder::write(directory, &files)?;
    }
    outputs(&plan, runner)?;
    runner.say(&sentences(&plan));
    runner.summary(&summary(&plan))?;
    Ok(Outcome::pass(format!("{} {} from {}", plan.name, plan.version, plan.commit)))
}

/// What the configuration asks for and this version does not do.
fn say_gaps(config: &Config, runner: &Runner) -> Result<(), Failure> {
    let gaps = gaps(config);
    let quoted = |keys: &[String]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    if !gaps.refused.is_empty() {
        let sentence =
            format!("shipkit.yml asks for {}, which this version cannot do", quoted(&gaps.refused));
        return Err(Failure::usage(sentence).with_hint("take it out of shipkit.yml"));
    }
    if !gaps.remarks.is_empty() {
        let message = format!("{} of shipkit.yml have no effect in this version", quoted(&gaps.remarks));
        runner.annotate(Annotation::new(Level::Warning, "not used", message));
    }
    Ok(())
}

/// Outputs for the jobs after this one. The four slots are fixed because a matrix cannot be ordered.
fn outputs(plan: &Plan, runner: &Runner) -> Result<(), Failure> {
    let names: Vec<_> = plan.environments.iter().map(|reached| reached.name.as_str()).collect();
    let services: Vec<_> = plan.services.keys().collect();
    runner.output("services", &json!(services).to_string())?;
    runner.output("environments", &json!(names).to_string())?;
    let slots = [
        ("environment-1", "environment-1-url"),
        ("environment-2", "environment-2-url"),
        ("environment-3", "environment-3-url"),
        ("environment-4", "environment-4-url"),
    ];
    for (at, (name, url)) in slots.into_iter().enumerate() {
        let reached = plan.environments.get(at);
        runner.output(name, reached.map_or("", |reached| &reached.name))?;
        runner.output(url, reached.and_then(|reached| reached.url.as_deref()).unwrap_or_default())?;
    }
    runner.output("push", if plan.push { "true" } else { "false" })?;
    runner.output("version", &plan.version)?;
    runner.output("commit", &plan.commit)?;
    runner.output("repository", &plan.release_repository.to_string())?;
    Ok(())
}

fn sentences(plan: &Plan) -> String {
    let mut text = format!("{} {} from {} ({})\n", plan.name, plan.version, plan.commit, plan.git_ref);
    for (name, service) in &plan.services {
        // Writing to a String cannot fail.
        writeln!(text, "build {name} -> {}:{}", service.repository, plan.build_tag).ok();
    }
    let tags =
        |tags: &[shipkit_core::Tag]| tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if plan.push {
        writeln!(
            text,
            "publish {} (permanent); {} (moving)",
            tags(&plan.tags.permanent),
            tags(&plan.tags.moving)
        )
        .ok();
    } else {
        text.push_str("nothing is pushed for this event\n");
    }
    for reached in &plan.environments {
        writeln!(text, "may deploy to {}: {}", reached.name, reached.because).ok();
    }
    for out in &plan.out_of_reach {
        writeln!(text, "not to {}: {}", out.name, out.because).ok();
    }
    text
}

fn summary(plan: &Plan) -> String {
    let mut text = format!("### Plan: {} {}\n\n", markdown::text(&plan.name), markdown::text(&plan.version));
    text.push_str("| service | image |\n|---|---|\n");
    for (name, service) in &plan.services {
        writeln!(text, "| {} | {} |", markdown::text(name), markdown::text(&service.repository.to_string()))
            .ok();
    }
    text.push_str("\n| environment | reached | why |\n|---|---|---|\n");
    for reached in &plan.environments {
        writeln!(text, "| {} | yes | {} |", markdown::text(&reached.name), markdown::text(&reached.because))
            .ok();
    }
    for out in &plan.out_of_reach {
        writeln!(text, "| {} | no | {} |", markdown::text(&out.name), markdown::text(&out.because)).ok();
    }
    text
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
