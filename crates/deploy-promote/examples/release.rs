//! Stores a release of images that are there, each with a scan that passed: for `./bench`, which builds and scans nothing.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to whoever started it")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use jiff::Timestamp;
use shipkit_core::ImageRef;
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::release::{PublishTags, Release, ServiceImage};
use shipkit_core::verdict::Verdict;
use shipkit_registry::{Credentials, Registry};

const USAGE: &str =
    "release REPOSITORY NAME VERSION SERVICE=IMAGE@DIGEST...      prints the digest of the release";

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments).await {
        Ok(digest) => {
            println!("{digest}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<String, Failure> {
    let [repository, name, version, images @ ..] = arguments else { return Err(USAGE.into()) };
    let client = Registry::new(Credentials::default())?;
    let mut services = BTreeMap::new();
    for pair in images {
        let (service, image) = pair.split_once('=').ok_or(USAGE)?;
        let image: ImageRef = image.parse()?;
        client.put_evidence(&image.repository, &image.digest, &scan()).await?;
        services.insert(service.to_owned(), built(image));
    }
    let release = Release {
        name: (*name).to_owned(),
        version: (*version).to_owned(),
        commit: "1".repeat(40),
        git_ref: "refs/heads/main".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        run: None,
        services,
        tags: PublishTags::default(),
    };
    Ok(client.put_release(&repository.parse()?, &release).await?.to_string())
}

fn scan() -> Record {
    Record {
        kind: Kind::Scan,
        verdict: Verdict::Pass,
        cause: "nothing was looked for".to_owned(),
        environment: None,
        time: Timestamp::now(),
        by: "bench".to_owned(),
        run: None,
        details: serde_json::Value::Null,
    }
}

fn built(image: ImageRef) -> ServiceImage {
    ServiceImage {
        key: None,
        created: None,
        bases: BTreeMap::new(),
        repository: image.repository,
        digest: image.digest,
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        platforms: BTreeMap::new(),
        revision: "1".repeat(40),
        version: None,
    }
}
