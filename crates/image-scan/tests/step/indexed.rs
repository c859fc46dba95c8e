//! Advisories, built into an index at a registry, and looked up there.

use serde_json::{Value, json};
use shipkit_tests::server::registry::{Options, Registry};

use crate::advised::advisory;
use crate::bench::{Bench, good, gzip, of_layers};
use crate::pushed::tar;

/// An image with `old` 1.0.0 of npm, by its reference.
fn image(registry: &Registry) -> String {
    let layer = tar("app/node_modules/old/package.json", r#"{"name": "old", "version": "1.0.0"}"#);
    let digest = registry.seed_image("shop/api", &of_layers(&good(), &[&layer]), &[&gzip(&layer)]);
    format!("{}/shop/api@{digest}", registry.host())
}

/// Builds an index of these advisories about packages of npm at a moment; what it is named.
fn build(bench: &Bench, registry: &Registry, advisories: &[Value], now: &str) -> String {
    for (number, advisory) in advisories.iter().enumerate() {
        bench.write(&format!("dump/npm/{number}.json"), advisory.to_string());
    }
    let to = format!("{}/advisories", registry.host());
    let done = bench.run(&["index", "build", "dump", &to], &[("SHIPKIT_NOW", now)]);
    done.check(0, " B for npm is `");
    let index = done.output("index").to_owned();
    assert!(index.starts_with(&format!("{to}@sha256:")), "{index}");
    index
}

fn with_index(index: &str) -> Bench {
    Bench::with_config(&format!(
        "services: {{api: {{build: {{}}}}}}\nscan: {{image: {{advisories: \"{index}\"}}}}"
    ))
}

fn below_two() -> Value {
    json!([{"introduced": "0"}, {"fixed": "2.0.0"}])
}

#[test]
fn an_index_at_a_registry_says_what_its_advisories_said() {
    let registry = Registry::start(Options::default());
    let bench = Bench::new();
    let advisories = [advisory("GHSA-1", ("npm", "old"), "HIGH", &below_two())];
    let index = build(&bench, &registry, &advisories, "2026-05-06T00:00:00Z");
    let image = image(&registry);
    let scan = |index: &str| with_index(index).step(&[("INPUT_IMAGE", &image)]);
    scan(&index).check(1, "first GHSA-1 in old 1.0.0, fixed in 2.0.0");
    // The same advisories at the same time are the same index.
    assert_eq!(build(&bench, &registry, &advisories, "2026-05-06T00:00:00Z"), index);
    // Another one does not change what the first digest says.
    let mended = [advisory("GHSA-1", ("npm", "other"), "HIGH", &below_two())];
    let newer = build(&bench, &registry, &mended, "2026-05-06T00:00:00Z");
    assert_ne!(newer, index);
    scan(&newer).check(0, "0 findings, none blocks");
    scan(&index).check(1, "first GHSA-1 in old 1.0.0");
}

#[test]
fn an_index_that_is_old_or_lacks_an_ecosystem_or_is_none_judges_nothing() {
    let registry = Registry::start(Options::default());
    let bench = Bench::new();
    let advisories = [advisory("GHSA-1", ("npm", "old"), "HIGH", &below_two())];
    let image = image(&registry);
    let scan = |index: &str| with_index(index).step(&[("INPUT_IMAGE", &image)]);
    let old = build(&bench, &registry, &advisories, "2026-04-06T07:08:08Z");
    scan(&old).check(3, "are of 2026-04-06T07:08:08Z, more than 30 days ago");
    let young = build(&bench, &registry, &advisories, "2026-04-06T07:08:10Z");
    scan(&young).check(1, "first GHSA-1");
    std::fs::rename(bench.path().join("dump/npm"), bench.path().join("dump/Go")).unwrap();
    bench.write("dump/Go/0.json", advisory("GO-1", ("Go", "a"), "", &below_two()).to_string());
    let to = format!("{}/advisories:go", registry.host());
    let done = bench.run(&["index", "build", "dump", &to], &[]);
    let other = done.output("index");
    scan(other).check(3, "has no advisories for `npm`, but for `Go`");
    scan(&image).check(2, "is no index of advisories");
    let gone = format!("{}/advisories@sha256:{}", registry.host(), "0".repeat(64));
    scan(&gone).check(3, "does not have");
    scan("x@sha256:1").check(2, "x@sha256:1");
}

#[test]
fn only_the_blobs_that_an_image_needs_are_fetched() {
    let registry = Registry::start(Options::default());
    let bench = Bench::new();
    bench.write("dump/Go/0.json", advisory("GO-1", ("Go", "a"), "", &below_two()).to_string());
    let advisories = [advisory("GHSA-1", ("npm", "old"), "HIGH", &below_two())];
    for (number, advisory) in advisories.iter().enumerate() {
        bench.write(&format!("dump/npm/{number}.json"), advisory.to_string());
    }
    let to = format!("{}/advisories", registry.host());
    let done = bench.run(&["index", "build", "dump", &to, "--json"], &[]);
    done.check(0, " B for Go, npm is `");
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let ecosystems: Vec<_> =
        told["blobs"].as_array().unwrap().iter().map(|blob| &blob["ecosystem"]).collect();
    assert_eq!(ecosystems, ["Go", "npm"]);
    let before = registry.requests().len();
    let image = image(&registry);
    with_index(told["index"].as_str().unwrap()).step(&[("INPUT_IMAGE", &image)]).check(1, "first GHSA-1");
    let asked = registry.requests();
    let blobs = asked
        .iter()
        .skip(before)
        .filter(|one| one.method == "GET" && one.path.contains("/advisories/blobs/"));
    assert_eq!(blobs.count(), 1);
}

#[test]
fn what_cannot_be_built_stores_nothing() {
    let registry = Registry::start(Options::default());
    let bench = Bench::new();
    let to = format!("{}/advisories", registry.host());
    let build = |words: &[&str]| bench.run(&[&["index", "build"][..], words].concat(), &[]);
    build(&["nowhere", &to]).check(3, "`nowhere` cannot be read");
    std::fs::create_dir(bench.path().join("dump")).unwrap();
    build(&["dump", &to]).check(2, "`dump` has no folder of an ecosystem");
    bench.write("dump/npm/0.json", advisory("GHSA-1", ("npm", "old"), "", &below_two()).to_string());
    build(&["dump", &to, "--ecosystem", "PyPI"]).check(3, "PyPI");
    let fixed = format!("{to}@sha256:{}", "0".repeat(64));
    build(&["dump", &fixed]).check(2, "names a digest, and there is none yet");
    build(&["dump", &to, "--dry-run"]).check(0, "for npm would be stored");
    assert!(registry.requests().iter().all(|one| matches!(one.method.as_str(), "GET" | "HEAD")));
}
