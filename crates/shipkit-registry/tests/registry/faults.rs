//! What goes wrong on the way: what passes is survived, and what stays is told.

use std::time::{Duration, Instant};

use shipkit_core::exit::ExitCode;
use shipkit_core::{Digest, Hint as _};
use shipkit_registry::{Descriptor, Error, OCI_MANIFEST, Options};
use shipkit_tests::server::registry::{self as server, Broken, Fault, Kind};

use crate::{anonymous, by_digest, impatient, repository, seed, with};

const CONTENT: &[u8] = b"some content that is long enough to be cut into two";

fn status(status: u16) -> Broken {
    Broken::Status(status, vec![])
}

fn slow_down() -> Broken {
    Broken::Status(429, vec![("retry-after", "1".to_owned())])
}

/// Reads a manifest and a blob, writes a blob and a manifest: the same bytes must be everywhere afterwards.
async fn round_trip(name: &str, fault: Fault) {
    let server = server::Registry::start(server::Options { faults: vec![fault], ..Default::default() });
    let api = repository(&server, "acme/api");
    let digest = seed(&server, "acme/api");
    server.seed_blob("acme/api", CONTENT);
    let client = with(impatient());
    let check = async {
        let manifest = client.manifest(&api, &by_digest(&digest)).await?;
        let blob = Descriptor::of("x", CONTENT);
        let bytes = client.blob(&api, &blob, 100).await?;
        assert_eq!(bytes, CONTENT, "{name}");
        let pushed = client.put_blob(&api, &b"new"[..]).await?;
        assert_eq!(client.blob(&api, &pushed, 100).await?.as_ref(), b"new", "{name}");
        let tag = "v1".parse().unwrap();
        client.put_manifest(&api, &shipkit_registry::Target::Tag(tag), OCI_MANIFEST, manifest.bytes).await?;
        Ok::<(), Error>(())
    };
    let result: Result<(), Error> = check.await;
    assert!(result.is_ok(), "{name}: {}", result.unwrap_err());
    assert_eq!(server.tags("acme/api").get("v1"), Some(&digest.to_string()), "{name}");
}

#[tokio::test]
async fn every_fault_that_passes_is_survived() {
    let rows = [
        ("pull blob 429", Fault::new("GET", Kind::Blob, slow_down())),
        ("pull manifest 429", Fault::new("GET", Kind::Manifest, slow_down())),
        ("pull blob 408", Fault::new("GET", Kind::Blob, status(408))),
        ("pull blob 500", Fault::new("GET", Kind::Blob, status(500))),
        ("pull blob 503 three times", Fault::new("GET", Kind::Blob, status(503)).times(3)),
        ("pull manifest 502", Fault::new("GET", Kind::Manifest, status(502))),
        ("pull blob reset three times", Fault::new("GET", Kind::Blob, Broken::Reset).times(3)),
        ("pull manifest reset", Fault::new("GET", Kind::Manifest, Broken::Reset)),
        ("pull blob cut off three times", Fault::new("GET", Kind::Blob, Broken::Truncate).times(3)),
        ("pull manifest cut off", Fault::new("GET", Kind::Manifest, Broken::Truncate)),
        ("bit flip in the first four blobs", Fault::new("GET", Kind::Blob, Broken::Flip).times(4)),
        ("bit flip in a manifest", Fault::new("GET", Kind::Manifest, Broken::Flip)),
        ("a blob that is too long", Fault::new("GET", Kind::Blob, Broken::Longer)),
        ("pull blob stalls", Fault::new("GET", Kind::Blob, Broken::Stall)),
        ("pull manifest stalls", Fault::new("GET", Kind::Manifest, Broken::Stall)),
        ("HEAD blob 429 twice", Fault::new("HEAD", Kind::Blob, slow_down()).times(2)),
        ("HEAD blob 500", Fault::new("HEAD", Kind::Blob, status(500))),
        ("begin upload 429", Fault::new("POST", Kind::Upload, slow_down())),
        ("begin upload 503", Fault::new("POST", Kind::Upload, status(503))),
        ("upload body reset three times", Fault::new("PUT", Kind::Upload, Broken::Reset).times(3)),
        ("upload body 500", Fault::new("PUT", Kind::Upload, status(500))),
        ("upload stored and not answered", Fault::new("PUT", Kind::Upload, Broken::Unanswered)),
        ("upload session gone", Fault::new("PUT", Kind::Upload, status(404))),
        ("manifest PUT 429", Fault::new("PUT", Kind::Manifest, slow_down())),
        ("manifest PUT 500", Fault::new("PUT", Kind::Manifest, status(500))),
        ("manifest stored and not answered", Fault::new("PUT", Kind::Manifest, Broken::Unanswered)),
        ("manifest PUT stalls", Fault::new("PUT", Kind::Manifest, Broken::Stall)),
    ];
    let all = rows.map(|(name, fault)| tokio::spawn(round_trip(name, fault)));
    for row in all {
        row.await.unwrap();
    }
}

#[tokio::test]
async fn bytes_that_stay_wrong_are_refused() {
    let server = server::Registry::start(server::Options::default());
    let api = repository(&server, "acme/api");
    let image = seed(&server, "acme/api");
    let blob = server.seed_blob("acme/api", CONTENT);
    server.tamper("acme/api", &image, "{}");
    server.tamper("acme/api", &blob, "evil");
    let client = anonymous();
    let (target, descriptor) = (by_digest(&image), Descriptor::of("x", CONTENT));
    let (manifest, blob) = tokio::join!(client.manifest(&api, &target), client.blob(&api, &descriptor, 100));
    for error in [manifest.unwrap_err(), blob.unwrap_err()] {
        assert!(matches!(error, Error::WrongBytes { .. }), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Unknown);
        assert!(error.hint().unwrap().contains("do not use this image"));
    }
}

#[tokio::test]
async fn a_registry_that_says_it_stored_something_else_is_not_believed() {
    let server = server::Registry::start(server::Options::default());
    let api = repository(&server, "acme/api");
    let digest = seed(&server, "acme/api");
    let client = anonymous();
    let bytes = client.manifest(&api, &by_digest(&digest)).await.unwrap().bytes;
    let other = Digest::of(b"other").to_string();
    server.fail(Fault::new("PUT", Kind::Manifest, Broken::Header("docker-content-digest", other)));
    let error =
        client.put_manifest(&api, &by_digest(&digest), OCI_MANIFEST, bytes.clone()).await.unwrap_err();
    assert!(matches!(error, Error::WrongBytes { .. }), "{error}");
    // Some answer without digest and without location; that is not an error.
    server.fail(Fault::new("PUT", Kind::Manifest, status(201)));
    assert_eq!(client.put_manifest(&api, &by_digest(&digest), OCI_MANIFEST, bytes).await.unwrap(), digest);
}

#[tokio::test]
async fn a_registry_that_is_down_is_named_within_ten_seconds() {
    // A port that is taken and not listened at: nobody else can get it in the meantime.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let host = socket.local_addr().unwrap().to_string();
    let api = format!("{host}/acme/api").parse().unwrap();
    let begun = Instant::now();
    let error = anonymous().resolve(&api, &"v1".parse().unwrap()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
    assert!(error.to_string().contains(&host) && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_registry_that_fails_for_ever_is_asked_five_times() {
    let server = server::Registry::start(server::Options::default());
    let api = repository(&server, "acme/api");
    let soon = Broken::Status(503, vec![("retry-after", "0".to_owned()), ("x-request-id", "r-7".to_owned())]);
    server.fail(Fault::new("HEAD", Kind::Manifest, soon).times(99));
    let error = anonymous().resolve(&api, &"v1".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 503, .. }), "{error}");
    assert!(error.to_string().contains("r-7"), "{error}");
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_pause_beyond_the_deadline_is_not_waited_for() {
    let server = server::Registry::start(server::Options::default());
    let api = repository(&server, "acme/api");
    let hour = Broken::Status(429, vec![("retry-after", "3600".to_owned())]);
    server.fail(Fault::new("HEAD", Kind::Manifest, hour));
    let begun = Instant::now();
    let error = anonymous().resolve(&api, &"v1".parse().unwrap()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(matches!(error, Error::Busy { seconds: 3600, .. }), "{error}");
}

#[tokio::test]
async fn the_deadline_ends_a_request_in_the_middle() {
    let server = server::Registry::start(server::Options::default());
    let api = repository(&server, "acme/api");
    server.fail(Fault::new("HEAD", Kind::Manifest, Broken::Stall).times(99));
    let client = with(Options { deadline: Duration::from_millis(500), ..Options::default() });
    let begun = Instant::now();
    let error = client.resolve(&api, &"v1".parse().unwrap()).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let server = server::Registry::start(server::Options::default());
    let api = repository(&server, "acme/api");
    for code in [400, 403, 405, 501] {
        let before = server.requests().len();
        server.fail(Fault::new("PUT", Kind::Manifest, status(code)));
        let error = anonymous()
            .put_manifest(&api, &by_digest(&Digest::of(b"{}")), OCI_MANIFEST, "{}")
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&code.to_string()), "{error}");
        assert_eq!(server.requests().len() - before, 1, "{code}");
    }
}
