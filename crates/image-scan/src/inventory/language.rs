//! What packages of languages say about themselves: npm and Python.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Installed;

/// The package of a `package.json`.
///
/// # Errors
/// When that is no JSON, or names nothing.
pub(super) fn npm(bytes: &[u8]) -> Result<Installed, String> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match (manifest.name, manifest.version) {
        (Some(name), Some(version)) => Installed::new(name, version),
        _ => Err("it has no name or no version".to_owned()),
    }
}

/// What is read of a `package.json`. A name may stand there twice: then the last one counts, as for Node.js.
#[derive(Default)]
struct Manifest {
    name: Option<String>,
    version: Option<String>,
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Manifest;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Manifest, A::Error> {
                let mut manifest = Manifest::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "name" => manifest.name = map.next_value()?,
                        "version" => manifest.version = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(manifest)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The package of a `METADATA` or `PKG-INFO` file (Python Packaging User Guide, "Core metadata specifications"), with its name as OSV has it.
///
/// # Errors
/// When it names nothing.
pub(super) fn python(text: &str) -> Result<Installed, String> {
    let head = || text.lines().take_while(|line| !line.is_empty());
    let field = |name: &str| {
        head().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    match (field("Name"), field("Version")) {
        (Some(name), Some(version)) => Installed::new(normalized(&name), version),
        _ => Err("it has no name or no version".to_owned()),
    }
}

/// The name of a Python package as it is compared (Python Packaging User Guide, "Names and normalization").
fn normalized(name: &str) -> String {
    let mut normal = String::new();
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(&part.to_ascii_lowercase());
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(package: &Result<Installed, String>, expected: Option<(&str, &str)>) {
        let found = package.as_ref().ok().map(|one| (&*one.name, &*one.version));
        assert_eq!(found, expected, "{package:?}");
    }

    #[test]
    fn a_package_of_npm_has_a_name_and_a_version() {
        let ws = br#"{"version": "8.17.1", "a": {"name": "no"}, "name": "ws", "engines": {"node": ">=10"}}"#;
        check(&npm(ws), Some(("ws", "8.17.1")));
        for bad in ["{}", r#"{"name": "x"}"#, "", "[", r#"{"name": 1, "version": "1"}"#] {
            check(&npm(bad.as_bytes()), None);
        }
        let deep = format!("{}{}", r#"{"name": "x", "version": "1", "y": "#, "[".repeat(100_000));
        check(&npm(deep.as_bytes()), None);
    }

    #[test]
    fn a_python_package_is_named_as_it_is_compared() {
        let text =
            "Metadata-Version: 2.1\nName: Ruamel__Yaml.clib\nVersion: 0.2.8\n\nName: no\nVersion: no\n";
        check(&python(text), Some(("ruamel-yaml-clib", "0.2.8")));
        check(&python("name: x\r\nversion: 1.0\r\n"), Some(("x", "1.0")));
        check(&python("Name: x\n\nVersion: 1\n"), None);
    }
}
