//! `deploy-promote status` where commands deploy: what was begun and what passed, as the registry has it.

use serde_json::{Value, json};
use shipkit_core::evidence::Record;
use shipkit_core::plan::release_repository;
use shipkit_core::verdict::Outcome;
use shipkit_runner::markdown::{code, table, text};
use shipkit_runner::{Failure, Runner, env};

use super::memory::Memory;
use super::variables::Named;
use crate::project::Project;

/// What is known.
struct Seen {
    /// The release that passed last, and the evidence for it.
    passed: Option<(Named, Option<Record>)>,
    /// The one that was begun and did not pass.
    unfinished: Option<Named>,
}

/// Reads what the registry knows and says it.
pub(crate) async fn run(project: &Project<'_>, runner: &Runner) -> Result<Outcome, Failure> {
    let repository = release_repository(runner.env().get(env::GITHUB_REPOSITORY), &project.config)?;
    let registry = project.registry(&repository, runner)?;
    let name = &project.environment.name;
    let memory = Memory { registry: &registry, repository: &repository, environment: name };
    let seen = Seen::read(&memory, runner).await?;
    let sentence = seen.sentence();
    if runner.is_json() {
        runner.data(&seen.json(name).to_string());
    } else {
        runner.data(&format!("{}{name}: {sentence}", seen.lines(name)));
    }
    let digests = seen.passed.as_ref().map_or(Value::Null, |(named, _)| named.digests());
    runner.output("url", project.environment.url.as_deref().unwrap_or_default())?;
    runner.output("digests", &digests.to_string())?;
    let rows = seen.images().into_iter().map(|(service, image)| vec![code(&service), code(&image)]);
    let table = table(&["service", "image"], &rows.collect::<Vec<_>>());
    runner.summary(&format!("### {}\n\n{}\n\n{table}", text(name), text(&sentence)))?;
    Ok(Outcome::pass(sentence))
}

impl Seen {
    async fn read(memory: &Memory<'_>, runner: &Runner) -> Result<Self, Failure> {
        let standing = memory.read(runner).await?;
        let unfinished = match standing.unfinished() {
            Some(digest) => Some(memory.release(digest).await?),
            None => None,
        };
        let passed = match &standing.passed {
            Some(digest) => Some((memory.release(digest).await?, memory.proof(digest).await?)),
            None => None,
        };
        Ok(Self { passed, unfinished })
    }

    /// The images of the release that passed last.
    fn images(&self) -> Vec<(String, String)> {
        let services = self.passed.iter().flat_map(|(named, _)| &named.release.services);
        services.map(|(name, service)| (name.clone(), service.image().to_string())).collect()
    }

    fn sentence(&self) -> String {
        let passed = self.passed.as_ref().map(|(named, _)| format!("{} passed last", named.release.version));
        let unfinished = self
            .unfinished
            .as_ref()
            .map(|named| format!(", {} was begun and did not pass", named.release.version));
        format!(
            "{}{}; what runs now, only its own commands could tell",
            passed.as_deref().unwrap_or("no release has passed"),
            unfinished.unwrap_or_default()
        )
    }

    /// The images, for people.
    fn lines(&self, environment: &str) -> String {
        let Some((named, proof)) = &self.passed else { return String::new() };
        let since = proof.as_ref().map(|proof| format!(" since {}", proof.time)).unwrap_or_default();
        let run = proof.as_ref().and_then(|proof| proof.run.as_ref()).map(|run| format!(" by {run}"));
        let (version, run) = (&named.release.version, run.unwrap_or_default());
        let line = |(service, image)| format!("{environment}/{service}: {version}{since}{run}, {image}\n");
        self.images().into_iter().map(line).collect()
    }

    fn json(&self, environment: &str) -> Value {
        let release = |named: &Named| json!({"release": named.digest, "version": named.release.version});
        let passed = self.passed.as_ref().map(|(named, proof)| {
            json!({"release": named.digest, "version": named.release.version,
                "since": proof.as_ref().map(|proof| proof.time), "run": proof.as_ref().and_then(|proof| proof.run.as_ref()),
                "services": self.images().into_iter().map(|(name, image)| (name, json!(image))).collect::<Value>()})
        });
        json!({"environment": environment, "passed": passed, "unfinished": self.unfinished.as_ref().map(release)})
    }
}
