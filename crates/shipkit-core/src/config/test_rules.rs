//! What `test` of a well-formed `shipkit.yml` must still fulfil to make sense.

use super::resolve::Context;
use super::types::{Test, TestService};
use super::yaml::join;
use crate::plan::is_supported;

/// What `setup` can ask for.
const VERSION_HINT: &str = "write a version or how it begins, in quotes: `\"20\"`, `\"3.12\"`";

/// Checks what does not depend on the rest of the file.
pub(super) fn test(context: &mut Context<'_>, test: &Test) {
    for name in test.environment.keys().filter(|name| !is_variable(name)) {
        let path = join("test.environment", name);
        context.wrong_key(&path, format!("`{name}` is not the name of an environment variable"), None);
    }
    for (index, name) in test.secrets.iter().enumerate().filter(|(_, name)| !is_variable(name)) {
        let message = format!("`{name}` is not the name of an environment variable");
        context.wrong(&format!("test.secrets[{index}]"), message, None);
    }
    for (tool, version) in &test.setup {
        let path = join("test.setup", tool);
        if !is_word(tool) {
            context.wrong_key(&path, format!("`{tool}` is not the name of a tool"), None);
        } else if !is_version(tool, version) {
            context.wrong(&path, format!("`{version}` is not a version"), Some(VERSION_HINT));
        }
    }
    for (name, one) in &test.services {
        service(context, &join("test.services", name), name, one);
    }
    if let Some(coverage) = &test.coverage {
        kept(context, "test.coverage", coverage);
    }
    for (index, path) in test.artifacts.iter().enumerate() {
        kept(context, &format!("test.artifacts[{index}]"), path);
    }
}

fn service(context: &mut Context<'_>, path: &str, name: &str, service: &TestService) {
    if !is_word(name) {
        context.wrong_key(path, format!("`{name}` is not a name"), None);
    }
    let Some(check) = &service.healthcheck else { return };
    for (key, is_given) in [("live", check.live.is_some()), ("ready", check.ready.is_some())] {
        let path = format!("{path}.healthcheck.{key}");
        if is_given && context.document.has(&path) {
            let hint = Some("give its `healthcheck.test`, a command that runs inside the container");
            context.wrong_key(&path, "a container of the tests is not asked over HTTP", hint);
        }
    }
}

/// What is kept lies in the checkout: a path or pattern relative to it.
fn kept(context: &mut Context<'_>, path: &str, pattern: &str) {
    let is_inside = !pattern.starts_with('/') && pattern.split('/').all(|part| part != "..");
    if !is_inside || !is_supported(pattern) {
        let hint = Some("write a path inside the checkout; `*` and `**` are known, at most four of them");
        context.wrong(path, format!("`{pattern}` cannot be kept"), hint);
    }
}

/// `[A-Za-z_][A-Za-z0-9_]*`.
pub(super) fn is_variable(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.bytes().all(word) && text.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// What names a tool, and what Compose takes as the name of a service.
fn is_word(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric();
    text.bytes().next().is_some_and(letter)
        && text.bytes().all(|b| letter(b) || matches!(b, b'_' | b'.' | b'-'))
}

/// Numbers with dots; for Rust also the name of a channel.
fn is_version(tool: &str, text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split('.').all(is_number) || (tool == "rust" && matches!(text, "stable" | "beta" | "nightly"))
}
