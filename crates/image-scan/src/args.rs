//! The command line of `image-scan`, which is also the list of its inputs.

use std::path::PathBuf;

use shipkit_core::{ImageName, ImageRef, Repository, Secret};
use shipkit_runner::CommonArgs;

use crate::platform::Platforms;

/// Judges the images of a release by a policy and stores the verdict as evidence on each image.
#[derive(Debug, clap::Parser)]
#[command(name = "image-scan", version)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["image", "release", "layout", "daemon", "source", "from_sbom"]))]
pub struct Args {
    /// What every binary knows.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Something else to do than to judge images.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// One image by digest: `ghcr.io/acme/api@sha256:...`.
    #[arg(value_name = "IMAGE")]
    pub image: Option<ImageRef>,
    /// Every image of a release: its digest, version or full commit.
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// The repository that holds the release; by default the one that the configuration means.
    #[arg(long, value_name = "REPOSITORY")]
    pub repository: Option<Repository>,
    /// Images that were not pushed: an OCI layout (a folder or a tar), an archive of `docker save`, or a folder of tars named after their
    /// services.
    #[arg(long, value_name = "PATH")]
    pub layout: Option<PathBuf>,
    /// An image of the Docker engine on this machine, by name or id. `DOCKER_HOST` may name another socket.
    #[arg(long, value_name = "NAME[:TAG]")]
    pub daemon: Option<String>,
    /// The platform that is judged: `linux/amd64`, or `all`.
    #[arg(long, value_name = "PLATFORM", default_value = "all")]
    pub platform: Platforms,
    /// The environment whose `policy.scan` judges; the evidence is for that environment.
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// A folder of the checkout whose lock files are judged; without a folder, the whole checkout.
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = ".")]
    pub source: Option<PathBuf>,
    /// A bill of materials whose packages are judged: CycloneDX or SPDX as JSON, also in a statement of in-toto.
    #[arg(long, value_name = "FILE")]
    pub from_sbom: Option<PathBuf>,
    /// The configuration, relative to the checkout. Without it, `shipkit.yml`; where that is missing, the default policy.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The checkout.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub directory: PathBuf,
    /// The checkout whose policy counts (`scan`, and what is asked of each service), with the files that it names, relative to this checkout: for
    /// a pull request that of the branch that it wants to change. Without it, this checkout.
    #[arg(long, value_name = "FOLDER")]
    pub policy: Option<PathBuf>,
    /// A report of another scanner: FILE, or SERVICE=FILE where there are several images. JSON of Trivy, Grype, osv-scanner, Snyk,
    /// `npm audit` or `cargo audit`, or SARIF, or CycloneDX with vulnerabilities. May be repeated.
    #[arg(long = "report", value_name = "[SERVICE=]FILE")]
    pub reports: Vec<String>,
    /// A folder for the report as files: `image-scan.sarif`, `.json`, `.xml` (`JUnit`) and `.html`.
    #[arg(long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
    /// A folder for bills of materials: CycloneDX and SPDX of every image.
    #[arg(long, value_name = "FOLDER")]
    pub sbom: Option<PathBuf>,
    /// Where what was read of each layer is kept for the next run. Without it, `shipkit/layers` in the cache folder of the user, if there is one.
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
    /// The user at the registry.
    #[arg(long, value_name = "NAME", requires = "registry_password")]
    pub registry_username: Option<String>,
    /// The password or token at the registry.
    #[arg(long, value_name = "SECRET", requires = "registry_username")]
    pub registry_password: Option<Secret>,
    /// Judge, and store no evidence.
    #[arg(long)]
    pub dry_run: bool,
}

/// What there is to do besides judging images.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Tell what a build would be sent that it should not get, and how large its context is.
    Context(ContextArgs),
    /// Keep advisories as an index at a registry.
    #[command(subcommand)]
    Index(IndexCommand),
}

/// What there is to do with an index.
#[derive(Debug, clap::Subcommand)]
pub enum IndexCommand {
    /// Build an index out of advisories, and store it.
    Build(IndexArgs),
}

/// Inputs of `index build`.
#[derive(Debug, clap::Args)]
pub struct IndexArgs {
    /// Advisories in the layout of the bucket of OSV: `Debian/all.zip`, or `npm/*.json`.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Where the index is stored, with the tag that moves to it: `ghcr.io/acme/advisories:latest`.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub to: ImageName,
    /// An ecosystem, or one release of it: `npm`, `Debian:12`. May be repeated; without it, all that the folder has.
    #[arg(long = "ecosystem", value_name = "NAME")]
    pub ecosystems: Vec<String>,
    /// The user at the registry.
    #[arg(long, value_name = "NAME", requires = "registry_password")]
    pub registry_username: Option<String>,
    /// The password or token at the registry.
    #[arg(long, value_name = "SECRET", requires = "registry_username")]
    pub registry_password: Option<Secret>,
    /// Build it, and store nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Inputs of `context`.
#[derive(Debug, clap::Args)]
pub struct ContextArgs {
    /// The context folder.
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// The Dockerfile, relative to the context: a `<Dockerfile>.dockerignore` goes before `.dockerignore`.
    #[arg(long, value_name = "FILE", default_value = "Dockerfile")]
    pub dockerfile: PathBuf,
}
