//! `Layer`: what one layer does to the files of an image, in one pass over its tar. Nothing is unpacked to disk, and of a file only what
//! is looked for in it is kept.

mod pax;

use std::io::{self, BufRead, BufReader, Read};

use sha2::{Digest as _, Sha256};
use shipkit_core::Digest;
use tar::{Archive, Entry as Header, EntryType};

use crate::inventory::{Found, Wanted};

/// The longest path of a file: longer ones no system has.
const PATH: usize = 4096;
/// The longest description of the next entry: its path, in a form for long ones.
const DESCRIPTION: u64 = 1024 * 1024;
/// How far back a zstd frame may refer, as a power of two: 128 MiB of memory, which is what `zstd -d` allows as well.
const WINDOW: u32 = 27;
/// The most entries: each is kept, because a later layer may remove it.
const ENTRIES: usize = 2_000_000;
/// The most memory that paths and what is found may take.
const KEPT: usize = 256 * 1024 * 1024;
/// The name with which a layer says that a file of the layers below is gone (OCI image-spec, layer.md).
const WHITEOUT: &str = ".wh.";
/// The name with which it says that of everything in a folder.
const OPAQUE: &str = ".wh..wh..opq";

/// What a layer does, entry by entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// In the order of its tar.
    pub(crate) entries: Vec<Entry>,
    /// The digest of its tar.
    pub(crate) diff_id: Digest,
    /// The size of its tar.
    pub(crate) unpacked: u64,
}

/// One entry of a layer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From the root, without a slash before it.
    pub(crate) path: Box<str>,
    pub(crate) kind: Kind,
}

/// What there is at a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File {
        size: u64,
        /// Whoever runs it gets the rights of its owner or group.
        is_setuid: bool,
        found: Option<Box<Found>>,
    },
    Folder,
    /// The same file as at this path.
    HardLink(Box<str>),
    /// As it is written.
    Symlink(Box<str>),
    /// A device or the like.
    Other,
    /// What was there is gone.
    Gone,
    /// What was in this folder is gone.
    Emptied,
}

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// What a layer may grow to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of its tar.
    pub(crate) unpacked: u64,
    /// How many times as large as it is packed it may become, once it has reached `ratio_from` bytes.
    pub(crate) ratio: u64,
    pub(crate) ratio_from: u64,
}

/// Why a layer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("it cannot be unpacked")]
    Unpack(#[source] io::Error),
    #[error("it unpacks to more than {0} bytes")]
    Large(u64),
    #[error("it unpacks to {0} times its size, as only a bomb does")]
    Bomb(u64),
    #[error("it has more than {ENTRIES} entries")]
    Entries,
    #[error("its paths, and what is found in its files, take more than {KEPT} bytes")]
    Kept,
    #[error("the path of an entry is longer than {PATH} bytes")]
    Path,
    #[error("the path of an entry has a zero byte in it")]
    Zero,
    #[error("an entry takes away what is no name of a file")]
    Whiteout,
    #[error("what an entry says of its size can be read in two ways")]
    Ambiguous,
    #[error("an entry is described in more than {DESCRIPTION} bytes")]
    Description,
    #[error("an entry is a sparse file, which cannot be read here")]
    Sparse,
}

impl Packing {
    /// By the media type of a layer; none where it is not known here.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
                Some(Self::Plain)
            }
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The media type of a layer that is packed so.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

impl Layer {
    /// Reads a layer to the end of its bytes, of which there are `size`.
    ///
    /// # Errors
    /// When it is not what it should be, or more than `limits` allow: then nothing of it counts.
    pub(crate) fn read(
        packed: impl Read,
        size: u64,
        packing: Packing,
        limits: Limits,
    ) -> Result<Self, LayerError> {
        // Much may unpack to nothing, and takes its time as well.
        if limits.unpacked < size {
            return Err(LayerError::Large(limits.unpacked));
        }
        match packing {
            Packing::Plain => Self::unpacked(packed, size, limits),
            // Of several members one after the other, as `gzip` has it.
            Packing::Gzip => {
                Self::unpacked(flate2::bufread::MultiGzDecoder::new(BufReader::new(packed)), size, limits)
            }
            Packing::Zstd => {
                let frames = frames(BufReader::new(packed)).map_err(LayerError::Unpack)?;
                Self::unpacked(frames, size, limits)
            }
        }
    }

    fn unpacked(tar: impl Read, size: u64, limits: Limits) -> Result<Self, LayerError> {
        let counted = Counted { inner: tar, hash: Sha256::new(), seen: 0, size, limits, over: None };
        let mut archive = Archive::new(BufReader::with_capacity(64 * 1024, counted));
        let mut entries = Vec::new();
        let read = read_entries(&mut archive, &mut entries);
        let mut rest = archive.into_inner();
        // Behind the end of the archive there may be more, and it counts for the digest.
        let drained = read.is_ok().then(|| io::copy(&mut rest, &mut io::sink()).map_err(LayerError::Unpack));
        let counted = rest.into_inner();
        if let Some(over) = counted.over {
            return Err(over);
        }
        read?;
        drained.transpose()?;
        let diff_id = Digest::from_sha256(counted.hash.finalize().as_ref());
        Ok(Self { entries, diff_id, unpacked: counted.seen })
    }
}

/// What an entry before it says about the next one.
#[derive(Default)]
struct Described {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`EntryType` is not ours and grows")]
fn read_entries<R: Read>(archive: &mut Archive<R>, entries: &mut Vec<Entry>) -> Result<(), LayerError> {
    let (mut described, mut kept) = (Described::default(), 0_usize);
    // Raw: long descriptions are read here, and not without a limit.
    for header in archive.entries().map_err(LayerError::Unpack)?.raw(true) {
        let mut header = header.map_err(LayerError::Unpack)?;
        match header.header().entry_type() {
            EntryType::GNULongName => described.path = Some(long_name(&mut header)?),
            EntryType::GNULongLink => described.link = Some(long_name(&mut header)?),
            EntryType::XHeader => described.take(&description(&mut header)?)?,
            // It is about all entries, and never about their paths.
            EntryType::XGlobalHeader => {}
            EntryType::GNUSparse => return Err(LayerError::Sparse),
            kind => {
                if let Some(entry) = entry(&mut header, kind, std::mem::take(&mut described))? {
                    kept = kept.saturating_add(entry.weight());
                    if ENTRIES <= entries.len() {
                        return Err(LayerError::Entries);
                    }
                    if KEPT < kept {
                        return Err(LayerError::Kept);
                    }
                    entries.push(entry);
                }
            }
        }
    }
    Ok(())
}

fn description<R: Read>(header: &mut Header<'_, R>) -> Result<Vec<u8>, LayerError> {
    let mut text = Vec::new();
    let size = header.take(DESCRIPTION + 1).read_to_end(&mut text).map_err(LayerError::Unpack)?;
    if u64::try_from(size).is_ok_and(|size| size <= DESCRIPTION) {
        Ok(text)
    } else {
        Err(LayerError::Description)
    }
}

fn long_name<R: Read>(header: &mut Header<'_, R>) -> Result<Vec<u8>, LayerError> {
    let mut name = description(header)?;
    // It ends with a zero byte.
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    Ok(name)
}

impl Described {
    fn take(&mut self, records: &[u8]) -> Result<(), LayerError> {
        for record in pax::records(records) {
            let (key, value) = record.map_err(invalid)?;
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                    self.size = Some(size.ok_or(LayerError::Ambiguous)?);
                }
                _ if key.starts_with(b"GNU.sparse.") => return Err(LayerError::Sparse),
                _ => {}
            }
        }
        Ok(())
    }
}

fn invalid(error: pax::NoRecord) -> LayerError {
    LayerError::Unpack(io::Error::new(io::ErrorKind::InvalidData, error))
}

/// An entry, unless it is the root itself.
#[expect(clippy::wildcard_enum_match_arm, reason = "`EntryType` is not ours and grows")]
fn entry<R: Read>(
    header: &mut Header<'_, R>,
    kind: EntryType,
    described: Described,
) -> Result<Option<Entry>, LayerError> {
    let path = described.path.unwrap_or_else(|| header.path_bytes().into_owned());
    let link = described.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
    if PATH < path.len() || link.as_ref().is_some_and(|link| PATH < link.len()) {
        return Err(LayerError::Path);
    }
    if path.contains(&0) || link.as_ref().is_some_and(|link| link.contains(&0)) {
        return Err(LayerError::Zero);
    }
    check_size(header, kind, described.size, path.ends_with(b"/"))?;
    let path = normal(&String::from_utf8_lossy(&path));
    let link = String::from_utf8_lossy(&link.unwrap_or_default()).into_owned();
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if name == OPAQUE {
        return Ok(Some(Entry { path: folder.into(), kind: Kind::Emptied }));
    }
    if let Some(name) = name.strip_prefix(WHITEOUT) {
        // Of these one leads to the folder itself, and one out of it.
        if matches!(name, "" | "." | "..") {
            return Err(LayerError::Whiteout);
        }
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        return Ok(Some(Entry { path: path.into(), kind: Kind::Gone }));
    }
    if path.is_empty() {
        return Ok(None);
    }
    let kind = match kind {
        EntryType::Directory => Kind::Folder,
        EntryType::Link => Kind::HardLink(normal(&link).into()),
        EntryType::Symlink => Kind::Symlink(link.into()),
        EntryType::Regular | EntryType::Continuous => {
            let size = header.header().entry_size().map_err(LayerError::Unpack)?;
            let mode = header.header().mode().map_err(LayerError::Unpack)?;
            let found = match Wanted::of(&path, mode) {
                Some(wanted) => wanted.read(header, size).map_err(LayerError::Unpack)?.map(Box::new),
                None => None,
            };
            Kind::File { size, is_setuid: mode & 0o6000 != 0, found }
        }
        _ => Kind::Other,
    };
    Ok(Some(Entry { path: path.into(), kind }))
}

/// Whether it is clear where the next entry begins. Programs do not agree on sizes of what holds nothing, nor where there are two of them,
/// and then one sees files that another takes for the content of one.
#[expect(clippy::wildcard_enum_match_arm, reason = "`EntryType` is not ours and grows")]
fn check_size<R: Read>(
    header: &Header<'_, R>,
    kind: EntryType,
    described: Option<u64>,
    is_folder: bool,
) -> Result<(), LayerError> {
    let size = header.header().entry_size().map_err(LayerError::Unpack)?;
    let holds_something = match kind {
        EntryType::Directory
        | EntryType::Link
        | EntryType::Symlink
        | EntryType::Char
        | EntryType::Block
        | EntryType::Fifo => false,
        _ => !is_folder,
    };
    let is_clear = described.is_none_or(|described| described == size) && (size == 0 || holds_something);
    if is_clear { Ok(()) } else { Err(LayerError::Ambiguous) }
}

/// A path from the root: no `.`, and `..` leads no further than the root.
pub(crate) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Counts and hashes what comes through, up to the limits.
struct Counted<R> {
    inner: R,
    hash: Sha256,
    seen: u64,
    /// How large it is packed.
    size: u64,
    limits: Limits,
    /// Which limit was exceeded.
    over: Option<LayerError>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.seen = self.seen.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        let Limits { unpacked, ratio, ratio_from } = self.limits;
        if unpacked < self.seen {
            self.over = Some(LayerError::Large(unpacked));
        } else if ratio_from < self.seen && self.size.saturating_mul(ratio) < self.seen {
            self.over = Some(LayerError::Bomb(ratio));
        }
        if self.over.is_some() { Err(io::Error::other("too much")) } else { Ok(count) }
    }
}

/// The frames of a zstd file, one after the other (RFC 8878 3).
fn frames<R: BufRead>(packed: R) -> io::Result<zstd::Decoder<'static, R>> {
    let mut decoder = zstd::Decoder::with_buffer(packed)?;
    decoder.window_log_max(WINDOW)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests;
