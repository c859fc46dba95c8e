//! `package-lock.json` and `npm-shrinkwrap.json`, lockfile versions 1 to 3 (docs.npmjs.com, "package-lock.json").

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{GIT, LOCAL, Lock, MEMBER};

#[derive(Deserialize)]
struct File {
    #[serde(rename = "lockfileVersion")]
    lockfile_version: Option<u64>,
    /// Since version 2, by folder. Version 2 has `dependencies` as well, which say the same.
    packages: Option<BTreeMap<String, Entry>>,
    dependencies: Option<BTreeMap<String, Dependency>>,
}

#[derive(Deserialize)]
struct Entry {
    /// Where it is not the one of its folder: of an alias.
    name: Option<String>,
    version: Option<String>,
    /// `false` in some old files.
    resolved: Option<Value>,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    dev: bool,
}

#[derive(Deserialize)]
struct Dependency {
    version: Option<String>,
    #[serde(default)]
    dev: bool,
    dependencies: Option<BTreeMap<String, Self>>,
}

/// What such a file says.
///
/// # Errors
/// When it is none.
pub(super) fn read(text: &str) -> Result<Lock, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut lock = Lock::default();
    match (&file.packages, &file.dependencies) {
        (Some(packages), _) => {
            packages.iter().filter(|(folder, _)| !folder.is_empty()).for_each(|one| entry(one, &mut lock));
        }
        (None, Some(all)) => all.iter().for_each(|one| dependency(one, &mut lock)),
        (None, None) if file.lockfile_version.is_some() => {}
        (None, None) => return Err("it has neither `packages` nor `dependencies`".to_owned()),
    }
    Ok(lock)
}

fn entry((folder, entry): (&String, &Entry), lock: &mut Lock) {
    let Some((_, name)) = folder.rsplit_once("node_modules/") else { return lock.leave_out(MEMBER) };
    if entry.link {
        return lock.leave_out(LOCAL);
    }
    let resolved = entry.resolved.as_ref().and_then(Value::as_str).unwrap_or_default();
    if let Some(what) = foreign(resolved) {
        return lock.leave_out(what);
    }
    let name = entry.name.as_deref().unwrap_or(name);
    lock.take("npm", name, entry.version.as_deref().unwrap_or_default(), entry.dev);
}

fn dependency((name, one): (&String, &Dependency), lock: &mut Lock) {
    let version = one.version.as_deref().unwrap_or_default();
    let address = || version.starts_with("http:") || version.starts_with("https:");
    // `npm:ws@8.0.0` is another package under this name.
    match version.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@')) {
        Some((name, version)) => lock.take("npm", name, version, one.dev),
        None => match foreign(version).or_else(|| address().then_some(GIT)) {
            Some(what) => lock.leave_out(what),
            None => lock.take("npm", name, version, one.dev),
        },
    }
    one.dependencies.iter().flatten().for_each(|inner| dependency(inner, lock));
}

/// What it is where it is not of a registry. A tarball at an address may be that of one, and is judged by its name.
fn foreign(from: &str) -> Option<&'static str> {
    let is_any = |prefixes: &[&str]| prefixes.iter().any(|prefix| from.starts_with(prefix));
    if is_any(&["file:", "link:", "workspace:"]) {
        Some(LOCAL)
    } else {
        is_any(&["git+", "git:", "git@", "github:", "gitlab:", "bitbucket:", "gist:"]).then_some(GIT)
    }
}
