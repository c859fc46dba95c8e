//! `build`: how an image is built.

use serde_json::{Map, Value};

use super::{ALWAYS_KNOWN, Because, Translator, When};
use crate::config::error::suggestion;
use crate::config::yaml::join;

/// Keys that are about the builder's own cache, or about names that images get elsewhere.
const QUIET: [&str; 5] = ["cache_from", "cache_to", "no_cache", "pull", "tags"];
/// Keys that have no meaning here. A build that cannot do without them fails.
const LEFT: [&str; 8] =
    ["labels", "network", "extra_hosts", "shm_size", "ulimits", "privileged", "isolation", "entitlements"];
const TAKEN: [&str; 9] = [
    "context",
    "dockerfile",
    "target",
    "args",
    "additional_contexts",
    "platforms",
    "secrets",
    "provenance",
    "sbom",
];
/// Keys that would make another image, and what helps.
const REFUSED: [(&str, &str); 2] = [
    ("dockerfile_inline", "write it to a file, and name that as `dockerfile`"),
    ("ssh", "there is no agent where images are built; use a build secret"),
];

impl Translator<'_> {
    /// How the service is built, in our words.
    pub(super) fn build(&mut self, service: &str, path: &str, value: &Value) -> Value {
        let mut build = Map::new();
        match value {
            Value::String(context) => {
                let ours = join(path, "context");
                if let Some(context) = self.folder_at(path, context) {
                    build.insert("context".to_owned(), context.into());
                }
                self.moved(&ours, path);
            }
            Value::Object(entries) => {
                if !entries.contains_key("context") {
                    build.insert("context".to_owned(), inside(self.folder, ".").into());
                }
                for (key, value) in entries {
                    self.build_key(service, path, (key, value), &mut build);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return value.clone(),
        }
        Value::Object(build)
    }

    fn build_key(
        &mut self,
        service: &str,
        build: &str,
        (key, value): (&str, &Value),
        into: &mut Map<String, Value>,
    ) {
        let path = join(build, key);
        if key.starts_with("x-") || QUIET.contains(&key) || value.is_null() && TAKEN.contains(&key) {
            return;
        }
        if LEFT.contains(&key) {
            self.leave(service, format!("build.{key}"), Because::Build);
            return;
        }
        if let Some((_, hint)) = REFUSED.iter().find(|(refused, _)| *refused == key) {
            self.refuse(&path, &format!("`{key}` is not understood"), hint);
            return;
        }
        let (key, value) = match key {
            "context" => (key, self.context(&path, value)),
            "args" => (key, Some(self.variables(&path, value, &ALWAYS_KNOWN))),
            "additional_contexts" => ("contexts", Some(self.contexts(build, &path, value))),
            "secrets" => (key, Some(self.build_secrets(&path, value))),
            "provenance" | "sbom" => {
                let value = self.scalar(&path, value, When::Build).filter(Value::is_boolean);
                if value.is_none() {
                    self.leave(service, format!("build.{key}"), Because::Build);
                }
                (key, value)
            }
            _ if TAKEN.contains(&key) => (key, self.filled(&path, value, When::Build)),
            _ => {
                let known: Vec<&str> = TAKEN.iter().chain(&QUIET).chain(&LEFT).copied().collect();
                let hint = suggestion(key, &known);
                self.problems.push(self.from.key_problem(&path, "unknown key", hint));
                return;
            }
        };
        into.extend(value.map(|value| (key.to_owned(), value)));
    }

    fn context(&mut self, path: &str, value: &Value) -> Option<Value> {
        let Value::String(text) = value else { return Some(value.clone()) };
        self.folder_at(path, text).map(Value::String)
    }

    /// A folder of this checkout, seen from the checkout.
    fn folder_at(&mut self, path: &str, text: &str) -> Option<String> {
        let text = self.text(path, text, When::Build)?;
        if is_remote(&text) {
            let hint = "check the sources out, as a submodule or by hand, and name their folder";
            self.wrong(path, format!("`{text}` is no folder of this checkout"), hint);
            return None;
        }
        if text.starts_with('~') {
            let hint = "name a folder of this checkout";
            self.wrong(path, format!("`{text}` is somewhere else on every machine"), hint);
            return None;
        }
        Some(inside(self.folder, &text))
    }

    fn contexts(&mut self, build: &str, path: &str, value: &Value) -> Value {
        let ours = join(build, "contexts");
        self.moved(&ours, path);
        let mut contexts = Map::new();
        for (name, at, value) in self.pairs(path, value) {
            let Value::String(text) = value else {
                self.wrong(&at, format!("`{name}` names nothing"), "write `service:<name>` or a folder");
                continue;
            };
            let Some(text) = self.text(&at, &text, When::Build) else { continue };
            let is_named = text.starts_with("service:") || is_remote(&text) || text.is_empty();
            let text = if is_named { text } else { inside(self.folder, &text) };
            self.moved(&join(&ours, &name), &at);
            contexts.insert(name, text.into());
        }
        Value::Object(contexts)
    }

    /// The variables that build secrets come from. Under another name or out of a file none can be given.
    fn build_secrets(&mut self, path: &str, value: &Value) -> Value {
        let mut secrets = Vec::new();
        for (index, entry) in value.as_array().into_iter().flatten().enumerate() {
            let at = format!("{path}[{index}]");
            let source = entry.get("source").unwrap_or(entry).as_str().unwrap_or_default();
            let target = entry.get("target").map_or(Some(source), Value::as_str);
            let variable = self.from.value.get("secrets").and_then(|all| all.get(source)?.get("environment"));
            if variable.and_then(Value::as_str) != target || source.is_empty() {
                let message =
                    format!("the build secret `{source}` is not the environment variable of its name");
                self.wrong(&at, message, "give it `environment: <NAME>` and that name under `secrets`");
                continue;
            }
            self.moved(&format!("{path}[{}]", secrets.len()), &at);
            secrets.extend(variable.cloned());
        }
        if value.is_array() { Value::Array(secrets) } else { value.clone() }
    }
}

/// An address and no path.
fn is_remote(text: &str) -> bool {
    text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/")
}

/// The path in a folder, without detours.
fn inside(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let is_absolute = folder.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    match (is_absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_from_the_checkout() {
        for (folder, path, expected) in [
            ("", ".", "."),
            ("", "./api/", "api"),
            ("", "../api", "../api"),
            ("ci", "./api", "ci/api"),
            ("ci", "..", "."),
            ("ci/x", "../../../y", "../y"),
            ("./", "api", "api"),
            ("/srv/shop", "../api", "/srv/api"),
            ("ci", "/srv", "/srv"),
            ("", "", "."),
        ] {
            assert_eq!(inside(folder, path), expected, "{folder} {path}");
        }
    }
}
