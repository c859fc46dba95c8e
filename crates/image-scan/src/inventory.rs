//! `Inventory`: the packages of an image, each with the layer that brought it.

mod crates;
mod database;
mod java;
mod language;
mod modules;
mod program;
mod stored;
mod system;
mod weight;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Read};

use modules::Modules;
use serde::{Deserialize, Serialize};
use shipkit_core::leak::SecretFile;
pub(crate) use system::System;

use crate::layer::{Kind, Layer};
use crate::support::{Product, Support};
use crate::tree::{Node, Tree};

/// The most that is read of one file.
const FILE: u64 = 16 * 1024 * 1024;
/// How it is told that a file is larger.
const LARGE: &str = "it is larger than";
/// The most that is read of a file that may hold a secret: those that people write are short.
const SECRET: u64 = 1024 * 1024;
/// The longest name of a package, and the longest version.
const NAME: usize = 512;
/// Of this mode somebody may run a file.
const RUNS: u32 = 0o111;

/// A file of the library of Python that is in each of its versions.
const LIBRARY: &str = "os.py";
/// Where RPM has its database, in any of its forms.
pub(crate) const RPM: [&str; 2] = ["var/lib/rpm", "usr/lib/sysimage/rpm"];

/// The packages of an image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// Which distribution it is; none in an image that has none.
    pub(crate) system: Option<System>,
    /// In the order of their names.
    pub(crate) packages: Vec<Package>,
    /// How many packages of languages belong to packages of the distribution, and are counted as those.
    pub(crate) owned: usize,
    /// What should have been read and could not be: then packages may be missing.
    pub(crate) doubts: Vec<String>,
    /// Until when there are fixes for the distribution, and for runtimes that are not of it.
    pub(crate) support: Vec<Support>,
}

/// A package of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Package {
    /// As OSV names it: `Debian:12`, `Alpine:v3.21`, `npm`, `PyPI`, `Go`, `crates.io`, `Maven`, `node`.
    pub(crate) ecosystem: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Of a distribution: the name and version of what it was built from, by which advisories go.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) source: Option<(String, String)>,
    /// The layer that brought it in this version, from 0.
    pub(crate) layer: usize,
    /// The file that says so.
    pub(crate) path: String,
    /// It is used only by those who work on the project, and its tests; known only of lock files.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(crate) is_dev: bool,
}

/// A package as one file tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    name: Box<str>,
    version: Box<str>,
    source: Option<(Box<str>, Box<str>)>,
}

/// What a file says that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    System(System),
    Dpkg(Vec<Installed>),
    /// The files of one package of dpkg.
    Files(Vec<Box<str>>),
    Apk(Vec<Installed>, Vec<Box<str>>),
    /// One package of a language or more, by the name of its ecosystem.
    Language(&'static str, Vec<Installed>),
    /// Artifacts of Maven.
    Java(java::Archive),
    /// It holds a secret, of this kind.
    Secret(&'static str),
    /// Why it cannot be understood.
    Unreadable(String),
}

/// What a file is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    System,
    Dpkg,
    DpkgFiles,
    Apk,
    Npm,
    Python,
    Node,
    Java,
    /// It may hold a secret, and is no package.
    Secret(SecretFile),
    /// It may be a program that names what it was built from.
    Program,
}

impl Installed {
    fn new(name: impl Into<Box<str>>, version: impl Into<Box<str>>) -> Result<Self, String> {
        let (name, version) = (name.into(), version.into());
        if name.is_empty() || version.is_empty() || NAME < name.len() || NAME < version.len() {
            return Err(format!("`{name:.80}` in version `{version:.80}` is no package"));
        }
        Ok(Self { name, version, source: None })
    }

    fn built_from(self, name: impl Into<Box<str>>, version: impl Into<Box<str>>) -> Result<Self, String> {
        let source = Self::new(name, version)?;
        Ok(Self { source: Some((source.name, source.version)), ..self })
    }
}

impl Wanted {
    /// By its path from the root and its mode.
    pub(crate) fn of(path: &str, mode: u32) -> Option<Self> {
        let secret = || SecretFile::of(path).map(Self::Secret);
        Self::installed(path).or_else(secret).or_else(|| (mode & RUNS != 0).then_some(Self::Program))
    }

    /// By its path alone, if it says what is installed.
    fn installed(path: &str) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let of_folder = folder.rsplit('/').next().unwrap_or_default();
        match (folder, name) {
            ("etc" | "usr/lib", "os-release") => Some(Self::System),
            ("var/lib/dpkg", "status") => Some(Self::Dpkg),
            ("var/lib/dpkg/status.d", name) if !has_extension(name, "md5sums") => Some(Self::Dpkg),
            ("var/lib/dpkg/info", name) if has_extension(name, "list") => Some(Self::DpkgFiles),
            ("lib/apk/db" | "usr/lib/apk/db", "installed") => Some(Self::Apk),
            // Which of them are packages is known only when links are.
            (_, "package.json") => Some(Self::Npm),
            (_, "METADATA") if has_extension(of_folder, "dist-info") => Some(Self::Python),
            (_, "PKG-INFO") if has_extension(of_folder, "egg-info") => Some(Self::Python),
            (_, name) if has_extension(name, "egg-info") => Some(Self::Python),
            (_, "node_version.h") if folder.ends_with("include/node") => Some(Self::Node),
            // It belongs to each runtime of Java itself.
            (_, "jrt-fs.jar") => None,
            _ if java::is_archive(path) => Some(Self::Java),
            _ => None,
        }
    }

    /// What the file says; nothing where it is not what its path says.
    ///
    /// # Errors
    /// When it cannot be read: then the layer cannot.
    pub(crate) fn read(self, mut file: impl Read, size: u64) -> io::Result<Option<Found>> {
        if self == Self::Program {
            let mut head = Vec::new();
            (&mut file).take(4).read_to_end(&mut head)?;
            return if head == b"\x7fELF" { program::read(file) } else { Ok(None) };
        }
        if self == Self::Java {
            return java::read(file, size).map(|archive| Some(Found::Java(archive)));
        }
        if let Self::Secret(secret) = self {
            let mut bytes = Vec::new();
            file.take(SECRET).read_to_end(&mut bytes)?;
            let is_one = secret.holds(&String::from_utf8_lossy(&bytes));
            return Ok(is_one.then(|| Found::Secret(secret.what())));
        }
        if FILE < size {
            return Ok(Some(Found::Unreadable(format!("{LARGE} {FILE} bytes"))));
        }
        let mut bytes = Vec::new();
        file.take(FILE).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let one = |ecosystem| move |package| Found::Language(ecosystem, vec![package]);
        let found = match self {
            Self::System => System::read(&text).map(Found::System),
            Self::Dpkg => database::dpkg(&text).map(Found::Dpkg),
            Self::DpkgFiles => {
                Ok(Found::Files(text.lines().map(|line| line.trim_start_matches('/').into()).collect()))
            }
            Self::Apk => database::apk(&text).map(|(packages, files)| Found::Apk(packages, files)),
            Self::Npm => language::npm(&bytes).map(one("npm")),
            Self::Python => language::python(&text).map(one("PyPI")),
            Self::Node => {
                system::node(&text).and_then(|version| Installed::new("node", version)).map(one("node"))
            }
            Self::Java | Self::Program | Self::Secret(_) => return Ok(None),
        };
        Ok(Some(found.unwrap_or_else(Found::Unreadable)))
    }
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.strip_suffix(extension).is_some_and(|rest| rest.ends_with('.'))
}

impl Inventory {
    /// What these layers bring, the lowest first, of which the tree is.
    pub(crate) fn of(layers: &[&Layer], tree: &Tree<'_>) -> Self {
        let found: BTreeMap<&str, (usize, &Found)> =
            tree.files().filter_map(|(path, node)| Some((path, found(node)?))).collect();
        // The one in `etc` is often a link to the other.
        let systems = ["etc/os-release", "usr/lib/os-release"].into_iter().filter_map(|path| found.get(path));
        let system = systems.into_iter().find_map(|(_, found)| match found {
            Found::System(system) => Some(system.clone()),
            Found::Dpkg(_)
            | Found::Files(_)
            | Found::Apk(..)
            | Found::Language(..)
            | Found::Java(_)
            | Found::Secret(_)
            | Found::Unreadable(_) => None,
        });
        let mut inventory =
            Self { system, packages: Vec::new(), owned: 0, doubts: Vec::new(), support: Vec::new() };
        let modules = Modules::of(tree);
        let is_wanted = |path: &str| is_wanted(path, &modules);
        let wanted = tree.files().filter(|(path, _)| is_wanted(path));
        inventory.doubts.extend(wanted.filter_map(|(path, node)| not_read(path, node.kind, tree)));
        inventory.take_databases(&found, layers);
        if RPM.iter().any(|folder| tree.has_below(folder)) {
            inventory
                .doubts
                .push("there is a database of RPM, and its packages cannot be read here".to_owned());
        }
        let owned = owned(&found, tree);
        let mut of_languages = found;
        of_languages.retain(|path, _| !is_manifest(path) || modules.describes(path));
        inventory.take_languages(&of_languages, &owned);
        inventory.take_support(tree, &owned);
        inventory.packages.sort();
        inventory.packages.dedup();
        inventory
    }

    /// How many packages there are of each ecosystem.
    pub(crate) fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for package in &self.packages {
            *counts.entry(package.ecosystem.as_str()).or_default() += 1;
        }
        counts
    }

    fn take_databases(&mut self, all: &BTreeMap<&str, (usize, &Found)>, layers: &[&Layer]) {
        let mut has_database = false;
        let ecosystem = self.system.as_ref().and_then(System::ecosystem);
        for (path, (layer, found)) in all {
            let (Found::Dpkg(packages) | Found::Apk(packages, _)) = found else { continue };
            has_database |= !packages.is_empty();
            let Some(ecosystem) = ecosystem.as_ref().filter(|_| !packages.is_empty()) else { continue };
            let before = earlier(path, *layer, layers);
            for installed in packages {
                let package = Package::of(ecosystem, installed, path, *layer);
                self.packages.push(Package { layer: since(installed, *layer, &before), ..package });
            }
        }
        match &self.system {
            Some(system) if ecosystem.is_none() => {
                self.doubts.push(format!("packages of {} are not known here", system.name));
            }
            Some(system) if !has_database => {
                self.doubts.push(format!("{} has no database of its packages", system.name));
            }
            None if has_database => {
                self.doubts.push(
                    "there is a database of packages, and nothing says of which distribution".to_owned(),
                );
            }
            None if all.values().any(|(_, found)| matches!(found, Found::Files(_))) => {
                self.doubts.push("there are lists of files of packages, and no database of these".to_owned());
            }
            Some(_) | None => {}
        }
    }

    fn take_support(&mut self, tree: &Tree<'_>, owned: &BTreeSet<String>) {
        let of_system = self.system.as_ref().map(|system| {
            let (product, what) = (Product::of_system(&system.id), system.name.clone());
            product.map_or(Support { what: what.clone(), until: None }, |product| {
                product.support(&system.version, what)
            })
        });
        let node = self.packages.iter().filter(|package| package.ecosystem == "node");
        let node = node.map(|package| (Product::Node, "Node.js", package.version.as_str()));
        let library = tree.files().filter(|(path, _)| !owned.contains(*path));
        let python = library.filter_map(|(path, _)| {
            let (_, version) = path.strip_suffix(LIBRARY)?.strip_suffix('/')?.rsplit_once("lib/python")?;
            version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then_some(version)
        });
        let python = python.map(|version| (Product::Python, "Python", version));
        let runtimes = node.chain(python).map(|(product, name, version)| {
            product.support(version, format!("{name} {}", product.branch(version)))
        });
        self.support = of_system.into_iter().chain(runtimes).collect();
        self.support.sort();
        self.support.dedup();
    }

    fn take_languages(&mut self, all: &BTreeMap<&str, (usize, &Found)>, owned: &BTreeSet<String>) {
        let (mut unnamed, mut first) = (0, None);
        for (path, (layer, found)) in all {
            match found {
                Found::Language(..) | Found::Java(_) if owned.contains(*path) => self.owned += 1,
                Found::Language(ecosystem, packages) => {
                    self.packages
                        .extend(packages.iter().map(|one| Package::of(ecosystem, one, path, *layer)));
                }
                Found::Java(java::Archive { packages, unnamed: count, unread }) => {
                    self.packages.extend(packages.iter().map(|one| Package::of("Maven", one, path, *layer)));
                    let unread = unread.iter().map(|why| format!("`{path}` cannot be read: {why}"));
                    self.doubts.extend(unread);
                    unnamed += count;
                    first = first.or((0 < *count).then_some(path));
                }
                // A folder of modules may hold what is none, as for tests: nobody can load that either. What is too large for us one can load.
                Found::Unreadable(why) if path.ends_with("/package.json") && !why.starts_with(LARGE) => {}
                Found::Unreadable(why) => self.doubts.push(format!("`{path}` cannot be read: {why}")),
                Found::System(_) | Found::Dpkg(_) | Found::Files(_) | Found::Apk(..) | Found::Secret(_) => {}
            }
        }
        if let Some(first) = first {
            self.doubts
                .push(format!("{unnamed} archives of Java do not say what they are, such as in `{first}`"));
        }
    }
}

impl Package {
    fn of(ecosystem: &str, installed: &Installed, path: &str, layer: usize) -> Self {
        let Installed { name, version, source } = installed;
        let source = source.as_ref().map(|(name, version)| (name.to_string(), version.to_string()));
        let (ecosystem, path) = (ecosystem.to_owned(), path.to_owned());
        Self {
            ecosystem,
            name: name.to_string(),
            version: version.to_string(),
            source,
            layer,
            path,
            is_dev: false,
        }
    }
}

fn found(node: Node<'_>) -> Option<(usize, &Found)> {
    let Kind::File { found: Some(found), .. } = node.kind else { return None };
    Some((node.layer, found))
}

/// Whether a file says what is installed, by where it is.
fn is_wanted(path: &str, modules: &Modules) -> bool {
    Wanted::installed(path).is_some_and(|wanted| wanted != Wanted::Npm || modules.describes(path))
}

fn is_manifest(path: &str) -> bool {
    path == "package.json" || path.ends_with("/package.json")
}

/// Why nothing is known of a file that is looked for: all of them are read, but for a link to one that by its own path is none.
fn not_read(path: &str, kind: &Kind, tree: &Tree<'_>) -> Option<String> {
    let (link, target) = match kind {
        Kind::Symlink(_) => ("link", tree.target(path)),
        Kind::HardLink(_) | Kind::File { .. } => ("hard link", Some(kind)),
        Kind::Folder | Kind::Other | Kind::Gone | Kind::Emptied => return None,
    };
    let is_unread = matches!(target, Some(Kind::File { found: None, .. } | Kind::HardLink(_)));
    is_unread.then(|| format!("`{path}` is a {link} to a file that was not read"))
}

/// What packages of languages and runtimes are told by, where packages of the distribution brought it.
fn owned(all: &BTreeMap<&str, (usize, &Found)>, tree: &Tree<'_>) -> BTreeSet<String> {
    let told_by = all.iter().filter(|(_, (_, found))| matches!(found, Found::Language(..) | Found::Java(_)));
    let names = told_by.map(|(path, _)| name(path)).chain([LIBRARY]).collect();
    brought(all.values().map(|(_, found)| *found), &names, tree)
}

/// Those of the files that packages of the distribution brought, by what was found of these, that have one of these names, where links among
/// folders lead: to find that out of all of them would take long.
pub(crate) fn brought<'a>(
    found: impl Iterator<Item = &'a Found>,
    names: &HashSet<&str>,
    tree: &Tree<'_>,
) -> BTreeSet<String> {
    let lists = found.filter_map(|found| match found {
        Found::Files(files) | Found::Apk(_, files) => Some(files),
        Found::System(_)
        | Found::Dpkg(_)
        | Found::Language(..)
        | Found::Java(_)
        | Found::Secret(_)
        | Found::Unreadable(_) => None,
    });
    lists.flatten().filter(|path| names.contains(name(path))).map(|path| tree.resolve(path)).collect()
}

/// The last part of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The same database in the layers below, the nearest first.
fn earlier<'layers>(
    path: &str,
    layer: usize,
    layers: &[&'layers Layer],
) -> Vec<(usize, BTreeSet<(&'layers str, &'layers str)>)> {
    let of_layer = |(number, layer): (usize, &&'layers Layer)| {
        let entry = layer.entries.iter().rev().find(|entry| &*entry.path == path)?;
        let Kind::File { found: Some(found), .. } = &entry.kind else { return None };
        let (Found::Dpkg(packages) | Found::Apk(packages, _)) = &**found else { return None };
        Some((number, packages.iter().map(|one| (&*one.name, &*one.version)).collect()))
    };
    layers.iter().enumerate().take(layer).rev().filter_map(of_layer).collect()
}

/// The first layer since which a package has been there in this version.
fn since(installed: &Installed, layer: usize, before: &[(usize, BTreeSet<(&str, &str)>)]) -> usize {
    let is_there = |there: &BTreeSet<(&str, &str)>| there.contains(&(&*installed.name, &*installed.version));
    before.iter().take_while(|(_, there)| is_there(there)).last().map_or(layer, |(number, _)| *number)
}

#[cfg(test)]
mod tests;
