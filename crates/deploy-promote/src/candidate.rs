//! `Candidate`: a release that is to go to an environment, and what is true of it whatever the environment runs on: whether
//! it is admitted, how it is verified there, and what is kept of that at the registry.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shipkit_core::config::{OnInconclusive, Rollback};
use shipkit_core::evidence::{self, Record};
use shipkit_core::plan::{deployed_tag, release_repository};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{Digest, Release, Repository};
use shipkit_registry::{Move, Registry};
use shipkit_runner::{Failure, Runner, env};
use shipkit_smoke::{Check, Kind, Prometheus};
use url::Url;

use crate::admission::{self, Admission};
use crate::args::DeployArgs;
use crate::deploy::{run_url, warn};
use crate::github::{self, Shipment};
use crate::preview::Compared;
use crate::problems::Problems;
use crate::project::Project;
use crate::{checks, preview, report};

/// The smoke evidence: the verdict, and what each check found.
pub(crate) type Smoke = (Outcome, Value);

/// A release that was found, and where.
pub(crate) struct Shipped {
    /// The repository that holds it.
    pub(crate) repository: Repository,
    /// Its identity.
    pub(crate) digest: Digest,
    /// What it says.
    pub(crate) release: Release,
}

/// A release that is to go to an environment, which admits it or is made to.
pub(crate) struct Candidate<'a> {
    pub(crate) project: &'a Project<'a>,
    pub(crate) shipped: Shipped,
    pub(crate) registry: Registry,
    /// Where it is asked, and what, once it is there.
    pub(crate) checks: Option<(Url, Vec<Check>)>,
    /// The longest time for one step.
    pub(crate) deadline: Duration,
    /// The address of this run.
    pub(crate) run: Option<String>,
    /// When it began, before anything changed.
    pub(crate) began: Timestamp,
    /// What is kept before anything changes where the release is not admitted and goes there all the same.
    pub(crate) broken_glass: Option<Record>,
}

impl<'a> Candidate<'a> {
    /// Finds the release and asks whether it is admitted. `Err` inside says that it is not; where `is_check`, that is one
    /// problem among others.
    pub(crate) async fn find(
        project: &'a Project<'a>,
        args: &DeployArgs,
        is_check: bool,
        problems: &mut Problems,
        runner: &Runner,
    ) -> Result<Result<Self, Outcome>, Failure> {
        let began = runner.now();
        let (registry, shipped) = release(project, args, runner).await?;
        let checks = problems.note(checks::of(project, &shipped.release, runner)).flatten();
        let to = &project.environment;
        let admission =
            admission::ask(&registry, &shipped.repository, &shipped.digest, &shipped.release, to).await;
        report::admission(&admission, runner);
        let broken_glass = broken_glass(project, args, &admission.outcome, runner)?;
        if admission.outcome.verdict != Verdict::Pass && broken_glass.is_none() {
            let refusal = not_admitted(project, &shipped, &admission);
            if !is_check {
                runner.summary(&report::refusal(&refusal, &admission))?;
                return Ok(Err(refusal));
            }
            problems.refused(&refusal);
        }
        let deadline = args.timeout.unwrap_or(project.environment.timeout);
        Ok(Ok(Self {
            project,
            shipped,
            registry,
            checks,
            deadline,
            run: run_url(runner),
            began,
            broken_glass,
        }))
    }

    /// Keeps why the release goes there although it is not admitted, if so.
    pub(crate) async fn keep_broken_glass(&self) -> Result<(), Failure> {
        let Some(broken_glass) = &self.broken_glass else { return Ok(()) };
        let kept =
            self.registry.put_evidence(&self.shipped.repository, &self.shipped.digest, broken_glass).await;
        kept.map_err(|error| Failure::from(error).context("why the release goes there could not be kept"))?;
        Ok(())
    }

    /// Tells GitHub that it begins.
    pub(crate) async fn begin_record(&self, runner: &Runner) -> github::Record {
        let shipment = Shipment::of(&self.shipped.digest, &self.shipped.release);
        github::Record::begin(self.project, &shipment, self.run.as_deref(), runner).await
    }

    /// Whether the environment wants back what was there, after such a verdict.
    pub(crate) fn goes_back(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Pass | Verdict::Skipped => false,
            Verdict::Fail => self.project.environment.rollback == Rollback::Auto,
            Verdict::Inconclusive | Verdict::Unreachable => {
                self.project.environment.on_inconclusive == OnInconclusive::Rollback
            }
        }
    }

    /// Asks the running release. Without a `url` nothing can be asked, and that is said. What was `compared` before the shift is told
    /// with it.
    pub(crate) async fn verify(&self, compared: &Compared, runner: &Runner) -> Smoke {
        self.verified(|_| true, compared, runner).await
    }

    /// Asks while a share of requests goes to the release and the rest to the one before: which of them answers says nothing.
    pub(crate) async fn verify_share(&self, compared: &Compared, runner: &Runner) -> Outcome {
        // A burst at each step would use up what a limit allows for the checks of the next, and metrics are of both releases.
        let is_asked = |check: &Check| {
            let is_of_both = matches!(check.kind, Kind::Metrics(_) | Kind::Alerts(_) | Kind::Promql { .. });
            !is_of_both && !matches!(check.kind, Kind::Release { .. } | Kind::RateLimit { .. })
        };
        self.verified(is_asked, compared, runner).await.0
    }

    async fn verified(
        &self,
        is_asked: impl Fn(&Check) -> bool,
        compared: &Compared,
        runner: &Runner,
    ) -> Smoke {
        let Some((url, checks)) = &self.checks else {
            return (Outcome::skipped("the environment has no `url`, so nothing was verified"), Value::Null);
        };
        let checks = checks.iter().filter(|check| is_asked(check)).cloned();
        let checks: Vec<Check> = checks.map(|check| preview::once_compared(check, compared)).collect();
        runner.say(&format!("verifying {url}"));
        let options = shipkit_smoke::Options {
            deadline: self.deadline,
            is_production: self.project.config.is_production(&self.project.environment.name),
            // An address that is none was refused with the checks.
            since: Some(self.began),
            folder: self.project.folder(),
            release: Some(self.shipped.digest.to_string()),
            prometheus: Prometheus::of(self.project.environment.analysis.as_ref()).ok().flatten(),
            ..shipkit_smoke::Options::default()
        };
        match shipkit_smoke::run(url, checks, &options).await {
            Ok(report) => {
                let report = preview::with_compared(report, compared);
                for secret in &report.secrets {
                    runner.mask(secret);
                }
                report::smoke(&report, &self.project.args.config, runner);
                let details = self.project.redact_all(json!(report.checks));
                (report.outcome, details)
            }
            Err(error) => {
                (Outcome::inconclusive(format!("the verification could not be run: {error}")), Value::Null)
            }
        }
    }

    /// What an outcome means for the environment, where nothing is taken back.
    pub(crate) fn settled(&self, outcome: &Outcome) -> Outcome {
        let (version, name) = (&self.shipped.release.version, &self.project.environment.name);
        let cause = &outcome.cause;
        let cause = match outcome.verdict {
            Verdict::Pass => format!("{version} serves in {name}: {cause}"),
            Verdict::Skipped => format!("{version} runs in {name}: {cause}"),
            Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable => format!(
                "{cause}; nothing was rolled back, `deploy-promote rollback --environment {name}` does it"
            ),
        };
        // Deployed and not verified is a deployment; that nothing was verified stands in the smoke evidence.
        let verdict = if outcome.verdict == Verdict::Skipped { Verdict::Pass } else { outcome.verdict };
        Outcome { verdict, cause }
    }

    /// Writes what was found as evidence on the release, `details` for the deployment itself. Evidence that cannot be written turns a pass into `inconclusive`:
    /// the next environment could not admit the release.
    pub(crate) async fn keep_evidence(
        &self,
        outcome: &Outcome,
        (details, smoke): (Value, Option<Smoke>),
        runner: &Runner,
    ) -> Outcome {
        let environment = &self.project.environment.name;
        let record = admission::record(
            evidence::Kind::Deployment,
            outcome,
            environment,
            runner.now(),
            self.run.clone(),
        );
        let details = self.project.redact_all(details);
        let mut records = vec![Record { details, ..record }];
        if let Some((found, details)) = smoke {
            let found = Outcome { cause: self.project.redact(&found.cause), ..found };
            let record =
                admission::record(evidence::Kind::Smoke, &found, environment, runner.now(), self.run.clone());
            records.push(Record { details, ..record });
        }
        let (repository, release) = (&self.shipped.repository, &self.shipped.digest);
        if let Err(error) = self.registry.put_all_evidence(repository, release, &records).await {
            let cause = format!("{}; but the evidence could not be stored: {error}", outcome.cause);
            let verdict =
                if outcome.verdict == Verdict::Fail { Verdict::Fail } else { Verdict::Inconclusive };
            return Outcome { verdict, cause };
        }
        outcome.clone()
    }

    /// Moves the tag that names what is deployed: for people, and for `build-tag plan`, which says what changed since. What
    /// runs is the target's to say, so a tag that could not be moved is a remark.
    pub(crate) async fn point_at_it(&self, runner: &Runner) {
        let Ok(tag) = deployed_tag(&self.project.environment.name) else { return };
        let image = self.shipped.repository.at(&self.shipped.digest);
        if let Err(error) = self.registry.tag(&image, &tag, Move::Moving).await {
            warn(runner, "after the rollout", &format!("the tag `{tag}` could not be moved: {error}"));
        }
    }
}

async fn release(
    project: &Project<'_>,
    args: &DeployArgs,
    runner: &Runner,
) -> Result<(Registry, Shipped), Failure> {
    let repository = match &args.repository {
        Some(repository) => repository.clone(),
        None => release_repository(runner.env().get(env::GITHUB_REPOSITORY), &project.config)?,
    };
    let registry = project.registry(&repository, runner)?;
    let digest = registry.find_release(&repository, &args.release).await?;
    let release = registry.release(&repository, &digest).await?;
    if release.name != project.config.name {
        return Err(Failure::usage(format!(
            "release {} is of `{}`, and this is `{}`",
            release.version, release.name, project.config.name
        )));
    }
    Ok((registry, Shipped { repository, digest, release }))
}

/// The reason that `--break-glass` gives.
pub(crate) fn reason(given: Option<&str>) -> Result<Option<&str>, Failure> {
    let reason = given.map(str::trim);
    if reason.is_some_and(str::is_empty) {
        let empty = Failure::usage("`break-glass` gives no reason");
        return Err(empty.with_hint("say why, for those who read it later"));
    }
    Ok(reason)
}

/// Who gives a reason.
pub(crate) fn actor(runner: &Runner) -> Option<&str> {
    runner.env().get(env::GITHUB_ACTOR).or_else(|| runner.env().get(env::USER))
}

/// The record of a refusal that is passed over; `None` where none is, or where there is nothing to pass over.
fn broken_glass(
    project: &Project<'_>,
    args: &DeployArgs,
    admission: &Outcome,
    runner: &Runner,
) -> Result<Option<Record>, Failure> {
    let Some(reason) = reason(args.break_glass.as_deref())? else { return Ok(None) };
    if admission.verdict == Verdict::Pass {
        runner.say("break-glass: not needed, the release is admitted");
        return Ok(None);
    }
    let environment = &project.environment.name;
    let record =
        admission::break_glass(admission, &project.redact(reason), actor(runner), |kind, outcome| {
            admission::record(kind, outcome, environment, runner.now(), run_url(runner))
        });
    warn(runner, "break-glass", &record.cause);
    Ok(Some(record))
}

fn not_admitted(project: &Project<'_>, shipped: &Shipped, admission: &Admission) -> Outcome {
    let (version, name) = (&shipped.release.version, &project.environment.name);
    let cause = format!("{version} is not admitted to {name}: {}", admission.outcome.cause);
    Outcome { verdict: admission.outcome.verdict, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something() {
        assert_eq!(reason(None).unwrap(), None);
        assert_eq!(reason(Some(" outage ")).unwrap(), Some("outage"));
        for blank in ["", " "] {
            assert!(reason(Some(blank)).unwrap_err().sentence().contains("gives no reason"));
        }
    }
}
