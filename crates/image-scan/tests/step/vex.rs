//! VEX documents of the checkout.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::policy::vex::Document;
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::Done;

use crate::bench::{Bench, good, scans};

/// Judges an image in which Trivy found two vulnerabilities, with the document that `vex` makes for its digest.
fn judge(vex: impl FnOnce(&Digest) -> String) -> Done {
    judge_with(|digest| Some(vex(digest)))
}

/// The same where there may be no document.
fn judge_with(vex: impl FnOnce(&Digest) -> Option<String>) -> Done {
    let registry = Registry::start(Options::default());
    let bench = Bench::with_config("services: {api: {build: {}}}\nscan: {image: {vex: [vex/api.json]}}");
    let digest = registry.seed_image("shop/api", &good(), &[]);
    let found = |id: &str, name: &str| {
        json!({"VulnerabilityID": id, "PkgName": name, "InstalledVersion": "1.2", "FixedVersion": "1.3", "Severity": "HIGH",
            "PkgIdentifier": {"PURL": format!("pkg:deb/debian/{name}@1.2?arch=amd64&distro=debian-12.5")}})
    };
    let report = json!({"SchemaVersion": 2, "Metadata": {"RepoDigests": [format!("shop/api@{digest}")]}, "Results": [
        {"Target": "debian", "Class": "os-pkgs", "Vulnerabilities": [found("CVE-1", "zlib1g"), found("CVE-2", "bash")]}]});
    bench.write("trivy.json", report.to_string());
    if let Some(vex) = vex(&digest) {
        bench.write("vex/api.json", vex);
    }
    let image = format!("{}/shop/api@{digest}", registry.host());
    let done = bench.step(&[("INPUT_IMAGE", &image), ("INPUT_REPORT", "trivy.json")]);
    let kept = scans(&registry.host(), "shop/api", &digest);
    assert!(kept.iter().all(|record| record.verdict.to_string() == done.output("verdict")), "{kept:?}");
    done
}

fn openvex(product: &Value, vulnerabilities: &[&str]) -> String {
    let statement = |name: &&str| {
        json!({"vulnerability": {"name": name}, "products": [product], "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path"})
    };
    let statements: Vec<_> = vulnerabilities.iter().map(statement).collect();
    let document = json!({"@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2026-01-01T00:00:00Z", "statements": statements});
    document.to_string()
}

#[test]
fn what_does_not_affect_the_image_does_not_fail() {
    let image = |digest: &Digest| json!(format!("pkg:oci/api@{digest}"));
    let done = judge(|digest| openvex(&image(digest), &["CVE-1", "CVE-2"]));
    done.check(0, "2 findings, none blocks");
    assert!(done.summary.contains("2 findings taken out: 2 by vex/api.json"), "{}", done.summary);
    let done = judge(|digest| openvex(&image(digest), &["CVE-2"]));
    done.check(1, "1 findings of HIGH and above, first CVE-1 in zlib1g 1.2");
    assert!(done.summary.contains("1 findings taken out: 1 by vex/api.json"), "{}", done.summary);
    judge(|_| openvex(&image(&Digest::of(b"other")), &["CVE-1", "CVE-2"])).check(1, "2 findings of HIGH");
}

#[test]
fn a_package_is_told_by_its_url() {
    judge(|_| openvex(&json!("pkg:deb/debian/bash@1.2"), &["CVE-1", "CVE-2"]))
        .check(1, "first CVE-1 in zlib1g 1.2");
    let both = |digest: &Digest| {
        json!({"@id": format!("pkg:oci/api@{digest}"), "subcomponents": [{"@id": "pkg:deb/debian/bash"},
            {"@id": "pkg:deb/debian/zlib1g@1.2?distro=debian-12"}]})
    };
    judge(|digest| openvex(&both(digest), &["CVE-1", "CVE-2"])).check(0, "2 findings, none blocks");
}

#[test]
fn a_document_that_cannot_be_understood_is_no_silent_one() {
    let named = "the document `vex/api.json` of `scan.image.vex` cannot be used";
    for (vex, why) in [
        (None, "No such file"),
        (Some("<xml>".to_owned()), "it is not JSON"),
        (Some("{}".to_owned()), "it is neither OpenVEX"),
        (Some(openvex(&json!("pkg:npm/a"), &[])), "the OpenVEX document makes no statement"),
    ] {
        let done = judge_with(|_| vex);
        done.check(2, named);
        assert!(done.stderr.contains(why), "{why}: {}", done.stderr);
    }
}

#[test]
fn recorded_documents_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/osv/extra/reports");
    let Ok(files) = std::fs::read_dir(folder) else { return };
    let mut read = 0;
    for path in files.map(|file| file.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("vex-") {
            Document::parse(&name, &std::fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
            read += 1;
        }
    }
    // Written past the test runner, which swallows what passing tests print; `./test` adds these up.
    writeln!(std::io::stderr(), "shared cases: {read}").unwrap();
}
