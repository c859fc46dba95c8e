//! `Configured`: whose policy counts. A change is not judged by a policy that it brings itself.

use std::path::{Path, PathBuf};

use shipkit_core::config::Config;
use shipkit_runner::{Failure, Runner, env};

use crate::Args;

/// `shipkit.yml`, and where the files are that its policy names.
pub(crate) struct Configured {
    /// None where there is no such file: the default policy counts then.
    pub(crate) config: Option<Config>,
    /// The checkout of the policy.
    pub(crate) folder: PathBuf,
}

impl Configured {
    /// That of the checkout, with the policy of `--policy` where that is given and has a configuration.
    ///
    /// # Errors
    /// When one of them cannot be read, or the first is missing and something is needed from it.
    pub(crate) fn read(args: &Args, runner: &Runner) -> Result<Self, Failure> {
        let file = args.config.as_deref().unwrap_or(Path::new(crate::CONFIG));
        let (own, home) = (of_change(args, file, runner)?, args.directory.clone());
        let Some(policy) = &args.policy else {
            if runner.env().get(env::GITHUB_EVENT_NAME) == Some("pull_request") {
                runner.say("the policy is that of the pull request itself: `policy` names no other checkout");
            }
            return Ok(Self { config: own, folder: home });
        };
        let folder = args.directory.join(policy);
        if !folder.is_dir() {
            return Err(Failure::usage(format!("there is no folder `{}` with a policy", folder.display()))
                .with_hint("give `policy` the checkout of the branch that is to be changed"));
        }
        if is_missing(&folder.join(file)) {
            runner.say(&format!(
                "there is no `{}` in `{}`: the policy is that of the change",
                file.display(),
                folder.display()
            ));
            return Ok(Self { config: own, folder: home });
        }
        let base = runner.config(&folder, file)?;
        Ok(Self { config: Some(own.map_or_else(|| base.clone(), |own| judged_by(own, &base))), folder })
    }
}

/// The configuration of what is judged; it may be missing only where one image is judged that needs nothing from it.
fn of_change(args: &Args, file: &Path, runner: &Runner) -> Result<Option<Config>, Failure> {
    let path = args.directory.join(file);
    // A file that was asked for by name must be there: another policy in its place would not be the one that was meant.
    let is_needed = args.config.is_some() || args.release.is_some() && args.repository.is_none();
    if is_needed || !is_missing(&path) {
        return Ok(Some(runner.config(&args.directory, file)?));
    }
    runner.say(&format!("there is no `{}`: the default policy is used", path.display()));
    Ok(None)
}

fn is_missing(path: &Path) -> bool {
    path.try_exists().is_ok_and(|exists| !exists)
}

/// A configuration with the policy of another one: also what that asks of the services that both have.
fn judged_by(own: Config, base: &Config) -> Config {
    let mut judged = Config { scan: base.scan.clone(), ..own };
    for (name, service) in &mut judged.services {
        if let Some(known) = base.services.get(name) {
            service.size_limit = known.size_limit;
            service.port = known.port;
        }
    }
    judged
}
