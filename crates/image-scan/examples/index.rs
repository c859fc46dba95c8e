//! Measures an index: `index FOLDER BLOBS` writes the blobs of a folder of advisories, `index BLOBS DEBIAN NPM` says how long it takes to
//! load and match so many packages of Debian 12 and npm, the least of twenty times in milliseconds, and how many findings there are.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use image_scan::advisories::{Advisories, Folder, Index};
use image_scan::osv::{Package, Record, findings};

/// What is built; Debian in one release, Alpine in all.
const ECOSYSTEMS: [&str; 6] = ["Debian:12", "Alpine", "npm", "PyPI", "Go", "crates.io"];
/// What an image of Debian with an application of Node.js needs of it.
const MEASURED: [&str; 2] = ["Debian:12", "npm"];
const TIMES: u32 = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [folder, blobs] => build(folder, blobs),
        [blobs, debian, npm] => measure(blobs, [debian.parse()?, npm.parse()?]),
        _ => Err("asked wrongly".into()),
    }
}

fn build(folder: &str, to: &str) -> Result<(), Box<dyn Error>> {
    let mut size = 0;
    for blob in Index::build(&Folder::new(folder), &ECOSYSTEMS, "2026-01-02T03:04:05Z".parse()?)? {
        size += blob.bytes.len();
        fs::write(path(to, &blob.ecosystem), &blob.bytes)?;
    }
    for ecosystem in MEASURED {
        fs::write(format!("{}.names", path(to, ecosystem)), names(folder, ecosystem)?)?;
    }
    println!("{size}");
    Ok(())
}

fn path(folder: &str, ecosystem: &str) -> String {
    format!("{folder}/{}", ecosystem.replace(':', "-"))
}

/// A line for each package of which records know a version without a vulnerability: its name, and the one that the newest of them names.
fn names(folder: &str, ecosystem: &str) -> Result<String, Box<dyn Error>> {
    let family = ecosystem.split(':').next().unwrap_or(ecosystem);
    let mut newest = BTreeMap::new();
    for file in fs::read_dir(format!("{folder}/{family}"))? {
        let record = Record::parse(&fs::read(file?.path())?)?;
        for entry in record.affected.into_iter().filter(|entry| entry.package.ecosystem == ecosystem) {
            let mut fixed =
                entry.ranges.iter().flat_map(|range| &range.events).filter_map(|event| event.fixed.clone());
            if let Some(version) = fixed.next_back() {
                let known =
                    newest.entry(entry.package.name).or_insert_with(|| (record.id.clone(), version.clone()));
                *known = known.clone().max((record.id.clone(), version));
            }
        }
    }
    let lines = newest.into_iter().map(|(name, (_, version))| format!("{name} {version}"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// So many packages, evenly over the names of an ecosystem; where it has fewer, the rest are packages that nobody knows.
fn packages(from: &str, ecosystem: &str, count: usize) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let text = fs::read_to_string(format!("{}.names", path(from, ecosystem)))?;
    let lines: Vec<_> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let known = lines.iter().step_by((lines.len() / count).max(1));
    let known = known.map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
    let others = (0..count).map(|number| (format!("none-{number}"), "1.0.0".to_owned()));
    Ok(known.chain(others).take(count).collect())
}

fn measure(from: &str, counts: [usize; 2]) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut named = Vec::new();
    for (ecosystem, count) in MEASURED.into_iter().zip(counts) {
        named.extend(
            packages(from, ecosystem, count)?.into_iter().map(|(name, version)| (ecosystem, name, version)),
        );
    }
    let packages: Vec<_> =
        named.iter().map(|(ecosystem, name, version)| Package { ecosystem, name, version }).collect();
    let mut least = (Duration::MAX, 0);
    for _ in 0..TIMES {
        let start = Instant::now();
        let blobs = MEASURED.iter().map(|ecosystem| fs::read(path(from, ecosystem)));
        let blobs = blobs.collect::<Result<Vec<_>, _>>()?;
        let index = Advisories::Index(Index::new(blobs.into_iter().map(Into::into))?);
        let known = runtime.block_on(index.about(&packages))?;
        let mut by_name: HashMap<&str, Vec<&Record>> = HashMap::new();
        for record in &known.records {
            for name in
                record.affected.iter().map(|entry| entry.package.name.as_str()).collect::<BTreeSet<_>>()
            {
                by_name.entry(name).or_default().push(record);
            }
        }
        let about = |name| by_name.get(name).into_iter().flatten().copied();
        let found: usize = packages.iter().map(|package| findings(about(package.name), package).len()).sum();
        least = least.min((start.elapsed(), found));
    }
    println!("{:.1} {} {}", least.0.as_secs_f64() * 1000.0, least.1, packages.len());
    Ok(())
}
