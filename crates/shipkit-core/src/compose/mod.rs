//! Compose projects: what is decided about them, as plain values. The rendered model and what is refused in it, what
//! shipkit remembers on the host, and how a proxy is told who gets the traffic.

mod history;
mod kamal;
mod model;
mod proxy;
mod refusal;
mod state;

pub use kamal::{BadKamalState, KamalState, KamalSwitch};
pub(crate) use model::sorted;
pub use model::{BadModel, Model};
pub use proxy::{ProxyFile, ProxyKind, Server};
pub use refusal::Refusal;
pub use state::{BadState, Deployed, Returned, ServiceState, State, Working};

/// The label of a container that says which image and which settings it was made from.
pub const KEY: &str = "dev.shipkit.key";
/// The label of a container that says which service of shipkit it belongs to.
pub const SERVICE: &str = "dev.shipkit.service";
