//! The command line of `deploy-promote`, which is also the list of its inputs.

use std::path::PathBuf;
use std::time::Duration;

use shipkit_core::{Repository, Secret};
use shipkit_runner::CommonArgs;

/// Deploys a release to an environment, verifies it there, and can take it back.
#[derive(Debug, clap::Parser)]
#[command(name = "deploy-promote", version)]
pub struct Args {
    /// What every binary knows.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The project and its target.
    #[command(flatten)]
    pub target: TargetArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which environment, and how its target is reached. Every command takes these.
#[derive(Debug, clap::Args)]
pub struct TargetArgs {
    /// The environment, as `shipkit.yml` names it.
    #[arg(long, value_name = "NAME", global = true)]
    pub environment: Option<String>,
    /// The configuration, relative to the checkout.
    #[arg(long, value_name = "FILE", default_value = "shipkit.yml", global = true)]
    pub config: PathBuf,
    /// The checkout.
    #[arg(long, value_name = "FOLDER", default_value = ".", global = true)]
    pub directory: PathBuf,
    /// The group of services that is meant, where `shipkit.yml` has groups.
    #[arg(long, value_name = "NAME", global = true)]
    pub group: Option<String>,
    /// The Docker engine: `unix:///var/run/docker.sock`, `tcp://host:port` or `ssh://user@host:port`; by default `target.host`, `DOCKER_HOST`, this socket.
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub docker_host: Option<String>,
    /// For `tcp://`: the folder with `ca.pem`, `cert.pem` and `key.pem`; by default `DOCKER_CERT_PATH`. Without one it is plain.
    #[arg(long, value_name = "FOLDER", global = true)]
    pub docker_cert_path: Option<PathBuf>,
    /// For `ssh://`: the text of a private key, or its path. The keys of an agent at `SSH_AUTH_SOCK` are tried as well.
    #[arg(long, value_name = "TEXT|FILE", global = true)]
    pub ssh_key: Option<Secret>,
    /// What opens the private key, if it is encrypted.
    #[arg(long, value_name = "SECRET", global = true)]
    pub ssh_passphrase: Option<Secret>,
    /// For `ssh://`: the host keys that are believed, as lines of `known_hosts` or fingerprints `SHA256:...`, or the path of
    /// such a file; by default `~/.ssh/known_hosts`. No other is ever believed.
    #[arg(long, value_name = "TEXT|FILE", global = true)]
    pub ssh_known_hosts: Option<String>,
    /// How a Kubernetes cluster is reached: the text of a kubeconfig or its path; by default `KUBECONFIG`, then
    /// `~/.kube/config`, then the cluster that this runs in.
    #[arg(long, value_name = "TEXT|FILE", global = true)]
    pub kubeconfig: Option<Secret>,
    /// The token for `target.server`, or the absolute path of a file that is read again at least once a minute.
    #[arg(long, value_name = "TEXT|FILE", conflicts_with = "kubeconfig", global = true)]
    pub cluster_token: Option<Secret>,
    /// The user at the registry.
    #[arg(long, value_name = "NAME", requires = "registry_password", global = true)]
    pub registry_username: Option<String>,
    /// The password or token at the registry.
    #[arg(long, value_name = "SECRET", requires = "registry_username", global = true)]
    pub registry_password: Option<Secret>,
    /// The token for GitHub's API; without one no deployment is recorded there.
    #[arg(long, value_name = "SECRET", global = true)]
    pub token: Option<Secret>,
    /// Print what would change and change nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
}

/// The things that `deploy-promote` does.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Deploy a release, if the evidence admits it; verify it; put the release before back if it fails.
    Deploy(DeployArgs),
    /// Find everything that is in the way of a deploy, and change nothing.
    Check(DeployArgs),
    /// Put the release before back, or one that was confirmed earlier. Needs nothing but the target.
    Rollback(RollbackArgs),
    /// Finish or take back what a run that was killed has left.
    Reconcile,
    /// Say what runs there, since when, by which run.
    Status,
    /// List the releases that were confirmed there, and which of them `rollback --to` reaches.
    History,
    /// Take over what other tools started, as it runs: nothing restarts, and the next deploy has a way back to it.
    Adopt,
    /// Show the last lines of the containers, those that fail first.
    Logs(LogsArgs),
}

/// Inputs of `deploy`.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    /// The release: its digest, version or full commit.
    #[arg(long, value_name = "RELEASE")]
    pub release: String,
    /// The repository that holds the release; by default the one that the configuration means.
    #[arg(long, value_name = "REPOSITORY")]
    pub repository: Option<Repository>,
    /// The longest time for the rollout of one service, and then for the verification; by default `timeout` of the
    /// environment.
    #[arg(long, value_name = "DURATION", value_parser = shipkit_core::config::duration)]
    pub timeout: Option<Duration>,
    /// Deploy although the evidence does not admit the release, for this reason; both are kept as evidence of their own.
    #[arg(long, value_name = "REASON")]
    pub break_glass: Option<String>,
}

/// Inputs of `rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The release to go back to, as `history` lists it: its version, its digest, or the first digits of its digest or
    /// commit; by default the one before.
    #[arg(long, value_name = "RELEASE")]
    pub to: Option<String>,
    /// Go back although a migration of what runs now is not compatible with what ran before, for this reason; it is kept
    /// as evidence on the release that is left, if the registry can be reached.
    #[arg(long, value_name = "REASON")]
    pub break_glass: Option<String>,
}

/// Inputs of `logs`.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// The service; by default all of the environment.
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,
    /// How many lines of each container at most.
    #[arg(long, value_name = "LINES", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tail: u32,
}
