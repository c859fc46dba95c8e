//! Publishes our own image: an index over the platform images that were pushed, under a permanent tag.
//!
//! An example and not a program of this package: so the registry client is needed by developers only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use shipkit_core::{Repository, Secret, Tag};
use shipkit_registry::{Credentials, Move, Registry};

/// Assemble the multi-platform index from tags of one repository, tag it for good and print its digest.
#[derive(Parser)]
struct Args {
    /// The repository, such as `ghcr.io/org/shipkit`.
    #[arg(long)]
    repository: Repository,
    /// The permanent tag of the index.
    #[arg(long)]
    tag: Tag,
    /// The user at the registry; without one, the login in `--docker-config`.
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// The file with the password or token.
    #[arg(long, requires = "username")]
    password_file: Option<PathBuf>,
    /// The folder with Docker's `config.json`; without it and a user, nobody is logged in.
    #[arg(long)]
    docker_config: Option<PathBuf>,
    /// The tags of the platform images, in the order of the index.
    #[arg(required = true)]
    platforms: Vec<Tag>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let password = match &args.password_file {
        Some(file) => Some(Secret::new(std::fs::read_to_string(file)?.trim_end().to_owned())),
        None => None,
    };
    let host = args.repository.registry();
    let credentials = Credentials::new(host, args.username.as_deref(), password.as_ref(), args.docker_config);
    let registry = Registry::new(credentials)?;
    let mut images = Vec::new();
    for tag in &args.platforms {
        let found = registry.resolve(&args.repository, tag).await?;
        images.push(found.with_context(|| format!("`{}` has no tag `{tag}`", args.repository))?);
    }
    let digest = registry.index(&args.repository, &images, &BTreeMap::new()).await?;
    registry.tag(&args.repository.at(&digest), &args.tag, Move::Permanent).await?;
    #[expect(clippy::print_stdout, reason = "the digest is what was asked for")]
    {
        println!("{digest}");
    }
    Ok(())
}
