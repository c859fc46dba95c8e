//! How what was read of a layer stands in a file: each path by what it has more than the one before, as most are in the same folder.

use std::io::{self, BufRead, Write};

use shipkit_core::Digest;

use super::bytes::{Reader, Writer, damaged};
use crate::inventory::Found;
use crate::layer::{Entry, Kind, Layer};

const MAGIC: &str = "shipkit-layer";

/// What decides what is read of a layer, and how it is kept. With any of it the version changes, so that nothing is taken of what other code
/// read.
const SOURCES: [&[u8]; 18] = [
    include_bytes!("form.rs"),
    include_bytes!("bytes.rs"),
    include_bytes!("../layer.rs"),
    include_bytes!("../layer/pax.rs"),
    include_bytes!("../inventory.rs"),
    include_bytes!("../inventory/crates.rs"),
    include_bytes!("../inventory/database.rs"),
    include_bytes!("../inventory/java.rs"),
    include_bytes!("../inventory/java/stream.rs"),
    include_bytes!("../inventory/language.rs"),
    include_bytes!("../inventory/program.rs"),
    include_bytes!("../inventory/stored.rs"),
    include_bytes!("../inventory/system.rs"),
    include_bytes!("../inventory/weight.rs"),
    include_bytes!("../../../shipkit-core/src/leak/file.rs"),
    include_bytes!("../../../shipkit-core/src/leak/mod.rs"),
    include_bytes!("../../../shipkit-core/src/leak/name.rs"),
    include_bytes!("../../../shipkit-core/src/leak/shape.rs"),
];

/// The version of all of this.
pub(super) const VERSION: u64 = version(&SOURCES);

/// After Fowler, Noll and Vo: nobody attacks it, it only has to change.
pub(super) const fn version(mut sources: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    while let [source, rest @ ..] = sources {
        let mut bytes = *source;
        // Eight at a time: what a compiler evaluates should not take it long.
        while let [a, b, c, d, e, f, g, h, rest @ ..] = bytes {
            hash ^= u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
            bytes = rest;
        }
        while let [byte, rest @ ..] = bytes {
            hash ^= u64::from_le_bytes([*byte, 0, 0, 0, 0, 0, 0, 0]);
            hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
            bytes = rest;
        }
        sources = rest;
    }
    hash
}

/// Kinds of entries.
const FILE: u64 = 0;
const FOLDER: u64 = 1;
const HARD_LINK: u64 = 2;
const SYMLINK: u64 = 3;
const OTHER: u64 = 4;
const GONE: u64 = 5;
const EMPTIED: u64 = 6;
/// Of a file: it has setuid; something was found in it.
const SETUID: u64 = 8;
const FOUND: u64 = 16;

pub(super) fn write(to: &mut Writer<impl Write>, digest: &Digest, layer: &Layer) -> io::Result<()> {
    to.text(MAGIC)?;
    to.number(VERSION)?;
    to.text(digest.hex())?;
    to.text(layer.diff_id.hex())?;
    to.number(layer.unpacked)?;
    to.count(layer.entries.len())?;
    let mut before = "";
    for Entry { path, kind } in &layer.entries {
        let shared = shared(before, path);
        to.number(code(kind))?;
        to.count(shared)?;
        to.text(path.get(shared..).unwrap_or_default())?;
        match kind {
            Kind::File { size, found, .. } => {
                to.number(*size)?;
                if let Some(found) = found {
                    found.write(to)?;
                }
            }
            Kind::HardLink(link) | Kind::Symlink(link) => to.text(link)?,
            Kind::Folder | Kind::Other | Kind::Gone | Kind::Emptied => {}
        }
        before = path;
    }
    Ok(())
}

pub(super) fn read(from: &mut Reader<impl BufRead>, digest: &Digest) -> io::Result<Layer> {
    if from.text()? != MAGIC || from.number()? != VERSION || from.text()? != digest.hex() {
        return Err(damaged("what was read of another layer"));
    }
    let diff_id = format!("sha256:{}", from.text()?).parse();
    let diff_id = diff_id.map_err(|_not_one| damaged("a digest that is none"))?;
    let (unpacked, count) = (from.number()?, from.count()?);
    // As many as a layer may have, and no more memory than there are.
    let mut entries = Vec::with_capacity(count.min(1 << 17));
    let mut path = String::new();
    for _ in 0..count {
        let code = from.number()?;
        let shared = from.count()?;
        if !path.is_char_boundary(shared) {
            return Err(damaged("a path that is none"));
        }
        path.truncate(shared);
        from.text_into(&mut path)?;
        let kind = kind(code, from)?;
        entries.push(Entry { path: path.as_str().into(), kind });
    }
    entries.shrink_to_fit();
    Ok(Layer { entries, diff_id, unpacked })
}

fn code(kind: &Kind) -> u64 {
    match kind {
        Kind::File { is_setuid, found, .. } => {
            FILE | if *is_setuid { SETUID } else { 0 } | if found.is_some() { FOUND } else { 0 }
        }
        Kind::Folder => FOLDER,
        Kind::HardLink(_) => HARD_LINK,
        Kind::Symlink(_) => SYMLINK,
        Kind::Other => OTHER,
        Kind::Gone => GONE,
        Kind::Emptied => EMPTIED,
    }
}

fn kind(code: u64, from: &mut Reader<impl BufRead>) -> io::Result<Kind> {
    if code & 7 == FILE && code <= SETUID | FOUND {
        let size = from.number()?;
        let found = if code & FOUND == 0 { None } else { Some(Box::new(Found::read(from)?)) };
        return Ok(Kind::File { size, is_setuid: code & SETUID != 0, found });
    }
    match code {
        FOLDER => Ok(Kind::Folder),
        HARD_LINK => Ok(Kind::HardLink(from.text()?.into())),
        SYMLINK => Ok(Kind::Symlink(from.text()?.into())),
        OTHER => Ok(Kind::Other),
        GONE => Ok(Kind::Gone),
        EMPTIED => Ok(Kind::Emptied),
        _ => Err(damaged("an entry that is none")),
    }
}

/// How many bytes two paths have in common, whole characters.
fn shared(before: &str, path: &str) -> usize {
    let common = before.bytes().zip(path.bytes()).take_while(|(one, other)| one == other).count();
    (0..=common).rev().find(|at| path.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_version_is_of_all_that_reads_layers() {
        let own = include_str!("form.rs");
        let named: BTreeSet<&str> = own
            .lines()
            .filter_map(|line| {
                line.trim().strip_prefix("include_bytes!(\"../inventory/")?.strip_suffix("\"),")
            })
            .collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inventory");
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                files.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
        // It is asked of all layers together; and tests read none.
        for other in ["modules.rs", "tests.rs"] {
            assert!(files.remove(other), "{other}");
        }
        assert!(
            files.iter().all(|file| named.contains(file.as_str())),
            "{files:?}, of which are named: {named:?}"
        );
    }

    #[test]
    fn another_source_is_another_version() {
        assert_ne!(version(&[b"a", b"b"]), version(&[b"a", b"c"]));
        assert_ne!(version(&[b"a"]), version(&[b"a", b"b"]));
    }
}
