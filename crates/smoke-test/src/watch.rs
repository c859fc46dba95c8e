//! `smoke-test watch`: asks at a fixed rate and reports even when it is told to stop.

use shipkit_core::Outcome;
use shipkit_runner::{Failure, Runner};
use shipkit_smoke::{Connections, WatchOptions};

use crate::args::{WatchArgs, Which};
use crate::read;
use crate::report::{self, About};

/// Asks until the time is over or a signal comes. Being told to stop is how a watch without `duration` ends; the report
/// is then complete, and the verdict in it is about the target.
pub(crate) async fn watch(args: &WatchArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let mut url = args.url.clone();
    if let Some(path) = &args.revision_path {
        let below = format!("{}/{}", url.path().trim_end_matches('/'), path.trim_start_matches('/'));
        url.set_path(&below);
    }
    let mut about = About::of(runner, &url, args.report.as_deref())?;
    let options = WatchOptions {
        rate: args.rate,
        duration: args.duration,
        timeout: args.timeout,
        connections: match args.connections {
            Which::New => Connections::New,
            Which::Kept => Connections::Kept,
            Which::Both => Connections::Both,
        },
        reads_revision: args.revision_path.is_some(),
        allow: args.allow,
        ca_pem: args.ca_file.as_ref().map(|file| read(runner, file)).transpose()?,
        ..WatchOptions::new(url)
    };
    let seen = shipkit_smoke::watch(options, runner.cancelled()).await?;
    about.took = seen.took;
    report::watched(runner, &seen, &about)?;
    Ok(seen.outcome)
}
