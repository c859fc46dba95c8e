//! `Cache`: what was read of layers, kept in a folder between runs: a layer that was read once need not be fetched again.
//!
//! A file of it belongs to the digest of one layer and to the code that read it: both are in its name and in itself, so no other one is
//! taken for it. Whoever may write into the folder may say of any layer what he wants, as with any cache of a build.

mod bytes;
mod form;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

pub(crate) use bytes::{Reader, Writer, damaged};
use shipkit_core::Digest;

use crate::layer::Layer;

/// The most bytes that the folder keeps; beyond that what was not used for longest goes.
const SIZE: u64 = 256 * 1024 * 1024;
/// The most that one file may unpack to.
const UNPACKED: u64 = 512 * 1024 * 1024;
const ENDING: &str = ".layer";
/// What is being written.
const UNDER_WAY: &str = ".new";

/// The version of all that reads layers, and of these sources.
pub(crate) fn code(sources: &[&[u8]]) -> u64 {
    form::VERSION ^ form::version(sources)
}

/// A folder of layers.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    size: u64,
    told: Mutex<Vec<String>>,
}

impl Cache {
    /// The cache in a folder, which is made when something is kept.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, size: SIZE, told: Mutex::default() }
    }

    /// The folder for the cache of whoever has this home (XDG Base Directory Specification); none where there is no home.
    pub(crate) fn folder_of(cache_home: Option<&str>, home: Option<&str>) -> Option<PathBuf> {
        // A relative one is to be ignored, as the specification says.
        let absolute = |path: &&str| Path::new(path).is_absolute();
        let cache = cache_home.filter(absolute).map(PathBuf::from);
        let cache = cache.or_else(|| Some(Path::new(home.filter(absolute)?).join(".cache")))?;
        Some(cache.join("shipkit/layers"))
    }

    /// What is kept of a layer. Of what is damaged nothing is taken, and that is told.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Layer> {
        let path = self.folder.join(name(digest));
        let found = match File::open(&path) {
            Ok(file) => read(&file, digest).inspect(|_| {
                // When it was used last; where that cannot be set it goes earlier.
                file.set_modified(SystemTime::now()).unwrap_or_default();
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error),
        };
        found
            .map_err(|error| {
                self.tell(format!("`{}` is damaged, and the layer is read anew: {error}", path.display()));
            })
            .ok()
    }

    /// Keeps what was read of a layer. Where that cannot be, it is told, and nothing else happens.
    pub(crate) fn put(&self, digest: &Digest, layer: &Layer) {
        let kept = self.write(digest, layer).and_then(|()| self.bound());
        if let Err(error) = kept {
            self.tell(format!("layers cannot be kept in `{}`: {error}", self.folder.display()));
        }
    }

    /// What went wrong since this was asked last.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, text: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains(&text) {
            told.push(text);
        }
    }

    /// Writes a file of its own, which then takes its place at once: who reads meanwhile sees the one before or this one.
    fn write(&self, digest: &Digest, layer: &Layer) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(&self.folder)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = name(digest);
        let new = self.folder.join(format!("{name}.{}-{number}{UNDER_WAY}", process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
        let written = write(file, digest, layer).and_then(|()| fs::rename(&new, self.folder.join(name)));
        if written.is_err() {
            fs::remove_file(&new).unwrap_or_default();
        }
        written
    }

    /// Removes what was not used for longest, until the rest is small enough. Files of others stay.
    fn bound(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another run may have removed it.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_file() && entry.file_name().to_str().is_some_and(is_ours) {
                files.push((meta.modified()?, meta.len(), entry.path()));
            }
        }
        files.sort();
        let mut size = files.iter().fold(0_u64, |sum, (_, size, _)| sum.saturating_add(*size));
        for (_, own, path) in files {
            if size <= self.size {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => size = size.saturating_sub(own),
            }
        }
        Ok(())
    }
}

fn name(digest: &Digest) -> String {
    format!("{}-{:016x}{ENDING}", digest.hex(), form::VERSION)
}

/// Whether a file is one of a cache, of whichever version.
fn is_ours(name: &str) -> bool {
    let name = match name.strip_suffix(UNDER_WAY) {
        Some(new) => new.rsplit_once('.').map_or("", |(name, _)| name),
        None => name,
    };
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = name.strip_suffix(ENDING).and_then(|name| name.split_once('-'));
    parts.is_some_and(|(digest, version)| {
        digest.len() == 64 && version.len() == 16 && hex(digest) && hex(version)
    })
}

fn read(file: &File, digest: &Digest) -> io::Result<Layer> {
    use std::io::Read as _;
    let frame = zstd::Decoder::new(BufReader::new(file))?;
    let mut from = Reader::new(BufReader::with_capacity(64 * 1024, frame.take(UNPACKED)));
    let layer = form::read(&mut from, digest)?;
    // The checksum of the frame stands at its end.
    from.end()?;
    Ok(layer)
}

fn write(file: File, digest: &Digest, layer: &Layer) -> io::Result<()> {
    let mut frame = zstd::Encoder::new(BufWriter::new(file), 3)?;
    frame.include_checksum(true)?;
    let mut to = Writer::new(frame);
    form::write(&mut to, digest, layer)?;
    let mut file = to.into_inner().finish()?;
    file.flush()
}

#[cfg(test)]
mod tests;
