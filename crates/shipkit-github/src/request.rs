//! `DeploymentRequest`: what is to be recorded, as plain values.

use std::collections::BTreeMap;

use shipkit_core::Digest;

/// A deploy that is about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRequest {
    /// The full commit of the release, 40 (or 64) hexadecimal digits.
    pub commit: String,
    /// The environment, as GitHub's page of environments names it.
    pub environment: String,
    /// Whether people use this environment.
    pub production: bool,
    /// The release.
    pub release: Digest,
    /// The image of each service.
    pub digests: BTreeMap<String, Digest>,
    /// What identifies this run and its attempt; a record that the same run left unfinished is taken up again.
    /// `None` where nothing identifies it (a laptop): then every start makes a record.
    pub run: Option<String>,
    /// One sentence; cut at 140 characters.
    pub description: String,
    /// Where to look.
    pub links: Links,
}

/// Where people can look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// The log of this deploy.
    pub log_url: Option<String>,
    /// The running application.
    pub environment_url: Option<String>,
}

/// A deployment at GitHub, as far as it takes to finish it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRecord {
    /// GitHub's number for it.
    pub id: u64,
    /// Its environment.
    pub environment: String,
}

/// How a deploy ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It serves.
    Success,
    /// It does not serve: it was refused or rolled back.
    Failure {
        /// One sentence: why; cut at 140 characters.
        sentence: String,
    },
    /// It could not be found out whether it serves, or it was cancelled.
    Error {
        /// One sentence: why; cut at 140 characters.
        sentence: String,
    },
}
