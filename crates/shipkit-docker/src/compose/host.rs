//! `Host`: where the programs run and the files lie that belong to a project: this machine.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::error::ComposeError;

/// The machine that a project is on.
#[derive(Debug, Clone)]
pub(crate) struct Host;

/// What a program said.
pub(crate) struct Said {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Host {
    /// Runs a program to its end; `what` completes "could not". It is killed when nobody waits for it any more.
    pub(crate) async fn run(
        &self,
        what: &str,
        argv: &[&str],
        stdin: &[u8],
        time: Duration,
    ) -> Result<Said, ComposeError> {
        let failed =
            |error: std::io::Error| ComposeError::Host { what: what.to_owned(), reason: error.to_string() };
        let (program, arguments) = argv.split_first().ok_or(ComposeError::NoDocker)?;
        let spawned = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|error| match error.kind() {
            ErrorKind::NotFound if *program == "docker" => ComposeError::NoDocker,
            _ => failed(error),
        })?;
        let input = child.stdin.take();
        let running = async {
            let feeding = async {
                if let Some(mut input) = input {
                    // A program that reads nothing ends early, and says why itself.
                    input.write_all(stdin).await.ok();
                }
            };
            let ((), output) = tokio::join!(feeding, child.wait_with_output());
            output
        };
        let slow = |_elapsed| ComposeError::Slow { what: what.to_owned(), seconds: time.as_secs() };
        let output = timeout(time, running).await.map_err(slow)?.map_err(failed)?;
        Ok(Said { code: output.status.code(), stdout: output.stdout, stderr: output.stderr })
    }

    /// The home of the user who deploys.
    pub(crate) async fn home(&self) -> Result<String, ComposeError> {
        let what = "find the home of the user";
        let said =
            self.run(what, &["sh", "-c", r#"printf %s "$HOME""#], b"", Duration::from_secs(15)).await?;
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// Reads a file; `None` if there is none.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ComposeError> {
        match tokio::fs::read(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(ComposeError::Host { what: format!("read `{path}`"), reason: error.to_string() })
            }
        }
    }

    /// Writes a file that only its owner reads, whole or not at all, and its folders where they are missing.
    pub(crate) async fn write(&self, path: &str, bytes: &[u8]) -> Result<(), ComposeError> {
        const WRITE: &str =
            r#"umask 077; mkdir -p "${1%/*}" && cat > "$1.part" && sync "$1.part" && mv -f "$1.part" "$1""#;
        let what = format!("write `{path}`");
        let said = self.run(&what, &["sh", "-c", WRITE, "sh", path], bytes, Duration::from_mins(1)).await?;
        if said.code == Some(0) {
            return Ok(());
        }
        Err(ComposeError::Host { what, reason: last_line(&said.stderr) })
    }
}

/// The last line that says something.
pub(crate) fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.unwrap_or("it does not say why").chars().take(1000).collect()
}
