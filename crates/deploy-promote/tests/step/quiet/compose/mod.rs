//! Releases in a real Compose project, behind a real nginx (`scripts/bed up docker compose images` makes what it needs).

mod adopt;
mod fails;
mod faults;
mod history;
mod hooks;
mod kills;
mod life;
mod project;
mod refused;
pub(crate) mod remote;
