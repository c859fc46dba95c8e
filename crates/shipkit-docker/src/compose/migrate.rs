//! The migration of a release: a container of the project that runs one command and ends. It has a name of its own, so a run
//! that comes after a killed one finds it, and nothing is ever run a second time for one release.

use serde_json::json;
use shipkit_core::rollout::slots::State;
use shipkit_core::target::{Desired, Job, JobEnd};
use tokio::time::{Instant, sleep};

use super::Compose;
use super::container::Container;
use super::error::ComposeError;
use crate::error::SwarmError;
use crate::job::{LOOK_AGAIN, Log};
use crate::labels;
use crate::rollout::log_lines;
use crate::swarm::Login;

impl Compose {
    /// Makes the container of the migration of a release, without starting it, unless it is there or was begun before. What
    /// the files start before the service is started first, where it is not there.
    ///
    /// # Errors
    /// When the host cannot be asked, or a migration of another release still runs.
    pub async fn make_migration(
        &self,
        desired: &Desired,
        job: Job<'_>,
        login: Option<&Login>,
    ) -> Result<(), ComposeError> {
        let is_there = match self.container(&self.migration()).await? {
            Some(there) => self.is_for(desired, &there).await?,
            None => false,
        };
        if is_there || job.is_begun { Ok(()) } else { self.make(desired, job, login).await }
    }

    /// Runs the migration that was made, or waits for the one that a killed run began. `line` is told what it writes, as it
    /// comes; foreign text. After its limit it is left running, for the next deploy of this release to wait for. Dropping
    /// the future leaves it running, too.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn migrate(&self, job: Job<'_>, mut line: impl FnMut(&str)) -> Result<JobEnd, ComposeError> {
        let (mut log, start, mut is_new) = (Log::default(), Instant::now(), false);
        loop {
            let Some(there) = self.container(&self.migration()).await? else { return Ok(JobEnd::Gone) };
            if there.is_fresh() && there.error().is_none() {
                match self.start_migration(&there).await {
                    // An engine forgets to answer now and then of one that ends at once: the next look tells.
                    Err(ComposeError::Engine(SwarmError::NoAnswer { .. })) if !is_new => {}
                    started => started?,
                }
                is_new = true;
                continue;
            }
            let end = end_of(&there);
            // What ended well before was told by the run that saw it.
            if is_new || end != Some(Ok(())) {
                self.tell_new_lines(&there, &mut log, &mut line).await;
            }
            match end {
                Some(Ok(())) => return Ok(if is_new { JobEnd::Done } else { JobEnd::DoneBefore }),
                Some(Err(cause)) if is_new => return Ok(JobEnd::Failed { cause }),
                Some(Err(cause)) => {
                    let name = there.name();
                    let cause = format!(
                        "{cause}; it is not run twice for one release: `docker rm {name}` allows it again"
                    );
                    return Ok(JobEnd::Failed { cause });
                }
                None if job.limit <= start.elapsed() => {
                    let (seconds, name) = (job.limit.as_secs(), there.name());
                    let cause = format!(
                        "it did not end within {seconds} s, and still runs as `{name}`: the next deploy of this release waits for it"
                    );
                    return Ok(JobEnd::Failed { cause });
                }
                None => sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Removes the container that migrated, once it stands in the journal that it did.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn remove_migration(&self) -> Result<(), ComposeError> {
        let path = format!("/containers/{}?v=1", self.migration());
        Ok(self.engine.delete("remove an ended container", &path).await?)
    }

    /// The name of the container that migrates.
    fn migration(&self) -> String {
        format!("{}-{}", self.project.stack, labels::MIGRATION)
    }

    /// Whether the migration that is there is the one of this release. One of another release is removed, unless it still
    /// runs.
    async fn is_for(&self, desired: &Desired, there: &Container) -> Result<bool, ComposeError> {
        let name = there.name().to_owned();
        let Some(release) = there.label(labels::RELEASE) else {
            return Err(ComposeError::NotOurs(name));
        };
        if release == desired.stamp.release.as_str() {
            return Ok(true);
        }
        if there.is_running() {
            return Err(ComposeError::StillMigrating(name));
        }
        self.remove_migration().await?;
        Ok(false)
    }

    /// Makes the container, after everything that it needs.
    async fn make(&self, desired: &Desired, job: Job<'_>, login: Option<&Login>) -> Result<(), ComposeError> {
        let (model, service) = (self.model().await?, job.service);
        for before in model.all_before(&service.name) {
            let is_of_a_release = desired.services.iter().any(|one| one.name == before);
            if !is_of_a_release && self.containers(&before).await?.is_empty() {
                self.start_once(&before).await?;
            }
        }
        self.pull(&service.image.to_string(), login).await?;
        let fields = json!({
            "command": job.command.iter().map(|word| word.replace('$', "$$")).collect::<Vec<_>>(),
            "container_name": self.migration(),
            "restart": "no",
            "labels": {labels::RELEASE: desired.stamp.release.as_str()},
        });
        let image = (&service.image, &service.settings.environment);
        let alone = model.once(&service.name, image, (labels::MIGRATION, &fields));
        let alone = alone.ok_or_else(|| ComposeError::NotInFiles(service.name.clone()))?;
        self.create(&alone, labels::MIGRATION, 1).await
    }

    /// One that the engine refuses to start says so itself, when it is looked at.
    async fn start_migration(&self, there: &Container) -> Result<(), ComposeError> {
        let path = format!("/containers/{}/start", there.id());
        match self.engine.change("start a container", &path, &json!({})).await {
            Ok(()) | Err(SwarmError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn tell_new_lines(&self, there: &Container, log: &mut Log, line: &mut impl FnMut(&str)) {
        let path =
            format!("/containers/{}/logs?stdout=1&stderr=1&timestamps=1&since={}", there.id(), log.since());
        // A log that cannot be had is no reason to stop waiting.
        let bytes = self.engine.get_bytes("show a log", &path).await.unwrap_or_default();
        for new in log.take(&log_lines(&bytes)) {
            line(&new);
        }
    }
}

/// How it ended; `None` while it has not.
fn end_of(there: &Container) -> Option<Result<(), String>> {
    match (there.state(), there.error()) {
        (State::Stopped { .. }, Some(error)) => Some(Err(error.to_owned())),
        (State::Stopped { exit_code: 0 }, None) => Some(Ok(())),
        (State::Stopped { exit_code }, None) => Some(Err(format!("it ended with exit code {exit_code}"))),
        (State::Starting | State::Ready | State::Unhealthy | State::Gone, _) => None,
    }
}
