//! `Sent`: what of a folder a build would be sent, and what of that it should not be.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use shipkit_core::leak::SecretFile;
use shipkit_core::plan::dockerignore::{Ignore, Walk};
use shipkit_core::policy::human;

/// The most that is read of a file that may hold a secret.
const SECRET: u64 = 1024 * 1024;

/// What would be sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// By path from the context.
    pub(super) wrong: BTreeMap<String, Wrong>,
}

/// Something that should not be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: &'static str,
    /// Of all files in it.
    pub(super) bytes: u64,
}

/// What cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` cannot be read", path = path.display())]
pub(super) struct WalkError {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl Hint for WalkError {
    fn hint(&self) -> Option<String> {
        None
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Unknown
    }
}

impl Wrong {
    /// In words.
    pub(super) fn words(&self) -> String {
        format!("{}, {}", self.what, human(self.bytes))
    }
}

impl Sent {
    /// What of `folder` is sent when this is ignored. Links are sent as they are, and not followed.
    ///
    /// # Errors
    /// With the first file or folder that cannot be read.
    pub(super) fn of(folder: &Path, ignore: &Ignore) -> Result<Self, WalkError> {
        let mut sent = Self::default();
        let mut walk = Walk::new(ignore);
        let mut ahead = entries(folder, "")?;
        while let Some(path) = ahead.pop() {
            let file = folder.join(&path);
            let failed = |source| WalkError { path: file.clone(), source };
            let found = fs::symlink_metadata(&file).map_err(failed)?;
            let is_ignored = walk.ignores(&path);
            if found.is_dir() {
                if !is_ignored || ignore.may_bring_back_below(&path) {
                    ahead.extend(entries(&file, &path)?);
                }
            } else if !is_ignored {
                let is_file = found.is_file();
                let size = if is_file { found.len() } else { 0 };
                sent.take(&path, size);
                if is_file && 0 < size {
                    sent.look(&path, &file).map_err(failed)?;
                }
            }
        }
        Ok(sent)
    }

    /// Counts a file, and the folder that should not be sent with it.
    fn take(&mut self, path: &str, size: u64) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        if let Some((folder, what)) = folder(path) {
            let wrong = self.wrong.entry(folder.to_owned()).or_insert(Wrong { what, bytes: 0 });
            wrong.bytes = wrong.bytes.saturating_add(size);
        }
    }

    /// Looks for a secret in a file.
    fn look(&mut self, path: &str, file: &Path) -> io::Result<()> {
        let Some(secret) = SecretFile::of(path) else { return Ok(()) };
        let is_wrong = match secret {
            // What is in it differs from machine to machine.
            SecretFile::Env => true,
            SecretFile::Key
            | SecretFile::Npm
            | SecretFile::Python
            | SecretFile::Netrc
            | SecretFile::Docker
            | SecretFile::Aws
            | SecretFile::Google
            | SecretFile::Git
            | SecretFile::Kubernetes
            | SecretFile::Postgres => {
                let mut bytes = Vec::new();
                File::open(file)?.take(SECRET).read_to_end(&mut bytes)?;
                secret.holds(&String::from_utf8_lossy(&bytes))
            }
        };
        if is_wrong {
            let bytes = fs::symlink_metadata(file)?.len();
            self.wrong.insert(path.to_owned(), Wrong { what: secret.what(), bytes });
        }
        Ok(())
    }
}

/// What is in a folder, as paths from the context, the last first.
fn entries(folder: &Path, path: &str) -> Result<Vec<String>, WalkError> {
    let failed = |source| WalkError { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        found.push(if path.is_empty() { name } else { format!("{path}/{name}") });
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The outermost folder around a file that should not be sent.
fn folder(path: &str) -> Option<(&str, &'static str)> {
    path.match_indices('/').find_map(|(end, _)| {
        let folder = path.get(..end)?;
        let what = match folder.rsplit('/').next()? {
            ".git" => "the history of the project",
            "node_modules" => "installed packages",
            _ => return None,
        };
        Some((folder, what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n";

    /// What is sent of these files, and what of it is wrong.
    fn sent(ignore: &str, files: &[(&str, &str)]) -> (u64, u64, String) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let sent = Sent::of(folder.path(), &Ignore::read(ignore).unwrap()).unwrap();
        let wrong: Vec<_> =
            sent.wrong.iter().map(|(path, wrong)| format!("{path} {}", wrong.bytes)).collect();
        (sent.files, sent.bytes, wrong.join(","))
    }

    #[test]
    fn folders_are_told_as_a_whole_and_secrets_one_by_one() {
        let files = [
            ("src/main.rs", "123"),
            (".git/HEAD", "12"),
            (".git/objects/ab/cd", "1234"),
            ("node_modules/a/node_modules/b/x.js", "12345"),
            ("web/node_modules/a/.env", "A=b"),
            (".env", "A=b"),
            (".env.example", "A="),
            ("web/.env.local", "A=b"),
            ("empty/.env", ""),
            ("tls/server.key", KEY),
            ("tls/ca.pem", "-----BEGIN CERTIFICATE-----"),
            ("deploy/.aws/credentials", "aws_secret_access_key = hunter2"),
        ];
        let size = files.iter().map(|(_, content)| content.len()).sum::<usize>();
        let expected = format!(
            ".env 3,.git 6,deploy/.aws/credentials 31,node_modules 5,tls/server.key {},web/.env.local 3,web/node_modules 3",
            KEY.len()
        );
        assert_eq!(sent("", &files), (12, u64::try_from(size).unwrap(), expected));
    }

    #[test]
    fn what_is_ignored_is_not_sent_and_what_is_brought_back_is() {
        let files = [
            (".env", "A=b"),
            (".git/HEAD", "12"),
            ("a/.env", "A=b"),
            ("b", "1"),
            ("node_modules/own/x", "1"),
        ];
        assert_eq!(sent(".git\n.env\nnode_modules", &files), (2, 4, "a/.env 3".to_owned()));
        assert_eq!(sent("**/.env*\n.git/\n/node_modules", &files), (1, 1, String::new()));
        assert_eq!(sent("*\n!b", &files), (1, 1, String::new()));
        assert_eq!(sent("*\n!node_modules/own", &files), (1, 1, "node_modules 1".to_owned()));
        assert_eq!(sent("*\n!a\n# !b\n", &files), (1, 3, "a/.env 3".to_owned()));
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("node_modules")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join(".env")).unwrap();
        let sent = Sent::of(folder.path(), &Ignore::default()).unwrap();
        assert_eq!((sent.files, sent.bytes, sent.wrong.len()), (2, 0, 0));
    }
}
