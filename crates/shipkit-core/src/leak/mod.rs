//! What secrets look like: in texts such as the settings and steps of an image, and in files that are known to hold some.
//!
//! It is meant to be believed: what has the form of a well-known token, or a literal value under a name that only secrets have. Nothing
//! is guessed from randomness, and what refers to a secret (`${NAME}`, `/run/secrets/name`, `NAME_FILE`) is none.

mod file;
mod name;
mod shape;

use std::ops::Range;

pub use file::SecretFile;

/// What is said of a value that has no form of its own.
const NAMED: &str = "a password or token";

/// A secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is, in words.
    pub what: &'static str,
    /// The name that it was given, where it was given one.
    pub name: Option<String>,
    /// Where it stands in the text, in bytes.
    pub at: Range<usize>,
}

/// What secret the value of a variable or label is or holds.
#[must_use]
pub fn in_value(name: &str, value: &str) -> Option<&'static str> {
    let shape = shape::all(value).into_iter().next().map(|(what, _)| what);
    shape.or_else(|| (name::is_secret(name) && is_literal(value)).then_some(NAMED))
}

/// The secrets in a text such as a command: those that have a form of their own, and values of assignments (`TOKEN=...`,
/// `--password=...`). In the order of the text; none overlaps another.
#[must_use]
pub fn in_text(text: &str) -> Vec<Found> {
    let mut all: Vec<Found> =
        shape::all(text).into_iter().map(|(what, at)| Found { what, name: None, at }).collect();
    for (name, value, at) in assignments(text) {
        let inside = all.iter_mut().find(|found| at.start <= found.at.start && found.at.start < at.end);
        match inside {
            Some(found) => found.name = Some(name.to_owned()),
            None if name::is_secret(name) && is_literal(value) => {
                all.push(Found { what: NAMED, name: Some(name.to_owned()), at });
            }
            None => {}
        }
    }
    all.sort_by_key(|found| found.at.start);
    all
}

/// The same text with `***` in place of each secret.
#[must_use]
pub fn redacted(text: &str) -> String {
    let mut shown = String::new();
    let mut end = 0;
    for found in in_text(text) {
        // One may be inside another, as where an assignment follows an address in the same word.
        if found.at.start < end {
            end = end.max(found.at.end);
            continue;
        }
        shown.push_str(text.get(end..found.at.start).unwrap_or_default());
        shown.push_str("***");
        end = found.at.end;
    }
    shown.push_str(text.get(end..).unwrap_or_default());
    shown
}

/// Each `name=value` of a text, with where the value stands. A value in quotation marks ends with them, any other with its word or, in
/// a step that only lists assignments, with the next one.
fn assignments(text: &str) -> impl Iterator<Item = (&str, &str, Range<usize>)> {
    let is_list = is_list(text);
    text.match_indices('=').filter_map(move |(at, _)| {
        let name = text.get(..at)?.rsplit(|char| !is_of_name(char)).next()?.trim_start_matches('-');
        let from = at.saturating_add(1);
        let after = text.get(from..)?;
        let quote = after.chars().next().filter(|char| matches!(char, '"' | '\''));
        let from = if quote.is_some() { from.saturating_add(1) } else { from };
        let after = text.get(from..)?;
        let value = match quote {
            Some(quote) => until_quote(after, quote),
            None if is_list => until_assignment(after),
            None => {
                let ends = |char: char| char.is_whitespace() || ";&|)\"'`".contains(char);
                after.split(ends).next()?
            }
        };
        // What is compared is not assigned.
        let is_assigned = !name.is_empty() && !value.is_empty() && !value.starts_with('=');
        is_assigned.then(|| (name, value, from..from.saturating_add(value.len())))
    })
}

fn is_of_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.')
}

/// Whether a step is a list of assignments, which are written without quotation marks: `ENV`, and `RUN` with arguments of the build.
fn is_list(step: &str) -> bool {
    let step = step.trim_start();
    let step = step.strip_prefix("/bin/sh -c #(nop)").unwrap_or(step).trim_start();
    ["ENV ", "ARG ", "LABEL ", "RUN |", "|"].iter().any(|start| step.starts_with(start))
}

/// The text before a quotation mark that no backslash is before.
fn until_quote(text: &str, quote: char) -> &str {
    let mut is_escaped = false;
    let end = text.char_indices().find(|(_, char)| {
        let is_end = *char == quote && !is_escaped;
        is_escaped = *char == '\\' && !is_escaped;
        is_end
    });
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// The text before the next assignment, the command or the remark.
fn until_assignment(text: &str) -> &str {
    let is_next = |rest: &str| {
        let name = rest.split_once('=').map_or("", |(name, _)| name);
        rest.starts_with(['/', '#', '[']) || !name.is_empty() && name.chars().all(is_of_name)
    };
    let mut blanks = text.match_indices(' ').map(|(at, _)| at);
    let end = blanks.find(|at| text.get(at.saturating_add(1)..).is_some_and(is_next));
    end.and_then(|end| text.get(..end)).unwrap_or(text).trim_end()
}

/// Whether a value is one, and not a word for a value that comes later or from elsewhere.
fn is_literal(value: &str) -> bool {
    const SHORTEST: usize = 4;
    const WORDS: [&str; 19] = [
        "true",
        "false",
        "none",
        "null",
        "nil",
        "undefined",
        "unset",
        "test",
        "testing",
        "fake",
        "todo",
        "build",
        "build-time",
        "disabled",
        "enabled",
        "auto",
        "random",
        "generate",
        "required",
    ];
    const PARTS: [&str; 13] = [
        "changeme",
        "change-me",
        "change_me",
        "changethis",
        "change-this",
        "change_this",
        "example",
        "placeholder",
        "dummy",
        "redacted",
        "xxxx",
        "****",
        "not-a-real",
    ];
    let value = value.trim().trim_matches(['"', '\'']);
    let lower = value.to_ascii_lowercase();
    let is_reference = value.starts_with(['$', '%', '`']) || value.contains("${") || value.contains("{{");
    let is_gap = value.starts_with('<') && value.ends_with('>');
    let is_number = value.len() < 6 && value.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = WORDS.contains(&lower.as_str())
        || PARTS.iter().any(|part| lower.contains(part))
        || ["your-", "your_", "my-", "my_", "replace"].iter().any(|start| lower.starts_with(start));
    let is_other = is_reference || is_gap || is_number || is_word || is_path(value);
    SHORTEST <= value.chars().count() && !is_other
}

/// Whether a value is the path of a file: nobody's password has only lower-case letters between slashes.
fn is_path(value: &str) -> bool {
    let starts = ["/", "./", "../", "~/", "file:"].iter().any(|start| value.starts_with(start));
    let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "/._-:~".contains(char);
    starts && (value.starts_with("/run/secrets/") || value.chars().all(is_plain))
}

#[cfg(test)]
mod tests;
