//! What is known about the event, its commit and its repository: the payload and git first, GitHub last.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use shipkit_core::Secret;
use shipkit_core::meta::{About, Asked, Facts, Happened, OfPullRequest};
use shipkit_github::GitHub;
use shipkit_runner::{Annotation, Failure, Level, Runner, env};

use crate::args::{Context, MetaArgs};
use crate::git;

/// How long GitHub may take for an answer that only makes labels better.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that tags and labels are made of.
///
/// # Errors
/// When there is an event and it cannot be read, or git is to say what is checked out and cannot.
pub(crate) async fn facts(
    args: &MetaArgs,
    asked: &Asked,
    token: Option<&Secret>,
    runner: &Runner,
) -> Result<Facts, Failure> {
    let mut happened = happened(args, asked, runner)?;
    let github = github(token, runner);
    if !happened.about.is_complete() {
        happened.about = happened.about.or(about(github.as_ref(), runner).await);
    }
    happened.about = happened.about.or(from_environment(&args.directory, runner));
    let source_date = runner.source_date()?;
    let is_needed = !happened.commit.is_empty() && (source_date.is_none() || asked.asks_for_commit_date());
    let committed = match happened.committed.or_else(|| git::commit_time(&args.directory, &happened.commit)) {
        None if is_needed => committed(github.as_ref(), &happened.commit, runner).await,
        committed => committed,
    };
    let now = source_date.unwrap_or_else(|| runner.now());
    Ok(Facts {
        event: happened.event,
        git_ref: happened.git_ref,
        commit: happened.commit,
        short: asked.short,
        base_ref: happened.base_ref,
        committed,
        now,
        created: source_date.or(committed).unwrap_or(now),
        about: happened.about,
    })
}

/// The event; what is checked out where there is none, or where that is asked for.
fn happened(args: &MetaArgs, asked: &Asked, runner: &Runner) -> Result<Happened, Failure> {
    let of_env = |name| runner.env().get(name).unwrap_or_default();
    let payload = runner.payload()?;
    let (event, git_ref, commit) =
        (of_env(env::GITHUB_EVENT_NAME), of_env(env::GITHUB_REF), of_env(env::GITHUB_SHA));
    let is_event = payload.is_some() || !event.is_empty() || !git_ref.is_empty();
    let payload = payload.unwrap_or(Value::Null);
    if args.context == Context::Workflow && is_event {
        return Ok(Happened::read(event, git_ref, commit, &payload, asked.of_pull_request));
    }
    let head = git::head(&args.directory, Some(git_ref))?;
    if head.git_ref.is_empty() {
        remark(runner, "no branch and no tag names the commit that is checked out");
    }
    // The commit that is checked out is the one that is meant, merge or not.
    let mut happened = Happened::read(event, &head.git_ref, &head.commit, &payload, OfPullRequest::Event);
    happened.git_ref = head.git_ref;
    happened.about.default_branch = happened.about.default_branch.or(head.default_branch);
    Ok(happened)
}

/// GitHub, if there is a token for it.
fn github(token: Option<&Secret>, runner: &Runner) -> Option<GitHub> {
    let token = token.cloned().or_else(|| runner.env().secret(env::GITHUB_TOKEN))?;
    runner.mask(&token);
    let api = runner.env().get(env::GITHUB_API_URL).unwrap_or("https://api.github.com");
    match GitHub::new(api, runner.env().get(env::GITHUB_REPOSITORY)?, token) {
        Ok(github) => Some(github.within(PATIENCE)),
        Err(error) => {
            remark(runner, &format!("GitHub is not asked: {error}"));
            None
        }
    }
}

async fn about(github: Option<&GitHub>, runner: &Runner) -> About {
    let lost = "the labels lack what the event does not say about the repository";
    match github {
        None => runner.say(&format!("{lost}, and there is no `github-token` to ask GitHub with")),
        Some(github) => match github.about().await {
            Ok(about) => return about,
            Err(error) => remark(runner, &format!("{lost}: {error}")),
        },
    }
    About::default()
}

async fn committed(github: Option<&GitHub>, commit: &str, runner: &Runner) -> Option<Timestamp> {
    let lost = format!("commit {commit} is in neither the event nor the checkout: its date is taken as now");
    match github {
        None => runner.say(&lost),
        Some(github) => match github.committed(commit).await {
            Ok(committed) => return Some(committed),
            Err(error) => remark(runner, &format!("{lost}: {error}")),
        },
    }
    None
}

/// The least that is known about a repository: its name, and where it is.
fn from_environment(directory: &Path, runner: &Runner) -> About {
    let of_env = runner.env().get(env::GITHUB_REPOSITORY).map(str::to_owned);
    let Some(repository) = of_env.or_else(|| git::head(directory, None).ok()?.repository) else {
        return About::default();
    };
    let server = runner.env().get(env::GITHUB_SERVER_URL).unwrap_or("https://github.com");
    let title = repository.rsplit('/').next().map(str::to_owned);
    About { title, url: Some(format!("{server}/{repository}")), ..About::default() }
}

/// Says what could be better. It is never a reason to fail.
pub(crate) fn remark(runner: &Runner, text: &str) {
    runner.annotate(Annotation::new(Level::Warning, "", text));
}
