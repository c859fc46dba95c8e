//! `yarn.lock`: of yarn 1, which has a format of its own, and of yarn 2 and later, which is YAML. Neither says what is only for
//! development.

use serde_json::Value;

use super::{GIT, LOCAL, Lock, MEMBER, after_scope, yaml};

/// What such a file says.
///
/// # Errors
/// When it is none.
pub(super) fn read(text: &str) -> Result<Lock, String> {
    if text.lines().any(|line| line.trim_end() == "__metadata:") { berry(text) } else { classic(text) }
}

/// Blocks of lines: the names under which a package is asked for, and below them its version.
fn classic(text: &str) -> Result<Lock, String> {
    let mut lock = Lock::default();
    let mut asked: Option<&str> = None;
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !line.starts_with(' ') {
            if let Some(asked) = asked {
                return Err(format!("`{asked:.80}` has no version"));
            }
            let names = line.strip_suffix(':').ok_or_else(|| format!("`{line:.80}` is no line of it"))?;
            asked = Some(names.split(", ").next().unwrap_or(names).trim_matches('"'));
        } else if let Some(version) = line.strip_prefix("  version ") {
            let asked = asked.take().ok_or("a version stands below no package")?;
            take(asked, version.trim_matches('"'), &mut lock);
        }
    }
    match asked {
        Some(asked) => Err(format!("`{asked:.80}` has no version")),
        None => Ok(lock),
    }
}

/// By what it is asked for as: `ws@^8.0.0`, `a@npm:ws@^8.0.0`, `ws@websockets/ws#8.0.0`. Only what is of no registry has a `/` or a `:` there.
fn take(asked: &str, version: &str, lock: &mut Lock) {
    let (name, range) = after_scope(asked, '@').unwrap_or((asked, ""));
    if let Some(alias) = range.strip_prefix("npm:") {
        let (name, _) = after_scope(alias, '@').unwrap_or((alias, ""));
        lock.take("npm", name, version, false);
    } else if ["file:", "link:", "./", "../", "/"].iter().any(|prefix| range.starts_with(prefix)) {
        lock.leave_out(LOCAL);
    } else if range.contains([':', '/']) {
        lock.leave_out(GIT);
    } else {
        lock.take("npm", name, version, false);
    }
}

/// By what it was resolved to: `ws@npm:8.0.0`, `shop@workspace:.`.
fn berry(text: &str) -> Result<Lock, String> {
    let mut lock = Lock::default();
    for document in yaml::read(text)? {
        let entries = document.as_object().ok_or("it is no map")?;
        for (asked, entry) in entries.iter().filter(|(asked, _)| *asked != "__metadata") {
            let field = |name: &str| entry.get(name).and_then(Value::as_str);
            let resolution = field("resolution").unwrap_or_default();
            let (name, from) =
                after_scope(resolution, '@').ok_or_else(|| format!("`{asked:.80}` has no `resolution`"))?;
            match from.split_once(':').map_or("", |(protocol, _)| protocol) {
                // A patched package has the version, and what is wrong with it, of the one that it is made of.
                "npm" | "patch" => lock.take("npm", name, field("version").unwrap_or_default(), false),
                "workspace" => lock.leave_out(MEMBER),
                "file" | "link" | "portal" => lock.leave_out(LOCAL),
                _ => lock.leave_out(GIT),
            }
        }
    }
    Ok(lock)
}
