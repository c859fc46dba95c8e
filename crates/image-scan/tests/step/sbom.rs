//! Bills of materials, of images at a registry.

use serde_json::{Value, json};
use shipkit_tests::server::registry::{Options, Registry};

use crate::bench::{Bench, good, gzip, of_layers};
use crate::pushed::tar;

#[test]
fn the_packages_of_an_image_are_told_in_both_formats() {
    let registry = Registry::start(Options::default());
    let layers = [
        tar(
            "etc/os-release",
            "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
        ),
        tar(
            "var/lib/dpkg/status",
            "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\nVersion: 3.0.11-1~deb12u2\n\n",
        ),
        tar("app/node_modules/@a/ws/package.json", r#"{"name": "@a/ws", "version": "8.17.1"}"#),
    ];
    let layers = layers.each_ref().map(Vec::as_slice);
    let mut config = of_layers(&good(), &layers);
    config["history"] =
        json!([{"created_by": "ADD debian"}, {"created_by": "RUN apt"}, {"created_by": "RUN npm ci"}]);
    let packed = layers.map(gzip);
    let digest = registry.seed_image("shop/api", &config, &packed.each_ref().map(Vec::as_slice));
    let bench = Bench::new();
    let image = format!("{}/shop/api@{digest}", registry.host());
    bench.step(&[("INPUT_IMAGE", &image), ("INPUT_SBOM", "out/sbom")]).check(0, "1 of Debian:12, 1 of npm");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(bench.path().join("out/sbom").join(name)).unwrap()).unwrap()
    };
    let purls = [
        "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?distro=debian-12&upstream=openssl%403.0.11-1~deb12u2",
        "pkg:npm/%40a/ws@8.17.1",
    ];
    let cdx = read("shop-api.cdx.json");
    let components = cdx["components"].as_array().unwrap();
    let told: Vec<_> = components.iter().skip(1).map(|one| one["purl"].as_str().unwrap()).collect();
    assert_eq!(told, purls);
    assert_eq!(components[0]["type"], "operating-system");
    assert_eq!(cdx["metadata"]["component"]["version"], digest.to_string());
    assert_eq!(cdx["metadata"]["timestamp"], "2026-05-06T07:08:09Z");
    let made_by = json!([{"name": "shipkit:layer", "value": "2"},
        {"name": "shipkit:path", "value": "app/node_modules/@a/ws/package.json"},
        {"name": "shipkit:madeBy", "value": "RUN npm ci"}]);
    assert_eq!(components[2]["properties"], made_by);
    let spdx = read("shop-api.spdx.json");
    let told: Vec<_> = spdx["packages"].as_array().unwrap().iter().skip(1).collect();
    let told: Vec<_> =
        told.iter().map(|one| one["externalRefs"][0]["referenceLocator"].as_str().unwrap()).collect();
    assert_eq!(told, purls);
    assert_eq!(spdx["relationships"].as_array().unwrap().len(), 3);
    assert_eq!(spdx["creationInfo"]["created"], "2026-05-06T07:08:09Z");
}
