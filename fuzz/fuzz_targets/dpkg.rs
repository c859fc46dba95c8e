//! The database of dpkg, and its lists of files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| image_scan::fuzzing::dpkg(bytes));
