//! Kubernetes clusters: the services of a release in deployments that exist, by digest, or all of its objects as manifests state
//! them.
//!
//! What should happen is decided in `shipkit_core::target`, `manifests` and `rollout::workload`; here is what it takes to see a
//! namespace and to change it. Nothing is remembered between runs: what was deployed stands in annotations of the workloads,
//! with the way back or, where manifests are applied, with the name of the `Secret` that records all of them; who may change them, and
//! what the last run was about, in a `Lease`. Everything that shipkit writes it owns by server-side apply, so that what others
//! own stays theirs.

mod access;
mod annotations;
mod auth;
mod canary;
mod change;
mod cluster;
mod drift;
mod error;
mod events;
mod expected;
mod job;
mod kinds;
mod lease;
mod live;
mod logs;
mod members;
mod migration;
mod observe;
mod preview;
mod prometheus;
mod records;
mod rollout;
mod secrets;
mod selection;
mod set;
mod slots;
mod standing;
mod surplus;
mod takeover;
mod values;
mod view;
mod weights;

pub use access::{Access, Token};
pub use auth::{
    Aks, AksCredentials, AuthError, AwsKeys, Eks, EksCredentials, Gke, GkeCredentials, GoogleEndpoints,
    Identity, Login, Step,
};
pub use change::Applied;
pub use cluster::{Cluster, Place, Workload};
pub use error::{ClusterError, Conflict};
pub use expected::{Expected, WorkloadKind};
pub use logs::PodLog;
pub use preview::{Forwarded, PodPreview};
pub use secrets::SecretName;
pub use set::{Back, Rest};
pub use takeover::TakeOver;
