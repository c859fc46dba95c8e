//! Servers that stand in for the real ones, each on a port of this machine.

pub mod artifacts;
pub mod cloud;
pub mod docker_registry;
#[cfg(feature = "kubernetes")]
pub mod door;
pub mod engine;
pub mod gate;
pub mod github;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod registry;
pub mod sshd;
