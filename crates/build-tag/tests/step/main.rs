//! The real binary, one step at a time: event and inputs in; exit code, streams, outputs, summary and files out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod bake;
mod channels;
mod compose;
mod conformance;
mod git;
mod github;
mod keep;
mod kills;
mod meta;
mod mirrors;
mod named;
mod plan;
mod project;
mod projects;
mod publish;
mod release;
mod reuse;
mod script;
mod services;
mod shards;
mod timeout;
