//! `requirements.txt` (pip documentation, "Requirements File Format"). It is a lock file as far as it pins versions.

use super::{GIT, LOCAL, Lock};
use crate::osv::normal;

/// What such a file says, and which others it includes, relative to itself. What is not pinned is a doubt.
pub(super) fn read(text: &str, is_dev: bool) -> (Lock, Vec<String>) {
    let (mut lock, mut included) = (Lock::default(), Vec::new());
    let mut whole = String::new();
    for line in text.lines().map(without_comment).chain([""]) {
        if let Some(begun) = line.strip_suffix('\\') {
            whole.push_str(begun);
            whole.push(' ');
            continue;
        }
        whole.push_str(line);
        let one = std::mem::take(&mut whole);
        match one.trim() {
            "" => {}
            option if option.starts_with('-') => take_option(option, &mut lock, &mut included),
            requirement => take(requirement, is_dev, &mut lock),
        }
    }
    (lock, included)
}

/// A comment begins at the beginning of a line, or after a space.
fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    line.split_once(" #").or_else(|| line.split_once("\t#")).map_or(line, |(line, _)| line).trim_end()
}

fn take_option(option: &str, lock: &mut Lock, included: &mut Vec<String>) {
    let value = |names: [&str; 2]| {
        names.iter().find_map(|name| {
            let rest = option.strip_prefix(name)?;
            // `-r a`, `-ra`, `--requirement a` and `--requirement=a`, but not `--requirements`.
            let is_end = !name.starts_with("--") || rest.starts_with(['=', ' ', '\t']);
            is_end.then(|| rest.trim_start_matches('=').trim())
        })
    };
    if let Some(file) = value(["--requirement", "-r"]) {
        included.push(file.to_owned());
    } else if let Some(from) = value(["--editable", "-e"]) {
        lock.leave_out(if from.contains("://") { GIT } else { LOCAL });
    }
}

fn take(requirement: &str, is_dev: bool, lock: &mut Lock) {
    // A marker says where it is installed, and options how.
    let asked = requirement.split(" --").next().unwrap_or(requirement);
    let before_marker = asked.split(';').next().unwrap_or(asked).trim();
    if asked.contains("://") {
        return lock.leave_out(if asked.contains("file://") { LOCAL } else { GIT });
    }
    let is_archive = [".whl", ".tar.gz", ".zip"].iter().any(|ending| before_marker.ends_with(ending));
    if before_marker.starts_with(['.', '/']) || is_archive {
        return lock.leave_out(LOCAL);
    }
    match pinned(before_marker) {
        Some((name, version)) => lock.take("PyPI", &normal(name), version, is_dev),
        None => lock.doubt(format!("`{before_marker:.80}` is not pinned to a version (`==`)")),
    }
}

/// `name[extra] == 1.2.3`, perhaps in parentheses.
fn pinned(requirement: &str) -> Option<(&str, &str)> {
    let (name, version) = requirement.split_once("==")?;
    let name = name.split('[').next()?.trim().trim_end_matches('(').trim();
    let version = version.trim_start_matches('=').trim().trim_end_matches(')').trim();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let is_version = !version.is_empty() && !version.contains([',', '*', ' ', '<', '>', '~', '$']);
    (is_name && is_version).then_some((name, version))
}
