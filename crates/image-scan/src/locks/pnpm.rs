//! `pnpm-lock.yaml`, lockfile versions 5 to 9 (github.com/pnpm/spec, `lockfile/`).

use serde_json::Value;

use super::{GIT, LOCAL, Lock, after_scope, yaml};

/// What such a file says. Since version 9 it does not say what is only for development.
///
/// # Errors
/// When it is none, or of another version.
pub(super) fn read(text: &str) -> Result<Lock, String> {
    let mut lock = Lock::default();
    let documents = yaml::read(text)?;
    if documents.is_empty() {
        return Err("it is empty".to_owned());
    }
    for document in documents {
        let version = document.get("lockfileVersion").and_then(Value::as_str).unwrap_or_default();
        let is_old = match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
            Some(5) => true,
            Some(6..=9) => false,
            Some(_) | None => {
                return Err(format!("its `lockfileVersion` is `{version:.20}`, and 5 to 9 are known"));
            }
        };
        for (key, entry) in document.get("packages").and_then(Value::as_object).into_iter().flatten() {
            take(key, entry, is_old, &mut lock);
        }
    }
    Ok(lock)
}

fn take(key: &str, entry: &Value, is_old: bool, lock: &mut Lock) {
    let of = |name: &str| entry.get("resolution").and_then(|resolution| resolution.get(name)?.as_str());
    let is_file =
        of("directory").is_some() || of("tarball").is_some_and(|tarball| tarball.starts_with("file:"));
    if is_file || key.starts_with("file:") || key.starts_with("link:") {
        return lock.leave_out(LOCAL);
    }
    // In front of the first `/` of an old key stands the host of another registry, or of a repository of git.
    let is_elsewhere = is_old && !key.starts_with('/') && of("integrity").is_none();
    let named = if is_old { named_by_path(key) } else { named_by_version(key) };
    let Some((name, version)) = named.filter(|_| !is_elsewhere && of("repo").is_none()) else {
        return lock.leave_out(GIT);
    };
    let is_dev = entry.get("dev").and_then(Value::as_str) == Some("true");
    lock.take("npm", name, version, is_dev);
}

/// `/@a/b/1.0.0_react@18.2.0`: what it was installed for follows the version.
fn named_by_path(key: &str) -> Option<(&str, &str)> {
    let (_, path) = key.split_once('/')?;
    let (name, version) = path.rsplit_once('/')?;
    Some((name, version.split('_').next()?))
}

/// `@a/b@1.0.0(react@18.2.0)`, before version 9 with a `/` in front. What stands at an address is of no registry.
fn named_by_version(key: &str) -> Option<(&str, &str)> {
    let key = key.trim_start_matches('/').split('(').next()?;
    let (name, version) = after_scope(key, '@')?;
    let is_address = version.contains([':', '/']);
    let name = if name.starts_with('@') { name } else { name.rsplit('/').next()? };
    (!is_address).then_some((name, version))
}
