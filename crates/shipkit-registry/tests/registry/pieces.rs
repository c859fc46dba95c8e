//! A blob that is read while it comes, whatever breaks.

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shipkit_core::Digest;
use shipkit_registry::{Descriptor, Error, Options};
use shipkit_tests::server::registry::{self as server, Broken, Fault, Kind};

use crate::{repository, with};

/// Longer than what waits to be read.
fn blob() -> Vec<u8> {
    (0..=250).cycle().take(3_000_000).collect()
}

/// How often a blob was begun, and the digest of what was read of it in the end.
async fn read(
    faults: Vec<Fault>,
    change: impl FnOnce(&server::Registry, &Digest),
) -> (usize, Result<Digest, Error>) {
    let server = server::Registry::start(server::Options { faults, ..Default::default() });
    let descriptor = Descriptor::of("application/octet-stream", &blob());
    change(&server, &server.seed_blob("a/api", blob()));
    let client = with(Options { idle: Duration::from_secs(5), ..Options::default() });
    let begun = AtomicUsize::new(0);
    let reading = |mut pieces: shipkit_registry::Pieces| {
        begun.fetch_add(1, Ordering::SeqCst);
        tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            pieces.read_to_end(&mut bytes).unwrap();
            Digest::of(&bytes)
        })
    };
    let gave = client.read_blob(&repository(&server, "a/api"), &descriptor, reading).await;
    (begun.into_inner(), gave.map(|digest| digest.unwrap()))
}

#[tokio::test]
async fn it_is_begun_again_where_it_breaks_and_is_whole_in_the_end() {
    let fault = |what| vec![Fault::new("GET", Kind::Blob, what)];
    for (name, faults, begun) in [
        ("nothing", Vec::new(), 1),
        ("cut off", fault(Broken::Truncate), 2),
        ("a bit is another", fault(Broken::Flip), 2),
        ("longer", fault(Broken::Longer), 2),
        ("no answer at first", fault(Broken::Status(503, Vec::new())), 1),
    ] {
        let (times, gave) = read(faults, |_, _| ()).await;
        assert_eq!((times, gave.unwrap()), (begun, Digest::of(&blob())), "{name}");
    }
}

#[tokio::test]
async fn other_bytes_are_never_taken() {
    let mut other = blob();
    other[2_999_999] ^= 1;
    let (times, gave) = read(Vec::new(), |server, digest| server.tamper("a/api", digest, other)).await;
    assert!(matches!(gave, Err(Error::WrongBytes { .. })), "{gave:?}");
    assert!(1 < times, "{times}");
    let (times, gave) = read(Vec::new(), |server, digest| server.remove("a/api", digest)).await;
    assert!(matches!(gave, Err(Error::NotFound { .. })), "{gave:?}");
    assert_eq!(times, 0);
}

#[tokio::test]
async fn who_stops_reading_ends_it() {
    let server = server::Registry::start(server::Options::default());
    let descriptor = Descriptor::of("application/octet-stream", &blob());
    server.seed_blob("a/api", blob());
    let reading = |mut pieces: shipkit_registry::Pieces| {
        tokio::task::spawn_blocking(move || {
            let mut first = [0; 3];
            pieces.read_exact(&mut first).unwrap();
            first
        })
    };
    let client = with(Options::default());
    let gave = client.read_blob(&repository(&server, "a/api"), &descriptor, reading).await;
    assert_eq!(gave.unwrap().unwrap(), [0, 1, 2]);
}
