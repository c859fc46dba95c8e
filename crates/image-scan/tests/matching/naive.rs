//! Our matching beside that of `naive.py`, which reads the same records and shares no line with us: finding by finding.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use image_scan::osv::{Affected, Fix, Package, Record, Standing, findings};
use serde_json::{Value, json};

/// Pairs of each ecosystem.
const PAIRS: usize = 5_000;

/// One of so many records is read where there are more than a minute has time for.
fn compare(archive: &str, family: &str, every: usize) {
    let file = crate::advisories().join(archive);
    if !file.exists() {
        return;
    }
    let texts = texts(&file, every);
    let records = texts.iter().map(|text| Record::parse(text).unwrap()).collect::<Vec<_>>();
    let known = Known::of(&records, family);
    let pairs = known.pairs();
    let theirs = naive(&texts, &pairs);
    let mut clean = 0;
    for (pair, theirs) in pairs.iter().zip(theirs) {
        let ours = known.findings(pair);
        assert_eq!(ours, theirs, "{pair:?}");
        clean += usize::from(ours == json!([]));
    }
    assert!(PAIRS / 10 < clean && clean < PAIRS * 9 / 10, "{clean} of {PAIRS} pairs have no finding");
    crate::shared(PAIRS);
}

#[test]
fn packages_of_debian_have_the_same_findings() {
    compare("Debian.tar.zst", "Debian", 16);
}

#[test]
fn packages_of_alpine_have_the_same_findings() {
    compare("Alpine.tar.zst", "Alpine", 8);
}

#[test]
fn packages_of_npm_have_the_same_findings() {
    compare("npm.tar.zst", "npm", 4);
}

#[test]
fn packages_of_python_have_the_same_findings() {
    compare("PyPI.tar.zst", "PyPI", 2);
}

#[test]
fn modules_of_go_have_the_same_findings() {
    compare("Go.tar.zst", "Go", 1);
}

#[test]
fn artifacts_of_maven_have_the_same_findings() {
    compare("Maven.tar.zst", "Maven", 1);
}

#[test]
fn crates_of_rust_have_the_same_findings() {
    compare("cargo.tar.zst", "crates.io", 1);
}

/// The records of an archive, as they are in it.
pub(crate) fn texts(archive: &Path, every: usize) -> Vec<Vec<u8>> {
    let unpacked = zstd::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut archive = tar::Archive::new(std::io::BufReader::with_capacity(1 << 20, unpacked));
    let mut texts = Vec::new();
    let is_file = |entry: &tar::Entry<'_, _>| entry.header().entry_type().is_file();
    for (index, entry) in archive.entries().unwrap().map(Result::unwrap).filter(is_file).enumerate() {
        if index % every == 0 {
            let mut text = Vec::new();
            { entry }.read_to_end(&mut text).unwrap();
            texts.push(text);
        }
    }
    texts
}

pub(crate) type Pair = (String, String, String);

/// What the other one finds, in the order of the pairs.
fn naive(texts: &[Vec<u8>], pairs: &[Pair]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let [records, list] = ["records", "pairs"].map(|name| folder.path().join(name));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&records).unwrap());
    for text in texts {
        writeln!(file, "{}", text.len()).unwrap();
        file.write_all(text).unwrap();
    }
    file.into_inner().unwrap();
    let lines = pairs.iter().map(|(ecosystem, name, version)| format!("{ecosystem}\t{name}\t{version}\n"));
    std::fs::write(&list, lines.collect::<String>()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matching/naive.py");
    let output = Command::new("python3").arg(script).args([records, list]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<_> = output.stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(found.len(), pairs.len());
    found.into_iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Records by package, and the versions that they name.
pub(crate) struct Known<'records> {
    records: BTreeMap<String, Vec<&'records Record>>,
    versions: BTreeMap<(&'records str, &'records str), BTreeSet<&'records str>>,
}

impl<'records> Known<'records> {
    pub(crate) fn of(records: &'records [Record], family: &str) -> Self {
        let mut known = Self { records: BTreeMap::new(), versions: BTreeMap::new() };
        for record in records {
            let mut names = BTreeSet::new();
            for entry in &record.affected {
                names.insert(key(&entry.package.name));
                let ecosystem = entry.package.ecosystem.as_str();
                if ecosystem.split(':').next() == Some(family) {
                    let versions = known.versions.entry((ecosystem, &entry.package.name)).or_default();
                    versions.extend(named(entry));
                }
            }
            for name in names {
                known.records.entry(name).or_default().push(record);
            }
        }
        known
    }

    /// Packages that records name, half of them by a version that one names, the others a little beside. Most malware is all versions of a package that
    /// has nothing else, and of which there are far more than of all others: these are every third.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let mut random = Random(7);
        let packages: Vec<_> = self.versions.iter().filter(|(_, versions)| !versions.is_empty()).collect();
        let several: Vec<_> = packages.iter().filter(|(_, versions)| versions.len() > 2).copied().collect();
        let pair = |index| {
            let from = if index % 3 == 0 { &packages } else { &several };
            let ((ecosystem, name), versions) = random.one(from);
            let version = versions.iter().nth(random.below(versions.len())).unwrap();
            ((*ecosystem).to_owned(), (*name).to_owned(), random.near(version))
        };
        (0..PAIRS).map(pair).collect()
    }

    /// The records about packages that may have this name.
    pub(crate) fn about(&self, name: &str) -> impl Iterator<Item = &'records Record> {
        self.records.get(&key(name)).into_iter().flatten().copied()
    }

    /// Ours, in the form of theirs.
    fn findings(&self, (ecosystem, name, version): &Pair) -> Value {
        let found = findings(self.about(name), &Package { ecosystem, name, version });
        let mut rows: Vec<_> = found
            .into_iter()
            .map(|finding| {
                let mut names = finding.names;
                names.sort_unstable();
                let (standing, kind, fix) = match finding.standing {
                    Standing::Affected(Fix::In(version)) => ("affected", "in", version),
                    Standing::Affected(Fix::After(version)) => ("affected", "after", version),
                    Standing::Affected(Fix::None) => ("affected", "none", String::new()),
                    Standing::CannotTell(_) | Standing::NotAffected => ("unknown", "none", String::new()),
                };
                (names, standing, [kind.to_owned(), fix])
            })
            .collect();
        rows.sort();
        json!(rows)
    }
}

/// All spellings of a name are one, so that no record is missed; whose spelling counts is for the matchers to say.
fn key(name: &str) -> String {
    name.to_lowercase().split(['-', '_', '.']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// The versions that an entry names; of long lists only some.
pub(crate) fn named<'record>(entry: &'record Affected<'static>) -> impl Iterator<Item = &'record str> {
    let events = entry.ranges.iter().filter(|range| range.kind != "GIT").flat_map(|range| &range.events);
    let in_events = events.flat_map(|event| {
        [&event.introduced, &event.fixed, &event.last_affected].into_iter().filter_map(Option::as_deref)
    });
    in_events.chain(entry.versions.iter().step_by(7).map(AsRef::as_ref))
}

/// The same numbers for the same seed everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(limit).unwrap()).unwrap()
    }

    fn one<'items, T>(&mut self, items: &'items [T]) -> &'items T {
        items.get(self.below(items.len())).unwrap()
    }

    /// The version itself, one just before or after it, or what is none.
    fn near(&mut self, version: &str) -> String {
        let endings = [
            ".0", ".1", "-1", "-r1", "~1", "+1", "a", "_rc1", "_p1", "-rc.1", "rc1", ".dev1", ".post1", "-0",
            " x",
        ];
        match self.below(8) {
            0..=3 => version.to_owned(),
            4 | 5 => format!("{version}{}", self.one(&endings)),
            _ => {
                // Another digit in place of one of its own.
                let digits: Vec<_> = version.match_indices(|c: char| c.is_ascii_digit()).collect();
                if digits.is_empty() {
                    return version.to_owned();
                }
                let (place, _) = *self.one(&digits);
                let mut near = version.to_owned();
                near.replace_range(place..=place, &self.below(10).to_string());
                near
            }
        }
    }
}
