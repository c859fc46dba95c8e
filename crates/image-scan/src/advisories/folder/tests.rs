//! Folders that have what is asked for, and those that only look so.

use std::fs;
use std::io::Write as _;

use serde_json::{Value, json};
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint as _;
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;
use crate::osv::Package;

fn record(id: &str, ecosystem: &str, name: &str) -> Value {
    let events = json!([{"introduced": "0"}, {"fixed": "2"}]);
    let package = json!({"ecosystem": ecosystem, "name": name});
    let entry = json!({"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]});
    json!({"id": id, "modified": "2026-01-01T00:00:00Z", "affected": [entry]})
}

fn zipped(files: &[(&str, String)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A folder with these files in the archive of Debian, and one file of npm.
fn folder(files: &[(&str, String)]) -> (TempDir, Folder) {
    let root = tempfile::tempdir().unwrap();
    for ecosystem in ["Debian", "npm"] {
        fs::create_dir(root.path().join(ecosystem)).unwrap();
    }
    fs::write(root.path().join("Debian/all.zip"), zipped(files)).unwrap();
    let npm = record("GHSA-1", "npm", "left-pad").to_string();
    fs::write(root.path().join("npm/GHSA-1.json"), npm).unwrap();
    let folder = Folder::new(root.path());
    (root, folder)
}

fn about(folder: &Folder, packages: &[(&str, &str)]) -> Result<Known, AdvisoriesError> {
    let package = |(ecosystem, name)| Package { ecosystem, name, version: "1" };
    folder.about(&Wanted::of(&packages.iter().copied().map(package).collect::<Vec<_>>()))
}

fn ids(known: &Known) -> Vec<&str> {
    known.records.iter().map(|record| record.id.as_str()).collect()
}

#[track_caller]
fn check_refused(folder: &Folder, package: (&str, &str), expected: &str) {
    let error = about(folder, &[package]).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn records_about_the_packages_come_by_ecosystem_and_id() {
    let mut both = record("CVE-2", "Debian:12", "a");
    both["affected"].as_array_mut().unwrap().push(record("", "Debian:11", "a")["affected"][0].clone());
    let mut gone = record("CVE-4", "Debian:12", "a");
    gone["withdrawn"] = json!("2026-01-01T00:00:00Z");
    let (_root, folder) = folder(&[
        ("CVE-2.json", both.to_string()),
        ("CVE-1.json", record("CVE-1", "Debian:12", "a").to_string()),
        ("CVE-3.json", record("CVE-3", "Debian:12", "b").to_string()),
        ("CVE-4.json", gone.to_string()),
        ("CVE-5.json", record("CVE-5", "Debian", "a").to_string()),
        ("README.txt", "no record".to_owned()),
    ]);
    let known = about(&folder, &[("npm", "left-pad"), ("Debian:12", "a"), ("Debian:12", "a")]).unwrap();
    assert_eq!(ids(&known), ["CVE-1", "CVE-2", "CVE-5", "GHSA-1"]);
    assert_eq!(known.records[1].affected.len(), 1);
    assert_eq!(known.unread, [""; 0]);
    assert_eq!(ids(&about(&folder, &[("Debian:12", "c")]).unwrap()), [""; 0]);
    assert_eq!(ids(&about(&folder, &[]).unwrap()), [""; 0]);
}

#[test]
fn of_two_copies_the_newer_one_counts_also_where_it_is_about_less() {
    let mut newer = record("CVE-1", "Debian:12", "b");
    newer["modified"] = json!("2026-02-01T00:00:00Z");
    let older = record("CVE-1", "Debian:12", "a");
    for texts in [[&newer, &older], [&older, &newer]] {
        let [first, second] = texts.map(ToString::to_string);
        let (_root, folder) = folder(&[("1.json", first), ("2.json", second)]);
        assert_eq!(ids(&about(&folder, &[("Debian:12", "a"), ("Debian:12", "c")]).unwrap()), [""; 0]);
        assert_eq!(ids(&about(&folder, &[("Debian:12", "b")]).unwrap()), ["CVE-1"]);
    }
}

#[test]
fn what_is_not_there_is_an_error_that_says_what_is() {
    let (_root, folder) = folder(&[("CVE-1.json", record("CVE-1", "Debian:12", "a").to_string())]);
    check_refused(&folder, ("Alpine:v3.21", "a"), "no advisories for `Alpine`, but for `Debian`, `npm`");
    check_refused(&folder, ("Debian:13", "a"), "no advisories for `Debian:13`, but for `Debian:12`");
    check_refused(&folder, ("../Debian:12", "a"), "no advisories for `../Debian`");
    check_refused(&folder, ("", "a"), "no advisories for ``");
    check_refused(&Folder::new("/nowhere"), ("npm", "a"), "`/nowhere` cannot be read");
}

#[test]
fn a_record_that_cannot_be_understood_is_told_and_many_are_an_error() {
    let broken = |count: usize| {
        let one = record("CVE-1", "Debian:12", "a").to_string();
        let broken = (0..count).map(|index| (format!("X-{index}.json"), "{}".to_owned()));
        let files: Vec<_> = broken.chain([("CVE-1.json".to_owned(), one)]).collect();
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        let (root, folder) = folder(&files);
        let known = about(&folder, &[("Debian:12", "a")]);
        drop(root);
        known
    };
    let known = broken(1).unwrap();
    assert_eq!((ids(&known), &known.unread[..]), (vec!["CVE-1"], &["Debian/X-0.json".to_owned()][..]));
    assert_eq!(broken(UNREAD).unwrap().unread.len(), UNREAD);
    assert!(matches!(broken(UNREAD + 1), Err(AdvisoriesError::Unread { .. })));
}

#[test]
fn what_is_no_archive_or_too_much_is_an_error() {
    let (root, folder) = folder(&[("CVE-1.json", " ".repeat(RECORD.try_into().unwrap()) + "{}")]);
    check_refused(&folder, ("Debian:12", "a"), "a record that is too large");
    let archive = root.path().join("Debian/all.zip");
    let whole = zipped(&[("CVE-1.json", record("CVE-1", "Debian:12", "a").to_string())]);
    for broken in
        [&b"no zip"[..], &whole[..whole.len() - 30], &[&whole[..40], b"XXXX", &whole[44..]].concat()]
    {
        fs::write(&archive, broken).unwrap();
        assert!(about(&folder, &[("Debian:12", "a")]).is_err());
    }
}
