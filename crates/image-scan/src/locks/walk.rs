//! Looks for files by their names in a folder and below it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{LocksError, Place};

/// Folders of what is installed, built or copied, and of no lock files of the project itself.
const SKIPPED: [&str; 9] =
    [".git", ".hg", ".tox", ".venv", ".yarn", "node_modules", "target", "vendor", "venv"];
/// How deep folders may nest.
const DEPTH: usize = 64;
/// How many files and folders there may be.
const ENTRIES: usize = 2_000_000;
/// How many files may be wanted.
pub(super) const WANTED: usize = 10_000;

/// The files with wanted names, by their paths. Links are not followed.
///
/// # Errors
/// When not all of it can be read, or there is more of it than of any checkout.
pub(super) fn files(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Place>, LocksError> {
    let (mut found, mut seen) = (Vec::new(), 0_usize);
    let mut ahead: Vec<(PathBuf, String, usize)> = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, shown, depth)) = ahead.pop() {
        let failed = |source| match depth {
            0 => LocksError::Folder(path.clone(), source),
            _ => LocksError::Read(path.clone(), source),
        };
        if DEPTH < depth {
            return Err(LocksError::Large { folder: path, what: "folders that nest too deep" });
        }
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            seen = seen.saturating_add(1);
            if ENTRIES < seen {
                return Err(LocksError::Large { folder: folder.to_owned(), what: "too many files" });
            }
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = if shown.is_empty() { name.clone() } else { format!("{shown}/{name}") };
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    ahead.push((entry.path(), below, depth + 1));
                }
            } else if is_wanted(&name) {
                found.push(Place { shown: below, path: entry.path(), is_odd: !kind.is_file() });
            }
        }
        if WANTED < found.len() {
            return Err(LocksError::Large {
                folder: folder.to_owned(),
                what: "too many lock files and manifests",
            });
        }
    }
    found.sort();
    Ok(found)
}
