//! The rules of shipkit: types, decisions and state machines. No I/O, no clock, no async runtime.

pub mod admission;
pub mod compose;
pub mod config;
pub mod difference;
pub mod digest;
pub mod event;
pub mod evidence;
pub mod exit;
pub mod explained;
pub mod hint;
pub mod history;
pub mod journal;
pub mod lease;
pub mod manifests;
pub mod meta;
pub mod plan;
pub mod policy;
pub mod project_path;
pub mod reference;
pub mod release;
pub mod rollout;
pub mod secret;
pub mod ssh;
pub mod stack;
pub mod standing;
pub mod target;
pub mod verdict;

pub use digest::Digest;
pub use hint::Hint;
pub use project_path::ProjectPath;
pub use reference::{ImageName, ImageRef, Repository, Tag};
pub use release::Release;
pub use secret::Secret;
pub use ssh::SshAddress;
pub use verdict::{Outcome, Verdict};
