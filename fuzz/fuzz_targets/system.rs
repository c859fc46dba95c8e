//! `os-release`, and the header of Node.js.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| image_scan::fuzzing::system(bytes));
