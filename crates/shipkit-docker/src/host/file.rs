//! Files on the server, by commands that every server has: written whole or not at all, read, removed.

use std::time::Duration;

use super::command::{Ended, Output, RemoteCommand};
use super::{Ssh, SshError};

/// How long one file may take.
const TIME: Duration = Duration::from_mins(5);
/// The most that is kept of what a failing command says.
const WORDS: usize = 4096;
/// How `READ` ends when there is no such file: no shell ends like this by itself.
const ABSENT: u32 = 44;

/// Arguments: folder, path, mode, size. The file gets its mode while it is empty and its name when it is on the disk. A
/// connection that breaks off looks like the end of the input: the size tells. What is left over is removed on every way
/// out.
const WRITE: &str = r#"
set -eu
export LC_ALL=C
if [ -d "$2" ]; then echo "it is a folder" >&2; exit 1; fi
new=$(mktemp "$1/.shipkit.XXXXXXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 1' HUP INT TERM PIPE
exec 3> "$new"
chmod "$3" "$new"
cat >&3
exec 3>&-
if [ "$(wc -c < "$new")" -ne "$4" ]; then echo "the upload broke off" >&2; exit 1; fi
sync "$new" 2> /dev/null || sync
mv -f "$new" "$2"
trap - EXIT
sync "$1" 2> /dev/null || sync
"#;

/// Argument: path.
const READ: &str = r#"
export LC_ALL=C
[ -e "$1" ] || [ -L "$1" ] || exit 44
exec cat "$1"
"#;

/// Argument: path.
const REMOVE: &str = r#"
export LC_ALL=C
exec rm -f "$1"
"#;

impl Ssh {
    /// Writes a file. At `path`, which must be absolute, stands the old file or the whole new one, whatever happens, and
    /// nothing else is left over. The file is readable as `mode` (of `chmod`, as `0o600`) says before it has any content.
    /// A link at `path` is replaced, not followed.
    ///
    /// # Errors
    /// When the path is not absolute, the server cannot write there, or the connection is lost.
    pub async fn upload(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), SshError> {
        self.is_absolute(path)?;
        let folder = match path.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((folder, _)) => folder,
        };
        let (mode, size) = (format!("{mode:o}"), bytes.len().to_string());
        let argv = ["sh", "-c", WRITE, "sh", folder, path, &mode, &size];
        let output = self.run(RemoteCommand { stdin: bytes, time: TIME, output: WORDS, argv: &argv }).await?;
        self.succeeded(&output, &format!("write `{path}`"))
    }

    /// Reads a file of at most `limit` bytes; `None` if there is none.
    ///
    /// # Errors
    /// When the path is not absolute, the file is larger or cannot be read, or the connection is lost.
    pub async fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, SshError> {
        self.is_absolute(path)?;
        let argv = ["sh", "-c", READ, "sh", path];
        let room = limit.saturating_add(WORDS);
        let output = self.run(RemoteCommand { argv: &argv, stdin: b"", time: TIME, output: room }).await?;
        if output.ended == Ended::Code(ABSENT) {
            return Ok(None);
        }
        if limit < output.stdout.len() {
            let (host, path) = (self.address().to_string(), path.to_owned());
            return Err(SshError::TooLarge { host, path, limit });
        }
        self.succeeded(&output, &format!("read `{path}`"))?;
        Ok(Some(output.stdout))
    }

    /// Removes a file; that there is none is fine.
    ///
    /// # Errors
    /// When the path is not absolute, the server does not remove it, or the connection is lost.
    pub async fn remove(&self, path: &str) -> Result<(), SshError> {
        self.is_absolute(path)?;
        let output = self.run(RemoteCommand::new(&["sh", "-c", REMOVE, "sh", path])).await?;
        self.succeeded(&output, &format!("remove `{path}`"))
    }

    fn is_absolute(&self, path: &str) -> Result<(), SshError> {
        if path.starts_with('/') && !path.ends_with('/') {
            return Ok(());
        }
        let host = self.address().to_string();
        Err(SshError::BadArgument {
            host,
            what: path.to_owned(),
            reason: "it is not the absolute path of a file",
        })
    }

    fn succeeded(&self, output: &Output, what: &str) -> Result<(), SshError> {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = match (&output.ended, said.trim()) {
            (Ended::Code(0), _) => return Ok(()),
            (Ended::Code(code), "") => format!("it ends with {code}"),
            (Ended::Signal(name), "") => format!("it is ended by SIG{name}"),
            (_, said) => said.lines().last().unwrap_or(said).to_owned(),
        };
        Err(SshError::File { host: self.address().to_string(), what: what.to_owned(), reason })
    }
}
