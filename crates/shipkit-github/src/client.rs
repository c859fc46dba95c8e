//! `Client`: one request to GitHub, and what its answer means.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use octocrab::Octocrab;
use octocrab::service::middleware::retry::RetryConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::Error;
use crate::record::GitHub;

/// How long to wait before the second and the third try.
pub(crate) const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// A page of 100 deployments with our payloads has far less.
const LONGEST_ANSWER: usize = 8 << 20;
/// As much of a foreign sentence as a warning shows.
const LONGEST_MESSAGE: usize = 300;

/// A connection to GitHub that ends at its deadline.
pub(crate) struct Client<'a> {
    github: &'a GitHub,
    octocrab: Octocrab,
    deadline: Instant,
}

/// What GitHub says beside a status of 4xx.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Complaint {
    message: String,
    errors: Vec<Value>,
}

impl<'a> Client<'a> {
    /// Prepares a connection; must run inside a Tokio runtime, because octocrab starts a task.
    pub(crate) fn new(github: &'a GitHub) -> Result<Self, Error> {
        let setup = |error: octocrab::Error| Error::Setup { cause: innermost(&error) };
        let octocrab = Octocrab::builder()
            .base_uri(github.api.clone())
            .map_err(setup)?
            .personal_token(github.token.reveal())
            .add_header(http::HeaderName::from_static("x-github-api-version"), "2022-11-28".to_owned())
            // Octocrab would repeat every method, and a repeated POST makes a second deployment.
            .add_retry_config(RetryConfig::None)
            .build()
            .map_err(setup)?;
        Ok(Self { github, octocrab, deadline: Instant::now() + github.limit })
    }

    /// Asks, again after a passing fault.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        for pause in PAUSES {
            match self.once(path, None::<&()>).await {
                Err(error) if error.may_pass() => sleep(pause).await,
                answer => return answer,
            }
        }
        self.once(path, None::<&()>).await
    }

    /// Sends, again after a passing fault: only for what may arrive twice.
    pub(crate) async fn post_again<B: Serialize + Sync>(&self, path: &str, body: &B) -> Result<(), Error> {
        for pause in PAUSES {
            match self.once::<Value, B>(path, Some(body)).await {
                Err(error) if error.may_pass() => sleep(pause).await,
                answer => return answer.map(drop),
            }
        }
        self.once::<Value, B>(path, Some(body)).await.map(drop)
    }

    /// One request: a POST if there is a body. Without a path it is about the repository itself.
    pub(crate) async fn once<T, B>(&self, path: &str, body: Option<&B>) -> Result<T, Error>
    where
        T: DeserializeOwned,
        B: Serialize + Sync,
    {
        let route = format!("/repos/{}/{path}", self.github.repository);
        let route = route.trim_end_matches('/').to_owned();
        let exchange = async {
            let answer = match body {
                Some(body) => self.octocrab._post(&route, Some(body)).await,
                None => self.octocrab._get(&route).await,
            };
            let answer = answer.map_err(|error| self.unreachable(innermost(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER)
                .collect()
                .await
                .map_err(|error| Error::Unreadable { path: route.clone(), cause: innermost(&*error) })?;
            Ok((head.status, head.headers, body.to_bytes()))
        };
        let (status, headers, bytes) = timeout_at(self.deadline, exchange)
            .await
            .map_err(|_elapsed| Error::TooSlow { host: self.github.host(), limit: self.github.limit })??;
        if matches!(status, StatusCode::OK | StatusCode::CREATED) {
            return serde_json::from_slice(&bytes)
                .map_err(|error| Error::Unreadable { path: route, cause: self.foreign(&error.to_string()) });
        }
        Err(self.refusal(route, status, &headers, &bytes))
    }

    fn unreachable(&self, cause: String) -> Error {
        Error::Unreachable { host: self.github.host(), cause }
    }

    /// What a status other than 200 and 201 means.
    fn refusal(&self, path: String, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        let repository = self.github.repository.clone();
        let complaint: Complaint = serde_json::from_slice(body).unwrap_or_default();
        let message = self.foreign(&complaint.sentence());
        let code = status.as_u16();
        match code {
            202 => Error::Merged { message },
            301 | 302 | 307 | 308 => Error::Moved { repository, status: code },
            400 | 422 => Error::Invalid { message },
            401 => Error::WrongToken { message },
            403 | 429 if code == 429 || is_limit(headers, &message) => Error::RateLimited {
                message,
                retry_after: number(headers, "retry-after").map(Duration::from_secs),
            },
            403 => Error::NoPermission { repository, message },
            404 => Error::NotFound { path },
            409 => Error::Conflict { message },
            500..=599 => Error::Server { status: code },
            _ => Error::Unexpected { status: code, message },
        }
    }

    /// A foreign text fit for a message: one line, not too long, and never with the token in it.
    fn foreign(&self, text: &str) -> String {
        text.replace(self.github.token.reveal(), "***")
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(LONGEST_MESSAGE)
            .collect()
    }
}

impl Complaint {
    /// All that was said, as one sentence. The errors are texts or objects with a `message`, or a `field` and a `code`.
    fn sentence(&self) -> String {
        let said = |error: &Value| {
            let word = |key| error.get(key).and_then(Value::as_str);
            match (error.as_str(), word("message"), word("field"), word("code")) {
                (Some(text), ..) | (_, Some(text), ..) => Some(text.to_owned()),
                (_, _, Some(field), Some(code)) => Some(format!("`{field}` is {code}")),
                _ => None,
            }
        };
        let message = if self.message.is_empty() { "no reason given" } else { self.message.as_str() };
        std::iter::once(message.to_owned())
            .chain(self.errors.iter().filter_map(said))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// Whether a 403 is about a limit: GitHub answers so for the hourly and for the secondary one.
fn is_limit(headers: &HeaderMap, message: &str) -> bool {
    headers.contains_key("retry-after")
        || number(headers, "x-ratelimit-remaining") == Some(0)
        || message.to_ascii_lowercase().contains("rate limit")
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// The innermost reason: the outer ones of an HTTP client only say that something went wrong.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
