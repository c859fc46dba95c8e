//! `Lists`: the crates of a Rust program, out of the list that `cargo auditable` puts into it: JSON, packed by zlib (its PARSING.md).
//!
//! The list is a section of its own, `.dep-v0`, but where sections are stands at the end of a program, which is not kept in memory till
//! then. So every place is tried where something packed by zlib could begin: nearly all of them fail at their first bytes, and what
//! unpacks to the beginning of such a list is one.

use std::io::Read as _;

use flate2::{Decompress, FlushDecompress};
use memchr::memchr_iter;
use serde::Deserialize;

use super::Installed;

/// The first byte of what zlib packs (RFC 1950 2.2), and the second one at each of its levels.
const FIRST: u8 = 0x78;
const SECOND: [u8; 4] = [0x01, 0x5e, 0x9c, 0xda];
/// What a list begins with.
const OPENING: &[u8] = br#"{"packages":"#;
/// The largest list; that of a program of a thousand crates takes a hundredth of it.
const LIST: usize = 8 * 1024 * 1024;
/// How many times as large as the rest of the program a list may become.
const RATIO: usize = 32;
/// One of so many bytes may look like a beginning. By chance it is one of ten thousand.
const RARE: usize = 256;

/// Looks for a list in one program.
#[derive(Debug)]
pub(super) struct Lists {
    inflate: Decompress,
    tries: usize,
    seen: usize,
}

impl Default for Lists {
    fn default() -> Self {
        Self { inflate: Decompress::new(true), tries: 0, seen: 0 }
    }
}

impl Lists {
    /// How much has to be there of a list to tell that it is one: the codes at its beginning are not longer.
    pub(super) const BEGINNING: usize = 1024;

    /// Counts what was read of the program: what it costs to look for a list goes by that.
    pub(super) fn seen(&mut self, count: usize) {
        self.seen = self.seen.saturating_add(count);
    }

    /// The first place where a list could begin.
    pub(super) fn find(bytes: &[u8]) -> Option<usize> {
        memchr_iter(FIRST, bytes).find(|at| bytes.get(at + 1).is_none_or(|second| SECOND.contains(second)))
    }

    /// Whether this is the beginning of a list.
    ///
    /// # Errors
    /// When so much looks like one that it would take too long to see.
    pub(super) fn begins(&mut self, bytes: &[u8]) -> Result<bool, String> {
        self.tries += 1;
        if 64 + self.seen / RARE < self.tries {
            return Err("too much in it looks like a list of crates".to_owned());
        }
        let mut opening = [0; OPENING.len()];
        self.inflate.reset(true);
        let beginning = bytes.get(..Self::BEGINNING).unwrap_or(bytes);
        let unpacked = self.inflate.decompress(beginning, &mut opening, FlushDecompress::None);
        Ok(unpacked.is_ok() && opening == OPENING)
    }

    /// The crates of the list that begins here: those from crates.io that are in the program. Of others nobody here knows what they are.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn read(packed: &[u8]) -> Result<Vec<Installed>, String> {
        #[derive(Deserialize)]
        struct List {
            packages: Vec<Crate>,
        }
        #[derive(Deserialize)]
        struct Crate {
            name: String,
            version: String,
            source: String,
            kind: Option<String>,
        }
        let limit = packed.len().saturating_mul(RATIO).min(LIST);
        let mut list = Vec::new();
        let unpacked = flate2::read::ZlibDecoder::new(packed)
            .take(u64::try_from(limit).unwrap_or(0))
            .read_to_end(&mut list);
        unpacked.map_err(|error| format!("its list of crates cannot be unpacked: {error}"))?;
        let list: List = serde_json::from_slice(&list)
            .map_err(|error| format!("its list of crates cannot be read: {error}"))?;
        let is_in_it = |one: &Crate| one.source == "crates.io" && one.kind.as_deref() != Some("build");
        let crates = list.packages.into_iter().filter(is_in_it);
        crates.map(|one| Installed::new(one.name, one.version)).collect()
    }
}

#[cfg(test)]
mod tests;
