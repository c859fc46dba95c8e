//! `deploy-promote deploy` and `check` where commands deploy.

use std::time::Duration;

use serde_json::Value;
use shipkit_core::Digest;
use shipkit_core::standing::{Mark, Standing};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_registry::Target;
use shipkit_runner::{Failure, Runner};

use super::lock::Lock;
use super::memory::Memory;
use super::rollback;
use super::variables::{Named, variables};
use crate::analysis::{self, analyse_from_here};
use crate::args::DeployArgs;
use crate::candidate::{Candidate, Smoke};
use crate::deploy::{UNTOUCHED, refuse_pull_requests, warn};
use crate::prepare::{CLEAR, of_config};
use crate::preview::Compared;
use crate::project::Project;
use crate::report::{self, Done};
use crate::shell::Shell;
use crate::story::Story;

/// Finds everything that is in the way of a deploy.
pub(crate) async fn check(
    project: &Project<'_>,
    args: &DeployArgs,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    match prepare(project, args, true, runner).await? {
        Ok(_) => {
            runner.data(&steps(project).join("\n"));
            Ok(Outcome::pass(CLEAR))
        }
        Err(refusal) => Ok(refusal),
    }
}

/// Admission, preflight, commands, verification, record; what fails is taken back as a whole.
pub(crate) async fn run(
    project: &Project<'_>,
    args: &DeployArgs,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    refuse_pull_requests(runner)?;
    let mut story = Story::begin();
    let prepared = tokio::select! {
        biased;
        _signal = runner.cancelled() => return Ok(Outcome::inconclusive(UNTOUCHED)),
        prepared = prepare(project, args, false, runner) => prepared?,
    };
    let candidate = match prepared {
        Ok(candidate) => candidate,
        Err(refusal) => return Ok(refusal),
    };
    if project.args.dry_run {
        runner.data(&steps(project).join("\n"));
        return Ok(Outcome::pass("dry run: nothing was changed"));
    }
    let _lock = match Lock::take(project, candidate.deadline, runner).await? {
        Ok(lock) => lock,
        Err(outcome) => return Ok(outcome),
    };
    carry_out(&candidate, &mut story, runner).await
}

/// Reads everything and changes nothing. `Err` inside says that the release is not admitted.
async fn prepare<'a>(
    project: &'a Project<'a>,
    args: &DeployArgs,
    is_check: bool,
    runner: &Runner,
) -> Result<Result<Candidate<'a>, Outcome>, Failure> {
    let mut problems = of_config(project, runner)?;
    problems.note(Shell::look("target.run").await);
    if !is_check {
        problems.told()?;
    }
    let candidate = match Candidate::find(project, args, is_check, &mut problems, runner).await? {
        Ok(candidate) => candidate,
        Err(refusal) => return Ok(Err(refusal)),
    };
    for service in candidate.shipped.release.services.values() {
        let image = Target::Digest(service.digest.clone());
        problems.note(candidate.registry.manifest(&service.repository, &image).await);
    }
    analysis::check(&project.environment, None, &mut problems, runner).await;
    problems.told()?;
    Ok(Ok(candidate))
}

/// The plan, a line a step.
fn steps(project: &Project<'_>) -> Vec<String> {
    let environment = &project.environment;
    let backup = environment.backup.iter().map(|command| format!("back up: {command}"));
    backup.chain(environment.target.run.iter().map(|command| format!("run: {command}"))).collect()
}

/// A deploy under way.
struct Deploy<'a> {
    candidate: &'a Candidate<'a>,
    memory: Memory<'a>,
    standing: Standing,
    /// The release that is deployed.
    to: Named,
    /// The one that may be there now.
    there: Option<Named>,
}

/// How it ended.
struct Ended {
    outcome: Outcome,
    smoke: Option<Smoke>,
    /// The release that is there now, as far as that is known.
    now: Option<Named>,
}

/// From here on something changes. A cancelled run ends its commands and says what was begun.
async fn carry_out(
    candidate: &Candidate<'_>,
    story: &mut Story,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let deploy = tokio::select! {
        biased;
        _signal = runner.cancelled() => return Ok(Outcome::inconclusive(UNTOUCHED)),
        deploy = Deploy::begin(candidate, runner) => deploy?,
    };
    candidate.keep_broken_glass().await?;
    let record = tokio::select! {
        biased;
        _signal = runner.cancelled() => return Ok(Outcome::inconclusive(UNTOUCHED)),
        record = candidate.begin_record(runner) => record,
    };
    story.end("prepare");
    let (version, name) = (&candidate.shipped.release.version, &candidate.project.environment.name);
    let (outcome, now) = tokio::select! {
        biased;
        _signal = runner.cancelled() => (Outcome::inconclusive(format!(
            "in the middle of a deploy; {version} may be there in part; deploy again to finish it, or go back with \
             `deploy-promote rollback --environment {name}`"
        )), None),
        ended = deploy.run(story, runner) => ended,
    };
    record.end(&outcome, runner).await;
    let done = Done {
        steps: steps(candidate.project),
        previous: deploy.standing.passed.clone(),
        digests: now.map_or(Value::Null, |now| now.digests()),
        timings: story.timings(),
        watched: story.seen(),
        analysed: story.analysed(),
    };
    report::deployed(candidate, &done, &outcome, runner)?;
    Ok(outcome)
}

impl<'a> Deploy<'a> {
    async fn begin(candidate: &'a Candidate<'a>, runner: &Runner) -> Result<Self, Failure> {
        let Candidate { project, shipped, registry, .. } = candidate;
        let memory =
            Memory { registry, repository: &shipped.repository, environment: &project.environment.name };
        let standing = memory.read(runner).await?;
        let there = match standing.there() {
            Some(digest) => Some(memory.release(digest).await?),
            None => None,
        };
        let to = Named { digest: shipped.digest.clone(), release: shipped.release.clone() };
        Ok(Self { candidate, memory, standing, to, there })
    }

    async fn run(&self, story: &mut Story, runner: &Runner) -> (Outcome, Option<Named>) {
        let Ended { mut outcome, smoke, now } = self.deploy(story, runner).await;
        outcome.cause = self.candidate.project.redact(&outcome.cause);
        let mut outcome = self.candidate.keep_evidence(&outcome, (story.details(), smoke), runner).await;
        // A tag is only believed of what has evidence.
        if outcome.verdict == Verdict::Pass
            && let Err(error) = self.memory.write(&self.standing.after(&self.to.digest)).await
        {
            outcome = Outcome::inconclusive(format!(
                "{}; but that could not be written to the registry: {}",
                outcome.cause,
                error.sentence()
            ));
        }
        (outcome, now)
    }

    async fn deploy(&self, story: &mut Story, runner: &Runner) -> Ended {
        let Candidate { project, .. } = self.candidate;
        let environment = &project.environment;
        let unchanged = |outcome| Ended { outcome, smoke: None, now: None };
        let shell = self.shell(&self.to, self.there.as_ref(), runner);
        for command in &environment.backup {
            runner.say(&format!("backing up: {command}"));
            if let Err(why) = shell.run(command, runner).await {
                return unchanged(Outcome::fail(format!("the backup failed: {why}; {UNTOUCHED}")));
            }
        }
        if let Err(error) = self.memory.write(&[(Mark::Begun, self.to.digest.clone())]).await {
            return unchanged(Outcome::inconclusive(format!("{UNTOUCHED}: {}", error.sentence())));
        }
        story.end("hooks");
        let commands = async {
            for command in &environment.target.run {
                runner.say(&format!("running: {command}"));
                shell.run(command, runner).await?;
            }
            Ok::<(), String>(())
        };
        // Only the commands know whether they let something stop.
        let (ran, _) = story.watching(self.candidate, true, commands, runner).await;
        story.end("rollout");
        if let Err(why) = ran {
            return self.failed(&Outcome::fail(why), None, runner).await;
        }
        // Nobody but the commands knows what serves meanwhile.
        let smoke = self.candidate.verify(&Compared::new(), runner).await;
        story.end("verify");
        let mut outcome = smoke.0.clone();
        if matches!(outcome.verdict, Verdict::Pass | Verdict::Skipped) {
            let window = environment.analysis.as_ref().map_or(Duration::ZERO, |analysis| analysis.window);
            let analysed = Box::pin(analyse_from_here(self.candidate, None, window, runner)).await;
            outcome = story.note_analysis(outcome, analysed);
        }
        match outcome.verdict {
            Verdict::Pass | Verdict::Skipped => Ended {
                outcome: self.candidate.settled(&outcome),
                smoke: Some(smoke),
                now: Some(self.to.clone()),
            },
            Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable => {
                self.failed(&outcome, Some(smoke), runner).await
            }
        }
    }

    async fn failed(&self, outcome: &Outcome, smoke: Option<Smoke>, runner: &Runner) -> Ended {
        if !self.candidate.goes_back(outcome.verdict) {
            return Ended { outcome: self.candidate.settled(outcome), smoke, now: None };
        }
        let (cause, now) = self.back(&outcome.cause, runner).await;
        Ended { outcome: Outcome { verdict: outcome.verdict, cause }, smoke, now }
    }

    /// Puts back what passed before, and gives what became of that, and what is there then.
    async fn back(&self, cause: &str, runner: &Runner) -> (String, Option<Named>) {
        if self.standing.passed.as_ref() == Some(&self.to.digest) {
            let version = &self.to.release.version;
            return (
                format!("{cause}; {version} is also what passed before, so nothing was taken back"),
                None,
            );
        }
        let begun = Standing { begun: Some(self.to.digest.clone()), ..self.standing.clone() };
        let before = match begun.way_back() {
            Ok(before) => before,
            Err(none) => return (format!("{cause}; nothing was taken back: {none}"), None),
        };
        runner.say(&format!("taking back: {cause}"));
        match self.put_back(before, runner).await {
            Ok(before) => {
                (format!("rolled back: {cause}; {} was put back", before.release.version), Some(before))
            }
            Err(why) => (format!("the rollback failed as well: {why}; it began because {cause}"), None),
        }
    }

    async fn put_back(&self, before: &Digest, runner: &Runner) -> Result<Named, String> {
        let before = self.memory.release(before).await.map_err(|error| error.sentence())?;
        let shell = self.shell(&before, Some(&self.to), runner);
        rollback::put_back(self.candidate.project, &shell, runner).await?;
        // Without it a later rollback does the same once more, which is no harm.
        if let Err(error) = self.memory.write(&[(Mark::Begun, before.digest.clone())]).await {
            warn(
                runner,
                "after the rollback",
                &format!("it could not be written to the registry: {}", error.sentence()),
            );
        }
        Ok(before)
    }

    fn shell(&self, to: &Named, previous: Option<&Named>, runner: &Runner) -> Shell {
        let Candidate { project, deadline, .. } = self.candidate;
        let variables = variables(&project.environment.name, to, previous);
        Shell::new(project, variables, *deadline, runner).knowing(&project.values)
    }
}
