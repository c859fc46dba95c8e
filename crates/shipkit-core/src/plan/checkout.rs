//! `Checkout`: what git knows about the files that are built, as plain values.

use std::cmp::Ordering;

/// One file as git has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path from the root of the repository.
    pub path: String,
    /// What it is: `0o100644`, `0o100755`, `0o120000` for a link, `0o160000` for a submodule.
    pub mode: u32,
    /// The object's name.
    pub id: String,
}

/// The files of one commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(Vec<Entry>);

/// Something in the work tree that the commit does not have like that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirt {
    /// Its path from the root of the repository.
    pub path: String,
    /// Whether it is a folder of which nothing is in git.
    pub is_folder: bool,
}

/// A checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The commit that is checked out.
    pub head: String,
    /// That commit, its first parent, that one's first parent and so on, as far as was asked for.
    pub line: Vec<String>,
    /// What is committed.
    pub tree: Tree,
    /// What is not. Files that git ignores are among it: Docker copies them all the same.
    pub dirt: Vec<Dirt>,
    /// Where the project is, from the root of the repository; empty for the root itself.
    pub folder: String,
}

impl Tree {
    /// The tree of these files.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self(entries)
    }

    /// The file at this path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Entry> {
        let at = self.0.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.0.get(at)
    }

    /// The files in this folder and below, with their paths from there.
    pub(super) fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a Entry)> + use<'a> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let first = self.0.partition_point(|entry| entry.path < prefix);
        let rest = self.0.get(first..).unwrap_or_default();
        rest.iter().map_while(move |entry| Some((entry.path.strip_prefix(&prefix)?, entry)))
    }

    /// The paths that differ between two trees, in their order.
    #[must_use]
    pub fn changed<'a>(&'a self, before: &'a Self) -> Vec<&'a str> {
        let (mut now, mut then) = (self.0.iter().peekable(), before.0.iter().peekable());
        let mut changed = Vec::new();
        loop {
            let order = match (now.peek(), then.peek()) {
                (None, None) => return changed,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.path.cmp(&b.path),
            };
            let new = now.next_if(|_| order.is_le());
            let old = then.next_if(|_| order.is_ge());
            if new != old {
                changed.extend(new.or(old).map(|entry| entry.path.as_str()));
            }
        }
    }
}

/// `path` as seen from `folder`, both from the root of the repository; `None` if that leads out of it.
pub(super) fn within(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let entry = |(path, id): &(&str, &str)| Entry {
            path: (*path).to_owned(),
            mode: 0o100_644,
            id: (*id).to_owned(),
        };
        Tree::new(files.iter().map(entry).collect())
    }

    #[test]
    fn a_folder_holds_what_is_below_it_and_not_its_neighbours() {
        let tree =
            tree(&[("api-x", "1"), ("api/b", "2"), ("api/a/c", "3"), ("api.txt", "4"), ("web/a", "5")]);
        let below = |folder| tree.below(folder).map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(below("api"), ["a/c", "b"]);
        assert_eq!(below("").len(), 5);
        assert_eq!(below("ap"), [""; 0]);
        assert_eq!(tree.get("web/a").unwrap().id, "5");
        assert_eq!(tree.get("web"), None);
    }

    #[test]
    fn new_changed_and_removed_files_are_changes() {
        let before = tree(&[("a", "1"), ("b", "1"), ("d", "1")]);
        let now = tree(&[("a", "1"), ("b", "2"), ("c", "1"), ("e", "1")]);
        assert_eq!(now.changed(&before), ["b", "c", "d", "e"]);
        assert_eq!(now.changed(&now), [""; 0]);
        let mut is_executable = before.clone();
        is_executable.0[0].mode = 0o100_755;
        assert_eq!(is_executable.changed(&before), ["a"]);
    }

    #[test]
    fn a_path_that_leaves_the_repository_is_none() {
        for (folder, path, expected) in [
            ("", ".", Some("")),
            ("shop", "./api/", Some("shop/api")),
            ("shop", "../web", Some("web")),
            ("shop/api", "../../x/Dockerfile", Some("x/Dockerfile")),
            ("shop", "../..", None),
            ("", "/etc", None),
        ] {
            assert_eq!(within(folder, path).as_deref(), expected, "{folder} {path}");
        }
    }
}
