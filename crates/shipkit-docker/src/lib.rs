//! Docker hosts: a Swarm through the Engine API, Compose projects, and what runs and lies on a host, this one or one over SSH.
//!
//! What should happen is decided in `shipkit_core::target` and `shipkit_core::rollout`; here is what it takes to see
//! a stack and to change it. Nothing is remembered here between runs: releases, and the way back, stand in the labels of
//! the services of a Swarm, and in a file on the host of a Compose project.

mod adopt;
mod change;
mod compose;
mod drift;
mod edge;
mod engine;
mod error;
mod history;
mod host;
mod job;
mod labels;
mod lease;
mod rollout;
mod slot_labels;
mod slot_preview;
mod slots;
mod spec;
mod ssh;
mod stack;
mod swarm;
mod tls;
mod written;

pub use compose::{Compose, ComposeApplied, ComposeError, ComposeProject, Preview, Proxy};
pub use edge::Edge;
pub use error::SwarmError;
pub use history::{History, Memory};
pub use host::{Host, HostError, ProcessGroup, Reached};
pub use rollout::{Applied, TaskLog};
pub use slot_preview::SlotPreview;
pub use ssh::{Ended, HostCommand, Output, Ssh, SshError, SshOptions, Stream};
pub use stack::{Stack, StackError, StackFiles};
pub use swarm::{Access, Login, Preflight, Swarm};
pub use tls::TlsOptions;
