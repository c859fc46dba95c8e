//! `gradle.lockfile` (docs.gradle.org, "Locking Versions").

use super::Lock;

/// What such a file says. What is only on paths of tests is for development.
///
/// # Errors
/// When it is none.
pub(super) fn read(text: &str) -> Result<Lock, String> {
    let mut lock = Lock::default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let (what, paths) = line.split_once('=').ok_or_else(|| format!("`{line:.80}` is no line of it"))?;
        if what == "empty" {
            continue;
        }
        let (name, version) = what
            .rsplit_once(':')
            .filter(|(name, _)| name.contains(':'))
            .ok_or_else(|| format!("`{what:.80}` is no artifact"))?;
        lock.take("Maven", name, version, paths.split(',').all(|path| path.starts_with("test")));
    }
    Ok(lock)
}
