//! Programs, with modules of Go or crates of Rust in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| image_scan::fuzzing::program(bytes));
