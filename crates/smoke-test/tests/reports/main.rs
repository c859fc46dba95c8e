//! The reports of `smoke-test`: files, summary, annotations and outputs of a run against a service with all kinds of answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod annotations;
mod browser;
mod fixture;
mod junit;
mod page;
mod secrets;
mod written;
