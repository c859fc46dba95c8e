//! The command line of `build-tag`, which is also the list of its inputs.

use std::path::PathBuf;
use std::time::Duration;

use shipkit_core::{Repository, Secret};
use shipkit_runner::CommonArgs;

/// Plans a build, names it, records it as a release and publishes it.
#[derive(Debug, clap::Parser)]
#[command(name = "build-tag", version)]
pub struct Args {
    /// What every binary knows.
    #[command(flatten)]
    pub common: CommonArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The things that `build-tag` does, in the order of a pipeline.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Decide what this event builds, and write the bake file and the test script.
    Plan(PlanArgs),
    /// Confirm every built digest at the registry and record the release there.
    Release(ReleaseArgs),
    /// Give the images of a release their tags, once every scan has passed.
    Publish(PublishArgs),
}

/// Where the project is.
#[derive(Debug, clap::Args)]
pub struct ProjectArgs {
    /// The configuration, relative to the checkout.
    #[arg(long, value_name = "FILE", default_value = "shipkit.yml")]
    pub config: PathBuf,
    /// The checkout.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub directory: PathBuf,
}

/// How to log in to the registry; without these, the login of the Docker client is used, if it can be seen.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_field_names, reason = "they are the names of the inputs")]
pub struct RegistryArgs {
    /// The user at the registry.
    #[arg(long, value_name = "NAME", requires = "registry_password")]
    pub registry_username: Option<String>,
    /// The password or token at the registry.
    #[arg(long, value_name = "SECRET", requires = "registry_username")]
    pub registry_password: Option<Secret>,
    /// The longest time for one request to the registry with all its repetitions, and for a whole copy; 10 minutes by
    /// default.
    #[arg(long, value_name = "DURATION", value_parser = shipkit_core::config::duration)]
    pub registry_timeout: Option<Duration>,
}

/// Inputs of `plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// The project.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// The event's payload, in place of the runner's; `GITHUB_EVENT_NAME` says what kind of event it is.
    #[arg(long, value_name = "FILE")]
    pub event: Option<PathBuf>,
    /// Print the plan and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Inputs of `release`.
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    /// The project.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// The registry.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Confirm the digests and print the release, but do not store it.
    #[arg(long)]
    pub dry_run: bool,
}

/// Inputs of `publish`.
#[derive(Debug, clap::Args)]
pub struct PublishArgs {
    /// The release: its digest, version or full commit.
    #[arg(long, value_name = "RELEASE")]
    pub release: String,
    /// The repository that holds the release; by default the one that the configuration means.
    #[arg(long, value_name = "REPOSITORY")]
    pub repository: Option<Repository>,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// The registry.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Print what would be tagged and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}
