//! What a repository and a commit say about themselves.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use shipkit_core::meta::About;

use crate::client::Client;
use crate::error::Error;
use crate::record::GitHub;

/// A commit, as far as its date.
#[derive(Deserialize)]
struct Commit {
    commit: Inner,
}

#[derive(Deserialize)]
struct Inner {
    committer: Committer,
}

#[derive(Deserialize)]
struct Committer {
    date: Timestamp,
}

impl GitHub {
    /// What GitHub knows about the repository. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// Every [`Error`] but `Earlier`; the answer is never worth failing for.
    pub async fn about(&self) -> Result<About, Error> {
        let repository: Value = Client::new(self)?.get("").await?;
        Ok(About::of(&repository))
    }

    /// When a commit was made, by its full name. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// Every [`Error`] but `Earlier`; the answer is never worth failing for.
    pub async fn committed(&self, commit: &str) -> Result<Timestamp, Error> {
        if !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::NotFound { path: format!("commits/{commit}") });
        }
        let commit: Commit = Client::new(self)?.get(&format!("commits/{commit}")).await?;
        Ok(commit.commit.committer.date)
    }
}
