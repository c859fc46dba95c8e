//! `registry-timeout`: how long a registry is waited for.

use shipkit_tests::server::registry::{Broken, Fault, Kind};

use crate::release::Built;

#[test]
fn a_registry_that_wants_a_longer_pause_is_not_waited_for() {
    let built = Built::new();
    for method in ["HEAD", "GET"] {
        let busy = Broken::Status(429, vec![("retry-after", "60".to_owned())]);
        built.registry.fail(Fault::new(method, Kind::Manifest, busy).times(99));
    }
    let done = built.release(&[("INPUT_REGISTRY-TIMEOUT", "5s")]);
    done.check(3, "wants a pause of 60 s");
    built.release(&[("INPUT_REGISTRY-TIMEOUT", "soon")]).check(2, "registry-timeout");
}
