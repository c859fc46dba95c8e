//! Releases in a registry: one OCI artifact each, tagged with the commit.

use std::collections::BTreeMap;

use serde_json::json;
use shipkit_core::release::ARTIFACT_TYPE;
use shipkit_core::{Digest, Release, Repository, Tag};

use crate::error::Error;
use crate::{Artifact, Descriptor, Layer, ManifestKind, Move, Registry, Target};

/// Larger than any release: a thousand services with ten platforms each.
const RELEASE_LIMIT: u64 = 2 * 1024 * 1024;
/// The empty object that an artifact without a configuration has (image-spec, "Guidance for an Empty Descriptor").
pub(crate) const EMPTY: &[u8] = b"{}";
pub(crate) const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

impl Registry {
    /// Stores a release, tags it `sha-<commit>`, and returns its digest. The same release has the same digest
    /// wherever and whenever it is stored.
    ///
    /// # Errors
    /// When the registry does not take it, or the commit makes no tag.
    pub async fn put_release(&self, repository: &Repository, release: &Release) -> Result<Digest, Error> {
        let tag = Release::tag_for(&release.commit)
            .map_err(|_not_a_tag| Error::NotAReleaseName(release.commit.clone()))?;
        let digest = self.store_release(repository, release).await?;
        self.tag(&repository.at(&digest), &tag, Move::Moving).await?;
        Ok(digest)
    }

    /// Stores a release without a tag, and returns its digest: for a second release of a commit, where the first one
    /// should keep the tag.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn store_release(&self, repository: &Repository, release: &Release) -> Result<Digest, Error> {
        let said = |name: &str, text: &str| (format!("org.opencontainers.image.{name}"), text.to_owned());
        let annotations = BTreeMap::from([
            said("created", &release.created.to_string()),
            said("revision", &release.commit),
            said("title", &release.name),
            said("version", &release.version),
        ]);
        let bytes = json!(release).to_string().into();
        let layers = vec![Layer { bytes, annotations: BTreeMap::new() }];
        self.put_artifact(repository, Artifact { kind: ARTIFACT_TYPE, layers, annotations }).await
    }

    /// The release that `digest` identifies.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::NotARelease`] for any other artifact or image.
    pub async fn release(&self, repository: &Repository, digest: &Digest) -> Result<Release, Error> {
        let not =
            |why: String| Error::NotARelease { repository: repository.clone(), digest: digest.clone(), why };
        let manifest = self.manifest(repository, &Target::Digest(digest.clone())).await?;
        let layer = match manifest.kind {
            ManifestKind::Image { artifact_type: Some(kind), layers, .. } if kind == ARTIFACT_TYPE => {
                match <[Descriptor; 1]>::try_from(layers) {
                    Ok([layer]) => layer,
                    Err(layers) => return Err(not(format!("it has {} layers", layers.len()))),
                }
            }
            ManifestKind::Image { artifact_type, .. } => {
                let why = artifact_type.map(|kind| format!("its artifact type is `{kind}`"));
                return Err(not(why.unwrap_or_else(|| "it is an image".to_owned())));
            }
            ManifestKind::Index { .. } => return Err(not("it is an index".to_owned())),
        };
        let bytes = self.blob(repository, &layer, RELEASE_LIMIT).await?;
        serde_json::from_slice(&bytes).map_err(|error| not(error.to_string()))
    }

    /// The digest of the release that a person names: by digest, by full commit, or by version.
    ///
    /// A digest is taken as it is; whether it is a release, [`Registry::release`] tells.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no release has that name, [`Error::NotAReleaseName`] when none can have it.
    pub async fn find_release(&self, repository: &Repository, name: &str) -> Result<Digest, Error> {
        if name.starts_with("sha256:") {
            return name.parse().map_err(|_not_a_digest| Error::NotAReleaseName(name.to_owned()));
        }
        let is_commit = matches!(name.len(), 40 | 64)
            && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let tag = if is_commit {
            Release::tag_for(name).map_err(|_not_a_tag| Error::NotAReleaseName(name.to_owned()))?
        } else {
            version_tag(name)?
        };
        self.resolve(repository, &tag).await?.ok_or_else(|| Error::NotFound {
            registry: repository.registry().to_owned(),
            what: format!("release `{name}` in `{}`", repository.path()),
        })
    }
}

/// The tag that a release artifact carries for its version, once it is published: `v1.4.0+x` gives `1.4.0_x`, and
/// `api/v1.4.0`, the git tag of one service, `api-1.4.0`.
///
/// # Errors
/// [`Error::NotAReleaseName`] when the version does not fit into a tag.
pub fn version_tag(version: &str) -> Result<Tag, Error> {
    let bare = |version: &str| match version.strip_prefix('v') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest.to_owned(),
        _ => version.to_owned(),
    };
    let name = match version.split_once('/') {
        Some((service, version)) => format!("{service}-{}", bare(version)),
        None => bare(version),
    };
    // `+` begins build metadata in a version and is not allowed in a tag.
    name.replace('+', "_").parse().map_err(|_not_a_tag| Error::NotAReleaseName(version.to_owned()))
}

/// The JSON of a bare descriptor.
pub(crate) fn pointer(descriptor: &Descriptor) -> serde_json::Value {
    json!({"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_tag_without_its_v() {
        for (version, tag) in [
            ("v1.4.0", "1.4.0"),
            ("1.4.0+b.1", "1.4.0_b.1"),
            ("vienna", "vienna"),
            ("api/v1.4.0", "api-1.4.0"),
            ("api-1.4.0", "api-1.4.0"),
        ] {
            assert_eq!(version_tag(version).unwrap().as_str(), tag);
        }
        for name in ["a b", "a/b/v1.0.0", "/v1.0.0"] {
            assert!(matches!(version_tag(name), Err(Error::NotAReleaseName(_))), "{name}");
        }
    }
}
