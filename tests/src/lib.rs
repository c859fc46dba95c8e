//! Fake servers and fixtures for the tests of every crate.

pub mod server;
