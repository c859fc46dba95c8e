//! Which platforms of an index are judged.

use serde_json::{Value, json};
use shipkit_core::Digest;

use crate::bench::{Bench, good, of_layers};
use crate::saved::{layer, tar};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layout of an index with an image for each of these: what the index says, and what the configuration says. Besides, an attestation.
fn layout(platforms: &[(&str, &str)]) -> Vec<u8> {
    let mut files = Vec::new();
    let mut add = |media_type: &str, bytes: Vec<u8>| {
        let digest = Digest::of(&bytes);
        let pointer = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        let file = (format!("blobs/sha256/{}", digest.hex()), bytes);
        if !files.contains(&file) {
            files.push(file);
        }
        pointer
    };
    let own = layer("a", b"a");
    let mut image = |config: &Value| {
        let config = of_layers(config, &[&own]).to_string().into_bytes();
        let config = add("application/vnd.oci.image.config.v1+json", config);
        let layer = add("application/vnd.oci.image.layer.v1.tar", own.clone());
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        add(MANIFEST, manifest.to_string().into_bytes())
    };
    let platform = |text: &str| {
        let parts: Vec<_> = text.split('/').collect();
        let variant = parts.get(2);
        let mut platform = json!({"os": parts[0], "architecture": parts[1]});
        if let Some(variant) = variant {
            platform["variant"] = json!(variant);
        }
        platform
    };
    let mut manifests = Vec::new();
    for (said, own) in platforms {
        let mut config = good();
        let own = platform(own);
        for key in ["os", "architecture", "variant"] {
            config[key] = own[key].clone();
        }
        let mut entry = image(&config);
        entry["platform"] = platform(said);
        manifests.push(entry);
    }
    let mut attestation = image(&json!({"os": "unknown", "architecture": "unknown"}));
    attestation["platform"] = platform("unknown/unknown");
    manifests.push(attestation);
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
    let index = add(media_type, index.to_string().into_bytes());
    let list = json!({"schemaVersion": 2, "manifests": [index]});
    files.push(("index.json".to_owned(), list.to_string().into_bytes()));
    tar(&files)
}

#[test]
fn every_platform_is_judged_or_the_one_that_is_wanted() {
    let bench = Bench::new();
    let both = [("linux/amd64", "linux/amd64"), ("linux/arm64/v8", "linux/arm64/v8")];
    bench.write("api.tar", layout(&both));
    for (wanted, expected) in [
        ("all", &["linux/amd64", "linux/arm64/v8"][..]),
        ("linux/amd64", &["linux/amd64"]),
        ("linux/arm64", &["linux/arm64/v8"]),
    ] {
        let vars = [("INPUT_LAYOUT", "api.tar"), ("INPUT_PLATFORM", wanted), ("INPUT_JSON", "true")];
        let done = bench.step(&vars);
        let told: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:#?}"));
        let found: Vec<_> =
            told.as_array().unwrap().iter().map(|one| one["platform"].as_str().unwrap()).collect();
        assert_eq!((done.exit, &found[..]), (Some(0), expected), "{wanted}");
    }
}

#[test]
fn a_platform_that_is_not_there_is_an_error_that_names_those_that_are() {
    let bench = Bench::new();
    let both = [("linux/amd64", "linux/amd64"), ("linux/arm/v7", "linux/arm/v7")];
    bench.write("api.tar", layout(&both));
    let done = bench.step(&[("INPUT_LAYOUT", "api.tar"), ("INPUT_PLATFORM", "linux/s390x")]);
    done.check(2, "there is no image for `linux/s390x`");
    assert!(done.stderr.contains("there is one for `linux/amd64`, `linux/arm/v7`"), "{}", done.stderr);
    bench.step(&[("INPUT_LAYOUT", "api.tar"), ("INPUT_PLATFORM", "linux")]).check(2, "is no platform");
}

#[test]
fn a_configuration_for_another_platform_than_its_index_says_is_never_a_pass() {
    for (said, own, exit) in [
        ("linux/amd64", "linux/arm64", 3),
        ("linux/arm/v7", "linux/arm/v6", 3),
        ("linux/arm/v7", "linux/arm", 0),
        ("linux/arm64", "linux/arm64/v8", 0),
    ] {
        let bench = Bench::new();
        bench.write("api.tar", layout(&[(said, own)]));
        for platform in ["", said] {
            let done = bench.step(&[("INPUT_LAYOUT", "api.tar"), ("INPUT_PLATFORM", platform)]);
            assert_eq!(done.exit, Some(exit), "{said} {own} {done:#?}");
        }
    }
}
