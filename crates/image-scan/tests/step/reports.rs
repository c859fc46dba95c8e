//! Reports of scanners.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::policy::{Finding, Report};
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
    judge(|_| "{}".to_owned()).check(3, "no report that is known here: Trivy");
    judge(|_| r#"{"matches": 1}"#.to_owned()).check(3, "the grype report is malformed");
    let report = |digest: &Digest| trivy(digest, "LOW", "").to_string();
    judge(|digest| format!("{:.40}", report(digest))).check(3, "the report `report.json` cannot be used");
    let image = format!("127.0.0.1:1/a@{}", Digest::of(b"x"));
    Bench::new().step(&[("INPUT_IMAGE", &image), ("INPUT_REPORT", "no.json")]).check(3, "no.json");
}

/// A report of each other format with one finding that can be fixed.
fn others() -> [(&'static str, Value); 6] {
    let osv = json!({"id": "CVE-2026-3", "database_specific": {"severity": "HIGH"}, "affected": [
        {"package": {"name": "ws", "ecosystem": "npm"}, "ranges": [{"type": "SEMVER", "events": [{"fixed": "8.1.0"}]}]}]});
    let ws = json!({"name": "ws", "version": "8.0.0", "ecosystem": "npm"});
    let vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N";
    [
        (
            "ws 8.0.0, fixed in 8.1.0",
            json!({"results": [{"packages": [{"package": ws, "vulnerabilities": [osv]}]}]}),
        ),
        (
            "ws 8.0.0, fixed in 8.1.0",
            json!({"ok": false, "vulnerabilities": [{"id": "CVE-2026-3", "packageName": "ws", "version": "8.0.0",
                "severity": "high", "nearestFixedInVersion": "8.1.0"}]}),
        ),
        (
            "ws 8.0.0, fixed in a version that the report does not tell",
            json!({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x", "rules": [
                {"id": "CVE-2026-3", "properties": {"security-severity": "8.1"}}]}}, "results": [
                {"ruleId": "CVE-2026-3", "message": {"text": "Package 'ws@8.0.0' is vulnerable to 'CVE-2026-3'."}}]}]}),
        ),
        (
            "ws 8.0.0, fixed in 8.1.0",
            json!({"bomFormat": "CycloneDX", "components": [{"bom-ref": "a", "name": "ws", "version": "8.0.0"}],
                "vulnerabilities": [{"id": "CVE-2026-3", "ratings": [{"severity": "high"}], "affects": [{"ref": "a"}],
                    "recommendation": "Upgrade ws to version 8.1.0"}]}),
        ),
        (
            "ws, fixed in a version outside of <8.1.0",
            json!({"auditReportVersion": 2, "metadata": {"vulnerabilities": {"total": 1}}, "vulnerabilities": {"ws": {"range": "<8.1.0",
                "fixAvailable": true, "via": [{"source": "CVE-2026-3", "severity": "high"}]}}}),
        ),
        (
            "ws 8.0.0, fixed in 8.1.0",
            json!({"lockfile": {"dependency-count": 2}, "vulnerabilities": {"count": 1, "list": [
                {"advisory": {"id": "CVE-2026-3", "cvss": vector}, "versions": {"patched": [">=8.1.0"]},
                 "package": {"name": "ws", "version": "8.0.0"}}]}}),
        ),
    ]
}

#[test]
fn reports_of_all_formats_are_judged_by_the_same_policy() {
    for (what, report) in others() {
        let done = judge(|_| report.to_string());
        done.check(1, &format!("1 findings of HIGH and above, first CVE-2026-3 in {what}"));
        assert_eq!(done.output("findings"), "1");
    }
}

#[test]
fn a_scan_that_failed_is_no_pass() {
    for report in [
        json!({"error": {"code": "ENOLOCK", "summary": "it did not work"}}),
        json!({"ok": false, "error": "it did not work"}),
        json!({"results": [], "error": "it did not work"}),
        json!({"runs": [{"tool": {"driver": {"name": "x"}}, "results": [], "invocations": [{"executionSuccessful": false,
            "toolExecutionNotifications": [{"level": "error", "message": {"text": "it did not work"}}]}]}]}),
    ] {
        let done = judge(|_| report.to_string());
        done.check(3, "the report `report.json` cannot be used");
        assert!(done.stderr.contains("it did not work"), "{}", done.stderr);
    }
}

#[test]
fn a_scan_that_looked_at_nothing_is_no_pass_either() {
    for report in [
        json!({"SchemaVersion": 2, "Results": null}),
        json!({"ok": true, "vulnerabilities": [], "dependencyCount": 0}),
        json!({"bomFormat": "CycloneDX", "vulnerabilities": []}),
    ] {
        let done = judge(|_| report.to_string());
        done.check(3, "it cannot be told how many vulnerabilities it has");
        assert_eq!(done.output("verdict"), "inconclusive");
    }
}

/// How each recorded report is known here; VEX documents and what no scanner but GitLab and GitHub reads are none.
fn scanner(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.') {
        Some((_, "gitlab" | "gsbom")) => None,
        Some((_, "sarif")) => Some("SARIF"),
        _ if name.starts_with("vex-") => None,
        _ if name.contains("cdx") || name.contains("cyclonedx") => Some("CycloneDX"),
        _ if name.starts_with("trivy-") => Some("trivy"),
        _ => Some("grype"),
    }
}

#[test]
fn recorded_reports_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/osv/extra/reports");
    let Ok(files) = std::fs::read_dir(folder) else { return };
    let (mut read, mut findings, mut doubtful) = (0, BTreeMap::new(), BTreeSet::new());
    for path in files.map(|file| file.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let report = Report::parse(&std::fs::read(&path).unwrap());
        read += 1;
        let Some(scanner) = scanner(&name) else {
            assert!(report.is_err(), "{name}: {report:?}");
            continue;
        };
        let report = report.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(report.scanner, scanner, "{name}");
        let is_whole = |finding: &Finding| {
            !finding.id.is_empty() && !finding.version.is_empty() && finding.package != "an unnamed package"
        };
        assert!(report.findings.iter().all(is_whole), "{name}: {report:?}");
        if !report.doubts.is_empty() {
            doubtful.insert(name.clone());
        }
        findings.insert(name, report.findings);
    }
    let unscanned = ["trivy-fluentd-multiple-lockfiles.cdx.json", "trivy-secrets.json"];
    assert_eq!(doubtful, unscanned.map(str::to_owned).into());
    // Of the same image the same is found, whatever the format is.
    for (json, other) in [
        ("trivy-alpine-310.json", "trivy-alpine-310.sarif"),
        ("grype-img.json", "grype-img.sarif"),
        ("grype-img.json", "grype-img.cdx.json"),
    ] {
        let told = |name: &str| {
            let told = findings[name].iter().map(|one| (one.id.clone(), one.what(), one.severity));
            told.collect::<BTreeSet<_>>()
        };
        assert_eq!(told(json), told(other), "{other}");
    }
    // Written past the test runner, which swallows what passing tests print; `./test` adds these up.
    writeln!(std::io::stderr(), "shared cases: {read}").unwrap();
}
