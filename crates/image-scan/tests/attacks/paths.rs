//! Paths that lead out of the root, or nowhere.

use crate::tars::{DEBIAN, STATUS, end, file, raw, record, tar};
use crate::victim::{Victim, refused};

#[test]
fn nothing_is_written_wherever_paths_lead() {
    let victim = Victim::new();
    let absolute = format!("{}/taken", victim.path().display());
    let layer = tar(&[
        file("../../../../../../tmp/../taken", b"x"),
        file(&absolute, b"x"),
        file("./", b""),
        file(".", b""),
        file("..", b""),
        ("link", b'2', &absolute, b""),
        file("link/x", b"x"),
    ]);
    let victim = victim.layer(&layer);
    victim.scan().check(0, "unpacked");
    let names = |path: &std::path::Path| -> Vec<_> {
        let mut names: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(victim.path()), ["layout"]);
    assert_eq!(names(&victim.path().join("layout")), ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn every_way_to_write_a_path_is_the_same_path() {
    for [system, status] in [
        ["etc/os-release", "var/lib/dpkg/status"],
        ["/etc/os-release", "//var/lib//dpkg/status"],
        ["./etc/./os-release", "./var/../var/lib/dpkg/status"],
        ["../etc/os-release", "../../var/lib/dpkg/status"],
    ] {
        let layer = tar(&[file(system, DEBIAN), file(status, STATUS)]);
        Victim::new().layer(&layer).scan().check(0, "it holds packages: 1 of Debian:12");
    }
}

#[test]
fn a_zero_byte_in_a_path_is_refused() {
    for key in ["path", "linkpath"] {
        let mut tar = Vec::new();
        raw(&mut tar, (b"pax", b'x', b""), &record(key, b"etc/os-release\0.txt"));
        raw(&mut tar, (b"a", b'2', b"b"), b"");
        refused(&Victim::new().layer(&end(tar)).scan(), "has a zero byte in it");
    }
}
