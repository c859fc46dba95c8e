//! The tar of an OCI layout.
#![no_main]

use std::io::Write as _;

use shipkit_registry::layout::Layout;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    if file.write_all(bytes).is_err() {
        return;
    }
    let Ok(layout) = Layout::open(file.path()) else { return };
    for descriptor in layout.manifests() {
        layout.manifest(descriptor).ok();
    }
});
