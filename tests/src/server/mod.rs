//! Servers that stand in for the real ones, each on a port of this machine.

pub mod artifacts;
pub mod docker_registry;
pub mod github;
pub mod registry;
