//! Lists of crates in programs. `dep-v0` is that section of a program that `cargo auditable` 0.7 built, `shop.lock` its lock file; `cargo tree
//! --edges normal,no-proc-macro` says that three of the crates there are in it.

use std::io::Write as _;

use super::super::Found;
use super::super::program;

const SECTION: &[u8] = include_bytes!("dep-v0");
const LOCK: &str = include_str!("shop.lock");

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(7));
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn crates(program: &[u8]) -> Option<Vec<String>> {
    let Found::Language("crates.io", found) = program::read(program).unwrap()? else { return None };
    Some(found.iter().map(|one| format!("{} {}", one.name, one.version)).collect())
}

fn unreadable(program: &[u8]) -> String {
    match program::read(program).unwrap() {
        Some(Found::Unreadable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_names_the_crates_of_its_lock_file_that_are_in_it() {
    let locked = |name: &str| {
        let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \"")).unwrap();
        format!("{name} {}", rest.split_once('"').unwrap().0)
    };
    let expected = ["itoa", "memchr", "thiserror"].map(locked);
    for (before, after) in
        [(0, 0), (1, 100_000), (65_535, 0), (65_000, 5000), (65_300, 300_000), (200_000, 9)]
    {
        let program = [&vec![7; before], SECTION, &vec![9; after]].concat();
        assert_eq!(crates(&program).unwrap(), expected, "{before} {after}");
    }
    // What begins like one, and is none, stands before it.
    let tried = [&b"x\x9cx\xdahellox"[..], &packed("hello"), &packed("[]"), SECTION].concat();
    assert_eq!(crates(&tried).unwrap(), expected);
    assert_eq!(crates(&SECTION[..20]), None);
    assert_eq!(crates(b""), None);
}

#[test]
fn a_crate_from_elsewhere_and_one_that_only_builds_are_not_told() {
    let list = r#"{"packages":[{"name":"a","version":"1.0.0","source":"crates.io","kind":"runtime"},
        {"name":"b","version":"1.0.0","source":"git"},{"name":"c","version":"1.0.0","source":"local","root":true},
        {"name":"d","version":"1.0.0","source":"crates.io","kind":"build"},
        {"name":"e","version":"1.0.0","source":"registry"}],"format":8}"#;
    assert_eq!(crates(&packed(list)).unwrap(), ["a 1.0.0"]);
}

#[test]
fn a_list_that_is_none_is_told() {
    for (list, expected) in [
        (packed(r#"{"packages":[{"name":1}]}"#), "cannot be read"),
        (packed(&format!(r#"{{"packages":{}"#, "[".repeat(1000))), "cannot be read"),
        (packed(&format!(r#"{{"packages":[{}]}}"#, " ".repeat(1 << 20))), "cannot be read"),
        (SECTION[..200].to_vec(), "cannot be unpacked"),
    ] {
        let why = unreadable(&list);
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn a_program_full_of_beginnings_is_not_looked_at_for_long() {
    let why = unreadable(&b"x\x9c".repeat(100_000));
    assert_eq!(why, "too much in it looks like a list of crates");
}
