//! Makes foreign text harmless for a workflow log: the runner reads commands out of everything that a step prints.
//!
//! The runner takes `::name::` at the start of a line (white space before it allowed) and `##[name]` anywhere in a
//! line, from stdout and stderr alike. It searches with the culture's rules, which skip invisible characters; so those
//! are taken out first.

/// How long a line may become, in characters.
pub const LINE_LIMIT: usize = 4000;

/// One line: line ends become spaces. For a sentence, a cell, a title.
#[must_use]
pub fn line(text: &str) -> String {
    let joined = lines(text).map(|line| clean(line).trim().to_owned()).collect::<Vec<_>>().join(" ");
    guard(&cut(joined.trim()))
}

/// The same for XML, which does not allow two characters that a line may have (XML 1.0, 2.2).
#[must_use]
pub fn xml(text: &str) -> String {
    line(text).replace(['\u{fffe}', '\u{ffff}'], "")
}

/// Keeps the lines; none of them is a command. For our own sentences with foreign words in them.
#[must_use]
pub fn text(text: &str) -> String {
    lines(text).map(|line| guard(&cut(clean(line).trim_end()))).collect::<Vec<_>>().join("\n")
}

/// Foreign text as a quotation: at most `limit` lines (the last ones, which say how it ended), each after `| `.
#[must_use]
pub fn quoted(text: &str, limit: usize) -> String {
    let all: Vec<&str> = lines(text.trim_end()).collect();
    let left_out = all.len().saturating_sub(limit);
    let note = (0 < left_out).then(|| format!("| ({left_out} lines before this are left out)"));
    let shown = all.iter().skip(left_out).map(|line| {
        let line = break_old_commands(&cut(clean(line).trim_end()));
        format!("| {line}").trim_end().to_owned()
    });
    note.into_iter().chain(shown).collect::<Vec<_>>().join("\n")
}

/// JSON that says the same and holds nothing that the runner would take for a command.
///
/// In JSON `##[` and invisible characters stand only inside strings, where an escape means the same.
#[must_use]
pub fn json(text: &str) -> String {
    use std::fmt::Write as _;
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if !character.is_ascii() && is_invisible(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                write!(visible, "\\u{unit:04x}").ok();
            }
        } else {
            visible.push(character);
        }
    }
    visible.replace("##[", "#\\u0023[")
}

/// The lines as the runner sees them: it also ends a line at a lone carriage return. `\r\n` is one line end.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Without escape sequences, controls (but tabs) and invisible characters.
fn clean(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character == '\u{1b}' {
            skip_escape_sequence(&mut rest);
        } else if character == '\t' || !is_invisible(character) {
            clean.push(character);
        }
    }
    clean
}

/// Skips what follows an ESC (ECMA-48): a control sequence, a control string up to its terminator, or one character.
fn skip_escape_sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => {
            rest.by_ref().find(|c| ('@'..='~').contains(c));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut before = ' ';
            for character in rest.by_ref() {
                if character == '\u{7}' || character == '\u{9c}' || (before == '\u{1b}' && character == '\\')
                {
                    return;
                }
                before = character;
            }
        }
        Some(_) | None => {}
    }
}

/// Controls, and what Unicode calls default-ignorable: zero-width, joiners, direction marks, variation selectors, tags.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// At most [`LINE_LIMIT`] characters.
fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE_LIMIT) {
        Some((end, _)) => format!("{}... (cut)", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

/// A backslash inside `##[`, as the runner itself writes it where it must print one.
fn break_old_commands(line: &str) -> String {
    line.replace("##[", "##\\[")
}

/// A line that is no command.
fn guard(line: &str) -> String {
    let line = break_old_commands(line);
    if line.trim_start().starts_with("::") { format!("| {}", line.trim_start()) } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(foreign: &str, expected: &str) {
        assert_eq!(text(foreign), expected);
    }

    #[test]
    fn no_line_is_a_command() {
        check("::set-output name=verdict::pass", "| ::set-output name=verdict::pass");
        check("ok\r \t::error::x", "ok\n| ::error::x");
        check("a ##[set-output name=x]y", "a ##\\[set-output name=x]y");
        check("ok\r\n", "ok\n");
    }

    #[test]
    fn a_command_with_something_invisible_inside_is_broken_too() {
        check("#\u{200b}#[error]x", "##\\[error]x");
        check("#\u{1b}[31m#[error]x", "##\\[error]x");
        check("\u{feff}::error::x", "| ::error::x");
        check(":\0:error::x", "| ::error::x");
    }

    #[test]
    fn colours_and_titles_of_terminals_are_taken_out() {
        check("\u{1b}[1;31mred\u{1b}[0m \u{1b}]0;title\u{7}end", "red end");
        check("\u{1b}]8;;https://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link");
    }

    #[test]
    fn a_sentence_has_one_line() {
        assert_eq!(line(" a\n::error::b\r\n"), "a ::error::b");
        assert_eq!(line("\n::error::b"), "| ::error::b");
        assert!(line(&"x".repeat(9000)).len() < 4020);
    }

    #[test]
    fn a_quotation_keeps_the_end() {
        assert_eq!(quoted("a\nb\n::c\n", 2), "| (1 lines before this are left out)\n| b\n| ::c");
    }

    #[test]
    fn json_stays_the_same_json() {
        let hostile = serde_json::json!({"tag": "a##[set-output]b", "note": "#\u{200b}#[x\u{e0001}"});
        let shown = json(&hostile.to_string());
        assert!(!shown.contains("##[") && shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), hostile);
    }
}
