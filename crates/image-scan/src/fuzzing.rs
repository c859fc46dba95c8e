//! What fuzzing calls: each parser of what others wrote, by its own name. It is there with the feature `fuzzing` alone, which only the
//! targets in `fuzz/` ask for, so that no parser is public for their sake.
#![allow(
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::as_conversions,
    reason = "a promise that does not hold has to end the run"
)]

use std::cmp::Ordering;
use std::io::Read;

use crate::advisories;
use crate::facts;
use crate::inventory::{Inventory, Wanted};
use crate::layer::{Layer, Limits, Packing};
use crate::osv::{Package, Record, findings};
use crate::traces;
use crate::tree::Tree;
use crate::version::{Scheme, Version};

/// Little enough for a run of seconds, and more than any input needs that is not a bomb.
const LIMITS: Limits = Limits { unpacked: 64 * 1024 * 1024, ratio: 200, ratio_from: 1024 * 1024 };
/// The size of a block of a tar, and in it the place of the sum of its bytes.
const BLOCK: usize = 512;
const SUM: std::ops::Range<usize> = 148..156;

/// A layer, packed as its first byte says, and what is made of its files.
pub fn layer(bytes: &[u8]) {
    let Some((first, packed)) = bytes.split_first() else { return };
    let packing = [Packing::Plain, Packing::Gzip, Packing::Zstd].into_iter().nth(usize::from(first % 3));
    if let Some(packing) = packing {
        Layer::read(packed, packed.len() as u64, packing, LIMITS).ok();
    }
}

/// An image of two layers that stand one behind the other, with the sums of their headers as they should be: a change hardly keeps them.
pub fn image(bytes: &[u8]) {
    let (lower, upper) = bytes.split_at(bytes.len() / 2 / BLOCK * BLOCK);
    let read = |bytes: &[u8]| {
        let tar = sealed(bytes);
        Layer::read(&tar[..], tar.len() as u64, Packing::Plain, LIMITS).ok()
    };
    let layers: Vec<Layer> = [lower, upper].into_iter().filter_map(read).collect();
    let layers: Vec<&Layer> = layers.iter().collect();
    let tree = Tree::of(&layers);
    traces::of(&layers, &tree, &[]);
    traces::unknown_owners(&layers, &tree, &Inventory::of(&layers, &tree));
}

/// The same tar with right sums, as far as its headers follow on one another, and with an end.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        if let Some(field) = header.get_mut(SUM) {
            field.fill(b' ');
        }
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        if let Some(field) = header.get_mut(SUM) {
            field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let size = header.get(124..135).and_then(|field| std::str::from_utf8(field).ok());
        let size = size.and_then(|size| usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).ok());
        at += BLOCK + size.unwrap_or(0).min(bytes.len()).next_multiple_of(BLOCK);
    }
    tar.resize(tar.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    tar
}

fn file(wanted: Wanted, bytes: &[u8]) {
    // What a layer gives comes in pieces, and some things lie across them.
    let read = wanted.read(bytes, bytes.len() as u64).map_err(|error| error.kind());
    let (one, two) = bytes.split_at(bytes.len() / 3);
    let in_pieces = wanted.read(one.chain(two), bytes.len() as u64).map_err(|error| error.kind());
    assert_eq!(read, in_pieces);
}

/// The database of dpkg.
pub fn dpkg(bytes: &[u8]) {
    file(Wanted::Dpkg, bytes);
    file(Wanted::DpkgFiles, bytes);
}

/// The database of apk.
pub fn apk(bytes: &[u8]) {
    file(Wanted::Apk, bytes);
}

/// The manifest of a package of npm.
pub fn npm(bytes: &[u8]) {
    file(Wanted::Npm, bytes);
}

/// The metadata of a package of Python.
pub fn python(bytes: &[u8]) {
    file(Wanted::Python, bytes);
}

/// What a system says of itself, and a header of Node.js.
pub fn system(bytes: &[u8]) {
    file(Wanted::System, bytes);
    file(Wanted::Node, bytes);
}

/// A program, in which there may be the modules of Go or the crates of Rust.
pub fn program(bytes: &[u8]) {
    file(Wanted::Program, &[b"\x7fELF", bytes].concat());
}

/// The list of crates in a program, which is packed here.
pub fn crates(bytes: &[u8]) {
    let packed = flate2::read::ZlibEncoder::new(bytes, flate2::Compression::fast());
    let mut program = b"\x7fELF\x02\x01\x01\x00.dep-v0".to_vec();
    packed.chain(&[0; 64][..]).read_to_end(&mut program).ok();
    file(Wanted::Program, &program);
}

/// An archive of Java.
pub fn jar(bytes: &[u8]) {
    file(Wanted::Java, bytes);
}

/// The configuration of an image.
pub fn configuration(bytes: &[u8]) {
    facts::read(bytes).ok();
}

/// A record of OSV, and what it says of some packages.
pub fn record(bytes: &[u8]) {
    let Ok(record) = Record::parse(bytes) else { return };
    let ecosystems = ["Debian:12", "Alpine:v3.21", "npm", "PyPI", "Go", "crates.io", "Maven", "Other"];
    let named = record.affected.iter().map(|entry| entry.package.name.as_str());
    let names: Vec<&str> = named.take(3).chain(["zlib"]).collect();
    for (ecosystem, name) in ecosystems.iter().flat_map(|one| names.iter().map(move |name| (one, name))) {
        for version in ["1.2.3", "0", "1:2.0-1", "odd version"] {
            let _ = findings([&record], &Package { ecosystem, name, version });
        }
    }
}

/// What is in a blob of an index, which is packed here.
pub fn index(bytes: &[u8]) {
    advisories::in_blob(bytes);
}

/// Three versions, one a line, by the rules of every ecosystem: none is before itself, and of two only one is before the other; and of
/// three, too, where the order has no circles.
pub fn versions(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().take(3).collect();
    let all = [Scheme::Debian, Scheme::Alpine, Scheme::Semver, Scheme::Pypi, Scheme::Go, Scheme::Maven];
    for scheme in all {
        let read: Vec<Version> = lines.iter().filter_map(|line| Version::parse(scheme, line).ok()).collect();
        for (left, right) in read.iter().flat_map(|left| read.iter().map(move |right| (left, right))) {
            let order = left.order(right);
            assert_eq!(order, right.order(left).map(Ordering::reverse), "{scheme:?} {left:?} {right:?}");
            assert!(!std::ptr::eq(left, right) || order == Some(Ordering::Equal), "{scheme:?} {left:?}");
        }
        if let ([a, b, c], true) = (&read[..], scheme != Scheme::Maven) {
            is_transitive(scheme, [a, b, c]);
            is_transitive(scheme, [b, c, a]);
            is_transitive(scheme, [c, a, b]);
        }
    }
}

fn is_transitive(scheme: Scheme, [a, b, c]: [&Version; 3]) {
    let orders = [a.order(b), b.order(c)];
    let expected = match orders {
        [Some(Ordering::Equal), other] | [other, Some(Ordering::Equal)] => other,
        [one, other] if one == other => one,
        _ => return,
    };
    assert_eq!(a.order(c), expected, "{scheme:?} {a:?} {b:?} {c:?}");
}
