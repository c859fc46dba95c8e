//! `Family`: what names dependencies without saying which versions of them are used. Without a lock file nobody knows those.

use serde_json::Value;

/// Whose manifests and lock files belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Npm,
    Python,
    Rust,
    Gradle,
    Maven,
}

impl Family {
    pub(super) fn of_manifest(name: &str) -> Option<Self> {
        match name {
            "package.json" => Some(Self::Npm),
            "pyproject.toml" | "Pipfile" => Some(Self::Python),
            "Cargo.toml" => Some(Self::Rust),
            "build.gradle" | "build.gradle.kts" => Some(Self::Gradle),
            "pom.xml" => Some(Self::Maven),
            _ => None,
        }
    }

    /// What a manifest lacks that has no lock file; nothing where it has no dependencies.
    pub(super) fn lacks(self, text: &str) -> Option<String> {
        let has = match self {
            Self::Npm => match serde_json::from_str::<Value>(text) {
                Ok(manifest) => {
                    let keys = ["dependencies", "devDependencies", "optionalDependencies"];
                    keys.iter().any(|key| is_filled(manifest.get(key)))
                }
                Err(_not_json) => true,
            },
            Self::Python => match toml::from_str::<Value>(text) {
                Ok(manifest) => needs_python_packages(&manifest),
                Err(_not_toml) => true,
            },
            Self::Rust => match toml::from_str::<Value>(text) {
                Ok(manifest) => {
                    let keys = ["dependencies", "dev-dependencies", "build-dependencies", "target"];
                    keys.iter().any(|key| is_filled(manifest.get(key)))
                }
                Err(_not_toml) => true,
            },
            Self::Gradle => text.contains("dependencies"),
            Self::Maven => text.contains("<dependency>"),
        };
        has.then(|| {
            match self {
                Self::Npm | Self::Python | Self::Rust => "has no lock file",
                Self::Gradle => "has no `gradle.lockfile`",
                Self::Maven => {
                    "says nothing of what its dependencies need themselves: judge a bill of materials"
                }
            }
            .to_owned()
        })
    }
}

/// Of PEP 621, PEP 735, poetry, or a `Pipfile`. That Python itself is needed is no package.
fn needs_python_packages(manifest: &Value) -> bool {
    let at = |path: &str| manifest.pointer(path);
    let of_poetry = at("/tool/poetry/dependencies").and_then(Value::as_object);
    is_filled(at("/project/dependencies"))
        || is_filled(at("/project/optional-dependencies"))
        || is_filled(at("/dependency-groups"))
        || of_poetry.is_some_and(|named| named.keys().any(|name| name != "python"))
        || is_filled(at("/packages"))
        || is_filled(at("/dev-packages"))
}

fn is_filled(value: Option<&Value>) -> bool {
    value.is_some_and(|value| match value {
        Value::Array(entries) => !entries.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    })
}
