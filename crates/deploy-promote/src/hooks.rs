//! What runs before a release is rolled out: `backup`, then `migrate`. While they run, and if they fail, the release before
//! serves.

use std::collections::BTreeMap;

use shipkit_core::ImageRef;
use shipkit_core::config::{BackupJob, Environment, Migrate};
use shipkit_core::journal::{Hook, Run};
use shipkit_core::target::{Change, DesiredService, Job, JobEnd};
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
    backup_job: Option<BackupJob>,
    migrate: Option<Migrate>,
}

/// What a target runs itself, once for a release.
struct Once<'a> {
    hook: Hook,
    service: &'a str,
    command: &'a [String],
    /// `None` for that of the service.
    image: Option<&'a ImageRef>,
    /// In sentences: what it does, what it has done, and what it is.
    words: [&'static str; 3],
}

impl Hooks {
    /// Those of a deploy with this plan: none if it changes nothing.
    pub(crate) fn of(environment: &Environment, changes: &[Change]) -> Self {
        if changes.iter().all(Change::is_none) {
            return Self { backup: Vec::new(), backup_job: None, migrate: None };
        }
        let Environment { backup, backup_job, migrate, .. } = environment.clone();
        Self { backup, backup_job, migrate }
    }

    /// The plan, a line a step.
    pub(crate) fn lines(&self) -> Vec<String> {
        let backup = self.backup.iter().map(|command| format!("back up: {command}"));
        let job = self.backup_job.iter().map(|job| {
            let image = job.image.as_ref().map(|image| format!(" in {image}")).unwrap_or_default();
            format!("back up once, like `{}`{image}: {}", job.service, job.command.join(" "))
        });
        let migrate = self.migrate.iter().map(|migrate| {
            format!("migrate once, in the new image of `{}`: {}", migrate.service, migrate.command.join(" "))
        });
        backup.chain(job).chain(migrate).collect()
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
        let backup = self.backup_job.as_ref().map(|job| Once {
            hook: Hook::Backup,
            service: &job.service,
            command: &job.command,
            image: job.image.as_ref(),
            words: ["backing up", "backed up", "backup"],
        });
        let migrate = self.migrate.as_ref().map(|migrate| Once {
            hook: Hook::Migrate,
            service: &migrate.service,
            command: &migrate.command,
            image: None,
            words: ["migrating", "migrated", "migration"],
        });
        for once in backup.into_iter().chain(migrate) {
            once.run(ready, diary, login, runner).await?;
        }
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

impl Once<'_> {
    /// Runs it, unless it ran before for this release.
    async fn run(
        &self,
        ready: &Ready<'_>,
        diary: &mut Diary,
        login: Option<&Login>,
        runner: &Runner,
    ) -> Result<(), Outcome> {
        let ([doing, done, what], hook) = (self.words, self.hook);
        let is_begun = match diary.hook(hook) {
            Run::Not => {
                runner.say(&format!("{done} before, for this release: not done again"));
                // A run that was killed may have left it.
                clear(&ready.target, runner).await;
                return Ok(());
            }
            Run::Attach => true,
            Run::Now => false,
        };
        let mut services = ready.desired.services.iter();
        let Some(service) = services.find(|service| service.name == self.service).cloned() else {
            let cause = format!("`{}` is not a service of this release", self.service);
            return Err(Outcome::fail(format!("the {what} failed: {cause}")));
        };
        let image = self.image.cloned().unwrap_or(service.image);
        let service = DesiredService { image, ..service };
        let limit = ready.candidate.deadline;
        let job = Job { service: &service, command: self.command, is_begun, limit };
        self.prepare(job, ready, login).await.map_err(|error| self.failed(&error))?;
        diary.note(|journal| journal.hook_begins(hook)).await.map_err(|error| unknown(&error))?;
        runner.say(&format!("{doing}: {}", self.command.join(" ")));
        match self.carry_out(job, ready, login, runner).await {
            Ok(JobEnd::Done) => runner.say(done),
            Ok(JobEnd::DoneBefore) => runner.say(&format!("{done} before, for this release: not done again")),
            Ok(JobEnd::Gone) => return Err(unknown(&diary.unfinished(hook))),
            Ok(JobEnd::Failed { cause }) => {
                diary.note_or_say(|journal| journal.hook_failed(hook), runner).await;
                return Err(Outcome::fail(format!("the {what} failed: {cause}")));
            }
            Err(error) => return Err(self.failed(&error)),
        }
        diary.note(|journal| journal.hook_succeeded(hook)).await.map_err(|error| unknown(&error))?;
        clear(&ready.target, runner).await;
        Ok(())
    }

    fn failed(&self, error: &TargetError) -> Outcome {
        let [_, _, what] = self.words;
        let cause = format!("the {what} failed: {error}");
        if error.is_unknown() { Outcome::inconclusive(cause) } else { Outcome::fail(cause) }
    }

    /// What must be there before it is written down that it begins: a run that is killed in between has begun nothing.
    async fn prepare(
        &self,
        job: Job<'_>,
        ready: &Ready<'_>,
        login: Option<&Login>,
    ) -> Result<(), TargetError> {
        match &ready.target {
            Target::Compose { compose, .. } => {
                Ok(Box::pin(compose.make_migration(&ready.desired, job, login)).await?)
            }
            Target::Cluster(cluster) => Ok(cluster.make_job(self.hook, &ready.desired, job).await?),
            // A Swarm makes and starts a job at once.
            Target::Swarm { .. } => Ok(()),
        }
    }

    /// Only a cluster has backups as jobs, elsewhere all of them migrate.
    async fn carry_out(
        &self,
        job: Job<'_>,
        ready: &Ready<'_>,
        login: Option<&Login>,
        runner: &Runner,
    ) -> Result<JobEnd, TargetError> {
        let (show, desired) = (|line: &str| runner.quote(line, 1), &ready.desired);
        Ok(match &ready.target {
            Target::Swarm { files: Some(files), .. } => files.migrate(desired, job, login, show).await?,
            Target::Swarm { swarm, files: None, .. } => swarm.migrate(desired, job, login, show).await?,
            Target::Compose { compose, .. } => Box::pin(compose.migrate(job, show)).await?,
            Target::Cluster(cluster) => Box::pin(cluster.run_job(self.hook, desired, job, show)).await?,
        })
    }
}

fn unknown(error: &impl ToString) -> Outcome {
    Outcome::inconclusive(error.to_string())
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
        runner.say(&format!("what was made for jobs could not be removed: {error}"));
    }
}
