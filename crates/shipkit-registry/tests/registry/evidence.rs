//! Evidence: written, found again, never lost, never made up.

use serde_json::{Value, json};
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::{Digest, Repository};
use shipkit_registry::{Error, Evidence, OCI_INDEX, OCI_MANIFEST, Registry, Target};
use shipkit_tests::server::registry::{self as server, Auth, Broken, Fault, Options};

use crate::{anonymous, logged_in, record, repository, seed};

const STAGING: &[(Kind, Option<&str>)] = &[(Kind::Smoke, Some("staging"))];

async fn read(client: &Registry, repository: &Repository, subject: &Digest) -> Evidence {
    client.evidence(repository, subject, &[]).await.unwrap()
}

fn listing_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// Puts a referrer of somebody's making into the store and into the listing.
fn plant(server: &server::Registry, subject: &Digest, statement: &str, annotations: &Value) -> Digest {
    let blob = server.seed_blob("acme/api", statement.to_owned());
    let empty = server.seed_blob("acme/api", "{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/vnd.in-toto+json",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "layers": [{"mediaType": "application/vnd.in-toto+json", "digest": blob, "size": statement.len()}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1},
        "annotations": annotations,
    });
    let digest = server.seed_manifest("acme/api", OCI_MANIFEST, manifest.to_string());
    let entry = json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 1, "annotations": annotations});
    list(server, subject, &[entry]);
    digest
}

fn list(server: &server::Registry, subject: &Digest, entries: &[Value]) {
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, "kept": 1.50});
    let digest = server.seed_manifest("acme/api", OCI_INDEX, index.to_string());
    server.set_tag("acme/api", &listing_tag(subject), &digest);
}

#[tokio::test]
async fn what_is_written_is_found_newest_first_with_and_without_the_api() {
    for (referrers, page) in [(false, None), (true, None), (true, Some(1))] {
        let server = server::Registry::start(Options { referrers, page, ..Options::default() });
        let api = repository(&server, "acme/api");
        let (subject, client) = (seed(&server, "acme/api"), anonymous());
        let (old, new) =
            (record(Kind::Smoke, Some("staging"), 1), record(Kind::Deployment, Some("staging"), 2));
        client.put_evidence(&api, &subject, &new).await.unwrap();
        client.put_evidence(&api, &subject, &old).await.unwrap();
        let found = client.evidence(&api, &subject, STAGING).await.unwrap();
        assert_eq!(found, Evidence { records: vec![new, old], foreign: 0 });
        // Tags litter the repository, so there are none where the API lists.
        assert_eq!(server.tags("acme/api").is_empty(), referrers);
    }
}

#[tokio::test]
async fn records_that_come_together_are_listed_once() {
    for referrers in [false, true] {
        let server = server::Registry::start(Options { referrers, ..Options::default() });
        let api = repository(&server, "acme/api");
        let (subject, client) = (seed(&server, "acme/api"), anonymous());
        let records = [record(Kind::Deployment, Some("staging"), 2), record(Kind::Smoke, Some("staging"), 1)];
        let stored = client.put_all_evidence(&api, &subject, &records).await.unwrap();
        for (digest, record) in stored.iter().zip(&records) {
            let (_, manifest) = server.stored("acme/api", digest).unwrap();
            let manifest: Value = serde_json::from_slice(&manifest).unwrap();
            assert_eq!(manifest["annotations"]["dev.shipkit.evidence.kind"], record.kind.word());
        }
        let found = client.evidence(&api, &subject, &[]).await.unwrap();
        assert_eq!(found, Evidence { records: records.to_vec(), foreign: 0 });
        let listing = format!("/manifests/{}", listing_tag(&subject));
        let requests = server.requests();
        let writes = requests.iter().filter(|one| one.method == "PUT" && one.path.ends_with(&listing));
        assert_eq!(writes.count(), usize::from(!referrers));
        let own = server.tags("acme/api").into_keys().filter(|tag| tag.contains(".shipkit-")).count();
        assert_eq!(own, if referrers { 0 } else { 2 });
    }
}

#[tokio::test]
async fn of_two_records_of_one_kind_the_last_has_the_tag() {
    let server = server::Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let (subject, client) = (seed(&server, "acme/api"), anonymous());
    let records = [record(Kind::Scan, None, 1), record(Kind::Scan, None, 2)];
    let stored = client.put_all_evidence(&api, &subject, &records).await.unwrap();
    let own = format!("{}.shipkit-scan", listing_tag(&subject));
    assert_eq!(server.tags("acme/api")[&own], stored[1].to_string());
    assert_eq!(client.evidence(&api, &subject, &[]).await.unwrap().records.len(), 2);
}

#[tokio::test]
async fn nothing_written_is_nothing_found() {
    let server = server::Registry::start(Options::default());
    let subject = seed(&server, "acme/api");
    let found = anonymous().evidence(&repository(&server, "acme/api"), &subject, STAGING).await.unwrap();
    assert_eq!(found, Evidence::default());
}

#[tokio::test]
async fn evidence_about_what_is_not_there_is_refused() {
    let server = server::Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let missing = Digest::of(b"missing");
    let error = anonymous().put_evidence(&api, &missing, &record(Kind::Scan, None, 1)).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert_eq!(server.tags("acme/api").len(), 0);
}

#[tokio::test]
async fn a_lost_listing_leaves_the_tag_of_its_kind() {
    let server = server::Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let (subject, client) = (seed(&server, "acme/api"), anonymous());
    for (kind, environment) in
        [(Kind::Smoke, Some("staging")), (Kind::Scan, None), (Kind::Smoke, Some("review/1"))]
    {
        client.put_evidence(&api, &subject, &record(kind, environment, 1)).await.unwrap();
    }
    let tags: Vec<String> = server.tags("acme/api").into_keys().collect();
    let prefix = listing_tag(&subject);
    assert!(tags.contains(&format!("{prefix}.shipkit-smoke-staging")), "{tags:?}");
    assert!(tags.contains(&format!("{prefix}.shipkit-scan")), "{tags:?}");
    list(&server, &subject, &[]);
    assert_eq!(read(&client, &api, &subject).await.records, []);
    let wanted = [(Kind::Smoke, Some("staging")), (Kind::Scan, None), (Kind::Smoke, Some("review/1"))];
    assert_eq!(client.evidence(&api, &subject, &wanted).await.unwrap().records.len(), 3);
}

#[tokio::test]
async fn an_error_is_never_no_evidence() {
    let never = || Broken::Status(503, vec![("retry-after", "0".to_owned())]);
    for (kind, after) in
        [(server::Kind::Referrers, 0), (server::Kind::Manifest, 0), (server::Kind::Manifest, 1)]
    {
        let server = server::Registry::start(Options::default());
        let subject = seed(&server, "acme/api");
        server.fail(Fault::new("GET", kind, never()).after(after).times(99));
        let api = repository(&server, "acme/api");
        let error = anonymous().evidence(&api, &subject, STAGING).await.unwrap_err();
        assert!(matches!(error, Error::Status { status: 503, .. }), "{error}");
    }
    let server = server::Registry::start(Options { auth: Auth::Basic, ..Options::default() });
    let api = repository(&server, "acme/api");
    let error = anonymous().evidence(&api, &Digest::of(b"x"), STAGING).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    // A 404 that is not the registry's own word says nothing.
    let server = server::Registry::start(Options::default());
    server.fail(Fault::new("GET", server::Kind::Manifest, Broken::Status(404, vec![])));
    let api = repository(&server, "acme/api");
    let error = anonymous().evidence(&api, &Digest::of(b"x"), STAGING).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn a_page_instead_of_the_api_means_there_is_no_api() {
    for broken in [
        Broken::Body("text/html; charset=utf-8", "<html>Welcome</html>".to_owned()),
        Broken::Status(400, vec![]),
        Broken::Status(405, vec![]),
    ] {
        let server = server::Registry::start(Options::default());
        let api = repository(&server, "acme/api");
        let subject = seed(&server, "acme/api");
        server.fail(Fault::new("GET", server::Kind::Referrers, broken).times(99));
        let client = anonymous();
        client.put_evidence(&api, &subject, &record(Kind::Scan, None, 1)).await.unwrap();
        assert_eq!(read(&client, &api, &subject).await.records.len(), 1);
    }
}

#[tokio::test]
async fn a_registry_that_answers_the_listing_with_the_image_itself_still_keeps_evidence() {
    let server = server::Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let (subject, client) = (seed(&server, "acme/api"), anonymous());
    server.set_tag("acme/api", &listing_tag(&subject), &subject);
    client.put_evidence(&api, &subject, &record(Kind::Smoke, Some("staging"), 1)).await.unwrap();
    let found = client.evidence(&api, &subject, STAGING).await.unwrap();
    assert_eq!((found.records.len(), found.foreign), (1, 0));
}

#[tokio::test]
async fn what_is_foreign_is_counted_and_kept() {
    let server = server::Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let (subject, client) = (seed(&server, "acme/api"), anonymous());
    let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": "x", "predicate": {},
        "subject": [{"digest": {"sha256": subject.hex()}}]});
    let stranger = plant(&server, &subject, &statement.to_string(), &json!({"by": "somebody"}));
    let gone = Digest::of(b"cleaned up");
    let entries = [
        json!({"mediaType": OCI_MANIFEST, "digest": stranger, "size": 1, "x": {"y": null}}),
        json!({"mediaType": OCI_MANIFEST, "digest": gone, "size": 1}),
        json!({"mediaType": OCI_MANIFEST, "digest": subject, "size": 1}),
    ];
    list(&server, &subject, &entries);
    // The registry in memory refuses an index with missing children, as docker-registry does.
    server.seed_manifest("acme/api", OCI_MANIFEST, "cleaned up");
    client.put_evidence(&api, &subject, &record(Kind::Scan, None, 1)).await.unwrap();
    server.remove("acme/api", &gone);
    let found = read(&client, &api, &subject).await;
    assert_eq!((found.records.len(), found.foreign), (1, 3));
    let tag = Target::Tag(listing_tag(&subject).parse().unwrap());
    let listing = client.manifest(&api, &tag).await.unwrap();
    let text = String::from_utf8(listing.bytes.to_vec()).unwrap();
    assert!(text.contains(r#""x":{"y":null}"#) && text.contains(r#""kept":1.5"#), "{text}");
}

#[tokio::test]
async fn an_entry_that_was_cleaned_up_does_not_stand_in_the_way() {
    let server = server::Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let (subject, client) = (seed(&server, "acme/api"), anonymous());
    let old = client.put_evidence(&api, &subject, &record(Kind::Scan, None, 1)).await.unwrap();
    client.put_evidence(&api, &subject, &record(Kind::Scan, None, 2)).await.unwrap();
    server.remove("acme/api", &old);
    // Not known is not none, until somebody writes again.
    assert!(client.evidence(&api, &subject, &[]).await.unwrap_err().is_not_found());
    client.put_evidence(&api, &subject, &record(Kind::Scan, None, 3)).await.unwrap();
    let found = read(&client, &api, &subject).await;
    assert_eq!(found.records, [record(Kind::Scan, None, 3), record(Kind::Scan, None, 2)]);
}

#[tokio::test]
async fn a_statement_about_another_image_is_not_evidence() {
    let server = server::Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let subject = seed(&server, "acme/api");
    let other = server.seed_image("acme/api", &json!({"other": 1}), &[]);
    let client = anonymous();
    let digest = client.put_evidence(&api, &other, &record(Kind::Scan, None, 1)).await.unwrap();
    // Listed here, but it refers to the other one.
    list(&server, &subject, &[json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 1})]);
    assert_eq!(read(&client, &api, &subject).await, Evidence { records: vec![], foreign: 1 });
    // A manifest that refers here around a statement that does not is a forgery, and not "none".
    let forged = record(Kind::Scan, None, 1).statement("api", &other);
    plant(&server, &subject, &String::from_utf8(forged).unwrap(), &json!({}));
    let error = client.evidence(&api, &subject, &[]).await.unwrap_err();
    assert!(matches!(error, Error::BadEvidence { .. }), "{error}");
}

#[tokio::test]
async fn malformed_evidence_of_ours_is_an_error() {
    let server = server::Registry::start(Options::default());
    let api = repository(&server, "acme/api");
    let subject = seed(&server, "acme/api");
    plant(&server, &subject, "not json", &json!({"dev.shipkit.evidence.kind": "scan"}));
    let error = anonymous().evidence(&api, &subject, &[]).await.unwrap_err();
    assert!(matches!(error, Error::BadEvidence { .. }), "{error}");
    let gone = Digest::of(b"gone");
    let annotations = json!({"dev.shipkit.evidence.kind": "scan"});
    list(
        &server,
        &subject,
        &[json!({"mediaType": OCI_MANIFEST, "digest": gone, "size": 1, "annotations": annotations})],
    );
    let error = anonymous().evidence(&api, &subject, &[]).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn more_referrers_than_anybody_has_are_refused() {
    let server = server::Registry::start(Options::default());
    let subject = seed(&server, "acme/api");
    let entry =
        |n: usize| json!({"mediaType": OCI_MANIFEST, "digest": Digest::of(&n.to_le_bytes()), "size": 1});
    list(&server, &subject, &(0..1001).map(entry).collect::<Vec<_>>());
    let error = anonymous().evidence(&repository(&server, "acme/api"), &subject, &[]).await.unwrap_err();
    assert!(matches!(error, Error::TooManyReferrers { .. }), "{error}");
}

/// Eight writers at once, each with a client of its own; every one that was told yes must be listed.
pub(crate) async fn write_at_once(repository: &Repository, subject: &Digest, login: Option<&str>) {
    let writers = (0..8).map(|writer| {
        let client = login.map_or_else(anonymous, logged_in);
        let (repository, subject) = (repository.clone(), subject.clone());
        tokio::spawn(async move {
            // All of one kind: the hardest case, because they share their own tag too.
            let written = record(Kind::Smoke, Some("staging"), writer);
            client.put_evidence(&repository, &subject, &written).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let client = login.map_or_else(anonymous, logged_in);
    let found: Vec<Record> = read(&client, repository, subject).await.records;
    let expected: Vec<Record> = (0..8).rev().map(|n| record(Kind::Smoke, Some("staging"), n)).collect();
    assert_eq!(found, expected);
}

/// A short sample; `./soak` runs fifty.
pub(crate) fn trials() -> u32 {
    std::env::var("SHIPKIT_EVIDENCE_TRIALS").ok().map_or(5, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_at_once_lose_nothing_with_and_without_the_api() {
    for referrers in [false, true] {
        let server = server::Registry::start(Options { referrers, ..Options::default() });
        let repository = repository(&server, "acme/api");
        for trial in 0..trials() {
            let subject = server.seed_image("acme/api", &json!({"trial": trial}), &[]);
            write_at_once(&repository, &subject, None).await;
        }
    }
}
