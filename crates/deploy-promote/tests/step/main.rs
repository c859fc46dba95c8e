//! The program as one step of a workflow: what it refuses, and what it does on a real, active Swarm of one node,
//! in a real Compose project and in a cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod adopt;
mod analysis;
mod bed;
mod cloud;
mod cluster;
mod cluster_canary;
mod cluster_canary_held;
mod cluster_drift;
mod cluster_gateway;
mod cluster_manifests;
mod cluster_projects;
mod cluster_runs;
mod cluster_slots;
mod commands;
mod faults;
mod front;
mod groups;
mod history;
mod hooks;
mod kills;
mod left;
mod life;
mod over_ssh;
mod quiet;
mod refusals;
mod rule_files;
mod stack;
mod stack_over_ssh;
