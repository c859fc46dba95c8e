//! Which system an image is, and which runtime was copied into it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A distribution, by its own name for itself (`os-release(5)`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct System {
    /// `debian`, `alpine`.
    pub(crate) id: String,
    /// `12`, `3.21.2`; empty where it has none, as Debian before a release.
    pub(crate) version: String,
    /// For people: `Alpine Linux v3.21`.
    pub(crate) name: String,
}

impl System {
    /// Out of `os-release`.
    ///
    /// # Errors
    /// When it does not say which system it is.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let lines = text.lines().filter_map(|line| line.trim().split_once('='));
        let fields: BTreeMap<&str, String> = lines.map(|(key, value)| (key, unquoted(value))).collect();
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let id = field("ID");
        if id.is_empty() {
            return Err("it has no ID".to_owned());
        }
        let name = fields.get("PRETTY_NAME").unwrap_or(&id).clone();
        Ok(Self { id, version: field("VERSION_ID"), name })
    }

    /// What OSV calls its packages: `Debian:12`, `Alpine:v3.21`, `Ubuntu:24.04:LTS`; none where it is not known there, or has no version.
    pub(crate) fn ecosystem(&self) -> Option<String> {
        let Self { id, version, .. } = self;
        let numbers = version.split('.').take(2).collect::<Vec<_>>();
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match (id.as_str(), &numbers[..]) {
            ("debian", [major, ..]) if is_number(major) => Some(format!("Debian:{major}")),
            ("alpine", [major, minor]) if is_number(major) && is_number(minor) => {
                Some(format!("Alpine:v{major}.{minor}"))
            }
            ("ubuntu", [year, "04"]) if is_number(year) => {
                // Every second April is for long.
                let is_long = year.parse::<u32>().is_ok_and(|year| year.is_multiple_of(2));
                Some(if is_long { format!("Ubuntu:{version}:LTS") } else { format!("Ubuntu:{version}") })
            }
            ("ubuntu", [year, "10"]) if is_number(year) => Some(format!("Ubuntu:{version}")),
            _ => None,
        }
    }
}

/// A value without the quotation marks of a shell.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = |mark| value.strip_prefix(mark)?.strip_suffix(mark);
    inner('"').or_else(|| inner('\'')).unwrap_or(value).to_owned()
}

/// The version of Node.js, out of the `node_version.h` that comes with it.
///
/// # Errors
/// When it has none.
pub(super) fn node(text: &str) -> Result<String, String> {
    let number = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name)?.strip_prefix(' '));
        let number = line.and_then(|value| value.trim().parse::<u32>().ok());
        number.ok_or_else(|| format!("it has no `{name}`"))
    };
    let parts = ["NODE_MAJOR_VERSION", "NODE_MINOR_VERSION", "NODE_PATCH_VERSION"].map(number);
    let [major, minor, patch] = parts;
    Ok(format!("{}.{}.{}", major?, minor?, patch?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_has_a_name_at_osv() {
        for (text, expected) in [
            (
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n",
                Some("Debian:12"),
            ),
            ("ID=debian\nPRETTY_NAME=sid\n", None),
            ("ID=alpine\nVERSION_ID=3.21.2\n", Some("Alpine:v3.21")),
            ("ID=alpine\nVERSION_ID=3.22_alpha20250108\n", None),
            ("ID='ubuntu'\nVERSION_ID=\"24.04\"\n", Some("Ubuntu:24.04:LTS")),
            ("ID=ubuntu\nVERSION_ID=\"23.04\"\n", Some("Ubuntu:23.04")),
            ("ID=ubuntu\nVERSION_ID=\"24.10\"\n", Some("Ubuntu:24.10")),
            ("ID=rhel\nVERSION_ID=9.4\n", None),
            ("ID=alpine\n", None),
        ] {
            assert_eq!(System::read(text).unwrap().ecosystem().as_deref(), expected, "{text}");
        }
        System::read("VERSION_ID=1").unwrap_err();
        let system =
            System::read("ID=alpine\nVERSION_ID=3.21.2\nPRETTY_NAME=\"Alpine Linux v3.21\"").unwrap();
        assert_eq!((system.name.as_str(), system.version.as_str()), ("Alpine Linux v3.21", "3.21.2"));
    }

    #[test]
    fn node_has_three_numbers() {
        let text = "#define NODE_MAJOR_VERSION 20\n#define NODE_MINOR_VERSION 18\n#define NODE_PATCH_VERSION 1\n\
                    #define NODE_VERSION_IS_LTS 1\n";
        assert_eq!(node(text).unwrap(), "20.18.1");
        assert_eq!(node(&text.replace("18", "x")).unwrap_err(), "it has no `NODE_MINOR_VERSION`");
    }
}
