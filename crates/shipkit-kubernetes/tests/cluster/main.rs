//! A namespace of a real control plane whose node is played: deploys that work, deploys that do not, and the way back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod access;
mod bed;
mod broken;
mod cloud;
mod front;
mod kinds;
mod lease;
mod life;
mod migration;
mod road;
