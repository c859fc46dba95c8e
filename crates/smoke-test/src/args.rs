//! The command line of `smoke-test`, which is also the list of its inputs.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use shipkit_core::config;
use shipkit_core::{Repository, Secret};
use shipkit_runner::CommonArgs;
use url::Url;

/// Checks from outside that a release answers as it should.
#[derive(Debug, clap::Parser)]
#[command(name = "smoke-test", version)]
pub struct Args {
    /// What every binary knows.
    #[command(flatten)]
    pub common: CommonArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Waits until the target is ready, asks which release runs, and checks its answers.
    Run(Box<RunArgs>),
    /// Asks at a fixed rate, whatever the answers do, until the time is over or a signal comes.
    Watch(WatchArgs),
    /// Lists the kinds of checks with their defaults.
    Checks,
    /// Writes Hurl files and Postman collections as checks for `smoke` of `shipkit.yml`, and names what it leaves out.
    Import(ImportArgs),
}

/// What `run` needs to know.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The address of the target; by default the `url` of the environment.
    #[arg(long, value_name = "URL")]
    pub url: Option<Url>,
    /// The environment in the configuration whose checks are asked.
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// The configuration, relative to the checkout; read only where an environment is named.
    #[arg(long, value_name = "FILE", default_value = "shipkit.yml")]
    pub config: PathBuf,
    /// The release that must be the one that answers: a commit, a version, or (with `repository`) a digest.
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// The repository that holds the release. With it, each service is judged by the revision that the release records.
    #[arg(long, value_name = "REPOSITORY", requires = "release")]
    pub repository: Option<Repository>,
    /// The path that is ready when it answers 200 to 299; by default the usual ones are tried. May be repeated.
    #[arg(long = "ready-path", value_name = "PATH")]
    pub ready_paths: Vec<String>,
    /// The path where the target says in JSON which release it is.
    #[arg(long, value_name = "PATH", default_value = "/version")]
    pub revision_path: String,
    /// The service that answers at the revision path, where the release has several.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// More paths that must answer 200 to 299. May be repeated.
    #[arg(long = "get", value_name = "PATH")]
    pub gets: Vec<String>,
    /// How long to wait for good answers: no attempt begins later.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub deadline: Duration,
    /// How long one request may take.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub timeout: Duration,
    /// The moment before the target was changed, by RFC 3339 or as how long ago: alerts that fired then are forgiven.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Since>,
    /// What `max_regress` compares with: the report of the last good run (`smoke-test.json`), relative to the checkout, or the address of
    /// another release, which is asked the same at the same time. Where there is no such file yet, nothing is compared.
    #[arg(long, value_name = "FILE|URL", value_parser = baseline)]
    pub baseline: Option<Baseline>,
    /// An address that answers whenever the network from here works, to tell a dead target from a dead network.
    #[arg(long, value_name = "URL")]
    pub control_url: Option<Url>,
    /// Certificates to trust beside the roots of the web, in PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The folder for the reports `smoke-test.json`, `smoke-test.xml` (`JUnit`) and `smoke-test.html`, relative to the checkout.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
    /// The user at the registry.
    #[arg(long, value_name = "NAME", requires = "registry_password")]
    pub registry_username: Option<String>,
    /// The password or token at the registry.
    #[arg(long, value_name = "SECRET", requires = "registry_username")]
    pub registry_password: Option<Secret>,
}

/// What `watch` needs to know.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// The address of the target.
    #[arg(long, value_name = "URL")]
    pub url: Url,
    /// Requests a second.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub rate: u32,
    /// When to stop; without it, only a signal ends the watch.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub duration: Option<Duration>,
    /// A path that must name its revision in JSON with every answer; by default the address itself is asked.
    #[arg(long, value_name = "PATH")]
    pub revision_path: Option<String>,
    /// Which connections requests go over.
    #[arg(long, value_name = "WHICH", default_value = "both")]
    pub connections: Which,
    /// How many requests may fail. More than a second without a good answer is always a failure.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub allow: u64,
    /// How long one request may take, from the moment it is due.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub timeout: Duration,
    /// Certificates to trust beside the roots of the web, in PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The folder for the reports `smoke-test.json`, `smoke-test.xml` (`JUnit`) and `smoke-test.html`, relative to the checkout.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
}

/// What `import` needs to know.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// Hurl files, and Postman collections of version 2.1, relative to the checkout.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// Which connections requests go over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// A new one each, as a new visitor has.
    New,
    /// Kept ones, as a browser has.
    Kept,
    /// In turn.
    Both,
}

/// What is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// The report of an earlier run.
    Report(PathBuf),
    /// Another release, where it answers.
    Release(Url),
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// This one.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl Since {
    /// Which moment that is, if it is `now`.
    #[must_use]
    pub fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::Ago(time) => now.checked_sub(time).unwrap_or(Timestamp::MIN),
        }
    }
}

fn since(text: &str) -> Result<Since, String> {
    let moment = text.parse().map(Since::At);
    moment
        .or_else(|_no_moment| time(text).map(Since::Ago))
        .map_err(|error| format!("{error}; a moment is written as in `2026-01-31T12:00:00Z`"))
}

/// What has a scheme is an address: there are no files of such names.
fn baseline(text: &str) -> Result<Baseline, String> {
    if !text.contains("://") {
        return Ok(Baseline::Report(text.into()));
    }
    let url = text.parse::<Url>().map_err(|error| error.to_string())?;
    if ["http", "https"].contains(&url.scheme()) {
        Ok(Baseline::Release(url))
    } else {
        Err(format!("`{}` is not http or https; give the report of a run, or an address", url.scheme()))
    }
}

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_a_file_or_an_address() {
        assert_eq!(baseline("out/smoke-test.json"), Ok(Baseline::Report("out/smoke-test.json".into())));
        assert!(
            matches!(baseline("https://shop.example/a"), Ok(Baseline::Release(url)) if url.path() == "/a")
        );
        for text in ["ftp://shop.example", "http://", "://"] {
            assert!(baseline(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_so_long_ago() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let of = |text: &str| since(text).map(|since| since.moment(now).to_string());
        assert_eq!(of("10m").unwrap(), "2026-01-31T11:50:00Z");
        assert_eq!(of("2026-01-31T11:00:00+01:00").unwrap(), "2026-01-31T10:00:00Z");
        for text in ["", "10", "yesterday", "2026-01-31", "-10m"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
