//! `Index`: advisories in a compact form, one blob for each ecosystem or release, so that only what an image needs is read. Of a record it
//! keeps what decides, the day it was published, and the beginning of its summary.
//!
//! A blob is the line that says so, the ecosystem, when it was built and when its newest record was changed; then a number, and a frame of
//! zstd with so many bytes: what could not be understood, how many bytes each block of records has, the packages by name (each with the
//! size of its rows, and how many records are named in them for the first time), and their rows. A row is which record it belongs to
//! (none back from the next new one, or so many) and what the record says of the package. Then come the blocks, a frame of zstd for
//! each: records with their sizes, in the order in which rows name them. In the blob of Alpine, which is about all of its releases, packages have
//! their release before their name. Numbers have seven bits a byte; a text has its size before it.

mod build;
mod cursor;
mod entry;

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;

use bytes::Bytes;
use cursor::{Cursor, Damaged};
use jiff::Timestamp;

use super::wanted::{Family, Sought, Wanted};
use super::{AdvisoriesError, Folder, Known, family, some};
use crate::osv::{Affected, Named, Record};

/// How a blob begins: what it is, and the version of its form.
const MAGIC: &[u8] = b"shipkit-advisories-3\n";
/// The most that a blob may unpack to: the largest real one has a tenth of that.
const UNPACKED: usize = 64 * 1024 * 1024;
/// The family whose releases are all in one blob, since nearly every record is about all of them.
const WHOLE: &str = "Alpine";
/// How many records are in one frame. Only frames with records that an image needs are unpacked.
const BLOCK: usize = 1024;
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

    /// Builds the blobs of these ecosystems. One that has releases stands for all of them: `Debian` is every `Debian:12` that records
    /// are about, and `Alpine` is one blob about all of its releases.
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
            for ecosystem in packages.ecosystems() {
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
        let mut unpacker = Unpacker::new()?;
        let mut frames = Cursor::new(self.bytes.get(self.start..).unwrap_or_default());
        let size = frames.number()?;
        let first = unpacker.unpacked(frames.bytes(size)?)?;
        let body = Body::read(&first)?;
        let mut sought = packages.of_ecosystem(asked);
        let release = (self.ecosystem == WHOLE).then(|| in_whole(asked, ""));
        if let Some(release) = &release {
            for one in &mut sought {
                one.key = format!("{release}{}", one.key).into();
            }
        }
        let mut hits = body.hits(sought, release.as_deref())?;
        if let Some(release) = &release {
            for hit in &mut hits {
                drop(hit.key.drain(..release.len()));
            }
        }
        // Rows of one record are neighbours then, and those of one block.
        hits.sort_by_key(|hit| hit.record);
        let mut records = Records::new();
        let mut left = ABOUT;
        let (mut hits, mut start) = (hits.into_iter().peekable(), 0_usize);
        for size in body.blocks {
            let frame = frames.bytes(size)?;
            let end = start.saturating_add(BLOCK);
            let mut of_block = Vec::new();
            while let Some(hit) = hits.next_if(|hit| hit.record < end) {
                of_block.push(hit);
            }
            if !of_block.is_empty() {
                let block = unpacker.unpacked(frame)?;
                left = left.checked_sub(block.len()).ok_or(Damaged::LARGE)?;
                self.take((asked, &block), start, of_block, &mut records)?;
            }
            start = end;
        }
        if hits.next().is_some() {
            return Err(Damaged::NO_RECORD);
        }
        if !frames.rest().is_empty() {
            return Err(Damaged("there is something behind its end"));
        }
        Ok((records, body.unread))
    }

    /// Reads those records of a block that rows name. The first of it has this number.
    fn take(
        &self,
        (asked, block): (&str, &[u8]),
        start: usize,
        hits: Vec<Hit>,
        records: &mut Records,
    ) -> Result<(), Damaged> {
        let of = if self.ecosystem == WHOLE { asked } else { &self.ecosystem };
        let (mut cursor, mut number) = (Cursor::new(block), start);
        let mut current: Option<(usize, Record)> = None;
        for hit in hits {
            let mut record = match current.take() {
                Some((at, record)) if at == hit.record => record,
                done => {
                    records.extend(done.map(|(_, record)| (record.id.clone(), record)));
                    let mut bytes: &[u8] = &[];
                    while number <= hit.record {
                        let size = cursor.number().map_err(|_damaged| Damaged::NO_RECORD)?;
                        bytes = cursor.bytes(size)?;
                        number = number.saturating_add(1);
                    }
                    entry::read_record(bytes)?
                }
            };
            let package = Named { ecosystem: of.to_owned(), name: hit.key };
            record.affected.push(Affected { package, ..hit.entry });
            current = Some((hit.record, record));
        }
        records.extend(current.map(|(_, record)| (record.id.clone(), record)));
        Ok(())
    }
}

/// The name that a package of a release has in the blob of all of them.
fn in_whole(release: &str, name: &str) -> String {
    format!("{release}/{name}")
}

/// Records by id.
type Records = BTreeMap<String, Record>;

/// A row that may be about an installed version.
struct Hit {
    /// The number of the record.
    record: usize,
    /// The name of the package.
    key: String,
    entry: Affected<'static>,
}

/// The parts of the first frame.
struct Body<'bytes> {
    unread: Vec<String>,
    /// How many bytes each block of records has.
    blocks: Vec<usize>,
    packages: Cursor<'bytes>,
    rows: Cursor<'bytes>,
}

impl<'bytes> Body<'bytes> {
    fn read(bytes: &'bytes [u8]) -> Result<Self, Damaged> {
        let mut cursor = Cursor::new(bytes);
        let unread = cursor.many(|cursor| cursor.text().map(str::to_owned))?;
        let blocks = cursor.many(Cursor::number)?;
        let size = cursor.number()?;
        let packages = Cursor::new(cursor.bytes(size)?);
        Ok(Self { unread, blocks, packages, rows: cursor })
    }

    /// The rows about packages that do not say for sure that the installed versions are without it. Names on both sides are in their
    /// order, and so each is looked at once. Where there must be something about a release, its packages begin so.
    fn hits(&self, sought: Vec<Sought<'_>>, release: Option<&str>) -> Result<Vec<Hit>, Damaged> {
        let (mut packages, mut rows, mut first) = (self.packages, self.rows, 0_usize);
        let mut sought = sought.into_iter().peekable();
        let mut has_release = release.is_none();
        let (mut hits, mut left, mut last): (_, _, Option<&[u8]>) = (Vec::new(), ABOUT, None);
        while !packages.rest().is_empty() {
            let size = packages.number()?;
            let key = packages.bytes(size)?;
            let (size, new) = (packages.number()?, packages.number()?);
            if last.is_some_and(|last| key <= last) {
                return Err(Damaged("its packages are in no order"));
            }
            last = Some(key);
            has_release |= release.is_some_and(|release| key.starts_with(release.as_bytes()));
            let of_key = rows.bytes(size)?;
            while sought.next_if(|one| one.key.as_bytes() < key).is_some() {}
            if let Some(one) = sought.next_if(|one| one.key.as_bytes() == key) {
                left = left.checked_sub(size).ok_or(Damaged::LARGE)?;
                one.hits(Cursor::new(of_key), first, &mut hits)?;
            }
            first = first.saturating_add(new);
        }
        if !has_release {
            return Err(Damaged("it has nothing about this release"));
        }
        if rows.rest().is_empty() { Ok(hits) } else { Err(Damaged("there is something behind its rows")) }
    }
}

impl Sought<'_> {
    /// The first record that the rows are the first to name has this number.
    fn hits(&self, mut rows: Cursor<'_>, first: usize, hits: &mut Vec<Hit>) -> Result<(), Damaged> {
        let mut next = first;
        while !rows.rest().is_empty() {
            let back = rows.number()?;
            let record = next.checked_sub(back).ok_or(Damaged::NO_RECORD)?;
            if back == 0 {
                next = next.saturating_add(1);
            }
            let entry = entry::read(&mut rows)?;
            // Most that is known is not about the version, and then the record need not be read.
            if !self.installed.iter().all(|one| one.is_without(&entry)) {
                hits.push(Hit { record, key: self.key.clone().into_owned(), entry: entry.into_owned() });
            }
        }
        Ok(())
    }
}

/// Unpacks frames, up to the limit for all of them together.
struct Unpacker {
    context: zstd::bulk::Decompressor<'static>,
    left: usize,
}

impl Unpacker {
    fn new() -> Result<Self, Damaged> {
        let context = zstd::bulk::Decompressor::new().map_err(|_cause| Damaged::PACKED)?;
        Ok(Self { context, left: UNPACKED })
    }

    fn unpacked(&mut self, frame: &[u8]) -> Result<Vec<u8>, Damaged> {
        // A frame that says less than it holds is refused by what unpacks it.
        let said = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten().ok_or(Damaged::PACKED)?;
        let said = usize::try_from(said).map_err(|_too_large| Damaged::LARGE)?;
        self.left = self.left.checked_sub(said).ok_or(Damaged::LARGE)?;
        self.context.decompress(frame, said).map_err(|_cause| Damaged::PACKED)
    }
}

/// Reads what is in a blob about some packages that has this in its first frame, for fuzzing.
#[cfg(feature = "fuzzing")]
pub(crate) fn in_blob(first: &[u8]) {
    let mut blob = MAGIC.to_vec();
    for text in ["npm", "2026-05-06T07:08:09Z", ""] {
        cursor::write_text(&mut blob, text);
    }
    let frame = zstd::bulk::compress(first, 1).unwrap_or_default();
    cursor::write_number(&mut blob, frame.len());
    blob.extend(frame);
    let package = |name| crate::osv::Package { ecosystem: "npm", name, version: "1.0.0" };
    let Ok(index) = Index::new([blob.into()]) else { return };
    index.about(&Wanted::of(&["a", "ws"].map(package))).ok();
}

#[cfg(test)]
mod tests;
