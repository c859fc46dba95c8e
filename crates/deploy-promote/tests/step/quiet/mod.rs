//! Tests that count lost requests, and those that must not disturb them. `./test` runs them beside all others.

mod cluster_real;
pub(crate) mod compose;
pub(crate) mod load;
mod slots;

use std::sync::RwLock;

/// Written by the tests that count lost requests, read by the others here: a machine that is busy with them loses some by itself.
pub(crate) static QUIET: RwLock<()> = RwLock::new(());
