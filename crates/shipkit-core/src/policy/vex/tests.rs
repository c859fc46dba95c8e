//! Statements in the three formats: what they take out, what not, and what is no statement.

use serde_json::{Value, json};

use super::*;
use crate::policy::Severity;

/// The digest that ends in these two letters.
fn digest(end: &str) -> String {
    format!("sha256:{end:0>64}")
}

/// A finding in an image of Alpine, from two packages that were built from one.
fn finding() -> Finding {
    let built = |name: &str| format!("pkg:apk/alpine/{name}@3.0.8-r3");
    Finding {
        id: "CVE-1".to_owned(),
        aliases: vec!["GHSA-1".to_owned()],
        package: "openssl".to_owned(),
        version: "3.0.8-r3".to_owned(),
        purl: Some(built("openssl")),
        built: vec![built("libcrypto3"), built("libssl3")],
        severity: Severity::High,
        fixed_in: None,
        is_malware: false,
        ..Finding::default()
    }
}

/// The same in a package of npm.
fn of_npm() -> Finding {
    let purl = Some("pkg:npm/ws@8.0.0".to_owned());
    Finding { package: "ws".to_owned(), purl, built: Vec::new(), ..finding() }
}

fn vex(documents: &[&Value]) -> Vex {
    let parse = |(index, value): (usize, &&Value)| {
        Document::parse(&format!("{index}.json"), value.to_string().as_bytes()).unwrap()
    };
    Vex {
        documents: documents.iter().enumerate().map(parse).collect(),
        image: vec![digest("aa"), digest("cc")],
    }
}

#[track_caller]
fn check(value: &Value, finding: &Finding, is_taken_out: bool) {
    let expected = is_taken_out.then_some("0.json");
    assert_eq!(vex(&[value]).takes_out(finding), expected, "{value}");
}

fn refusal(value: &Value) -> String {
    Document::parse("x", value.to_string().as_bytes()).unwrap_err().to_string()
}

fn openvex(statements: &Value) -> Value {
    json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "timestamp": "2026-01-02T03:04:05.678-06:00",
        "statements": statements})
}

/// One statement of OpenVEX that says `fixed` of this.
fn fixed(product: &Value) -> Value {
    openvex(&json!([{"vulnerability": {"name": "CVE-1"}, "products": [product], "status": "fixed"}]))
}

fn image(end: &str) -> String {
    format!("pkg:oci/api@{}?repository_url=ghcr.io/acme/api", digest(end).replace(':', "%3A"))
}

/// A product with these subcomponents.
fn parts(of: &str, parts: &[&str]) -> Value {
    json!({"@id": of, "subcomponents": parts.iter().map(|part| json!({"@id": part})).collect::<Vec<_>>()})
}

#[test]
fn an_image_is_meant_by_its_digest() {
    for (product, is_meant) in [
        (json!({"@id": image("aa")}), true),
        (json!({"@id": image("cc")}), true),
        (json!({"@id": image("bb")}), false),
        (json!({"@id": "pkg:oci/api"}), false),
        (json!({"@id": "pkg:oci/api@1.2"}), false),
        (json!({"@id": format!("ghcr.io/acme/api@{}", digest("aa"))}), true),
        (json!({"@id": "https://acme.example/api"}), false),
        (json!({"identifiers": {"purl": image("aa")}}), true),
        (json!({"hashes": {"sha-256": digest("aa").replace("sha256:", "")}}), true),
        (json!(image("aa")), true),
    ] {
        check(&fixed(&product), &finding(), is_meant);
        check(&fixed(&product), &of_npm(), is_meant);
        check(&fixed(&product), &Finding { purl: None, ..of_npm() }, is_meant);
    }
}

#[test]
fn packages_in_an_image_are_meant_by_their_urls() {
    let (image, ssl, crypto) = (&image("aa"), "pkg:apk/alpine/libssl3@3.0.8-r3", "pkg:apk/alpine/libcrypto3");
    check(&fixed(&parts(image, &["pkg:apk/alpine/openssl@3.0.8-r3"])), &finding(), true);
    check(&fixed(&parts(image, &[ssl, crypto])), &finding(), true);
    // A source counts until all that was built from it is taken out.
    check(&fixed(&parts(image, &[ssl])), &finding(), false);
    check(&fixed(&parts(image, &[crypto])), &finding(), false);
    check(&fixed(&parts(image, &["pkg:apk/alpine/openssl@3.0.8-r4"])), &finding(), false);
    check(&fixed(&parts(image, &["pkg:npm/ws"])), &of_npm(), true);
    check(&fixed(&parts(image, &["pkg:npm/ws"])), &Finding { purl: None, ..of_npm() }, false);
    check(&fixed(&parts(image, &["ws"])), &of_npm(), false);
    check(&fixed(&parts(&self::image("bb"), &["pkg:npm/ws"])), &of_npm(), false);
    let old = json!({"@context": "https://openvex.dev/ns", "timestamp": "2023-01-01T00:00:00Z", "statements": [
        {"vulnerability": "CVE-1", "products": [image], "subcomponents": ["pkg:npm/ws@8.0.0"], "status": "fixed"}]});
    check(&old, &of_npm(), true);
    check(&old, &finding(), false);
}

#[test]
fn a_package_is_meant_wherever_it_is_unless_it_is_in_another() {
    check(&fixed(&json!({"@id": "pkg:npm/ws@8.0.0"})), &of_npm(), true);
    check(&fixed(&json!({"@id": "pkg:npm/ws@8.0.1"})), &of_npm(), false);
    check(&fixed(&parts("pkg:npm/engine@6", &["pkg:npm/ws@8.0.0"])), &of_npm(), false);
    let ws = json!({"@id": "pkg:npm/ws@8.0.0", "hashes": {"sha-256": digest("bb").replace("sha256:", "")}});
    check(&fixed(&ws), &of_npm(), true);
}

#[test]
fn the_vulnerability_is_meant_by_any_of_its_names_and_malware_never() {
    let about = |vulnerability: Value| {
        openvex(&json!([{"vulnerability": vulnerability, "products": ["pkg:npm/ws"], "status": "fixed"}]))
    };
    check(&about(json!({"name": "GHSA-1"})), &of_npm(), true);
    check(&about(json!({"name": "X-1", "aliases": ["CVE-1"]})), &of_npm(), true);
    check(&about(json!({"name": "CVE-10"})), &of_npm(), false);
    check(&about(json!({"name": "CVE-1"})), &Finding { is_malware: true, ..of_npm() }, false);
}

#[test]
fn only_what_is_not_affected_or_fixed_is_taken_out() {
    let with = |status: &str, more: &Value| {
        let mut statement =
            json!({"vulnerability": {"name": "CVE-1"}, "products": ["pkg:npm/ws"], "status": status});
        statement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        openvex(&json!([statement]))
    };
    let reason = json!({"justification": "component_not_present"});
    check(&with("not_affected", &reason), &of_npm(), true);
    check(&with("not_affected", &json!({"impact_statement": "it is never called"})), &of_npm(), true);
    check(&with("affected", &json!({})), &of_npm(), false);
    check(&with("under_investigation", &json!({})), &of_npm(), false);
    for (value, said) in [
        (
            with("not_affected", &json!({})),
            "says `not_affected`, and has neither `justification` nor `impact_statement`",
        ),
        (
            with("not_affected", &json!({"impact_statement": " "})),
            "says `not_affected`, and has neither `justification` nor `impact_statement`",
        ),
        (
            with("not_affected", &json!({"justification": "because"})),
            "has the justification `because`, which there is not",
        ),
        (with("Fixed", &json!({})), "has the status `Fixed`, which there is not"),
        (with("fixed", &json!({"products": []})), "names no product"),
    ] {
        assert_eq!(refusal(&value), format!("its statement about `CVE-1` {said}"));
    }
}

#[test]
fn of_several_statements_the_latest_is_true() {
    let said = |status: &str, time: &str| {
        json!({"vulnerability": {"name": "CVE-1"}, "products": ["pkg:npm/ws"], "status": status,
            "timestamp": format!("2026-01-0{time}T00:00:00Z"), "impact_statement": "x"})
    };
    let all = |statements: &[Value]| openvex(&json!(statements));
    let (investigated, cleared) = (said("under_investigation", "1"), said("not_affected", "2"));
    check(&all(&[cleared.clone(), investigated.clone()]), &of_npm(), true);
    check(&all(&[cleared.clone(), said("affected", "3")]), &of_npm(), false);
    // At the same time the one that is further down.
    check(&all(&[said("affected", "2"), cleared.clone()]), &of_npm(), true);
    check(&all(&[cleared.clone(), said("affected", "2")]), &of_npm(), false);
    let (first, second) = (all(&[cleared]), all(&[said("affected", "3")]));
    assert_eq!(vex(&[&first, &second]).takes_out(&of_npm()), None);
    assert_eq!(vex(&[&second, &first]).takes_out(&of_npm()), None);
    let third = all(&[said("fixed", "4")]);
    assert_eq!(vex(&[&first, &second, &third]).takes_out(&of_npm()), Some("2.json"));
    // One of the packages that were built from a source is affected again.
    let of = |product: &str, status: &str, time: &str| {
        let mut said = said(status, time);
        said["products"] = json!([product]);
        said
    };
    let again = [of("pkg:apk/alpine/openssl", "fixed", "1"), of("pkg:apk/alpine/libssl3", "affected", "2")];
    check(&all(&again), &finding(), false);
    check(&all(&again[..1]), &finding(), true);
}

#[test]
fn a_count_is_told_for_each_document() {
    let (first, second) = (fixed(&json!("pkg:npm/ws")), fixed(&json!("pkg:npm/other")));
    let findings = [of_npm(), finding()];
    assert_eq!(vex(&[&first, &second]).said(&findings), "1 findings taken out: 1 by 0.json, 0 by 1.json");
}

/// A component in an image, the image, and another one.
fn csaf(vulnerability: &Value) -> Value {
    let named = |id: &str, purl: &str| json!({"name": id, "product_id": id, "product_identification_helper": {"purl": purl}});
    json!({"document": {"csaf_version": "2.0", "category": "csaf_vex",
            "tracking": {"current_release_date": "2026-03-03T11:00:00.000Z"}},
        "product_tree": {
            "branches": [{"name": "acme", "branches": [{"name": "api", "product": named("API", &image("aa"))}]}],
            "full_product_names": [named("WS", "pkg:npm/ws@8.0.0"), {"product_id": "NAME", "name": "a name"}],
            "relationships": [{"category": "default_component_of", "product_reference": "WS", "relates_to_product_reference": "API",
                "full_product_name": {"product_id": "API:WS", "name": "ws in api"}}],
            "product_groups": [{"group_id": "ALL", "product_ids": ["API:WS", "WS"]}]},
        "vulnerabilities": [vulnerability]})
}

#[test]
fn csaf_means_products_of_its_tree() {
    for (list, product, is_taken_out) in [
        ("fixed", "WS", true),
        ("first_fixed", "API:WS", true),
        ("fixed", "API", true),
        ("fixed", "NAME", false),
        ("known_affected", "WS", false),
        ("under_investigation", "WS", false),
        ("recommended", "WS", false),
    ] {
        // Beside it stands another, as a document makes one statement at least.
        let value =
            csaf(&json!({"cve": "CVE-1", "product_status": {list: [product], "last_affected": ["NAME"]}}));
        check(&value, &of_npm(), is_taken_out);
    }
    let by_id =
        csaf(&json!({"ids": [{"system_name": "x", "text": "GHSA-1"}], "product_status": {"fixed": ["API"]}}));
    check(&by_id, &finding(), true);
}

#[test]
fn csaf_says_why_something_is_not_affected() {
    let with = |key: &str, reason: Value| {
        let mut vulnerability = json!({"cve": "CVE-1", "product_status": {"known_not_affected": ["API:WS"]}});
        vulnerability.as_object_mut().unwrap().insert(key.to_owned(), json!([reason]));
        csaf(&vulnerability)
    };
    check(
        &with("flags", json!({"label": "component_not_present", "product_ids": ["API:WS"]})),
        &of_npm(),
        true,
    );
    check(&with("flags", json!({"label": "component_not_present", "group_ids": ["ALL"]})), &of_npm(), true);
    check(&with("threats", json!({"category": "impact", "details": "never called"})), &of_npm(), true);
    for (key, reason) in [
        ("flags", json!({"label": "component_not_present", "product_ids": ["API"]})),
        ("threats", json!({"category": "exploit_status", "details": "none"})),
        ("threats", json!({"category": "impact", "details": "", "product_ids": ["API:WS"]})),
    ] {
        let said = refusal(&with(key, reason));
        assert!(
            said.ends_with(
                "says `known_not_affected` of `API:WS`, and has neither a flag nor an impact for it"
            ),
            "{said}"
        );
    }
    let lost = csaf(&json!({"cve": "CVE-1", "product_status": {"fixed": ["GONE"]}}));
    assert_eq!(refusal(&lost), "its statement about `CVE-1` is about `GONE`, which is not in `product_tree`");
    let odd = csaf(&json!({"cve": "CVE-1", "product_status": {"mended": ["WS"]}}));
    assert!(refusal(&odd).contains("has the product status `mended`"));
    assert!(refusal(&csaf(&json!({"product_status": {"fixed": ["WS"]}}))).contains("cannot be told apart"));
}

/// A document about an image with one component.
fn cyclonedx(analysis: &Value, affects: &Value) -> Value {
    json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"timestamp": "2026-03-03T11:00:00Z",
            "component": {"bom-ref": "root", "type": "container", "name": "api", "version": digest("aa")}},
        "components": [{"bom-ref": "1", "name": "ws", "version": "8.0.0", "purl": "pkg:npm/ws@8.0.0"}],
        "vulnerabilities": [{"id": "CVE-1", "references": [{"id": "GHSA-1"}], "analysis": analysis, "affects": affects},
            {"id": "CVE-2"}]})
}

#[test]
fn cyclonedx_means_what_it_affects() {
    let resolved = json!({"state": "resolved"});
    for (affects, is_taken_out) in [
        (json!([{"ref": "1"}]), true),
        (json!([{"ref": "root"}]), true),
        (json!([{"ref": "pkg:npm/ws"}]), true),
        (json!([{"ref": "urn:cdx:3e67/1#pkg:npm%2Fws%408.0.0"}]), true),
        (json!([{"ref": "pkg:npm/other"}]), false),
        (json!([{"ref": "pkg:npm/ws", "versions": [{"version": "8.0.0", "status": "unaffected"}]}]), true),
        (json!([{"ref": "pkg:npm/ws", "versions": [{"version": "8.0.1"}]}]), false),
    ] {
        check(&cyclonedx(&resolved, &affects), &of_npm(), is_taken_out);
        let mut other = cyclonedx(&resolved, &affects);
        other["metadata"]["component"]["version"] = json!(digest("bb"));
        check(&other, &of_npm(), false);
        // Without an image it is about packages wherever they are.
        other["metadata"]["component"] = json!({"bom-ref": "root", "type": "application", "name": "api"});
        check(&other, &of_npm(), is_taken_out && affects != json!([{"ref": "root"}]));
    }
    for (affects, said) in [
        (json!([{"ref": "gone"}]), "is about `gone`, which is neither"),
        (json!([{"ref": "1", "versions": [{"range": "vers:npm/<9"}]}]), "is about a range of versions"),
        (json!([]), "names no product"),
    ] {
        assert!(refusal(&cyclonedx(&resolved, &affects)).contains(said), "{said}");
    }
}

#[test]
fn the_states_of_cyclonedx_mean_the_same() {
    let affects = json!([{"ref": "1"}]);
    for (analysis, is_taken_out) in [
        (json!({"state": "not_affected", "justification": "code_not_reachable"}), true),
        (json!({"state": "not_affected", "detail": "never called"}), true),
        (json!({"state": "false_positive"}), true),
        (json!({"state": "resolved_with_pedigree"}), true),
        (json!({"state": "exploitable"}), false),
        (json!({"state": "in_triage"}), false),
    ] {
        check(&cyclonedx(&analysis, &affects), &of_npm(), is_taken_out);
    }
    assert!(
        refusal(&cyclonedx(&json!({"state": "not_affected"}), &affects))
            .contains("neither `justification` nor `detail`")
    );
    assert!(refusal(&cyclonedx(&json!({"state": "fine"}), &affects)).contains("has the state `fine`"));
    assert_eq!(refusal(&cyclonedx(&json!({}), &affects)), "the CycloneDX document makes no statement");
}

#[test]
fn what_is_no_document_is_refused() {
    assert!(matches!(Document::parse("x", b"<xml>"), Err(VexError::NotJson(_))));
    for value in [json!({}), json!([]), json!({"@context": "https://schema.org"}), json!({"document": {}})] {
        assert!(
            matches!(Document::parse("x", value.to_string().as_bytes()), Err(VexError::UnknownFormat)),
            "{value}"
        );
    }
    assert_eq!(refusal(&openvex(&json!([]))), "the OpenVEX document makes no statement");
    assert_eq!(refusal(&openvex(&json!({}))), "the OpenVEX document is malformed");
    assert_eq!(refusal(&json!({"document": {"csaf_version": "2.0"}})), "the CSAF document is malformed");
    assert_eq!(
        refusal(&json!({"bomFormat": "CycloneDX", "components": []})),
        "the CycloneDX document makes no statement"
    );
    let mut timeless = fixed(&json!("pkg:npm/ws"));
    timeless.as_object_mut().unwrap().remove("timestamp").unwrap();
    assert_eq!(refusal(&timeless), "its statement about `CVE-1` has no time, nor has the document");
}
