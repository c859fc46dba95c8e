//! Manifests and indexes of images.
#![no_main]

use shipkit_registry::Manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for served in [None, Some("application/vnd.oci.image.index.v1+json")] {
        Manifest::read(bytes.to_vec().into(), served).ok();
    }
});
