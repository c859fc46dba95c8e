//! Manifests, blobs and tags.

use std::collections::BTreeMap;

use serde_json::json;
use shipkit_core::exit::ExitCode;
use shipkit_core::{Digest, Hint as _, Tag};
use shipkit_registry::{Descriptor, Error, ManifestKind, Move, OCI_INDEX, OCI_MANIFEST, Tagged, Target};
use shipkit_tests::server::registry::{Broken, Fault, Kind, Options, Registry};

use crate::{anonymous, by_digest, repository, seed};

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

#[tokio::test]
async fn an_image_is_read_by_tag_and_by_digest_and_its_bytes_are_kept() {
    let server = Registry::start(Options::default());
    let repository = repository(&server, "acme/api");
    let config = server.seed_blob("acme/api", "{}");
    // Spaces and a field that nobody knows: re-serialised it would have another digest.
    let text = format!(
        r#"{{ "schemaVersion":2,"mediaType":"{DOCKER}", "later": [1.50], "config":{{"mediaType":"c","digest":"{config}","size":2}},"layers":[]}}"#
    );
    let digest = server.seed_manifest("acme/api", DOCKER, text.clone());
    server.set_tag("acme/api", "v1", &digest);
    let client = anonymous();
    let tag: Tag = "v1".parse().unwrap();
    for target in [Target::Tag(tag.clone()), by_digest(&digest)] {
        let manifest = client.manifest(&repository, &target).await.unwrap();
        assert_eq!((manifest.bytes.as_ref(), &manifest.digest), (text.as_bytes(), &digest));
        assert_eq!(manifest.media_type, DOCKER);
        let ManifestKind::Image { config: found, .. } = manifest.kind else { panic!("an index") };
        assert_eq!(client.blob(&repository, &found, 10).await.unwrap().as_ref(), b"{}");
    }
    assert_eq!(client.resolve(&repository, &tag).await.unwrap(), Some(digest));
}

#[tokio::test]
async fn a_missing_tag_is_none_and_a_missing_page_is_an_error() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let tag: Tag = "v1".parse().unwrap();
    let client = anonymous();
    assert_eq!(client.resolve(&api, &tag).await.unwrap(), None);
    seed(&server, "acme/api");
    assert_eq!(client.resolve(&api, &tag).await.unwrap(), None);
    server.fail(Fault::new("HEAD", Kind::Manifest, Broken::Status(404, vec![])));
    server.fail(Fault::new("GET", Kind::Manifest, Broken::Status(404, vec![])));
    let error = client.resolve(&api, &tag).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 404, .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

#[tokio::test]
async fn a_registry_that_does_not_say_the_digest_is_asked_for_the_bytes() {
    let server = Registry::start(Options::default());
    let digest = seed(&server, "acme/api");
    server.set_tag("acme/api", "v1", &digest);
    server.fail(Fault::new("HEAD", Kind::Manifest, Broken::Without("docker-content-digest")));
    let found = anonymous().resolve(&repository(&server, "acme/api"), &"v1".parse().unwrap()).await;
    assert_eq!(found.unwrap(), Some(digest));
}

#[tokio::test]
async fn what_is_missing_is_not_found() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let client = anonymous();
    let nothing = Digest::of(b"nothing");
    assert!(client.manifest(&api, &by_digest(&nothing)).await.unwrap_err().is_not_found());
    let blob = Descriptor::of("x", b"nothing");
    assert!(client.blob(&api, &blob, 100).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_blob_beyond_the_limit_is_not_asked_for() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let blob = Descriptor::of("x", &[0; 100]);
    let error = anonymous().blob(&api, &blob, 99).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 99, .. }), "{error}");
    assert_eq!(server.requests(), []);
}

#[tokio::test]
async fn what_is_no_manifest_is_refused_with_the_reason() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let client = anonymous();
    let both = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "layers": []}).to_string();
    let sha512 = format!("sha512:{}", "a".repeat(128));
    let other = json!({"schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_MANIFEST, "digest": sha512, "size": 1}]})
    .to_string();
    let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
    for (media_type, text, expected) in [
        (OCI_INDEX, both.as_str(), "it has both `manifests` and `layers`"),
        (OCI_INDEX, &other, "which is not a sha256 digest"),
        (schema1, r#"{"fsLayers":[]}"#, "its media type is `application/vnd.docker"),
        ("text/plain", &index, "the registry says `text/plain` and the manifest says"),
        (OCI_MANIFEST, &index, "and the manifest says"),
        ("text/html", "<html>", "it is not a manifest"),
        (OCI_INDEX, r#"{"schemaVersion":2,"manifests":{}}"#, "it is not a manifest"),
    ] {
        let digest = server.seed_manifest("acme/api", media_type, text.to_owned());
        let error = client.manifest(&api, &by_digest(&digest)).await.unwrap_err();
        let Error::Manifest { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().contains(expected), "{source}");
    }
    // Without a stated type the registry's word counts.
    let bare = server.seed_manifest("acme/api", OCI_INDEX, r#"{"schemaVersion":2,"manifests":[]}"#);
    assert!(client.manifest(&api, &by_digest(&bare)).await.is_ok());
    let huge = server.seed_manifest("acme/api", OCI_INDEX, " ".repeat(5 << 20));
    let error = client.manifest(&api, &by_digest(&huge)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_blob_is_pushed_once_and_a_manifest_needs_its_blobs() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let client = anonymous();
    let first = client.put_blob(&api, "content").await.unwrap();
    assert_eq!(client.put_blob(&api, "content").await.unwrap(), first);
    let posts = server.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!(posts, 1);
    let manifest = |config: &Descriptor| {
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
            "config": {"mediaType": "x", "digest": config.digest, "size": config.size}})
        .to_string()
    };
    let good = manifest(&first);
    let target = by_digest(&Digest::of(good.as_bytes()));
    let digest = client.put_manifest(&api, &target, OCI_MANIFEST, good.clone()).await.unwrap();
    assert_eq!(digest, Digest::of(good.as_bytes()));
    let bad = manifest(&Descriptor::of("x", b"nobody has this"));
    let target = by_digest(&Digest::of(bad.as_bytes()));
    let error = client.put_manifest(&api, &target, OCI_MANIFEST, bad).await.unwrap_err();
    assert!(error.to_string().contains("MANIFEST_BLOB_UNKNOWN"), "{error}");
}

#[tokio::test]
async fn a_moving_tag_moves_and_a_permanent_one_stays() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let one = api.at(&seed(&server, "acme/api"));
    let two = api.at(&server.seed_image("acme/api", &json!({}), &[]));
    let client = anonymous();
    let (latest, version): (Tag, Tag) = ("latest".parse().unwrap(), "1.0.0".parse().unwrap());
    assert_eq!(client.tag(&one, &latest, Move::Moving).await.unwrap(), Tagged::Created);
    assert_eq!(client.tag(&one, &latest, Move::Moving).await.unwrap(), Tagged::Unchanged);
    let from = one.digest.clone();
    assert_eq!(client.tag(&two, &latest, Move::Moving).await.unwrap(), Tagged::Moved { from });
    assert_eq!(client.tag(&one, &version, Move::Permanent).await.unwrap(), Tagged::Created);
    assert_eq!(client.tag(&one, &version, Move::Permanent).await.unwrap(), Tagged::Unchanged);
    let error = client.tag(&two, &version, Move::Permanent).await.unwrap_err();
    assert!(matches!(&error, Error::Taken { found, .. } if *found == one.digest), "{error}");
    assert_eq!(error.exit_code(), ExitCode::No);
    let expected = BTreeMap::from([
        ("1.0.0".to_owned(), one.digest.to_string()),
        ("latest".to_owned(), two.digest.to_string()),
    ]);
    assert_eq!(server.tags("acme/api"), expected);
}

#[tokio::test]
async fn a_tag_that_somebody_else_moved_at_the_same_time_is_an_error() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let (one, other) = (seed(&server, "acme/api"), Digest::of(b"other"));
    // The second HEAD is the one after the write.
    let moved = Broken::Header("docker-content-digest", other.to_string());
    server.fail(Fault::new("HEAD", Kind::Manifest, moved).after(1));
    let error = anonymous().tag(&api.at(&one), &"v1".parse().unwrap(), Move::Moving).await.unwrap_err();
    assert!(matches!(error, Error::Overwritten { .. }), "{error}");
}

#[tokio::test]
async fn many_tags_take_one_reading_of_the_image_and_three_requests_each() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let one = api.at(&seed(&server, "acme/api"));
    let tags: Vec<(Tag, Move)> = ["1.0.0", "1.0", "1", "main", "latest"]
        .iter()
        .map(|tag| (tag.parse().unwrap(), if *tag == "1.0.0" { Move::Permanent } else { Move::Moving }))
        .collect();
    for (tag, _) in &tags {
        let other = server.seed_image("acme/api", &json!({"tag": tag.as_str()}), &[]);
        if tag.as_str() != "1.0.0" {
            server.set_tag("acme/api", tag.as_str(), &other);
        }
    }
    let client = anonymous();
    let given = client.tag_all(&one, &tags).await.unwrap();
    assert_eq!(given[0], Tagged::Created);
    assert!(given[1..].iter().all(|tagged| matches!(tagged, Tagged::Moved { .. })), "{given:?}");
    // A tag that is not there takes one more: only a GET tells a missing tag from a missing page.
    assert_eq!(server.requests().len(), 1 + 3 * 5 + 1);
    assert!(server.tags("acme/api").values().all(|digest| *digest == one.digest.to_string()));
    let again = client.tag_all(&one, &tags).await.unwrap();
    assert_eq!(again, vec![Tagged::Unchanged; 5]);
    assert_eq!(server.requests().len(), 17 + 5);
    // Where a permanent one is taken, none is written.
    let two = api.at(&server.seed_image("acme/api", &json!({}), &[]));
    let error = client.tag_all(&two, &tags).await.unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error}");
    assert!(server.tags("acme/api").values().all(|digest| *digest == one.digest.to_string()));
}

#[tokio::test]
async fn an_index_is_assembled_from_images_in_the_repository() {
    let server = Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let amd64 = seed(&server, "acme/api");
    let arm = server.seed_image(
        "acme/api",
        &json!({"os": "linux", "architecture": "arm", "variant": "v7"}),
        &[b"other"],
    );
    let client = anonymous();
    let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let digest = client.index(&api, &[amd64.clone(), arm.clone()], &annotations).await.unwrap();
    let again = client.index(&api, &[amd64.clone(), arm.clone()], &annotations).await.unwrap();
    assert_eq!(digest, again);
    let manifest = client.manifest(&api, &by_digest(&digest)).await.unwrap();
    let ManifestKind::Index { manifests } = manifest.kind else { panic!("an image") };
    let found: Vec<_> =
        manifests.iter().map(|m| (m.digest.clone(), m.platform.clone().unwrap().to_string())).collect();
    assert_eq!(found, [(amd64, "linux/amd64".to_owned()), (arm, "linux/arm/v7".to_owned())]);
    let joined = client.index(&api, std::slice::from_ref(&digest), &annotations).await.unwrap();
    assert_eq!(joined, digest, "what an index lists is taken over");
}
