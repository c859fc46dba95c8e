//! A host: this machine, and the same one over SSH (`scripts/bed up ssh`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

#[path = "../ssh/client.rs"]
mod client;
mod commands;
mod files;
mod lease;
mod place;
mod secrets;
mod upload;
