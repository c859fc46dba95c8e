//! Copying an image: what arrives, in which order, and how few requests that takes.

use std::time::Duration;

use serde_json::{Value, json};
use shipkit_core::{Digest, Tag};
use shipkit_registry::{Along, Copied, Error, Login, Move, OCI_INDEX, OCI_MANIFEST, Options};
use shipkit_tests::server::registry::{self as server, Auth, Broken, Fault, Kind, PASSWORD, USERNAME};

use crate::{anonymous, logged_in, repository, with};

const HOUR: Duration = Duration::from_hours(1);
pub(crate) const FROM: &str = "staging/api";
pub(crate) const TO: &str = "production/api";

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

/// One tag that may move.
pub(crate) fn moving(name: &str) -> Vec<(Tag, Move)> {
    vec![(tag(name), Move::Moving)]
}

fn mounting() -> server::Registry {
    server::Registry::start(server::Options { mount: true, ..server::Options::default() })
}

pub(crate) fn plain() -> server::Registry {
    server::Registry::start(server::Options::default())
}

/// An image of twelve layers that no other image has.
pub(crate) fn image(server: &server::Registry, mark: &str) -> Digest {
    let layers: Vec<Vec<u8>> = (0..12).map(|n| format!("{mark} {n} ").into_bytes().repeat(9000)).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    server.seed_image(FROM, &json!({"os": "linux", "architecture": mark}), &layers)
}

fn entry(server: &server::Registry, digest: &Digest, platform: &str) -> Value {
    let (media_type, bytes) = server.stored(FROM, digest).unwrap();
    let (os, architecture) = platform.split_once('/').unwrap();
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len(),
        "platform": {"os": os, "architecture": architecture}})
}

pub(crate) fn index_of(server: &server::Registry, entries: &[Value]) -> Digest {
    let text = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string();
    server.seed_manifest(FROM, OCI_INDEX, text)
}

pub(crate) fn two_platforms(server: &server::Registry) -> Digest {
    let (amd64, arm64) = (image(server, "amd64"), image(server, "arm64"));
    let entries = [entry(server, &amd64, "linux/amd64"), entry(server, &arm64, "linux/arm64")];
    index_of(server, &entries)
}

/// All that the source has is at the destination, byte for byte.
#[track_caller]
fn assert_whole(source: &server::Registry, destination: &server::Registry) {
    for digest in source.manifests(FROM) {
        let digest = digest.parse().unwrap();
        assert_eq!(destination.stored(TO, &digest), source.stored(FROM, &digest));
    }
    assert_eq!(destination.blobs(TO), source.blobs(FROM));
}

async fn copy(
    client: &shipkit_registry::Registry,
    (source, digest): (&server::Registry, &Digest),
    destination: &server::Registry,
    tags: &[(Tag, Move)],
) -> Result<Copied, Error> {
    let source = repository(source, FROM).at(digest);
    client.copy(&source, &repository(destination, TO), tags, Along::Nothing).await
}

#[tokio::test]
async fn one_image_inside_one_registry_takes_sixteen_requests() {
    let server = mounting();
    let digest = image(&server, "amd64");
    let copied = copy(&anonymous(), (&server, &digest), &server, &moving("v1")).await.unwrap();
    assert_whole(&server, &server);
    assert_eq!(server.tags(TO).get("v1"), Some(&digest.to_string()));
    let requests = server.requests();
    assert_eq!((requests.len(), copied.requests), (16, 16));
    assert_eq!(copied.digest, digest);
    // The manifest both ways, and no blob.
    let manifest = u64::try_from(server.stored(FROM, &digest).unwrap().1.len()).unwrap();
    assert_eq!((copied.sent, copied.received), (manifest, manifest));
    let last: Vec<_> = requests[14..].iter().map(|r| (r.method.as_str(), r.path.as_str())).collect();
    let path = format!("/v2/{TO}/manifests/v1");
    assert_eq!(last, [("PUT", path.as_str()), ("HEAD", path.as_str())]);
}

#[tokio::test]
async fn two_platforms_inside_one_registry_take_34_requests_and_three_the_second_time() {
    let server = mounting();
    let digest = two_platforms(&server);
    let client = anonymous();
    let copied = copy(&client, (&server, &digest), &server, &moving("v1")).await.unwrap();
    assert_whole(&server, &server);
    assert_eq!((server.requests().len(), copied.requests), (34, 34));
    let again = copy(&client, (&server, &digest), &server, &moving("v1")).await.unwrap();
    assert_eq!((server.requests().len() - 34, again.requests), (3, 3));
    // Under another name it is written and read back.
    let named = copy(&client, (&server, &digest), &server, &moving("v2")).await.unwrap();
    // Two of these ask whether the name is free: only a GET says so for sure.
    assert_eq!(named.requests, 6);
    assert_eq!(server.tags(TO).get("v2"), Some(&digest.to_string()));
}

#[tokio::test]
async fn a_registry_that_takes_its_time_to_keep_a_blob_holds_up_no_other() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    let (tell, told) = std::sync::mpsc::channel();
    destination.fail(Fault::new("PUT", Kind::Upload, Broken::Halt(tell)).times(13));
    let (from, to) = (repository(&source, FROM).at(&digest), repository(&destination, TO));
    let client = anonymous();
    let copying = tokio::spawn(async move { client.copy(&from, &to, &[], Along::Nothing).await });
    // Twelve layers and the configuration: none of them is answered, and all are sent.
    let sent = tokio::task::spawn_blocking(move || {
        (0..13).map_while(|_| told.recv_timeout(Duration::from_secs(10)).ok()).count()
    });
    assert_eq!(sent.await.unwrap(), 13);
    copying.abort();
}

#[tokio::test]
async fn between_two_registries_every_byte_goes_once_and_the_second_time_none() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    let client = anonymous();
    let copied = copy(&client, (&source, &digest), &destination, &moving("v1")).await.unwrap();
    assert_whole(&source, &destination);
    let blobs: u64 = source.blobs(FROM).len().try_into().unwrap();
    assert_eq!(copied.requests, 1 + 1 + 3 * blobs + 2);
    let manifest = source.stored(FROM, &digest).unwrap().1;
    let layers: usize = (0..12).map(|n| format!("amd64 {n} ").len() * 9000).sum();
    let config = json!({"os": "linux", "architecture": "amd64"}).to_string().len();
    let whole: u64 = (layers + config + manifest.len()).try_into().unwrap();
    assert_eq!(copied.sent, whole);
    // A missing manifest was asked for, and its 404 says so in a few words.
    assert!(whole <= copied.received && copied.received < whole + 200, "{copied:?} {whole}");
    let again = copy(&client, (&source, &digest), &destination, &moving("v1")).await.unwrap();
    assert_eq!((again.requests, again.sent), (3, 0));
}

#[tokio::test]
async fn blobs_that_the_destination_has_do_not_travel() {
    let (source, destination) = (plain(), mounting());
    let digest = image(&source, "amd64");
    for n in 0..5 {
        destination.seed_blob(TO, format!("amd64 {n} ").repeat(9000));
    }
    copy(&anonymous(), (&source, &digest), &destination, &moving("v1")).await.unwrap();
    assert_whole(&source, &destination);
    let gets = source.requests().iter().filter(|r| r.path.contains("/blobs/")).count();
    assert_eq!(gets, 8);
}

#[tokio::test]
async fn a_registry_that_mounts_nothing_gets_the_bytes() {
    let server = plain();
    let digest = two_platforms(&server);
    copy(&anonymous(), (&server, &digest), &server, &moving("v1")).await.unwrap();
    assert_whole(&server, &server);
    // One that does not even know the word is asked in plain words.
    let strange = plain();
    let digest = image(&strange, "amd64");
    strange.fail(Fault::new("POST", Kind::Upload, Broken::Status(405, vec![])));
    copy(&anonymous(), (&strange, &digest), &strange, &moving("v1")).await.unwrap();
    assert_whole(&strange, &strange);
}

#[tokio::test]
async fn one_token_allows_the_whole_copy() {
    let auth = Auth::Bearer { ttl: HOUR };
    let server = server::Registry::start(server::Options { mount: true, auth, ..server::Options::default() });
    let digest = image(&server, "amd64");
    let copied = copy(&logged_in(&server.host()), (&server, &digest), &server, &moving("v1")).await.unwrap();
    assert_whole(&server, &server);
    let requests = server.requests();
    let tokens: Vec<_> = requests.iter().filter(|r| r.path == "/token").collect();
    assert_eq!(tokens.len(), 1);
    for scope in
        ["scope=repository%3Aproduction%2Fapi%3Apull%2Cpush", "scope=repository%3Astaging%2Fapi%3Apull"]
    {
        assert!(tokens[0].query.contains(scope), "{}", tokens[0].query);
    }
    assert_eq!(requests.iter().filter(|r| r.status == 401).count(), 1);
    assert_eq!((copied.requests, requests.len()), (18, 18));
}

#[tokio::test]
async fn a_login_that_gets_no_token_for_two_repositories_copies_without_mounts() {
    let auth = Auth::Bearer { ttl: HOUR };
    let options = server::Options { mount: true, auth, narrow: true, ..server::Options::default() };
    let server = server::Registry::start(options);
    let digest = image(&server, "amd64");
    copy(&logged_in(&server.host()), (&server, &digest), &server, &moving("v1")).await.unwrap();
    assert_whole(&server, &server);
    let mounted = server.requests().iter().filter(|r| r.query.contains("mount=") && r.status == 201).count();
    assert_eq!(mounted, 0);
    let refused = server.requests().iter().filter(|r| r.path == "/token" && r.status == 403).count();
    assert_eq!(refused, 1, "it is asked once for what it does not give");
}

#[tokio::test]
async fn each_registry_sees_its_own_login_only() {
    let options = || server::Options { auth: Auth::Basic, ..server::Options::default() };
    let (source, destination) = (server::Registry::start(options()), server::Registry::start(options()));
    let digest = image(&source, "amd64");
    let login =
        |host: String| Login { registry: host, username: USERNAME.to_owned(), password: PASSWORD.into() };
    let both =
        shipkit_registry::Credentials::default().and(login(source.host())).and(login(destination.host()));
    let both = shipkit_registry::Registry::new(both).unwrap();
    copy(&both, (&source, &digest), &destination, &moving("v1")).await.unwrap();
    assert_whole(&source, &destination);
    let other = server::Registry::start(options());
    let error = copy(&both, (&source, &digest), &other, &moving("v1")).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(other.requests().iter().all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn tokens_that_expire_on_the_way_are_renewed() {
    let bearer = |ttl| server::Options { auth: Auth::Bearer { ttl }, ..server::Options::default() };
    let server = server::Registry::start(bearer(HOUR));
    let digest = two_platforms(&server);
    let client = logged_in(&server.host());
    // The registry forgets the token when one PUT of a blob, which cannot be sent twice, is under way.
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"in-test\"", server.host());
    let refusal = Broken::Status(401, vec![("www-authenticate", challenge.clone())]);
    server.fail(Fault::new("PUT", Kind::Upload, refusal.clone()).after(3));
    server.fail(Fault::new("GET", Kind::Blob, refusal).after(7));
    copy(&client, (&server, &digest), &server, &moving("v1")).await.unwrap();
    assert_whole(&server, &server);
    // One for both, where the second refusal is one of the token that the first has replaced already.
    let tokens = server.requests().iter().filter(|r| r.path == "/token").count();
    assert!((2..=3).contains(&tokens), "{tokens}");
    // A token of two seconds lives for one and a half here; what takes longer has several.
    let short = server::Registry::start(bearer(Duration::from_secs(2)));
    let digest = image(&short, "amd64");
    let client = logged_in(&short.host());
    let until = std::time::Instant::now() + Duration::from_secs(3);
    let mut round = 0;
    while std::time::Instant::now() < until {
        round += 1;
        copy(&client, (&short, &digest), &short, &moving(&format!("v{round}"))).await.unwrap();
    }
    assert!(2 <= short.requests().iter().filter(|r| r.path == "/token").count());
}

#[tokio::test]
async fn a_login_that_cannot_be_renewed_ends_the_copy_before_the_tag() {
    let options = server::Options { auth: Auth::Bearer { ttl: HOUR }, ..server::Options::default() };
    let server = server::Registry::start(options);
    let digest = image(&server, "amd64");
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"in-test\"", server.host());
    server.fail(
        Fault::new("PUT", Kind::Upload, Broken::Status(401, vec![("www-authenticate", challenge)])).times(99),
    );
    let error =
        copy(&logged_in(&server.host()), (&server, &digest), &server, &moving("v1")).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(server.tags(TO).is_empty() && server.manifests(TO).is_empty());
    // The token server itself says no, in the middle.
    let server = server::Registry::start(server::Options {
        auth: Auth::Bearer { ttl: HOUR },
        ..server::Options::default()
    });
    let digest = image(&server, "amd64");
    let client = logged_in(&server.host());
    client.manifest(&repository(&server, FROM), &digest.clone().into()).await.unwrap();
    server.expire_tokens();
    server.fail(Fault::new("GET", Kind::Token, Broken::Status(401, vec![])).times(99));
    let error = copy(&client, (&server, &digest), &server, &moving("v1")).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }) && error.to_string().contains("token"), "{error}");
}

#[tokio::test]
async fn manifests_arrive_byte_for_byte_whatever_is_in_them() {
    let (source, destination) = (plain(), plain());
    let config = source.seed_blob(FROM, "{}");
    let text = format!(
        r#"{{ "mediaType":"{OCI_MANIFEST}", "schemaVersion":2, "later": [1.50], "config":{{"mediaType":"c","digest":"{config}","size":2}},"layers":[]}}"#
    );
    let image = source.seed_manifest(FROM, OCI_MANIFEST, text.clone());
    // An attestation, as BuildKit writes it beside an image.
    let proof = source.seed_blob(FROM, "proof");
    let attestation = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "c", "digest": config, "size": 2},
        "layers": [{"mediaType": "application/vnd.in-toto+json", "digest": proof, "size": 5}]});
    let attestation = source.seed_manifest(FROM, OCI_MANIFEST, attestation.to_string());
    let entries = [
        entry(&source, &image, "linux/amd64"),
        entry(&source, &attestation, "unknown/unknown"),
        // Twice the same manifest for two platforms, and an index in the index.
        entry(&source, &image, "linux/arm64"),
    ];
    let inner = index_of(&source, &entries);
    let outer = index_of(&source, &[entry(&source, &inner, "linux/amd64"), entries[0].clone()]);
    copy(&anonymous(), (&source, &outer), &destination, &moving("v1")).await.unwrap();
    assert_whole(&source, &destination);
    assert_eq!(destination.stored(TO, &image).unwrap().1, text);
    assert_eq!(destination.tags(TO).get("v1"), Some(&outer.to_string()));
}

#[tokio::test]
async fn layers_that_must_not_be_passed_on_are_left_out() {
    let (source, destination) = (plain(), plain());
    let config = source.seed_blob(FROM, "{}");
    let base = Digest::of(b"only its maker has it");
    let text = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "c", "digest": config, "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "digest": base, "size": 9}]});
    let digest = source.seed_manifest(FROM, OCI_MANIFEST, text.to_string());
    // The registry in memory knows no such layers and wants them all.
    destination.seed_blob(TO, "only its maker has it");
    copy(&anonymous(), (&source, &digest), &destination, &moving("v1")).await.unwrap();
    assert!(source.requests().iter().all(|request| !request.path.contains(base.as_str())));
}

#[tokio::test]
async fn what_is_not_an_image_as_its_index_says_is_not_copied() {
    let source = plain();
    let image = image(&source, "amd64");
    let gone = Digest::of(b"gone");
    let missing = json!({"mediaType": OCI_MANIFEST, "digest": gone, "size": 4});
    let mut lying = entry(&source, &image, "linux/amd64");
    lying["mediaType"] = json!(OCI_INDEX);
    let mut deep = entry(&source, &image, "linux/amd64");
    for _ in 0..4 {
        deep = entry(&source, &index_of(&source, &[deep]), "linux/amd64");
    }
    let too_deep: Digest = deep["digest"].as_str().unwrap().parse().unwrap();
    for (digest, expected) in [
        (index_of(&source, &[missing]), "does not have the manifest"),
        (index_of(&source, &[lying]), "is not usable"),
        (too_deep, "nested deeper than 3"),
    ] {
        let destination = plain();
        let error = copy(&anonymous(), (&source, &digest), &destination, &moving("v1")).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(destination.blobs(TO).is_empty() && destination.tags(TO).is_empty());
    }
}

#[tokio::test]
async fn a_permanent_tag_that_is_taken_ends_the_copy_before_it_begins() {
    let server = mounting();
    let (digest, other) = (image(&server, "amd64"), image(&server, "other"));
    server.set_tag(TO, "1.0.0", &other);
    let (_, bytes) = server.stored(FROM, &other).unwrap();
    server.seed_manifest(TO, OCI_MANIFEST, bytes);
    let tags = [(tag("latest"), Move::Moving), (tag("1.0.0"), Move::Permanent)];
    let error = copy(&anonymous(), (&server, &digest), &server, &tags).await.unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error}");
    assert_eq!(server.requests().iter().filter(|r| r.method != "HEAD").count(), 0);
    // One that names this very image says that all is there.
    let client = anonymous();
    let tags = [(tag("2.0.0"), Move::Permanent)];
    copy(&client, (&server, &digest), &server, &tags).await.unwrap();
    let again = copy(&client, (&server, &digest), &server, &tags).await.unwrap();
    assert_eq!(again.requests, 2);
}

#[tokio::test]
async fn a_tag_that_somebody_moved_meanwhile_is_an_error() {
    let server = mounting();
    let digest = image(&server, "amd64");
    let moved = Broken::Header("docker-content-digest", Digest::of(b"other").to_string());
    server.fail(Fault::new("HEAD", Kind::Manifest, moved));
    let error = copy(&anonymous(), (&server, &digest), &server, &moving("v1")).await.unwrap_err();
    assert!(matches!(error, Error::Overwritten { .. }), "{error}");
}

#[tokio::test]
async fn without_a_tag_the_image_is_there_by_digest() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    copy(&anonymous(), (&source, &digest), &destination, &[]).await.unwrap();
    assert_whole(&source, &destination);
    assert!(destination.tags(TO).is_empty());
}

#[tokio::test]
async fn without_a_tag_a_second_copy_inside_one_registry_writes_nothing() {
    let server = mounting();
    let digest = image(&server, "amd64");
    let (client, to) = (anonymous(), repository(&server, TO).at(&digest));
    assert!(!client.has(&to).await.unwrap());
    assert!(copy(&client, (&server, &digest), &server, &[]).await.unwrap().is_sent);
    assert!(client.has(&to).await.unwrap());
    let again = copy(&client, (&server, &digest), &server, &[]).await.unwrap();
    assert_eq!((again.is_sent, again.requests, again.sent), (false, 2, 0));
}

#[tokio::test]
async fn a_client_that_will_write_asks_for_that_from_the_first_request_on() {
    let auth = Auth::Bearer { ttl: HOUR };
    let server = server::Registry::start(server::Options { auth, ..server::Options::default() });
    let to = repository(&server, TO);
    let client = logged_in(&server.host()).writing_to(&to);
    assert_eq!(client.resolve(&to, &tag("v1")).await.unwrap(), None);
    let tokens = server.requests().into_iter().filter(|request| request.path == "/token");
    let asked: Vec<_> = tokens.map(|request| request.query).collect();
    assert!(
        asked.len() == 1 && asked[0].contains("scope=repository%3Aproduction%2Fapi%3Apull%2Cpush"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn wrong_bytes_never_become_a_blob() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    let layer = Digest::of("amd64 3 ".repeat(9000).as_bytes());
    // Of the right size, so that only the digest tells.
    source.tamper(FROM, &layer, "amd64 4 ".repeat(9000));
    let error = copy(&anonymous(), (&source, &digest), &destination, &moving("v1")).await.unwrap_err();
    assert!(matches!(&error, Error::WrongBytes { registry, .. } if *registry == source.host()), "{error}");
    assert!(!destination.blobs(TO).contains(&layer.to_string()) && destination.tags(TO).is_empty());
    // The registry was never shown the end of it.
    let refused = destination.requests().iter().filter(|r| r.method == "PUT" && r.status == 400).count();
    assert_eq!(refused, 0);
}

#[tokio::test]
async fn a_copy_that_is_broken_off_leaves_the_tag_as_it_was() {
    let (source, destination) = (plain(), plain());
    let (digest, before) = (image(&source, "amd64"), Digest::of(b"before"));
    destination.set_tag(TO, "v1", &before);
    destination.fail(Fault::new("PUT", Kind::Upload, Broken::Stall).after(6).times(99));
    let client = anonymous();
    let (from, to) = (repository(&source, FROM).at(&digest), repository(&destination, TO));
    let copying = tokio::spawn(async move { client.copy(&from, &to, &moving("v1"), Along::Nothing).await });
    while destination.blobs(TO).len() < 6 {
        tokio::task::yield_now().await;
    }
    copying.abort();
    assert!(copying.await.unwrap_err().is_cancelled());
    assert_eq!(destination.tags(TO).get("v1"), Some(&before.to_string()));
    // The next one finishes it.
    let done = plain();
    copy(&anonymous(), (&source, &digest), &done, &moving("v1")).await.unwrap();
    assert_whole(&source, &done);
}

#[tokio::test]
async fn one_deadline_holds_for_the_whole_copy() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    source.fail(Fault::new("GET", Kind::Blob, Broken::Drip).times(99));
    let client = with(Options { deadline: Duration::from_millis(800), ..Options::default() });
    let error = copy(&client, (&source, &digest), &destination, &moving("v1")).await.unwrap_err();
    assert!(error.to_string().contains("the deadline passed"), "{error}");
    assert!(destination.tags(TO).is_empty());
}

#[tokio::test]
async fn pauses_of_a_copy_add_up_to_its_deadline() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    let pause = || Broken::Status(429, vec![("retry-after", "2".to_owned())]);
    source.fail(Fault::new("GET", Kind::Manifest, pause()));
    destination.fail(Fault::new("HEAD", Kind::Manifest, pause()));
    // Enough for either pause and not for both.
    let client = with(Options { deadline: Duration::from_millis(3500), ..Options::default() });
    let error = copy(&client, (&source, &digest), &destination, &moving("v1")).await.unwrap_err();
    assert!(matches!(error, Error::Busy { seconds: 2, .. }), "{error}");
}

#[tokio::test]
async fn blobs_and_uploads_may_be_elsewhere_and_credentials_stay_at_home() {
    let basic = || server::Options { auth: Auth::Basic, ..server::Options::default() };
    let home = server::Registry::start(basic());
    let (store, sink) = (plain(), plain());
    let digest = home.seed_image(FROM, &json!({}), &[]);
    let config = store.seed_blob("store", "{}");
    let away = format!("http://{}/v2/store/blobs/{config}?signature=abc", store.host());
    home.fail(Fault::new("GET", Kind::Blob, Broken::Status(307, vec![("location", away)])));
    let upload = format!("http://{}/v2/{TO}/blobs/uploads/0?_state=x%2Fy", sink.host());
    home.fail(Fault::new("POST", Kind::Upload, Broken::Status(202, vec![("location", upload)])));
    // What is stored elsewhere is there for the registry too.
    home.seed_blob(TO, "{}");
    copy(&logged_in(&home.host()), (&home, &digest), &home, &moving("v1")).await.unwrap();
    let (there, here) = (store.requests(), sink.requests());
    assert_eq!((there.len(), &there[0].authorization, there[0].query.as_str()), (1, &None, "signature=abc"));
    assert_eq!((here.len(), &here[0].authorization, here[0].status), (1, &None, 201));
    assert!(here[0].query.starts_with("_state=x%2Fy&digest=sha256%3A"), "{}", here[0].query);
}

#[tokio::test]
async fn an_upload_without_a_location_is_an_error_and_nothing_is_sent() {
    let (source, destination) = (plain(), plain());
    let digest = image(&source, "amd64");
    destination.fail(Fault::new("POST", Kind::Upload, Broken::Without("location")).times(99));
    let error = copy(&anonymous(), (&source, &digest), &destination, &moving("v1")).await.unwrap_err();
    assert!(matches!(&error, Error::Protocol { why, .. } if why.contains("no `Location`")), "{error}");
    assert!(destination.blobs(TO).is_empty());
}

#[tokio::test]
async fn an_upload_that_nobody_reads_is_given_up_and_begun_anew() {
    let (source, destination) = (plain(), plain());
    // Larger than what the buffers between two programs hold, so that it stops in the middle.
    let digest = source.seed_image(FROM, &json!({}), &[&vec![7; 24 << 20]]);
    destination.fail(Fault::new("PUT", Kind::Upload, Broken::Stall).times(2));
    // After the last byte it would wait for more than a minute, which this deadline would not allow.
    let (deadline, idle) = (Duration::from_secs(50), Duration::from_secs(3));
    let client = with(Options { deadline, idle, ..Options::default() });
    copy(&client, (&source, &digest), &destination, &[]).await.unwrap();
    assert_whole(&source, &destination);
}
