//! Reports of other scanners.
#![no_main]

use shipkit_core::policy::Report;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    Report::parse(bytes).ok();
});
