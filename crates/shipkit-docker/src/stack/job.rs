//! The migration of a release as a job that has all that a service of the files has.

use shipkit_core::stack::Pin;
use shipkit_core::target::{Desired, Job, JobEnd};

use super::{Stack, StackError};
use crate::labels;
use crate::swarm::Login;

impl Stack {
    /// Runs the migration of a release as [`Swarm::migrate`](crate::Swarm::migrate) does, with what the files say of the service.
    ///
    /// # Errors
    /// When Docker refuses, the Swarm cannot be asked, or a migration of another release still runs.
    pub async fn migrate(
        &self,
        desired: &Desired,
        job: Job<'_>,
        login: Option<&Login>,
        line: impl FnMut(&str),
    ) -> Result<JobEnd, StackError> {
        let is_new = self.swarm.needs_job(desired).await?;
        if is_new {
            let service = job.service;
            let labels = labels::for_migration_of_files(&desired.stamp, &service.revision);
            let pin = Pin { image: service.image.to_string(), labels };
            let file = self.file.once(&service.name, &pin, (labels::MIGRATION, job.command));
            let file = file.ok_or_else(|| StackError::NotInFiles(service.name.clone()))?;
            self.deploy(&file, login).await?;
        }
        Ok(self.swarm.follow(desired, job, is_new, line).await?)
    }
}
