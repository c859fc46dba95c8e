//! Blobs that say what their records said, and blobs that nobody should believe.

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint as _;

use super::*;
use crate::osv::{Package, findings};

const NOW: &str = "2026-01-02T03:04:05Z";

/// The blobs of records, each in the folder of a family.
fn build(records: &[(&str, Value)], ecosystems: &[&str]) -> Result<Vec<Blob>, AdvisoriesError> {
    let root = tempfile::tempdir().unwrap();
    for (number, (family, record)) in records.iter().enumerate() {
        fs::create_dir_all(root.path().join(family)).unwrap();
        fs::write(root.path().join(format!("{family}/{number}.json")), record.to_string()).unwrap();
    }
    Index::build(&Folder::new(root.path()), ecosystems, NOW.parse().unwrap())
}

fn entry(ecosystem: &str, name: &str, events: &Value) -> Value {
    json!({"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]})
}

fn record(id: &str, entries: &[Value]) -> Value {
    json!({"id": id, "modified": "2026-01-01T00:00:00Z", "affected": entries})
}

fn open(blobs: &[Blob]) -> Index {
    Index::new(blobs.iter().map(|blob| blob.bytes.clone())).unwrap()
}

fn about(index: &Index, packages: &[(&str, &str)]) -> Result<Known, AdvisoriesError> {
    let package = |(ecosystem, name)| Package { ecosystem, name, version: "0.5" };
    index.about(&Wanted::of(&packages.iter().copied().map(package).collect::<Vec<_>>()))
}

/// One record about `a` of Debian 12 with all that decides, and one about another package.
fn sample() -> Vec<Blob> {
    let mut full = entry(
        "Debian:12",
        "a",
        &json!([{"introduced": "0"}, {"fixed": "1"}, {"introduced": "3", "limit": "4"}]),
    );
    full["versions"] = json!(["0.5", "2", "odd one"]);
    full["severity"] = json!([{"type": "Ubuntu", "score": "low"}, {"type": "unknown", "score": "x"}]);
    full["ecosystem_specific"] = json!({"urgency": "medium", "severity": "HIGH"});
    let git = json!({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]});
    let mut one =
        record("DSA-1", &[full, git, entry("Debian:11", "a", &json!([])), entry("npm", "a", &json!([]))]);
    one["aliases"] = json!(["CVE-1"]);
    one["related"] = json!(["CVE-2"]);
    one["summary"] = json!("é".repeat(200));
    one["published"] = json!("2025-05-06T07:08:09.123Z");
    one["severity"] = json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}]);
    one["database_specific"] = json!({"severity": "LOW"});
    let other = record("CVE-3", &[entry("Debian:12", "b", &json!([{"introduced": "0"}]))]);
    build(&[("Debian", one), ("Debian", other), ("Debian", json!({"no": "id"}))], &["Debian:12"]).unwrap()
}

#[test]
fn what_decides_is_kept_and_nothing_else() {
    let blobs = sample();
    let [blob] = &blobs[..] else { panic!("{blobs:?}") };
    assert_eq!((blob.ecosystem.as_str(), blob.built), ("Debian:12", NOW.parse().unwrap()));
    assert_eq!(blob.newest, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    let known = about(&open(&blobs), &[("Debian:12", "a")]).unwrap();
    assert_eq!(known.unread, ["Debian/2.json"]);
    let expected = json!({
        "id": "DSA-1", "aliases": ["CVE-1"], "related": ["CVE-2"], "summary": "é".repeat(120),
        "published": "2025-05-06T00:00:00Z", "database_specific": {"severity": "LOW"},
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
        "affected": [{
            "package": {"ecosystem": "Debian:12", "name": "a"},
            "ranges": [{"type": "ECOSYSTEM", "events":
                [{"introduced": "0"}, {"fixed": "1"}, {"introduced": "3"}, {"limit": "4"}]}],
            // That 0.5 has it is what the range says as well.
            "versions": ["2", "odd one"],
            "severity": [{"type": "Ubuntu", "score": "low"}],
            "ecosystem_specific": {"urgency": "medium", "severity": "HIGH"},
        }],
    });
    assert_eq!(known.records, [Record::parse(expected.to_string().as_bytes()).unwrap()]);
}

#[test]
fn an_entry_without_a_release_is_in_the_blob_of_each_and_python_names_have_one_spelling() {
    let events = json!([{"introduced": "0"}]);
    let entries = ["Debian", "Debian:11", "Debian:12"].map(|ecosystem| entry(ecosystem, ecosystem, &events));
    let python = record("PYSEC-1", &[entry("PyPI", "Zope.Interface", &events)]);
    let records = [("Debian", record("CVE-1", &entries)), ("PyPI", python)];
    let blobs = build(&records, &["Debian", "PyPI"]).unwrap();
    let ecosystems: Vec<_> = blobs.iter().map(|blob| blob.ecosystem.as_str()).collect();
    assert_eq!(ecosystems, ["Debian", "Debian:11", "Debian:12", "PyPI"]);
    let index = open(&blobs);
    let count = |package| about(&index, &[package]).unwrap().records.len();
    assert_eq!(["Debian:11", "Debian:12", "Debian:13"].map(|release| count((release, "Debian"))), [1; 3]);
    assert_eq!(count(("Debian:12", "Debian:11")), 0);
    let known = about(&index, &[("PyPI", "zope_interface")]).unwrap();
    let package = Package { ecosystem: "PyPI", name: "zope-interface", version: "1" };
    assert_eq!(findings(&known.records, &package).len(), 1);
}

#[test]
fn what_is_not_about_the_version_is_left_out() {
    let of = |id: &str, name: &str, events: Value| ("npm", record(id, &[entry("npm", name, &events)]));
    let records = [
        of("CVE-1", "a", json!([{"introduced": "0.6"}])),
        of("CVE-2", "a", json!([{"introduced": "0"}, {"fixed": "0.5"}])),
        of("CVE-3", "b", json!([{"introduced": "0.6"}])),
        of("CVE-4", "b", json!([{"introduced": "0"}])),
        of("CVE-5", "c", json!([])),
        of("CVE-6", "d", json!([{"introduced": "0"}, {"fixed": "latest"}])),
    ];
    let index = open(&build(&records, &["npm"]).unwrap());
    let ids = |name| {
        let known = about(&index, &[("npm", name)]).unwrap();
        known.records.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    assert_eq!(["a", "b", "e"].map(ids), [vec![], vec!["CVE-4".to_owned()], vec![]]);
    // What cannot be told is not left out.
    assert_eq!(["c", "d"].map(ids), [["CVE-5"], ["CVE-6"]]);
}

#[test]
fn what_was_withdrawn_is_left_out_and_what_is_not_there_is_an_error() {
    let mut gone = record("GHSA-1", &[entry("npm", "a", &json!([{"introduced": "0"}]))]);
    gone["withdrawn"] = json!(NOW);
    let blobs = build(&[("npm", gone)], &["npm"]).unwrap();
    let index = open(&blobs);
    assert_eq!(about(&index, &[("npm", "a"), ("npm", "b")]).unwrap(), Known::default());
    let error = about(&index, &[("npm", "a"), ("Go", "a")]).unwrap_err();
    assert_eq!(error.to_string(), "`the index` has no advisories for `Go`, but for `npm`");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    let npm = record("GHSA-1", &[entry("npm", "a", &json!([]))]);
    assert!(matches!(build(&[("npm", npm)], &["npm:1"]), Err(AdvisoriesError::Missing { .. })));
}

#[test]
fn two_blobs_about_one_ecosystem_are_refused() {
    let [blob] = &sample()[..] else { panic!() };
    let error = Index::new([blob.bytes.clone(), blob.bytes.clone()]).unwrap_err();
    assert_eq!(error.to_string(), "the index of `Debian:12` cannot be read: there are two of them");
}

/// What there is about both packages of the sample, in a blob around a body that somebody else has written.
fn forged(blob: &Blob, body: &[u8]) -> Result<Known, AdvisoriesError> {
    let head = blob.bytes[..blob.start].to_vec();
    let index = Index::new([[head, zstd::bulk::compress(body, 1).unwrap()].concat().into()]).unwrap();
    about(&index, &[("Debian:12", "a"), ("Debian:12", "b")])
}

#[test]
fn lengths_and_numbers_are_not_believed() {
    let [blob] = &sample()[..] else { panic!() };
    let body = unpacked(&blob.bytes[blob.start..]).unwrap();
    assert_eq!(forged(blob, &body).unwrap().records.len(), 2);
    for end in 0..body.len() {
        assert!(matches!(forged(blob, &body[..end]), Err(AdvisoriesError::Damaged { .. })), "{end}");
    }
    assert!(forged(blob, &[&body[..], &[0]].concat()).is_err());
    // No names that were not understood, and many packages.
    assert!(forged(blob, &[0, 0xff, 0xff, 0xff, 0x7f]).is_err());
    assert!(forged(blob, &[0, 0xff, 0xff, 0xff, 0xff]).is_err());
    // One package `a` whose row names a record that is not there.
    assert!(forged(blob, &[0, 1, 1, b'a', 6, 0, 0, 0, 0, 0, 0, 0]).is_err());
}

#[test]
fn a_blob_that_grows_too_large_or_is_cut_is_refused() {
    let [blob] = &sample()[..] else { panic!() };
    let bomb = vec![0; usize::try_from(UNPACKED).unwrap() + 1];
    let error = forged(blob, &bomb).unwrap_err();
    assert!(matches!(error, AdvisoriesError::Damaged { .. }) && error.exit_code() == ExitCode::Unknown);
    for end in 0..blob.bytes.len() {
        let cut = Index::new([blob.bytes.slice(..end)]);
        assert!(cut.and_then(|index| about(&index, &[("Debian:12", "a")])).is_err(), "{end}");
    }
    let more = [&blob.bytes[..], b"more"].concat();
    assert!(about(&Index::new([more.into()]).unwrap(), &[("Debian:12", "a")]).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), at in 0..400_usize) {
        static SAMPLE: LazyLock<Vec<Blob>> = LazyLock::new(sample);
        let [blob] = &SAMPLE[..] else { panic!() };
        let overwritten = |whole: &[u8]| {
            let mut whole = whole.to_vec();
            let at = at % whole.len();
            for (old, new) in whole.iter_mut().skip(at).zip(&bytes) {
                *old = *new;
            }
            whole
        };
        forged(blob, &bytes).ok();
        forged(blob, &overwritten(&unpacked(&blob.bytes[blob.start..]).unwrap())).ok();
        let whole = overwritten(&blob.bytes);
        Index::new([whole.into()]).and_then(|index| about(&index, &[("Debian:12", "a")])).ok();
    }
}
