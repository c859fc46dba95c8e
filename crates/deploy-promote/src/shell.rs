//! `Shell`: commands of `shipkit.yml`, one after the other, in the checkout on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use shipkit_core::Secret;
use shipkit_docker::ProcessGroup;
use shipkit_runner::{Failure, Runner};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::project::Project;

/// The shell, as ship.yml's jobs have it.
const SHELL: &str = "bash";

/// Where and how commands run.
pub(crate) struct Shell {
    directory: PathBuf,
    variables: BTreeMap<String, String>,
    secrets: BTreeMap<String, Secret>,
    /// The longest time for one command.
    limit: Duration,
}

impl Shell {
    /// In the checkout, with these variables beside those of this program.
    pub(crate) fn new(
        project: &Project<'_>,
        variables: BTreeMap<String, String>,
        limit: Duration,
        runner: &Runner,
    ) -> Self {
        let directory = runner.env().workspace().join(&project.args.directory);
        Self { directory, variables, secrets: BTreeMap::new(), limit }
    }

    /// With these secrets as well.
    pub(crate) fn knowing(self, secrets: &BTreeMap<String, Secret>) -> Self {
        Self { secrets: secrets.clone(), ..self }
    }

    /// Nothing, if there is a shell here for the commands of `key`: the image of the action has none.
    pub(crate) async fn look(key: &str) -> Result<(), Failure> {
        let asked = Command::new(SHELL).args(["-c", ":"]).stdin(Stdio::null()).status().await;
        if asked.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        Err(Failure::usage(format!("`{key}` needs `{SHELL}`, which is not here"))
            .with_hint("run it on the host: `org/shipkit/setup` puts the programs there"))
    }

    /// Runs one command and shows what it writes. It ends with this program, or when its time is up, and all that it has
    /// started ends with it. `Err` says how it failed.
    pub(crate) async fn run(&self, command: &str, runner: &Runner) -> Result<(), String> {
        let secrets = self.secrets.iter().map(|(name, value)| (name, value.reveal()));
        let mut child = Command::new(SHELL);
        child.args(["-euo", "pipefail", "-c", command]).current_dir(&self.directory);
        child.envs(secrets).envs(&self.variables);
        child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let group = ProcessGroup::start(&mut child);
        let mut group = group.map_err(|error| format!("`{command}` cannot be started: {error}"))?;
        match tokio::time::timeout(self.limit, follow(group.leader(), runner)).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("`{command}` ended with {status}")),
            Ok(Err(error)) => Err(format!("`{command}`: {error}")),
            Err(_elapsed) => Err(format!("`{command}` did not end within {} s", self.limit.as_secs())),
        }
    }
}

async fn follow(child: &mut Child, runner: &Runner) -> std::io::Result<ExitStatus> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    tokio::join!(show(out, runner), show(err, runner));
    child.wait().await
}

async fn show(stream: Option<impl AsyncRead + Unpin>, runner: &Runner) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        runner.quote(&String::from_utf8_lossy(&line), 1);
    }
}
