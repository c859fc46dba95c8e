//! The layers of an image, and what is made of their files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| image_scan::fuzzing::image(bytes));
