//! OCI layouts, as a build without a push leaves them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shipkit_core::Digest;

use crate::bench::{Bench, good, gzip, of_layers};
use shipkit_tests::step::Done;

/// The files of a layout that holds one image.
pub(crate) fn files(config: &Value) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut add = |media_type: &str, bytes: Vec<u8>| {
        let digest = Digest::of(&bytes);
        let pointer = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        files.insert(format!("blobs/sha256/{}", digest.hex()), bytes);
        pointer
    };
    let config = of_layers(config, &[&[0; 3000]]);
    let config = add("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let layer = add("application/vnd.oci.image.layer.v1.tar+gzip", gzip(&[0; 3000]));
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let manifest = add(media_type, manifest.to_string().into_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    files.insert("index.json".to_owned(), index.to_string().into_bytes());
    files.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec());
    files
}

/// The same as a tar (POSIX ustar).
fn tar(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[148..156].copy_from_slice(b"        ");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn root() -> Value {
    let mut config = good();
    config["config"]["User"] = json!("root");
    config
}

fn scan(bench: &Bench, path: &str) -> Done {
    bench.step(&[("INPUT_LAYOUT", path)])
}

#[test]
fn a_folder_is_judged_without_a_registry() {
    let bench = Bench::new();
    for (name, content) in files(&good()) {
        bench.write(&format!("layout/{name}"), content);
    }
    let done = scan(&bench, "layout");
    done.check(0, "3.0 kB unpacked");
    assert!(!done.output("cause").contains("evidence"), "nothing is stored about a layout");
}

#[test]
fn a_tar_is_judged_by_the_service_it_is_named_after() {
    let bench = Bench::with_config("services: {api: {build: {}, size_limit: 2k}}");
    bench.write("api.tar", tar(&files(&good())));
    bench.write("other.tar", tar(&files(&good())));
    scan(&bench, "api.tar").check(1, "`api` (linux/amd64): it is larger than its budget");
    scan(&bench, "other.tar").check(0, "`other` (linux/amd64): ");
    // What is said of a service goes before what is said of every image.
    for (own, all, verdicts) in [("2k", "1M", (1, 0)), ("1M", "2k", (0, 1))] {
        let bench = Bench::with_config(&format!(
            "services: {{api: {{build: {{}}, size_limit: {own}}}}}\nscan: {{image: {{limits: {{unpacked: {all}}}}}}}"
        ));
        bench.write("api.tar", tar(&files(&good())));
        bench.write("other.tar", tar(&files(&good())));
        scan(&bench, "api.tar").check(verdicts.0, "unpacked");
        scan(&bench, "other.tar").check(verdicts.1, "unpacked");
    }
}

#[test]
fn a_pull_request_is_judged_by_the_policy_of_its_base_branch() {
    let bench = Bench::with_config(
        "services: {api: {build: {}, port: 1, size_limit: 1M}, web: {build: {}, size_limit: 1M}}\nscan: {policy: []}",
    );
    let base = "version: 1\nname: shop\nservices: {api: {build: {}, size_limit: 2k}, old: {build: {}}}\nscan: {policy: [non-root]}\n\
                environments: {staging: {branches: [main], target: {type: swarm, files: [c.yml]}}}\n";
    bench.write("base/shipkit.yml", base);
    for (tar_of, config) in [("api", good()), ("web", root()), ("good/web", good())] {
        bench.write(&format!("{tar_of}.tar"), tar(&files(&config)));
    }
    let scan = |path: &str, policy: &str| {
        let event = ("GITHUB_EVENT_NAME", "pull_request");
        bench.step(&[("INPUT_LAYOUT", path), ("INPUT_POLICY", policy), event])
    };
    scan("web.tar", "base").check(1, "it runs as root");
    scan("api.tar", "base").check(1, "`api` (linux/amd64): it is larger than its budget");
    // What only the change has is its own.
    scan("good/web.tar", "base").check(0, "`web` (linux/amd64): ");
    let done = scan("web.tar", "");
    done.check(0, "`web` (linux/amd64): ");
    assert!(done.stderr.contains("the policy is that of the pull request itself"), "{}", done.stderr);
    scan("web.tar", "nowhere").check(2, "there is no folder `./nowhere` with a policy");
    // A branch that knows nothing of shipkit yet.
    bench.write("empty/x", "");
    let done = scan("web.tar", "empty");
    done.check(0, "`web` (linux/amd64): ");
    assert!(done.stderr.contains("there is no `shipkit.yml` in `./empty`"), "{}", done.stderr);
    bench.write("base/shipkit.yml", "version: 1\n");
    scan("web.tar", "base").check(2, "shipkit.yml");
}

#[test]
fn files_that_the_policy_names_are_those_of_its_own_checkout() {
    let config = "services: {api: {build: {}}}\nscan: {image: {vex: [vex.json]}}";
    let bench = Bench::with_config(config);
    bench.write("vex.json", r#"{"@context": "https://openvex.dev/ns/v0.2.0", "statements": []}"#);
    bench.write("base/shipkit.yml", std::fs::read(bench.path().join("shipkit.yml")).unwrap());
    bench.write("api.tar", tar(&files(&good())));
    let done = bench.step(&[("INPUT_LAYOUT", "api.tar"), ("INPUT_POLICY", "base")]);
    // Those of the change are there, and are not read.
    done.check(2, "the document `vex.json` of `scan.image.vex` cannot be used");
}

#[test]
fn every_tar_of_a_folder_is_judged() {
    let bench = Bench::new();
    bench.write(".shipkit/layout/api.tar", tar(&files(&good())));
    bench.write(".shipkit/layout/web.tar", tar(&files(&root())));
    bench.write(".shipkit/layout/notes.txt", "not a tar");
    let done = scan(&bench, ".shipkit/layout");
    done.check(1, "`web` (linux/amd64): it runs as root");
    assert!(done.stderr.contains("api (linux/amd64): pass"), "{}", done.stderr);
}

#[test]
fn what_is_no_layout_is_named() {
    let bench = Bench::new();
    bench.write("empty/x.txt", "");
    scan(&bench, "empty").check(2, "`empty` holds neither an OCI layout nor a tar of one");
    scan(&bench, "nowhere").check(2, "`nowhere` cannot be read");
    bench.write("text.tar", "no tar at all");
    scan(&bench, "text.tar").check(2, "is not a tar that can be read");
    bench.write("two/index.json", json!({"schemaVersion": 2, "manifests": []}).to_string());
    scan(&bench, "two").check(2, "lists 0 images, and one is needed");
}

#[test]
fn a_damaged_layout_is_never_a_pass() {
    let bench = Bench::new();
    let mut files = files(&good());
    let blob = files
        .iter_mut()
        .find(|(name, content)| name.starts_with("blobs/") && content.starts_with(&[0x1f, 0x8b]));
    blob.unwrap().1.push(0);
    bench.write("api.tar", tar(&files));
    let done = scan(&bench, "api.tar");
    assert_eq!((done.exit, done.output("verdict")), (Some(3), "inconclusive"), "{done:#?}");
}
