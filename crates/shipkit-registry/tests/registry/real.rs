//! Debian's docker-registry 2.8: no referrers API, and a 500 now and then while a tag is rewritten. And a newer one, where
//! it is there.
#![allow(clippy::print_stdout, reason = "which registries were there is part of the result")]

use std::collections::BTreeMap;

use serde_json::json;
use shipkit_core::evidence::Kind;
use shipkit_core::{Digest, Repository, Tag};
use shipkit_registry::{Along, Descriptor, ManifestKind, Move, OCI_MANIFEST, Registry, Tagged};
use shipkit_tests::server::docker_registry::DockerRegistry;

use crate::{anonymous, by_digest, record};

async fn push(client: &Registry, repository: &Repository, mark: u32) -> Digest {
    let config = json!({"os": "linux", "architecture": "amd64", "mark": mark}).to_string();
    let pointer = |d: &Descriptor| json!({"mediaType": d.media_type, "digest": d.digest, "size": d.size});
    let config = client.put_blob(repository, config).await.unwrap();
    let layer = client.put_blob(repository, vec![7_u8; 100_000]).await.unwrap();
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": pointer(&config), "layers": [pointer(&layer)]})
    .to_string();
    let target = by_digest(&Digest::of(manifest.as_bytes()));
    client.put_manifest(repository, &target, OCI_MANIFEST, manifest).await.unwrap()
}

/// Those that are here: Debian's, and a newer one where `scripts/bed up registry3` built it.
fn all() -> Vec<DockerRegistry> {
    let found: Vec<_> = std::iter::once(DockerRegistry::start()).chain(DockerRegistry::newer()).collect();
    println!("real registries: {}", found.iter().map(DockerRegistry::name).collect::<Vec<_>>().join(", "));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_works_at_the_registries_that_people_run() {
    for server in all() {
        works(&server).await;
    }
}

async fn works(server: &DockerRegistry) {
    let repository: Repository = format!("{}/acme/api", server.host()).parse().unwrap();
    let client = anonymous();
    let tag: Tag = "v1".parse().unwrap();
    assert_eq!(client.resolve(&repository, &tag).await.unwrap(), None);
    let (one, two) = (push(&client, &repository, 1).await, push(&client, &repository, 2).await);
    let (one, two) = (repository.at(&one), repository.at(&two));
    assert_eq!(client.tag(&one, &tag, Move::Permanent).await.unwrap(), Tagged::Created);
    assert!(client.tag(&two, &tag, Move::Permanent).await.is_err());
    assert_eq!(client.resolve(&repository, &tag).await.unwrap(), Some(one.digest.clone()));
    let manifest = client.manifest(&repository, &by_digest(&one.digest)).await.unwrap();
    let ManifestKind::Image { layers, .. } = manifest.kind else { panic!("an index") };
    assert_eq!(client.blob(&repository, &layers[0], 1 << 20).await.unwrap().len(), 100_000);
    let index = client.index(&repository, std::slice::from_ref(&one.digest), &BTreeMap::new()).await.unwrap();
    assert_eq!(client.resolve(&repository, &"nope".parse().unwrap()).await.unwrap(), None);
    for subject in [&one.digest, &index] {
        let written = record(Kind::Scan, None, 1);
        client.put_evidence(&repository, subject, &written).await.unwrap();
        let found = client.evidence(&repository, subject, &[(Kind::Scan, None)]).await.unwrap();
        assert_eq!((found.records, found.foreign), (vec![written], 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_image_and_its_evidence_are_copied_inside_each_and_between_them() {
    let (servers, other) = (all(), DockerRegistry::start());
    for server in &servers {
        let from: Repository = format!("{}/staging/api", server.host()).parse().unwrap();
        let client = anonymous();
        let image = push(&client, &from, 1).await;
        let index = client.index(&from, std::slice::from_ref(&image), &BTreeMap::new()).await.unwrap();
        let scan = record(Kind::Scan, None, 1);
        client.put_evidence(&from, &image, &scan).await.unwrap();
        let tag: Tag = "v1".parse().unwrap();
        for (host, requests) in [(server.host(), 10), (other.host(), 14)] {
            let to: Repository = format!("{host}/production/{}", server.name()).parse().unwrap();
            let tags = [(tag.clone(), Move::Moving)];
            let alone = client.copy(&from.at(&index), &to, &tags, Along::Nothing).await.unwrap();
            // The two manifests, is it there, the blobs, the two manifests, the tag: nothing was sent twice.
            assert!(alone.requests <= requests, "{}: {alone:?}", server.name());
            assert_eq!(client.resolve(&to, &tag).await.unwrap(), Some(index.clone()));
            let copied = client.copy(&from.at(&index), &to, &tags, Along::Evidence).await.unwrap();
            assert_eq!(copied.evidence, 1);
            let found = client.evidence(&to, &image, &[]).await.unwrap();
            assert_eq!(found.records, std::slice::from_ref(&scan));
            for digest in [&image, &index] {
                let source = client.manifest(&from, &by_digest(digest)).await.unwrap();
                assert_eq!(client.manifest(&to, &by_digest(digest)).await.unwrap(), source);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_at_once_lose_nothing_there_either() {
    for server in all() {
        let repository: Repository = format!("{}/acme/api", server.host()).parse().unwrap();
        for trial in 0..crate::evidence::trials() {
            let subject = push(&anonymous(), &repository, trial).await;
            crate::evidence::write_at_once(&repository, &subject, None).await;
        }
    }
}
