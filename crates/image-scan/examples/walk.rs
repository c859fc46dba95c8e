//! What reading an image costs at least: `walk IMAGE` fetches the layers of an image, hashes and unpacks each of them, and steps over the
//! entries of its tar, with the crates that image-scan has. Nothing is looked for.

#![allow(clippy::print_stdout, reason = "the figure is what it is for")]

use std::error::Error;
use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use shipkit_core::ImageRef;
use shipkit_registry::{Credentials, ManifestKind, Registry, Target};
use tar::Archive;

/// As many layers at once as image-scan reads.
const AT_ONCE: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let image: ImageRef = std::env::args().nth(1).ok_or("the image is not named")?.parse()?;
    let registry = Registry::new(Credentials::default())?;
    let manifest = registry.manifest(&image.repository, &Target::Digest(image.digest)).await?;
    let ManifestKind::Image { layers, .. } = manifest.kind else { return Err("it is no image".into()) };
    let counts = stream::iter(&layers).map(|layer| async {
        let read = |pieces| async { tokio::task::spawn_blocking(move || walk(pieces)).await };
        Ok::<_, Box<dyn Error>>(registry.read_blob(&image.repository, layer, read).await???)
    });
    let counts: Vec<usize> = counts.buffered(AT_ONCE).try_collect().await?;
    println!("{}", counts.iter().sum::<usize>());
    Ok(())
}

/// Reads a layer to its end, and says how many entries it has.
fn walk(packed: impl Read) -> io::Result<usize> {
    let unpacked = MultiGzDecoder::new(BufReader::new(packed));
    let hashed = Hashed { inner: unpacked, hash: Sha256::new() };
    let mut archive = Archive::new(BufReader::with_capacity(64 * 1024, hashed));
    let mut count = 0;
    for entry in archive.entries()?.raw(true) {
        entry?;
        count += 1;
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    Ok(count)
}

/// Hashes what comes through.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
