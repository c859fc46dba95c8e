//! Builds blobs out of a folder.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::cursor::{write_many, write_number, write_optional, write_text};
use super::{Blob, MAGIC, entry};
use crate::advisories::folder::{Contents, Folder};
use crate::advisories::wanted::key;
use crate::advisories::{AdvisoriesError, family, some};
use crate::osv::Record;

/// The highest level that needs no more memory to unpack than others.
const LEVEL: i32 = 19;

/// The blobs of one ecosystem, or of all its releases.
pub(super) fn blobs(folder: &Folder, ecosystem: &str, now: Timestamp) -> Result<Vec<Blob>, AdvisoriesError> {
    let of = family(ecosystem);
    let contents = folder.read(of, &|record| part(record, of))?;
    let is_asked = |there: &&String| ecosystem == of || **there == ecosystem;
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
        let telling = entry.telling_versions().map(str::to_owned).collect();
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
    bytes.extend(zstd::bulk::compress(&body(contents, ecosystem), LEVEL).map_err(failed)?);
    // What is written can be read, or it is not written.
    Blob::new(bytes.into()).map_err(|damaged| damaged.of(ecosystem))
}

fn body(contents: &Contents, ecosystem: &str) -> Vec<u8> {
    let mut records = Vec::new();
    let mut sizes = Vec::new();
    let mut rows: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for record in contents.records.values() {
        let mut is_about = false;
        for affected in &record.affected {
            let listed = &affected.package.ecosystem;
            // An entry without a release is about all of them.
            if listed == ecosystem || listed == family(ecosystem) {
                let rows = rows.entry(key(ecosystem, &affected.package.name)).or_default();
                write_number(rows, sizes.len());
                entry::write(rows, affected);
                is_about = true;
            }
        }
        if is_about {
            let before = records.len();
            entry::write_record(&mut records, record);
            sizes.push(records.len().saturating_sub(before));
        }
    }
    let mut body = Vec::new();
    write_many(&mut body, &contents.unread, |body, name| write_text(body, name));
    let rows: Vec<_> = rows.into_iter().collect();
    write_many(&mut body, &rows, |body, (key, rows)| {
        write_text(body, key);
        write_number(body, rows.len());
    });
    write_many(&mut body, &sizes, |body, size| write_number(body, *size));
    for (_, rows) in &rows {
        body.extend_from_slice(rows);
    }
    body.extend_from_slice(&records);
    body
}
