//! `Tree`: the files of an image, as its layers leave them, one over the other.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::layer::{Entry, Kind, Layer, normal};

/// How many links are followed on the way to one file, as on Linux (`path_resolution(7)`).
const HOPS: usize = 40;
/// Where all paths begin.
const ROOT: u32 = 0;
/// How much may be done to find out where the paths of one image lead, in bytes of names that are looked up. Each of millions of paths
/// may lead over forty links, and each link over thousands of folders; paths of real images are short.
const WALKED: usize = 4 * 1024 * 1024 * 1024;
/// What it costs to look up a name, however short it is.
const STEP: usize = 128;

/// The files of an image, folder by folder.
#[derive(Debug)]
pub(crate) struct Tree<'layers> {
    /// By their numbers; what is removed keeps its number and is found no more.
    places: Vec<Place<'layers>>,
    /// By the folder that they are in and their names there.
    names: HashMap<(u32, &'layers str), u32>,
    /// What it has cost so far.
    walked: AtomicUsize,
}

/// A file of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'layers> {
    /// The layer that brought it, from 0.
    pub(crate) layer: usize,
    pub(crate) kind: &'layers Kind,
}

/// Where a file may be. Folders need no entry of their own.
#[derive(Debug)]
struct Place<'layers> {
    folder: u32,
    name: &'layers str,
    here: Option<(Cow<'layers, str>, Node<'layers>)>,
    /// What is in it: the one that came last, and before each the one that came earlier.
    inside: Option<u32>,
    earlier: Option<u32>,
}

/// What to do with a link that a path ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Itself,
    Followed,
}

/// What of a place is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    WithItself,
    Inside,
}

/// Where a path leads: to a place, and from there on to what is not there.
struct Walked<'path> {
    place: u32,
    missing: Vec<&'path str>,
    is_by_link: bool,
}

/// The folder in which the entry before this one is: most are in the same.
#[derive(Clone, Copy)]
struct Before<'layers> {
    folder: &'layers str,
    place: u32,
    is_by_link: bool,
}

impl<'layers> Tree<'layers> {
    /// What these layers leave, the lowest first (OCI image-spec, layer.md, "Applying Changesets").
    pub(crate) fn of(layers: &[&'layers Layer]) -> Self {
        let root = Place { folder: ROOT, name: "", here: None, inside: None, earlier: None };
        let count = layers.iter().map(|layer| layer.entries.len()).sum();
        let mut tree = Self {
            places: Vec::with_capacity(count),
            names: HashMap::with_capacity(count),
            walked: AtomicUsize::default(),
        };
        tree.places.push(root);
        for (number, layer) in layers.iter().enumerate() {
            tree.apply(number, layer);
        }
        tree
    }

    /// All that there is, in no order.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, Node<'layers>)> {
        self.places.iter().filter_map(|place| place.here.as_ref()).map(|(path, node)| (&**path, *node))
    }

    /// Where a path leads, when the links among its folders are followed; what it names itself is not.
    pub(crate) fn resolve(&self, path: &str) -> String {
        self.text(&self.walk(&normal(path), Last::Itself))
    }

    /// Where a path leads, when it may name a link itself, too.
    pub(crate) fn follow(&self, path: &str) -> String {
        self.text(&self.walk(&normal(path), Last::Followed))
    }

    /// What there is at a path, when links to it are followed.
    pub(crate) fn target(&self, path: &str) -> Option<&'layers Kind> {
        self.kind(&self.walk(&normal(path), Last::Followed))
    }

    /// Whether there is anything in a folder.
    pub(crate) fn has_below(&self, folder: &str) -> bool {
        let mut place = ROOT;
        for name in folder.split('/') {
            let Some(inside) = self.names.get(&(place, name)) else { return false };
            place = *inside;
        }
        let mut ahead: Vec<u32> = self.inside(place).collect();
        while let Some(place) = ahead.pop() {
            if self.place(place).is_some_and(|place| place.here.is_some()) {
                return true;
            }
            ahead.extend(self.inside(place));
        }
        false
    }

    /// Whether so much was asked, and its links lead so far, that some answers are wrong. Then nothing that was found out of it counts.
    pub(crate) fn is_tangled(&self) -> bool {
        WALKED < self.walked.load(Ordering::Relaxed)
    }

    /// Counts what was done; more than one may ask at the same time.
    fn count(&self, cost: usize) {
        self.walked.fetch_add(cost, Ordering::Relaxed);
    }

    fn place(&self, number: u32) -> Option<&Place<'layers>> {
        self.places.get(usize::try_from(number).ok()?)
    }

    fn place_mut(&mut self, number: u32) -> Option<&mut Place<'layers>> {
        self.places.get_mut(usize::try_from(number).ok()?)
    }

    fn inside(&self, folder: u32) -> impl Iterator<Item = u32> {
        let last = self.place(folder).and_then(|place| place.inside);
        std::iter::successors(last, |number| self.place(*number)?.earlier)
    }

    /// What is at the end of the way, if that is there.
    fn kind(&self, walked: &Walked<'_>) -> Option<&'layers Kind> {
        if !walked.missing.is_empty() {
            return None;
        }
        self.place(walked.place)?.here.as_ref().map(|(_, node)| node.kind)
    }

    fn text(&self, walked: &Walked<'_>) -> String {
        let mut parts: Vec<&str> = walked.missing.iter().rev().copied().collect();
        let mut number = walked.place;
        while let Some(place) = self.place(number).filter(|_| number != ROOT) {
            parts.push(place.name);
            number = place.folder;
        }
        parts.reverse();
        parts.join("/")
    }

    /// Goes a path that is normal.
    fn walk<'path>(&self, path: &'path str, last: Last) -> Walked<'path>
    where
        'layers: 'path,
    {
        let mut walked = Walked { place: ROOT, missing: Vec::new(), is_by_link: false };
        let mut ahead: Vec<&'path str> = path.rsplit('/').filter(|part| !part.is_empty()).collect();
        let mut hops = 0;
        while let Some(part) = ahead.pop() {
            self.count(part.len().saturating_add(STEP));
            if self.is_tangled() {
                return walked;
            }
            if part == ".." {
                if walked.missing.pop().is_none() {
                    walked.place = self.place(walked.place).map_or(ROOT, |place| place.folder);
                }
                continue;
            }
            let inside = self.names.get(&(walked.place, part)).filter(|_| walked.missing.is_empty());
            let Some(inside) = inside.copied() else {
                walked.missing.push(part);
                continue;
            };
            match self.place(inside).and_then(|place| place.here.as_ref()).map(|(_, node)| node.kind) {
                Some(Kind::Symlink(to)) if (last == Last::Followed || !ahead.is_empty()) && hops < HOPS => {
                    hops += 1;
                    walked.is_by_link = true;
                    if to.starts_with('/') {
                        walked.place = ROOT;
                    }
                    ahead.extend(to.split('/').filter(|part| !matches!(*part, "" | ".")).rev());
                }
                _ => walked.place = inside,
            }
        }
        walked
    }

    fn apply(&mut self, number: usize, layer: &'layers Layer) {
        // What a layer removes is what layers before it brought, wherever in its tar that is said. Where the path leads is decided by what is
        // there when it is said, as when it is unpacked: a link may come before it, or a folder in the place of one.
        let mut before = None;
        for Entry { path, kind } in &layer.entries {
            match kind {
                Kind::Gone => {
                    self.take_away(path, number, Whole::WithItself);
                    before = None;
                }
                Kind::Emptied => {
                    self.take_away(path, number, Whole::Inside);
                    before = None;
                }
                Kind::File { .. } | Kind::Folder | Kind::HardLink(_) | Kind::Symlink(_) | Kind::Other => {
                    self.put(path, Node { layer: number, kind }, &mut before);
                }
            }
        }
    }

    /// Takes away what layers before this one brought to where a path leads.
    fn take_away(&mut self, path: &str, number: usize, whole: Whole) {
        let path = normal(path);
        let Walked { place, missing, .. } = self.walk(&path, Last::Itself);
        if !missing.is_empty() {
            return;
        }
        let mut ahead: Vec<u32> = match whole {
            Whole::WithItself => vec![place],
            Whole::Inside => self.inside(place).collect(),
        };
        while let Some(place) = ahead.pop() {
            ahead.extend(self.inside(place));
            if let Some(place) = self.place_mut(place)
                && place.here.as_ref().is_some_and(|(_, node)| node.layer < number)
            {
                place.here = None;
            }
            self.count(STEP);
            if self.is_tangled() {
                return;
            }
        }
    }

    /// Puts an entry where its path leads.
    fn put(&mut self, path: &'layers str, node: Node<'layers>, before: &mut Option<Before<'layers>>) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let at = match *before {
            Some(at) if at.folder == folder => at,
            Some(_) | None => self.folder(folder),
        };
        *before = Some(at);
        let number = self.child(at.place, name);
        let was = self.place(number).and_then(|place| Some(place.here.as_ref()?.1.kind));
        if *node.kind == Kind::Folder && was == Some(&Kind::Folder) {
            return;
        }
        let kind = match node.kind {
            Kind::HardLink(to) => self.kind(&self.walk(to, Last::Itself)).unwrap_or(node.kind),
            Kind::File { .. }
            | Kind::Folder
            | Kind::Symlink(_)
            | Kind::Other
            | Kind::Gone
            | Kind::Emptied => node.kind,
        };
        if *node.kind != Kind::Folder {
            self.empty(number);
        }
        // Ways may lead elsewhere from here on.
        if was.is_some() || matches!(kind, Kind::Symlink(_)) {
            *before = None;
        }
        let own = if at.is_by_link {
            Cow::Owned(self.text(&Walked { place: number, missing: Vec::new(), is_by_link: true }))
        } else {
            Cow::Borrowed(path)
        };
        if let Some(place) = self.place_mut(number) {
            place.here = Some((own, Node { kind, ..node }));
        }
    }

    /// The folder to which a path leads; where it is not there, it is made.
    fn folder(&mut self, folder: &'layers str) -> Before<'layers> {
        let Walked { mut place, missing, is_by_link } = self.walk(folder, Last::Followed);
        for name in missing {
            place = self.child(place, name);
        }
        Before { folder, place, is_by_link }
    }

    fn child(&mut self, folder: u32, name: &'layers str) -> u32 {
        // There are never so many: a layer has only so many entries, and their paths only so many bytes.
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        match self.names.entry((folder, name)) {
            Occupied(there) => return *there.get(),
            Vacant(free) => free.insert(number),
        };
        let earlier = self.place(folder).and_then(|place| place.inside);
        self.places.push(Place { folder, name, here: None, inside: None, earlier });
        if let Some(folder) = self.place_mut(folder) {
            folder.inside = Some(number);
        }
        number
    }

    fn empty(&mut self, folder: u32) {
        if self.place(folder).is_none_or(|place| place.inside.is_none()) {
            return;
        }
        let mut ahead = vec![folder];
        while let Some(folder) = ahead.pop() {
            let inside: Vec<u32> = self.inside(folder).collect();
            if let Some(place) = self.place_mut(folder) {
                place.inside = None;
            }
            for number in &inside {
                let Some(place) = self.place_mut(*number) else { continue };
                let name = place.name;
                place.here = None;
                self.names.remove(&(folder, name));
            }
            ahead.extend(inside);
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
        let mut found: Vec<_> = tree.files().filter_map(is_file).collect();
        found.sort();
        assert_eq!(found, expected);
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
