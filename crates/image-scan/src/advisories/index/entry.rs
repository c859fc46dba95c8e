//! How a record and its entries are written into a blob, and read again.

use super::cursor::{Cursor, Damaged, write_many, write_number, write_optional, write_text};
use std::borrow::Cow;

use crate::osv::{Affected, Event, Named, Range, Record, Score, Specific};

/// The methods by which severities are judged; scores by others decide nothing.
const METHODS: [&str; 4] = ["CVSS_V3", "CVSS_V4", "CVSS_V2", "Ubuntu"];
/// How much of a summary is kept, in characters.
const SUMMARY: usize = 120;
/// `2026-01-02` of `2026-01-02T03:04:05Z`.
const DAY: usize = 10;

/// What an event is, in one byte.
const INTRODUCED: usize = 0;
const FIXED: usize = 1;
const LAST_AFFECTED: usize = 2;
const LIMIT: usize = 3;

/// Writes what decides of an entry; which package it is about is told by where it stands.
pub(super) fn write(bytes: &mut Vec<u8>, entry: &Affected<'_>) {
    write_many(bytes, &entry.ranges, |bytes, range| {
        write_many(bytes, &changes(range), |bytes, (kind, version)| {
            write_number(bytes, *kind);
            write_text(bytes, version);
        });
    });
    write_many(bytes, &entry.versions, |bytes, version| write_text(bytes, version));
    write_scores(bytes, &entry.severity);
    write_optional(bytes, entry.ecosystem_specific.urgency.as_deref());
    write_optional(bytes, entry.ecosystem_specific.severity.as_deref());
}

/// Reads an entry; which package it is about is for the caller to say.
pub(super) fn read<'bytes>(cursor: &mut Cursor<'bytes>) -> Result<Affected<'bytes>, Damaged> {
    let ranges = cursor
        .many(|cursor| Ok(Range { kind: Cow::Borrowed("ECOSYSTEM"), events: cursor.many(read_event)? }))?;
    let versions = cursor.many(|cursor| cursor.text().map(Cow::Borrowed))?;
    let severity = read_scores(cursor)?;
    let ecosystem_specific = Specific {
        urgency: cursor.optional()?.map(Cow::Borrowed),
        severity: cursor.optional()?.map(Cow::Borrowed),
    };
    Ok(Affected { package: Named::default(), ranges, versions, severity, ecosystem_specific })
}

/// Writes what decides of a record, without its entries.
pub(super) fn write_record(bytes: &mut Vec<u8>, record: &Record) {
    write_text(bytes, &record.id);
    let is_by_related = record.upstream.is_empty() && !record.subjects().is_empty();
    let related = if is_by_related { &record.related[..] } else { &[] };
    for names in [&record.aliases[..], &record.upstream, related] {
        write_many(bytes, names, |bytes, name| write_text(bytes, name));
    }
    write_scores(bytes, &record.severity);
    write_optional(bytes, record.database_specific.severity.as_deref());
    write_optional(bytes, record.published.as_deref().and_then(|published| published.get(..DAY)));
    let summary = record.summary.as_deref().unwrap_or_default();
    let cut: String = summary.chars().take(SUMMARY).collect();
    write_text(bytes, &cut);
}

/// Reads a record, to which entries are then added.
pub(super) fn read_record(bytes: &[u8]) -> Result<Record, Damaged> {
    let cursor = &mut Cursor::new(bytes);
    let record = Record {
        id: owned(cursor)?,
        aliases: cursor.many(owned)?,
        upstream: cursor.many(owned)?,
        related: cursor.many(owned)?,
        severity: read_scores(cursor)?,
        database_specific: Specific { urgency: None, severity: word(cursor)? },
        published: cursor.optional()?.map(|day| format!("{day}T00:00:00Z")),
        summary: cursor.optional()?.map(str::to_owned),
        ..Record::default()
    };
    Ok(record)
}

fn word(cursor: &mut Cursor<'_>) -> Result<Option<Cow<'static, str>>, Damaged> {
    cursor.optional().map(|word| word.map(|word| Cow::Owned(word.to_owned())))
}

fn owned(cursor: &mut Cursor<'_>) -> Result<String, Damaged> {
    cursor.text().map(str::to_owned)
}

/// What stands in the events of a range, in the order in which it counts.
fn changes<'range>(range: &'range Range<'_>) -> Vec<(usize, &'range str)> {
    let of_event = |event: &'range Event<'_>| {
        let Event { introduced, fixed, last_affected, limit } = event;
        [(INTRODUCED, introduced), (FIXED, fixed), (LAST_AFFECTED, last_affected), (LIMIT, limit)]
    };
    let changes = range.events.iter().flat_map(of_event);
    changes.filter_map(|(kind, version)| Some((kind, version.as_deref()?))).collect()
}

fn read_event<'bytes>(cursor: &mut Cursor<'bytes>) -> Result<Event<'bytes>, Damaged> {
    let kind = cursor.number()?;
    let version = Some(Cow::Borrowed(cursor.text()?));
    match kind {
        INTRODUCED => Ok(Event { introduced: version, ..Event::default() }),
        FIXED => Ok(Event { fixed: version, ..Event::default() }),
        LAST_AFFECTED => Ok(Event { last_affected: version, ..Event::default() }),
        LIMIT => Ok(Event { limit: version, ..Event::default() }),
        _ => Err(Damaged("an event in it is none")),
    }
}

fn write_scores(bytes: &mut Vec<u8>, scores: &[Score]) {
    let known = |score: &Score| {
        let method = METHODS.iter().position(|method| *method == score.method)?;
        Some((method, score.score.clone()))
    };
    let scores: Vec<_> = scores.iter().filter_map(known).collect();
    write_many(bytes, &scores, |bytes, (method, score)| {
        write_number(bytes, *method);
        write_text(bytes, score);
    });
}

fn read_scores(cursor: &mut Cursor<'_>) -> Result<Vec<Score>, Damaged> {
    cursor.many(|cursor| {
        let method = METHODS.get(cursor.number()?).ok_or(Damaged("a score in it is by no method"))?;
        Ok(Score { method: (*method).to_owned(), score: owned(cursor)? })
    })
}
