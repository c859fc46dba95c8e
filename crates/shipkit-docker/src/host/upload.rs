//! The files of a project, brought to a host all at once.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use shipkit_core::{Digest, ProjectPath};
use tokio::fs;

use super::{Host, HostError};

/// The most that a file of a project may have, in bytes: 1 MiB.
const LIMIT: u64 = 1 << 20;

/// Arguments: folder, name of the set, and of each file its path and size; their contents follow each other on the input. A set
/// gets its name when it is whole. One of the same name holds the same, unless somebody has changed it there.
const UPLOAD: &str = r#"
set -eu
export LC_ALL=C
umask 077
command -v flock > /dev/null || exit 47
folder=$1
name=$2
shift 2
mkdir -p "$folder/files"
chmod 700 "$folder"
new=$(mktemp -d "$folder/files/.new.XXXXXXXXXX")
trap 'rm -rf "$new" "$new.old"' EXIT
trap 'exit 1' HUP INT TERM PIPE
while [ $# -gt 0 ]; do
    mkdir -p "$(dirname "$new/$1")"
    dd bs=1 count="$2" > "$new/$1" 2> /dev/null
    if [ "$(wc -c < "$new/$1")" -ne "$2" ]; then echo "the upload broke off" >&2; exit 1; fi
    shift 2
done
exec 9>> "$folder/lock"
flock -w 20 9 || exit 46
if diff -r "$new" "$folder/files/$name" > /dev/null 2>&1; then exit 0; fi
if [ -e "$folder/files/$name" ]; then mv "$folder/files/$name" "$new.old"; fi
mv "$new" "$folder/files/$name"
"#;

impl Host {
    /// Brings files of the project in `project`, a folder of this machine, to the folder of a stack, and gives the folder
    /// that they are in there, under their paths. That folder has a name of its own for what is in it: it holds all of these
    /// files and nothing else, whatever other runs bring at the same time.
    ///
    /// # Errors
    /// When a file cannot be read, is larger than 1 MiB or a link out of the project, the host cannot write, or the connection is
    /// lost.
    pub async fn upload(
        &self,
        stack: &str,
        project: &Path,
        files: &[ProjectPath],
    ) -> Result<String, HostError> {
        let folder = self.folder(stack);
        let (mut sizes, mut contents, mut identity) = (Vec::new(), Vec::new(), String::new());
        for path in files {
            let content = read(project, path).await?;
            // Writing to a String cannot fail.
            writeln!(identity, "{path}\n{}", Digest::of(&content)).ok();
            sizes.extend([path.to_string(), content.len().to_string()]);
            contents.extend(content);
        }
        let name = Digest::of(identity.as_bytes());
        let arguments = [vec![folder.clone(), name.hex().to_owned()], sizes].concat();
        let there = format!("{folder}/files/{}", name.hex());
        let output = self.carry_through(UPLOAD, arguments, contents).await?;
        self.locked(&output, &format!("write `{there}`"))?;
        Ok(there)
    }
}

async fn read(project: &Path, path: &ProjectPath) -> Result<Vec<u8>, HostError> {
    let unreadable = |error: std::io::Error| HostError::Unreadable {
        path: project.join(path.as_str()),
        reason: error.to_string(),
    };
    let real = real(project, path).await.map_err(unreadable)?;
    let real = real.ok_or_else(|| HostError::LeadsOut { path: path.to_string() })?;
    let size = fs::metadata(&real).await.map_err(unreadable)?.len();
    if LIMIT < size {
        return Err(HostError::Unreadable {
            path: project.join(path.as_str()),
            reason: format!("it is larger than {LIMIT} bytes"),
        });
    }
    fs::read(&real).await.map_err(unreadable)
}

/// Where a file is behind all links; `None` if that is not in the project.
async fn real(project: &Path, path: &ProjectPath) -> std::io::Result<Option<PathBuf>> {
    let real = fs::canonicalize(project.join(path.as_str())).await?;
    Ok(real.starts_with(fs::canonicalize(project).await?).then_some(real))
}
