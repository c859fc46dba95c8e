//! A registry that sends whoever asks it to a place where only the machine of that one gets. That credentials stay at home, that redirects
//! end, and where tokens are asked for is in the tests of shipkit-registry (`auth`).

use serde_json::json;
use shipkit_core::Digest;
use shipkit_tests::server::registry::{Broken, Fault, Kind, Options, Registry};

use crate::tars::{file, gzip, tar};
use crate::victim::{CONFIG, GZIP, MANIFEST, Victim, refused};

#[test]
fn the_addresses_of_a_cloud_are_not_asked() {
    let victim = Victim::new();
    for target in
        ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]:1/", "https://[fd00:ec2::254]/"]
    {
        let registry = Registry::start(Options::default());
        let plain = tar(&[file("a", b"a")]);
        let layer = gzip(&plain);
        let mut config = victim.config();
        config["rootfs"]["diff_ids"] = json!([Digest::of(&plain)]);
        let digest = registry.seed_image("shop/api", &config, &[&layer]);
        let image = format!("{}/shop/api@{digest}", registry.host());
        victim.step(&[("INPUT_IMAGE", &image)]).check(0, "unpacked");
        for kind in [Kind::Blob, Kind::Manifest] {
            let redirect = Broken::Status(307, vec![("location", target.to_owned())]);
            registry.fail(Fault::new("GET", kind, redirect).times(20));
            let done = victim.step(&[("INPUT_IMAGE", &image)]);
            refused(
                &done,
                if kind == Kind::Blob {
                    "where only this machine gets"
                } else {
                    "a redirect, which only a blob may have"
                },
            );
        }
    }
}

#[test]
fn an_image_that_is_larger_than_it_says_is_refused() {
    let registry = Registry::start(Options::default());
    let victim = Victim::new();
    let config = victim.config().to_string();
    let layer = gzip(&tar(&[file("a", b"a")]));
    for size in [layer.len() - 1, layer.len() + 1, 1, usize::MAX >> 1] {
        let layers = [
            json!({"mediaType": GZIP, "size": size, "digest": registry.seed_blob("shop/api", layer.clone())}),
        ];
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
            "config": {"mediaType": CONFIG, "size": config.len(), "digest": registry.seed_blob("shop/api", config.clone())}});
        let digest = registry.seed_manifest("shop/api", MANIFEST, manifest.to_string());
        let image = format!("{}/shop/api@{digest}", registry.host());
        refused(&victim.step(&[("INPUT_IMAGE", &image)]), "");
    }
}
