//! `GitHub`: starts and finishes the record of a deploy.

use std::time::Duration;

use futures_util::future::try_join_all;
use http::Uri;
use shipkit_core::Secret;
use tokio::time::sleep;
use url::form_urlencoded::Serializer;

use crate::client::{Client, PAUSES};
use crate::error::Error;
use crate::request::{DeploymentRecord, DeploymentRequest, Finish, Links};
use crate::wire::{Deployment, NewDeployment, NewStatus, Payload, State, Status};

/// How long one call may take: GitHub must never hold up a deploy.
const LIMIT: Duration = Duration::from_secs(20);
/// The largest page that GitHub gives.
const PAGE: usize = 100;
/// How many pages of earlier deployments are looked at. A list does not tell states, so that each costs a request, and
/// a job's token has 1,000 requests an hour for the whole repository.
const PAGES: usize = 5;
/// How many states are asked for at a time.
const AT_A_TIME: usize = 10;

/// The deployments of one repository.
#[derive(Debug, Clone)]
pub struct GitHub {
    pub(crate) api: Uri,
    pub(crate) repository: String,
    pub(crate) token: Secret,
    pub(crate) limit: Duration,
}

impl GitHub {
    /// Names a repository `owner/name` at an API such as `https://api.github.com`; connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::BadApiUrl`], [`Error::BadRepository`] or [`Error::BadToken`].
    pub fn new(api_url: &str, repository: &str, token: Secret) -> Result<Self, Error> {
        let api = parse_api(api_url)?;
        let is_name = |name: &str| {
            !matches!(name, "" | "." | "..")
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if !repository.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name)) {
            return Err(Error::BadRepository(repository.to_owned()));
        }
        if token.reveal().is_empty() || !token.reveal().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::BadToken);
        }
        Ok(Self { api, repository: repository.to_owned(), token, limit: LIMIT })
    }

    /// Gives every call this limit instead of 20 s: a cancelled run has less time than that.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Records that a deploy begins: takes up the record that the same run left unfinished, or creates one, and gives
    /// it the status `in_progress`. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// Every [`Error`] but `Earlier`; the deploy should go on.
    pub async fn start(&self, request: &DeploymentRequest) -> Result<DeploymentRecord, Error> {
        let client = Client::new(self)?;
        let record = find_or_create(&client, request).await?;
        client.post_again(&statuses(record.id), &NewStatus::begun(&request.links)).await?;
        Ok(record)
    }

    /// Records how a deploy ended. After a success, and only then, the earlier deployments of the environment become
    /// `inactive`; the answer is how many did. Earlier ones are those that still count as active, whoever made them,
    /// and unfinished ones of ours, left by runs that were killed. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// Every [`Error`]; [`Error::Earlier`] if the end itself is recorded.
    pub async fn finish(
        &self,
        record: &DeploymentRecord,
        finish: &Finish,
        links: &Links,
    ) -> Result<usize, Error> {
        let client = Client::new(self)?;
        client.post_again(&statuses(record.id), &NewStatus::finished(finish, links)).await?;
        match finish {
            Finish::Success => end_earlier(&client, record).await,
            Finish::Failure { .. } | Finish::Error { .. } => Ok(0),
        }
    }

    /// The host and its port, for messages.
    pub(crate) fn host(&self) -> String {
        self.api.authority().map(ToString::to_string).unwrap_or_default()
    }
}

/// Reads the address of an API: https, or this machine, because the token is sent to it.
fn parse_api(text: &str) -> Result<Uri, Error> {
    let api: Uri = text.parse().map_err(|_invalid| Error::BadApiUrl("is not a URL"))?;
    let authority = api.authority().ok_or(Error::BadApiUrl("has no host"))?;
    if authority.as_str().contains('@') {
        return Err(Error::BadApiUrl("holds a user or a password"));
    }
    if api.query().is_some() {
        return Err(Error::BadApiUrl("has a query"));
    }
    match api.scheme_str() {
        Some("https") => Ok(api),
        Some("http") if matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]") => Ok(api),
        _ => Err(Error::BadApiUrl("is neither https nor on this machine")),
    }
}

fn statuses(id: u64) -> String {
    format!("deployments/{id}/statuses")
}

fn list(filter: &[(&str, &str)], page: usize) -> String {
    let query = Serializer::new(String::new())
        .extend_pairs(filter)
        .append_pair("per_page", &PAGE.to_string())
        .append_pair("page", &page.to_string())
        .finish();
    format!("deployments?{query}")
}

/// Finds before every try to create: a POST whose answer got lost may have made the record.
async fn find_or_create(client: &Client<'_>, request: &DeploymentRequest) -> Result<DeploymentRecord, Error> {
    for pause in PAUSES {
        match find_or_create_once(client, request).await? {
            Ok(record) => return Ok(record),
            Err(error) if error.may_pass() => sleep(pause).await,
            Err(error) => return Err(error),
        }
    }
    find_or_create_once(client, request).await?
}

/// The outer error is of finding, which has repeated what can be repeated; the inner one is of creating.
async fn find_or_create_once(
    client: &Client<'_>,
    request: &DeploymentRequest,
) -> Result<Result<DeploymentRecord, Error>, Error> {
    let environment = request.environment.clone();
    if let Some(id) = find(client, request).await? {
        return Ok(Ok(DeploymentRecord { id, environment }));
    }
    let created = client.once("deployments", Some(&NewDeployment::new(request))).await;
    Ok(created.map(|created: Deployment| DeploymentRecord { id: created.id, environment }))
}

/// The unfinished record of the same run, if it has one among the newest hundred of this commit and environment.
async fn find(client: &Client<'_>, request: &DeploymentRequest) -> Result<Option<u64>, Error> {
    let ours = Payload::of(request);
    let filter = [("environment", request.environment.as_str()), ("sha", request.commit.as_str())];
    let listed: Vec<Deployment> = client.get(&list(&filter, 1)).await?;
    let same = |deployment: &&Deployment| {
        deployment.environment == request.environment
            && deployment.payload().is_some_and(|payload| payload.is_same_run(&ours))
    };
    let Some(newest) = listed.iter().find(same) else { return Ok(None) };
    Ok(state(client, newest.id).await?.is_unfinished().then_some(newest.id))
}

/// The state that the newest status gives a deployment; one without a status is pending.
async fn state(client: &Client<'_>, id: u64) -> Result<State, Error> {
    let newest: Vec<Status> = client.get(&format!("{}?per_page=1", statuses(id))).await?;
    Ok(newest.first().map_or(State::Pending, |status| status.state))
}

/// Makes earlier deployments inactive, the oldest first: what [`still_active`] stops at then has nothing behind it.
async fn end_earlier(client: &Client<'_>, record: &DeploymentRecord) -> Result<usize, Error> {
    let earlier = |turned, cause| Error::Earlier {
        environment: record.environment.clone(),
        turned,
        cause: Box::new(cause),
    };
    let mut active = still_active(client, record).await.map_err(|cause| earlier(0, cause))?;
    active.sort_unstable();
    for (turned, id) in active.iter().enumerate() {
        let status = NewStatus::replaced_by(record.id);
        client.post_again(&statuses(*id), &status).await.map_err(|cause| earlier(turned, cause))?;
    }
    Ok(active.len())
}

/// The deployments before `record` that are to become inactive. GitHub lists the newest first; the walk ends at one of
/// ours that already is inactive, because the success that made it so has also ended all that were older.
async fn still_active(client: &Client<'_>, record: &DeploymentRecord) -> Result<Vec<u64>, Error> {
    let mut active = Vec::new();
    let filter = [("environment", record.environment.as_str())];
    for page in 1..=PAGES {
        let listed: Vec<Deployment> = client.get(&list(&filter, page)).await?;
        let older: Vec<&Deployment> = listed
            .iter()
            .filter(|other| other.id < record.id && other.environment == record.environment)
            .collect();
        for some in older.chunks(AT_A_TIME) {
            let states = try_join_all(some.iter().map(|other| state(client, other.id))).await?;
            for (other, state) in some.iter().zip(states) {
                let is_ours = other.payload().is_some();
                match state {
                    State::Inactive if is_ours => return Ok(active),
                    State::Success => active.push(other.id),
                    State::InProgress | State::Queued | State::Pending if is_ours => active.push(other.id),
                    State::InProgress
                    | State::Queued
                    | State::Pending
                    | State::Inactive
                    | State::Error
                    | State::Failure
                    | State::Other => {}
                }
            }
        }
        if listed.len() < PAGE {
            break;
        }
    }
    Ok(active)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(api: &str, repository: &str, token: &str) -> String {
        GitHub::new(api, repository, Secret::from(token)).unwrap_err().to_string()
    }

    #[test]
    fn a_token_goes_to_https_or_this_machine_only() {
        for api in
            ["http://api.github.com", "ftp://api.github.com", "api.github.com", "/", "", "https://a/?q=1"]
        {
            assert!(refused(api, "a/b", "t").contains("API"), "{api}");
        }
        assert!(!refused("https://me:hunter2@api.github.com", "a/b", "t").contains("hunter2"));
        for api in
            ["https://api.github.com", "https://ghe.example/api/v3", "http://127.0.0.1:1", "http://[::1]:1"]
        {
            assert!(GitHub::new(api, "a/b", Secret::from("t")).is_ok(), "{api}");
        }
    }

    #[test]
    fn a_repository_is_an_owner_and_a_name() {
        for repository in ["", "a", "a/", "/b", "a/b/c", "a/..", "a b/c", "a/b?x", "a/b#"] {
            assert!(
                refused("https://api.github.com", repository, "t").contains("owner/name"),
                "{repository}"
            );
        }
    }

    #[test]
    fn a_token_is_not_empty_and_fits_a_header() {
        for token in ["", "a\nb", "a b", "ä"] {
            assert!(refused("https://api.github.com", "a/b", token).contains("token"));
        }
    }

    #[test]
    fn an_environment_is_escaped_in_a_query() {
        let list = list(&[("environment", "a&b/c d")], 2);
        assert_eq!(list, "deployments?environment=a%26b%2Fc+d&per_page=100&page=2");
    }
}
