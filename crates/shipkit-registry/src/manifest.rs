//! `Manifest`: what a digest names, as the bytes it is and as what can be read from them.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use oci_spec::image;
use shipkit_core::Digest;

use crate::{OCI_INDEX, OCI_MANIFEST};

/// The largest manifest that is read or written, in bytes: what registries accept (distribution-spec, "Push").
pub const MANIFEST_LIMIT: u64 = 4 * 1024 * 1024;

pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest whose bytes have the digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The bytes as stored. To store them elsewhere, send these: anything re-serialised has another digest.
    pub bytes: Bytes,
    /// The media type, as registry and bytes agree on it.
    pub media_type: String,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// What it says.
    pub kind: ManifestKind,
}

/// What a manifest says; OCI and Docker schema 2 look the same here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and far oftener read than moved")]
pub enum ManifestKind {
    /// Manifests for several platforms, and possibly their attestations.
    Index {
        /// What it lists, in its order.
        manifests: Vec<Descriptor>,
    },
    /// One image or artifact.
    Image {
        /// Its configuration.
        config: Descriptor,
        /// Its layers, base first.
        layers: Vec<Descriptor>,
        /// What kind of artifact it is, if it is one.
        artifact_type: Option<String>,
        /// What it refers to, if it is a referrer.
        subject: Option<Digest>,
        /// Its own annotations.
        annotations: BTreeMap<String, String>,
    },
}

/// A pointer to content: digest, size and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// Which content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// For which platform, in an index.
    pub platform: Option<Platform>,
    /// What the one who wrote the descriptor says about the content.
    pub annotations: BTreeMap<String, String>,
    /// The artifact type of the manifest it points at, in an index.
    pub artifact_type: Option<String>,
}

/// A platform; its text is `os/arch[/variant]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
    /// `v7`.
    pub variant: Option<String>,
}

/// Why bytes are not a manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum NotAManifest {
    /// Not JSON of the right shape.
    #[error("it is not a manifest")]
    Shape(#[source] serde_json::Error),
    /// A media type that is neither an image nor an index: schema 1, HTML, plain text.
    #[error("its media type is `{0}`")]
    MediaType(String),
    /// The registry calls it something else than it calls itself.
    #[error("the registry says `{served}` and the manifest says `{stated}`")]
    Disagree {
        /// `Content-Type`.
        served: String,
        /// `mediaType`.
        stated: String,
    },
    /// Both an index and an image, for two readers to see two things (CVE-2021-41190).
    #[error("it has both `manifests` and `layers`")]
    Ambiguous,
    /// A digest that is not sha256.
    #[error("it names `{0}`, which is not a sha256 digest")]
    Digest(String),
}

impl Manifest {
    /// Reads a manifest from its bytes. `served` is what its keeper calls it, if it says.
    ///
    /// # Errors
    /// When it is no image manifest and no index, or is not clearly one of them.
    pub fn read(bytes: Bytes, served: Option<&str>) -> Result<Self, NotAManifest> {
        let stated = Stated::read(&bytes)?;
        let media_type = match (served, stated.media_type) {
            (Some(served), Some(stated)) if served != stated => {
                return Err(NotAManifest::Disagree { served: served.to_owned(), stated });
            }
            (_, Some(stated)) => stated,
            (Some(served), None) => served.to_owned(),
            // An OCI manifest may leave its type out; then its shape says what it is.
            (None, None) if stated.has_manifests => OCI_INDEX.to_owned(),
            (None, None) => OCI_MANIFEST.to_owned(),
        };
        if stated.has_manifests && stated.has_layers {
            return Err(NotAManifest::Ambiguous);
        }
        let kind = match media_type.as_str() {
            OCI_INDEX | DOCKER_INDEX => index(&bytes)?,
            OCI_MANIFEST | DOCKER_MANIFEST => image(&bytes)?,
            _ => return Err(NotAManifest::MediaType(media_type)),
        };
        Ok(Self { digest: Digest::of(&bytes), bytes, media_type, kind })
    }

    /// A descriptor that points at this manifest.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: size_of(&self.bytes),
            platform: None,
            annotations: BTreeMap::new(),
            artifact_type: None,
        }
    }
}

impl ManifestKind {
    /// `an index` or `an image`, for a sentence.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Index { .. } => "an index",
            Self::Image { .. } => "an image",
        }
    }
}

impl Descriptor {
    /// A bare descriptor of these bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: size_of(bytes),
            platform: None,
            annotations: BTreeMap::new(),
            artifact_type: None,
        }
    }
}

/// No memory holds 2^64 bytes, so the fallback is never taken.
pub(crate) fn size_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

struct Stated {
    media_type: Option<String>,
    has_manifests: bool,
    has_layers: bool,
}

impl Stated {
    fn read(bytes: &[u8]) -> Result<Self, NotAManifest> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw {
            media_type: Option<String>,
            manifests: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
            fs_layers: Option<serde::de::IgnoredAny>,
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(NotAManifest::Shape)?;
        Ok(Self {
            media_type: raw.media_type,
            has_manifests: raw.manifests.is_some(),
            has_layers: raw.layers.is_some() || raw.fs_layers.is_some(),
        })
    }
}

fn index(bytes: &[u8]) -> Result<ManifestKind, NotAManifest> {
    let index: image::ImageIndex = serde_json::from_slice(bytes).map_err(NotAManifest::Shape)?;
    let manifests = index.manifests().iter().map(descriptor).collect::<Result<_, _>>()?;
    Ok(ManifestKind::Index { manifests })
}

fn image(bytes: &[u8]) -> Result<ManifestKind, NotAManifest> {
    let manifest: image::ImageManifest = serde_json::from_slice(bytes).map_err(NotAManifest::Shape)?;
    Ok(ManifestKind::Image {
        config: descriptor(manifest.config())?,
        layers: manifest.layers().iter().map(descriptor).collect::<Result<_, _>>()?,
        artifact_type: manifest.artifact_type().as_ref().map(ToString::to_string),
        subject: manifest.subject().as_ref().map(|subject| digest(subject.digest())).transpose()?,
        annotations: sorted(manifest.annotations().as_ref()),
    })
}

fn descriptor(read: &image::Descriptor) -> Result<Descriptor, NotAManifest> {
    Ok(Descriptor {
        media_type: read.media_type().to_string(),
        digest: digest(read.digest())?,
        size: read.size(),
        platform: read.platform().as_ref().map(|platform| Platform {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone(),
        }),
        annotations: sorted(read.annotations().as_ref()),
        artifact_type: read.artifact_type().as_ref().map(ToString::to_string),
    })
}

fn digest(read: &image::Digest) -> Result<Digest, NotAManifest> {
    read.to_string().parse().map_err(|_not_sha256| NotAManifest::Digest(read.to_string()))
}

fn sorted(annotations: Option<&std::collections::HashMap<String, String>>) -> BTreeMap<String, String> {
    annotations.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}
