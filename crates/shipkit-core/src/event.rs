//! `Event`: what happened in the repository, as plain values.

use jiff::Timestamp;

/// What started this run: from the runner's event file, or from git on a laptop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing happened.
    pub trigger: Trigger,
    /// The full commit that is to be built: for a pull request its head, not the merge commit.
    pub commit: String,
    /// When that commit was made, if it is known.
    pub committed: Option<Timestamp>,
    /// `owner/name` as GitHub spells it, upper-case letters included; `None` on a laptop without a remote.
    pub repository: Option<String>,
    /// The repository's default branch, if it is known.
    pub default_branch: Option<String>,
    /// `https://github.com`, or the address of a GitHub Enterprise server.
    pub server_url: String,
    /// The run, if there is one.
    pub run: Option<Run>,
}

/// One run of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// `GITHUB_RUN_ID`.
    pub id: String,
    /// `GITHUB_RUN_ATTEMPT`.
    pub attempt: String,
    /// The login that started it.
    pub actor: String,
}

/// What kind of thing happened. Names of branches and tags are as people typed them: foreign text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// A branch was pushed (or a workflow was started on it by hand: see `dispatched`).
    Branch {
        /// Its name: `main`, `feat/x`.
        name: String,
        /// Whether a person started the run instead of a push.
        dispatched: bool,
    },
    /// A tag was pushed.
    Tag {
        /// Its name: `v1.2.3`.
        name: String,
    },
    /// A GitHub release was published.
    Release {
        /// The tag of the release.
        tag: String,
        /// Whether GitHub calls it a prerelease.
        prerelease: bool,
    },
    /// A pull request, from a fork or not. Builds, and never pushes or deploys.
    PullRequest {
        /// Its number.
        number: u64,
        /// The branch it wants to change.
        base: String,
    },
    /// Anything else, by GitHub's name: nothing is built for it but an explicit request can still deploy.
    Other {
        /// `GITHUB_EVENT_NAME`.
        name: String,
        /// The branch it runs on, if any.
        branch: Option<String>,
    },
}

impl Event {
    /// Where the run can be seen.
    #[must_use]
    pub fn run_url(&self) -> Option<String> {
        let (repository, run) = (self.repository.as_ref()?, self.run.as_ref()?);
        Some(format!("{}/{repository}/actions/runs/{}/attempts/{}", self.server_url, run.id, run.attempt))
    }
}

impl Trigger {
    /// The git ref, as `GITHUB_REF` would say it.
    #[must_use]
    pub fn git_ref(&self) -> String {
        match self {
            Self::Branch { name, .. } => format!("refs/heads/{name}"),
            Self::Tag { name } | Self::Release { tag: name, .. } => format!("refs/tags/{name}"),
            Self::PullRequest { number, .. } => format!("refs/pull/{number}/merge"),
            Self::Other { branch, .. } => {
                branch.as_ref().map(|b| format!("refs/heads/{b}")).unwrap_or_default()
            }
        }
    }
}
