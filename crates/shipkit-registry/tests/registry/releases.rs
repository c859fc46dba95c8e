//! Releases.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shipkit_core::release::{PublishTags, ServiceImage};
use shipkit_core::{Digest, Release};
use shipkit_registry::{Error, Move, OCI_MANIFEST, Target, version_tag};
use shipkit_tests::server::registry::{Options, Registry};

use crate::{anonymous, repository, seed};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn release() -> Release {
    let digest = Digest::of(b"api");
    let image = ServiceImage {
        key: None,
        created: None,
        bases: BTreeMap::new(),
        repository: "ghcr.io/acme/api".parse().unwrap(),
        digest: digest.clone(),
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        platforms: BTreeMap::from([("linux/amd64".to_owned(), digest)]),
        revision: COMMIT.to_owned(),
        version: None,
    };
    Release {
        name: "shop".to_owned(),
        version: "1.4.0".to_owned(),
        commit: COMMIT.to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
        run: None,
        services: BTreeMap::from([("api".to_owned(), image)]),
        tags: PublishTags::default(),
    }
}

#[tokio::test]
async fn a_release_is_found_by_digest_commit_and_version() {
    let server = Registry::start(Options::default());
    let repository = repository(&server, "acme/release");
    let client = anonymous();
    let digest = client.put_release(&repository, &release()).await.unwrap();
    assert_eq!(client.release(&repository, &digest).await.unwrap(), release());
    assert_eq!(client.find_release(&repository, digest.as_str()).await.unwrap(), digest);
    assert_eq!(client.find_release(&repository, COMMIT).await.unwrap(), digest);
    assert!(client.find_release(&repository, "1.4.0").await.unwrap_err().is_not_found());
    let tag = version_tag("1.4.0").unwrap();
    client.tag(&repository.at(&digest), &tag, Move::Permanent).await.unwrap();
    for name in ["1.4.0", "v1.4.0"] {
        assert_eq!(client.find_release(&repository, name).await.unwrap(), digest);
    }
    let error = client.find_release(&repository, "no such thing").await.unwrap_err();
    assert!(matches!(error, Error::NotAReleaseName(_)), "{error}");
}

#[tokio::test]
async fn a_release_is_an_artifact_with_one_layer_and_an_empty_configuration() {
    let server = Registry::start(Options::default());
    let repository = repository(&server, "acme/release");
    let client = anonymous();
    let digest = client.store_release(&repository, &release()).await.unwrap();
    let manifest = client.manifest(&repository, &Target::Digest(digest)).await.unwrap();
    let layer = json!(release()).to_string();
    let kind = "application/vnd.shipkit.release.v1+json";
    let said = |name: &str| format!("org.opencontainers.image.{name}");
    let wanted = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2},
        "layers": [{"mediaType": kind, "digest": Digest::of(layer.as_bytes()), "size": layer.len()}],
        "annotations": {said("created"): "2026-01-02T03:04:05Z", said("revision"): COMMIT, said("title"): "shop",
            said("version"): "1.4.0"},
    });
    assert_eq!(serde_json::from_slice::<Value>(&manifest.bytes).unwrap(), wanted);
}

#[tokio::test]
async fn the_same_release_has_the_same_digest_everywhere() {
    let (one, two) = (Registry::start(Options::default()), Registry::start(Options::default()));
    let client = anonymous();
    let first = client.put_release(&repository(&one, "a/release"), &release()).await.unwrap();
    let again = client.put_release(&repository(&one, "a/release"), &release()).await.unwrap();
    let other = client.put_release(&repository(&two, "b/release"), &release()).await.unwrap();
    assert_eq!((&first, &first), (&again, &other));
    // Pinned: releases that exist must keep their digests when this program changes.
    assert_eq!(first.short(), "b638433028a6");
}

#[tokio::test]
async fn a_second_release_of_a_commit_can_leave_the_tag_to_the_first() {
    let server = Registry::start(Options::default());
    let repository = repository(&server, "acme/release");
    let client = anonymous();
    let first = client.put_release(&repository, &release()).await.unwrap();
    let tagged = Release { version: "1.5.0".to_owned(), ..release() };
    let second = client.store_release(&repository, &tagged).await.unwrap();
    assert_eq!(client.release(&repository, &second).await.unwrap(), tagged);
    assert_eq!(client.find_release(&repository, COMMIT).await.unwrap(), first);
}

#[tokio::test]
async fn an_image_is_not_a_release() {
    let server = Registry::start(Options::default());
    let digest = seed(&server, "acme/api");
    let error = anonymous().release(&repository(&server, "acme/api"), &digest).await.unwrap_err();
    assert!(matches!(&error, Error::NotARelease { why, .. } if why == "it is an image"), "{error}");
}
