//! `Identity`: a token that says who this job is, signed by somebody whom a cloud believes.

use std::path::PathBuf;

use shipkit_core::Secret;
use url::Url;

use super::error::{AuthError, Step};
use super::http::{Ask, Http, text};

/// Where the identity token of this job, or of this pod, comes from.
#[derive(Debug, Clone)]
pub enum Identity {
    /// GitHub makes one, for whomever it is meant.
    GitHub {
        /// `ACTIONS_ID_TOKEN_REQUEST_URL`.
        url: String,
        /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
        token: Secret,
    },
    /// A file that somebody else keeps fresh.
    File(PathBuf),
}

impl Identity {
    /// The token for this audience.
    pub(super) async fn token(&self, audience: &str, http: &Http) -> Result<Secret, AuthError> {
        match self {
            Self::GitHub { url, token } => {
                let name = "`ACTIONS_ID_TOKEN_REQUEST_URL`";
                let mut url = Url::parse(url).map_err(|error| AuthError::BadCredentials {
                    what: name.to_owned(),
                    why: error.to_string(),
                })?;
                url.query_pairs_mut().append_pair("audience", audience);
                let ask = Ask::get(Step::Identity, url.as_str())?.bearer(token);
                let answer = http.ask(&ask).await?;
                Ok(Secret::new(text(&answer.json(&ask)?, "/value").ok_or_else(|| ask.lacks("value"))?))
            }
            Self::File(path) => {
                let read = tokio::fs::read_to_string(path).await;
                let text = read.map_err(|error| AuthError::BadCredentials {
                    what: format!("the identity token at `{}`", path.display()),
                    why: error.to_string(),
                })?;
                Ok(Secret::new(text.trim()))
            }
        }
    }
}
