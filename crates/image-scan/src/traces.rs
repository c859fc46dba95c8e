//! What the steps of a build left in the files of an image: secrets in any layer, files with setuid, caches, and bytes that nobody sees.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;

use shipkit_core::policy::{Cache, Leak, Origin, Place, Traces, Wasted};

use crate::inventory::{Found, Inventory, RPM, brought, name};
use crate::layer::{Kind, Layer};
use crate::tree::Tree;

/// How many paths are named that waste most.
const NAMED: usize = 3;

/// Caches that are at one place.
const SYSTEM: [(&str, &str); 7] = [
    ("apt", "var/lib/apt/lists"),
    ("apt", "var/cache/apt"),
    ("apk", "var/cache/apk"),
    ("apk", "etc/apk/cache"),
    ("dnf", "var/cache/dnf"),
    ("dnf", "var/cache/libdnf5"),
    ("yum", "var/cache/yum"),
];

/// Caches that are in the folder of whoever installed. The cache in a project of yarn is none of them: it may be run from there.
const HOME: [(&str, &str); 8] = [
    ("pip", ".cache/pip"),
    ("uv", ".cache/uv"),
    ("npm", ".npm/_cacache"),
    ("yarn", ".cache/yarn"),
    ("yarn", ".yarn/berry/cache"),
    ("pnpm", "pnpm/store"),
    ("pnpm", ".pnpm-store"),
    ("pnpm", ".cache/pnpm"),
];

/// What these layers, the lowest first, left of what made them; [`unknown_owners`] is asked for apart.
pub(crate) fn of(layers: &[&Layer], tree: &Tree<'_>, steps: &[String]) -> Traces {
    let mut seen: Vec<_> = tree.files().map(|(_, node)| ptr::from_ref(node.kind)).collect();
    seen.sort_unstable();
    let files = Files { layers, tree, seen };
    let origin =
        |layer: usize| Origin { layer, made_by: steps.get(layer).filter(|step| !step.is_empty()).cloned() };
    let secrets = files.secrets();
    let setuid: BTreeSet<&str> =
        tree.files().filter(|(_, node)| is_setuid(node.kind)).map(|(path, _)| path).collect();
    let owned = files.owned(secrets.keys().chain(&setuid).copied());
    let leaks = secrets.into_iter().filter(|(path, _)| !owned.contains(&tree.resolve(path)));
    let leaks = leaks.map(|(path, Secret { what, layer, is_gone })| Leak {
        what,
        place: Place::File { path: path.to_owned(), origin: origin(layer), is_gone },
    });
    let lost = files.lost();
    let wasted = lost.values().fold(0_u64, |sum, (bytes, _)| sum.saturating_add(*bytes));
    let mut worst: Vec<_> = lost.into_iter().collect();
    worst.sort_by_key(|(path, (bytes, _))| (std::cmp::Reverse(*bytes), *path));
    let worst = worst.into_iter().take(NAMED);
    Traces {
        leaks: leaks.collect(),
        setuid: setuid.into_iter().filter(|path| !owned.contains(*path)).map(str::to_owned).collect(),
        unknown_owners: None,
        caches: caches(tree),
        wasted,
        most_wasted: worst
            .map(|(path, (bytes, layer))| Wasted { path: path.to_owned(), bytes, origin: origin(layer) })
            .collect(),
    }
}

/// The files of all layers, and those of them that are still there at the end.
struct Files<'a> {
    layers: &'a [&'a Layer],
    tree: &'a Tree<'a>,
    /// By identity: a hard link keeps a file under another name. In order, so that one can be found.
    seen: Vec<*const Kind>,
}

/// A file with a secret.
struct Secret {
    what: &'static str,
    layer: usize,
    is_gone: bool,
}

impl<'a> Files<'a> {
    fn all(&self) -> impl Iterator<Item = (usize, &'a str, &'a Kind)> {
        let layers = self.layers.iter().enumerate();
        layers.flat_map(|(number, layer)| {
            layer.entries.iter().map(move |entry| (number, &*entry.path, &entry.kind))
        })
    }

    fn is_seen(&self, kind: &Kind) -> bool {
        self.seen.binary_search(&ptr::from_ref(kind)).is_ok()
    }

    /// The files with secrets by their paths, those included that a later layer removes.
    fn secrets(&self) -> BTreeMap<&'a str, Secret> {
        let mut secrets: BTreeMap<&str, Secret> = BTreeMap::new();
        for (layer, path, kind) in self.all() {
            if let Some(Found::Secret(what)) = found(kind) {
                let secret = secrets.entry(path).or_insert(Secret { what, layer, is_gone: true });
                secret.is_gone &= !self.is_seen(kind);
            }
        }
        secrets
    }

    /// What each path that later layers replace or remove costs, and the first layer that has it.
    fn lost(&self) -> BTreeMap<&'a str, (u64, usize)> {
        let mut lost: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
        for (layer, path, kind) in self.all() {
            match kind {
                Kind::File { size, .. } if 0 < *size && !self.is_seen(kind) => {
                    let (bytes, _) = lost.entry(path).or_insert((0, layer));
                    *bytes = bytes.saturating_add(*size);
                }
                Kind::File { .. }
                | Kind::Folder
                | Kind::HardLink(_)
                | Kind::Symlink(_)
                | Kind::Other
                | Kind::Gone
                | Kind::Emptied => {}
            }
        }
        lost
    }

    /// Those of these paths that a package of the distribution brought, in whichever layer, where links among folders lead.
    fn owned<'b>(&self, paths: impl Iterator<Item = &'b str>) -> BTreeSet<String> {
        brought(self.all().filter_map(|(_, _, kind)| found(kind)), &paths.map(name).collect(), self.tree)
    }
}

/// Why it is not known which files packages brought, if so.
pub(crate) fn unknown_owners(layers: &[&Layer], tree: &Tree<'_>, inventory: &Inventory) -> Option<String> {
    if RPM.iter().any(|folder| tree.has_below(folder)) {
        return Some("there is a database of RPM, and it cannot be read here".to_owned());
    }
    let is_database = |kind: &Kind| matches!(found(kind), Some(Found::Dpkg(_) | Found::Apk(..)));
    let has_database =
        || layers.iter().flat_map(|layer| &layer.entries).any(|entry| is_database(&entry.kind));
    let system = inventory.system.as_ref().filter(|_| !has_database())?;
    Some(format!("{} has no database of its packages that can be read here", system.name))
}

fn found(kind: &Kind) -> Option<&Found> {
    match kind {
        Kind::File { found, .. } => found.as_deref(),
        Kind::Folder | Kind::HardLink(_) | Kind::Symlink(_) | Kind::Other | Kind::Gone | Kind::Emptied => {
            None
        }
    }
}

fn is_setuid(kind: &Kind) -> bool {
    matches!(kind, Kind::File { is_setuid: true, .. })
}

/// The caches that are left, the largest first.
fn caches(tree: &Tree<'_>) -> Vec<Cache> {
    let mut sizes: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    // Files of one folder mostly follow one another, and are in the same cache.
    let mut before = ("", None);
    for (path, node) in tree.files() {
        let folder = path.len().saturating_sub(name(path).len());
        let folder = path.get(..folder).unwrap_or_default();
        if before.0 != folder {
            before = (folder, cache(folder));
        }
        if let (Kind::File { size, .. }, Some((of, folder))) = (node.kind, before.1) {
            let bytes = sizes.entry((folder, of)).or_default();
            *bytes = bytes.saturating_add(*size);
        }
    }
    // Locks and the like are there, too, and take nothing.
    let of_some = sizes.into_iter().filter(|(_, bytes)| 0 < *bytes);
    let mut caches: Vec<_> =
        of_some.map(|((folder, of), bytes)| Cache { of, path: folder.to_owned(), bytes }).collect();
    caches.sort_by_key(|cache| std::cmp::Reverse(cache.bytes));
    caches
}

/// Whose cache files of this folder, which ends in `/`, are in, and the folder of that.
fn cache(path: &str) -> Option<(&'static str, &str)> {
    let is_below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    if let Some((of, folder)) = SYSTEM.iter().find(|(_, folder)| is_below(folder)) {
        return Some((of, folder));
    }
    // Each of them has one of these in its name, and most files are in none.
    if !path.contains("cache") && !path.contains("store") {
        return None;
    }
    HOME.iter().find_map(|(of, folder)| {
        let start = path.find(folder)?;
        let end = start.saturating_add(folder.len());
        let is_whole = path.get(..start)?.chars().next_back().is_none_or(|char| char == '/')
            && path.get(end..)?.starts_with('/');
        is_whole.then_some((*of, path.get(..end)?))
    })
}

#[cfg(test)]
mod tests;
