//! The command line of `image-scan`, which is also the list of its inputs.

use std::path::PathBuf;

use shipkit_core::{ImageRef, Repository, Secret};
use shipkit_runner::CommonArgs;

/// Judges the images of a release by a policy and stores the verdict as evidence on each image.
#[derive(Debug, clap::Parser)]
#[command(name = "image-scan", version)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["image", "release", "layout"]))]
pub struct Args {
    /// What every binary knows.
    #[command(flatten)]
    pub common: CommonArgs,
    /// One image by digest: `ghcr.io/acme/api@sha256:...`.
    #[arg(value_name = "IMAGE")]
    pub image: Option<ImageRef>,
    /// Every image of a release: its digest, version or full commit.
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// The repository that holds the release; by default the one that the configuration means.
    #[arg(long, value_name = "REPOSITORY")]
    pub repository: Option<Repository>,
    /// OCI layouts that were not pushed: one (a folder or a tar), or a folder of tars named after their services.
    #[arg(long, value_name = "PATH")]
    pub layout: Option<PathBuf>,
    /// The configuration, relative to the checkout. Without it, `shipkit.yml`; where that is missing, the default policy.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The checkout.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub directory: PathBuf,
    /// A report of another scanner: FILE, or SERVICE=FILE where there are several images. JSON of Trivy, Grype, osv-scanner, Snyk,
    /// `npm audit` or `cargo audit`, or SARIF, or CycloneDX with vulnerabilities. May be repeated.
    #[arg(long = "report", value_name = "[SERVICE=]FILE")]
    pub reports: Vec<String>,
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
