//! VEX documents.
#![no_main]

use shipkit_core::policy::vex::Document;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    Document::parse("vex.json", bytes).ok();
});
