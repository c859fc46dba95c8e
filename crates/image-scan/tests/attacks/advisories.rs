//! Records of advisories that are none, and an index that says more than it holds.

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_tests::server::registry::{Options, Registry};
use shipkit_tests::step::Done;

use crate::tars::{file, tar};
use crate::victim::{Victim, refused};

/// An image with one package of npm.
fn victim() -> Victim {
    let module = br#"{"name": "ws", "version": "1.0.0"}"#;
    Victim::with_advisories().layer(&tar(&[file("app/node_modules/ws/package.json", module)]))
}

/// Looks at it with this record.
fn with(record: &[u8]) -> Done {
    let victim = victim();
    victim.write("advisories/npm/X-2.json", record);
    victim.scan()
}

fn about(entry: &Value) -> Value {
    json!({"id": "X-2", "modified": "2026-05-01T00:00:00Z", "affected": [entry], "database_specific": {"severity": "HIGH"}})
}

#[test]
fn a_record_that_says_little_or_nonsense_is_borne_and_told() {
    let package = json!({"ecosystem": "npm", "name": "ws"});
    let range = |events: &Value| {
        about(&json!({"package": package, "ranges": [{"type": "SEMVER", "events": events}]}))
    };
    for (record, exit) in [
        (about(&json!({})), 0),
        (about(&json!({"package": null})), 0),
        (about(&json!({"package": {}, "ranges": [{}]})), 0),
        (json!({"id": "X-2"}), 0),
        (json!({"id": "X-2", "affected": []}), 0),
        (json!({}), 3),
        (json!([]), 3),
        (json!({"id": "X-2", "affected": 1}), 3),
        // No events, none that begins, and an end before the beginning.
        (range(&json!([])), 3),
        (range(&json!([{"fixed": "2.0.0"}])), 0),
        (range(&json!([{"introduced": "2.0.0"}, {"fixed": "0.1.0"}])), 0),
        (range(&json!([{"introduced": "0"}, {"fixed": "2.0.0"}, {"fixed": "0.1.0"}])), 0),
        (range(&json!([{"introduced": "0", "fixed": "0"}])), 0),
        (range(&json!([{}, {"other": "1"}])), 3),
        (range(&json!([{"introduced": 0}])), 3),
        (about(&json!({"package": package})), 3),
        (about(&json!({"package": package, "versions": ["1.0.0"]})), 0),
    ] {
        let done = with(record.to_string().as_bytes());
        let expected = done.exit == Some(exit) || exit == 0 && done.exit == Some(1);
        assert!(expected, "{record}: {exit}, {done:#?}");
    }
    for text in [&b""[..], b"{", b"\xff\xfe", &b"[".repeat(1 << 20), &b"{\"id\":".repeat(1 << 18)] {
        assert_eq!(with(text).exit, Some(3));
    }
}

#[test]
fn a_record_of_a_million_ranges_is_bounded() {
    let victim = victim().memory(1 << 30);
    let record = |ranges: &str| {
        format!(
            r#"{{"id": "X-2", "affected": [{{"package": {{"ecosystem": "npm", "name": "ws"}}, "ranges": [{ranges}]}}]}}"#
        )
    };
    let many = |one: &str| vec![one; 3_500_000 / one.len()].join(",");
    for ranges in [
        many("{}"),
        format!(r#"{{"type": "SEMVER", "events": [{}]}}"#, many("{}")),
        format!(r#"{{"type": "SEMVER", "events": [{}]}}"#, many(r#"{"introduced":"1"},{"fixed":"2"}"#)),
        many(r#"{"type":"SEMVER","events":[{"introduced":"9"}]}"#),
    ] {
        victim.write("advisories/npm/X-2.json", record(&ranges));
        let done = victim.scan();
        assert!(matches!(done.exit, Some(0 | 1 | 3)), "{:?} {:.2000}", done.exit, done.stderr);
    }
    victim.write("advisories/npm/X-2.json", record(&"{},".repeat(6_000_000)));
    refused(&victim.scan(), "a record that is too large");
}

/// Looks at it with an index whose blob about npm has this in its first frame, and nothing behind it.
fn with_index(first: &[u8]) -> Done {
    let registry = Registry::start(Options::default());
    let mut blob = b"shipkit-advisories-3\n".to_vec();
    for text in ["npm", "2026-05-05T00:00:00Z", ""] {
        blob.push(text.len().try_into().unwrap());
        blob.extend(text.as_bytes());
    }
    let frame = zstd::bulk::compress(first, 1).unwrap();
    blob.extend(number(frame.len()));
    blob.extend(frame);
    let kind = "application/vnd.shipkit.advisories.v1";
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": registry.seed_blob("i", "{}"), "size": 2});
    let layer = json!({"mediaType": kind, "digest": registry.seed_blob("i", blob.clone()), "size": blob.len(),
        "annotations": {"dev.shipkit.advisories.ecosystem": "npm"}});
    let media_type = crate::victim::MANIFEST;
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "artifactType": kind, "config": config, "layers": [layer]});
    let digest: Digest = registry.seed_manifest("i", media_type, manifest.to_string());
    let victim = victim().memory(512 << 20);
    victim.configure(&format!("advisories: \"{}/i@{digest}\"", registry.host()));
    victim.scan()
}

/// A number as an index has it.
fn number(mut left: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while 0x7f < left {
        bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    bytes.push(left.try_into().unwrap());
    bytes
}

#[test]
fn an_index_is_believed_no_length() {
    // Nothing in it: no records that were not understood, no blocks, no packages.
    with_index(&[0, 0, 0]).check(0, "");
    let mib = 1 << 20;
    let row = |count: usize, content: &[u8]| {
        // One package `ws` with rows, which begin with the record and the number of ranges.
        let rows = [&number(0)[..], &number(count), content].concat();
        let package = [&[2, b'w', b's'][..], &number(rows.len()), &[1]].concat();
        [&[0, 0][..], &number(package.len()), &package, &rows].concat()
    };
    for body in [
        vec![],
        vec![0xff; 64],
        number((1 << 28) - 1),
        vec![0; 65 * mib],
        [&number(60 * mib)[..], &vec![0; 60 * mib]].concat(),
        [&[0][..], &number(30 * mib), &vec![0; 60 * mib]].concat(),
        [&[0, 0][..], &number(60 * mib), &vec![0; 60 * mib]].concat(),
        [&[0, 0, 9, 1, b'a'][..], &number((1 << 28) - 1), &[0]].concat(),
        // Of blocks that are not there.
        vec![0, 1, 9, 0],
        row(15 * mib, &vec![0; 15 * mib]),
        row(1, &[&number(7 * mib)[..], &vec![0; 14 * mib]].concat()),
        row(1, &[1, 9, 0]),
    ] {
        let done = with_index(&body);
        let start = &body[..body.len().min(20)];
        assert_eq!(done.exit, Some(3), "{start:?} {}: {done:#?}", body.len());
        assert!(done.stderr.contains("the index of `npm` cannot be read"), "{done:#?}");
    }
}
