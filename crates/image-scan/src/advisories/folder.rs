//! `Folder`: records as files, in the layout of the bucket of OSV: `<ecosystem>/all.zip`, or `<ecosystem>/*.json`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use zip::ZipArchive;

use super::wanted::{Family, Wanted};
use super::{AdvisoriesError, Known, family, some};
use crate::osv::Record;

/// The most bytes of one record: the largest real ones, of kernels with all their versions, have about one million. In memory it may take
/// a hundred times as much.
const RECORD: u64 = 8 * 1024 * 1024;
/// The longest id of a record, and time of a change: of every record both are kept.
const ID: usize = 256;
/// The most records of one ecosystem.
const RECORDS: usize = 2_000_000;
/// The most bytes of all records of an ecosystem: ten times those of the largest one.
const UNPACKED: u64 = 16 * 1024 * 1024 * 1024;
/// The most records that may not be understood.
pub(super) const UNREAD: usize = 100;
/// The longest name of one of them that is told.
const NAME: usize = 200;

/// A folder with a folder for each ecosystem; only those asked for are opened.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// What the folder of one family of ecosystems holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// What was kept of the records, by id.
    pub(super) records: BTreeMap<String, Record>,
    /// The names of those that cannot be understood.
    pub(super) unread: Vec<String>,
    /// The ecosystems of the family that records are about.
    pub(super) ecosystems: BTreeSet<String>,
    /// When the newest was changed.
    pub(super) newest: Option<Timestamp>,
    /// When each was last changed, so that the older of two copies is dropped.
    modified: BTreeMap<String, String>,
    bytes: u64,
    count: usize,
}

impl Folder {
    /// The folder at a path. It is not looked at before it is asked.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The ecosystems of which it has a folder.
    ///
    /// # Errors
    /// When it cannot be read, or has none.
    pub fn ecosystems(&self) -> Result<Vec<String>, AdvisoriesError> {
        let place = || self.path.display().to_string();
        let failed = |source| AdvisoriesError::Read { place: place(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string();
            if let (true, Ok(name)) = (entry.path().is_dir(), name) {
                names.push(name);
            }
        }
        names.sort();
        if names.is_empty() {
            return Err(AdvisoriesError::Nothing(place()));
        }
        Ok(names)
    }

    /// What it has about packages.
    pub(super) fn about(&self, wanted: &Wanted) -> Result<Known, AdvisoriesError> {
        let mut known = Known::default();
        for (family, packages) in &wanted.families {
            let names = packages.names();
            let contents = self.read(family, &|record| names.part_of(record))?;
            self.check(family, packages, &contents.ecosystems)?;
            known.records.extend(contents.records.into_values());
            known.unread.extend(contents.unread);
        }
        Ok(known)
    }

    /// An entry without a release is about all of them.
    fn check(
        &self,
        family: &str,
        packages: &Family,
        there: &BTreeSet<String>,
    ) -> Result<(), AdvisoriesError> {
        let is_there = |asked: &&String| there.contains(*asked) || there.contains(family);
        match packages.ecosystems().find(|asked| !is_there(asked)) {
            Some(asked) => Err(self.missing(asked, some(there.iter().map(String::as_str)))),
            None => Ok(()),
        }
    }

    pub(super) fn missing(&self, ecosystem: &str, there: String) -> AdvisoriesError {
        let place = self.path.display().to_string();
        AdvisoriesError::Missing { ecosystem: ecosystem.to_owned(), place, there }
    }

    /// Reads all records of one family of ecosystems; what `keep` makes of each is kept.
    pub(super) fn read(
        &self,
        family: &str,
        keep: &dyn Fn(Record) -> Option<Record>,
    ) -> Result<Contents, AdvisoriesError> {
        // An image says of which distribution it is, and that is no path.
        let is_name = |c: char| c.is_ascii_alphanumeric() || " .-_()".contains(c);
        let is_named = family.starts_with(|c: char| c.is_ascii_alphanumeric()) && family.chars().all(is_name);
        let folder = self.path.join(family);
        if !is_named || !folder.is_dir() {
            return Err(self.missing(family, self.there()?));
        }
        let mut contents = Contents::default();
        let archive = folder.join("all.zip");
        if archive.is_file() {
            contents.take_archive(&archive, family, keep)?;
        } else {
            contents.take_files(&folder, family, keep)?;
        }
        Ok(contents)
    }

    /// The ecosystems that it has, in words.
    fn there(&self) -> Result<String, AdvisoriesError> {
        let folders: Vec<_> = list(&self.path)?.into_iter().filter(|path| path.is_dir()).collect();
        Ok(some(folders.iter().filter_map(|path| path.file_name()?.to_str())))
    }
}

impl Contents {
    fn take_archive(
        &mut self,
        path: &Path,
        family: &str,
        keep: &dyn Fn(Record) -> Option<Record>,
    ) -> Result<(), AdvisoriesError> {
        let place = || path.display().to_string();
        let broken = |error: zip::result::ZipError| AdvisoriesError::Archive {
            place: place(),
            why: error.to_string(),
        };
        let file = File::open(path).map_err(failed(path))?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(broken)?;
            let name = entry.name().map_err(broken)?.into_owned();
            if is_record(&name) {
                self.take(entry, path, (family, &name), keep)?;
            }
        }
        Ok(())
    }

    fn take_files(
        &mut self,
        folder: &Path,
        family: &str,
        keep: &dyn Fn(Record) -> Option<Record>,
    ) -> Result<(), AdvisoriesError> {
        for path in list(folder)? {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if is_record(&name) {
                let file = File::open(&path).map_err(failed(&path))?;
                self.take(file, folder, (family, &name), keep)?;
            }
        }
        Ok(())
    }

    /// Takes one record. That it cannot be read is an error; that it cannot be understood is told.
    fn take(
        &mut self,
        file: impl Read,
        place: &Path,
        (family, name): (&str, &str),
        keep: &dyn Fn(Record) -> Option<Record>,
    ) -> Result<(), AdvisoriesError> {
        let large = |what| AdvisoriesError::Large { place: place.display().to_string(), what };
        let mut json = Vec::new();
        file.take(RECORD + 1).read_to_end(&mut json).map_err(failed(place))?;
        let size = u64::try_from(json.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(size);
        self.count += 1;
        if RECORD < size {
            return Err(large("a record that is too large"));
        }
        if UNPACKED < self.bytes || RECORDS < self.count {
            return Err(large("more records than any ecosystem has"));
        }
        let is_named = |record: &Record| record.id.len() <= ID && record.modified.len() <= ID;
        match Record::parse(&json).ok().filter(is_named) {
            Some(record) => self.add(record, family, keep),
            None if self.unread.len() < UNREAD => {
                self.unread.push(format!("{family}/{}", name.chars().take(NAME).collect::<String>()));
            }
            None => {
                let (place, first) = (place.display().to_string(), name.chars().take(NAME).collect());
                return Err(AdvisoriesError::Unread { place, count: UNREAD, first });
            }
        }
        Ok(())
    }

    fn add(&mut self, record: Record, of: &str, keep: &dyn Fn(Record) -> Option<Record>) {
        for entry in &record.affected {
            let ecosystem = &entry.package.ecosystem;
            if family(ecosystem) == of && !self.ecosystems.contains(ecosystem) {
                self.ecosystems.insert(ecosystem.clone());
            }
        }
        self.newest = self.newest.max(record.modified.parse().ok());
        match self.modified.entry(record.id.clone()) {
            Entry::Occupied(known) if record.modified <= *known.get() => return,
            Entry::Occupied(mut known) => {
                known.insert(record.modified.clone());
                self.records.remove(&record.id);
            }
            Entry::Vacant(new) => {
                new.insert(record.modified.clone());
            }
        }
        if let Some(kept) = keep(record) {
            self.records.insert(kept.id.clone(), kept);
        }
    }
}

fn is_record(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json")
}

/// What is in a folder, in the order of the names.
fn list(folder: &Path) -> Result<Vec<PathBuf>, AdvisoriesError> {
    let entries = std::fs::read_dir(folder).map_err(failed(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(failed(folder))?;
    paths.sort();
    Ok(paths)
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> AdvisoriesError {
    move |source| AdvisoriesError::Read { place: path.display().to_string(), source }
}

#[cfg(test)]
mod tests;
