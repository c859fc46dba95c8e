//! `Found`: the files of a checkout that fit patterns. Tests made them, so the checkout is foreign: no link is followed.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;
use shipkit_core::plan::matches;

/// An artifact that is larger is a mistake in the patterns.
const BYTES: u64 = 2 * 1024 * 1024 * 1024;
const FILES: usize = 50_000;

/// What there is to keep.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The files, relative to the checkout, and their sizes.
    pub(crate) files: BTreeMap<PathBuf, u64>,
    /// Patterns that nothing fits.
    pub(crate) unmatched: Vec<String>,
    /// How many links were passed over.
    pub(crate) links: usize,
}

/// Why files cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoundError {
    /// The system said no.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// More than an artifact should hold.
    #[error("`{pattern}` finds more than is kept of one run: {FILES} files, {} GiB", BYTES >> 30)]
    TooMuch {
        /// The pattern that found one too many.
        pattern: String,
    },
}

impl Hint for FoundError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => None,
            Self::TooMuch { .. } => Some("name the folders with the reports in `test.artifacts`".to_owned()),
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreadable { .. } => ExitCode::Unknown,
            Self::TooMuch { .. } => ExitCode::Usage,
        }
    }
}

impl Found {
    /// `3 files (12 KiB)`.
    pub(crate) fn sentence(&self) -> String {
        let bytes: u64 = self.files.values().sum();
        let size = match bytes {
            0..1024 => format!("{bytes} bytes"),
            1024..1_048_576 => format!("{} KiB", bytes >> 10),
            _ => format!("{} MiB", bytes >> 20),
        };
        let plural = if self.files.len() == 1 { "" } else { "s" };
        format!("{} file{plural} ({size})", self.files.len())
    }
}

/// The files below `root` that fit one of the patterns: by their own path, or because a folder that they are in fits.
///
/// # Errors
/// When a folder cannot be read, or too much is found.
pub(crate) fn find(root: &Path, patterns: &[String]) -> Result<Found, FoundError> {
    let mut found = Found::default();
    for pattern in patterns {
        let before = (found.files.len(), found.links);
        let mut walk = Walk::new(root, pattern);
        walk.go(&mut found)?;
        if !walk.is_met && before == (found.files.len(), found.links) {
            found.unmatched.push(pattern.clone());
        }
    }
    Ok(found)
}

/// One pattern on its way through the checkout.
struct Walk<'a> {
    root: &'a Path,
    written: &'a str,
    /// Without `./` in front and `/` behind.
    pattern: &'a str,
    /// The folders and the file in front of the first star.
    literal: PathBuf,
    /// Whether names that begin with a dot are meant, because the pattern has such a name behind its first star.
    is_for_hidden: bool,
    /// Whether anything fitted, though an earlier pattern may have found it, too.
    is_met: bool,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Path, written: &'a str) -> Self {
        let pattern = written.trim_start_matches("./").trim_end_matches('/');
        let pattern = if pattern == "." { "" } else { pattern };
        let is_literal = |part: &&str| !part.contains('*');
        let parts = || pattern.split('/').filter(|part| !part.is_empty());
        Self {
            root,
            written,
            pattern,
            literal: parts().take_while(is_literal).collect(),
            is_for_hidden: parts().skip_while(is_literal).any(|part| part.starts_with('.')),
            is_met: false,
        }
    }

    fn go(&mut self, found: &mut Found) -> Result<(), FoundError> {
        // Part by part: any of them may be a link that leads out of the checkout.
        let mut at = PathBuf::new();
        let mut next = self.literal.components().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
        next.reverse();
        while let Some(part) = next.pop() {
            at.push(part);
            match fs::symlink_metadata(self.root.join(&at)) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(metadata) if metadata.is_symlink() => {
                    found.links += 1;
                    return Ok(());
                }
                Ok(metadata) if next.is_empty() => return self.entry(at, metadata.file_type(), found),
                Ok(_) => return Ok(()),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
                {
                    return Ok(());
                }
                Err(source) => return Err(FoundError::Unreadable { path: at, source }),
            }
        }
        let mut folders = vec![at];
        while let Some(folder) = folders.pop() {
            let unreadable = |source| FoundError::Unreadable { path: folder.clone(), source };
            let entries = fs::read_dir(self.root.join(&folder)).map_err(unreadable)?;
            for entry in entries {
                let entry = entry.map_err(unreadable)?;
                let kind = entry.file_type().map_err(unreadable)?;
                let name = entry.file_name();
                if name.to_string_lossy().starts_with('.') && !self.is_for_hidden {
                    continue;
                }
                let path = folder.join(name);
                if kind.is_dir() {
                    folders.push(path);
                } else {
                    self.entry(path, kind, found)?;
                }
            }
        }
        Ok(())
    }

    /// What is no folder: kept if it is a file and fits.
    fn entry(&mut self, path: PathBuf, kind: FileType, found: &mut Found) -> Result<(), FoundError> {
        if !self.fits(&path) {
            return Ok(());
        }
        if !kind.is_file() {
            found.links += usize::from(kind.is_symlink());
            return Ok(());
        }
        self.is_met = true;
        let metadata = fs::symlink_metadata(self.root.join(&path));
        let size = metadata.map_err(|source| FoundError::Unreadable { path: path.clone(), source })?.len();
        found.files.insert(path, size);
        if FILES < found.files.len() || BYTES < found.files.values().sum() {
            return Err(FoundError::TooMuch { pattern: self.written.to_owned() });
        }
        Ok(())
    }

    /// `**/` in front stands for the checkout itself, too.
    fn fits(&self, path: &Path) -> bool {
        let is_met = |pattern: &str| path.ancestors().any(|path| matches(pattern, &path.to_string_lossy()));
        is_met(self.pattern) || self.pattern.strip_prefix("**/").is_some_and(is_met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: &[&str], expected: &[&str], unmatched: &[&str], links: usize) {
        let (checkout, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for path in [
            "coverage/lcov.info",
            "coverage/html/index.html",
            "coverage/.last/run",
            ".nyc/out",
            "junit.xml",
            "a/junit.xml",
            "a/b/report.xml",
            ".git/config",
        ] {
            let path = checkout.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let link = std::os::unix::fs::symlink::<&Path, PathBuf>;
        link(outside.path(), checkout.path().join("out")).unwrap();
        link(&outside.path().join("secret"), checkout.path().join("coverage/secret")).unwrap();
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        let found = find(checkout.path(), &patterns).unwrap();
        let files: Vec<_> = found.files.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!((files.as_slice(), found.links), (expected, links));
        assert_eq!(found.unmatched, unmatched);
    }

    #[test]
    fn a_folder_stands_for_all_that_is_in_it() {
        let all = ["coverage/html/index.html", "coverage/lcov.info"];
        for pattern in ["coverage", "./coverage/", "coverage/**", "cov*"] {
            check(&[pattern], &all, &[], 1);
        }
        check(&["./coverage/lcov.info"], &["coverage/lcov.info"], &[], 0);
        check(&["coverage/html", "coverage/html/*.html"], &["coverage/html/index.html"], &[], 0);
    }

    #[test]
    fn stars_are_those_of_branches() {
        check(&["*/*.xml"], &["a/junit.xml"], &[], 0);
        check(&["**/*.xml"], &["a/b/report.xml", "a/junit.xml", "junit.xml"], &[], 0);
        check(&["**/junit.xml"], &["a/junit.xml", "junit.xml"], &[], 0);
        check(
            &["coverage/*.txt", "no/such", "junit.xml/x"],
            &[],
            &["coverage/*.txt", "no/such", "junit.xml/x"],
            0,
        );
    }

    #[test]
    fn hidden_files_are_kept_where_they_are_named() {
        let open =
            ["a/b/report.xml", "a/junit.xml", "coverage/html/index.html", "coverage/lcov.info", "junit.xml"];
        check(&["**"], &open, &[], 2);
        check(&[".nyc"], &[".nyc/out"], &[], 0);
        check(&["coverage/.last"], &["coverage/.last/run"], &[], 0);
        check(&["**/.last/*"], &["coverage/.last/run"], &[], 0);
    }

    #[test]
    fn no_link_is_followed_wherever_it_stands() {
        check(&["out/secret"], &[], &[], 1);
        check(&["out"], &[], &[], 1);
        check(&["out/**"], &[], &[], 1);
        check(&["coverage/secret"], &[], &[], 1);
    }
}
