//! The file `.env` beside a Compose file: values for its variables.

use std::collections::BTreeMap;

use super::template::{Found, Part, fill};

/// The values by name. `outer` answers for variables that are set outside of it and count more.
///
/// Lines of another form are passed over: the file may hold what only others read.
pub(super) fn read(text: &str, outer: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let Some((name, value)) = entry(line) else {
            rest = after;
            continue;
        };
        let inside = |quote: char| {
            let tail = rest.get(line.len().checked_sub(value.len())?..)?.strip_prefix(quote)?;
            quoted(tail, quote)
        };
        if let Some((text, after)) = inside('\'') {
            values.insert(name.to_owned(), text);
            rest = after;
        } else if let Some((text, after)) = inside('"') {
            let text = filled(&text, &values, outer);
            values.insert(name.to_owned(), text);
            rest = after;
        } else {
            let bare = value.split_once(" #").map_or(value, |(value, _comment)| value).trim();
            let text = filled(if bare.starts_with('#') { "" } else { bare }, &values, outer);
            values.insert(name.to_owned(), text);
            rest = after;
        }
    }
    values
}

/// The name and the value of a line, from the first character of the value to the end of the line.
fn entry(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let is_name = !name.is_empty() && name.bytes().all(letter);
    is_name.then(|| (name, value.trim_start_matches([' ', '\t'])))
}

/// What is inside the quotes, which may hold lines, and the lines after it. In double quotes `\` escapes.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            let after = text.get(at..)?;
            return Some((value, after.split_once('\n').map_or("", |(_, after)| after)));
        }
        if c != '\\' || quote == '\'' {
            value.push(c);
            continue;
        }
        match characters.next()?.1 {
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            // What follows is a dollar sign, also for what reads variables.
            '$' => value.push_str("$$"),
            other if other == quote || other == '\\' => value.push(other),
            other => value.extend(['\\', other]),
        }
    }
    None
}

/// With variables replaced, those that nobody knows by nothing; a text that Compose could not read stays as it is.
fn filled(text: &str, values: &BTreeMap<String, String>, outer: &dyn Fn(&str) -> Option<String>) -> String {
    let look = |name: &str| {
        let value = outer(name).or_else(|| values.get(name).cloned());
        value.map_or(Found::Unset, Found::Value)
    };
    let part = |part| match part {
        Part::Text(text) => text,
        Part::Variable { .. } => String::new(),
    };
    fill(text, &look).map_or_else(|_bad| text.to_owned(), |parts| parts.into_iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let outer = |name: &str| (name == "OUT").then(|| "out".to_owned());
        let found = read(text, &outer);
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_line_is_a_name_and_a_value() {
        check(
            "# a comment\n\nA=1\nexport B = two words \r\nC=\n",
            &[("A", "1"), ("B", "two words"), ("C", "")],
        );
        check("A=x # said\nB=x#y\nC=#no", &[("A", "x"), ("B", "x#y"), ("C", "")]);
        check("not a line\nA B=1\n=2\nC=3", &[("C", "3")]);
    }

    #[test]
    fn quotes_hold_everything_up_to_the_next_one() {
        check("A='a # \"b\" $C'\nB=2", &[("A", "a # \"b\" $C"), ("B", "2")]);
        check("A=\"a\\n\\\"b\\\"\\\\ \\$C\" # said\nB=2", &[("A", "a\n\"b\"\\ $C"), ("B", "2")]);
        check("A='one\ntwo'\nB=2", &[("A", "one\ntwo"), ("B", "2")]);
        check("A='one\nB=2", &[("A", "'one"), ("B", "2")]);
    }

    #[test]
    fn values_may_name_earlier_ones_and_those_outside() {
        check("A=1\nB=$A-${OUT}-${NO:-d}-$NO\nC=\"$A\"", &[("A", "1"), ("B", "1-out-d-"), ("C", "1")]);
        check("OUT=1\nA=$OUT", &[("A", "out"), ("OUT", "1")]);
    }
}
