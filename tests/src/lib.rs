//! Fake servers and fixtures for the tests of every crate.

use std::time::{Duration, Instant};

pub mod container;
pub mod rewrite;
pub mod server;
pub mod step;
pub mod traffic;

/// Asks until it is so, of what nobody tells.
///
/// # Panics
/// With `what` never came, when it is not so after a minute.
#[track_caller]
pub fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        breathe();
    }
}

/// Leaves the machine to those who are asked, before they are asked again.
pub fn breathe() {
    std::thread::park_timeout(Duration::from_millis(10));
}
