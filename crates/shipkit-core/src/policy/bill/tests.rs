//! Bills that are read, and those that cannot be.

use serde_json::json;

use super::*;

fn bill(value: &Value) -> Bill {
    Bill::parse(value.to_string().as_bytes()).unwrap()
}

/// Its packages as `URL < source source-version`.
fn told(bill: &Bill) -> Vec<String> {
    let source = |one: &Packaged| match &one.source {
        Some((name, version)) => format!(" < {name} {}", version.as_deref().unwrap_or("-")),
        None => String::new(),
    };
    bill.packages.iter().map(|one| format!("{}{}", one.purl, source(one))).collect()
}

#[test]
fn cyclonedx_has_packages_by_their_urls_and_the_source_as_trivy_or_syft_tell_it() {
    let property =
        |name: &str, value: &str| json!({"name": format!("aquasecurity:trivy:{name}"), "value": value});
    let value = json!({"bomFormat": "CycloneDX", "specVersion": "1.5",
    "metadata": {"component": {"type": "container", "name": "api",
        "purl": "pkg:oci/api@sha256%3A0a?repository_url=x", "bom-ref": "i"}},
    "components": [
        {"type": "operating-system", "name": "debian", "version": "12.5"},
        {"type": "library", "name": "libssl3", "version": "3.0-1",
            "purl": "pkg:deb/debian/libssl3@3.0-1?arch=amd64&distro=debian-12.5",
            "properties": [property("SrcName", "openssl"), property("SrcVersion", "3.0"),
                property("SrcRelease", "1"), property("SrcEpoch", "1")]},
        {"type": "library", "name": "libc6", "purl": "pkg:deb/debian/libc6@2.36?upstream=glibc&distro=debian-12"},
        {"type": "application", "name": "app/package-lock.json",
            "components": [{"type": "library", "group": "@a", "name": "ws", "version": "8.0.0",
                "purl": "pkg:npm/%40a/ws"}]},
        {"type": "file", "name": "/bin/x"},
        {"type": "library", "name": "mystery", "version": "1"},
    ]});
    let bill = bill(&value);
    assert_eq!(
        told(&bill),
        [
            "pkg:deb/debian/libssl3@3.0-1?arch=amd64&distro=debian-12.5 < openssl 1:3.0-1",
            "pkg:deb/debian/libc6@2.36?distro=debian-12&upstream=glibc < glibc -",
            "pkg:npm/%40a/ws@8.0.0",
        ]
    );
    assert_eq!(bill.system, Some(("debian".to_owned(), "12.5".to_owned())));
    assert_eq!((bill.name.as_str(), bill.digests), ("api", vec!["sha256:0a".to_owned()]));
    assert_eq!(bill.doubts, ["`mystery` has no package URL"]);
}

#[test]
fn spdx_has_packages_by_their_urls_and_what_it_is_about_is_none() {
    let package = |id: &str, name: &str, purl: &str| {
        json!({"SPDXID": id, "name": name, "versionInfo": "1",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]})
    };
    let mut zlib = package("SPDXRef-1", "zlib1g", "pkg:deb/debian/zlib1g@1.2?distro=debian-12.5&epoch=1");
    zlib["sourceInfo"] = json!("built package from: zlib 1:1.2");
    let value = json!({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "api",
        "packages": [
            {"SPDXID": "SPDXRef-0", "name": "api", "versionInfo": "sha256:0b", "primaryPackagePurpose": "CONTAINER"},
            {"SPDXID": "SPDXRef-os", "name": "debian", "versionInfo": "12.5", "primaryPackagePurpose": "OPERATING-SYSTEM"},
            {"SPDXID": "SPDXRef-lock", "name": "app/package-lock.json", "primaryPackagePurpose": "APPLICATION"},
            zlib, {"SPDXID": "SPDXRef-2", "name": "mystery"},
        ],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-0"}]});
    let bare = bill(&value);
    assert_eq!(told(&bare), ["pkg:deb/debian/zlib1g@1.2?distro=debian-12.5&epoch=1 < zlib 1:1.2"]);
    assert_eq!(
        (&bare.system, &bare.digests[..]),
        (&Some(("debian".to_owned(), "12.5".to_owned())), &["sha256:0b".to_owned()][..])
    );
    assert_eq!(bare.doubts, ["`mystery` has no package URL"]);

    let statement = json!({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document",
        "subject": [{"name": "pkg:docker/api", "digest": {"sha256": "0c"}}], "predicate": value});
    let stated = bill(&statement);
    assert_eq!(stated.digests, ["sha256:0b", "sha256:0c"]);
    assert_eq!(stated.packages, bare.packages);
}

#[test]
fn what_is_not_complete_is_a_doubt() {
    let cyclonedx = |more: &Value| {
        let mut value = json!({"bomFormat": "CycloneDX", "specVersion": "1.6",
            "components": [{"type": "library", "name": "ws", "version": "8.0.0", "purl": "pkg:npm/ws@8.0.0"}]});
        for (key, one) in more.as_object().unwrap() {
            value[key] = one.clone();
        }
        bill(&value).doubts
    };
    assert_eq!(cyclonedx(&json!({})), [""; 0]);
    assert_eq!(
        cyclonedx(&json!({"compositions": [{"aggregate": "incomplete_first_party_only"}]})),
        ["it says itself that it is not complete"]
    );
    assert_eq!(cyclonedx(&json!({"compositions": [{"aggregate": "complete"}]})), [""; 0]);
    assert_eq!(cyclonedx(&json!({"components": []})), ["it lists no packages"]);
    let ours = json!({"spdxVersion": "SPDX-2.3", "comment": "`x` cannot be read",
        "creationInfo": {"creators": ["Tool: image-scan-0.1.0"]}});
    assert_eq!(bill(&ours).doubts, ["`x` cannot be read", "it lists no packages"]);
    let unversioned = json!({"components": [{"type": "library", "name": "ws", "purl": "pkg:npm/ws"},
        {"type": "library", "name": "x", "purl": "npm:x"}]});
    assert_eq!(
        cyclonedx(&unversioned),
        ["`pkg:npm/ws` has no version", "`x`: `npm:x` is no package URL", "it lists no packages"]
    );
}

#[test]
fn what_is_no_bill_is_told() {
    for (text, expected) in [
        ("", "it is not JSON"),
        ("{}", "it is neither CycloneDX"),
        (r#"{"bomFormat": "CycloneDX", "specVersion": "1.3"}"#, "it is neither CycloneDX"),
        (r#"{"spdxVersion": "SPDX-3.0"}"#, "it is neither CycloneDX"),
        (
            r#"{"predicateType": "https://slsa.dev/provenance/v1", "predicate": {}}"#,
            "it is neither CycloneDX",
        ),
        (r#"{"predicateType": "x"}"#, "it is neither CycloneDX"),
        (
            r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": 7}"#,
            "the CycloneDX document is malformed",
        ),
        (r#"{"spdxVersion": "SPDX-2.3", "packages": [{}]}"#, "the SPDX document is malformed"),
    ] {
        let error = Bill::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}
