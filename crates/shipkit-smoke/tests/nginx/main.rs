//! The checks `tls` and `redirect` against a real nginx with an authority of the tests' own. `scripts/bed up nginx` fetches it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod certificates;
mod cookies;
mod made;
mod nginx;
mod redirect;
mod server;
mod versions;
