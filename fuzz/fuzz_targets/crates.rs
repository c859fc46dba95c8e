//! The list of crates in a program of Rust.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| image_scan::fuzzing::crates(bytes));
