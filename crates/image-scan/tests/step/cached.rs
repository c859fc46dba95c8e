//! What was read of layers, kept between runs.

use std::fs;

use serde_json::json;
use shipkit_core::Digest;
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::Done;

use crate::bench::{Bench, good, gzip, of_layers};
use crate::saved::layer;

/// A registry with an image of one layer, and a working folder with a cache in it.
struct Kept {
    bench: Bench,
    registry: Registry,
    unpacked: Vec<u8>,
    image: String,
}

impl Kept {
    fn new() -> Self {
        let (bench, registry) = (Bench::new(), Registry::start(Options::default()));
        let unpacked = layer("app/node_modules/ws/package.json", br#"{"name": "ws", "version": "8.17.0"}"#);
        let digest = registry.seed_image("shop/api", &of_layers(&good(), &[&unpacked]), &[&gzip(&unpacked)]);
        let image = format!("{}/shop/api@{digest}", registry.host());
        Self { bench, registry, unpacked, image }
    }

    fn scan(&self, vars: &[(&str, &str)]) -> Done {
        let own = [("INPUT_IMAGE", self.image.as_str()), ("INPUT_JSON", "true"), ("INPUT_DRY_RUN", "true")];
        self.bench.step(&[&own[..], vars].concat())
    }

    /// How often the layer was asked for.
    fn asked(&self) -> usize {
        let digest = Digest::of(&gzip(&self.unpacked)).to_string();
        self.registry.requests().iter().filter(|request| request.path.ends_with(&digest)).count()
    }
}

#[test]
fn a_layer_is_fetched_once_and_what_it_holds_is_the_same() {
    let kept = Kept::new();
    let first = kept.scan(&[("INPUT_CACHE", "layers")]);
    let second = kept.scan(&[("INPUT_CACHE", "layers")]);
    assert_eq!((first.exit, second.exit, kept.asked()), (Some(0), Some(0), 1));
    assert!(first.stdout.contains("\"ws\"") && first.stdout == second.stdout, "{second:#?}");
    // Elsewhere nothing is kept; and the place of the user is one.
    let home = kept.bench.path().to_str().unwrap();
    kept.scan(&[("INPUT_CACHE", "other")]);
    kept.scan(&[("HOME", home)]);
    assert_eq!(kept.asked(), 3);
    kept.scan(&[("HOME", home)]);
    kept.scan(&[("XDG_CACHE_HOME", &format!("{home}/.cache"))]);
    assert_eq!(kept.asked(), 3);
}

#[test]
fn a_damaged_file_is_told_and_the_layer_read_again() {
    let kept = Kept::new();
    kept.scan(&[("INPUT_CACHE", "layers")]);
    let file = fs::read_dir(kept.bench.path().join("layers")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&file, bytes).unwrap();
    let done = kept.scan(&[("INPUT_CACHE", "layers")]);
    assert!(
        done.exit == Some(0) && done.stderr.contains("is damaged, and the layer is read anew"),
        "{done:#?}"
    );
    let done = kept.scan(&[("INPUT_CACHE", "layers")]);
    assert!(!done.stderr.contains("damaged") && kept.asked() == 2, "{done:#?}");
}

#[test]
fn a_layer_that_is_kept_is_held_against_the_configuration_as_well() {
    let kept = Kept::new();
    kept.scan(&[("INPUT_CACHE", "layers")]);
    let mut config = good();
    config["rootfs"] = json!({"type": "layers", "diff_ids": [Digest::of(b"other")]});
    let digest = kept.registry.seed_image("shop/api", &config, &[&gzip(&kept.unpacked)]);
    let image = format!("{}/shop/api@{digest}", kept.registry.host());
    let vars = [("INPUT_IMAGE", image.as_str()), ("INPUT_CACHE", "layers"), ("INPUT_DRY_RUN", "true")];
    kept.bench.step(&vars).check(3, "says that layer 0 is");
    assert_eq!(kept.asked(), 1);
}

#[test]
fn where_nothing_can_be_kept_images_are_judged_all_the_same() {
    let kept = Kept::new();
    kept.bench.write("file", "");
    let done = kept.scan(&[("INPUT_CACHE", "file")]);
    assert!(done.exit == Some(0) && done.stderr.contains("layers cannot be kept in"), "{done:#?}");
}
