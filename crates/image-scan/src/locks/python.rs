//! Lock files of Python: `poetry.lock`, `uv.lock`, `pdm.lock` and `pylock.toml` (PEP 751), all of them TOML, and `Pipfile.lock`.

use serde_json::Value;

use super::{GIT, LOCAL, Lock, MEMBER};
use crate::osv::normal;

/// What a lock file of poetry, uv, pdm or PEP 751 says. Only poetry and pdm say what is for groups beyond the main one.
///
/// # Errors
/// When it is no TOML.
pub(super) fn toml(text: &str) -> Result<Lock, String> {
    let file: Value = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let mut lock = Lock::default();
    let entries = ["package", "packages"].into_iter().filter_map(|key| file.get(key)?.as_array());
    entries.flatten().for_each(|entry| take(entry, &mut lock));
    let is_one = ["package", "packages", "metadata", "lock-version", "version"]
        .iter()
        .any(|key| file.get(key).is_some());
    if is_one { Ok(lock) } else { Err("it names no packages".to_owned()) }
}

fn take(entry: &Value, lock: &mut Lock) {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    if let Some(what) = foreign(entry) {
        return lock.leave_out(what);
    }
    let groups: Vec<_> = entry.get("groups").and_then(Value::as_array).into_iter().flatten().collect();
    let is_main = |group: &&Value| matches!(group.as_str(), Some("main" | "default"));
    let is_dev = text("category") == Some("dev") || !groups.is_empty() && !groups.iter().any(is_main);
    let name = normal(text("name").unwrap_or_default());
    lock.take("PyPI", &name, text("version").unwrap_or_default(), is_dev);
}

/// What it is where it is not of an index.
fn foreign(entry: &Value) -> Option<&'static str> {
    let source = entry.get("source");
    let kind = source.and_then(|source| source.get("type")?.as_str()).unwrap_or_default();
    let has = |keys: &[&str]| {
        let there =
            |key: &&str| entry.get(key).is_some() || source.is_some_and(|source| source.get(key).is_some());
        keys.iter().any(there)
    };
    if has(&["virtual", "editable"]) {
        Some(MEMBER)
    } else if matches!(kind, "directory" | "file") || has(&["directory", "path"]) {
        Some(LOCAL)
    } else {
        // Poetry names the address of another index (`legacy`) as well.
        let is_git = matches!(kind, "git" | "url") || has(&["git", "vcs", "archive"]);
        (is_git || kind.is_empty() && has(&["url"])).then_some(GIT)
    }
}

/// What a `Pipfile.lock` says.
///
/// # Errors
/// When it is none.
pub(super) fn pipfile(text: &str) -> Result<Lock, String> {
    let file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let sections = file.as_object().filter(|file| file.contains_key("_meta")).ok_or("it has no `_meta`")?;
    let mut lock = Lock::default();
    for (section, entries) in sections.iter().filter(|(section, _)| *section != "_meta") {
        for (name, entry) in entries.as_object().into_iter().flatten() {
            let is_there = |keys: &[&str]| keys.iter().any(|key| entry.get(key).is_some());
            let version = entry.get("version").and_then(Value::as_str).unwrap_or_default();
            if is_there(&["git", "hg", "svn", "bzr"]) {
                lock.leave_out(GIT);
            } else if is_there(&["path", "file"]) {
                lock.leave_out(LOCAL);
            } else {
                lock.take("PyPI", &normal(name), version.trim_start_matches('='), section != "default");
            }
        }
    }
    Ok(lock)
}
