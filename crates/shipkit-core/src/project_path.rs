//! `ProjectPath`: where a file of a project lies, which is never outside of its folder.

use std::fmt;
use std::str::FromStr;

/// The path of a file in the folder of a project: relative, with `/`, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProjectPath(String);

/// A text that is no such path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the path of a file in the project's folder: {reason}")]
pub struct NotInProject {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl ProjectPath {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectPath {
    type Err = NotInProject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| Err(NotInProject { text: text.to_owned(), reason });
        if text.starts_with('/') {
            return refuse("it is absolute");
        }
        if text.chars().any(char::is_control) {
            return refuse("it has control characters");
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.contains(&"..") {
            return refuse("it leads out of it");
        }
        if parts.is_empty() || text.ends_with('/') {
            return refuse("it names no file");
        }
        Ok(Self(parts.join("/")))
    }
}

impl fmt::Display for ProjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_folder_is_written_in_one_way() {
        for (text, path) in [
            ("compose.yml", "compose.yml"),
            ("./compose.yml", "compose.yml"),
            ("deploy//./compose.prod.yml", "deploy/compose.prod.yml"),
            ("..env", "..env"),
            ("-f", "-f"),
            ("a b/é", "a b/é"),
        ] {
            assert_eq!(text.parse::<ProjectPath>().unwrap().as_str(), path);
        }
    }

    #[test]
    fn what_leads_out_of_the_folder_or_names_no_file_is_refused() {
        for (text, reason) in [
            ("/etc/passwd", "absolute"),
            ("../compose.yml", "leads out"),
            ("a/../../b", "leads out"),
            ("a/..", "leads out"),
            ("", "names no file"),
            (".", "names no file"),
            ("./", "names no file"),
            ("deploy/", "names no file"),
            ("a\nb", "control"),
            ("a\0b", "control"),
        ] {
            let error = text.parse::<ProjectPath>().unwrap_err();
            assert!(error.reason.contains(reason), "{text:?}: {error}");
        }
    }
}
