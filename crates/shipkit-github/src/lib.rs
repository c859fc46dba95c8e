//! GitHub's deployments and their statuses: the record of a deploy that people see beside their commits. And what a
//! repository and a commit say about themselves, for labels.
//!
//! Nothing is decided from what stands here. So a caller turns every error of this crate into a warning, every call ends
//! within a time limit, and neither a deploy nor a rollback waits for GitHub.

mod about;
mod client;
mod error;
mod record;
mod request;
mod wire;

pub use error::Error;
pub use record::GitHub;
pub use request::{DeploymentRecord, DeploymentRequest, Finish, Links};
