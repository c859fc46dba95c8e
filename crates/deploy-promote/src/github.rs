//! GitHub's record of a deploy: told, never asked, and never in the way.

use std::collections::BTreeMap;
use std::time::Duration;

use shipkit_core::target::{Return, WayBack};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_core::{Digest, Release};
use shipkit_github::{DeploymentRecord, DeploymentRequest, Finish, GitHub, Links};
use shipkit_runner::{Annotation, Level, Runner, env};

use crate::project::Project;

/// How long GitHub may take to be told that a run was cancelled.
const AT_THE_END: Duration = Duration::from_secs(3);

/// A record that was begun, if GitHub could be told.
pub(crate) struct Record {
    begun: Option<(GitHub, DeploymentRecord)>,
    links: Links,
}

/// What is deployed, or comes back.
pub(crate) struct Shipment {
    /// The full commit of the release.
    pub(crate) commit: String,
    /// The release.
    pub(crate) release: Digest,
    /// Its version.
    pub(crate) version: String,
    /// The image of each service.
    pub(crate) digests: BTreeMap<String, Digest>,
}

impl Shipment {
    /// A release that was found at the registry.
    pub(crate) fn of(digest: &Digest, release: &Release) -> Self {
        let digests = release.services.iter().map(|(name, service)| (name.clone(), service.digest.clone()));
        Self {
            commit: release.commit.clone(),
            release: digest.clone(),
            version: release.version.clone(),
            digests: digests.collect(),
        }
    }

    /// The release that a rollback returns to, as the target remembers it; `None` where that is not known, for others
    /// started it.
    pub(crate) fn returned(back: &WayBack) -> Option<Self> {
        let mut stamps = back.returns.iter().filter_map(|service| service.to.stamp.as_ref());
        let stamp = stamps.find(|stamp| !stamp.is_adopted())?;
        let digest =
            |service: &Return| Some((service.service.clone(), service.to.image.as_ref()?.digest.clone()));
        Some(Self {
            commit: stamp.commit.clone(),
            release: stamp.release.clone(),
            version: stamp.version.clone(),
            digests: back.returns.iter().filter_map(digest).collect(),
        })
    }
}

impl Record {
    /// Records that a deploy begins. Without a token, or where GitHub says no, that is a warning.
    pub(crate) async fn begin(
        project: &Project<'_>,
        shipment: &Shipment,
        run: Option<&str>,
        runner: &Runner,
    ) -> Self {
        let links =
            Links { log_url: run.map(str::to_owned), environment_url: project.environment.url.clone() };
        let api = runner.env().get(env::GITHUB_API_URL).unwrap_or("https://api.github.com");
        let (Some(token), Some(repository)) = (&project.args.token, runner.env().get(env::GITHUB_REPOSITORY))
        else {
            runner.say("no deployment is recorded at GitHub: there is no `token`, or this is no run of GitHub Actions");
            return Self { begun: None, links };
        };
        let begun = match GitHub::new(api, repository, token.clone()) {
            Ok(github) => {
                github.start(&request(project, shipment, run, &links)).await.map(|record| (github, record))
            }
            Err(error) => Err(error),
        };
        match begun {
            Ok(begun) => Self { begun: Some(begun), links },
            Err(error) => {
                warn(runner, &error);
                Self { begun: None, links }
            }
        }
    }

    /// Records how it ended.
    pub(crate) async fn end(&self, outcome: &Outcome, runner: &Runner) {
        let Some((github, record)) = &self.begun else { return };
        // A cancelled run is killed after a few seconds.
        let github = if runner.is_cancelled() { github.clone().within(AT_THE_END) } else { github.clone() };
        let sentence = outcome.cause.clone();
        let finish = match outcome.verdict {
            Verdict::Pass | Verdict::Skipped => Finish::Success,
            Verdict::Fail => Finish::Failure { sentence },
            Verdict::Inconclusive | Verdict::Unreachable => Finish::Error { sentence },
        };
        if let Err(error) = github.finish(record, &finish, &self.links).await {
            warn(runner, &error);
        }
    }
}

fn request(
    project: &Project<'_>,
    shipment: &Shipment,
    run: Option<&str>,
    links: &Links,
) -> DeploymentRequest {
    let environment = &project.environment;
    DeploymentRequest {
        commit: shipment.commit.clone(),
        environment: environment.name.clone(),
        production: project.config.is_production(&environment.name),
        release: shipment.release.clone(),
        digests: shipment.digests.clone(),
        run: run.map(str::to_owned),
        description: format!("{} {}", project.config.name, shipment.version),
        links: links.clone(),
    }
}

fn warn(runner: &Runner, error: &shipkit_github::Error) {
    use shipkit_core::Hint as _;
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    runner.annotate(Annotation {
        level: Level::Warning,
        title: "no deployment record at GitHub".to_owned(),
        message: format!("{error}{hint}"),
        file: None,
        line: None,
    });
}
