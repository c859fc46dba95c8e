//! Tars as nobody makes them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// An entry of a tar: its path, its kind, where it leads and what it holds.
pub(crate) type Entry<'a> = (&'a str, u8, &'a str, &'a [u8]);

/// A file.
pub(crate) fn file<'a>(path: &'a str, content: &'a [u8]) -> Entry<'a> {
    (path, b'0', "", content)
}

/// A header (POSIX ustar) with a size that need not be true.
pub(crate) fn header(path: &[u8], kind: u8, link: &[u8], size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    header[..path.len()].copy_from_slice(path);
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link);
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Appends an entry with what describes it, if its path or link is long.
pub(crate) fn add(tar: &mut Vec<u8>, (path, kind, link, content): Entry<'_>) {
    let mut records = Vec::new();
    for (key, value) in [("path", path), ("linkpath", link)] {
        if 99 < value.len() {
            records.extend(record(key, value.as_bytes()));
        }
    }
    if !records.is_empty() {
        raw(tar, (b"pax", b'x', b""), &records);
    }
    let short = |text: &str| text.as_bytes()[..text.len().min(99)].to_vec();
    raw(tar, (&short(path), kind, &short(link)), content);
}

/// Appends a header and what it is about.
pub(crate) fn raw(tar: &mut Vec<u8>, (path, kind, link): (&[u8], u8, &[u8]), content: &[u8]) {
    tar.extend(header(path, kind, link, content.len()));
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// A record of pax: its length is part of what it counts.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

pub(crate) fn end(mut tar: Vec<u8>) -> Vec<u8> {
    tar.resize(tar.len() + 1024, 0);
    tar
}

pub(crate) fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        add(&mut tar, *entry);
    }
    end(tar)
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `os-release` of Debian 12.
pub(crate) const DEBIAN: &[u8] =
    b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
/// A database of dpkg with one package.
pub(crate) const STATUS: &[u8] = b"Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2.13\n\n";
