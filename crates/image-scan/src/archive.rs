//! `Archive`: images as `docker save` writes them, read once from beginning to end: out of a file, or as an engine sends them.
//!
//! Which layers are whose says `manifest.json`, and in most of them that comes last. So whatever it may name is kept until then: of a
//! layer what is looked for in it, of a short text all of it. No text of an archive names a file of this machine.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use shipkit_core::exit::ExitCode;
use shipkit_core::{Digest, Hint};
use shipkit_registry::{Manifest, NotAManifest};
use tar::{Entry, EntryType};

use crate::layer::{Layer, LayerError, Packing, normal};
use crate::source::GROWTH;

/// The most files of an archive: an image has some hundred at most.
const ENTRIES: usize = 100_000;
/// The largest text, and the most of all texts together.
const TEXT: u64 = 8 * 1024 * 1024;
const TEXTS: u64 = 32 * 1024 * 1024;
/// How much of a file tells what it is: its first header, where it is a tar.
const HEAD: u64 = 512;
/// How many links from one file of an archive to another are followed.
const HOPS: usize = 4;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// What was read of an archive.
#[derive(Debug)]
pub(crate) struct Archive {
    /// Its images, in its order, each with the first of its tags if it has any.
    pub(crate) images: Vec<(Option<String>, Manifest)>,
    /// Configurations by their digests.
    texts: BTreeMap<Digest, Bytes>,
    /// Layers by the digests of their files.
    layers: BTreeMap<Digest, Arc<Layer>>,
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("it is no tar that can be read to its end")]
    Tar(#[source] io::Error),
    #[error("it has no `manifest.json`")]
    NotOne,
    #[error("its `manifest.json` cannot be understood")]
    List(#[source] serde_json::Error),
    #[error("it lists no image")]
    Empty,
    #[error("it has no `{0}`")]
    Missing(String),
    #[error("`{0}` holds other bytes than its name says")]
    WrongBytes(String),
    #[error("its texts are larger than {TEXTS} bytes, or `{0}` is larger than {TEXT}")]
    Large(String),
    #[error("it has more than {ENTRIES} files")]
    Entries,
    #[error("`{0}` occurs twice")]
    Twice(String),
    #[error("the layer `{0}` cannot be read")]
    Layer(String, #[source] LayerError),
    #[error("an image of it cannot be used")]
    Manifest(#[source] NotAManifest),
}

impl Hint for ArchiveError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotOne | Self::Tar(_) => {
                Some("give what `docker save` or `docker buildx build --output type=oci` writes".to_owned())
            }
            Self::List(_)
            | Self::Empty
            | Self::Missing(_)
            | Self::WrongBytes(_)
            | Self::Large(_)
            | Self::Entries
            | Self::Twice(_)
            | Self::Layer(..)
            | Self::Manifest(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotOne => ExitCode::Usage,
            Self::Tar(_)
            | Self::List(_)
            | Self::Empty
            | Self::Missing(_)
            | Self::WrongBytes(_)
            | Self::Large(_)
            | Self::Entries
            | Self::Twice(_)
            | Self::Layer(..)
            | Self::Manifest(_) => ExitCode::Unknown,
        }
    }
}

impl Archive {
    /// Reads an archive to its end.
    ///
    /// # Errors
    /// When it is none, or anything that it says of an image is not so: then none of its images is judged.
    pub(crate) fn read(bytes: impl Read) -> Result<Self, ArchiveError> {
        let mut archive = tar::Archive::new(io::BufReader::with_capacity(64 * 1024, bytes));
        let mut files = Files::default();
        // Raw: names that are longer than a header holds are none of ours.
        let entries = archive.entries().map_err(ArchiveError::Tar)?.raw(true);
        for (number, entry) in entries.enumerate() {
            if ENTRIES <= number {
                return Err(ArchiveError::Entries);
            }
            files.take(entry.map_err(ArchiveError::Tar)?)?;
        }
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(ArchiveError::Tar)?;
        files.images()
    }

    /// The configuration with this digest.
    ///
    /// # Errors
    /// When no image of the archive has it.
    pub(crate) fn text(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.texts.get(digest).cloned().ok_or_else(|| ArchiveError::Missing(digest.to_string()))
    }

    /// The layer whose file has this digest.
    ///
    /// # Errors
    /// When no image of the archive has it.
    pub(crate) fn layer(&self, digest: &Digest) -> Result<Arc<Layer>, ArchiveError> {
        self.layers.get(digest).cloned().ok_or_else(|| ArchiveError::Missing(digest.to_string()))
    }
}

/// The files of an archive by their names.
#[derive(Default)]
struct Files {
    texts: BTreeMap<String, Bytes>,
    /// How many bytes those have.
    taken: u64,
    layers: BTreeMap<String, Stored>,
    /// Where a file is that is not stored twice.
    links: BTreeMap<String, String>,
}

/// A layer as it is stored.
struct Stored {
    digest: Digest,
    size: u64,
    packing: Packing,
    layer: Arc<Layer>,
}

/// One image of `manifest.json` (moby, `image/tarexport`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Files {
    fn take<R: Read>(&mut self, entry: Entry<'_, R>) -> Result<(), ArchiveError> {
        let name = normal(&String::from_utf8_lossy(&entry.path_bytes()));
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        match (entry.header().entry_type(), link) {
            (EntryType::Regular | EntryType::Continuous, _) => {
                let size = entry.size();
                self.file(name, entry, size)
            }
            (EntryType::Symlink, Some(to)) => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.links.insert(name.clone(), normal(&format!("{folder}/{to}")));
                Ok(())
            }
            (EntryType::Link, Some(to)) => {
                self.links.insert(name, normal(&to));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn file(&mut self, name: String, mut file: impl Read, size: u64) -> Result<(), ArchiveError> {
        let mut head = Vec::new();
        (&mut file).take(HEAD).read_to_end(&mut head).map_err(ArchiveError::Tar)?;
        let whole = head.as_slice().chain(file);
        match What::of(&head) {
            What::Text => self.text(name, whole, size),
            What::Layer(packing) => self.layer(name, whole, size, packing),
            What::Other => Ok(()),
        }
    }

    fn text(&mut self, name: String, text: impl Read, size: u64) -> Result<(), ArchiveError> {
        self.taken = self.taken.saturating_add(size);
        if TEXT < size || TEXTS < self.taken {
            return Err(ArchiveError::Large(name));
        }
        let mut bytes = Vec::new();
        text.take(TEXT).read_to_end(&mut bytes).map_err(ArchiveError::Tar)?;
        agree(&name, &Digest::of(&bytes))?;
        match self.texts.insert(name.clone(), bytes.into()) {
            None => Ok(()),
            // Of two readers each could believe another one.
            Some(_) => Err(ArchiveError::Twice(name)),
        }
    }

    fn layer(
        &mut self,
        name: String,
        file: impl Read,
        size: u64,
        packing: Packing,
    ) -> Result<(), ArchiveError> {
        let mut hashed = Hashed { inner: file, hash: (packing != Packing::Plain).then(Sha256::new) };
        let layer = match Layer::read(&mut hashed, size, packing, GROWTH) {
            Ok(layer) => layer,
            Err(error) => return Err(ArchiveError::Layer(name, error)),
        };
        io::copy(&mut hashed, &mut io::sink()).map_err(ArchiveError::Tar)?;
        let digest = match hashed.hash {
            Some(hash) => Digest::from_sha256(hash.finalize().as_ref()),
            None => layer.diff_id.clone(),
        };
        agree(&name, &digest)?;
        let stored = Stored { digest, size, packing, layer: Arc::new(layer) };
        match self.layers.insert(name.clone(), stored) {
            None => Ok(()),
            Some(_) => Err(ArchiveError::Twice(name)),
        }
    }

    /// Follows links from a name to where the file is.
    fn place<'a>(&'a self, name: &'a str) -> &'a str {
        let mut name = name;
        for _ in 0..HOPS {
            let Some(to) = self.links.get(name) else { break };
            name = to;
        }
        name
    }

    fn images(self) -> Result<Archive, ArchiveError> {
        let list = self.texts.get("manifest.json").ok_or(ArchiveError::NotOne)?;
        let list: Vec<Listed> = serde_json::from_slice(list).map_err(ArchiveError::List)?;
        let mut archive = Archive { images: Vec::new(), texts: BTreeMap::new(), layers: BTreeMap::new() };
        for Listed { config, repo_tags, layers } in list {
            let missing = |name: &str| ArchiveError::Missing(name.to_owned());
            let name = normal(&config);
            let bytes = self.texts.get(self.place(&name)).ok_or_else(|| missing(&config))?;
            let digest = Digest::of(bytes);
            let config = json!({"mediaType": CONFIG_TYPE, "digest": digest, "size": bytes.len()});
            archive.texts.insert(digest, bytes.clone());
            let mut of_image = Vec::new();
            for path in layers.unwrap_or_default() {
                let name = normal(&path);
                let stored = self.layers.get(self.place(&name)).ok_or_else(|| missing(&path))?;
                let Stored { digest, size, packing, layer } = stored;
                of_image.push(json!({"mediaType": packing.media_type(), "digest": digest, "size": size}));
                archive.layers.insert(digest.clone(), Arc::clone(layer));
            }
            // Nobody has this manifest; the registry that the image is pushed to will have another one, of packed layers.
            let manifest =
                json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": of_image});
            let manifest = Manifest::read(manifest.to_string().into(), Some(MANIFEST_TYPE));
            let tag = repo_tags.unwrap_or_default().into_iter().next();
            archive.images.push((tag, manifest.map_err(ArchiveError::Manifest)?));
        }
        if archive.images.is_empty() { Err(ArchiveError::Empty) } else { Ok(archive) }
    }
}

/// What a file of an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Text,
    Layer(Packing),
    Other,
}

impl What {
    /// By its first bytes: names differ between those who write archives.
    fn of(head: &[u8]) -> Self {
        // POSIX.1-1988 and later; and the end of a tar that holds nothing.
        let is_tar =
            head.get(257..262) == Some(b"ustar") || head.len() == 512 && head.iter().all(|byte| *byte == 0);
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        match (head, first) {
            _ if is_tar => Self::Layer(Packing::Plain),
            ([0x1f, 0x8b, ..], _) => Self::Layer(Packing::Gzip),
            ([0x28, 0xb5, 0x2f, 0xfd, ..], _) => Self::Layer(Packing::Zstd),
            (_, Some(b'{' | b'[')) => Self::Text,
            _ => Self::Other,
        }
    }
}

/// Whether a file is what its name says, where a name is a digest: `blobs/sha256/<hex>`, and `<hex>.json` of a configuration.
fn agree(name: &str, found: &Digest) -> Result<(), ArchiveError> {
    let hex = name.strip_prefix("blobs/sha256/").or_else(|| name.strip_suffix(".json"));
    let said: Option<Digest> = hex.and_then(|hex| format!("sha256:{hex}").parse().ok());
    if said.is_some_and(|said| said != *found) {
        return Err(ArchiveError::WrongBytes(name.to_owned()));
    }
    Ok(())
}

/// Hashes what comes through, where that is asked for.
struct Hashed<R> {
    inner: R,
    hash: Option<Sha256>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(hash) = &mut self.hash {
            hash.update(buffer.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
