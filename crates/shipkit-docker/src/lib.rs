//! Docker hosts: a Swarm through the Engine API.
//!
//! What should happen is decided in `shipkit_core::target` and `shipkit_core::rollout`; here is what it takes to see
//! a stack and to change it. Nothing is remembered between runs: releases, and the way back, stand in the labels of
//! the services themselves.

mod change;
mod engine;
mod error;
mod job;
mod labels;
mod lease;
mod rollout;
mod spec;
mod swarm;

pub use error::SwarmError;
pub use job::{Job, JobEnd};
pub use rollout::{Applied, TaskLog};
pub use swarm::{Login, Preflight, Swarm};
