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
fn all_releases_of_alpine_are_in_one_blob_and_each_has_its_own() {
    let of = |release: &str, fixed: &str| {
        entry(release, "openssl", &json!([{"introduced": "0"}, {"fixed": fixed}]))
    };
    let mut both = record("CVE-1", &[of("Alpine:v3.20", "2-r0"), of("Alpine:v3.21", "0.1-r0")]);
    both["summary"] = json!("a title");
    let one = record("CVE-2", &[of("Alpine:v3.21", "1-r0")]);
    // About every release, and the name of another package begins as that of this one.
    let all = record(
        "CVE-3",
        &[of("Alpine", "1-r0"), entry("Alpine:v3.20", "openssl-doc", &json!([{"introduced": "0"}]))],
    );
    let blobs = build(&[("Alpine", both), ("Alpine", one), ("Alpine", all)], &["Alpine"]).unwrap();
    assert_eq!(blobs.iter().map(|blob| blob.ecosystem.as_str()).collect::<Vec<_>>(), ["Alpine"]);
    let index = open(&blobs);
    let found = |release: &str| {
        let known = about(&index, &[(release, "openssl")]).unwrap();
        let told = |record: &Record| {
            let [affected] = &record.affected[..] else { panic!("{record:?}") };
            format!(
                "{} {} {} {:?}",
                record.id,
                affected.package.ecosystem,
                affected.package.name,
                record.summary.as_deref()
            )
        };
        known.records.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(
        found("Alpine:v3.20"),
        ["CVE-1 Alpine:v3.20 openssl Some(\"a title\")", "CVE-3 Alpine:v3.20 openssl None"]
    );
    assert_eq!(found("Alpine:v3.21"), ["CVE-2 Alpine:v3.21 openssl None", "CVE-3 Alpine:v3.21 openssl None"]);
    // `v3.2` is no release of which it knows, though others begin so.
    for unknown in ["Alpine:v3.22", "Alpine:v3.2"] {
        let error = about(&index, &[(unknown, "openssl")]).unwrap_err();
        let told = format!("the index of `{unknown}` cannot be read: it has nothing about this release");
        assert_eq!((error.to_string(), error.exit_code()), (told, ExitCode::Unknown));
    }
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

/// The first frame of a blob, unpacked, and the frames behind it.
fn parts(blob: &Blob) -> (Vec<u8>, Vec<u8>) {
    let mut frames = Cursor::new(&blob.bytes[blob.start..]);
    let size = frames.number().unwrap();
    let first = Unpacker::new().unwrap().unpacked(frames.bytes(size).unwrap()).unwrap();
    (first, frames.rest().to_vec())
}

/// What there is about both packages of the sample, in a blob whose frames somebody else has written.
fn forged(blob: &Blob, first: &[u8], rest: &[u8]) -> Result<Known, AdvisoriesError> {
    let mut bytes = blob.bytes[..blob.start].to_vec();
    let first = zstd::bulk::compress(first, 1).unwrap();
    cursor::write_number(&mut bytes, first.len());
    bytes.extend(first);
    let index = Index::new([[&bytes[..], rest].concat().into()]).unwrap();
    about(&index, &[("Debian:12", "a"), ("Debian:12", "b")])
}

/// The same with another block of records.
fn forged_block(blob: &Blob, block: &[u8]) -> Result<Known, AdvisoriesError> {
    let (first, rest) = parts(blob);
    let mut old = vec![1];
    cursor::write_number(&mut old, rest.len());
    let frame = zstd::bulk::compress(block, 1).unwrap();
    let mut new = vec![1];
    cursor::write_number(&mut new, frame.len());
    // Before it stands the one name that was not understood.
    let (before, after) = first.split_at(2 + "Debian/2.json".len());
    assert!(after.starts_with(&old));
    forged(blob, &[before, &new, &after[old.len()..]].concat(), &frame)
}

fn is_damaged(read: &Result<Known, AdvisoriesError>) -> bool {
    matches!(read, Err(AdvisoriesError::Damaged { .. }))
}

#[test]
fn lengths_and_numbers_are_not_believed() {
    let [blob] = &sample()[..] else { panic!() };
    let (first, rest) = parts(blob);
    assert_eq!(forged(blob, &first, &rest).unwrap().records.len(), 2);
    for end in 0..first.len() {
        assert!(is_damaged(&forged(blob, &first[..end], &rest)), "{end}");
    }
    for end in 0..rest.len() {
        assert!(is_damaged(&forged(blob, &first, &rest[..end])), "{end}");
    }
    assert!(is_damaged(&forged(blob, &[&first[..], &[0]].concat(), &rest)));
    assert!(is_damaged(&forged(blob, &first, &[&rest[..], &[0]].concat())));
    // No names that were not understood, and many blocks.
    assert!(is_damaged(&forged(blob, &[0, 0xff, 0xff, 0xff, 0x7f], &[])));
    assert!(is_damaged(&forged(blob, &[0, 0xff, 0xff, 0xff, 0xff], &[])));
    // One package `a` whose row names the first new record, or one before it, and there are none.
    assert!(is_damaged(&forged(blob, &[0, 0, 4, 1, b'a', 6, 1, 0, 0, 0, 0, 0, 0], &[])));
    assert!(is_damaged(&forged(blob, &[0, 0, 4, 1, b'a', 6, 1, 1, 0, 0, 0, 0, 0], &[])));
    // Without rows there is nothing to it.
    assert!(!is_damaged(&forged(blob, &[0, 0, 4, 1, b'a', 0, 0], &[])));
}

#[test]
fn packages_in_another_order_are_refused_because_some_would_not_be_found() {
    let [blob] = &sample()[..] else { panic!() };
    for names in [*b"ba", *b"aa"] {
        let [one, other] = names;
        let first = [0, 0, 8, 1, one, 0, 0, 1, other, 0, 0];
        let error = forged(blob, &first, &[]).unwrap_err();
        assert!(error.to_string().ends_with("its packages are in no order"), "{error}");
    }
    assert!(forged(blob, &[0, 0, 8, 1, b'a', 0, 0, 1, b'b', 0, 0], &[]).is_ok());
}

#[test]
fn a_block_with_fewer_or_other_records_is_refused() {
    let [blob] = &sample()[..] else { panic!() };
    let block = Unpacker::new().unwrap().unpacked(&parts(blob).1).unwrap();
    assert_eq!(forged_block(blob, &block).unwrap().records.len(), 2);
    for end in 0..block.len() {
        assert!(is_damaged(&forged_block(blob, &block[..end])), "{end}");
    }
    assert!(is_damaged(&forged_block(blob, &vec![0; UNPACKED])));
}

#[test]
fn records_of_many_blocks_are_found_and_so_are_those_of_several_packages() {
    let events = json!([{"introduced": "0"}]);
    let name = |number: usize| format!("p{:02}", number * 7 % 40);
    let count = 2 * BLOCK + 100;
    let records: Vec<_> = (0..count)
        .map(|number| {
            let mut entries = vec![entry("npm", &name(number), &events)];
            if number % 50 == 0 {
                entries.push(entry("npm", "shared", &events));
                entries.push(entry("npm", "p00", &events));
            }
            ("npm", record(&format!("CVE-{number:04}"), &entries))
        })
        .collect();
    let index = open(&build(&records, &["npm"]).unwrap());
    let ids = |wanted: &str| {
        let known = about(&index, &[("npm", wanted)]).unwrap();
        assert!(
            known.records.iter().flat_map(|record| &record.affected).all(|one| one.package.name == wanted)
        );
        known.records.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    let expected = |is_in: &dyn Fn(usize) -> bool| {
        (0..count)
            .filter(|number| is_in(*number))
            .map(|number| format!("CVE-{number:04}"))
            .collect::<Vec<_>>()
    };
    for wanted in ["p01", "p20", "p39"] {
        assert_eq!(ids(wanted), expected(&|number| name(number) == wanted), "{wanted}");
    }
    assert_eq!(ids("shared"), expected(&|number| number % 50 == 0));
    assert_eq!(ids("p00"), expected(&|number| number % 50 == 0 || name(number) == "p00"));
    let both = about(&index, &[("npm", "shared"), ("npm", "p00")]).unwrap();
    let of_first = both.records.iter().find(|record| record.id == "CVE-0050").unwrap();
    assert_eq!(of_first.affected.len(), 2);
}

#[test]
fn a_blob_that_grows_too_large_or_is_cut_is_refused() {
    let [blob] = &sample()[..] else { panic!() };
    let bomb = vec![0; UNPACKED + 1];
    let error = forged(blob, &bomb, &[]).unwrap_err();
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
        let (first, rest) = parts(blob);
        forged(blob, &bytes, &rest).ok();
        forged(blob, &overwritten(&first), &rest).ok();
        forged_block(blob, &bytes).ok();
        forged_block(blob, &overwritten(&Unpacker::new().unwrap().unpacked(&rest).unwrap())).ok();
        let whole = overwritten(&blob.bytes);
        Index::new([whole.into()]).and_then(|index| about(&index, &[("Debian:12", "a")])).ok();
    }
}
