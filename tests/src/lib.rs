//! Fake servers and fixtures for the tests of every crate.

pub mod container;
pub mod rewrite;
pub mod server;
pub mod step;
pub mod traffic;
