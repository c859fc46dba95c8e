//! Builds blobs out of a folder.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::cursor::{write_many, write_number, write_optional, write_text};
use super::{BLOCK, Blob, MAGIC, WHOLE, entry, in_whole};
use crate::advisories::folder::{Contents, Folder};
use crate::advisories::wanted::key;
use crate::advisories::{AdvisoriesError, family, some};
use crate::osv::{Affected, Record};

/// The highest level that needs no more memory to unpack than others.
const LEVEL: i32 = 19;

/// The blobs of one ecosystem, or of all its releases.
pub(super) fn blobs(folder: &Folder, ecosystem: &str, now: Timestamp) -> Result<Vec<Blob>, AdvisoriesError> {
    let of = family(ecosystem);
    let contents = folder.read(of, &|record| part(record, of))?;
    let is_asked = |there: &&String| ecosystem == of || **there == ecosystem;
    if ecosystem == WHOLE && !contents.ecosystems.is_empty() {
        return Ok(vec![blob(&contents, WHOLE, now)?]);
    }
    let there: Vec<_> = contents.ecosystems.iter().filter(is_asked).collect();
    if there.is_empty() {
        let there = some(contents.ecosystems.iter().map(String::as_str));
        return Err(folder.missing(ecosystem, there));
    }
    there.into_iter().map(|ecosystem| blob(&contents, ecosystem, now)).collect()
}

/// What decides of a record; nothing where it was withdrawn or is about no package of the family.
fn part(mut record: Record, of: &str) -> Option<Record> {
    record.affected.retain(|entry| family(&entry.package.ecosystem) == of);
    for entry in &mut record.affected {
        entry.ranges.retain(|range| range.kind != "GIT");
        let telling = entry.telling_versions().map(|version| Cow::Owned(version.to_owned())).collect();
        entry.versions = telling;
    }
    (!record.affected.is_empty() && record.withdrawn.is_none()).then_some(record)
}

fn blob(contents: &Contents, ecosystem: &str, now: Timestamp) -> Result<Blob, AdvisoriesError> {
    let mut bytes = MAGIC.to_vec();
    write_text(&mut bytes, ecosystem);
    write_text(&mut bytes, &now.to_string());
    write_optional(&mut bytes, contents.newest.map(|newest| newest.to_string()).as_deref());
    let failed = |source| AdvisoriesError::Read { place: format!("the index of {ecosystem}"), source };
    let body = Body::of(contents, ecosystem);
    let blocks: Vec<_> =
        body.blocks().iter().map(|block| packed(block)).collect::<Result<_, _>>().map_err(failed)?;
    let first = packed(&body.first(contents, &blocks)).map_err(failed)?;
    write_number(&mut bytes, first.len());
    bytes.extend(first);
    bytes.extend(blocks.concat());
    // What is written can be read, or it is not written.
    Blob::new(bytes.into()).map_err(|damaged| damaged.of(ecosystem))
}

fn packed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, LEVEL)
}

/// What goes into the frames of a blob.
struct Body<'records> {
    /// By name; each with its rows, and how many records are named first there.
    packages: Vec<(Cow<'records, str>, Vec<u8>, usize)>,
    /// In the order in which rows name them.
    records: Vec<&'records Record>,
}

impl<'records> Body<'records> {
    fn of(contents: &'records Contents, ecosystem: &str) -> Self {
        let mut by_name: BTreeMap<Cow<'_, str>, Vec<(&Record, &Affected<'_>)>> = BTreeMap::new();
        for record in contents.records.values() {
            for affected in &record.affected {
                let (listed, name) = (&affected.package.ecosystem, &affected.package.name);
                // An entry without a release is about all of them.
                let is_about = |asked: &str| listed == asked || listed == family(asked);
                if ecosystem == WHOLE {
                    for release in contents.ecosystems.iter().filter(|release| is_about(release)) {
                        by_name.entry(in_whole(release, name).into()).or_default().push((record, affected));
                    }
                } else if is_about(ecosystem) {
                    by_name.entry(key(ecosystem, name)).or_default().push((record, affected));
                }
            }
        }
        let (mut records, mut numbers) = (Vec::new(), HashMap::new());
        let mut packages = Vec::new();
        for (name, entries) in by_name {
            let (mut rows, before) = (Vec::new(), records.len());
            for (record, affected) in entries {
                let next = records.len();
                let number = *numbers.entry(&record.id).or_insert(next);
                if number == next {
                    records.push(record);
                }
                write_number(&mut rows, next.saturating_sub(number));
                entry::write(&mut rows, affected);
            }
            packages.push((name, rows, records.len().saturating_sub(before)));
        }
        Self { packages, records }
    }

    fn blocks(&self) -> Vec<Vec<u8>> {
        let block = |records: &[&Record]| {
            let mut block = Vec::new();
            for record in records {
                let mut bytes = Vec::new();
                entry::write_record(&mut bytes, record);
                write_number(&mut block, bytes.len());
                block.extend(bytes);
            }
            block
        };
        self.records.chunks(BLOCK).map(block).collect()
    }

    /// What is in the first frame.
    fn first(&self, contents: &Contents, blocks: &[Vec<u8>]) -> Vec<u8> {
        let mut first = Vec::new();
        write_many(&mut first, &contents.unread, |first, name| write_text(first, name));
        write_many(&mut first, blocks, |first, block| write_number(first, block.len()));
        let mut packages = Vec::new();
        for (name, rows, new) in &self.packages {
            write_text(&mut packages, name);
            write_number(&mut packages, rows.len());
            write_number(&mut packages, *new);
        }
        write_number(&mut first, packages.len());
        first.extend(packages);
        for (_, rows, _) in &self.packages {
            first.extend(rows);
        }
        first
    }
}
