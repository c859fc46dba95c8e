//! Images, compared with what there was before: only what is new fails.

use serde_json::{Value, json};
use shipkit_core::evidence::Kind;
use shipkit_core::{Digest, Repository, Tag, Verdict};
use shipkit_registry::{Credentials, Move};
use shipkit_tests::server::registry::{Auth, Options, PASSWORD, Registry, USERNAME};
use shipkit_tests::step::Done;

use crate::advised::advisory;
use crate::bench::{Bench, good, gzip, of_layers, records, scans};
use crate::layout::files;
use crate::pushed::{release_of, tar};
use crate::saved;

/// Advisories about `old` and `young` of npm, below 2.0.0.
fn advisories(bench: &Bench, ids: [&str; 2]) {
    let below = json!([{"introduced": "0"}, {"fixed": "2.0.0"}]);
    for (id, name) in ids.into_iter().zip(["old", "young"]) {
        let advisory = advisory(id, ("npm", name), "HIGH", &below);
        bench.write(&format!("advisories/npm/{name}.json"), advisory.to_string());
    }
}

/// A layer with one package of npm.
fn package(name: &str, version: &str) -> Vec<u8> {
    let text = json!({"name": name, "version": version}).to_string();
    tar(&format!("app/node_modules/{name}/package.json"), &text)
}

/// An image of these layers, and what its labels say besides.
fn image(registry: &Registry, layers: &[&[u8]], labels: &Value) -> Digest {
    let mut config = of_layers(&good(), layers);
    config["config"]["Labels"] = labels.clone();
    let packed: Vec<_> = layers.iter().map(|layer| gzip(layer)).collect();
    registry.seed_image("shop/api", &config, &packed.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn bench(registry: &Registry, baseline: &str) -> Bench {
    let bench = Bench::with_config(&format!(
        "registry: {}/shop\nservices: {{api: {{build: {{}}}}}}\nscan: {{image: {{advisories: advisories, baseline: {baseline}}}}}",
        registry.host()
    ));
    advisories(&bench, ["GHSA-1", "GHSA-2"]);
    bench
}

fn judge(bench: &Bench, registry: &Registry, image: &Digest) -> Done {
    bench.step(&[("INPUT_IMAGE", &format!("{}/shop/api@{image}", registry.host()))])
}

/// Gives a release with this image a tag.
fn tagged(registry: &Registry, image: &Digest, tag: &str) -> String {
    let release = release_of(registry, image, "1.2.3");
    let repository: Repository = format!("{}/shop/release", registry.host()).parse().unwrap();
    let (tag, digest): (Tag, Digest) = (tag.parse().unwrap(), release.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = shipkit_registry::Registry::new(Credentials::default()).unwrap();
    runtime.block_on(client.tag(&repository.at(&digest), &tag, Move::Moving)).unwrap();
    release
}

#[test]
fn what_an_environment_has_already_does_not_fail_and_what_is_new_does() {
    let registry = Registry::start(Options::default());
    let (old, young) = (package("old", "1.0.0"), package("young", "1.0.0"));
    let bench = bench(&registry, "staging");
    let first = image(&registry, &[&old], &json!({}));
    // Nothing is deployed yet.
    let done = judge(&bench, &registry, &first);
    done.check(1, "what `staging` has is not there yet: everything that is found is new");
    assert!(!done.outputs.contains_key("new"), "{:?}", done.outputs);
    tagged(&registry, &first, "deployed-staging");
    let same = judge(&bench, &registry, &first);
    same.check(
        0,
        "1 findings, none blocks, 0 of unknown severity, 1 of them in what `staging` has (`1.2.3`) already",
    );
    assert_eq!((same.output("new"), same.output("fixed")), ("0", "0"));
    // The package is another version, with the same vulnerability, and another one is new.
    let second = image(&registry, &[&package("old", "1.1.0"), &young], &json!({}));
    let done = judge(&bench, &registry, &second);
    done.check(1, "1 findings of HIGH and above, first GHSA-2 in young 1.0.0, fixed in 2.0.0; new since what `staging` has (`1.2.3`), which had 1 others already");
    assert_eq!((done.output("findings"), done.output("new"), done.output("fixed")), ("1", "1", "0"));
    let change =
        "compared with what `staging` has (`1.2.3`): 1 findings new (GHSA-2 in young), 0 gone, 1 as before";
    assert!(done.stderr.contains(change) && done.summary.contains("1 findings new"), "{}", done.stderr);
    let kept = &scans(&registry.host(), "shop/api", &second)[0].details[0]["compared"];
    assert_eq!(kept["new"], json!([{"id": "GHSA-2", "package": "young", "version": "1.0.0"}]));
    let mended = image(&registry, &[&package("old", "2.0.0")], &json!({}));
    let done = judge(&bench, &registry, &mended);
    done.check(0, "0 findings, none blocks");
    assert_eq!((done.output("new"), done.output("fixed")), ("0", "1"));
}

#[test]
fn what_was_found_is_evidence_of_the_image_and_what_is_compared_with_it_need_not_read_it_again() {
    let registry = Registry::start(Options::default());
    let bench = bench(&registry, "staging");
    let layer = package("old", "1.0.0");
    let first = image(&registry, &[&layer], &json!({}));
    judge(&bench, &registry, &first);
    let kept = |digest| records(&registry.host(), "shop/api", digest, Kind::Inventory);
    let record = kept(&first).pop().unwrap();
    assert_eq!((record.verdict, record.cause.as_str()), (Verdict::Pass, "1 packages"));
    let old = json!({"ecosystem": "npm", "name": "old", "version": "1.0.0", "layer": 0,
        "path": "app/node_modules/old/package.json"});
    assert_eq!(
        (&record.details["packages"], &record.details["platform"]),
        (&json!([old]), &json!("linux/amd64"))
    );
    // A second run says it no second time.
    judge(&bench, &registry, &first);
    assert_eq!(kept(&first).len(), 1);
    tagged(&registry, &first, "deployed-staging");
    let asked = || {
        let blob = Digest::of(&gzip(&layer)).to_string();
        registry.requests().iter().filter(|request| request.path.ends_with(&blob)).count()
    };
    let before = asked();
    let second = image(&registry, &[&package("old", "1.1.0")], &json!({}));
    judge(&bench, &registry, &second).check(0, "1 of them in what `staging` has (`1.2.3`) already");
    assert_eq!(asked(), before);
    // What other code has read is not what this one would have.
    let host: Repository = format!("{}/shop/api", registry.host()).parse().unwrap();
    for (what, reads) in [("code", 1), ("platform", 2)] {
        let mut other = record.clone();
        other.details[what] = json!("another");
        other.details["packages"] = json!([]);
        let other_image = image(&registry, &[&layer], &json!({"other": what}));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = shipkit_registry::Registry::new(Credentials::default()).unwrap();
        runtime.block_on(client.put_evidence(&host, &other_image, &other)).unwrap();
        tagged(&registry, &other_image, "deployed-staging");
        judge(&bench, &registry, &second).check(0, "1 of them in what `staging` has (`1.2.3`) already");
        assert_eq!(asked(), before + reads, "{what}");
    }
}

#[test]
fn more_packages_than_evidence_can_hold_are_judged_and_not_stored() {
    let registry = Registry::start(Options::default());
    let long = "a".repeat(480);
    let file = |number: usize| {
        let text = json!({"name": format!("{long}{number}"), "version": format!("1.0.0-{long}")}).to_string();
        (format!("app/node_modules/p{number}/package.json"), text.into_bytes())
    };
    let layer = saved::tar(&(0..9000).map(file).collect::<Vec<_>>());
    let image = image(&registry, &[&layer], &json!({}));
    let done = judge(&bench(&registry, "staging"), &registry, &image);
    done.check(0, "0 findings, none blocks");
    assert!(done.stderr.contains("bytes, and are no evidence"), "{}", done.stderr);
    let kept = |kind| records(&registry.host(), "shop/api", &image, kind).len();
    assert_eq!([Kind::Scan, Kind::Inventory].map(kept), [1, 0]);
}

#[test]
fn both_are_judged_by_the_advisories_of_today() {
    let registry = Registry::start(Options::default());
    let bench = bench(&registry, "staging");
    let first = image(&registry, &[&package("old", "1.0.0")], &json!({}));
    tagged(&registry, &first, "deployed-staging");
    // Nobody knew of this one when the first was judged.
    advisories(&bench, ["GHSA-9", "GHSA-2"]);
    judge(&bench, &registry, &image(&registry, &[&package("old", "1.1.0")], &json!({})))
        .check(0, "1 of them in");
    advisories(&bench, ["MAL-1", "GHSA-2"]);
    judge(&bench, &registry, &first).check(1, "old 1.0.0 is malware (MAL-1)");
}

#[test]
fn a_service_that_a_release_does_not_have_is_new() {
    let registry = Registry::start(Options::default());
    let bench = bench(&registry, "staging");
    let first = image(&registry, &[&package("old", "1.0.0")], &json!({}));
    tagged(&registry, &first, "deployed-staging");
    let other = "services: {web: {build: {}}}\nscan: {image: {advisories: advisories, baseline: staging}}";
    let other = Bench::with_config(&format!("registry: {}/shop\n{other}", registry.host()));
    advisories(&other, ["GHSA-1", "GHSA-2"]);
    judge(&other, &registry, &first).check(1, "first GHSA-1 in old 1.0.0, fixed in 2.0.0");
    // What was there before cannot be read: nobody knows what is new.
    registry.remove("shop/api", &first);
    let second = image(&registry, &[&package("young", "1.0.0")], &json!({}));
    judge(&bench, &registry, &second).check(3, "does not have");
}

#[test]
fn the_last_release_is_the_one_with_the_highest_version_that_is_not_judged() {
    let registry = Registry::start(Options::default());
    let bench = bench(&registry, "last-release");
    let first = image(&registry, &[&package("old", "1.0.0")], &json!({}));
    tagged(&registry, &first, "1.9.0");
    let second = image(&registry, &[&package("old", "1.0.0"), &package("young", "1.0.0")], &json!({}));
    let newest = release_of(&registry, &second, "1.10.0");
    tagged(&registry, &first, "1.9.0");
    let judged = bench.step(&[("INPUT_RELEASE", &newest)]);
    judged.check(1, "first GHSA-2 in young 1.0.0, fixed in 2.0.0; new since the last release (`1.2.3`)");
}

#[test]
fn what_comes_with_the_base_image_does_not_fail() {
    let registry = Registry::start(Options::default());
    let bench = bench(&registry, "base-image");
    let (old, young) = (package("old", "1.0.0"), package("young", "1.0.0"));
    let base = image(&registry, &[&old], &json!({}));
    let labels = |digest: &Digest| {
        json!({"org.opencontainers.image.base.name": format!("{}/shop/api:1", registry.host()),
            "org.opencontainers.image.base.digest": digest})
    };
    let upon = image(&registry, &[&old, &young], &labels(&base));
    judge(&bench, &registry, &upon)
        .check(1, "first GHSA-2 in young 1.0.0, fixed in 2.0.0; new since its base `");
    judge(&bench, &registry, &image(&registry, &[&old], &labels(&base))).check(0, "1 of them in its base `");
    // Of another image than this nobody can say what came with it.
    let other = image(&registry, &[&young, &old], &labels(&base));
    judge(&bench, &registry, &other).check(3, "which image `api` was built upon is not known");
    judge(&bench, &registry, &base).check(3, "which image `api` was built upon is not known");
}

#[test]
fn a_label_leads_nobody_to_a_registry_of_this_machine() {
    let registry = Registry::start(Options::default());
    let bench = bench(&registry, "base-image");
    let labels = json!({"org.opencontainers.image.base.name": format!("{}/shop/api:1", registry.host()),
        "org.opencontainers.image.base.digest": image(&registry, &[&package("old", "1.0.0")], &json!({}))});
    let mut config = good();
    config["config"]["Labels"] = labels;
    for (name, content) in files(&config) {
        bench.write(&format!("api/{name}"), content);
    }
    let before = registry.requests().len();
    bench.step(&[("INPUT_LAYOUT", "api")]).check(3, "which image `api` was built upon is not known");
    assert_eq!(registry.requests().len(), before);
}

#[test]
fn an_environment_to_compare_with_is_one_of_the_configuration() {
    let registry = Registry::start(Options::default());
    let image = image(&registry, &[], &json!({}));
    let sentence = "scan.image.baseline: there is no environment `stagin`; did you mean `staging`?";
    judge(&bench(&registry, "stagin"), &registry, &image).check(2, sentence);
}

#[test]
fn the_login_of_the_images_is_not_told_to_the_registry_of_their_base() {
    let options = || Options { auth: Auth::Basic, ..Options::default() };
    let (own, foreign) = (Registry::start(options()), Registry::start(options()));
    let bench = bench(&own, "base-image");
    let base = image(&foreign, &[&package("old", "1.0.0")], &json!({}));
    let labels = json!({"org.opencontainers.image.base.name": format!("{}/shop/api:1", foreign.host()),
        "org.opencontainers.image.base.digest": base});
    let upon = image(&own, &[&package("old", "1.0.0")], &labels);
    let judged = format!("{}/shop/api@{upon}", own.host());
    let login = [("INPUT_REGISTRY-USERNAME", USERNAME), ("INPUT_REGISTRY-PASSWORD", PASSWORD)];
    bench.step(&[&[("INPUT_IMAGE", judged.as_str())][..], &login].concat()).check(3, "refused");
}

#[test]
fn what_grows_beyond_the_baseline_fails() {
    let registry = Registry::start(Options::default());
    let limits = |limit: &str| {
        Bench::with_config(&format!(
            "registry: {}/shop\nservices: {{api: {{build: {{}}}}}}\nscan: {{image: {{baseline: staging, limits: {{growth: {limit}}}}}}}",
            registry.host()
        ))
    };
    let first = image(&registry, &[&[0; 2000]], &json!({}));
    let second = image(&registry, &[&[0; 5000]], &json!({}));
    judge(&limits("1k"), &registry, &second)
        .check(0, "growth: skipped - there is nothing that it could have grown from");
    tagged(&registry, &first, "deployed-staging");
    let grown = "3.0 kB unpacked beyond the 2.0 kB of what `staging` has (`1.2.3`)";
    judge(&limits("3k"), &registry, &second).check(0, grown);
    judge(&limits("2k"), &registry, &second).check(1, grown);
    judge(&limits("0k"), &registry, &first).check(0, "0 B unpacked beyond");
    let bench = Bench::with_config("services: {api: {build: {}}}\nscan: {image: {limits: {growth: 1k}}}");
    judge(&bench, &registry, &first).check(2, "scan.image.limits.growth: there is nothing to grow from");
}
