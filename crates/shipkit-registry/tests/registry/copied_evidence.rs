//! What is attached to an image travels with it.

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::evidence::Kind as Evidence;
use shipkit_registry::{Along, Error, OCI_MANIFEST};
use shipkit_tests::server::registry::{self as server, Broken, Fault, Kind};

use crate::copy::{FROM, TO, image, index_of, moving, plain, two_platforms};
use crate::{anonymous, impatient, record, repository, with};

#[tokio::test]
async fn evidence_whose_content_is_gone_ends_the_copy_before_the_tag() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    let (from, to) = (repository(&source, FROM), repository(&destination, TO));
    let client = anonymous();
    let evidence = client.put_evidence(&from, &digest, &smoke(1)).await.unwrap();
    let manifest: Value = serde_json::from_slice(&source.stored(FROM, &evidence).unwrap().1).unwrap();
    source.remove(FROM, &manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap());
    let error = client.copy(&from.at(&digest), &to, &moving("v1"), Along::Evidence).await.unwrap_err();
    assert!(error.is_not_found() && destination.tags(TO).is_empty(), "{error}");
    assert!(client.evidence(&from, &digest, &[]).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn evidence_travels_with_its_image_and_is_listed_where_it_arrives() {
    let ways = [(false, false), (false, true), (true, false), (true, true)];
    for way in ways.map(|way| tokio::spawn(evidence_travels(way))) {
        way.await.unwrap();
    }
}

/// From a registry with or without the referrers API to one with or without it.
async fn evidence_travels((from_api, to_api): (bool, bool)) {
    let start =
        |referrers| server::Registry::start(server::Options { referrers, ..server::Options::default() });
    let (source, destination) = (start(from_api), start(to_api));
    let (index, platform) = (two_platforms(&source), image(&source, "arm64"));
    let (from, to) = (repository(&source, FROM), repository(&destination, TO));
    let client = anonymous();
    for second in 1..4 {
        client.put_evidence(&from, &index, &smoke(second)).await.unwrap();
    }
    client.put_evidence(&from, &platform, &record(Evidence::Scan, None, 9)).await.unwrap();
    let copied = client.copy(&from.at(&index), &to, &moving("v1"), Along::Evidence).await.unwrap();
    assert_eq!(copied.evidence, 4);
    let wanted = &[(Evidence::Smoke, Some("staging"))];
    for (subject, count) in [(&index, 3), (&platform, 1)] {
        let before = client.evidence(&from, subject, wanted).await.unwrap();
        let after = client.evidence(&to, subject, wanted).await.unwrap();
        assert_eq!((after.records.len(), &after), (count, &before), "{from_api} {to_api}");
    }
    // Nothing is brought twice, and what was written there since stays the newest.
    client.put_evidence(&to, &index, &smoke(30)).await.unwrap();
    let own = || destination.tags(TO).get(&format!("sha256-{}.shipkit-smoke-staging", index.hex())).cloned();
    let newest = own();
    assert_eq!(newest.is_some(), !to_api);
    client.put_evidence(&from, &index, &smoke(20)).await.unwrap();
    let again = client.copy(&from.at(&index), &to, &moving("v1"), Along::Evidence).await.unwrap();
    assert_eq!((again.evidence, own()), (1, newest));
    let after = client.evidence(&to, &index, wanted).await.unwrap();
    assert_eq!((after.records.len(), &after.records[0]), (5, &smoke(30)));
    // And the other way about.
    client.put_evidence(&from, &index, &smoke(40)).await.unwrap();
    let newest = own();
    client.copy(&from.at(&index), &to, &moving("v1"), Along::Evidence).await.unwrap();
    assert_eq!(own() == newest, to_api);
}

fn smoke(second: usize) -> shipkit_core::evidence::Record {
    record(Evidence::Smoke, Some("staging"), second)
}

#[tokio::test]
async fn what_others_attached_travels_too_and_what_only_claims_to_refer_stays() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    let other = Digest::of(b"other");
    let signature = |subject: &Digest| {
        let layer = source.seed_blob(FROM, format!("signature of {subject}"));
        let empty = source.seed_blob(FROM, "{}");
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.example.signature", "digest": empty, "size": 2},
            "layers": [{"mediaType": "x", "digest": layer, "size": 84}],
            "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1},
            "annotations": {"who": "somebody"}});
        source.seed_manifest(FROM, OCI_MANIFEST, manifest.to_string())
    };
    let (ours, forged) = (signature(&digest), signature(&other));
    let dangling = Digest::of(b"deleted by a clean-up");
    let entries: Vec<_> = [&ours, &forged, &dangling]
        .iter()
        .map(|digest| json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 1}))
        .collect();
    let listing = index_of(&source, &entries);
    let listing_tag = format!("sha256-{}", digest.hex());
    source.set_tag(FROM, &listing_tag, &listing);
    let (from, to) = (repository(&source, FROM), repository(&destination, TO));
    let copied = anonymous().copy(&from.at(&digest), &to, &moving("v1"), Along::Evidence).await.unwrap();
    assert_eq!(copied.evidence, 1);
    assert_eq!(destination.stored(TO, &ours), source.stored(FROM, &ours));
    assert_eq!(destination.stored(TO, &forged), None);
    let listed = destination.tags(TO).get(&listing_tag).unwrap().parse().unwrap();
    let listed: Value = serde_json::from_slice(&destination.stored(TO, &listed).unwrap().1).unwrap();
    let size = source.stored(FROM, &ours).unwrap().1.len();
    let expected = json!([{"mediaType": OCI_MANIFEST, "digest": ours, "size": size,
        "artifactType": "application/vnd.example.signature", "annotations": {"who": "somebody"}}]);
    assert_eq!(listed["manifests"], expected);
}

#[tokio::test]
async fn evidence_that_cannot_be_read_ends_the_copy_before_the_tag() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    source.fail(Fault::new("GET", Kind::Referrers, Broken::Status(403, vec![])).times(9));
    let (from, to) = (repository(&source, FROM), repository(&destination, TO));
    let error =
        with(impatient()).copy(&from.at(&digest), &to, &moving("v1"), Along::Evidence).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(destination.tags(TO).is_empty());
}
