//! Where an image is read from, and what is read: manifests, configuration, and the size of every layer.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use shipkit_core::policy::ImageFacts;
use shipkit_core::{Digest, Repository};
use shipkit_registry::layout::Layout;
use shipkit_registry::{Descriptor, Manifest, ManifestKind, Registry, Target};
use shipkit_runner::Failure;

use crate::facts;

const CONFIG_LIMIT: u64 = 8 * 1024 * 1024;
/// The largest layer that is read. One layer of an image at a time is in memory.
const LAYER_LIMIT: u64 = 4 * 1024 * 1024 * 1024;
/// The most bytes that one layer may unpack to; more is a compression bomb.
const UNPACKED_LIMIT: u64 = 64 * 1024 * 1024 * 1024;
/// The most platforms that one index may have.
const PLATFORM_LIMIT: usize = 64;

/// A place to read images from.
pub(crate) enum Source {
    /// A repository at a registry.
    Registry(Registry, Repository),
    /// A layout on this machine.
    Layout(Layout),
}

/// Why an image cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// An index or artifact where an image is needed.
    #[error("`{0}` is no image: {1}")]
    NoImage(Digest, &'static str),
    /// The configuration is not one.
    #[error("the configuration of `{0}` is not one")]
    Configuration(Digest, #[source] serde_json::Error),
    /// A layer in a form that is not known.
    #[error("layer `{0}` has the media type `{1}`, which cannot be unpacked here")]
    MediaType(Digest, String),
    /// A layer that cannot be unpacked.
    #[error("layer `{0}` cannot be unpacked")]
    Unpack(Digest, #[source] std::io::Error),
    /// The program ends before it is done.
    #[error("unpacking was stopped")]
    Stopped(#[source] tokio::task::JoinError),
    /// A layer that unpacks to more than anything real.
    #[error("layer `{0}` unpacks to more than {1} bytes")]
    Bomb(Digest, u64),
}

impl Hint for ImageError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::MediaType(..) => Some("push the image with gzip layers (`compression=gzip`)".to_owned()),
            Self::NoImage(..)
            | Self::Configuration(..)
            | Self::Unpack(..)
            | Self::Stopped(..)
            | Self::Bomb(..) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        // A gate that could not read the image has not passed, and has not failed either.
        ExitCode::Unknown
    }
}

impl Source {
    /// The facts about the image of every platform that `manifest` stands for. Attestations are not images.
    pub(crate) async fn facts(&self, manifest: &Manifest) -> Result<Vec<ImageFacts>, Failure> {
        let ManifestKind::Index { manifests } = &manifest.kind else {
            return Ok(vec![self.image_facts(manifest, &mut BTreeMap::new()).await?]);
        };
        let is_image = |entry: &&Descriptor| {
            entry.platform.as_ref().is_none_or(|platform| platform.to_string() != "unknown/unknown")
        };
        let images: Vec<_> = manifests.iter().filter(is_image).collect();
        if images.is_empty() || PLATFORM_LIMIT < images.len() {
            return Err(ImageError::NoImage(
                manifest.digest.clone(),
                "an index without images, or with too many",
            )
            .into());
        }
        // Platforms share layers seldom, services of one release often; within one index each layer is read once.
        let mut sizes = BTreeMap::new();
        let mut facts = Vec::new();
        for image in images {
            let manifest = self.manifest(image).await?;
            facts.push(self.image_facts(&manifest, &mut sizes).await?);
        }
        Ok(facts)
    }

    async fn image_facts(
        &self,
        manifest: &Manifest,
        sizes: &mut BTreeMap<Digest, u64>,
    ) -> Result<ImageFacts, Failure> {
        let ManifestKind::Image { config, layers, artifact_type, .. } = &manifest.kind else {
            return Err(ImageError::NoImage(manifest.digest.clone(), "an index inside an index").into());
        };
        if artifact_type.is_some() {
            return Err(ImageError::NoImage(manifest.digest.clone(), "an artifact").into());
        }
        let bytes = self.blob(config, CONFIG_LIMIT).await?;
        let mut unpacked: u64 = 0;
        for layer in layers {
            let size = if let Some(size) = sizes.get(&layer.digest) {
                *size
            } else {
                let (layer, bytes) = (layer.clone(), self.blob(layer, LAYER_LIMIT).await?);
                // Unpacking is work for a processor, which another image may use at the same time.
                let unpacking = move || unpacked_size(&layer, &bytes, UNPACKED_LIMIT);
                tokio::task::spawn_blocking(unpacking).await.map_err(ImageError::Stopped)??
            };
            sizes.insert(layer.digest.clone(), size);
            unpacked = unpacked.saturating_add(size);
        }
        let compressed = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        let facts = facts::read(&bytes, compressed, unpacked);
        Ok(facts.map_err(|source| ImageError::Configuration(config.digest.clone(), source))?)
    }

    /// The manifest that a descriptor points at.
    pub(crate) async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Failure> {
        match self {
            Self::Registry(registry, repository) => {
                Ok(registry.manifest(repository, &Target::Digest(descriptor.digest.clone())).await?)
            }
            Self::Layout(layout) => Ok(layout.manifest(descriptor)?),
        }
    }

    async fn blob(&self, descriptor: &Descriptor, max: u64) -> Result<Bytes, Failure> {
        match self {
            Self::Registry(registry, repository) => Ok(registry.blob(repository, descriptor, max).await?),
            Self::Layout(layout) => Ok(layout.blob(descriptor, max)?),
        }
    }
}

/// How many bytes a layer holds once unpacked. Its digest was checked when it was read.
fn unpacked_size(layer: &Descriptor, bytes: &[u8], limit: u64) -> Result<u64, ImageError> {
    let plain = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    match layer.media_type.as_str() {
        "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
            return Ok(plain);
        }
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {}
        other => return Err(ImageError::MediaType(layer.digest.clone(), other.to_owned())),
    }
    // A gzip file may have several members one after the other.
    let mut unpacked = flate2::read::MultiGzDecoder::new(bytes).take(limit.saturating_add(1));
    let size = std::io::copy(&mut unpacked, &mut std::io::sink())
        .map_err(|source| ImageError::Unpack(layer.digest.clone(), source))?;
    if limit < size { Err(ImageError::Bomb(layer.digest.clone(), limit)) } else { Ok(size) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn size(media_type: &str, bytes: &[u8], limit: u64) -> Result<u64, ImageError> {
        unpacked_size(&Descriptor::of(media_type, bytes), bytes, limit)
    }

    #[test]
    fn every_member_of_a_gzip_layer_counts() {
        let two = [gzip(&[1; 1000]), gzip(&[2; 500])].concat();
        assert_eq!(size(GZIP, &two, 10_000).unwrap(), 1500);
        assert_eq!(size("application/vnd.docker.image.rootfs.diff.tar.gzip", &two, 10_000).unwrap(), 1500);
    }

    #[test]
    fn a_plain_layer_is_as_large_as_it_is() {
        for media_type in
            ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"]
        {
            assert_eq!(size(media_type, &[0; 1536], 10_000).unwrap(), 1536);
        }
    }

    #[test]
    fn a_layer_may_unpack_to_the_limit_and_not_to_one_byte_more() {
        let bytes = gzip(&[0; 1000]);
        assert_eq!(size(GZIP, &bytes, 1000).unwrap(), 1000);
        assert!(matches!(size(GZIP, &bytes, 999), Err(ImageError::Bomb(_, 999))));
    }

    #[test]
    fn a_layer_that_cannot_be_unpacked_has_no_size() {
        let whole = gzip(&(0..=255).cycle().take(9000).collect::<Vec<u8>>());
        assert!(matches!(size(GZIP, &whole[..whole.len() - 9], 10_000), Err(ImageError::Unpack(..))));
        assert!(matches!(size(GZIP, b"", 10_000), Err(ImageError::Unpack(..))));
        let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
        let error = size(zstd, b"", 10_000).unwrap_err();
        assert!(matches!(error, ImageError::MediaType(..)));
        assert_eq!(error.exit_code(), ExitCode::Unknown);
    }
}
