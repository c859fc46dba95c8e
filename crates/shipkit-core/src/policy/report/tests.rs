//! Reports of every format, and what is none.

use serde_json::{Value, json};

use super::*;
use crate::policy::Severity;

fn read(value: &Value) -> Report {
    Report::parse(value.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {value}"))
}

/// What a report says, a line for each finding: id, aliases, package and version, severity, fix, purl.
#[track_caller]
fn check(value: &Value, scanner: &str, expected: &[&str]) -> Report {
    let report = read(value);
    assert_eq!(report.scanner, scanner);
    let line = |one: &Finding| {
        let Finding { id, aliases, severity, fixed_in, purl, is_malware, .. } = one;
        let (fix, purl) = (fixed_in.as_deref().unwrap_or("-"), purl.as_deref().unwrap_or("-"));
        let malware = if *is_malware { " malware" } else { "" };
        format!("{id} {aliases:?} in {}: {} fix {fix} {purl}{malware}", one.what(), severity.word())
    };
    assert_eq!(report.findings.iter().map(line).collect::<Vec<_>>(), expected);
    report
}

/// Why a report is of no use.
fn refusal(value: &Value) -> String {
    Report::parse(value.to_string().as_bytes()).unwrap_err().to_string()
}

/// The same value with another part.
fn with(value: &Value, pointer: &str, part: Value) -> Value {
    let mut value = value.clone();
    *value.pointer_mut(pointer).unwrap() = part;
    value
}

fn without(value: &Value, pointer: &str, key: &str) -> Value {
    let mut value = value.clone();
    value.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    value
}

const V3: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N";

fn trivy() -> Value {
    json!({"SchemaVersion": 2, "Metadata": {"RepoDigests": ["acme/api@sha256:aa"]}, "Results": [
        {"Target": "debian", "Class": "os-pkgs", "Vulnerabilities": [
            {"VulnerabilityID": "CVE-1", "VendorIDs": ["DSA-1"], "PkgName": "zlib1g", "InstalledVersion": "1.2",
             "FixedVersion": "1.3", "Severity": "HIGH", "PkgIdentifier": {"PURL": "pkg:deb/debian/zlib1g@1.2"}},
            {"VulnerabilityID": "CVE-2", "PkgName": "bash", "InstalledVersion": "5.2", "Severity": "UNKNOWN",
             "CVSS": {"nvd": {"V3Vector": V3, "V2Vector": "AV:L/AC:H/Au:N/C:N/I:N/A:P"}}}]},
        {"Target": "node"}, {"Target": "pip", "Vulnerabilities": null}]})
}

#[test]
fn trivy_is_read() {
    let expected = [
        r#"CVE-1 ["DSA-1"] in zlib1g 1.2: HIGH fix 1.3 pkg:deb/debian/zlib1g@1.2"#,
        "CVE-2 [] in bash 5.2: HIGH fix - -",
    ];
    let report = check(&trivy(), "trivy", &expected);
    assert!(report.doubts.is_empty());
    assert!(report.is_about(["sha256:aa"].into_iter()));
    assert!(!report.is_about(["sha256:cc"].into_iter()));
    assert!(read(&without(&trivy(), "", "Metadata")).is_about(["sha256:cc"].into_iter()));
}

#[test]
fn a_report_of_trivy_without_packages_is_a_doubt() {
    let doubts = ["the trivy report has no result about packages"];
    let secrets = json!([{"Target": "a", "Class": "secret", "Secrets": []}]);
    for results in [json!([]), Value::Null, secrets] {
        assert_eq!(read(&with(&trivy(), "/Results", results)).doubts, doubts);
    }
    assert_eq!(read(&without(&trivy(), "", "Results")).doubts, doubts);
    let system = json!([{"Target": "a", "Class": "os-pkgs"}]);
    assert!(read(&with(&trivy(), "/Results", system)).doubts.is_empty());
}

#[test]
fn of_what_is_listed_twice_the_worse_is_kept() {
    let results = |second: &str| {
        let found = |fix: &str| json!({"VulnerabilityID": "CVE-1", "PkgName": "a", "InstalledVersion": "1", "FixedVersion": fix, "Severity": "HIGH"});
        read(&with(&trivy(), "/Results", json!([{"Vulnerabilities": [found(""), found(second)]}]))).findings
    };
    assert_eq!(results("").len(), 1);
    assert_eq!(results("2").iter().filter(|finding| finding.fixed_in.is_some()).count(), 1);
}

fn grype() -> Value {
    json!({"matches": [
        {"vulnerability": {"id": "GHSA-1", "severity": "Negligible", "fix": {"versions": ["1.3"], "state": "fixed"}},
         "relatedVulnerabilities": [{"id": "CVE-1"}],
         "artifact": {"name": "zlib1g", "version": "1.2", "purl": "pkg:deb/debian/zlib1g@1.2"}},
        {"vulnerability": {"id": "CVE-2", "severity": "Unknown", "cvss": [{"vector": V3}],
                           "fix": {"versions": [], "state": "not-fixed"}},
         "artifact": {"name": "bash", "version": "5.2", "purl": ""}}],
        "source": {"target": {"manifestDigest": "sha256:bb", "repoDigests": ["acme/api@sha256:aa"]}}})
}

#[test]
fn grype_is_read() {
    let expected = [
        r#"GHSA-1 ["CVE-1"] in zlib1g 1.2: LOW fix 1.3 pkg:deb/debian/zlib1g@1.2"#,
        "CVE-2 [] in bash 5.2: HIGH fix - -",
    ];
    let report = check(&grype(), "grype", &expected);
    assert_eq!(report.digests, ["sha256:aa", "sha256:bb"]);
    let nothing = with(&grype(), "/matches", json!([]));
    assert!(read(&nothing).doubts.is_empty());
    let doubts = ["the grype report does not say what was looked at"];
    assert_eq!(read(&without(&nothing, "", "source")).doubts, doubts);
}

/// Two records of one vulnerability, and one of another.
fn osv_scanner() -> Value {
    let affected = json!([
        {"package": {"name": "regex", "ecosystem": "crates.io"}, "ranges": [
            {"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.5.5"}]},
            {"type": "GIT", "events": [{"fixed": "abcdef"}]}]},
        {"package": {"name": "other", "ecosystem": "crates.io"}, "ranges": [
            {"type": "SEMVER", "events": [{"fixed": "9.9.9"}]}]},
        {"package": {}}]);
    json!({"results": [{"source": {"path": "/src/Cargo.lock", "type": "lockfile"}, "packages": [
        {"package": {"name": "regex", "version": "1.5.1", "ecosystem": "crates.io"},
         "vulnerabilities": [
            {"id": "GHSA-1", "aliases": ["CVE-1"], "affected": affected},
            {"id": "RUSTSEC-1", "aliases": ["CVE-1"], "affected": affected},
            {"id": "RUSTSEC-2", "database_specific": {"severity": "MODERATE"}}],
         "groups": [{"ids": ["GHSA-1", "RUSTSEC-1"], "aliases": ["CVE-1"], "max_severity": "7.5"},
                    {"ids": ["RUSTSEC-2"], "max_severity": ""}]}]}]})
}

#[test]
fn osv_scanner_is_read() {
    let both = r#"CVE-1 ["GHSA-1", "RUSTSEC-1"] in regex 1.5.1: HIGH fix 1.5.5 pkg:cargo/regex@1.5.1"#;
    let other = "RUSTSEC-2 [] in regex 1.5.1: MEDIUM fix - pkg:cargo/regex@1.5.1";
    check(&osv_scanner(), "osv-scanner", &[both, other]);
    // Without groups each record is a finding of its own; none is lost.
    let alone = without(&osv_scanner(), "/results/0/packages/0", "groups");
    assert_eq!(read(&alone).findings.len(), 3 - 1, "two records with the same CVE are one");
    let debian = json!({"ecosystem_specific": {"urgency": "unimportant"},
        "package": {"name": "regex", "ecosystem": "crates.io"}});
    let debian = with(&osv_scanner(), "/results/0/packages/0/vulnerabilities/0/affected/2", debian);
    assert_eq!(read(&debian).findings[0].severity, Severity::Low);
    check(&json!({"results": []}), "osv-scanner", &[]);
}

#[test]
fn osv_scanner_that_failed_is_no_clean_report() {
    for value in [
        json!({"results": null}),
        json!({"results": [], "error": "no network"}),
        json!({"results": [], "errors": ["no network"]}),
    ] {
        let said = refusal(&value);
        assert!(said.starts_with("the osv-scanner report is of a scan that failed: "), "{said}");
    }
    assert!(read(&json!({"results": [], "errors": [], "error": null})).findings.is_empty());
}

/// A project of Alpine, with a package that two others bring along, and of npm beside it.
fn snyk() -> Value {
    let openssl = |from: &str| {
        json!({"id": "SNYK-ALPINE312-OPENSSL-1", "identifiers": {"CVE": ["CVE-1"], "CWE": ["CWE-1"]},
            "packageName": "openssl", "packageManager": "alpine:3.12", "name": "openssl/libssl1.1", "from": [from],
            "version": "1.1.1i-r0", "severity": "high", "nearestFixedInVersion": "1.1.1j-r0"})
    };
    let worm = json!({"id": "SNYK-JS-WS-1", "packageName": "@acme/ws", "version": "8.0.0", "severity": "",
        "CVSSv3": V3, "fixedIn": ["8.1.0", "7.9.1"], "malicious": true, "packageManager": "npm"});
    let licence =
        json!({"id": "snyk:lic:npm:x:GPL-3.0", "type": "license", "packageName": "x", "version": "1"});
    json!({"ok": false, "path": "ghcr.io/acme/api@sha256:aa", "packageManager": "apk", "dependencyCount": 14,
        "vulnerabilities": [openssl("a"), openssl("b")],
        "applications": [{"ok": false, "dependencyCount": 3, "packageManager": "npm", "vulnerabilities": [worm, licence]}]})
}

#[test]
fn snyk_is_read() {
    let expected = [
        r#"CVE-1 ["SNYK-ALPINE312-OPENSSL-1"] in openssl 1.1.1i-r0: HIGH fix 1.1.1j-r0 pkg:apk/alpine/openssl@1.1.1i-r0"#,
        "SNYK-JS-WS-1 [] in @acme/ws 8.0.0: HIGH fix 8.1.0, 7.9.1 pkg:npm/%40acme/ws@8.0.0 malware",
    ];
    let report = check(&snyk(), "snyk", &expected);
    assert_eq!(report.digests, ["sha256:aa"]);
    assert!(report.doubts.is_empty());
    check(&json!([snyk(), {"ok": true, "vulnerabilities": []}]), "snyk", &expected);
}

#[test]
fn snyk_that_failed_is_no_clean_report() {
    let error = json!({"ok": false, "error": "Authentication failed", "path": "api"});
    assert_eq!(refusal(&error), "the snyk report is of a scan that failed: Authentication failed");
    assert_eq!(refusal(&json!([snyk(), error])), refusal(&error));
    let inside = with(&snyk(), "/applications/0", error.clone());
    assert_eq!(refusal(&inside), refusal(&error));
    assert!(refusal(&json!([{"ok": false}])).contains("it has no list of vulnerabilities"));
    let nothing = json!({"ok": true, "vulnerabilities": [], "dependencyCount": 0, "projectName": "api"});
    assert_eq!(read(&nothing).doubts, ["snyk looked at no package of api"]);
    let odd = json!({"ok": false, "vulnerabilities": [], "projectName": "api"});
    assert_eq!(read(&odd).doubts, ["snyk says that api is not ok, and not why"]);
}

/// A result in the manner of Trivy, of Grype and of osv-scanner, and one of a linter.
fn sarif() -> Value {
    let rules = json!([
        {"id": "CVE-1", "properties": {"security-severity": "9.8"}},
        {"id": "CVE-2-package-1", "help": {"text": "Vulnerability CVE-2\nSeverity: low\nPackage: bash\nVersion: 5.2\nFix Version: \nType: deb"},
         "properties": {"security-severity": "8.0", "purls": ["pkg:deb/debian/bash@5.2"]}},
        {"id": "CVE-3", "deprecatedIds": ["CVE-3", "GHSA-3"], "properties": {"security-severity": "7.1"}},
        {"id": "no-eval"}]);
    let message = |text: &str| json!({"text": text});
    let place = json!([{"physicalLocation": {"artifactLocation": {"uri": "app/index.js"}}}]);
    json!({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "some", "rules": rules}},
        "invocations": [{"executionSuccessful": true}],
        "properties": {"repoDigests": ["acme/api@sha256:aa"]}, "results": [
            {"ruleId": "CVE-1", "ruleIndex": 0,
             "message": message("Package: zlib1g\nInstalled Version: 1.2\nVulnerability CVE-1\nSeverity: HIGH\nFixed Version: 1.3\nLink: [CVE-1](x)")},
            {"ruleId": "CVE-2-package-1", "message": message("A low vulnerability in deb package: bash")},
            {"ruleId": "CVE-3", "ruleIndex": 2, "message": message("Package 'regex@1.5.1' is vulnerable to 'CVE-3' (also known as 'GHSA-3').")},
            {"rule": {"index": 3}, "level": "error", "message": message("eval is evil"), "locations": place}]}]})
}

#[test]
fn sarif_is_read_as_far_as_it_tells() {
    let expected = [
        "CVE-1 [] in zlib1g 1.2: HIGH fix 1.3 -",
        r#"CVE-2 ["CVE-2-package-1"] in bash 5.2: LOW fix - pkg:deb/debian/bash@5.2"#,
        r#"CVE-3 ["GHSA-3"] in regex 1.5.1: HIGH fix a version that the report does not tell -"#,
        "no-eval [] in app/index.js: UNKNOWN fix a version that the report does not tell -",
    ];
    let report = check(&sarif(), "SARIF", &expected);
    assert_eq!(report.digests, ["sha256:aa"]);
    let snyk = json!({"ruleId": "CVE-1", "message": {"text": "a vulnerable package"},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": "@acme/ws@8.0.0"}]}]});
    let report = read(&with(&sarif(), "/runs/0/results/0", snyk));
    assert_eq!(
        (report.findings[0].what(), report.findings[0].severity),
        ("@acme/ws 8.0.0".to_owned(), Severity::Critical)
    );
    let null = with(&sarif(), "/runs/0/properties/repoDigests", Value::Null);
    assert!(read(&null).is_about(["sha256:cc"].into_iter()));
}

#[test]
fn results_of_sarif_that_say_nothing_is_wrong_do_not_count() {
    let count = |key: &str, value: Value| {
        let mut changed = sarif();
        changed
            .pointer_mut("/runs/0/results/0")
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert(key.to_owned(), value);
        read(&changed).findings.len()
    };
    for (key, value, expected) in [
        ("kind", json!("pass"), 3),
        ("kind", json!("notApplicable"), 3),
        ("kind", json!("fail"), 4),
        ("kind", json!("open"), 4),
        ("baselineState", json!("absent"), 3),
        ("baselineState", json!("unchanged"), 4),
        ("suppressions", json!([{"kind": "external"}]), 3),
        ("suppressions", json!([{"kind": "external", "status": "rejected"}]), 4),
        ("suppressions", json!([]), 4),
    ] {
        assert_eq!(count(key, value.clone()), expected, "{key}: {value}");
    }
}

#[test]
fn sarif_of_a_run_that_failed_is_no_clean_report() {
    let errors = json!([{"level": "note", "message": {"text": "hello"}}, {"level": "error", "message": {"text": "no database"}}]);
    let failing = json!({"executionSuccessful": false, "toolExecutionNotifications": errors});
    let said = refusal(&with(&sarif(), "/runs/0/invocations/0", failing));
    assert_eq!(said, "the SARIF report is of a scan that failed: some: no database");
    assert!(refusal(&json!({"runs": []})).contains("it has no runs"));
    assert!(refusal(&without(&sarif(), "/runs/0", "results")).contains("has no list of results"));
    let partly = json!({"executionSuccessful": true, "toolExecutionNotifications": errors});
    let report = read(&with(&sarif(), "/runs/0/invocations/0", partly));
    assert_eq!(
        (report.findings.len(), report.doubts),
        (4, vec!["some met an error (no database)".to_owned()])
    );
}

fn cyclonedx() -> Value {
    json!({"bomFormat": "CycloneDX", "specVersion": "1.6",
        "metadata": {"tools": {"components": [{"name": "trivy"}]},
            "component": {"type": "container", "name": "api", "bom-ref": "root",
                "purl": "pkg:oci/api@sha256%3Aaa?repository_url=ghcr.io/acme/api",
                "properties": [{"name": "aquasecurity:trivy:RepoDigest", "value": "acme/api@sha256:bb"}]}},
        "components": [
            {"bom-ref": "1", "name": "core", "group": "org.acme", "version": "2.4", "purl": "pkg:maven/org.acme/core@2.4",
             "components": [{"bom-ref": "2", "name": "inner", "version": "1"}]}],
        "vulnerabilities": [
            {"id": "CVE-1", "source": {"name": "ghsa"}, "references": [{"id": "GHSA-1"}],
             "ratings": [{"source": {"name": "nvd"}, "severity": "critical"}, {"source": {"name": "ghsa"}, "severity": "medium"}],
             "recommendation": "Upgrade core to version 2.5", "affects": [{"ref": "1"}, {"ref": "urn:cdx:x/1#2"}]},
            {"id": "CVE-2", "ratings": [{"score": 0.99, "method": "other"}, {"score": 9.1, "method": "CVSSv31"}],
             "affects": [{"ref": "gone"}]},
            {"id": "CVE-3", "ratings": [{"vector": V3, "severity": "unknown"}]}]})
}

#[test]
fn cyclonedx_is_read_as_far_as_it_tells() {
    let expected = [
        r#"CVE-1 ["GHSA-1"] in org.acme:core 2.4: MEDIUM fix 2.5 pkg:maven/org.acme/core@2.4"#,
        r#"CVE-1 ["GHSA-1"] in inner 1: MEDIUM fix 2.5 -"#,
        "CVE-2 [] in gone: CRITICAL fix - -",
        "CVE-3 [] in an unnamed package: HIGH fix - -",
    ];
    let report = check(&cyclonedx(), "CycloneDX", &expected);
    assert_eq!(report.digests, ["sha256:bb", "sha256:aa"]);
    // Only of Trivy is it known that no word about a fix means that there is none.
    let grype = with(&cyclonedx(), "/metadata/tools/components/0/name", json!("grype"));
    assert_eq!(read(&grype).findings[2].fixed_in.as_deref(), Some(SOME_FIX));
}

#[test]
fn an_inventory_in_which_nobody_looked_is_no_clean_report() {
    let said = refusal(&without(&cyclonedx(), "", "vulnerabilities"));
    assert!(said.contains("nobody looked for vulnerabilities"), "{said}");
    assert_eq!(read(&with(&cyclonedx(), "/vulnerabilities", json!([]))).doubts.len(), 1);
}

fn npm_audit() -> Value {
    json!({"auditReportVersion": 2, "vulnerabilities": {
            "minimist": {"name": "minimist", "severity": "critical", "range": "<1.2.6", "nodes": ["node_modules/minimist"],
                "via": [{"source": 1179, "name": "minimist", "url": "https://github.com/advisories/GHSA-1", "severity": "critical",
                    "range": "<1.2.6", "cwe": ["CWE-1321"]}], "fixAvailable": true},
            "mkdirp": {"severity": "critical", "via": ["minimist"], "range": "0.4.1 - 0.5.1", "fixAvailable": true},
            "ws": {"severity": "high", "range": "<8", "fixAvailable": {"name": "engine", "version": "6.0.0", "isSemVerMajor": true},
                "via": [{"source": 7, "name": "ws", "severity": "", "cvss": {"score": 7.5, "vectorString": null}, "cwe": ["CWE-506"]}]},
            "old": {"severity": "low", "via": [{"source": "x-1", "severity": "info"}], "fixAvailable": false}},
        "metadata": {"vulnerabilities": {"total": 4}, "dependencies": {"total": 9}}})
}

#[test]
fn npm_audit_is_read_without_versions() {
    let expected = [
        r#"GHSA-1 ["npm:1179"] in minimist: CRITICAL fix a version outside of <1.2.6 pkg:npm/minimist"#,
        "x-1 [] in old: LOW fix - pkg:npm/old",
        "npm:7 [] in ws: HIGH fix engine 6.0.0 pkg:npm/ws malware",
    ];
    assert!(check(&npm_audit(), "npm audit", &expected).doubts.is_empty());
    let advisory = json!({"id": 1179, "github_advisory_id": "GHSA-1", "cves": ["CVE-1"], "module_name": "minimist", "severity": "moderate",
        "patched_versions": ">=1.2.6", "cwe": "CWE-1321", "findings": [{"version": "1.2.5", "paths": ["a"]}, {"version": "1.2.0"}]});
    let first = json!({"advisories": {"1179": advisory}, "metadata": {"totalDependencies": 9}});
    let aliases = r#"["GHSA-1", "npm:1179"]"#;
    let expected = [
        format!("CVE-1 {aliases} in minimist 1.2.5: MEDIUM fix 1.2.6 pkg:npm/minimist@1.2.5"),
        format!("CVE-1 {aliases} in minimist 1.2.0: MEDIUM fix 1.2.6 pkg:npm/minimist@1.2.0"),
    ];
    assert!(check(&first, "npm audit", &expected.each_ref().map(String::as_str)).doubts.is_empty());
    let unfixed = with(&first, "/advisories/1179/patched_versions", json!("<0.0.0"));
    assert_eq!(read(&unfixed).findings[0].fixed_in, None);
}

#[test]
fn npm_audit_that_failed_is_no_clean_report() {
    for (value, said) in [
        (
            json!({"error": {"code": "ENOLOCK", "summary": "This command requires an existing lockfile.", "detail": ""}}),
            "This command requires an existing lockfile.",
        ),
        (json!({"error": {"code": "ENOLOCK", "summary": ""}}), r#"{"code":"ENOLOCK","summary":""}"#),
        (json!({"message": "request failed", "statusCode": 503, "uri": "https://x"}), "request failed"),
        (without(&npm_audit(), "", "metadata"), "it does not say what was looked at"),
    ] {
        assert_eq!(refusal(&value), format!("the npm audit report is of a scan that failed: {said}"));
    }
    let none = with(&npm_audit(), "/metadata/dependencies/total", json!(0));
    assert_eq!(read(&none).doubts, ["npm audit looked at no package"]);
    let fewer = with(&npm_audit(), "/metadata/vulnerabilities/total", json!(5));
    assert_eq!(read(&fewer).doubts, ["npm audit counts 5 packages with vulnerabilities and lists 4"]);
    let lost = without(
        &with(&npm_audit(), "/metadata/vulnerabilities/total", json!(3)),
        "/vulnerabilities",
        "minimist",
    );
    assert_eq!(
        read(&lost).doubts,
        ["mkdirp has a vulnerability through minimist, which the report leaves out"]
    );
    assert_eq!(read(&json!({"advisories": {}})).doubts, ["npm audit looked at no package"]);
}

fn cargo_audit() -> Value {
    json!({"database": {"advisory-count": 900}, "lockfile": {"dependency-count": 200}, "settings": {"ignore": []},
        "vulnerabilities": {"found": true, "count": 2, "list": [
            {"advisory": {"id": "RUSTSEC-1", "package": "tokio", "aliases": ["CVE-1", "GHSA-1"], "cvss": V3},
             "versions": {"patched": [">=1.8.4, <1.9.0", ">= 1.13.1"], "unaffected": []}, "package": {"name": "tokio", "version": "1.8.0"}},
            {"advisory": {"id": "RUSTSEC-2", "package": "old", "aliases": [], "cvss": null},
             "versions": {"patched": []}, "package": {"name": "old", "version": "0.1.0"}}]},
        "warnings": {"unmaintained": [{"kind": "unmaintained", "package": {"name": "dead", "version": "1.0.0"}}]}})
}

#[test]
fn cargo_audit_is_read() {
    let expected = [
        r#"CVE-1 ["RUSTSEC-1", "GHSA-1"] in tokio 1.8.0: HIGH fix 1.8.4, <1.9.0, 1.13.1 pkg:cargo/tokio@1.8.0"#,
        "RUSTSEC-2 [] in old 0.1.0: UNKNOWN fix - pkg:cargo/old@0.1.0",
    ];
    assert!(check(&cargo_audit(), "cargo audit", &expected).doubts.is_empty());
    let none = with(&cargo_audit(), "/lockfile/dependency-count", json!(0));
    assert_eq!(read(&none).doubts, ["cargo audit looked at no package"]);
    let fewer = with(&cargo_audit(), "/vulnerabilities/count", json!(3));
    assert_eq!(read(&fewer).doubts, ["cargo audit counts 3 vulnerabilities and lists 2"]);
}

/// Titles and days of what a report says, after `part` was put where there was nothing.
#[track_caller]
fn told(mut value: Value, pointer: &str, part: Value, expected: &str) {
    let place = value.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    let Value::Object(part) = part else { panic!("{part}") };
    place.extend(part);
    let first = read(&value).findings.into_iter().find(|one| !one.title.is_empty()).unwrap();
    let day = |day: Option<Date>| day.map_or("-".to_owned(), |day| day.to_string());
    assert_eq!(format!("{} {} {}", first.title, day(first.published), day(first.fix_published)), expected);
}

#[test]
fn titles_and_days_are_read_where_a_format_has_them() {
    let time = "2026-05-01T10:00:00.5Z";
    let part = json!({"Title": "zlib: overflow", "PublishedDate": time});
    told(trivy(), "/Results/0/Vulnerabilities/0", part, "zlib: overflow 2026-05-01 -");
    let fix = json!({"versions": ["1.3"], "available": [{"version": "1.2", "date": "2026-01-01"}, {"version": "1.3", "date": "2026-05-02"}]});
    let part = json!({"description": "An overflow.\nMore.", "fix": fix});
    told(grype(), "/matches/0/vulnerability", part, "An overflow. - 2026-05-02");
    let part = json!({"summary": "ReDoS", "published": time});
    let record = "/results/0/packages/0/vulnerabilities/1";
    told(osv_scanner(), record, part, "ReDoS 2026-05-01 -");
    let part = json!({"title": "Overflow", "publicationTime": time});
    told(snyk(), "/vulnerabilities/0", part, "Overflow 2026-05-01 -");
    let part = json!({"description": "Overflow", "published": time});
    told(cyclonedx(), "/vulnerabilities/0", part, "Overflow 2026-05-01 -");
    let part = json!({"shortDescription": {"text": "Overflow"}});
    told(sarif(), "/runs/0/tool/driver/rules/0", part, "Overflow - -");
    told(npm_audit(), "/vulnerabilities/minimist/via/0", json!({"title": "Pollution"}), "Pollution - -");
    let first = json!({"advisories": {"1": {"module_name": "ws"}}, "metadata": {"totalDependencies": 9}});
    let part = json!({"title": "DoS", "created": time});
    told(first, "/advisories/1", part, "DoS 2026-05-01 -");
    let part = json!({"title": "Race", "date": "2026-05-01"});
    told(cargo_audit(), "/vulnerabilities/list/0/advisory", part, "Race 2026-05-01 -");
}

#[test]
fn a_day_that_is_none_is_not_told_and_a_long_title_is_cut() {
    for time in ["", "soon", "2026-13-01T00:00:00Z", "01/05/2026", "2026-05-0\u{00e4}"] {
        assert_eq!(day(Some(time)), None, "{time}");
    }
    assert_eq!(day(Some("2026-05-01")).unwrap().to_string(), "2026-05-01");
    let long = title(Some(&"\u{00e4}".repeat(TITLE + 1)));
    assert_eq!((long.chars().count(), long.ends_with("...")), (TITLE + 3, true));
    assert_eq!(title(Some(&"x".repeat(TITLE))).len(), TITLE);
    assert_eq!((title(Some("\n one\ntwo")), title(None)), ("one".to_owned(), String::new()));
}

#[test]
fn what_is_no_report_is_refused() {
    assert!(matches!(Report::parse(b"<html>"), Err(ReportError::NotJson(_))));
    for value in [json!({}), json!([]), json!([{"matches": []}]), json!(7), json!({"vulnerabilities": []})] {
        let said = refusal(&value);
        for name in
            ["Trivy", "Grype", "osv-scanner", "Snyk", "SARIF", "CycloneDX", "npm audit", "cargo audit"]
        {
            assert!(said.contains(name), "{said}");
        }
    }
    for (value, scanner) in [
        (json!({"SchemaVersion": 2, "Results": {}}), "trivy"),
        (json!({"matches": 1}), "grype"),
        (json!({"results": 1}), "osv-scanner"),
        (json!({"ok": true, "vulnerabilities": 1}), "snyk"),
        (json!({"runs": 1}), "SARIF"),
        (json!({"bomFormat": "CycloneDX", "vulnerabilities": 1}), "CycloneDX"),
        (json!({"auditReportVersion": 2}), "npm audit"),
        (json!({"lockfile": {}, "vulnerabilities": {}}), "cargo audit"),
    ] {
        assert_eq!(refusal(&value), format!("the {scanner} report is malformed"));
    }
}
