//! Packs files into a zip that never lies anywhere as a whole: it leaves in blocks while it is made.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The size of a block; the last one may be smaller.
pub(crate) const BLOCK: usize = 4 * 1024 * 1024;
/// A file that still grows must end somewhere.
const FILE_LIMIT: u64 = 2 * 1024 * 1024 * 1024;

/// Packs the files of `root` and sends the blocks; it waits where nobody takes them.
///
/// # Errors
/// When a file cannot be read, or nobody takes the blocks any more.
pub(crate) fn pack(root: &Path, files: &[PathBuf], blocks: mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let mut zip = ZipWriter::new_stream(Blocks { blocks, open: Vec::new() });
    let options = SimpleFileOptions::default().unix_permissions(0o644);
    for path in files {
        let mut file = File::open(root.join(path))?.take(FILE_LIMIT);
        zip.start_file(path.to_string_lossy(), options)?;
        io::copy(&mut file, &mut zip)?;
    }
    zip.finish()?.into_inner().send()
}

/// A writer that hands on what it has whenever it is a block.
struct Blocks {
    blocks: mpsc::Sender<Vec<u8>>,
    open: Vec<u8>,
}

impl Blocks {
    fn send(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.open);
        self.blocks.blocking_send(block).map_err(|_nobody| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK.saturating_sub(self.open.len()).min(bytes.len());
        let (now, _) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.open.extend_from_slice(now);
        if self.open.len() == BLOCK {
            self.send()?;
        }
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
