//! A layer as it is packed: gzip, zstd, tar.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| image_scan::fuzzing::layer(bytes));
