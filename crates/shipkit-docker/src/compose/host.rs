//! `Host`: where the programs run and the files lie that belong to a project: this machine.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::error::ComposeError;

/// How a shell says that there is no such program.
const ABSENT: i32 = 127;

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
        let mut child = spawned.map_err(|error| {
            let is_absent = error.kind() == ErrorKind::NotFound && *program == "docker";
            if is_absent { ComposeError::NoDocker } else { failed(error) }
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
        if output.status.code() == Some(ABSENT) {
            return Err(ComposeError::NoDocker);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(argv: &[&str], time: Duration) -> Result<Said, ComposeError> {
        Host.run("try it", argv, b"in", time).await
    }

    #[tokio::test]
    async fn a_program_reads_and_says_and_ends() {
        let said = run(&["sh", "-c", "cat; echo why >&2; exit 3"], Duration::from_secs(9)).await.unwrap();
        assert_eq!(
            (said.code, said.stdout.as_slice(), last_line(&said.stderr).as_str()),
            (Some(3), &b"in"[..], "why")
        );
    }

    #[tokio::test]
    async fn what_takes_too_long_is_said_so() {
        let Err(error) = run(&["sh", "-c", "read line < /dev/zero"], Duration::from_millis(50)).await else {
            panic!("it ended")
        };
        assert_eq!(error.to_string(), "could not try it on the host within 0 s");
    }

    #[tokio::test]
    async fn where_a_shell_finds_no_docker_there_is_none() {
        let absent = run(&["sh", "-c", "PATH=/nowhere; exec docker compose"], Duration::from_secs(9)).await;
        assert!(matches!(absent, Err(ComposeError::NoDocker)));
    }

    #[tokio::test]
    async fn a_file_is_written_with_its_folders_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/state.json");
        let text = path.to_str().unwrap();
        assert_eq!(Host.read(text).await.unwrap(), None);
        Host.write(text, b"one").await.unwrap();
        Host.write(text, b"two").await.unwrap();
        assert_eq!(Host.read(text).await.unwrap().as_deref(), Some(&b"two"[..]));
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
}
