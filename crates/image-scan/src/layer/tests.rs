//! Layers that are read, and those that cannot be.

use std::io::Write as _;

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;

const NO_LIMITS: Limits = Limits { unpacked: u64::MAX, ratio: u64::MAX, ratio_from: u64::MAX };

/// A tar of entries: a path, what it is, where it leads and what it holds.
fn tar(entries: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, link, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(content.len().try_into().unwrap());
        header.set_mode(0o644);
        if link.is_empty() {
            builder.append_data(&mut header, path, *content).unwrap();
        } else {
            builder.append_link(&mut header, path, link).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn file<'a>(path: &'a str, content: &'a [u8]) -> (&'a str, EntryType, &'a str, &'a [u8]) {
    (path, EntryType::Regular, "", content)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn read(packed: &[u8], packing: Packing, limits: Limits) -> Result<Layer, LayerError> {
    Layer::read(packed, packed.len().try_into().unwrap(), packing, limits)
}

/// What a layer does, in words.
fn said(layer: &Layer) -> Vec<String> {
    let word = |entry: &Entry| match &entry.kind {
        Kind::File { size, .. } => format!("{} {size}", entry.path),
        Kind::Folder => format!("{}/", entry.path),
        Kind::HardLink(to) => format!("{} = {to}", entry.path),
        Kind::Symlink(to) => format!("{} -> {to}", entry.path),
        Kind::Other => format!("{} other", entry.path),
        Kind::Gone => format!("{} gone", entry.path),
        Kind::Emptied => format!("{}/ emptied", entry.path),
    };
    layer.entries.iter().map(word).collect()
}

#[test]
fn what_a_layer_does_is_seen_however_it_is_packed() {
    let long = format!("{}/x", "long/".repeat(60));
    let plain = tar(&[
        ("./", EntryType::Directory, "", b""),
        ("./etc/", EntryType::Directory, "", b""),
        file("etc/hello", b"hello"),
        file(&long, b"x"),
        ("lib", EntryType::Symlink, "usr/lib", b""),
        ("etc/hi", EntryType::Link, "./etc/hello", b""),
        file("etc/.wh.gone", b""),
        file(".wh.top", b""),
        file("var/.wh..wh..opq", b""),
        ("dev/null", EntryType::Char, "", b""),
    ]);
    let expected = [
        "etc/",
        "etc/hello 5",
        &format!("{} 1", normal(&long)),
        "lib -> usr/lib",
        "etc/hi = etc/hello",
        "etc/gone gone",
        "top gone",
        "var/ emptied",
        "dev/null other",
    ];
    let layer = read(&plain, Packing::Plain, NO_LIMITS).unwrap();
    assert_eq!(said(&layer), expected);
    assert_eq!(layer.diff_id, Digest::of(&plain));
    assert_eq!(layer.unpacked, u64::try_from(plain.len()).unwrap());
    let (first, rest) = plain.split_at(700);
    // A frame that readers skip (RFC 8878 3.1.2), as is put before layers that can be read in parts.
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd(&plain)].concat();
    for (packed, packing) in [
        (gzip(&plain), Packing::Gzip),
        ([gzip(first), gzip(rest)].concat(), Packing::Gzip),
        (zstd(&plain), Packing::Zstd),
        ([zstd(first), zstd(rest)].concat(), Packing::Zstd),
        (skipped, Packing::Zstd),
    ] {
        assert_eq!(read(&packed, packing, NO_LIMITS).unwrap(), layer, "{packing:?}");
    }
}

#[test]
fn what_stands_behind_the_end_counts_for_the_digest_and_is_no_entry() {
    let mut plain = tar(&[file("a", b"a")]);
    plain.resize(plain.len() + 20480, 0);
    plain.extend(tar(&[file("b", b"b")]));
    let layer = read(&plain, Packing::Plain, NO_LIMITS).unwrap();
    assert_eq!((said(&layer), layer.diff_id), (vec!["a 1".to_owned()], Digest::of(&plain)));
}

#[test]
fn a_path_leads_nowhere_but_below_the_root() {
    for (path, expected) in [
        ("a/b", "a/b"),
        ("./a//b/", "a/b"),
        ("/a", "a"),
        ("../../a", "a"),
        ("a/../../b", "b"),
        ("..", ""),
        ("", ""),
    ] {
        assert_eq!(normal(path), expected, "{path}");
    }
}

#[test]
fn who_runs_with_the_rights_of_another_is_seen() {
    let mut builder = Builder::new(Vec::new());
    for (path, mode) in [("user", 0o4755), ("group", 0o2755), ("none", 0o1755)] {
        let mut header = Header::new_ustar();
        header.set_size(0);
        header.set_mode(mode);
        builder.append_data(&mut header, path, &b""[..]).unwrap();
    }
    let layer = read(&builder.into_inner().unwrap(), Packing::Plain, NO_LIMITS).unwrap();
    let is_setuid = |entry: &Entry| matches!(entry.kind, Kind::File { is_setuid: true, .. });
    assert_eq!(layer.entries.iter().map(is_setuid).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn the_description_of_an_entry_is_about_the_next_one_alone_and_has_a_limit() {
    let described = |records: &[u8]| {
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(records.len().try_into().unwrap());
        builder.append_data(&mut header, "pax", records).unwrap();
        for name in ["one", "two"] {
            let mut header = Header::new_ustar();
            header.set_size(0);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &b""[..]).unwrap();
        }
        read(&builder.into_inner().unwrap(), Packing::Plain, NO_LIMITS)
    };
    assert_eq!(said(&described(b"16 path=renamed\n").unwrap()), ["renamed 0", "two 0"]);
    let long = vec![b'x'; 2 << 20];
    assert!(matches!(described(&long), Err(LayerError::Description)));
    let path = format!("5012 path={}\n", "y".repeat(5001));
    assert!(matches!(described(path.as_bytes()), Err(LayerError::Path)));
}

#[test]
fn what_is_cut_off_or_no_layer_is_an_error() {
    let plain = tar(&[file("a", &[7; 3000])]);
    assert!(matches!(read(&plain[..1000], Packing::Plain, NO_LIMITS), Err(LayerError::Unpack(_))));
    for (packed, packing) in [(gzip(&plain), Packing::Gzip), (zstd(&plain), Packing::Zstd)] {
        let cut = packed.get(..packed.len() - 9).unwrap();
        assert!(matches!(read(cut, packing, NO_LIMITS), Err(LayerError::Unpack(_))), "{packing:?}");
        assert!(matches!(read(&plain, packing, NO_LIMITS), Err(LayerError::Unpack(_))), "{packing:?}");
    }
    let mut sparse = tar(&[file("a", b"")]);
    sparse[156] = b'S';
    let sum: u32 = sparse[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    sparse[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(matches!(read(&sparse, Packing::Plain, NO_LIMITS), Err(LayerError::Sparse)));
}

#[test]
fn a_zstd_layer_may_not_ask_for_more_memory_than_is_allowed() {
    // A frame of unknown size whose window is 2^(10 + exponent) bytes (RFC 8878 3.1.1.1.2), and of it one empty block.
    let frame = |exponent: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 1, 0, 0];
    assert!(read(&frame(17), Packing::Zstd, NO_LIMITS).is_ok());
    assert!(matches!(read(&frame(18), Packing::Zstd, NO_LIMITS), Err(LayerError::Unpack(_))));
}

#[test]
fn a_layer_may_become_as_large_as_is_allowed_and_not_a_byte_larger() {
    let plain = tar(&[file("a", &vec![0; 100_000])]);
    let size = u64::try_from(plain.len()).unwrap();
    for (packed, packing) in
        [(plain.clone(), Packing::Plain), (gzip(&plain), Packing::Gzip), (zstd(&plain), Packing::Zstd)]
    {
        let large = |unpacked| read(&packed, packing, Limits { unpacked, ..NO_LIMITS });
        assert_eq!(large(size).unwrap().unpacked, size, "{packing:?}");
        assert!(matches!(large(size - 1), Err(LayerError::Large(limit)) if limit == size - 1), "{packing:?}");
    }
    let nothing = gzip(b"").repeat(100);
    assert!(matches!(
        read(&nothing, Packing::Gzip, Limits { unpacked: 1000, ..NO_LIMITS }),
        Err(LayerError::Large(1000))
    ));
    let packed = gzip(&plain);
    let grown = |ratio, ratio_from| read(&packed, Packing::Gzip, Limits { ratio, ratio_from, ..NO_LIMITS });
    assert!(matches!(grown(10, 50_000), Err(LayerError::Bomb(10))));
    assert!(grown(10, size).is_ok());
    assert!(grown(1000, 50_000).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..3000), at in 0..2000_usize) {
        let mut plain = tar(&[file("a/node_modules/b/package.json", b"{}"), ("l", EntryType::Symlink, "a", b"")]);
        for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
            read(&bytes, packing, NO_LIMITS).ok();
        }
        bytes.truncate(40);
        let until = (at + bytes.len()).min(plain.len());
        let from = at.min(until);
        plain[from..until].copy_from_slice(&bytes[..until - from]);
        for (packed, packing) in [(gzip(&plain), Packing::Gzip), (zstd(&plain), Packing::Zstd), (plain, Packing::Plain)] {
            read(&packed, packing, NO_LIMITS).ok();
        }
    }
}
