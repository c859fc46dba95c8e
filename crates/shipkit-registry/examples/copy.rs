//! Copies an image, and makes those that `./bench` copies. A program of its own, so that memory and time are those of the
//! client alone.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to whoever started it")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::json;
use shipkit_core::{Digest, ImageRef, Repository, Tag};
use shipkit_registry::{Along, Credentials, Descriptor, Move, OCI_MANIFEST, Registry};

const USAGE: &str = "copy image SOURCE@DIGEST REPOSITORY TAG      the image alone\n\
                     copy evidence SOURCE@DIGEST REPOSITORY TAG   with everything that refers to it\n\
                     copy tags TAG,TAG... IMAGE@DIGEST...         tags, each image read once\n\
                     copy seed REPOSITORY MARK LAYERS SIZE        an image of LAYERS layers that cannot be compressed\n\
                     copy index REPOSITORY DIGEST...              an index of images";
/// Layers are made in pieces of this size.
const MIB: usize = 1024 * 1024;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments).await {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<String, Failure> {
    let client = Registry::new(Credentials::default())?;
    match arguments {
        ["image", source, destination, tag] => copy(&client, source, destination, tag, Along::Nothing).await,
        ["evidence", source, destination, tag] => {
            copy(&client, source, destination, tag, Along::Evidence).await
        }
        ["tags", tags, images @ ..] => {
            let tags: Result<Vec<_>, _> =
                tags.split(',').map(|tag| tag.parse::<Tag>().map(|tag| (tag, Move::Moving))).collect();
            let tags = tags?;
            for image in images {
                client.tag_all(&image.parse::<ImageRef>()?, &tags).await?;
            }
            Ok(format!("{} images have {} tags each", images.len(), tags.len()))
        }
        ["seed", repository, mark, layers, size] => {
            seed(&client, &repository.parse()?, mark, layers.parse()?, size.parse()?).await
        }
        ["index", repository, digests @ ..] => {
            let digests: Result<Vec<Digest>, _> = digests.iter().map(|digest| digest.parse()).collect();
            Ok(client.index(&repository.parse()?, &digests?, &BTreeMap::new()).await?.to_string())
        }
        _ => Err(USAGE.into()),
    }
}

async fn copy(
    client: &Registry,
    source: &str,
    destination: &str,
    tag: &str,
    along: Along,
) -> Result<String, Failure> {
    let tags = [(tag.parse()?, Move::Moving)];
    let copied = client.copy(&source.parse()?, &destination.parse()?, &tags, along).await?;
    Ok(format!(
        "{} requests {} sent {} received {}",
        copied.digest, copied.requests, copied.sent, copied.received
    ))
}

/// Stores an image of noise; the same mark makes the same image.
async fn seed(
    client: &Registry,
    repository: &Repository,
    mark: &str,
    layers: usize,
    size: usize,
) -> Result<String, Failure> {
    let config = json!({"os": "linux", "architecture": mark, "rootfs": {"type": "layers", "diff_ids": []}});
    let config = config.to_string().into_bytes();
    let pointer = |media_type: &str, blob: &Descriptor| json!({"mediaType": media_type, "digest": blob.digest, "size": blob.size});
    let stored = client.put_blob(repository, config).await?;
    let config = pointer("application/vnd.oci.image.config.v1+json", &stored);
    let mut listed = Vec::new();
    for layer in 0..layers {
        let noise = noise(&format!("{mark} {layer}"), size * MIB);
        let stored = client.put_blob(repository, noise).await?;
        listed.push(pointer("application/vnd.oci.image.layer.v1.tar", &stored));
    }
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": listed});
    let bytes = manifest.to_string();
    let target = Digest::of(bytes.as_bytes()).into();
    Ok(client.put_manifest(repository, &target, OCI_MANIFEST, bytes).await?.to_string())
}

/// Bytes that no program makes shorter (xorshift, Marsaglia 2003).
fn noise(seed: &str, size: usize) -> Vec<u8> {
    let mut state = seed
        .bytes()
        .fold(0x9e37_79b9_7f4a_7c15_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
