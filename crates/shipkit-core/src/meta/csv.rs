//! Lists in inputs: one comma-separated record a line, as RFC 4180 has it, with quotes that need not be perfect.

use crate::explained::Place;

use super::attributes::pair;
use super::error::{MetaError, Problem};

/// One record: an entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Where it begins.
    pub(super) place: Place,
    /// Its fields.
    pub(super) fields: Vec<Field>,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Its text, without quotes around it; white space is part of it.
    pub(super) text: String,
    /// Whether it had quotes around it.
    pub(super) is_quoted: bool,
}

impl Record {
    /// The record as one text, commas and all, without the white space around it.
    pub(super) fn joined(&self) -> String {
        let texts: Vec<_> = self.fields.iter().map(|field| field.text.as_str()).collect();
        texts.join(",").trim().to_owned()
    }
}

/// The records of a text. Empty lines and lines that begin with `#` are none. A quote in the middle of a field is a
/// character like any other.
///
/// # Errors
/// When a quote is not closed.
pub(super) fn records(input: &'static str, text: &str) -> Result<Vec<Record>, MetaError> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let start = rest.trim_start_matches([' ', '\t', '\r']);
        let place = Place::Line { input, line };
        if start.starts_with('#') || start.starts_with('\n') || start.is_empty() {
            rest = start.split_once('\n').map_or("", |(_, after)| after);
            line += 1;
            continue;
        }
        let (fields, after) = record(start).ok_or_else(|| Problem::Unclosed.at(&place))?;
        let taken = start.len().saturating_sub(after.len());
        line += start.get(..taken).unwrap_or_default().matches('\n').count();
        found.push(Record { place, fields });
        rest = after;
    }
    Ok(found)
}

/// The same for lists of attributes. A record that is quoted as a whole and holds attributes is read a second time,
/// because that is how a comma used to be protected; a quote that stands inside a field is refused.
///
/// # Errors
/// When a quote is not closed or stands inside a field.
pub(super) fn entries(input: &'static str, text: &str) -> Result<Vec<Record>, MetaError> {
    let mut all = records(input, text)?;
    for entry in &mut all {
        if let [Field { text, is_quoted: true }] = entry.fields.as_slice() {
            let (fields, _) = record(text).ok_or_else(|| Problem::Unclosed.at(&entry.place))?;
            // `"value=a,b"` is one attribute.
            let mut keys = fields.iter().filter_map(|field| pair(&field.text));
            if input != "tags" || keys.any(|(key, _)| key != "value") {
                entry.fields = fields;
            }
        }
        if let Some(field) = entry.fields.iter().find(|field| !field.is_quoted && field.text.contains('"')) {
            return Err(Problem::QuoteInside(field.text.clone()).at(&entry.place));
        }
    }
    Ok(all)
}

/// The fields up to the end of the line, and what comes behind it. `None` when a quote is not closed.
fn record(text: &str) -> Option<(Vec<Field>, &str)> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let start = rest.trim_start_matches([' ', '\t']);
        let quoted = if start.starts_with('"') { quoted(start)? } else { None };
        let (field, after) = if let Some((text, after)) = quoted {
            (Field { text, is_quoted: true }, after)
        } else {
            let end = rest.find([',', '\n']).unwrap_or(rest.len());
            let (text, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            (Field { text: text.trim_end_matches('\r').to_owned(), is_quoted: false }, after)
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some((fields, after.strip_prefix('\n').unwrap_or(after))),
        }
    }
}

/// A field in quotes, and what comes behind it; the inner `None` when the quotes do not enclose all of the field.
#[expect(clippy::option_option, reason = "not closed, and closed too early, are two different things")]
fn quoted(start: &str) -> Option<Option<(String, &str)>> {
    let mut text = String::new();
    let mut rest = start.strip_prefix('"')?;
    loop {
        let (before, after) = rest.split_once('"')?;
        text.push_str(before);
        if let Some(after) = after.strip_prefix('"') {
            text.push('"');
            rest = after;
        } else {
            let after = after.trim_start_matches([' ', '\t', '\r']);
            let is_end = after.is_empty() || after.starts_with([',', '\n']);
            return Some(is_end.then_some((text, after)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(usize, &[&str])]) {
        let found = records("tags", text).unwrap();
        let lines: Vec<_> = found
            .iter()
            .map(|record| match &record.place {
                Place::Line { line, .. } => *line,
                Place::Key(_) | Place::Default => 0,
            })
            .collect();
        let fields: Vec<Vec<&str>> =
            found.iter().map(|record| record.fields.iter().map(|f| f.text.as_str()).collect()).collect();
        assert_eq!(
            lines.iter().copied().zip(fields).collect::<Vec<_>>(),
            expected.iter().map(|(line, fields)| (*line, fields.to_vec())).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_line_is_a_record_and_keeps_its_number() {
        check("a\nb,c\n\n# no\n  # neither\r\nd#e\r\n", &[(1, &["a"]), (2, &["b", "c"]), (6, &["d#e"])]);
        check("", &[]);
        check("\n \n#", &[]);
        check("a,,b,", &[(1, &["a", "", "b", ""])]);
    }

    #[test]
    fn quotes_keep_commas_line_ends_and_quotes() {
        check("type=raw,\"value=a,b\"", &[(1, &["type=raw", "value=a,b"])]);
        check("\"a\nb\"\nc", &[(1, &["a\nb"]), (3, &["c"])]);
        check("\"a\"\"b\" , \"\"", &[(1, &["a\"b", ""])]);
    }

    #[test]
    fn a_quote_in_the_middle_is_a_character() {
        check("d=a \"good\" one, yes ", &[(1, &["d=a \"good\" one", " yes "])]);
        check("\"a\"=b,c", &[(1, &["\"a\"=b", "c"])]);
    }

    #[test]
    fn white_space_stays_inside_a_record_and_not_around_it() {
        assert_eq!(records("labels", "  a=b, c ,d \r\n").unwrap()[0].joined(), "a=b, c ,d");
    }

    #[test]
    fn a_quote_that_is_not_closed_is_an_error_at_its_line() {
        let error = records("tags", "a\n\"b\nc").unwrap_err();
        assert_eq!(error.to_string(), "line 2 of `tags`: a `\"` is never closed");
    }

    #[test]
    fn an_entry_in_quotes_is_read_a_second_time() {
        let twice = entries("tags", "\"type=match,\"\"pattern=a{1,2}\"\"\"").unwrap();
        assert_eq!(twice[0].fields[1].text, "pattern=a{1,2}");
        assert_eq!(entries("tags", "\"value=a,b\"").unwrap()[0].joined(), "value=a,b");
        assert_eq!(entries("tags", "\"a,b\"").unwrap()[0].fields.len(), 1);
        assert_eq!(entries("images", "\"a,b\"").unwrap()[0].fields.len(), 2);
        assert!(matches!(entries("tags", "value=\"a\"").unwrap_err().problem, Problem::QuoteInside(_)));
    }
}
