//! Layouts in which one part says something else than another.

use serde_json::json;
use shipkit_core::Digest;
use shipkit_tests::server::registry::{Options, Registry};

use crate::tars::{file, gzip, tar};
use crate::victim::{CONFIG, GZIP, MANIFEST, Victim, ZSTD, refused};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn what_is_cut_off_or_goes_on_is_refused() {
    let plain = tar(&[file("a", &[7; 3000])]);
    let (gz, zstd) = (gzip(&plain), zstd::encode_all(&plain[..], 1).unwrap());
    let layer =
        |media_type, packed: &[u8]| Victim::new().packed(media_type, packed, Digest::of(&plain)).scan();
    for (media_type, packed) in [(GZIP, &gz), (ZSTD, &zstd)] {
        layer(media_type, packed).check(0, "unpacked");
        refused(&layer(media_type, &packed[..packed.len() - 4]), "it cannot be unpacked");
        // The digests are right: that of the layer is about all of it, that of the tar about what a reader that stops early sees.
        for behind in [&b"x"[..], b"another gate stops here", &[0; 512], &packed[..packed.len() / 2]] {
            refused(&layer(media_type, &[&packed[..], behind].concat()), "it cannot be unpacked");
        }
        // What is packed well and stands behind is a part of the tar.
        let two = [&packed[..], packed].concat();
        refused(&layer(media_type, &two), "says that layer 0 is");
    }
    refused(&layer(ZSTD, &gz), "it cannot be unpacked");
}

#[test]
fn bytes_that_are_not_those_of_a_digest_are_refused() {
    let victim = Victim::new().layer(&tar(&[file("a", b"a")]));
    let manifest = victim.manifest();
    let name = |part: &serde_json::Value| {
        let digest: Digest = part["digest"].as_str().unwrap().parse().unwrap();
        format!("layout/blobs/sha256/{}", digest.hex())
    };
    let layer = name(&manifest["layers"][0]);
    let whole = std::fs::read(victim.path().join(&layer)).unwrap();
    let scan = |bytes: &[u8]| {
        victim.write(&layer, bytes);
        victim.scan_manifest(manifest.to_string().as_bytes())
    };
    scan(&whole).check(0, "unpacked");
    refused(&scan(&gzip(&tar(&[file("a", b"b")]))), "than its name says");
    refused(&scan(&whole[..whole.len() - 1]), "than its name says");
    refused(&scan(&[&whole[..], b"x"].concat()), "than its name says");
    scan(&whole).check(0, "unpacked");
    victim.write(&name(&manifest["config"]), b"{}");
    refused(&victim.scan_manifest(manifest.to_string().as_bytes()), "than its name says");
}

#[test]
fn no_other_place_is_asked_for_a_layer() {
    let elsewhere = Registry::start(Options::default());
    let bytes = gzip(&tar(&[file("a", b"a")]));
    let url = format!("http://{}/v2/x/blobs/{}", elsewhere.host(), elsewhere.seed_blob("x", bytes.clone()));
    for media_type in [
        GZIP,
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        let victim = Victim::new();
        let mut manifest = victim.manifest();
        manifest["layers"] = json!([{"mediaType": media_type, "digest": Digest::of(&bytes), "size": bytes.len(), "urls": [url]}]);
        let done = victim.scan_manifest(manifest.to_string().as_bytes());
        assert!(matches!(done.exit, Some(2 | 3)), "{done:#?}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn an_index_in_an_index_is_not_followed() {
    let victim = Victim::new();
    let image = victim.blob(MANIFEST, victim.manifest().to_string().as_bytes());
    let mut within = image;
    for depth in 0..3 {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [within]});
        victim.write("layout/index.json", index.to_string());
        let done = victim.step(&[("INPUT_LAYOUT", "layout")]);
        if depth < 2 {
            done.check(0, "unpacked");
        } else {
            refused(&done, "an index inside an index");
        }
        within = victim.blob(INDEX, index.to_string().as_bytes());
    }
}

#[test]
fn ten_thousand_layers_or_platforms_are_not_read() {
    let victim = Victim::new().layer(&tar(&[file("a", b"a")]));
    let mut manifest = victim.manifest();
    let layer = manifest["layers"][0].clone();
    for (count, sentence) in [(10_000, "more than 512 layers"), (512, "says that layer 1 is `none`")] {
        manifest["layers"] = vec![layer.clone(); count].into();
        refused(&victim.scan_manifest(manifest.to_string().as_bytes()), sentence);
    }
    let image = victim.blob(MANIFEST, victim.manifest().to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": vec![image; 10_000]});
    let index = victim.blob(INDEX, index.to_string().as_bytes());
    victim.write("layout/index.json", json!({"schemaVersion": 2, "manifests": [index]}).to_string());
    refused(&victim.step(&[("INPUT_LAYOUT", "layout")]), "an index without images, or with too many");
}

#[test]
fn a_layer_that_counts_a_hundred_times_is_kept_as_often() {
    let path = |number: usize| format!("{number:06}/{}", "x".repeat(80));
    let names: Vec<String> = (0..20_000).map(path).collect();
    let files: Vec<_> = names.iter().map(|name| file(name, b"")).collect();
    let tar = tar(&files);
    let mut victim = Victim::new().memory(512 << 20);
    let packed = gzip(&tar);
    for _ in 0..400 {
        victim = victim.packed(GZIP, &packed, Digest::of(&tar));
    }
    refused(&victim.scan(), "take more than 536870912 bytes");
}

#[test]
fn a_manifest_or_configuration_of_another_kind_is_refused() {
    let victim = Victim::new();
    let mut manifest = victim.manifest();
    manifest["manifests"] = json!([]);
    refused(&victim.scan_manifest(manifest.to_string().as_bytes()), "both `manifests` and `layers`");
    let mut manifest = victim.manifest();
    manifest["config"] = victim.blob(CONFIG, b"[]");
    refused(&victim.scan_manifest(manifest.to_string().as_bytes()), "the configuration of");
    let mut manifest = victim.manifest();
    manifest["config"]["size"] = json!(1_u64 << 62);
    refused(&victim.scan_manifest(manifest.to_string().as_bytes()), "larger than 8388608 bytes");
    manifest["config"]["size"] = json!(-1);
    refused(&victim.scan_manifest(manifest.to_string().as_bytes()), "not usable");
}
