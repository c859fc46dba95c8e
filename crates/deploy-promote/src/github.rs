//! GitHub's record of a deploy: told, never asked, and never in the way.

use std::time::Duration;

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

impl Record {
    /// Records that a deploy begins. Without a token, or where GitHub says no, that is a warning.
    pub(crate) async fn begin(
        project: &Project<'_>,
        digest: &Digest,
        release: &Release,
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
            Ok(github) => github
                .start(&request(project, digest, release, run, &links))
                .await
                .map(|record| (github, record)),
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
    digest: &Digest,
    release: &Release,
    run: Option<&str>,
    links: &Links,
) -> DeploymentRequest {
    let environment = &project.environment;
    DeploymentRequest {
        commit: release.commit.clone(),
        environment: environment.name.clone(),
        // The last environment of the chain is the one that people use.
        production: !project.config.environments.iter().any(|later| later.needs.contains(&environment.name)),
        release: digest.clone(),
        digests: release
            .services
            .iter()
            .map(|(name, service)| (name.clone(), service.digest.clone()))
            .collect(),
        run: run.map(str::to_owned),
        description: format!("{} {}", release.name, release.version),
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
