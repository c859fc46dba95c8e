//! `Tree`: the files of an image, as its layers leave them, one over the other.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::layer::{Entry, Kind, Layer, normal};

/// How many links are followed on the way to one file, as on Linux (`path_resolution(7)`).
const HOPS: usize = 40;
/// How much may be done to find out where the paths of one image lead, in bytes of paths that are looked up. Each of millions of paths
/// may lead over forty links, and each link over thousands of folders; real images need a hundredth of that.
const WALKED: usize = 16 * 1024 * 1024 * 1024;
/// What it costs to look up a path, however short it is.
const STEP: usize = 128;

/// The files of an image, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Tree<'layers> {
    nodes: BTreeMap<String, Node<'layers>>,
    walked: Cell<usize>,
}

/// A file of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'layers> {
    /// The layer that brought it, from 0.
    pub(crate) layer: usize,
    pub(crate) kind: &'layers Kind,
}

/// What to do with a link that a path ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Itself,
    Followed,
}

impl<'layers> Tree<'layers> {
    /// What these layers leave, the lowest first (OCI image-spec, layer.md, "Applying Changesets").
    pub(crate) fn of(layers: &[&'layers Layer]) -> Self {
        let mut tree = Self::default();
        for (number, layer) in layers.iter().enumerate() {
            tree.apply(number, layer);
        }
        tree
    }

    /// All that there is, in the order of paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, Node<'layers>)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), *node))
    }

    /// Where a path leads, when the links among its folders are followed; what it names itself is not.
    pub(crate) fn resolve(&self, path: &str) -> String {
        self.walk(path, Last::Itself)
    }

    /// Where a path leads, when it may name a link itself, too.
    pub(crate) fn follow(&self, path: &str) -> String {
        self.walk(path, Last::Followed)
    }

    /// What there is at a path, when links to it are followed.
    pub(crate) fn target(&self, path: &str) -> Option<&'layers Kind> {
        self.nodes.get(&self.follow(path)).map(|node| node.kind)
    }

    /// Whether there is anything in a folder.
    pub(crate) fn has_below(&self, folder: &str) -> bool {
        let first = format!("{folder}/");
        self.nodes.range(first.clone()..).next().is_some_and(|(path, _)| path.starts_with(&first))
    }

    /// Whether so much was asked, and its links lead so far, that some answers are wrong. Then nothing that was found out of it counts.
    pub(crate) fn is_tangled(&self) -> bool {
        WALKED < self.walked.get()
    }

    fn walk(&self, path: &str, last: Last) -> String {
        let mut found = String::new();
        let mut ahead: Vec<String> = normal(path).rsplit('/').map(str::to_owned).collect();
        let mut hops = 0;
        while let Some(part) = ahead.pop() {
            self.walked.set(self.walked.get().saturating_add(found.len()).saturating_add(STEP));
            if self.is_tangled() {
                return found;
            }
            if part == ".." {
                found.truncate(found.rfind('/').unwrap_or(0));
                continue;
            }
            let here = if found.is_empty() { part } else { format!("{found}/{part}") };
            match self.nodes.get(&here).map(|node| node.kind) {
                Some(Kind::Symlink(to)) if (last == Last::Followed || !ahead.is_empty()) && hops < HOPS => {
                    hops += 1;
                    if to.starts_with('/') {
                        found.clear();
                    }
                    let parts = to.split('/').filter(|part| !matches!(*part, "" | ".")).rev();
                    ahead.extend(parts.map(str::to_owned));
                }
                _ => found = here,
            }
        }
        found
    }

    fn apply(&mut self, number: usize, layer: &'layers Layer) {
        // What a layer removes is what layers before it brought, wherever in its tar that is said. Where the path leads is decided by what is
        // there when it is said, as when it is unpacked: a link may come before it, or a folder in the place of one.
        for Entry { path, kind } in &layer.entries {
            let path = self.resolve(path);
            match kind {
                Kind::Gone => {
                    if self.nodes.get(&path).is_some_and(|node| node.layer < number) {
                        self.nodes.remove(&path);
                    }
                    self.hide(&path, number);
                }
                Kind::Emptied => self.hide(&path, number),
                Kind::Folder => {
                    let was = self.nodes.get(&path).map(|node| node.kind);
                    if was.is_some_and(|was| *was != Kind::Folder) {
                        self.nodes.remove(&path);
                    }
                    self.nodes.entry(path).or_insert(Node { layer: number, kind });
                }
                Kind::HardLink(to) => {
                    let target = self.nodes.get(&self.resolve(to)).copied();
                    self.remove(&path);
                    let kind = target.map_or(kind, |target| target.kind);
                    self.nodes.insert(path, Node { layer: number, kind });
                }
                Kind::File { .. } | Kind::Symlink(_) | Kind::Other => {
                    self.remove(&path);
                    self.nodes.insert(path, Node { layer: number, kind });
                }
            }
        }
    }

    /// Takes away what layers before this one brought into a folder.
    fn hide(&mut self, folder: &str, number: usize) {
        let first = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        if self.is_tangled() {
            return;
        }
        let inside = self.nodes.range(first.clone()..).take_while(|(path, _)| path.starts_with(&first));
        let mut seen = 0_usize;
        let old =
            inside.inspect(|_| seen = seen.saturating_add(STEP)).filter(|(_, node)| node.layer < number);
        let old: Vec<String> = old.map(|(path, _)| path.clone()).collect();
        self.walked.set(self.walked.get().saturating_add(seen));
        for path in old {
            self.nodes.remove(&path);
        }
    }

    fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        self.empty(path);
    }

    fn empty(&mut self, folder: &str) {
        let first = format!("{folder}/");
        let inside = self
            .nodes
            .range(first.clone()..)
            .map_while(|(path, _)| path.starts_with(&first).then(|| path.clone()));
        for path in inside.collect::<Vec<_>>() {
            self.nodes.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use shipkit_core::Digest;

    use super::*;

    /// A layer of entries as `path`, `path/`, `path -> to`, `path = to`, `path gone` and `path/ emptied`.
    fn layer(entries: &[&str]) -> Layer {
        let entry = |text: &&str| {
            let (path, kind) = if let Some((path, to)) = text.split_once(" -> ") {
                (path, Kind::Symlink(to.into()))
            } else if let Some((path, to)) = text.split_once(" = ") {
                (path, Kind::HardLink(to.into()))
            } else if let Some(path) = text.strip_suffix(" gone") {
                (path, Kind::Gone)
            } else if let Some(path) = text.strip_suffix("/ emptied") {
                (path, Kind::Emptied)
            } else if let Some(path) = text.strip_suffix('/') {
                (path, Kind::Folder)
            } else {
                (*text, Kind::File { size: 0, is_setuid: false, found: None })
            };
            Entry { path: path.into(), kind }
        };
        Layer { entries: entries.iter().map(entry).collect(), diff_id: Digest::of(b""), unpacked: 0 }
    }

    /// The files that are left, each with its layer.
    #[track_caller]
    fn check(layers: &[&[&str]], expected: &[&str]) {
        let layers: Vec<_> = layers.iter().map(|entries| layer(entries)).collect();
        let layers: Vec<&Layer> = layers.iter().collect();
        let tree = Tree::of(&layers);
        let is_file = |(path, node): (&str, Node<'_>)| {
            matches!(node.kind, Kind::File { .. }).then(|| format!("{path} {}", node.layer))
        };
        assert_eq!(tree.files().filter_map(is_file).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_later_layer_replaces_adds_and_removes() {
        check(&[&["a/", "a/x", "a/y", "b"], &["a/x", "c", "a/y gone"]], &["a/x 1", "b 0", "c 1"]);
        check(&[&["a/", "a/x", "ab"], &["a gone"]], &["ab 0"]);
    }

    #[test]
    fn a_folder_that_is_emptied_keeps_what_its_own_layer_brings_wherever_that_is_said() {
        check(&[&["a/x", "a/b/y"], &["a/z", "a/ emptied"]], &["a/z 1"]);
        check(&[&["x"], &["y", "/ emptied"]], &["y 1"]);
        check(&[&["a/x"], &["a/x", "a/x gone"]], &["a/x 1"]);
        check(&[&["a/x"], &["a/y", "a gone"]], &["a/y 1"]);
        // A link of its own layer leads on, and one that it replaces does not.
        check(&[&["a/x"], &["l -> a", "l/x gone"]], &[]);
        check(&[&["a/x", "l -> a"], &["l/", "l/x gone"]], &["a/x 0"]);
    }

    #[test]
    fn a_file_in_place_of_a_folder_and_a_folder_in_place_of_a_file() {
        check(&[&["a/", "a/x"], &["a"]], &["a 1"]);
        check(&[&["a"], &["a/", "a/x"]], &["a/x 1"]);
        check(&[&["a/", "a/x"], &["a/"]], &["a/x 0"]);
        check(&[&["a/", "a/x"], &["a -> b"]], &[]);
    }

    #[test]
    fn links_among_folders_are_followed() {
        check(&[&["usr/lib/", "lib -> usr/lib"], &["lib/x"], &["usr/lib/x gone"]], &[]);
        check(&[&["usr/lib/", "lib -> /usr/lib"], &["lib/x"]], &["usr/lib/x 1"]);
        check(&[&["a/b/", "a/c -> ../d", "d/x"], &["a/c/x"]], &["d/x 1"]);
        // Into itself, and out of the root.
        check(&[&["a -> a", "b -> ../../b"], &["a/x", "b/y"]], &["a/x 1", "b/y 1"]);
    }

    #[test]
    fn a_link_at_the_end_is_followed_where_that_is_asked_for() {
        let layer = layer(&["a -> b/c", "b/c -> ../d", "d/x", "e -> e"]);
        let tree = Tree::of(&[&layer]);
        assert_eq!((tree.resolve("a"), tree.follow("a")), ("a".to_owned(), "d".to_owned()));
        assert_eq!((tree.resolve("a/x"), tree.follow("a/x")), ("d/x".to_owned(), "d/x".to_owned()));
        assert_eq!((tree.follow("e"), tree.target("e/x")), ("e".to_owned(), None));
        assert!(matches!(tree.target("a/x"), Some(Kind::File { .. })));
    }

    #[test]
    fn a_hard_link_is_the_file_that_it_names_in_its_own_layer_or_below() {
        check(&[&["a", "b = a"], &["c = b", "a gone"]], &["b 0", "c 1"]);
        check(&[&["b = nowhere"]], &[]);
    }
}
