//! What runs before a release is rolled out: `backup`, then `migrate`. While they run, and if they fail, the release before
//! serves.

use std::collections::BTreeMap;

use shipkit_core::config::Migrate;
use shipkit_core::journal::{Hook, Run};
use shipkit_core::target::{Change, Job, JobEnd};
use shipkit_core::verdict::Outcome;
use shipkit_docker::Login;
use shipkit_runner::{Failure, Runner};

use crate::candidate::Candidate;
use crate::hold::Diary;
use crate::prepare::Ready;
use crate::shell::Shell;
use crate::target::{Target, TargetError};

/// What there is to do before a rollout.
pub(crate) struct Hooks {
    backup: Vec<String>,
    migrate: Option<Migrate>,
}

impl Hooks {
    /// Those of a deploy with this plan: none if it changes nothing.
    pub(crate) fn of(backup: &[String], migrate: Option<&Migrate>, changes: &[Change]) -> Self {
        if changes.iter().all(Change::is_none) {
            return Self { backup: Vec::new(), migrate: None };
        }
        Self { backup: backup.to_vec(), migrate: migrate.cloned() }
    }

    /// The plan, a line a step.
    pub(crate) fn lines(&self) -> Vec<String> {
        let backup = self.backup.iter().map(|command| format!("back up: {command}"));
        let migrate = self.migrate.iter().map(|migrate| {
            format!("migrate once, in the new image of `{}`: {}", migrate.service, migrate.command.join(" "))
        });
        backup.chain(migrate).collect()
    }

    /// Whether this program can run commands where it is.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        if self.backup.is_empty() { Ok(()) } else { Shell::look("backup").await }
    }

    /// Runs them, in order, each once for a release. `Err` says why the release must not be rolled out.
    pub(crate) async fn run(
        &self,
        ready: &Ready<'_>,
        diary: &mut Diary,
        login: Option<&Login>,
        runner: &Runner,
    ) -> Result<(), Outcome> {
        if !self.backup.is_empty() {
            self.back_up(ready, diary, runner).await?;
        }
        let Some(migrate) = &self.migrate else { return Ok(()) };
        let is_begun = match diary.hook(Hook::Migrate) {
            Run::Not => {
                runner.say("migrated before, for this release: not done again");
                // A run that was killed may have left it.
                clear(&ready.target, runner).await;
                return Ok(());
            }
            Run::Attach => true,
            Run::Now => false,
        };
        let Some(job) = job((migrate, is_begun), ready) else {
            let cause = format!("`{}` is not a service of this release", migrate.service);
            return Err(Outcome::fail(format!("the migration failed: {cause}")));
        };
        prepare(job, ready, login).await.map_err(|error| failed(&error))?;
        diary.note(|journal| journal.hook_begins(Hook::Migrate)).await.map_err(|error| unknown(&error))?;
        runner.say(&format!("migrating: {}", migrate.command.join(" ")));
        match self::migrate(job, ready, login, runner).await {
            Ok(JobEnd::Done) => runner.say("migrated"),
            Ok(JobEnd::DoneBefore) => runner.say("migrated before, for this release: not done again"),
            Ok(JobEnd::Gone) => return Err(unknown(&diary.unfinished(Hook::Migrate))),
            Ok(JobEnd::Failed { cause }) => {
                diary.note_or_say(|journal| journal.hook_failed(Hook::Migrate), runner).await;
                return Err(Outcome::fail(format!("the migration failed: {cause}")));
            }
            Err(error) => return Err(failed(&error)),
        }
        diary.note(|journal| journal.hook_succeeded(Hook::Migrate)).await.map_err(|error| unknown(&error))?;
        clear(&ready.target, runner).await;
        Ok(())
    }

    async fn back_up(&self, ready: &Ready<'_>, diary: &mut Diary, runner: &Runner) -> Result<(), Outcome> {
        if diary.hook(Hook::Backup) == Run::Not {
            runner.say("backed up before, for this release: not done again");
            return Ok(());
        }
        diary.note(|journal| journal.hook_begins(Hook::Backup)).await.map_err(|error| unknown(&error))?;
        let Candidate { project, shipped, deadline, .. } = &ready.candidate;
        let variables = BTreeMap::from([
            ("SHIPKIT_ENVIRONMENT".to_owned(), project.environment.name.clone()),
            ("SHIPKIT_RELEASE".to_owned(), shipped.digest.to_string()),
            ("SHIPKIT_VERSION".to_owned(), shipped.release.version.clone()),
        ]);
        let shell = Shell::new(project, variables, *deadline, runner);
        for command in &self.backup {
            runner.say(&format!("backing up: {command}"));
            if let Err(why) = shell.run(command, runner).await {
                diary.note_or_say(|journal| journal.hook_failed(Hook::Backup), runner).await;
                return Err(Outcome::fail(format!("the backup failed: {why}")));
            }
        }
        diary.note(|journal| journal.hook_succeeded(Hook::Backup)).await.map_err(|error| unknown(&error))
    }
}

fn unknown(error: &impl ToString) -> Outcome {
    Outcome::inconclusive(error.to_string())
}

fn failed(error: &TargetError) -> Outcome {
    let cause = format!("the migration failed: {error}");
    if error.is_unknown() { Outcome::inconclusive(cause) } else { Outcome::fail(cause) }
}

/// What is to be run; `None` if the release has no such service.
fn job<'a>((migrate, is_begun): (&'a Migrate, bool), ready: &'a Ready<'_>) -> Option<Job<'a>> {
    let service = ready.desired.services.iter().find(|service| service.name == migrate.service)?;
    Some(Job { service, command: &migrate.command, is_begun, limit: ready.candidate.deadline })
}

/// What must be there before it is written down that it begins: a run that is killed in between has begun nothing.
async fn prepare(job: Job<'_>, ready: &Ready<'_>, login: Option<&Login>) -> Result<(), TargetError> {
    match &ready.target {
        Target::Compose { compose, .. } => {
            Ok(Box::pin(compose.make_migration(&ready.desired, job, login)).await?)
        }
        Target::Cluster(cluster) => Ok(cluster.make_migration(&ready.desired, job).await?),
        // A Swarm makes and starts a job at once.
        Target::Swarm { .. } => Ok(()),
    }
}

/// Removes what migrated, once it stands in the journal that it did. A Swarm keeps it, until the next one comes.
async fn clear(target: &Target, runner: &Runner) {
    if let Target::Compose { compose, .. } = target
        && let Err(error) = compose.remove_migration().await
    {
        runner.say(&format!("the container that migrated could not be removed: {error}"));
    }
}

/// Removes what was made for hooks alone, once they have failed.
pub(crate) async fn remove_what_was_made(target: &Target, runner: &Runner) {
    if let Target::Cluster(cluster) = target
        && let Err(error) = cluster.remove_unrecorded().await
    {
        runner.say(&format!("what was made for the migration could not be removed: {error}"));
    }
}

async fn migrate(
    job: Job<'_>,
    ready: &Ready<'_>,
    login: Option<&Login>,
    runner: &Runner,
) -> Result<JobEnd, TargetError> {
    let show = |line: &str| runner.quote(line, 1);
    Ok(match &ready.target {
        Target::Swarm { files: Some(files), .. } => files.migrate(&ready.desired, job, login, show).await?,
        Target::Swarm { swarm, files: None, .. } => swarm.migrate(&ready.desired, job, login, show).await?,
        Target::Compose { compose, .. } => Box::pin(compose.migrate(job, show)).await?,
        Target::Cluster(cluster) => Box::pin(cluster.migrate(&ready.desired, job, show)).await?,
    })
}
