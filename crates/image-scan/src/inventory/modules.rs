//! `Modules`: the folders of an image whose `package.json` files are packages of npm: those in `node_modules`, wherever links lead.
//!
//! Where a link leads is known only after all layers are read, as any of them may bring it. So every `package.json` is read for its name
//! and version while the layers come, which is little, and only here it is decided which of them are packages: the others are of
//! applications, or of parts of packages.

use std::collections::BTreeSet;

use crate::layer::Kind;
use crate::tree::Tree;

const FOLDER: &str = "node_modules";

/// Where packages of npm are.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// Folders of packages to which links lead: for all of `node_modules`, or of one scope in it.
    folders: BTreeSet<String>,
    scopes: BTreeSet<String>,
    /// Packages to which links lead, one by one.
    packages: BTreeSet<String>,
}

impl Modules {
    pub(super) fn of(tree: &Tree<'_>) -> Self {
        let links: Vec<&str> = tree
            .files()
            .filter_map(|(path, node)| matches!(node.kind, Kind::Symlink(_)).then_some(path))
            .collect();
        let mut modules = Self::default();
        let leads = |is_one: &dyn Fn(&str) -> bool| -> BTreeSet<String> {
            links.iter().filter(|path| is_one(path)).map(|path| tree.follow(path)).collect()
        };
        // In this order: what a link leads to may hold links itself.
        modules.folders = leads(&|path| split(path).1 == FOLDER);
        modules.scopes = leads(&|path| modules.is_scope(path));
        modules.packages = leads(&|path| modules.is_package(path));
        modules
    }

    /// Whether the file at this path says what the package is that one can load from its folder.
    pub(super) fn describes(&self, path: &str) -> bool {
        let (folder, name) = split(path);
        name == "package.json" && (self.is_package(folder) || self.packages.contains(folder))
    }

    fn is_folder(&self, path: &str) -> bool {
        split(path).1 == FOLDER || self.folders.contains(path)
    }

    fn is_scope(&self, path: &str) -> bool {
        let (above, name) = split(path);
        name.starts_with('@') && self.is_folder(above)
    }

    fn is_package(&self, path: &str) -> bool {
        let (above, _) = split(path);
        self.is_folder(above) || self.is_scope(above) || self.scopes.contains(above)
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_told_by_the_folder_that_it_is_in() {
        let modules = Modules::default();
        for (path, expected) in [
            ("app/node_modules/ws/package.json", true),
            ("node_modules/ws/package.json", true),
            ("app/node_modules/@nestjs/core/package.json", true),
            ("app/node_modules/.pnpm/ws@8/node_modules/ws/package.json", true),
            ("app/node_modules/ws/dist/package.json", false),
            ("app/node_modules/ws/index.js", false),
            ("app/node_modules/package.json", false),
            ("app/@x/y/package.json", false),
            ("app/package.json", false),
            ("package.json", false),
        ] {
            assert_eq!(modules.describes(path), expected, "{path}");
        }
    }
}
