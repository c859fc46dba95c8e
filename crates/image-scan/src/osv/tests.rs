//! What records say, in both generations, and what they leave open.

use serde_json::{Value, json};
use shipkit_core::policy::Severity;

use super::{Doubt, Fix, Package, Record, Standing, findings};

fn record(value: &Value) -> Record {
    Record::parse(value.to_string().as_bytes()).unwrap()
}

/// An advisory about `left-pad` of npm with these events.
fn npm(events: &Value) -> Record {
    let package = json!({"ecosystem": "npm", "name": "left-pad"});
    record(
        &json!({"id": "GHSA-1", "affected": [{"package": package, "ranges": [{"type": "SEMVER", "events": events}]}]}),
    )
}

#[track_caller]
fn check(record: &Record, version: &str, expected: &Standing) {
    let package = Package { ecosystem: "npm", name: "left-pad", version };
    assert_eq!(&record.standing(&package), expected, "{version}");
}

fn fixed(version: &str) -> Standing {
    Standing::Affected(Fix::In(version.to_owned()))
}

#[test]
fn a_record_without_a_summary_has_the_first_sentence_of_its_details_for_a_title() {
    let title = |more: Value| {
        let mut value = json!({"id": "CVE-1"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record(&value).summary
    };
    assert_eq!(title(json!({"details": "A flaw. It is bad."})).as_deref(), Some("A flaw"));
    assert_eq!(title(json!({"summary": " ", "details": "A flaw."})).as_deref(), Some("A flaw"));
    assert_eq!(title(json!({"summary": "S", "details": "A flaw."})).as_deref(), Some("S"));
    assert_eq!(
        [title(json!({})), title(json!({"details": null})), title(json!({"details": 7}))],
        [None, None, None]
    );
}

#[test]
fn the_last_event_before_a_version_decides() {
    // Not in order, as records may be.
    let record =
        npm(&json!([{"introduced": "2.0.0"}, {"fixed": "2.2.0"}, {"introduced": "0"}, {"fixed": "1.1.0"}]));
    check(&record, "0.0.1", &fixed("1.1.0"));
    check(&record, "1.1.0-rc.1", &fixed("1.1.0"));
    check(&record, "1.1.0", &Standing::NotAffected);
    check(&record, "2.0.0-rc.1", &Standing::NotAffected);
    check(&record, "2.0.0", &fixed("2.2.0"));
    check(&record, "2.2.0", &Standing::NotAffected);
}

#[test]
fn a_last_affected_version_has_it_and_later_ones_do_not() {
    let record = npm(&json!([{"introduced": "1.0.0"}, {"last_affected": "1.2.0"}]));
    check(&record, "1.2.0", &Standing::Affected(Fix::After("1.2.0".to_owned())));
    check(&record, "1.2.1", &Standing::NotAffected);
    check(&npm(&json!([{"introduced": "0"}])), "9.9.9", &Standing::Affected(Fix::None));
}

#[test]
fn what_is_introduced_where_something_else_was_fixed_is_there() {
    let record = npm(
        &json!([{"introduced": "1.0.0"}, {"fixed": "2.0.0"}, {"introduced": "2.0.0"}, {"fixed": "3.0.0"}]),
    );
    check(&record, "2.0.0", &fixed("3.0.0"));
    check(&npm(&json!([{"introduced": "1.0.0"}, {"fixed": "1.0.0"}])), "1.0.0", &Standing::NotAffected);
}

#[test]
fn a_range_says_nothing_beyond_its_limits() {
    let record = npm(&json!([{"introduced": "0"}, {"limit": "2.0.0"}]));
    check(&record, "1.9.9", &Standing::Affected(Fix::None));
    check(&record, "2.0.0", &Standing::NotAffected);
    check(&npm(&json!([{"introduced": "0"}, {"limit": "*"}])), "2.0.0", &Standing::Affected(Fix::None));
    let record = npm(&json!([{"introduced": "0"}, {"limit": "2.0.0"}, {"limit": "*"}]));
    check(&record, "2.0.0", &Standing::Affected(Fix::None));
    let record = npm(&json!([{"introduced": "1.0.0"}, {"limit": "some"}]));
    check(&record, "2.0.0", &Standing::CannotTell(Doubt::Listed("some".to_owned())));
    check(&record, "0.9.0", &Standing::NotAffected);
}

#[test]
fn what_is_no_version_is_neither_safe_nor_affected() {
    let record = npm(&json!([{"introduced": "0"}, {"fixed": "2.0.0"}]));
    check(&record, "latest", &Standing::CannotTell(Doubt::Installed));
    // All versions are affected, whatever this one is.
    check(&npm(&json!([{"introduced": "0"}])), "latest", &Standing::Affected(Fix::None));
    let record = npm(&json!([{"introduced": "1.0.0"}, {"fixed": "newest"}]));
    check(&record, "1.0.0", &Standing::CannotTell(Doubt::Listed("newest".to_owned())));
    check(&record, "0.9.0", &Standing::NotAffected);
    let record = npm(&json!([{"introduced": "some"}, {"fixed": "2.0.0"}]));
    check(&record, "1.0.0", &Standing::CannotTell(Doubt::Listed("some".to_owned())));
}

#[test]
fn listed_versions_are_affected_however_they_are_written() {
    let entry = |versions: &Value| {
        json!({"package": {"ecosystem": "PyPI", "name": "Some.Name"}, "versions": versions,
        "ranges": [{"type": "GIT", "repo": "https://example.org", "events": [{"introduced": "0"}]}]})
    };
    let record = record(
        &json!({"id": "PYSEC-1", "affected": [{"package": {}, "ranges": []}, entry(&json!(["1.0", "trunk"]))]}),
    );
    let standing = |version| record.standing(&Package { ecosystem: "PyPI", name: "some_name", version });
    assert_eq!(standing("1.0.0"), Standing::Affected(Fix::None));
    assert_eq!(standing("trunk"), Standing::Affected(Fix::None));
    assert_eq!(standing("1.1"), Standing::NotAffected);
    assert_eq!(standing("head"), Standing::CannotTell(Doubt::Installed));
}

#[test]
fn an_entry_is_about_its_release_and_its_package() {
    let entry = |ecosystem: &str, fix: &str| {
        json!({"package": {"ecosystem": ecosystem, "name": "zlib"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fix}]}]})
    };
    let record = record(
        &json!({"id": "CVE-1", "affected": [entry("Debian:11", "1:1.2.11-2"), entry("Debian:12", "1:1.2.13-1"), entry("Alpine:v3.21", "1.3.1-r2")]}),
    );
    let standing = |ecosystem, name, version| record.standing(&Package { ecosystem, name, version });
    assert_eq!(standing("Debian:12", "zlib", "1:1.2.12-1"), fixed("1:1.2.13-1"));
    assert_eq!(standing("Debian:11", "zlib", "1:1.2.12-1"), Standing::NotAffected);
    assert_eq!(standing("Alpine:v3.21", "zlib", "1.3.1-r1"), fixed("1.3.1-r2"));
    assert_eq!(standing("Alpine:v3.20", "zlib", "1.3.1-r1"), Standing::NotAffected);
    assert_eq!(standing("Debian:12", "zlib2", "1:1.2.12-1"), Standing::NotAffected);
}

#[test]
fn no_version_at_all_and_no_known_order_are_doubts() {
    let entry = |ecosystem: &str| json!({"id": "X-1", "affected": [{"package": {"ecosystem": ecosystem, "name": "a"}}]});
    let standing =
        |ecosystem| record(&entry(ecosystem)).standing(&Package { ecosystem, name: "a", version: "1" });
    assert_eq!(standing("npm"), Standing::CannotTell(Doubt::NoVersions));
    assert_eq!(standing("Rocky Linux:9"), Standing::CannotTell(Doubt::Ecosystem));
    check(&npm(&json!([])), "1.0.0", &Standing::CannotTell(Doubt::NoVersions));
}

#[test]
fn a_withdrawn_record_says_nothing_and_null_is_nothing() {
    let mut record = npm(&json!([{"introduced": "0"}]));
    record.withdrawn = Some("2026-01-01T00:00:00Z".to_owned());
    check(&record, "1.0.0", &Standing::NotAffected);
    let text = br#"{"id": "GO-1", "modified": "0001-01-01T00:00:00Z", "withdrawn": null, "aliases": null, "affected": null, "severity": null, "database_specific": 1}"#;
    let record = Record::parse(text).unwrap();
    assert_eq!((record.modified.as_str(), record.affected.len()), ("0001-01-01T00:00:00Z", 0));
    assert!(Record::parse(b"{}").is_err());
}

/// A record of `openssl` in Debian 12 that is fixed in `fix`.
fn debian(id: &str, more: &Value, fix: &str) -> Record {
    let mut value = json!({"id": id, "affected": [{"package": {"ecosystem": "Debian:12", "name": "openssl"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fix}]}]}]});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record(&value)
}

/// The names of each finding, and its fix.
fn joined(records: &[Record]) -> Vec<(Vec<&str>, Standing)> {
    let package = Package { ecosystem: "Debian:12", name: "openssl", version: "1.0-1" };
    findings(records, &package).into_iter().map(|finding| (finding.names, finding.standing)).collect()
}

#[test]
fn both_generations_of_a_record_are_one_finding() {
    let records = [
        debian("DEBIAN-CVE-2026-1", &json!({"upstream": ["CVE-2026-1"]}), "1.0-2"),
        debian("CVE-2026-1", &json!({"aliases": ["GHSA-1"]}), "1.0-10"),
        debian("GHSA-2", &json!({}), "1.0-3"),
        debian("X-1", &json!({"aliases": ["GHSA-1"]}), "1.0-9"),
    ];
    let all = vec!["CVE-2026-1", "GHSA-1", "DEBIAN-CVE-2026-1", "X-1"];
    assert_eq!(joined(&records), [(all, fixed("1.0-10")), (vec!["GHSA-2"], fixed("1.0-3"))]);
}

#[test]
fn names_join_over_any_number_of_steps() {
    let alias = |id: &str, aliases: Value| debian(id, &json!({"aliases": aliases}), "1.0-2");
    let records = [
        alias("A", json!(["B"])),
        alias("C", json!(["D"])),
        alias("E", json!(["D", "B"])),
        alias("F", json!([])),
    ];
    let names: Vec<_> = joined(&records).into_iter().map(|(names, _)| names).collect();
    assert_eq!(names, [vec!["A", "B", "C", "D", "E"], vec!["F"]]);
}

#[test]
fn an_advisory_does_not_join_the_vulnerabilities_it_is_about() {
    let cve = |id: &str| debian(id, &json!({}), "1.0-2");
    for key in ["upstream", "related"] {
        let advisory = debian("DSA-1-1", &json!({key: ["CVE-1", "CVE-2", "CVE-3"]}), "1.0-2");
        let records = [advisory.clone(), cve("CVE-1"), cve("CVE-2")];
        let names: Vec<_> = joined(&records).into_iter().map(|(names, _)| names).collect();
        assert_eq!(names, [["CVE-1", "DSA-1-1"], ["CVE-2", "DSA-1-1"]], "{key}");
        assert_eq!(joined(&[advisory]), [(vec!["DSA-1-1"], fixed("1.0-2"))], "{key}");
    }
}

#[test]
fn malware_is_flagged_by_any_of_its_names() {
    let package = Package { ecosystem: "npm", name: "left-pad", version: "1.0.0" };
    let mut record = npm(&json!([{"introduced": "0"}]));
    assert!(!findings([&record], &package)[0].is_malware);
    record.aliases = vec!["MAL-2026-1".to_owned()];
    let found = findings([&record], &package);
    assert!(found[0].is_malware);
    assert_eq!((found[0].names[0], found[0].severity), ("MAL-2026-1", Severity::Unknown));
}
