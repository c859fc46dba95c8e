//! Version orders against fixtures and against `dpkg`.

use std::cmp::Ordering;
use std::process::Command;

use image_scan::version::{Scheme, Version};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::Value;

/// Rows about texts that neither `apk` 2 nor `apk` 3 takes for a version (`apk version --check`).
const NOT_OF_ALPINE: [&str; 16] = [
    "1-r-0 < 1-r0",
    "1-r-1 < 1-r0",
    "1.2.0A < 1.2.0d",
    "1.2.0D < 1.2.0d",
    "1-r2 > 1-r-1",
    "1 > 1-ruff",
    "1-r0-1 = 1-r-2",
    "1-r0-1 = 1-r0-2",
    "1-ruff2 = 1-ruff1",
    "1-ruff2 = 1--ruff1",
    "1-r0-ruff2 = 1-r0-ruff1",
    "1.2 > 1.2_blah",
    "1.2_svn1 > 1.2_csv2",
    "1.2_cvs1 > 1.2_blah",
    "23_foo > 4_beta",
    "1.0 < 1.0bc",
];

/// How many rows are about texts that `pip` has refused since PEP 440 is all it knows (`packaging` 22).
const NOT_OF_PYPI: usize = 80;

fn fixture(name: &str) -> Option<String> {
    std::fs::read_to_string(crate::advisories().join("extra/version-fixtures").join(name)).ok()
}

/// What a row says: two versions, and how the first may stand to the second.
struct Row {
    text: String,
    versions: [String; 2],
    allowed: Vec<Ordering>,
}

/// `1.0 < 1.1`, among comments.
fn rows(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let [left, sign, right] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let allowed = match sign {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            ">" => Ordering::Greater,
            _ => return None,
        };
        Some(Row {
            text: line.trim().to_owned(),
            versions: [left.to_owned(), right.to_owned()],
            allowed: vec![allowed],
        })
    };
    let is_row = |line: &&str| !line.trim_start().starts_with(['#', '/']);
    text.lines().filter(is_row).filter_map(row).collect()
}

/// The cases of the other source: two versions as they are sorted, or whether they are equal.
fn sorted_rows(text: &str) -> Vec<Row> {
    let texts = |value: &Value| serde_json::from_value::<[String; 2]>(value.clone()).unwrap();
    let row = |case: &Value| {
        let given = texts(&case["input"]["versions"]);
        let (versions, allowed) = match case["expected_output"].as_bool() {
            Some(true) => (given, vec![Ordering::Equal]),
            Some(false) => (given, vec![Ordering::Less, Ordering::Greater]),
            None => (texts(&case["expected_output"]), vec![Ordering::Less, Ordering::Equal]),
        };
        Row { text: versions.join(" <= "), versions, allowed }
    };
    serde_json::from_str::<Vec<Value>>(text).unwrap().iter().map(row).collect()
}

/// Checks every row, and gives those about what is no version.
#[track_caller]
fn check(scheme: Scheme, rows: &[Row]) -> Vec<String> {
    let mut refused = Vec::new();
    let mut wrong = Vec::new();
    for row in rows {
        let [left, right] = &row.versions;
        match (Version::parse(scheme, left), Version::parse(scheme, right)) {
            (Ok(left), Ok(right)) => {
                let order = left.order(&right).unwrap();
                if !row.allowed.contains(&order) {
                    wrong.push(format!("`{}` is {order:?}", row.text));
                }
            }
            _ => refused.push(row.text.clone()),
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong: {wrong:#?}", wrong.len(), rows.len());
    crate::shared(rows.len());
    refused
}

/// The rows of both files, at least as many as there were; none where the fixtures are not.
fn both(name: &str, at_least: usize) -> Vec<Row> {
    let files = [format!("{name}-versions.txt"), format!("{name}-versions-generated.txt")];
    let all = files.iter().filter_map(|file| fixture(file)).flat_map(|text| rows(&text)).collect::<Vec<_>>();
    assert!(all.is_empty() || at_least <= all.len(), "{name}: {}", all.len());
    all
}

#[test]
fn versions_of_debian_are_ordered_as_in_the_fixtures() {
    assert_eq!(check(Scheme::Debian, &both("debian", 14_000)), [""; 0]);
}

#[test]
fn versions_of_alpine_are_ordered_as_in_the_fixtures() {
    let rows = both("alpine", 14_000);
    let refused = check(Scheme::Alpine, &rows);
    assert_eq!(refused, if rows.is_empty() { [].as_slice() } else { &NOT_OF_ALPINE });
    if let Some(text) = fixture("univers-alpine_version_cmp.json") {
        assert_eq!(check(Scheme::Alpine, &sorted_rows(&text)), [""; 0]);
    }
}

#[test]
fn versions_of_python_are_ordered_as_in_the_fixtures() {
    let rows = both("pypi", 12_000);
    let refused = check(Scheme::Pypi, &rows);
    assert_eq!(refused.len(), if rows.is_empty() { 0 } else { NOT_OF_PYPI }, "{refused:#?}");
}

#[test]
fn semantic_versions_are_ordered_as_in_the_fixtures() {
    let rows = fixture("semver-versions.txt").map(|text| rows(&text)).unwrap_or_default();
    assert_eq!(check(Scheme::Semver, &rows), [""; 0]);
    assert_eq!(check(Scheme::Go, &rows), [""; 0]);
}

#[test]
fn versions_of_maven_are_ordered_as_in_the_fixtures() {
    assert_eq!(check(Scheme::Maven, &both("maven", 14_000)), [""; 0]);
    if let Some(text) = fixture("univers-maven_version_cmp.json") {
        assert_eq!(check(Scheme::Maven, &sorted_rows(&text)), [""; 0]);
    }
}

#[test]
fn versions_of_debian_are_ordered_as_dpkg_orders_them() {
    if Command::new("dpkg").arg("--version").output().is_err() {
        return;
    }
    // The same pairs every time; the shapes are those that real versions have, and a little worse.
    let mut runner = TestRunner::deterministic();
    let one = "([01]:)?[0-2][0-2ab.+~]{0,5}(-[0-2a~.+]{1,4})?";
    let mut signs = [0; 3];
    for _ in 0..300 {
        let [left, right] = [one, one].map(|one| one.new_tree(&mut runner).unwrap().current());
        let [first, second] = [&left, &right].map(|text| Version::parse(Scheme::Debian, text).unwrap());
        let (sign, place) = match first.order(&second).unwrap() {
            Ordering::Less => ("lt", 0),
            Ordering::Equal => ("eq", 1),
            Ordering::Greater => ("gt", 2),
        };
        let status = Command::new("dpkg").args(["--compare-versions", &left, sign, &right]).status().unwrap();
        assert!(status.success(), "dpkg does not hold {left} {sign} {right}");
        signs[place] += 1;
    }
    assert!(50 < signs[0] && 50 < signs[2], "{signs:?}");
}
