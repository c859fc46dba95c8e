//! The cache: kept, found again, damaged, bounded.

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::inventory::Found;
use crate::layer::{Entry, Kind};

fn entry(path: &str, kind: Kind) -> Entry {
    Entry { path: path.into(), kind }
}

fn file(size: u64, is_setuid: bool, found: Option<Found>) -> Kind {
    Kind::File { size, is_setuid, found: found.map(Box::new) }
}

fn layer() -> Layer {
    let entries = vec![
        entry("usr", Kind::Folder),
        entry("usr/bin/ä", file(0, false, None)),
        entry("usr/bin/ö", file(u64::MAX, true, None)),
        entry("usr/lib", file(300, true, Some(Found::Secret("a login")))),
        entry("usr/lib/x", file(1, false, Some(Found::Unreadable("why".to_owned())))),
        entry("a", Kind::HardLink("usr/lib".into())),
        entry("b", Kind::Symlink("../x".into())),
        entry("c", Kind::Other),
        entry("d", Kind::Gone),
        entry("", Kind::Emptied),
    ];
    Layer { entries, diff_id: Digest::of(b"tar"), unpacked: 12345 }
}

fn cache() -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path().join("not/there"));
    (folder, cache)
}

fn path(cache: &Cache, digest: &Digest) -> PathBuf {
    cache.folder.join(name(digest))
}

#[test]
fn a_layer_that_is_kept_is_the_one_that_was_read() {
    let ((_folder, cache), digest) = (cache(), Digest::of(b"a"));
    assert_eq!(cache.get(&digest), None);
    cache.put(&digest, &layer());
    assert_eq!(cache.get(&digest), Some(layer()));
    assert_eq!((cache.get(&Digest::of(b"b")), cache.told()), (None, Vec::new()));
    // Again, over what is there; and nothing else is left in the folder.
    cache.put(&digest, &layer());
    assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1);
}

#[test]
fn what_is_damaged_or_about_something_else_is_told_and_not_taken() {
    let ((_folder, cache), digest, other) = (cache(), Digest::of(b"a"), Digest::of(b"b"));
    cache.put(&digest, &layer());
    let good = fs::read(path(&cache, &digest)).unwrap();
    fs::write(path(&cache, &other), &good).unwrap();
    assert_eq!(cache.get(&other), None);
    assert!(cache.told()[0].contains("another layer"));
    let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|cut| good[..cut].to_vec()).collect();
    bad.extend((0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        bytes
    }));
    bad.push([&good[..], b"more"].concat());
    bad.push([&good[..], &good[..]].concat());
    for bytes in bad {
        fs::write(path(&cache, &digest), &bytes).unwrap();
        let found = cache.get(&digest);
        // Of a byte of the header of a frame that means nothing, nothing changes.
        assert!(found.is_none() || found == Some(layer()));
        assert_eq!(cache.told().len(), usize::from(found.is_none()));
    }
    fs::write(path(&cache, &digest), b"").unwrap();
    assert_eq!(cache.get(&digest), None);
    cache.put(&digest, &layer());
    assert_eq!(cache.get(&digest), Some(layer()));
}

#[test]
fn what_was_not_used_for_longest_goes_first_and_files_of_others_stay() {
    let (_folder, mut cache) = cache();
    let digests = [b"a", b"b", b"c", b"d"].map(|text| Digest::of(text));
    for (number, digest) in (1..).zip(&digests[..3]) {
        cache.put(digest, &layer());
        let file = File::options().write(true).open(path(&cache, digest)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(number)).unwrap();
    }
    let one = fs::metadata(path(&cache, &digests[0])).unwrap().len();
    fs::write(cache.folder.join("notes.txt"), vec![0; 100_000]).unwrap();
    fs::write(cache.folder.join(format!("{}.1-2{UNDER_WAY}", name(&digests[0]))), "cut off").unwrap();
    // The first one is used, and is the newest then.
    assert!(cache.get(&digests[0]).is_some());
    cache.size = one * 2 + 100;
    cache.put(&digests[3], &layer());
    let left = digests.iter().map(|digest| path(&cache, digest).exists()).collect::<Vec<_>>();
    assert_eq!(left.iter().filter(|is_left| **is_left).count(), 2, "{left:?}");
    assert!(!left[1] && left[3] && cache.folder.join("notes.txt").exists());
}

#[test]
fn where_nothing_can_be_kept_that_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let cache = Cache::new(folder.path().join("file/below"));
    for _ in 0..2 {
        cache.put(&Digest::of(b"a"), &layer());
    }
    let told = cache.told();
    assert!(told.len() == 1 && told[0].starts_with("layers cannot be kept in"), "{told:?}");
}

#[test]
fn the_folder_is_that_of_the_user_if_there_is_one() {
    for (cache, home, expected) in [
        (None, None, None),
        (None, Some("/root"), Some("/root/.cache/shipkit/layers")),
        (Some("/cache"), Some("/root"), Some("/cache/shipkit/layers")),
        (Some("cache"), None, None),
        (Some(""), Some(""), None),
    ] {
        assert_eq!(Cache::folder_of(cache, home), expected.map(PathBuf::from), "{cache:?} {home:?}");
    }
}
