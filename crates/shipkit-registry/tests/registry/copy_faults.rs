//! A copy between two registries, one of which fails: what passes is survived, and the target is right to the byte.

use std::time::Duration;

use serde_json::json;
use shipkit_core::Digest;
use shipkit_registry::{Along, Error, Move, OCI_INDEX, OCI_MANIFEST, Options, Registry};
use shipkit_tests::server::registry::{self as server, Broken, Fault, Kind};

use crate::{repository, with};

/// Who fails.
#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

use Side::{Destination, Source};

fn status(status: u16) -> Broken {
    Broken::Status(status, vec![])
}

fn slow_down() -> Broken {
    Broken::Status(429, vec![("retry-after", "1".to_owned())])
}

/// A client that takes silence for a failure only when it is no slow machine.
fn client() -> Registry {
    with(Options { idle: Duration::from_secs(5), ..Options::default() })
}

/// Six layers, some in many pieces, in an index.
fn seed(server: &server::Registry) -> Digest {
    let layers: Vec<Vec<u8>> = (0..6_u8).map(|n| vec![n; 50_000 * usize::from(n) + 7]).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let image = server.seed_image("a/api", &json!({"os": "linux", "architecture": "amd64"}), &layers);
    let size = server.stored("a/api", &image).unwrap().1.len();
    let entry = json!({"mediaType": OCI_MANIFEST, "digest": image, "size": size});
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
    server.seed_manifest("a/api", OCI_INDEX, index.to_string())
}

async fn survives(name: &str, side: Side, faults: Vec<Fault>) {
    let (bad, good) = (server::Options { faults, ..Default::default() }, server::Options::default());
    let (source, destination) = match side {
        Source => (server::Registry::start(bad), server::Registry::start(good)),
        Destination => (server::Registry::start(good), server::Registry::start(bad)),
    };
    let digest = seed(&source);
    let (from, to) = (repository(&source, "a/api").at(&digest), repository(&destination, "b/api"));
    let tags = [("v1".parse().unwrap(), Move::Moving)];
    let result: Result<_, Error> = client().copy(&from, &to, &tags, Along::Nothing).await;
    assert!(result.is_ok(), "{name}: {}", result.unwrap_err());
    for manifest in source.manifests("a/api") {
        let manifest = manifest.parse().unwrap();
        assert_eq!(destination.stored("b/api", &manifest), source.stored("a/api", &manifest), "{name}");
    }
    // The registry in memory keeps a blob under the digest of the bytes that came.
    assert_eq!(destination.blobs("b/api"), source.blobs("a/api"), "{name}");
    assert_eq!(destination.tags("b/api").get("v1"), Some(&digest.to_string()), "{name}");
    let failing = if matches!(side, Source) { source } else { destination };
    assert_eq!(failing.faults_left(), 0, "{name}: it did not go wrong");
}

async fn all(rows: Vec<(&'static str, Side, Vec<Fault>)>) {
    let running: Vec<_> =
        rows.into_iter().map(|(name, side, faults)| tokio::spawn(survives(name, side, faults))).collect();
    for row in running {
        row.await.unwrap();
    }
}

#[tokio::test]
async fn sixteen_of_the_sixteen_faults_that_pass_are_survived() {
    let blob = |what| Fault::new("GET", Kind::Blob, what);
    let put = |what| Fault::new("PUT", Kind::Upload, what);
    let head = |what| Fault::new("HEAD", Kind::Blob, what);
    let rows = vec![
        ("pull blob 429", Source, vec![blob(slow_down())]),
        ("pull manifest 429", Source, vec![Fault::new("GET", Kind::Manifest, slow_down())]),
        ("pull blob 503", Source, vec![blob(status(503))]),
        ("pull blob 500", Source, vec![blob(status(500))]),
        ("pull blob 503 three times", Source, vec![blob(status(503)).times(3)]),
        ("reset in the middle of a blob three times", Source, vec![blob(Broken::Truncate).times(3)]),
        ("bit flip in the first four blob answers", Source, vec![blob(Broken::Flip).times(4)]),
        ("stall", Source, vec![blob(Broken::Stall)]),
        ("begin upload 429", Destination, vec![Fault::new("POST", Kind::Upload, slow_down())]),
        ("begin upload 503", Destination, vec![Fault::new("POST", Kind::Upload, status(503))]),
        ("upload body reset three times", Destination, vec![put(Broken::Reset).times(3)]),
        ("upload body 500", Destination, vec![put(status(500))]),
        ("manifest PUT 429", Destination, vec![Fault::new("PUT", Kind::Manifest, slow_down())]),
        ("manifest PUT 500", Destination, vec![Fault::new("PUT", Kind::Manifest, status(500))]),
        // A blob is asked for by HEAD only after its upload has failed.
        ("HEAD blob 429 twice", Destination, vec![put(status(500)), head(slow_down()).times(2)]),
        ("HEAD blob 500", Destination, vec![put(status(500)), head(status(500))]),
    ];
    assert_eq!(rows.len(), 16);
    all(rows).await;
}

#[tokio::test]
async fn and_so_are_those_that_nobody_counted() {
    let blob = |what| Fault::new("GET", Kind::Blob, what);
    let put = |what| Fault::new("PUT", Kind::Upload, what);
    all(vec![
        ("silence in the middle of a blob", Source, vec![blob(Broken::Hang).times(2)]),
        ("a blob that is too long", Source, vec![blob(Broken::Longer)]),
        (
            "a blob that says it is compressed",
            Source,
            vec![blob(Broken::Header("content-encoding", "gzip".to_owned()))],
        ),
        ("a blob without a length", Source, vec![blob(Broken::Without("content-length"))]),
        ("the registry is away for a moment", Source, vec![blob(Broken::Reset).times(3)]),
        ("a child is cut off", Source, vec![Fault::new("GET", Kind::Manifest, Broken::Truncate).after(1)]),
        ("an upload is stored and not answered", Destination, vec![put(Broken::Unanswered).times(3)]),
        ("an upload is not answered at all", Destination, vec![put(Broken::Stall)]),
        ("an upload's session is gone", Destination, vec![put(status(404))]),
        (
            "a manifest is stored and not answered",
            Destination,
            vec![Fault::new("PUT", Kind::Manifest, Broken::Unanswered).times(2)],
        ),
        ("a manifest PUT is reset", Destination, vec![Fault::new("PUT", Kind::Manifest, Broken::Reset)]),
        (
            "the tag cannot be read back at once",
            Destination,
            vec![Fault::new("HEAD", Kind::Manifest, status(500)).after(1)],
        ),
        ("a mount is not understood", Destination, vec![Fault::new("POST", Kind::Upload, status(400))]),
        ("a mount is forbidden", Destination, vec![Fault::new("POST", Kind::Upload, status(403))]),
        ("bytes changed on the way up", Destination, vec![put(Broken::Refusal(400, "DIGEST_INVALID"))]),
    ])
    .await;
}

#[tokio::test]
async fn an_upload_that_arrived_is_not_sent_again() {
    let source = server::Registry::start(server::Options::default());
    let faults = vec![Fault::new("PUT", Kind::Upload, Broken::Unanswered)];
    let destination = server::Registry::start(server::Options { faults, ..Default::default() });
    let digest = seed(&source);
    let (from, to) = (repository(&source, "a/api").at(&digest), repository(&destination, "b/api"));
    client().copy(&from, &to, &[], Along::Nothing).await.unwrap();
    let uploads =
        destination.requests().iter().filter(|r| r.method == "PUT" && r.path.contains("/uploads/")).count();
    assert_eq!(uploads, 7, "six layers and a configuration");
}

#[tokio::test]
async fn what_never_stops_failing_is_told_with_the_side_that_fails() {
    let again = |status| Broken::Status(status, vec![("retry-after", "0".to_owned())]);
    for (side, method, kind) in
        [(Source, "GET", Kind::Blob), (Destination, "POST", Kind::Upload), (Destination, "PUT", Kind::Upload)]
    {
        let bad = server::Options {
            faults: vec![Fault::new(method, kind, again(503)).times(999)],
            ..Default::default()
        };
        let good = server::Options::default();
        let (source, destination) = match side {
            Source => (server::Registry::start(bad), server::Registry::start(good)),
            Destination => (server::Registry::start(good), server::Registry::start(bad)),
        };
        let digest = seed(&source);
        let (from, to) = (repository(&source, "a/api").at(&digest), repository(&destination, "b/api"));
        let tags = [("v1".parse().unwrap(), Move::Moving)];
        let error = client().copy(&from, &to, &tags, Along::Nothing).await.unwrap_err();
        let failing = if matches!(side, Source) { source.host() } else { destination.host() };
        assert!(
            matches!(&error, Error::Status { status: 503, registry, .. } if *registry == failing),
            "{error}"
        );
        assert!(destination.tags("b/api").is_empty() && destination.manifests("b/api").is_empty());
    }
}
