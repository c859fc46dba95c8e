//! Archives as `docker save` writes them, one image or several in each.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shipkit_core::Digest;

use crate::bench::{Bench, good, of_layers};

/// A tar (POSIX ustar) of these files, in this order.
pub(crate) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len().try_into().unwrap());
        builder.append_data(&mut header, name, &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An image: its tags, its configuration but for the layers, and its layers.
type Image<'a> = (&'a [&'a str], Value, &'a [&'a [u8]]);

/// An archive as engines before 25 write it: the list comes last.
pub(crate) fn classic(images: &[Image<'_>]) -> Vec<u8> {
    let mut files = BTreeMap::new();
    let mut list = Vec::new();
    for (tags, config, layers) in images {
        let config = of_layers(config, layers).to_string().into_bytes();
        let name = format!("{}.json", Digest::of(&config).hex());
        let mut names = Vec::new();
        for layer in *layers {
            let name = format!("{}/layer.tar", Digest::of(&[layer, &b"id"[..]].concat()).hex());
            files.insert(name.clone(), layer.to_vec());
            names.push(name);
        }
        list.push(json!({"Config": name, "RepoTags": tags, "Layers": names}));
        files.insert(name, config);
    }
    let mut files: Vec<_> = files.into_iter().collect();
    files.push(("manifest.json".to_owned(), json!(list).to_string().into_bytes()));
    tar(&files)
}

/// An archive as newer engines write it: an OCI layout with the same list.
fn newer(tags: &[&str], config: &Value, layer: &[u8]) -> Vec<u8> {
    let mut files = Vec::new();
    let mut add = |bytes: Vec<u8>| {
        let digest = Digest::of(&bytes);
        let size = bytes.len();
        let name = format!("blobs/sha256/{}", digest.hex());
        files.push((name.clone(), bytes));
        (name, digest, size)
    };
    let (layer_name, layer, layer_size) = add(layer.to_vec());
    let mut config = config.clone();
    config["rootfs"] = json!({"type": "layers", "diff_ids": [layer]});
    let (config_name, config, config_size) = add(config.to_string().into_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size}]});
    let (_, manifest, size) = add(manifest.to_string().into_bytes());
    let entry = |tag: &&str| {
        json!({"mediaType": media_type, "digest": manifest, "size": size,
            "annotations": {"io.containerd.image.name": format!("docker.io/library/{tag}")}})
    };
    let index = json!({"schemaVersion": 2, "manifests": tags.iter().map(entry).collect::<Vec<_>>()});
    let list = json!([{"Config": config_name, "RepoTags": tags, "Layers": [layer_name]}]);
    files.push(("index.json".to_owned(), index.to_string().into_bytes()));
    files.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
    files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec()));
    tar(&files)
}

fn root() -> Value {
    let mut config = good();
    config["config"]["User"] = json!("root");
    config
}

/// A layer with one file.
pub(crate) fn layer(path: &str, content: &[u8]) -> Vec<u8> {
    tar(&[(path.to_owned(), content.to_vec())])
}

#[test]
fn an_archive_is_judged_in_both_of_its_forms() {
    let package = layer("app/node_modules/ws/package.json", br#"{"name": "ws", "version": "8.17.0"}"#);
    let bench = Bench::with_config("services: {api: {build: {}, size_limit: 1k}}");
    bench.write("api.tar", classic(&[(&["shop/api:1"], good(), &[&package])]));
    bench.step(&[("INPUT_LAYOUT", "api.tar")]).check(1, "`api` (linux/amd64): it is larger than its budget");
    for (name, archive) in [
        ("one.tar", classic(&[(&["shop/api:1"], good(), &[&package])])),
        ("two.tar", newer(&["api:1"], &good(), &package)),
        ("three.tar", newer(&["api:1", "api:2"], &good(), &package)),
    ] {
        bench.write(name, archive);
        let done = bench.step(&[("INPUT_LAYOUT", name), ("INPUT_JSON", "true")]);
        let told: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:#?}"));
        assert_eq!(told[0]["inventory"]["packages"][0]["name"], "ws", "{name}");
        assert_eq!((done.exit, told.as_array().unwrap().len()), (Some(0), 1), "{name}");
    }
}

#[test]
fn every_image_of_an_archive_is_judged_by_its_service_or_named_by_its_tag() {
    let (a, b) = (layer("a", b"a"), layer("b", b"b"));
    let bench = Bench::with_config("registry: ghcr.io/acme/shop\nservices: {api: {build: {}}}");
    let images: [Image<'_>; 2] =
        [(&["ghcr.io/acme/shop/api:1"], good(), &[&a]), (&["web:1"], root(), &[&a, &b])];
    bench.write("all.tar", classic(&images));
    let done = bench.step(&[("INPUT_LAYOUT", "all.tar")]);
    done.check(1, "`web:1` (linux/amd64): it runs as root");
    assert!(done.stderr.contains("api (linux/amd64): pass"), "{}", done.stderr);
}

#[test]
fn an_archive_with_other_bytes_is_never_a_pass() {
    let (package, other) = (layer("a", b"a"), layer("a", b"b"));
    let bench = Bench::new();
    let archive = classic(&[(&["api:1"], good(), &[&package])]);
    let at = archive.windows(package.len()).position(|window| window == package).unwrap();
    let changed = [&archive[..at], &other, &archive[at + other.len()..]].concat();
    let cut = archive[..archive.len() / 2].to_vec();
    for (name, bytes) in [("changed.tar", changed), ("cut.tar", cut)] {
        bench.write(name, bytes);
        let done = bench.step(&[("INPUT_LAYOUT", name)]);
        assert!(matches!(done.exit, Some(2 | 3)) && done.output("verdict") != "pass", "{done:#?}");
    }
    assert_eq!(bench.step(&[("INPUT_LAYOUT", "changed.tar")]).exit, Some(3));
}
