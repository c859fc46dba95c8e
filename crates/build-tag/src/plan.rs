//! `build-tag plan`.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use shipkit_core::config::{Because, Compose, Config, LeftOut};
use shipkit_core::plan::{
    Builder, COMPOSE_FILE, Explained, Life, Plan, PlanError, Which, bake_file, build_script, explain, gaps,
    plan, test_compose, test_script,
};
use shipkit_core::verdict::Outcome;
use shipkit_registry::{Options, Registry};
use shipkit_runner::{Annotation, Failure, Level, Runner, env, markdown};

use crate::args::PlanArgs;
use crate::reuse::Asked;
use crate::{event, folder, git, keep, login};

/// Whatever is asked of a registry for a plan can also be built: no answer is worth a long wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// Plans; writes `.shipkit/{plan.json,bake.json,build.sh,test.sh,test.compose.yml}` unless it is a dry run.
pub(crate) async fn run(args: &PlanArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let directory = &args.project.directory;
    let config = runner.config(directory, &args.project.config)?.in_group(args.project.group.as_deref())?;
    say_gaps(&config, runner)?;
    let origin = origin(&config);
    if let Some(origin) = &origin {
        runner.say(origin);
    }
    let (event, committed) = event::find(runner, args.event.as_deref(), directory)?;
    let variables = |name: &str| runner.env().lookup(name).map(str::to_owned);
    let history = git::history(directory, &event.commit);
    let plan = plan(&event, committed, &history, &config, &variables)?;
    let explained = explain(&event, committed, &config).map_err(PlanError::Name)?;
    let registry = registry(args, &plan, runner);
    if let Err(failure) = &registry {
        runner.say(&format!("no registry is asked: {}", failure.sentence()));
    }
    let asked = Asked {
        config: &config,
        event: &event,
        plan: &plan,
        directory,
        now: runner.now(),
        registry: registry.as_ref().ok(),
    };
    let decisions = asked.decide().await;
    let builder = folder::builder(directory);
    let plan = plan.decided(decisions).sharded(&event, &args.shards, args.shard.as_deref())?;
    let plan = plan.with_builder(builder.as_ref());
    say_what_the_builder_lacks(&plan, builder.as_ref(), runner)?;
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
            ("build.sh", build_script(&plan)),
            ("test.sh", test_script(test)),
            (COMPOSE_FILE, pretty(&test_compose(test))),
        ];
        folder::write(directory, &files)?;
    }
    outputs(&plan, runner)?;
    runner.output("keep", if keep::wanted(&config).is_empty() { "false" } else { "true" })?;
    runner.say(&sentences(&plan, &explained));
    runner.summary(&summary(&plan, &explained, origin.as_deref()))?;
    Ok(Outcome::pass(format!("{} {} from {}", plan.name, plan.version, plan.commit)))
}

/// The client that asks for what is there. The job's own token is for GitHub's own registry.
fn registry(args: &PlanArgs, plan: &Plan, runner: &Runner) -> Result<Registry, Failure> {
    let mut login = args.registry.clone();
    let is_githubs = plan.release_repository.registry() == "ghcr.io";
    if login.registry_password.is_none() && is_githubs && args.github_token.is_some() {
        let actor = runner.env().get(env::GITHUB_ACTOR).unwrap_or("x-access-token");
        login.registry_username = Some(actor.to_owned());
        login.registry_password.clone_from(&args.github_token);
    }
    let options = Options { deadline: PATIENCE, idle: PATIENCE, ..Options::default() };
    login::with(runner, &login, &plan.release_repository, options)
}

/// In a workflow the next step starts the builder that is needed; a person is told before building fails.
fn say_what_the_builder_lacks(
    plan: &Plan,
    present: Option<&Builder>,
    runner: &Runner,
) -> Result<(), Failure> {
    let lacks = plan.builder.lacks.join(", ");
    if lacks.is_empty() {
        return Ok(());
    }
    if runner.env().is_actions() || present.is_none() {
        runner.say(&format!("a builder in a container is needed for {lacks}"));
        return Ok(());
    }
    Err(Failure::usage(format!("the present builder cannot make {lacks}"))
        .with_hint("start one that can: `docker buildx create --use --driver docker-container`"))
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

/// Where the services come from, if `shipkit.yml` does not name them, and what is not taken over of how they are built.
/// How they run is for `deploy-promote` to say.
fn origin(config: &Config) -> Option<String> {
    let Compose { file, left } = config.compose.as_ref()?;
    let names: Vec<_> = config.services.keys().map(String::as_str).collect();
    let mut text =
        format!("shipkit.yml names no services, so they are those of {file}: {}", names.join(", "));
    let matters = |left: &&LeftOut| matches!(left.because, Because::Profile | Because::Build);
    let left: Vec<_> = left.iter().filter(matters).map(|left| format!("`{}`", left.path())).collect();
    if !left.is_empty() {
        // Writing to a String cannot fail.
        write!(text, "; not taken over: {}", left.join(", ")).ok();
    }
    Some(text)
}

/// Outputs for the jobs after this one. The four slots are fixed because a matrix cannot be ordered.
fn outputs(plan: &Plan, runner: &Runner) -> Result<(), Failure> {
    let names: Vec<_> = plan.environments.iter().map(|reached| reached.name.as_str()).collect();
    let services: Vec<_> = plan.built_here().map(|(name, _)| name).collect();
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
    let builder = match plan.builder.which {
        Which::Default => "default",
        Which::Container => "container",
    };
    runner.output("builder", builder)?;
    runner.output("push", if plan.push { "true" } else { "false" })?;
    runner.output("version", &plan.version)?;
    runner.output("commit", &plan.commit)?;
    runner.output("repository", &plan.release_repository.to_string())?;
    Ok(())
}

fn sentences(plan: &Plan, explained: &[Explained]) -> String {
    let mut text = format!("{} {} from {} ({})\n", plan.name, plan.version, plan.commit, plan.git_ref);
    writeln!(text, "version {}: {}", plan.version, plan.version_because).ok();
    for (name, service) in &plan.services {
        let elsewhere: Vec<_> = service.shards.keys().map(String::as_str).collect();
        // Writing to a String cannot fail.
        if elsewhere.is_empty() {
            writeln!(text, "build {name} -> {}:{}", service.repository, plan.build_tag).ok();
        } else {
            writeln!(
                text,
                "join {name} of {} -> {}:{}",
                elsewhere.join(", "),
                service.repository,
                plan.build_tag
            )
            .ok();
        }
        writeln!(text, "  {}", service.because).ok();
    }
    for (name, reused) in &plan.reused {
        writeln!(text, "keep {name} -> {}", reused.image.image()).ok();
        writeln!(text, "  {}", reused.because).ok();
    }
    if !plan.push {
        text.push_str("nothing is pushed for this event\n");
    }
    for rule in explained.iter().filter(|_| plan.push) {
        let tags = if rule.tags.is_empty() { "no tag".to_owned() } else { given(rule) };
        writeln!(text, "{}: {tags}: {}", rule.rule, rule.because).ok();
    }
    for reached in &plan.environments {
        writeln!(text, "may deploy to {}: {}", reached.name, reached.because).ok();
    }
    for out in &plan.out_of_reach {
        writeln!(text, "not to {}: {}", out.name, out.because).ok();
    }
    text
}

/// `1.2.3 (permanent), 1.2 (moves forward)`.
pub(crate) fn given(rule: &Explained) -> String {
    let tags = rule.tags.iter().map(|given| {
        let life = match given.life {
            Life::Permanent | Life::Version => "permanent",
            Life::Moving => "moves",
            Life::Channel => "moves forward only",
        };
        format!("{} ({life})", given.tag)
    });
    tags.collect::<Vec<_>>().join(", ")
}

fn summary(plan: &Plan, explained: &[Explained], origin: Option<&str>) -> String {
    let mut text = format!("### Plan: {} {}\n\n", markdown::text(&plan.name), markdown::text(&plan.version));
    text.push_str("| service | image | why |\n|---|---|---|\n");
    let built = plan.services.iter().map(|(name, service)| (name, &service.repository, &service.because));
    let reused = plan.reused.iter().map(|(name, reused)| (name, &reused.image.repository, &reused.because));
    for (name, repository, because) in built.chain(reused) {
        let cells = [name, &repository.to_string(), because].map(|cell| markdown::text(cell));
        writeln!(text, "| {} |", cells.join(" | ")).ok();
    }
    if let Some(origin) = origin {
        writeln!(text, "\n{}.", markdown::text(origin)).ok();
    }
    let because = markdown::text(&plan.version_because);
    writeln!(text, "\nThe version: {because}.\n\n| rule | tags | why |\n|---|---|---|").ok();
    for rule in explained {
        let row = [&rule.rule, &given(rule), &rule.because].map(|cell| markdown::text(cell));
        writeln!(text, "| {} |", row.join(" | ")).ok();
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
