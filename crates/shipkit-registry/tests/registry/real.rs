//! Debian's docker-registry 2.8: no referrers API, and a 500 now and then while a tag is rewritten.

use std::collections::BTreeMap;

use serde_json::json;
use shipkit_core::evidence::Kind;
use shipkit_core::{Digest, Repository, Tag};
use shipkit_registry::{Descriptor, ManifestKind, Move, OCI_MANIFEST, Registry, Tagged};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_works_at_the_registry_that_people_run() {
    let server = DockerRegistry::start();
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
async fn eight_writers_at_once_lose_nothing_there_either() {
    let server = DockerRegistry::start();
    let repository: Repository = format!("{}/acme/api", server.host()).parse().unwrap();
    for trial in 0..10 {
        let subject = push(&anonymous(), &repository, trial).await;
        crate::evidence::write_at_once(&repository, &subject, None).await;
    }
}
