//! `Memory`: what the registry knows of an environment that commands deploy to.

use shipkit_core::evidence::{Kind, Record};
use shipkit_core::standing::{Mark, Standing};
use shipkit_core::verdict::Verdict;
use shipkit_core::{Digest, Repository};
use shipkit_registry::{Move, Registry};
use shipkit_runner::{Failure, Runner};

use super::variables::Named;
use crate::deploy::warn;

/// What the registry knows of an environment.
pub(crate) struct Memory<'a> {
    /// The registry.
    pub(crate) registry: &'a Registry,
    /// Where its releases are.
    pub(crate) repository: &'a Repository,
    /// Its name.
    pub(crate) environment: &'a str,
}

impl Memory<'_> {
    /// Reads it. A tag is only believed of a release that has evidence of having been deployed there.
    ///
    /// # Errors
    /// When the registry could not be asked: that is never "none".
    pub(crate) async fn read(&self, runner: &Runner) -> Result<Standing, Failure> {
        let begun = self.named(Mark::Begun).await?;
        let passed = self.proven(Mark::Passed, runner).await?;
        let before = self.proven(Mark::Before, runner).await?;
        Ok(Standing { begun, passed, before })
    }

    /// One of its releases.
    pub(crate) async fn release(&self, digest: &Digest) -> Result<Named, Failure> {
        let release = self.registry.release(self.repository, digest).await?;
        Ok(Named { digest: digest.clone(), release })
    }

    /// Writes in this order; what is written is read back.
    pub(crate) async fn write(&self, marks: &[(Mark, Digest)]) -> Result<(), Failure> {
        for (mark, digest) in marks {
            let tag = mark.tag(self.environment).map_err(|error| Failure::usage(error.to_string()))?;
            self.registry.tag(&self.repository.at(digest), &tag, Move::Moving).await?;
        }
        Ok(())
    }

    /// The newest evidence that a release was deployed there.
    pub(crate) async fn proof(&self, digest: &Digest) -> Result<Option<Record>, Failure> {
        let wanted = [(Kind::Deployment, Some(self.environment))];
        let found = self.registry.evidence(self.repository, digest, &wanted).await?.records;
        Ok(found.into_iter().find(|record| {
            record.kind == Kind::Deployment
                && record.verdict == Verdict::Pass
                && record.environment.as_deref() == Some(self.environment)
        }))
    }

    async fn named(&self, mark: Mark) -> Result<Option<Digest>, Failure> {
        let tag = mark.tag(self.environment).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(self.registry.resolve(self.repository, &tag).await?)
    }

    async fn proven(&self, mark: Mark, runner: &Runner) -> Result<Option<Digest>, Failure> {
        let Some(digest) = self.named(mark).await? else { return Ok(None) };
        if self.proof(&digest).await?.is_some() {
            return Ok(Some(digest));
        }
        let (short, environment) = (digest.short(), self.environment);
        warn(
            runner,
            "a tag is passed over",
            &format!("a tag says that release {short} was deployed to {environment}, and no evidence does"),
        );
        Ok(None)
    }
}
