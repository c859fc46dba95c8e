//! Reports of scanners.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::policy::finding::Report;
use shipkit_tests::server::registry::{Options, Registry};

use crate::bench::{Bench, good};
use shipkit_tests::step::Done;

fn trivy(digest: &Digest, severity: &str, fixed: &str) -> Value {
    json!({"SchemaVersion": 2, "Metadata": {"RepoDigests": [format!("acme/api@{digest}")]}, "Results": [
        {"Target": "debian", "Vulnerabilities": [{"VulnerabilityID": "CVE-2026-1", "PkgName": "zlib1g",
            "InstalledVersion": "1.2", "FixedVersion": fixed, "Severity": severity}]}]})
}

fn grype(digest: &Digest, severity: &str) -> Value {
    json!({"source": {"type": "image", "target": {"manifestDigest": digest, "repoDigests": []}}, "matches": [
        {"vulnerability": {"id": "CVE-2026-2", "severity": severity, "fix": {"versions": ["1.3"], "state": "fixed"}},
            "artifact": {"name": "zlib1g", "version": "1.2"}}]})
}

/// Judges a good image with the report that `report` makes for its digest.
fn judge(report: impl FnOnce(&Digest) -> String) -> Done {
    let (bench, registry) = (Bench::new(), Registry::start(Options::default()));
    let digest = registry.seed_image("shop/api", &good(), &[]);
    bench.write("report.json", report(&digest));
    let image = format!("{}/shop/api@{digest}", registry.host());
    bench.step(&[("INPUT_IMAGE", &image), ("INPUT_REPORT", "report.json")])
}

#[test]
fn a_finding_that_can_be_fixed_fails_the_image() {
    let done = judge(|digest| trivy(digest, "CRITICAL", "1.3").to_string());
    done.check(1, "1 findings of HIGH and above, first CVE-2026-1 in zlib1g 1.2, fixed in 1.3");
    assert_eq!(done.output("findings"), "1");
    assert!(done.summary.contains("CVE-2026-1"), "{}", done.summary);
    judge(|digest| grype(digest, "High").to_string()).check(1, "first CVE-2026-2");
}

#[test]
fn lesser_findings_and_those_without_a_fix_pass() {
    judge(|digest| trivy(digest, "CRITICAL", "").to_string()).check(0, "1 findings, none blocks");
    judge(|digest| trivy(digest, "MEDIUM", "1.3").to_string()).check(0, "1 findings, none blocks");
    judge(|digest| grype(digest, "Negligible").to_string()).check(0, "1 findings, none blocks");
}

#[test]
fn a_report_about_another_image_says_nothing_about_this_one() {
    let other = Digest::of(b"other");
    for report in [trivy(&other, "LOW", ""), grype(&other, "Low")] {
        let done = judge(|_| report.to_string());
        done.check(3, "scan the image by the digest of this release");
        assert!(done.stderr.contains(&format!("report is about {other}")), "{}", done.stderr);
    }
}

#[test]
fn a_report_that_cannot_be_read_never_passes() {
    judge(|_| "<html>".to_owned()).check(3, "it is not JSON");
    judge(|_| "{}".to_owned()).check(3, "neither a Trivy report");
    judge(|_| r#"{"matches": 1}"#.to_owned()).check(3, "the grype report is malformed");
    let report = |digest: &Digest| trivy(digest, "LOW", "").to_string();
    judge(|digest| format!("{:.40}", report(digest))).check(3, "the report `report.json` cannot be used");
    let image = format!("127.0.0.1:1/a@{}", Digest::of(b"x"));
    Bench::new().step(&[("INPUT_IMAGE", &image), ("INPUT_REPORT", "no.json")]).check(3, "no.json");
}

#[test]
fn real_reports_of_both_scanners_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/osv/extra/reports");
    let Ok(files) = std::fs::read_dir(folder) else { return };
    let mut read = 0;
    for path in files.map(|file| file.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_report = (name.starts_with("trivy-") || name.starts_with("grype-"))
            && path.extension().is_some_and(|extension| extension == "json")
            && !name.contains("cdx")
            && !name.contains("cyclonedx");
        if is_report {
            let report = Report::parse(&std::fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert!(name.starts_with(report.scanner), "{name}");
            assert!(report.findings.iter().all(|finding| !finding.id.is_empty()), "{name}");
            read += 1;
        }
    }
    // Written past the test runner, which swallows what passing tests print; `./test` adds these up.
    writeln!(std::io::stderr(), "shared cases: {read}").unwrap();
}
