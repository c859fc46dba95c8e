//! `mirrors`: further prefixes at which the images of a release are given.

use super::resolve::Context;
use crate::reference::{BadName, Repository};

/// The registry of Docker Hub, where the name of an image has two parts.
const HUB: &str = "docker.io";

/// The prefixes, each under the one name of its registry that counts. Each is another place than all before it and than
/// `registry`, as far as that is known here.
pub(super) fn mirrors(context: &mut Context<'_>, registry: Option<&str>, raw: &[String]) -> Vec<Repository> {
    let registry = registry.and_then(|text| Repository::prefix(text).ok()).map(|prefix| prefix.canonical());
    let mut mirrors = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let path = format!("mirrors[{index}]");
        let before = context.problems.len();
        let value = context.text(&path, text);
        // What is wrong with the variable was said; one whose value is not needed has none.
        let is_unknown = before < context.problems.len() || !context.is_needed && value.is_empty();
        if is_unknown {
            continue;
        }
        let wrong = match read(&value) {
            Err((message, hint)) => (message, hint),
            Ok(mirror) if Some(&mirror) == registry.as_ref() => {
                (format!("`{mirror}` is the registry itself"), Some("a mirror is another place".to_owned()))
            }
            Ok(mirror) if mirrors.contains(&mirror) => (format!("`{mirror}` is listed twice"), None),
            Ok(mirror) => {
                mirrors.push(mirror);
                continue;
            }
        };
        context.wrong(&path, wrong.0, wrong.1.as_deref());
    }
    mirrors
}

/// A prefix, or what is wrong with it and what would be right.
fn read(text: &str) -> Result<Repository, (String, Option<String>)> {
    // Without a `/` it would be an official image of Docker Hub.
    if !text.trim_end_matches('/').contains('/') {
        let hint = "a mirror is `<registry>/<name>`, as in `quay.io/acme`";
        return Err((format!("`{text}` names no place at a registry"), Some(hint.to_owned())));
    }
    let mirror = Repository::prefix(text).map_err(|bad: BadName| (bad.to_string(), None))?.canonical();
    match mirror.path().split_once('/') {
        Some((namespace, _)) if mirror.registry() == HUB => {
            let message =
                format!("images below `{mirror}` would have names of three parts, and Docker Hub takes two");
            Err((message, Some(format!("write `{HUB}/{namespace}`"))))
        }
        _ => Ok(mirror),
    }
}
