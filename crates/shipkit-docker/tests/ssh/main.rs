//! SSH against Debian's sshd, its agent and its keys (`scripts/bed up ssh`), and against servers that mean no good.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod client;
mod commands;
mod engine;
mod host_keys;
mod login;
mod lost;
