//! The real binary as one step: images at a registry or in a layout in; verdict, evidence and reports out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod advised;
mod bench;
mod cached;
mod compared;
mod context;
mod daemon;
mod gates;
mod indexed;
mod layout;
mod listed;
mod outputs;
mod platform;
mod pushed;
mod real;
mod reports;
mod rules;
mod saved;
mod sbom;
mod vex;
mod workflow;
