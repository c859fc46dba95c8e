//! The sources of advisories beside the records themselves: whatever way they come, packages have the same findings.

use std::collections::BTreeSet;
use std::path::Path;

use image_scan::advisories::{Advisories, Folder, Index};
use image_scan::osv::{Finding, Package, Record, findings};
use shipkit_core::policy::Severity;
use tempfile::TempDir;

use super::naive::{Known, named, texts};

/// Pairs of each set of records: more than a minute has time for are left out, evenly.
const PAIRS: usize = 3_000;

/// A folder, and the index of it.
struct Sources {
    _root: TempDir,
    folder: Advisories,
    index: Advisories,
}

impl Sources {
    fn of(texts: &[Vec<u8>], family: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(family);
        std::fs::create_dir(&folder).unwrap();
        for (number, text) in texts.iter().enumerate() {
            std::fs::write(folder.join(format!("{number}.json")), text).unwrap();
        }
        Self::at(root, family)
    }

    fn at(root: TempDir, family: &str) -> Self {
        let folder = Folder::new(root.path());
        let blobs = Index::build(&folder, &[family], "2026-01-02T03:04:05Z".parse().unwrap()).unwrap();
        let index = Index::new(blobs.into_iter().map(|blob| blob.bytes)).unwrap();
        Self { _root: root, folder: Advisories::Folder(folder), index: Advisories::Index(index) }
    }

    /// Whether these pairs have the same findings by all ways; how many of them have any.
    fn compare(&self, records: &[Record], family: &str, pairs: &[(String, String, String)]) -> usize {
        let packages: Vec<_> =
            pairs.iter().map(|(ecosystem, name, version)| Package { ecosystem, name, version }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let all = Known::of(records, family);
        let given =
            [&self.folder, &self.index].map(|source| runtime.block_on(source.about(&packages)).unwrap());
        let others = [&given[0], &given[1]].map(|known| Known::of(&known.records, family));
        let mut affected = 0;
        for package in &packages {
            let expected = said(&all, package);
            for (other, way) in others.iter().zip(["folder", "index"]) {
                assert_eq!(said(other, package), expected, "{way}: {package:?}");
            }
            affected += usize::from(!expected.is_empty());
        }
        affected
    }
}

/// All that a finding says, but for what only the whole record has.
#[derive(Debug, PartialEq)]
struct Said {
    names: BTreeSet<String>,
    standing: String,
    severity: Severity,
    is_malware: bool,
    records: BTreeSet<String>,
}

fn said(known: &Known<'_>, package: &Package<'_>) -> Vec<Said> {
    let say = |finding: Finding<'_>| Said {
        names: finding.names.iter().map(|name| (*name).to_owned()).collect(),
        standing: format!("{:?}", finding.standing),
        severity: finding.severity,
        is_malware: finding.is_malware,
        records: finding.records.iter().map(|record| record.id.clone()).collect(),
    };
    let mut said: Vec<_> = findings(known.about(package.name), package).into_iter().map(say).collect();
    said.sort_by(|left, right| left.records.cmp(&right.records));
    said
}

/// The packages of a trimmed set in the versions that its records name; of long lists only some.
fn sample(ecosystem: &str, folder: &str) {
    let archive = crate::advisories().join("osv-dump-sample").join(folder).join("all.zip");
    if !archive.exists() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join(ecosystem)).unwrap();
    std::fs::copy(&archive, root.path().join(ecosystem).join("all.zip")).unwrap();
    let records = records(&archive);
    let mut pairs = BTreeSet::new();
    for entry in records.iter().flat_map(|record| &record.affected) {
        let family = entry.package.ecosystem.split(':').next();
        if family == Some(ecosystem) {
            let pair = |version: &str| {
                (entry.package.ecosystem.clone(), entry.package.name.clone(), version.to_owned())
            };
            pairs.extend(named(entry).map(pair));
        }
    }
    let step = pairs.len().div_ceil(PAIRS).max(1);
    let pairs: Vec<_> = pairs.into_iter().step_by(step).collect();
    let affected = Sources::at(root, ecosystem).compare(&records, ecosystem, &pairs);
    assert!(pairs.len() / 20 < affected, "{affected} of {}", pairs.len());
    crate::shared(pairs.len());
}

fn records(archive: &Path) -> Vec<Record> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    let count = archive.len();
    let read = |index| {
        let mut text = Vec::new();
        std::io::copy(&mut archive.by_index(index).unwrap(), &mut text).unwrap();
        Record::parse(&text).unwrap()
    };
    (0..count).map(read).collect()
}

#[test]
fn packages_of_the_samples_have_the_same_findings_by_all_ways() {
    for family in ["Debian", "Alpine", "npm", "PyPI", "Go"] {
        sample(family, family);
    }
    sample("crates.io", "cargo");
}

/// Packages of a full set in versions that are named, or a little beside.
fn random_pairs(archive: &str, family: &str, every: usize) {
    let file = crate::advisories().join(archive);
    if !file.exists() {
        return;
    }
    let texts = texts(&file, every);
    let records: Vec<_> = texts.iter().map(|text| Record::parse(text).unwrap()).collect();
    let pairs: Vec<_> = Known::of(&records, family).pairs().into_iter().take(PAIRS).collect();
    let affected = Sources::of(&texts, family).compare(&records, family, &pairs);
    assert!(PAIRS / 10 < affected, "{affected} of {PAIRS}");
    crate::shared(PAIRS);
}

#[test]
fn random_pairs_of_distributions_have_the_same_findings_by_all_ways() {
    random_pairs("Debian.tar.zst", "Debian", 24);
    random_pairs("Alpine.tar.zst", "Alpine", 12);
}

#[test]
fn random_pairs_of_languages_have_the_same_findings_by_all_ways() {
    random_pairs("npm.tar.zst", "npm", 8);
    random_pairs("PyPI.tar.zst", "PyPI", 6);
    random_pairs("Go.tar.zst", "Go", 2);
    random_pairs("cargo.tar.zst", "crates.io", 1);
    random_pairs("Maven.tar.zst", "Maven", 3);
}
