//! `Layout`: images in an OCI layout, a folder or a tar of one, so that a pull request is judged without a push.
//!
//! The only paths that are ever opened are `index.json` and `blobs/sha256/<64 hex>`: no text from a layout names a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use shipkit_core::exit::ExitCode;
use shipkit_core::{Digest, Hint};

use crate::manifest::size_of;
use crate::{Descriptor, MANIFEST_LIMIT, Manifest, ManifestKind, NotAManifest, OCI_INDEX};

/// An image has some hundred blobs at most.
const ENTRIES_LIMIT: usize = 100_000;
const BLOCK: u64 = 512;

/// An open OCI layout (image-spec, image-layout.md). Reads block.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    /// In a tar: where each file that we may open lies.
    places: Option<HashMap<String, Place>>,
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    size: u64,
}

/// A blob of a layout. Its last read fails unless its bytes are those of its name.
#[derive(Debug)]
pub struct CheckedBlob {
    file: io::Take<File>,
    hash: Sha256,
    digest: Digest,
}

impl io::Read for CheckedBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        if count == 0 && !buffer.is_empty() {
            let found = Digest::from_sha256(self.hash.clone().finalize().as_ref());
            if found != self.digest {
                let why = format!("it holds other bytes than its name says, those of `{found}`");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
        Ok(count)
    }
}

/// Why a layout cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The file system said no.
    #[error("`{}` cannot be read", path.display())]
    Io {
        /// The layout.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Something that the layout should have.
    #[error("the layout `{}` has no `{name}`", path.display())]
    Missing {
        /// The layout.
        path: PathBuf,
        /// The name inside it.
        name: String,
    },
    /// A blob whose bytes are not those of its name.
    #[error("`{name}` in the layout `{}` holds other bytes than its name says", path.display())]
    WrongBytes {
        /// The layout.
        path: PathBuf,
        /// The name inside it.
        name: String,
    },
    /// Larger than it may be.
    #[error("`{name}` in the layout `{}` is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The layout.
        path: PathBuf,
        /// The name inside it.
        name: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Not a tar, or one that can be read in two ways.
    #[error("`{}` is not a tar that can be read: {why}", path.display())]
    Tar {
        /// The layout.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// A manifest that cannot be used.
    #[error("`{name}` in the layout `{}` is not usable", path.display())]
    Manifest {
        /// The layout.
        path: PathBuf,
        /// The name inside it.
        name: String,
        /// Why.
        source: NotAManifest,
    },
}

impl Hint for LayoutError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } | Self::Tar { .. } => {
                Some("an OCI layout is what `docker buildx build --output type=oci` writes".to_owned())
            }
            Self::Io { .. } | Self::WrongBytes { .. } | Self::TooLarge { .. } | Self::Manifest { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Io { .. } | Self::Missing { .. } | Self::Tar { .. } => ExitCode::Usage,
            Self::WrongBytes { .. } | Self::TooLarge { .. } | Self::Manifest { .. } => ExitCode::Unknown,
        }
    }
}

impl Layout {
    /// Opens the layout at `path`: a folder, or a tar of one that is not compressed.
    ///
    /// # Errors
    /// When there is none, or its `index.json` cannot be used.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, LayoutError> {
        let path = path.into();
        let meta =
            std::fs::metadata(&path).map_err(|source| LayoutError::Io { path: path.clone(), source })?;
        let places = if meta.is_dir() { None } else { Some(places(&path)?) };
        let mut layout = Self { path, places, manifests: Vec::new() };
        let name = "index.json".to_owned();
        let bytes = layout.file(&name, MANIFEST_LIMIT)?;
        let index = Manifest::read(bytes, Some(OCI_INDEX));
        match index.map_err(|source| layout.unusable(name, source))?.kind {
            ManifestKind::Index { manifests } => layout.manifests = manifests,
            // Read as an index, it is one.
            ManifestKind::Image { .. } => {}
        }
        Ok(layout)
    }

    /// What `index.json` lists.
    #[must_use]
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// The manifest that a descriptor points at, its bytes checked.
    ///
    /// # Errors
    /// When it is not there, or not what the descriptor says.
    pub fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, LayoutError> {
        let bytes = self.blob(descriptor, MANIFEST_LIMIT)?;
        Manifest::read(bytes, Some(&descriptor.media_type))
            .map_err(|source| self.unusable(blob_name(&descriptor.digest), source))
    }

    /// The content of a descriptor of at most `max` bytes, its size and digest checked.
    ///
    /// # Errors
    /// When it is not there, too large, or not what the descriptor says.
    pub fn blob(&self, descriptor: &Descriptor, max: u64) -> Result<Bytes, LayoutError> {
        let name = blob_name(&descriptor.digest);
        if max < descriptor.size {
            return Err(LayoutError::TooLarge { path: self.path.clone(), name, limit: max });
        }
        let bytes = match self.file(&name, descriptor.size) {
            Err(LayoutError::TooLarge { path, name, .. }) => {
                return Err(LayoutError::WrongBytes { path, name });
            }
            other => other?,
        };
        if size_of(&bytes) != descriptor.size || Digest::of(&bytes) != descriptor.digest {
            return Err(LayoutError::WrongBytes { path: self.path.clone(), name });
        }
        Ok(bytes)
    }

    /// The content of a descriptor of any size, for who needs it never whole.
    ///
    /// # Errors
    /// When it is not there, or of another size than the descriptor says. That it holds other bytes is an error of the last read.
    pub fn read_blob(&self, descriptor: &Descriptor) -> Result<CheckedBlob, LayoutError> {
        let name = blob_name(&descriptor.digest);
        let (file, size) = self.open_file(&name)?;
        if size != descriptor.size {
            return Err(LayoutError::WrongBytes { path: self.path.clone(), name });
        }
        Ok(CheckedBlob { file: file.take(size), hash: Sha256::new(), digest: descriptor.digest.clone() })
    }

    /// Reads one file; `name` is one of ours.
    fn file(&self, name: &str, limit: u64) -> Result<Bytes, LayoutError> {
        let (file, size) = self.open_file(name)?;
        if limit < size {
            return Err(LayoutError::TooLarge { path: self.path.clone(), name: name.to_owned(), limit });
        }
        let mut bytes = Vec::new();
        let read = file.take(size).read_to_end(&mut bytes);
        read.map_err(|source| LayoutError::Io { path: self.path.clone(), source })?;
        Ok(bytes.into())
    }

    /// A file where it begins, and its size; `name` is one of ours.
    fn open_file(&self, name: &str) -> Result<(File, u64), LayoutError> {
        let io = |source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound {
                return LayoutError::Missing { path: self.path.clone(), name: name.to_owned() };
            }
            LayoutError::Io { path: self.path.clone(), source }
        };
        match &self.places {
            None => {
                let path = self.path.join(name);
                // A link could point at a device that never ends, or at a file that is nobody's business.
                let meta = std::fs::symlink_metadata(&path).map_err(io)?;
                if !meta.is_file() {
                    return Err(io(io::Error::other("it is not a regular file")));
                }
                Ok((File::open(&path).map_err(io)?, meta.len()))
            }
            Some(places) => {
                let place = places.get(name).ok_or_else(|| io(io::ErrorKind::NotFound.into()))?;
                let mut file = File::open(&self.path).map_err(io)?;
                file.seek(SeekFrom::Start(place.offset)).map_err(io)?;
                Ok((file, place.size))
            }
        }
    }

    fn unusable(&self, name: String, source: NotAManifest) -> LayoutError {
        LayoutError::Manifest { path: self.path.clone(), name, source }
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Whether a name in a tar is one that we may want.
fn is_wanted(name: &str) -> bool {
    let is_blob = |hex: &str| format!("sha256:{hex}").parse::<Digest>().is_ok();
    name == "index.json" || name.strip_prefix("blobs/sha256/").is_some_and(is_blob)
}

/// Finds the files of a tar (POSIX ustar). Extended headers are stepped over: they only matter for names and sizes that
/// no layout of ours has.
fn places(path: &Path) -> Result<HashMap<String, Place>, LayoutError> {
    let io = |source| LayoutError::Io { path: path.to_owned(), source };
    let bad = |why| LayoutError::Tar { path: path.to_owned(), why };
    let mut file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut found = HashMap::new();
    let mut offset = 0;
    for _ in 0..ENTRIES_LIMIT {
        let mut header = [0; 512];
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        match file.read_exact(&mut header) {
            Ok(()) if header.iter().all(|byte| *byte == 0) => return Ok(found),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(bad("it has no end")),
            Err(error) => return Err(io(error)),
        }
        let entry = Entry::read(&header).ok_or_else(|| bad("a header is damaged"))?;
        let start = offset + BLOCK;
        let end = start.checked_add(entry.size).filter(|end| *end <= length);
        let end = end.ok_or_else(|| bad("a file is cut off"))?;
        if entry.is_file && is_wanted(entry.name) {
            let place = Place { offset: start, size: entry.size };
            if found.insert(entry.name.to_owned(), place).is_some() {
                return Err(bad("a name occurs twice"));
            }
        }
        offset = end.next_multiple_of(BLOCK);
    }
    Err(bad("it has too many entries"))
}

struct Entry<'a> {
    name: &'a str,
    size: u64,
    is_file: bool,
}

impl<'a> Entry<'a> {
    fn read(header: &'a [u8; 512]) -> Option<Self> {
        let text = |from: usize, to: usize| {
            let field = header.get(from..to)?;
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            std::str::from_utf8(field.get(..end)?).ok()
        };
        let octal = |from, to| u64::from_str_radix(text(from, to)?.trim(), 8).ok();
        // The checksum is the sum of all bytes with its own field as spaces.
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        if octal(148, 156)? != sum {
            return None;
        }
        let name = text(0, 100)?;
        Some(Self {
            name: name.strip_prefix("./").unwrap_or(name),
            size: octal(124, 136)?,
            // No prefix: a longer path is none of ours.
            is_file: matches!(header.get(156)?, 0 | b'0') && header.get(345)? == &0,
        })
    }
}
