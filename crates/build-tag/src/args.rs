//! The command line of `build-tag`, which is also the list of its inputs.

use std::path::PathBuf;
use std::time::Duration;

use shipkit_core::plan::Shards;
use shipkit_core::{Repository, Secret};
use shipkit_runner::{CommonArgs, Verbatim};

/// Plans a build, names it, records it as a release and publishes it.
#[derive(Debug, clap::Parser)]
#[command(name = "build-tag", version)]
pub struct Args {
    /// What every binary knows.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The token for GitHub's API; only `meta` and `explain` use it, and only for what event and checkout do not say.
    #[arg(long, value_name = "SECRET", global = true)]
    pub github_token: Option<Secret>,
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
    /// Keep what the tests left, as an artifact of the run.
    Keep(KeepArgs),
    /// Give the images of a release their tags, once every scan has passed.
    Publish(PublishArgs),
    /// Name images: tags, labels and annotations for this event, in place of docker/metadata-action.
    Meta(MetaArgs),
    /// Tell which rule gives which tag, and why the others give none: the rules that are given as for `meta`, or without any
    /// those of `shipkit.yml`.
    Explain(MetaArgs),
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
    /// The group of services that is released, where `shipkit.yml` has groups.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
}

/// How to log in to the registry; without these, the login of the Docker client is used, if it can be seen.
#[derive(Debug, Clone, clap::Args)]
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
    /// The registry, which is asked for what is there already.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// The token of the job, for ghcr.io where no other login is given, and for no other registry.
    #[arg(long, value_name = "SECRET")]
    pub github_token: Option<Secret>,
    /// The event's payload, in place of the runner's; `GITHUB_EVENT_NAME` says what kind of event it is.
    #[arg(long, value_name = "FILE")]
    pub event: Option<PathBuf>,
    /// The platforms that runners of their own build, as JSON: `[{"platform": "linux/arm64", "runner": "..."}]`.
    #[arg(long, value_name = "JSON", value_parser = Shards::read, default_value = "")]
    pub shards: Shards,
    /// The platform among them that is built here; without it, all that no shard builds.
    #[arg(long, value_name = "PLATFORM")]
    pub shard: Option<String>,
    /// Print the plan and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Inputs of `keep`.
#[derive(Debug, clap::Args)]
pub struct KeepArgs {
    /// The project.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Print what would be kept and keep nothing.
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
    /// Logins at the registries of `mirrors`, one `<registry> <user> <password>` a line.
    #[arg(long, value_name = "SECRET")]
    pub mirror_logins: Option<Secret>,
    /// Print what would be copied and tagged, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Inputs of `meta` and `explain`. Lists have an entry a line.
#[derive(Debug, clap::Args)]
pub struct MetaArgs {
    /// Where ref and commit come from: the event, or the checkout.
    #[arg(long, value_name = "SOURCE", default_value = "workflow")]
    pub context: Context,
    /// The names of the images.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub images: String,
    /// The rules for tags.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub tags: String,
    /// What holds for all tags.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub flavor: String,
    /// Labels beside those that are known, or in place of them.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub labels: String,
    /// Annotations beside those that are known, or in place of them.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub annotations: String,
    /// What stands between tags in the output.
    #[arg(long, value_name = "TEXT", default_value = "\n")]
    pub sep_tags: Verbatim,
    /// What stands between labels in the output.
    #[arg(long, value_name = "TEXT", default_value = "\n")]
    pub sep_labels: Verbatim,
    /// What stands between annotations in the output.
    #[arg(long, value_name = "TEXT", default_value = "\n")]
    pub sep_annotations: Verbatim,
    /// The bake targets that the bake files are for.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub bake_target: String,
    /// The checkout.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub directory: PathBuf,
}

/// Where ref and commit come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Context {
    /// The event that started the workflow.
    Workflow,
    /// What is checked out.
    Git,
}
