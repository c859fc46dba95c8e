//! Matching, held against what others say: fixtures of version orders, `dpkg`, and a matcher that is not ours.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod naive;
mod sources;
mod versions;

use std::io::Write as _;
use std::path::PathBuf;

/// The advisories beside the repository, where they are.
fn advisories() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/osv")
}

/// Written past the test runner, which swallows what passing tests print; `./test` adds these up.
fn shared(cases: usize) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "shared cases: {cases}").unwrap();
}
