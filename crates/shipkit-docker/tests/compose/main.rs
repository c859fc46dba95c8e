//! Deploys and rollbacks of Compose projects on a real engine, behind a real nginx, Traefik or kamal-proxy
//! (`scripts/bed up docker compose images traefik kamal-proxy` makes what they need).
//!
//! Every test has its own project, images and registry, all removed at its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod bed;
mod broken;
mod kamal;
mod kills;
mod life;
mod traffic;
