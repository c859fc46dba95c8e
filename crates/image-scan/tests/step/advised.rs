//! Advisories, looked up in a folder of the checkout.

use serde_json::{Value, json};
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::Done;

use crate::bench::{Bench, good, gzip, of_layers, scans};
use crate::pushed::tar;

/// An advisory about one package.
pub(crate) fn advisory(id: &str, (ecosystem, name): (&str, &str), severity: &str, events: &Value) -> Value {
    json!({"id": id, "modified": "2026-05-01T00:00:00Z", "affected": [
        {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
        "database_specific": {"severity": severity}})
}

/// Judges an image of Alpine with openssl 3.3.2-r4 and ws 8.17.1 by these advisories and more of `scan.image`.
fn judge(advisories: &[(&str, Value)], more: &str) -> Done {
    let registry = Registry::start(Options::default());
    let bench = Bench::with_config(&format!(
        "services: {{api: {{build: {{}}}}}}\nscan: {{image: {{advisories: advisories{more}}}}}"
    ));
    for (path, advisory) in advisories {
        bench.write(&format!("advisories/{path}.json"), advisory.to_string());
    }
    let layers = [
        tar("etc/os-release", "ID=alpine\nVERSION_ID=3.21.2\nPRETTY_NAME=\"Alpine Linux v3.21\"\n"),
        tar(
            "lib/apk/db/installed",
            "P:libcrypto3\nV:3.3.2-r4\no:openssl\n\nP:libssl3\nV:3.3.2-r4\no:openssl\n\n",
        ),
        tar("app/node_modules/ws/package.json", r#"{"name": "ws", "version": "8.17.1"}"#),
    ];
    let layers = layers.each_ref().map(Vec::as_slice);
    let packed = layers.map(gzip);
    let packed = packed.each_ref().map(Vec::as_slice);
    let digest = registry.seed_image("shop/api", &of_layers(&good(), &layers), &packed);
    let image = format!("{}/shop/api@{digest}", registry.host());
    let done = bench.step(&[("INPUT_IMAGE", &image)]);
    let kept = scans(&registry.host(), "shop/api", &digest);
    assert!(kept.iter().all(|record| record.verdict.to_string() == done.output("verdict")), "{kept:?}");
    done
}

fn openssl(severity: &str, events: &Value) -> (&'static str, Value) {
    ("Alpine/1", advisory("ALPINE-CVE-2026-1", ("Alpine:v3.21", "openssl"), severity, events))
}

fn ws(id: &str, severity: &str) -> (&'static str, Value) {
    ("npm/1", advisory(id, ("npm", "ws"), severity, &json!([{"introduced": "8.0.0"}])))
}

#[test]
fn what_is_fixed_elsewhere_fails_once_for_all_packages_of_one_source() {
    let fixed = json!([{"introduced": "0"}, {"fixed": "3.3.3-r0"}]);
    let done = judge(&[openssl("HIGH", &fixed), ws("GHSA-1", "LOW")], "");
    done.check(
        1,
        "1 findings of HIGH and above, first ALPINE-CVE-2026-1 in openssl 3.3.2-r4, fixed in 3.3.3-r0",
    );
    assert_eq!(done.output("findings"), "1");
    assert!(done.summary.contains("ALPINE-CVE-2026-1"), "{}", done.summary);
}

#[test]
fn what_cannot_be_mended_or_is_mended_or_little_passes() {
    let mended = json!([{"introduced": "0"}, {"fixed": "3.3.2-r4"}]);
    judge(&[openssl("HIGH", &mended), ws("GHSA-1", "CRITICAL")], "").check(0, "1 findings, none blocks");
    judge(&[openssl("HIGH", &mended), ws("GHSA-1", "CRITICAL")], ", ignore_unfixed: false")
        .check(1, "first GHSA-1 in ws 8.17.1");
    let little = json!([{"introduced": "0"}, {"fixed": "3.3.3-r0"}]);
    judge(&[openssl("MEDIUM", &little), ws("GHSA-1", "LOW")], "").check(0, "2 findings, none blocks");
}

#[test]
fn malware_fails_whatever_the_policy_is() {
    let mended = json!([{"introduced": "0"}, {"fixed": "3.3.2-r4"}]);
    judge(&[openssl("HIGH", &mended), ws("MAL-2026-1", "")], "")
        .check(1, "ws 8.17.1 is malware (MAL-2026-1)");
}

#[test]
fn what_cannot_be_looked_up_is_not_judged() {
    let fixed = json!([{"introduced": "0"}, {"fixed": "3.3.3-r0"}]);
    let of_npm = ws("GHSA-1", "LOW");
    // Without a word about one ecosystem, another release, or nothing at all: nobody knows that there is nothing.
    judge(&[openssl("LOW", &fixed)], "").check(3, "`npm`");
    judge(std::slice::from_ref(&of_npm), "").check(3, "`Alpine");
    let other = ("Alpine/1", advisory("CVE-1", ("Alpine:v3.20", "openssl"), "LOW", &fixed));
    judge(&[other, of_npm.clone()], "").check(3, "`Alpine:v3.21`");
    judge(&[], "").check(3, "advisories");
    let damaged = ("npm/2", json!({"id": 7}));
    let done = judge(&[openssl("LOW", &fixed), of_npm, damaged], "");
    done.check(3, "it cannot be told how many vulnerabilities it has");
    assert_eq!(done.output("verdict"), "inconclusive");
}

#[test]
fn what_is_accepted_passes_until_its_last_day() {
    let fixed = json!([{"introduced": "0"}, {"fixed": "3.3.3-r0"}]);
    let advisories = [openssl("HIGH", &fixed), ws("GHSA-1", "LOW")];
    let accept = |more: &str| {
        judge(&advisories, &format!(", ignore: [{{id: ALPINE-CVE-2026-1, reason: unused, {more}}}]"))
    };
    accept("until: 2026-05-06").check(0, "2 findings, none blocks, 0 of unknown severity, 1 accepted");
    accept("until: 2026-05-06, package: libssl3").check(1, "first ALPINE-CVE-2026-1 in openssl");
    accept("until: 2026-05-05, owner: team")
        .check(1, "ALPINE-CVE-2026-1 was accepted until 2026-05-05 (unused; ask team)");
    accept("until: soon").check(2, "`soon` is no day");
}
