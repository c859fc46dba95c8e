//! Package URLs.
#![no_main]

use shipkit_core::policy::purl::Purl;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut purls = text.lines().filter_map(|line| line.parse::<Purl>().ok());
    let (Some(one), Some(two)) = (purls.next(), purls.next()) else { return };
    let _ = one.covers(&two);
    // What is written is read as the same.
    assert_eq!(one.to_string().parse::<Purl>().map(|again| again.to_string()), Ok(one.to_string()));
});
