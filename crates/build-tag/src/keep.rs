//! `build-tag keep`: what `test.coverage` and `test.artifacts` name, as an artifact of the run.

mod artifact;
mod found;
mod pack;

use std::path::Path;

use serde_json::json;
use shipkit_core::config::Config;
use shipkit_core::verdict::Outcome;
use shipkit_runner::{Annotation, Failure, Level, Runner, env, markdown};

use crate::args::KeepArgs;
use artifact::{ArtifactError, Service, Stored};
use found::Found;

/// Finds, packs and stores. A run that has no artifact service keeps nothing and says so.
pub(crate) async fn run(args: &KeepArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let directory = &args.project.directory;
    let config = runner.config(directory, &args.project.config)?;
    let patterns = wanted(&config);
    if patterns.is_empty() {
        return Ok(Outcome::skipped("shipkit.yml names nothing to keep"));
    }
    let found = found::find(directory, &patterns)?;
    say(&found, runner);
    if found.files.is_empty() {
        return Ok(Outcome::skipped("nothing that shipkit.yml wants kept is in the checkout"));
    }
    if args.dry_run {
        let files: Vec<_> = found.files.keys().map(|path| path.to_string_lossy()).collect();
        runner.data(&files.join("\n"));
        return Ok(Outcome::pass(format!("{} would be kept", found.sentence())));
    }
    let name = format!("{}-test", config.name);
    tokio::select! {
        stored = store(directory, &name, &found, runner) => stored,
        _ = runner.cancelled() => Err(Failure::unknown("nothing was kept")),
    }
}

async fn store(directory: &Path, name: &str, found: &Found, runner: &Runner) -> Result<Outcome, Failure> {
    let Some(service) = Service::of(runner)? else {
        return Ok(Outcome::skipped(
            "this is no step of a run with an artifact service: GitHub gives its address to actions, not to `run`",
        ));
    };
    let stored = match service.store(name, directory, found).await {
        Ok(stored) => stored,
        Err(ArtifactError::NoService(host)) => {
            return Ok(Outcome::skipped(format!("`{host}` has no service for artifacts of this version")));
        }
        Err(error) => return Err(error.into()),
    };
    tell(name, found, &stored, runner)?;
    Ok(Outcome::pass(format!("kept {} as the artifact `{name}`", found.sentence())))
}

/// The patterns of both keys.
pub(crate) fn wanted(config: &Config) -> Vec<String> {
    let test = config.test.iter();
    test.flat_map(|test| test.coverage.iter().chain(&test.artifacts)).cloned().collect()
}

/// What a pattern did not find, and what is left out.
fn say(found: &Found, runner: &Runner) {
    for pattern in &found.unmatched {
        let message = format!("nothing in the checkout fits `{pattern}`");
        runner.annotate(Annotation::new(Level::Warning, "nothing to keep", message));
    }
    if 0 < found.links {
        runner.say(&format!("{} symbolic links are left out: they are never followed", found.links));
    }
}

fn tell(name: &str, found: &Found, stored: &Stored, runner: &Runner) -> Result<(), Failure> {
    runner.output("artifact", &stored.id)?;
    if runner.is_json() {
        let files: Vec<_> = found.files.keys().map(|path| path.to_string_lossy()).collect();
        runner.data(
            &json!({"name": name, "id": stored.id, "digest": stored.digest.as_str(), "files": files})
                .to_string(),
        );
    }
    let named = markdown::text(name);
    let of_run = [env::GITHUB_SERVER_URL, env::GITHUB_REPOSITORY, env::GITHUB_RUN_ID]
        .map(|name| runner.env().get(name));
    let shown = match of_run {
        [Some(server), Some(repository), Some(run)] => {
            format!(
                "[{named}]({server}/{repository}/actions/runs/{run}/artifacts/{})",
                markdown::text(&stored.id)
            )
        }
        _ => named,
    };
    runner.summary(&format!("### Kept: {shown}\n\n{}\n", found.sentence()))?;
    Ok(())
}
