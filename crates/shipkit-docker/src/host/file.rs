//! Files on the host: written whole or not at all, read, removed.

use super::{Host, HostError, TIME, WORDS};
use crate::ssh::{Ended, HostCommand};

/// The most that the names in a folder may have, in bytes: 1 MiB.
const NAMES: usize = 1 << 20;

/// How `READ` and `LIST` end when there is no such file or folder: no shell ends like this by itself.
const ABSENT: u32 = 44;

/// Arguments: folder, path, size. `mktemp` makes a file that nobody else can read, and it gets its name when it is on the
/// disk. A connection that breaks off looks like the end of the input: the size tells. What is left over is removed on every
/// way out.
const WRITE: &str = r#"
set -eu
export LC_ALL=C
umask 077
if [ -d "$2" ]; then echo "it is a folder" >&2; exit 1; fi
mkdir -p "$1"
new=$(mktemp "$1/.shipkit.XXXXXXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 1' HUP INT TERM PIPE
exec 3> "$new"
cat >&3
exec 3>&-
if [ "$(wc -c < "$new")" -ne "$3" ]; then echo "the upload broke off" >&2; exit 1; fi
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

/// Argument: folder.
const LIST: &str = r#"
export LC_ALL=C
[ -d "$1" ] || exit 44
exec ls -1A "$1"
"#;

/// Argument: path.
const REMOVE: &str = r#"
export LC_ALL=C
exec rm -f "$1"
"#;

impl Host {
    /// Writes a file that only its owner can read and write, and makes the folders that it lacks in the same way. At `path`, which must be absolute, stands the old file or the
    /// whole new one, whatever happens, and nothing else is left over: what was begun goes on if nobody waits for it any
    /// more. A link at `path` is replaced, not followed.
    ///
    /// # Errors
    /// When the path is not absolute, the host cannot write there, or the connection is lost.
    pub async fn write(&self, path: &str, bytes: &[u8]) -> Result<(), HostError> {
        is_absolute(path)?;
        let folder = match path.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((folder, _)) => folder,
        };
        let arguments = vec![folder.to_owned(), path.to_owned(), bytes.len().to_string()];
        let output = self.carry_through(WRITE, arguments, bytes.to_vec()).await?;
        self.succeeded(&output, &format!("write `{path}`"))
    }

    /// Reads a file of at most `limit` bytes; `None` if there is none.
    ///
    /// # Errors
    /// When the path is not absolute, the file is larger or cannot be read, or the connection is lost.
    pub async fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, HostError> {
        is_absolute(path)?;
        let argv = ["sh", "-c", READ, "sh", path];
        let room = limit.saturating_add(WORDS);
        let output = self.run(HostCommand { argv: &argv, stdin: b"", time: TIME, output: room }).await?;
        if output.ended == Ended::Code(ABSENT) {
            return Ok(None);
        }
        if limit < output.stdout.len() {
            return Err(HostError::TooLarge { host: self.to_string(), path: path.to_owned(), limit });
        }
        self.succeeded(&output, &format!("read `{path}`"))?;
        Ok(Some(output.stdout))
    }

    /// The names in a folder, a line each as `ls` prints them; none where there is no such folder.
    ///
    /// # Errors
    /// When the path is not absolute, the folder cannot be read, or the connection is lost.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, HostError> {
        is_absolute(path)?;
        let argv = ["sh", "-c", LIST, "sh", path];
        let output = self.run(HostCommand { argv: &argv, stdin: b"", time: TIME, output: NAMES }).await?;
        if output.ended == Ended::Code(ABSENT) {
            return Ok(Vec::new());
        }
        let what = format!("list `{path}`");
        self.succeeded(&output, &what)?;
        if output.is_cut {
            return Err(self.failed(&what, "it holds too many files"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Removes a file; that there is none is fine.
    ///
    /// # Errors
    /// When the path is not absolute, the host does not remove it, or the connection is lost.
    pub async fn remove(&self, path: &str) -> Result<(), HostError> {
        is_absolute(path)?;
        let output = self.script(REMOVE, &[path], b"").await?;
        self.succeeded(&output, &format!("remove `{path}`"))
    }
}

fn is_absolute(path: &str) -> Result<(), HostError> {
    let is_so = path.starts_with('/') && !path.ends_with('/');
    if is_so { Ok(()) } else { Err(HostError::BadPath(path.to_owned())) }
}
