//! Reports of other scanners, and documents that take findings out.

use serde_json::{Value, json};
use shipkit_tests::step::Done;

use crate::victim::Victim;

/// Looks at an image with this report, with memory for what a report of tens of megabytes takes.
fn with_report(report: &[u8]) -> Done {
    let victim = Victim::new().memory(3 << 29);
    victim.manifest();
    victim.write("report.json", report);
    victim.scan();
    victim.step(&[("INPUT_LAYOUT", "layout"), ("INPUT_REPORT", "report.json")])
}

fn with_vex(document: &[u8]) -> Done {
    let victim = Victim::new().memory(3 << 29);
    victim.configure("vex: [vex.json]");
    victim.write("vex.json", document);
    victim.scan()
}

#[test]
fn what_is_deep_or_no_report_is_no_pass() {
    let deep = |open: &str| open.repeat(500_000);
    for text in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        deep("["),
        deep(r#"{"Results":"#),
        format!(r#"{{"SchemaVersion": 2, "Results": {}{}}}"#, deep("["), deep("]")),
        format!(r#"{{"matches": [{}"#, deep(r#"{"vulnerability":"#)),
        format!(r#"{{"$schema": "sarif", "version": "2.1.0", "runs": {}"#, deep("[")),
        format!("[{}]", vec!["0"; 20_000_000].join(",")),
        "\u{0}".to_owned(),
    ] {
        let done = with_report(text.as_bytes());
        assert_eq!(done.exit, Some(3), "{text:.40} {:.2000}", done.stderr);
        let done = with_vex(text.as_bytes());
        assert_eq!(done.exit, Some(2), "{text:.40} {:.2000}", done.stderr);
    }
    let large = [b"{".as_slice(), &vec![b' '; 65 << 20], b"}"].concat();
    assert_eq!(with_report(&large).exit, Some(3));
    assert_eq!(with_vex(&large).exit, Some(2));
}

/// A report of osv-scanner about one package.
fn osv(records: &[Value], groups: &[Value]) -> Vec<u8> {
    let package = json!({"name": "ws", "version": "1.0.0", "ecosystem": "npm"});
    json!({"results": [{"source": {"path": "x", "type": "lockfile"},
        "packages": [{"package": package, "vulnerabilities": records, "groups": groups}]}]})
    .to_string()
    .into_bytes()
}

#[test]
fn long_lists_take_no_longer_than_they_are() {
    let names: Vec<String> = (0..200_000).map(|number| format!("X-{number}")).collect();
    let records: Vec<Value> = names.iter().map(|name| json!({"id": name, "affected": []})).collect();
    let groups: Vec<Value> = names.iter().map(|name| json!({"ids": [name], "aliases": [name]})).collect();
    for report in [
        osv(&records, &groups),
        osv(&records[..1], &[json!({"ids": names, "aliases": names})]),
        osv(&[json!({"id": "X-0", "aliases": names, "affected": []})], &[]),
    ] {
        let done = with_report(&report);
        assert!(matches!(done.exit, Some(0 | 1 | 3)), "{:?} {:.2000}", done.exit, done.stderr);
    }
}

#[test]
fn a_document_about_everything_takes_no_longer_than_it_is() {
    let digests: Vec<Value> = (0..60_000)
        .map(|number| {
            json!({"@id": format!("pkg:oci/x@sha256%3A{number:064x}"),
            "subcomponents": [{"@id": format!("pkg:npm/p{number}@1.0.0")}]})
        })
        .collect();
    let statement = json!({"vulnerability": {"name": "CVE-1"}, "products": digests, "status": "not_affected",
        "justification": "component_not_present"});
    let parts: Vec<Value> =
        (0..20_000).map(|number| json!({"@id": format!("pkg:npm/p{number}@1.0.0")})).collect();
    let hashes: Vec<Value> =
        (0..20_000).map(|number| json!({"alg": "SHA-256", "content": format!("{number:064x}")})).collect();
    let cyclonedx = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": parts, "metadata": {"component": {"type": "container", "name": "x", "hashes": hashes}},
        "vulnerabilities": [{"id": "CVE-1", "analysis": {"state": "not_affected"}, "affects": [{"ref": "x"}]}]});
    let openvex = json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "author": "x", "version": 1,
        "timestamp": "2026-05-01T00:00:00Z", "statements": [statement]});
    for document in [openvex, cyclonedx] {
        let done = with_vex(document.to_string().as_bytes());
        assert!(matches!(done.exit, Some(0 | 2)), "{:?} {:.2000}", done.exit, done.stderr);
    }
}
