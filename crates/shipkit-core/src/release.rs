//! `Release`: a version and digests; the one thing that is promoted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::plan::ContentKey;
use crate::reference::{ImageRef, Repository, Tag};

/// The `artifactType` of a release in a registry.
pub const ARTIFACT_TYPE: &str = "application/vnd.shipkit.release.v1+json";

/// A release: what was built from one commit, named by digest.
///
/// It is stored as the one layer of an OCI artifact in `<registry prefix>/release`; the digest of that artifact's
/// manifest is the identity of the release everywhere else. Fields that a reader does not know are ignored, so that
/// an older program can roll back to a newer release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The project's name in `shipkit.yml`.
    pub name: String,
    /// The version for people: `1.4.0`; `1.4.1-main.12.g<short commit>` between tags; `api-1.4.0` for one service's tag.
    pub version: String,
    /// The full commit, 40 (or 64) hexadecimal digits.
    pub commit: String,
    /// The git ref that was built: `refs/heads/main`; or the git tag that names what was built before.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// When the commit was made; not when the build ran, so that a rebuild gives the same bytes.
    pub created: Timestamp,
    /// Where it was built, if a run of GitHub Actions built it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<String>,
    /// The services by name.
    pub services: BTreeMap<String, ServiceImage>,
    /// The tags that `publish` gives the images once every gate has passed.
    pub tags: PublishTags,
}

/// The image of one service in a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceImage {
    /// Where the image lives.
    pub repository: Repository,
    /// The digest of its index, or of its one manifest.
    pub digest: Digest,
    /// The media type of what `digest` names.
    pub media_type: String,
    /// The digest of each platform's manifest, by `os/arch[/variant]`. Attestations are not among them.
    pub platforms: BTreeMap<String, Digest>,
    /// The commit that this image was built from: older than the release's where the service did not change.
    pub revision: String,
    /// The version that this image was built as, and may say of itself. A release that takes the image over, because its
    /// service did not change or because a git tag names it again, has another.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// What it is made of, if that could be told: a later release that is made of the same takes this image.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<ContentKey>,
    /// When the commit that it was built from was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created: Option<Timestamp>,
    /// The images that it was built upon, as the Dockerfile names them, if that could be told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub bases: BTreeMap<String, Digest>,
}

/// The tags of a release: the same for every service, but those of a version, which may be one service's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishTags {
    /// Tags that must never name anything else: `sha-...`.
    pub permanent: Vec<Tag>,
    /// Tags that move from release to release: a branch, a day.
    pub moving: Vec<Tag>,
    /// The tags of the version, if a git tag names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<VersionTags>,
}

/// The tags of the version that a git tag names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionTags {
    /// The version: channels never move to an older one.
    pub version: semver::Version,
    /// The one service that it is a version of; `None` for a version of all of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    /// Tags that must never name anything else: `1.4.0`.
    pub permanent: Vec<Tag>,
    /// Tags that move to newer versions only: `1.4`, `1`, `latest`.
    pub channels: Vec<Tag>,
}

impl ServiceImage {
    /// The image by digest.
    #[must_use]
    pub fn image(&self) -> ImageRef {
        self.repository.at(&self.digest)
    }
}

impl Release {
    /// Whether this is the release of a git tag, which names again what was built for a branch.
    #[must_use]
    pub fn is_of_git_tag(&self) -> bool {
        self.git_ref.starts_with("refs/tags/")
    }

    /// Whether both consist of the same services and the very same images.
    #[must_use]
    pub fn has_images_of(&self, other: &Self) -> bool {
        let images = |release: &Self| {
            let images = release.services.iter().map(|(name, service)| (name.clone(), service.image()));
            images.collect::<BTreeMap<_, _>>()
        };
        images(self) == images(other)
    }

    /// The tag of the release artifact for a commit: `sha-<full commit>`.
    ///
    /// # Errors
    /// When `commit` is not fit for a tag.
    pub fn tag_for(commit: &str) -> Result<Tag, crate::reference::BadName> {
        format!("sha-{commit}").parse()
    }
}
