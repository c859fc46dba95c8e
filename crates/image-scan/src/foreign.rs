//! Files in JSON that others wrote, and that are in memory whole: not larger than any real one, and not of more values.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The most bytes: those of a report about one image are a few million.
const LARGEST: u64 = 64 * 1024 * 1024;
/// The most values: each takes up to a hundred bytes of memory, however short it is written.
const VALUES: usize = 8_000_000;

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read, or is more than anybody needs.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|size| LARGEST < size) {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    // Each value but the first stands behind one of these, which may stand in texts as well.
    let behind = bytes.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{'));
    if VALUES < behind.count() {
        return Err(io::Error::other(format!("it has more than {VALUES} values")));
    }
    Ok(bytes)
}
