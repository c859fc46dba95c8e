//! What layers take away, and what they put in its place.

use crate::tars::{DEBIAN, Entry, STATUS, file, tar};
use crate::victim::{Victim, refused};

/// Looks at an image of Debian with one package and one more layer.
fn above(entries: &[Entry<'_>]) -> shipkit_tests::step::Done {
    let list = b"/usr/lib/libz.so\n";
    let base = tar(&[
        file("etc/os-release", DEBIAN),
        file("usr/lib/os-release", DEBIAN),
        file("var/lib/dpkg/status", STATUS),
        file("var/lib/dpkg/info/zlib1g.list", list),
    ]);
    Victim::with_advisories().layer(&base).layer(&tar(entries)).scan()
}

#[test]
fn a_database_that_is_deleted_is_missed() {
    above(&[]).check(0, "it holds packages: 1 of Debian:12");
    for gone in [
        "var/lib/dpkg/.wh.status",
        "var/lib/.wh.dpkg",
        ".wh.var",
        "var/.wh..wh..opq",
        "var/lib/dpkg/.wh..wh..opq",
        "./var//lib/dpkg/../dpkg/.wh.status",
    ] {
        refused(&above(&[file(gone, b"")]), "has no database of its packages");
    }
    // A folder, a link or a device of that name does the same.
    for kind in *b"5236" {
        refused(&above(&[("var/lib/dpkg/.wh.status", kind, "x", b"")]), "has no database of its packages");
    }
    refused(&above(&[("l", b'2', "var/lib", b""), file("l/dpkg/.wh.status", b"")]), "has no database");
}

#[test]
fn a_database_in_place_of_which_something_else_stands_is_missed() {
    refused(&above(&[file("var/lib/dpkg/status", b"")]), "has no database of its packages");
    refused(&above(&[("var/lib/dpkg/status", b'5', "", b"")]), "has no database of its packages");
    refused(&above(&[("var/lib/dpkg/status", b'2', "/nowhere", b"")]), "has no database of its packages");
    refused(&above(&[file("var/lib/dpkg", b"")]), "has no database of its packages");
    refused(&above(&[file("var/lib/dpkg/status", b"Package: x\n")]), "cannot be read");
    let other = b"ID=other\n";
    let systems = [file("etc/os-release", other), file("usr/lib/os-release", other)];
    refused(&above(&systems), "packages of other are not known here");
}

#[test]
fn a_distribution_that_is_deleted_with_its_database_leaves_traces() {
    let systems = [file("etc/.wh.os-release", b""), file("usr/lib/.wh.os-release", b"")];
    refused(&above(&systems), "nothing says of which distribution");
    let all = [systems[0], systems[1], file("var/lib/dpkg/.wh.status", b"")];
    refused(&above(&all), "there are lists of files of packages, and no database of these");
}

#[test]
fn a_whiteout_takes_away_what_is_named_and_nothing_else() {
    for odd in ["var/lib/dpkg/.wh.", "var/lib/dpkg/.wh..", "var/lib/dpkg/x/.wh...", ".wh.", ".wh..."] {
        refused(&above(&[file(odd, b"")]), "takes away what is no name of a file");
    }
    for harmless in [
        "var/lib/dpkg/status/.wh.x",
        "var/lib/dpkg/.wh..wh..plnk",
        "var/lib/dpkg/.wh..wh.status",
        "var/lib/dpkg/.WH.status",
        "var/lib/dpkg/wh.status",
        ".wh.nothing",
    ] {
        let done = above(&[file(harmless, b"")]);
        done.check(0, "it holds packages: 1 of Debian:12");
    }
    // Only what the layers below brought is gone.
    let own = [file("var/lib/dpkg/status", STATUS), file("var/lib/dpkg/.wh..wh..opq", b"")];
    above(&own).check(0, "it holds packages: 1 of Debian:12");
}
