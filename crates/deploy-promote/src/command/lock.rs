//! `Lock`: keeps two runs on this machine apart. It ends with the process, however that ends. Runs on several machines are
//! kept apart by GitHub's `concurrency`.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shipkit_core::verdict::Outcome;
use shipkit_runner::{Failure, Runner, env};
use tokio::time::{Instant, sleep};

use crate::deploy::UNTOUCHED;
use crate::project::Project;

/// How long to wait before asking again for a lock that somebody has.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// A lock on an environment, until it is dropped.
pub(crate) struct Lock(#[expect(dead_code, reason = "it is held")] File);

impl Lock {
    /// Takes it, and waits `patience` for another run that has it. `Err` inside is how this run ends without it.
    pub(crate) async fn take(
        project: &Project<'_>,
        patience: Duration,
        runner: &Runner,
    ) -> Result<Result<Self, Outcome>, Failure> {
        let path = path(project, runner)?;
        let not_opened = |error: std::io::Error| {
            Failure::unknown(format!("`{}` cannot be opened: {error}", path.display()))
        };
        let file = open(&path).map_err(not_opened)?;
        let start = Instant::now();
        let mut has_told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Ok(Self(file))),
                Err(TryLockError::Error(error)) => return Err(not_opened(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let name = &project.environment.name;
            let why = format!("another run on this machine deploys to `{name}`");
            if patience <= start.elapsed() {
                return Ok(Err(Outcome::inconclusive(format!("{UNTOUCHED}: {why}"))));
            }
            if !has_told {
                runner.say(&format!("waiting: {why}"));
                has_told = true;
            }
            tokio::select! {
                biased;
                _signal = runner.cancelled() => return Ok(Err(Outcome::inconclusive(UNTOUCHED))),
                () = sleep(ASK_AGAIN) => {}
            }
        }
    }
}

/// Where it lies, as everything that belongs to an environment and outlasts a run.
fn path(project: &Project<'_>, runner: &Runner) -> Result<PathBuf, Failure> {
    let home = runner.env().get(env::HOME).map(Path::new).filter(|home| home.is_absolute());
    let Some(home) = home else {
        let unknown = Failure::usage("the folder of the user is not known: `HOME` is no absolute path");
        return Err(unknown.with_hint("set `HOME`"));
    };
    let folder = format!("{}-{}", project.config.name, project.environment.name);
    Ok(home.join(".shipkit").join(folder).join("command.lock"))
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    File::options().create(true).truncate(false).write(true).open(path)
}
