//! `Locks`: the packages that the lock files of a checkout name.

mod cargo;
mod go;
mod gradle;
mod manifest;
mod npm;
mod pnpm;
mod python;
mod requirements;
mod walk;
mod yaml;
mod yarn;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use manifest::Family;
use shipkit_core::Digest;
use shipkit_core::exit::ExitCode;
use shipkit_core::hint::Hint;

use crate::inventory::{Inventory, Package};

/// The largest file that is read.
const FILE: u64 = 64 * 1024 * 1024;
/// The longest name of a package, and the longest version.
const NAME: usize = 512;

// What is left out, because it is no package of a registry that advisories are about.
const MEMBER: &str = "members of workspaces";
const LOCAL: &str = "links, files and folders";
const GIT: &str = "from git or an address";
const OTHER: &str = "of other registries";

/// What the lock files of a folder say together.
#[derive(Debug)]
pub(crate) struct Locks {
    /// Their packages, and what of them cannot be told.
    pub(crate) inventory: Inventory,
    /// How many packages are left out, by what they are.
    pub(crate) left_out: BTreeMap<&'static str, usize>,
    /// The files, from the folder.
    pub(crate) files: Vec<String>,
    /// Of the names and contents of the files.
    pub(crate) digest: Digest,
}

/// Why there is nothing to judge.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocksError {
    /// It is no folder, or there is none.
    #[error("`{}` is no folder that can be read", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// Something in it cannot be read.
    #[error("`{}` cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// More than any checkout has.
    #[error("`{}` has {what}", .folder.display())]
    Large {
        /// Where.
        folder: PathBuf,
        /// Too much of what.
        what: &'static str,
    },
    /// There are dependencies, and nothing says which versions of them.
    #[error("`{}` has no lock file that can be read: {why}", .folder.display())]
    NoLock {
        /// Where.
        folder: PathBuf,
        /// What lacks one.
        why: String,
    },
    /// There is nothing to judge, and most likely another folder was meant.
    #[error("`{}` has neither a lock file nor anything that would need one", .0.display())]
    Nothing(PathBuf),
}

impl Hint for LocksError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Folder(..) | Self::Nothing(_) => Some("give the folder of a checkout".to_owned()),
            Self::NoLock { .. } => Some(
                "write the lock file and commit it, or judge a bill of materials (`from-sbom`)".to_owned(),
            ),
            Self::Read(..) | Self::Large { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Folder(..) | Self::Nothing(_) => ExitCode::Usage,
            Self::Read(..) | Self::Large { .. } | Self::NoLock { .. } => ExitCode::Unknown,
        }
    }
}

/// The name with its scope, and what follows a mark: `@a/b@1.0.0`.
fn after_scope(text: &str, mark: char) -> Option<(&str, &str)> {
    let begin = usize::from(text.starts_with('@'));
    let at = text.get(begin..)?.find(mark)? + begin;
    Some((text.get(..at)?, text.get(at + mark.len_utf8()..)?))
}

/// What one lock file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lock {
    packages: Vec<Locked>,
    left_out: BTreeMap<&'static str, usize>,
    doubts: Vec<String>,
}

/// A package in a version, of a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Locked {
    ecosystem: &'static str,
    name: String,
    version: String,
    /// It is used only by those who work on the project, and its tests.
    is_dev: bool,
}

impl Lock {
    /// A package; one without a name or a version is a doubt.
    fn take(&mut self, ecosystem: &'static str, name: &str, version: &str, is_dev: bool) {
        if name.is_empty() || version.is_empty() || NAME < name.len() || NAME < version.len() {
            return self.doubt(format!("`{name:.80}` in version `{version:.80}` is no package"));
        }
        let (name, version) = (name.to_owned(), version.to_owned());
        self.packages.push(Locked { ecosystem, name, version, is_dev });
    }

    fn leave_out(&mut self, what: &'static str) {
        *self.left_out.entry(what).or_default() += 1;
    }

    fn doubt(&mut self, doubt: String) {
        self.doubts.push(doubt);
    }
}

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Npm,
    Yarn,
    Pnpm,
    Requirements,
    PythonToml,
    Pipfile,
    Cargo,
    Go,
    Gradle,
    /// A lock file that nobody here can read.
    Foreign,
    /// What names dependencies, and not which versions of them are used.
    Manifest(Family),
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        match name {
            "package-lock.json" | "npm-shrinkwrap.json" => Some(Self::Npm),
            "yarn.lock" => Some(Self::Yarn),
            "pnpm-lock.yaml" => Some(Self::Pnpm),
            "poetry.lock" | "uv.lock" | "pdm.lock" | "pylock.toml" => Some(Self::PythonToml),
            "Pipfile.lock" => Some(Self::Pipfile),
            "Cargo.lock" => Some(Self::Cargo),
            "go.mod" => Some(Self::Go),
            "gradle.lockfile" | "buildscript-gradle.lockfile" => Some(Self::Gradle),
            "Gemfile.lock" | "composer.lock" | "packages.lock.json" | "bun.lock" | "bun.lockb"
            | "deno.lock" | "mix.lock" | "pubspec.lock" | "Podfile.lock" | "Package.resolved" => {
                Some(Self::Foreign)
            }
            _ if is_requirements(name) => Some(Self::Requirements),
            _ => Family::of_manifest(name).map(Self::Manifest),
        }
    }

    /// What a lock file is the lock of.
    fn family(self) -> Option<Family> {
        match self {
            Self::Npm | Self::Yarn | Self::Pnpm => Some(Family::Npm),
            Self::Requirements | Self::PythonToml | Self::Pipfile => Some(Family::Python),
            Self::Cargo => Some(Family::Rust),
            Self::Gradle => Some(Family::Gradle),
            Self::Go | Self::Foreign | Self::Manifest(_) => None,
        }
    }
}

/// `requirements.txt`, `requirements-dev.txt`, `dev-requirements.txt`.
fn is_requirements(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".txt") else { return false };
    let is_apart = |rest: &str| rest.is_empty() || rest.starts_with(['-', '_', '.']);
    stem.strip_prefix("requirements").is_some_and(is_apart)
        || stem.strip_suffix("requirements").is_some_and(|rest| rest.ends_with(['-', '_', '.']))
}

impl Locks {
    /// What the lock files in a folder, and below it, say. Links are not followed, and installed packages are not looked into.
    ///
    /// # Errors
    /// When there is none, or not all of the folder can be read. A file that cannot be understood is a doubt.
    pub(crate) fn read(folder: &Path) -> Result<Self, LocksError> {
        let found = walk::files(folder, |name| Kind::of(name).is_some())?;
        let mut reading = Reading::new(folder)?;
        let (mut manifests, mut locked) = (Vec::new(), BTreeSet::new());
        for file in found {
            let (above, name) = file.shown.rsplit_once('/').unwrap_or(("", &file.shown));
            match Kind::of(name) {
                Some(Kind::Manifest(family)) => manifests.push((family, file)),
                Some(kind) => {
                    locked.extend(kind.family().map(|family| (family, above.to_owned())));
                    reading.take(kind, file)?;
                }
                None => {}
            }
        }
        for (family, file) in manifests {
            let text = text(&file)?;
            let without = |text: &str| file.lacks_lock(family, &locked).then(|| family.lacks(text)).flatten();
            let why = text.as_deref().map_or_else(|why| Some(why.clone()), without);
            reading.inventory.doubts.extend(why.map(|why| format!("`{}` {why}", file.shown)));
        }
        reading.done()
    }
}

/// The text of a file, or why it has none that can be understood.
fn text(file: &Place) -> Result<Result<String, String>, LocksError> {
    if file.is_odd {
        return Ok(Err("is a link or no file, and is not followed".to_owned()));
    }
    let mut bytes = Vec::new();
    let opened = File::open(&file.path).and_then(|opened| opened.take(FILE + 1).read_to_end(&mut bytes));
    opened.map_err(|source| LocksError::Read(file.path.clone(), source))?;
    if FILE < u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
        return Ok(Err(format!("is larger than {FILE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_not_text| "is no text".to_owned());
    // Windows' editors put a mark in front.
    Ok(text.map(|text| match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }))
}

/// What a lock file says, and which others it includes.
fn understood(kind: Kind, path: &str, text: &str) -> Result<(Lock, Vec<String>), String> {
    let lock = match kind {
        Kind::Npm => npm::read(text),
        Kind::Yarn => yarn::read(text),
        Kind::Pnpm => pnpm::read(text),
        Kind::PythonToml => python::toml(text),
        Kind::Pipfile => python::pipfile(text),
        Kind::Cargo => cargo::read(text),
        Kind::Go => go::read(text),
        Kind::Gradle => gradle::read(text),
        Kind::Requirements => {
            let is_dev = ["dev", "test"].iter().any(|word| path.contains(word));
            return Ok(requirements::read(text, is_dev));
        }
        Kind::Foreign | Kind::Manifest(_) => Err("its format is not known here".to_owned()),
    };
    Ok((lock?, Vec::new()))
}

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// From the folder, for people.
    shown: String,
    path: PathBuf,
    /// It is a link, or no file at all.
    is_odd: bool,
}

impl Place {
    /// Whether there is no lock file beside it, nor above.
    fn lacks_lock(&self, family: Family, locked: &BTreeSet<(Family, String)>) -> bool {
        let mut folder = self.shown.as_str();
        while let Some((above, _)) = folder.rsplit_once('/') {
            if locked.contains(&(family, above.to_owned())) {
                return false;
            }
            folder = above;
        }
        !locked.contains(&(family, String::new()))
    }
}

/// What was read so far.
struct Reading {
    folder: PathBuf,
    inventory: Inventory,
    left_out: BTreeMap<&'static str, usize>,
    /// With the digests of their contents.
    files: BTreeMap<String, Digest>,
}

impl Reading {
    fn new(folder: &Path) -> Result<Self, LocksError> {
        let folder = folder.canonicalize().map_err(|source| LocksError::Folder(folder.to_owned(), source))?;
        Ok(Self {
            folder,
            inventory: Inventory {
                system: None,
                packages: Vec::new(),
                owned: 0,
                doubts: Vec::new(),
                support: Vec::new(),
            },
            left_out: BTreeMap::new(),
            files: BTreeMap::new(),
        })
    }

    /// Reads a lock file, and those that it includes.
    fn take(&mut self, kind: Kind, file: Place) -> Result<(), LocksError> {
        let mut ahead = vec![file];
        while let Some(file) = ahead.pop() {
            if self.files.contains_key(&file.shown) {
                continue;
            }
            if walk::WANTED < self.files.len() {
                return Err(LocksError::Large { folder: self.folder.clone(), what: "too many lock files" });
            }
            let read = match text(&file)? {
                Ok(text) => understood(kind, &file.shown, &text)
                    .map(|(lock, included)| (Digest::of(text.as_bytes()), lock, included))
                    .map_err(|why| format!("cannot be read: {why}")),
                Err(why) => Err(why),
            };
            match read {
                Ok((digest, lock, included)) => {
                    self.files.insert(file.shown.clone(), digest);
                    self.add(lock, &file.shown);
                    ahead.extend(self.included(&file.shown, &included));
                }
                Err(why) => self.inventory.doubts.push(format!("`{}` {why}", file.shown)),
            }
        }
        Ok(())
    }

    fn add(&mut self, lock: Lock, path: &str) {
        let package = |Locked { ecosystem, name, version, is_dev }| Package {
            ecosystem: String::from(ecosystem),
            name,
            version,
            source: None,
            layer: 0,
            path: path.to_owned(),
            is_dev,
        };
        self.inventory.packages.extend(lock.packages.into_iter().map(package));
        for (what, count) in lock.left_out {
            *self.left_out.entry(what).or_default() += count;
        }
        self.inventory.doubts.extend(lock.doubts.into_iter().map(|doubt| format!("in `{path}` {doubt}")));
    }

    /// The files that another one includes, of this folder: links may lead within it. The others are doubts.
    fn included(&mut self, from: &str, names: &[String]) -> Vec<Place> {
        let beside = self.folder.join(from.rsplit_once('/').map_or("", |(folder, _)| folder));
        let place = |name: &String| {
            let path = beside.join(name).canonicalize().ok()?;
            let shown = path.strip_prefix(&self.folder).ok()?.to_string_lossy().into_owned();
            path.is_file().then_some(Place { shown, path, is_odd: false })
        };
        let mut found = Vec::new();
        for name in names {
            match place(name) {
                Some(place) => found.push(place),
                None => self
                    .inventory
                    .doubts
                    .push(format!("`{from}` includes `{name:.200}`, which is no file of the folder")),
            }
        }
        found
    }

    fn done(self) -> Result<Locks, LocksError> {
        let Self { folder, mut inventory, left_out, files } = self;
        if files.is_empty() {
            return Err(match inventory.doubts.first() {
                Some(doubt) => LocksError::NoLock { folder, why: doubt.clone() },
                None => LocksError::Nothing(folder),
            });
        }
        inventory.packages.sort();
        inventory.packages.dedup();
        let listed: Vec<_> = files.iter().map(|(name, digest)| format!("{digest}  {name}")).collect();
        let digest = Digest::of(listed.join("\n").as_bytes());
        Ok(Locks { inventory, left_out, files: files.into_keys().collect(), digest })
    }
}

#[cfg(test)]
mod tests;
