//! `BrokenGlass`: that somebody went back although a migration holds it, kept as evidence.

use std::time::Duration;

use serde_json::json;
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::journal::Journal;
use shipkit_core::plan::release_repository;
use shipkit_core::target::{Stamp, WayBack};
use shipkit_core::verdict::Outcome;
use shipkit_core::{Digest, Repository};
use shipkit_runner::{Failure, Runner, env};
use tokio::time::timeout;

use crate::admission;
use crate::candidate::actor;
use crate::deploy::{run_url, warn};
use crate::project::Project;

/// How long the registry may take. A rollback does not need it.
const PATIENCE: Duration = Duration::from_secs(20);

/// That somebody went back although a migration holds it.
pub(crate) struct BrokenGlass {
    why: String,
    reason: String,
    /// The release that is left, and where it lies if that is known.
    left: Option<(Stamp, Option<Repository>)>,
}

impl BrokenGlass {
    /// Somebody went this way for this reason, although it was held.
    pub(crate) fn new(why: &str, reason: &str, way: &WayBack, journal: Option<&Journal>) -> Self {
        let stamps = way.returns.iter().filter_map(|service| service.from.as_ref());
        let left = stamps.filter(|stamp| !stamp.is_adopted()).max_by_key(|stamp| stamp.time).map(|stamp| {
            let journal = journal.filter(|journal| journal.stamp().release == stamp.release);
            (stamp.clone(), journal.and_then(Journal::repository).cloned())
        });
        Self { why: why.to_owned(), reason: reason.to_owned(), left }
    }

    /// Writes it on the release that is left, if the registry can be reached. That it cannot be is said.
    pub(crate) async fn keep(&self, project: &Project<'_>, runner: &Runner) {
        let Some((left, repository)) = &self.left else { return };
        let kept = timeout(PATIENCE, self.put(project, &left.release, repository.as_ref(), runner));
        let why = match kept.await {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure.sentence(),
            Err(_elapsed) => format!("nothing within {} s", PATIENCE.as_secs()),
        };
        let said =
            format!("that it was overridden is kept nowhere but here, and not on release {}", left.version);
        warn(runner, "break-glass", &format!("{said}: {why}"));
    }

    async fn put(
        &self,
        project: &Project<'_>,
        left: &Digest,
        repository: Option<&Repository>,
        runner: &Runner,
    ) -> Result<(), Failure> {
        let repository = match repository {
            Some(repository) => repository.clone(),
            None => release_repository(runner.env().get(env::GITHUB_REPOSITORY), &project.config)?,
        };
        let reason = project.redact(&self.reason);
        let outcome = Outcome::fail(format!("{reason}; it was held: {}", self.why));
        let environment = &project.environment.name;
        let record =
            admission::record(Kind::BreakGlass, &outcome, environment, runner.now(), run_url(runner));
        let details = json!({"reason": reason, "refusal": self.why, "actor": actor(runner)});
        let registry = project.registry(&repository, runner)?;
        registry.put_evidence(&repository, left, &Record { details, ..record }).await?;
        Ok(())
    }
}
