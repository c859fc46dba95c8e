//! What runs before a release is rolled out: `backup`, then `migrate`. While they run, and if they fail, the release before
//! serves.

use std::process::Stdio;

use shipkit_core::config::Migrate;
use shipkit_core::journal::{Hook, Run};
use shipkit_core::target::Change;
use shipkit_core::verdict::Outcome;
use shipkit_docker::{Job, JobEnd, Login};
use shipkit_runner::{Failure, Runner};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

use crate::hold::Diary;
use crate::prepare::Ready;
use crate::target::{Target, TargetError};

/// The shell of the commands that run here, as ship.yml's jobs have it.
const SHELL: &str = "bash";

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

    /// Whether this program can run commands where it is: the image of the action has no shell.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        if self.backup.is_empty() {
            return Ok(());
        }
        let asked = Command::new(SHELL).args(["-c", ":"]).stdin(Stdio::null()).status().await;
        if asked.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        Err(Failure::usage(format!("`backup` needs `{SHELL}`, which is not here"))
            .with_hint("run it on the host: `org/shipkit/setup` puts the programs there"))
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
        let is_begun = match diary.hook(Hook::Migrate).map_err(|error| unknown(&error))? {
            Run::Not => {
                runner.say("migrated before, for this release: not done again");
                return Ok(());
            }
            Run::Attach => true,
            Run::Now => false,
        };
        diary.note(|journal| journal.hook_begins(Hook::Migrate)).await.map_err(|error| unknown(&error))?;
        runner.say(&format!("migrating: {}", migrate.command.join(" ")));
        let ended = self::migrate((migrate, is_begun), ready, login, runner).await;
        match ended {
            Ok(JobEnd::Done) => runner.say("migrated"),
            Ok(JobEnd::DoneBefore) => runner.say("migrated before, for this release: not done again"),
            Ok(JobEnd::Gone) => return Err(unknown(&diary.unfinished(Hook::Migrate))),
            Ok(JobEnd::Failed { cause }) => {
                diary.note_or_say(|journal| journal.hook_failed(Hook::Migrate), runner).await;
                return Err(Outcome::fail(format!("the migration failed: {cause}")));
            }
            Err(error) => {
                let cause = format!("the migration failed: {error}");
                return Err(if error.is_unknown() {
                    Outcome::inconclusive(cause)
                } else {
                    Outcome::fail(cause)
                });
            }
        }
        diary.note(|journal| journal.hook_succeeded(Hook::Migrate)).await.map_err(|error| unknown(&error))?;
        if let Target::Compose { compose, .. } = &ready.target
            && let Err(error) = compose.remove_migration().await
        {
            runner.say(&format!("the container that migrated could not be removed: {error}"));
        }
        Ok(())
    }

    async fn back_up(&self, ready: &Ready<'_>, diary: &mut Diary, runner: &Runner) -> Result<(), Outcome> {
        if diary.hook(Hook::Backup).map_err(|error| unknown(&error))? == Run::Not {
            runner.say("backed up before, for this release: not done again");
            return Ok(());
        }
        diary.note(|journal| journal.hook_begins(Hook::Backup)).await.map_err(|error| unknown(&error))?;
        for command in &self.backup {
            runner.say(&format!("backing up: {command}"));
            if let Err(why) = back_up(command, ready, runner).await {
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

async fn migrate(
    (migrate, is_begun): (&Migrate, bool),
    ready: &Ready<'_>,
    login: Option<&Login>,
    runner: &Runner,
) -> Result<JobEnd, TargetError> {
    let Some(service) = ready.desired.services.iter().find(|service| service.name == migrate.service) else {
        let cause = format!("`{}` is not a service of this release", migrate.service);
        return Ok(JobEnd::Failed { cause });
    };
    let job = Job { service, command: &migrate.command, is_begun, limit: ready.deadline };
    let show = |line: &str| runner.quote(line, 1);
    Ok(match &ready.target {
        Target::Swarm { swarm, .. } => swarm.migrate(&ready.desired, job, login, show).await?,
        Target::Compose { compose, .. } => {
            Box::pin(compose.migrate(&ready.desired, job, login, show)).await?
        }
        // It is refused before anything begins.
        Target::Cluster(_) => JobEnd::DoneBefore,
    })
}

/// Runs one command in the checkout and shows what it writes. It ends with this program, or when its time is up.
async fn back_up(command: &str, ready: &Ready<'_>, runner: &Runner) -> Result<(), String> {
    let child = Command::new(SHELL)
        .args(["-euo", "pipefail", "-c", command])
        .current_dir(runner.env().workspace().join(&ready.project.args.directory))
        .env("SHIPKIT_ENVIRONMENT", &ready.project.environment.name)
        .env("SHIPKIT_RELEASE", ready.shipped.digest.as_str())
        .env("SHIPKIT_VERSION", &ready.shipped.release.version)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("`{command}` cannot be started: {error}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        tokio::join!(show(out, runner), show(err, runner));
        child.wait().await
    };
    match tokio::time::timeout(ready.deadline, ended).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("`{command}` ended with {status}")),
        Ok(Err(error)) => Err(format!("`{command}`: {error}")),
        Err(_elapsed) => Err(format!("`{command}` did not end within {} s", ready.deadline.as_secs())),
    }
}

async fn show(stream: Option<impl AsyncRead + Unpin>, runner: &Runner) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        runner.quote(&String::from_utf8_lossy(&line), 1);
    }
}
