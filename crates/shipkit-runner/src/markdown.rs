//! Markdown for step summaries out of foreign text: nothing in it becomes a link, a mention, HTML or another column.

use crate::sanitize;

/// Plain text, fit for a sentence and for a cell of a table.
#[must_use]
pub fn text(foreign: &str) -> String {
    let foreign = sanitize::line(foreign);
    let mut escaped = String::with_capacity(foreign.len() + 16);
    let mut before = ' ';
    for character in foreign.chars() {
        match character {
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '!' | '$' => {
                escaped.extend(['\\', character]);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // A mention begins where no letter or digit stands before the sign; `name@sha256` stays as it is.
            '@' if !before.is_alphanumeric() => escaped.push_str("@&#8203;"),
            other => escaped.push(other),
        }
        before = character;
    }
    // Bare addresses become links by themselves.
    escaped.replace("://", ":&#8203;//").replace("www.", "www&#8203;.")
}

/// Text as code, for names, digests and commands: it can be copied as it stands. Fit for a cell of a table.
#[must_use]
pub fn code(foreign: &str) -> String {
    let foreign = sanitize::line(foreign);
    if foreign.is_empty() {
        return String::new();
    }
    // In code nothing can stand between a backslash and the one that escapes a bar, and parsers disagree about the three.
    if foreign.contains("\\|") {
        return format!("<code>{}</code>", text(&foreign));
    }
    let longest = foreign.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if foreign.starts_with('`') || foreign.ends_with('`') { " " } else { "" };
    // Only `|` has to be escaped inside code in a table (GFM, "Tables").
    format!("{fence}{space}{}{space}{fence}", foreign.replace('|', "\\|"))
}

/// Several lines as a code block, at most `limit` lines.
#[must_use]
pub fn block(foreign: &str, limit: usize) -> String {
    let quoted = sanitize::quoted(foreign, limit);
    let longest = quoted.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}text\n{quoted}\n{fence}\n")
}

/// A table. The cells are markdown already: make them with [`text`] or [`code`].
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let row =
        |cells: &mut dyn Iterator<Item = &str>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut table = row(&mut head.iter().copied());
    table.push_str(&row(&mut head.iter().map(|_| "---")));
    for cells in rows {
        table.push_str(&row(&mut cells.iter().map(String::as_str)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_behind_a_backslash_makes_no_column_in_code() {
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code("a\\|b"), "<code>a\\\\\\|b</code>");
    }

    #[test]
    fn foreign_text_is_only_text() {
        assert_eq!(text("a|b\n<b> `x` @team [l](u)"), "a\\|b &lt;b&gt; \\`x\\` @&#8203;team \\[l\\](u)");
        assert_eq!(text("https://evil"), "https:&#8203;//evil");
        assert_eq!(text("api@sha256:ab"), "api@sha256:ab");
        assert_eq!(text("größe é 漢"), "größe é 漢");
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(block("```\nx", 9), "````text\n| ```\n| x\n````\n");
    }

    #[test]
    fn a_table_has_a_line_per_row() {
        assert_eq!(
            table(&["a", "b"], &[vec!["1".to_owned(), "2".to_owned()]]),
            "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
        );
    }
}
