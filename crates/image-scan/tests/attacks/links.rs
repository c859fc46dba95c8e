//! Links that lead over links.

use crate::tars::{DEBIAN, add, end, file, tar};
use crate::victim::{Victim, refused};

#[test]
fn a_circle_leads_nowhere() {
    let ws = br#"{"name": "ws", "version": "1.0.0"}"#;
    let layer = tar(&[
        ("a", b'2', "b", b""),
        ("b", b'2', "a", b""),
        ("c", b'2', "c/c", b""),
        ("up", b'2', "../../../..", b""),
        ("etc/os-release", b'2', "../etc/os-release", b""),
        ("node_modules", b'2', "node_modules", b""),
        file("a/node_modules/ws/package.json", ws),
        file("c/x", b""),
    ]);
    let done = Victim::new().layer(&layer).scan();
    done.check(0, "it holds packages: 1 of npm");
}

#[test]
fn a_way_of_millions_of_steps_is_not_gone() {
    let mut tar = Vec::new();
    // Each leads over thousands of folders to the next.
    for number in 0..50 {
        let over = "x/../".repeat(800);
        add(&mut tar, (&format!("l{number}"), b'2', &format!("{over}l{}", number + 1), b""));
    }
    // Each in another folder than the one before it, as the way to a folder is gone once for files in a row.
    for number in 0..10_000 {
        add(&mut tar, file(&format!("l0/{number}"), b""));
        add(&mut tar, file(&format!("x/{number}"), b""));
    }
    refused(&Victim::new().layer(&end(tar)).scan(), "the links among the folders of");
}

#[test]
fn a_link_out_of_the_root_stays_inside() {
    let layer = tar(&[("etc", b'2', "../../../../etc", b""), file("etc/os-release", DEBIAN)]);
    refused(&Victim::with_advisories().layer(&layer).scan(), "has no database of its packages");
}
