//! More entries than anybody has, and such as two programs read in two ways.

use shipkit_core::Digest;

use crate::tars::{DEBIAN, STATUS, add, end, file, gzip, header, raw, record, tar};
use crate::victim::{GZIP, Victim, refused};

/// The headers of so many empty files.
fn headers(count: usize) -> Vec<u8> {
    let first = header(b"app/0000000", b'0', b"", 0);
    let mut all = first.repeat(count);
    for (number, header) in all.chunks_exact_mut(512).enumerate() {
        let name = format!("{number:07}");
        header[4..11].copy_from_slice(name.as_bytes());
        // Only the digits differ from those of the first, which are zeros.
        let sum: u32 = first.iter().map(|byte| u32::from(*byte)).sum::<u32>()
            - first[148..156].iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let sum = sum + 8 * 32 + name.bytes().map(|byte| u32::from(byte - b'0')).sum::<u32>();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    all
}

#[test]
fn a_million_files_are_looked_at() {
    let tar = end(headers(1_000_000));
    let (packed, digest) = (gzip(&tar), Digest::of(&tar));
    drop(tar);
    let victim = Victim::new().memory(512 << 20).packed(GZIP, &packed, digest);
    victim.scan().check(0, "compressed, 512.0 MB unpacked");
}

#[test]
fn more_than_two_million_entries_are_refused() {
    // The same names again are entries as well.
    let packed = gzip(&headers(200_000)).repeat(11);
    let victim = Victim::new().memory(512 << 20).packed(GZIP, &packed, Digest::of(b""));
    refused(&victim.scan(), "it has more than 2000000 entries");
}

#[test]
fn paths_that_fill_the_memory_are_refused() {
    let mut tar = Vec::new();
    for number in 0..2000_usize {
        // It must not be packed too well, or it would be a bomb.
        let start: String =
            (0..2).map(|part| Digest::of(format!("{number} {part}").as_bytes()).hex().to_owned()).collect();
        add(&mut tar, file(&format!("{start}/{}", "x".repeat(3800)), b""));
    }
    let packed = gzip(&tar).repeat(40);
    let victim = Victim::new().memory(512 << 20).packed(GZIP, &packed, Digest::of(b""));
    refused(&victim.scan(), "take more than 268435456 bytes");
    // And so are lists that do: of files of a package, and of packages.
    for (path, line) in
        [("var/lib/dpkg/info/x.list", "a\n"), ("var/lib/dpkg/status", "Package: a\nVersion: 1\n\n")]
    {
        let lines = line.repeat(16_000_000 / line.len());
        let names: Vec<_> =
            (0..8).map(|number| path.replace("status", &format!("status.d/{number}"))).collect();
        let files: Vec<_> = names.iter().map(|name| file(name, lines.as_bytes())).collect();
        let victim = Victim::new().memory(1 << 30).layer(&crate::tars::tar(&files));
        refused(&victim.scan(), "take more than 268435456 bytes");
    }
}

#[test]
fn a_path_or_a_description_has_a_limit() {
    let layer = |kind: u8, content: &[u8]| {
        let mut tar = Vec::new();
        raw(&mut tar, (b"long", kind, b""), content);
        add(&mut tar, file("a", b""));
        Victim::new().layer(&end(tar)).scan()
    };
    refused(&layer(b'L', &[b'x'; 5000]), "longer than 4096 bytes");
    refused(&layer(b'K', &[b'x'; 5000]), "longer than 4096 bytes");
    refused(&layer(b'x', &record("path", &[b'x'; 5000])), "longer than 4096 bytes");
    for kind in *b"LKx" {
        refused(&layer(kind, &vec![b'x'; 2 << 20]), "described in more than 1048576 bytes");
    }
    refused(&layer(b'x', b"no record"), "it cannot be unpacked");
}

#[test]
fn a_file_with_holes_is_refused() {
    refused(&Victim::new().layer(&tar(&[("a", b'S', "", b"")])).scan(), "a sparse file");
    let mut tar = Vec::new();
    raw(&mut tar, (b"pax", b'x', b""), &record("GNU.sparse.major", b"1"));
    add(&mut tar, file("a", b"x"));
    refused(&Victim::new().layer(&end(tar)).scan(), "a sparse file");
}

#[test]
fn nobody_hides_a_file_in_what_another_program_takes_for_its_content() {
    let hidden = tar(&[file("etc/os-release", DEBIAN), file("var/lib/dpkg/status", STATUS)]);
    // Of a link Go reads no content, whatever its size: what follows is a file there.
    for kind in *b"123456" {
        let layer = [&header(b"a", kind, b"b", hidden.len())[..], &hidden].concat();
        refused(&Victim::new().layer(&end(layer)).scan(), "can be read in two ways");
    }
    let folder = [&header(b"a/", b'0', b"", hidden.len())[..], &hidden].concat();
    refused(&Victim::new().layer(&end(folder)).scan(), "can be read in two ways");
    // The size that the description gives goes before that of the header.
    let mut tar = Vec::new();
    raw(&mut tar, (b"pax", b'x', b""), &record("size", b"0"));
    raw(&mut tar, (b"a", b'0', b""), &hidden);
    refused(&Victim::new().layer(&end(tar)).scan(), "can be read in two ways");
}

#[test]
fn an_attribute_that_looks_like_a_path_is_none() {
    let mut tar = Vec::new();
    let fake = [b"\n".as_slice(), &record("path", b"etc/os-release"), b"\n\n"].concat();
    raw(&mut tar, (b"pax", b'x', b""), &record("SCHILY.xattr.user.x", &fake));
    add(&mut tar, file("app/readme", b"ID=fake\n"));
    Victim::with_advisories().layer(&end(tar)).scan().check(0, "");
}
