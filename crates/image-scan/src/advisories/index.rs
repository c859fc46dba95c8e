//! `Index`: advisories in a compact form, one blob for each ecosystem or release, so that only what an image needs is read. Of a record it
//! keeps what decides, the day it was published, and the beginning of its summary.

mod build;
mod cursor;
mod entry;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::panic::resume_unwind;
use std::thread;

use bytes::Bytes;
use cursor::{Cursor, Damaged};
use jiff::Timestamp;

use super::wanted::{Family, Wanted};
use super::{AdvisoriesError, Folder, Known, family, some};
use crate::osv::{Named, Record};

/// How a blob begins: what it is, and the version of its form.
const MAGIC: &[u8] = b"shipkit-advisories-1\n";
/// The most that a blob may unpack to: the largest real one has a tenth of that.
const UNPACKED: u64 = 64 * 1024 * 1024;
/// How far back its frame may refer, as a power of two.
const WINDOW: u32 = 27;
/// The most bytes that are read of a blob about the packages of one image.
const ABOUT: usize = 16 * 1024 * 1024;

/// Blobs by the ecosystem that they are about.
#[derive(Debug, Clone, Default)]
pub struct Index {
    blobs: BTreeMap<String, Blob>,
}

/// One ecosystem of an index, or one release of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Such as `Debian:12`, `Alpine:v3.21`, `npm`.
    pub ecosystem: String,
    /// When it was built.
    pub built: Timestamp,
    /// When the newest of the records it was built from was changed; none where none of them says.
    pub newest: Option<Timestamp>,
    /// All of it, with what stands above.
    pub bytes: Bytes,
    /// Where its frame begins.
    start: usize,
}

impl Index {
    /// An index of these blobs. Only how they begin is read now.
    ///
    /// # Errors
    /// When one is no such blob, or two are about the same ecosystem.
    pub fn new(blobs: impl IntoIterator<Item = Bytes>) -> Result<Self, AdvisoriesError> {
        let mut index = Self::default();
        for bytes in blobs {
            let blob = Blob::new(bytes).map_err(|damaged| damaged.of("an ecosystem"))?;
            if let Some(blob) = index.blobs.insert(blob.ecosystem.clone(), blob) {
                return Err(Damaged("there are two of them").of(&blob.ecosystem));
            }
        }
        Ok(index)
    }

    /// Builds the blobs of these ecosystems. One that has releases stands for all of them: `Alpine` is every `Alpine:v3.21` that records
    /// are about.
    ///
    /// # Errors
    /// When the folder cannot be read, or has no record about one of them.
    pub fn build(folder: &Folder, ecosystems: &[&str], now: Timestamp) -> Result<Vec<Blob>, AdvisoriesError> {
        let mut blobs = Vec::new();
        for ecosystem in ecosystems {
            blobs.extend(build::blobs(folder, ecosystem, now)?);
        }
        Ok(blobs)
    }

    /// Its blobs, in the order of their ecosystems.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.blobs.values()
    }

    /// What it has about packages in the versions that they have.
    pub(super) fn about(&self, wanted: &Wanted) -> Result<Known, AdvisoriesError> {
        let mut blobs = Vec::new();
        for (family, packages) in &wanted.families {
            for ecosystem in &packages.ecosystems {
                blobs.push((family, ecosystem, packages, self.blob(ecosystem)?));
            }
        }
        // Unpacking and comparing is work for a processor, and every ecosystem for itself.
        let read = thread::scope(|scope| {
            let started: Vec<_> = blobs
                .into_iter()
                .map(|(family, ecosystem, packages, blob)| {
                    (family, ecosystem, scope.spawn(move || blob.read(ecosystem, packages)))
                })
                .collect();
            let ended = started.into_iter().map(|(family, ecosystem, thread)| {
                (family, ecosystem, thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            });
            ended.collect::<Vec<_>>()
        });
        let mut known = Known::default();
        let mut records: BTreeMap<&String, Records> = BTreeMap::new();
        for (family, ecosystem, read) in read {
            let (of_blob, unread) = read.map_err(|damaged| damaged.of(ecosystem))?;
            let of_family = records.entry(family).or_default();
            for (id, mut record) in of_blob {
                let affected = std::mem::take(&mut record.affected);
                of_family.entry(id).or_insert(record).affected.extend(affected);
            }
            // All releases of a family were built from the same folder.
            known.unread.retain(|name| !name.starts_with(&format!("{family}/")));
            known.unread.extend(unread);
        }
        known.records = records.into_values().flat_map(BTreeMap::into_values).collect();
        Ok(known)
    }

    fn blob(&self, ecosystem: &str) -> Result<&Blob, AdvisoriesError> {
        let blob = self.blobs.get(ecosystem).or_else(|| self.blobs.get(family(ecosystem)));
        blob.ok_or_else(|| AdvisoriesError::Missing {
            ecosystem: ecosystem.to_owned(),
            place: "the index".to_owned(),
            there: some(self.blobs.keys().map(String::as_str)),
        })
    }
}

impl Damaged {
    fn of(self, ecosystem: &str) -> AdvisoriesError {
        AdvisoriesError::Damaged { ecosystem: ecosystem.to_owned(), why: self.0 }
    }
}

impl Blob {
    fn new(bytes: Bytes) -> Result<Self, Damaged> {
        let mut head = Cursor::new(&bytes);
        if head.bytes(MAGIC.len()).ok() != Some(MAGIC) {
            return Err(Damaged("it does not begin as one"));
        }
        let ecosystem = head.text()?.to_owned();
        let time = |text: &str| text.parse().map_err(|_no_time: jiff::Error| Damaged("a time in it is none"));
        let built = time(head.text()?)?;
        let newest = head.optional()?.map(time).transpose()?;
        let start = bytes.len().saturating_sub(head.rest().len());
        Ok(Self { ecosystem, built, newest, bytes, start })
    }

    /// The records about packages, by id; and the names of those that could not be understood.
    fn read(&self, asked: &str, packages: &Family) -> Result<(Records, Vec<String>), Damaged> {
        let mut records = Records::new();
        let body = unpacked(self.bytes.get(self.start..).unwrap_or_default())?;
        let body = Body::read(&body)?;
        let wanted = packages.of_ecosystem(asked);
        let mut left = ABOUT;
        let mut at = body.rows;
        for (key, size) in &body.packages {
            let bytes = at.bytes(*size)?;
            let Some(installed) = wanted.get(*key) else { continue };
            left = left.checked_sub(*size).ok_or(Damaged::LARGE)?;
            let mut rows = Cursor::new(bytes);
            while !rows.rest().is_empty() {
                let (number, mut entry) = (rows.number()?, entry::read(&mut rows)?);
                // Most that is known is not about the version, and then the record need not be read.
                if installed.iter().all(|one| one.is_without(&entry)) {
                    continue;
                }
                let bytes = body.record(number)?;
                left = left.checked_sub(bytes.len()).ok_or(Damaged::LARGE)?;
                entry.package = Named { ecosystem: self.ecosystem.clone(), name: (*key).to_owned() };
                let record = entry::read_record(bytes)?;
                records.entry(record.id.clone()).or_insert(record).affected.push(entry);
            }
        }
        Ok((records, body.unread))
    }
}

/// Records by id.
type Records = BTreeMap<String, Record>;

/// The parts of an unpacked blob.
struct Body<'bytes> {
    unread: Vec<String>,
    /// The keys of the packages, and how many bytes of rows each has.
    packages: Vec<(&'bytes str, usize)>,
    /// Where each record begins.
    starts: Vec<usize>,
    rows: Cursor<'bytes>,
    records: &'bytes [u8],
}

impl<'bytes> Body<'bytes> {
    fn read(bytes: &'bytes [u8]) -> Result<Self, Damaged> {
        let mut cursor = Cursor::new(bytes);
        let unread = cursor.many(|cursor| cursor.text().map(str::to_owned))?;
        let packages = cursor.many(|cursor| Ok((cursor.text()?, cursor.number()?)))?;
        let sizes = cursor.many(Cursor::number)?;
        let rows = packages.iter().fold(0_usize, |sum, (_, size)| sum.saturating_add(*size));
        let rows = Cursor::new(cursor.bytes(rows)?);
        let mut end = 0_usize;
        let mut starts = Vec::with_capacity(sizes.len());
        for size in sizes {
            starts.push(end);
            end = end.saturating_add(size);
        }
        let records = cursor.bytes(end)?;
        if !cursor.rest().is_empty() {
            return Err(Damaged("there is something behind its end"));
        }
        Ok(Self { unread, packages, starts, rows, records })
    }

    fn record(&self, number: usize) -> Result<&'bytes [u8], Damaged> {
        let start = *self.starts.get(number).ok_or(Damaged("it names a record that it has not"))?;
        let end = self.starts.get(number.saturating_add(1)).copied().unwrap_or(self.records.len());
        self.records.get(start..end).ok_or(Damaged::SHORT)
    }
}

fn unpacked(frame: &[u8]) -> Result<Vec<u8>, Damaged> {
    let damaged = |_cause: std::io::Error| Damaged("it cannot be unpacked");
    let mut decoder = zstd::Decoder::with_buffer(frame).map_err(damaged)?;
    decoder.window_log_max(WINDOW).map_err(damaged)?;
    // What the frame says of its size is believed as far as the limit goes, and spares moving it as it grows.
    let said = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten().unwrap_or(0);
    let mut bytes = Vec::with_capacity(usize::try_from(said.min(UNPACKED)).unwrap_or(0));
    decoder.take(UNPACKED + 1).read_to_end(&mut bytes).map_err(damaged)?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size <= UNPACKED) {
        Ok(bytes)
    } else {
        Err(Damaged::LARGE)
    }
}

/// Reads what is in a blob about some packages, as `body` has it, for fuzzing.
#[cfg(feature = "fuzzing")]
pub(crate) fn in_blob(body: &[u8]) {
    let mut blob = MAGIC.to_vec();
    for text in ["npm", "2026-05-06T07:08:09Z", ""] {
        cursor::write_text(&mut blob, text);
    }
    blob.extend(zstd::bulk::compress(body, 1).unwrap_or_default());
    let package = |name| crate::osv::Package { ecosystem: "npm", name, version: "1.0.0" };
    let Ok(index) = Index::new([blob.into()]) else { return };
    index.about(&Wanted::of(&["a", "ws"].map(package))).ok();
}

#[cfg(test)]
mod tests;
