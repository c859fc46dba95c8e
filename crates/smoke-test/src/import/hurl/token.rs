//! The words of a line of Hurl.

use std::iter::Peekable;
use std::str::Chars;

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// What stood in quotes, of one kind or the other.
    Quoted(String),
    /// What stood between slashes.
    Regex(String),
    /// A variable alone, with its braces.
    Variable(String),
    /// `hex,...;` and its like: the word before the comma, and what follows it.
    Bytes(String, String),
}

/// Signs that need no blank behind them.
const SIGNS: [&str; 6] = ["==", "!=", ">=", "<=", ">", "<"];

/// The words up to a comment. `None` where a quote has no end.
pub(super) fn tokens(line: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (token, after) = token(rest)?;
        tokens.push(token);
        rest = after.trim_start();
    }
    Some(tokens)
}

fn token(text: &str) -> Option<(Token, &str)> {
    if let Some(rest) = text.strip_prefix("```") {
        let (inner, after) = rest.split_once("```")?;
        let (_, inner) = inner.split_once('\n').unwrap_or(("", inner));
        return Some((Token::Quoted(inner.to_owned()), after));
    }
    if text.starts_with('`') {
        let (inner, after) = one_line(text)?;
        return Some((Token::Quoted(inner), after));
    }
    if let Some(rest) = text.strip_prefix("{{") {
        let (inner, after) = rest.split_once("}}")?;
        return Some((Token::Variable(format!("{{{{{inner}}}}}")), after));
    }
    if let Some(sign) = SIGNS.iter().find(|sign| text.starts_with(**sign)) {
        return Some((Token::Word((*sign).to_owned()), text.strip_prefix(sign)?));
    }
    match text.chars().next()? {
        '"' => until(text, '"').and_then(|(inner, after)| Some((Token::Quoted(unescaped(inner)?), after))),
        '/' => until(text, '/').map(|(inner, after)| (Token::Regex(inner.replace("\\/", "/")), after)),
        _ => word(text),
    }
}

fn word(text: &str) -> Option<(Token, &str)> {
    let end = text.find([' ', '\t', '\n', '#']).unwrap_or(text.len());
    let (word, after) = text.split_at_checked(end)?;
    for kind in ["hex", "base64", "file"] {
        if word.strip_prefix(kind).is_some_and(|rest| rest.starts_with(',')) {
            let (_, rest) = text.split_once(',')?;
            let (bytes, after) = rest.split_once(';')?;
            return Some((Token::Bytes(kind.to_owned(), bytes.trim().to_owned()), after));
        }
    }
    Some((Token::Word(word.to_owned()), after))
}

/// The text between two backticks, in which there may be escapes as between quotes, and what follows.
pub(super) fn one_line(text: &str) -> Option<(String, &str)> {
    until(text, '`').and_then(|(inner, after)| Some((unescaped(inner)?, after)))
}

/// What stands between two of these, of which the second has no backslash before it.
fn until(text: &str, mark: char) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(mark)?;
    let mut is_escaped = false;
    for (start, c) in rest.char_indices() {
        if c == mark && !is_escaped {
            return Some((rest.get(..start)?, rest.get(start + c.len_utf8()..)?));
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    None
}

/// A text whose escapes are resolved. `None` where one is none.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(match chars.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => code_point(&mut chars)?,
            other => other,
        });
    }
    Some(plain)
}

/// The character of `{1f600}`.
fn code_point(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    chars.next_if_eq(&'{')?;
    let digits: String = chars.by_ref().take_while(|c| *c != '}').take(8).collect();
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}

/// A line `key: value` without its comment.
pub(super) fn pair(line: &str) -> Option<(String, String)> {
    let mut is_escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let is_comment = *c == '#' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        is_comment
    });
    let line = end.map_or(Some(line), |(end, _)| line.get(..end))?;
    let (key, value) = line.split_once(':')?;
    Some((unescaped(key.trim())?, unescaped(value.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(text: &str) -> Token {
        Token::Word(text.to_owned())
    }

    fn quoted(text: &str) -> Token {
        Token::Quoted(text.to_owned())
    }

    #[test]
    fn a_line_has_words_texts_patterns_variables_and_bytes() {
        let line = r#"jsonpath "$.a[\"b\"]" nth 1 matches /a\/b\d"/ # why"#;
        let regex = Token::Regex("a/b\\d\"".to_owned());
        let wanted = [word("jsonpath"), quoted("$.a[\"b\"]"), word("nth"), word("1"), word("matches"), regex];
        assert_eq!(tokens(line).unwrap(), wanted);
        let bytes = Token::Bytes("hex".to_owned(), "ab cd".to_owned());
        assert_eq!(tokens("sha256 ==hex,ab cd;").unwrap(), [word("sha256"), word("=="), bytes]);
        let variable = Token::Variable("{{ a b }}".to_owned());
        assert_eq!(
            tokens("variable `a#` != {{ a b }}").unwrap(),
            [word("variable"), quoted("a#"), word("!="), variable]
        );
        assert_eq!(tokens("body == ```\na\n```").unwrap(), [word("body"), word("=="), quoted("a\n")]);
        for line in ["header \"x", "body matches /x", "`a", "```a", "{{a", "hex,ab"] {
            assert_eq!(tokens(line), None, "{line}");
        }
    }

    #[test]
    fn a_pair_ends_before_its_comment() {
        let both = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
        assert_eq!(pair(r"X-A : b\#c:d # e"), both("X-A", "b#c:d"));
        assert_eq!(pair(r"a: \u{1F600}\n"), both("a", "\u{1f600}\n"));
        assert_eq!(pair("a"), None);
        assert_eq!(pair("a: \\"), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in any::<String>()) {
            prop_assert!(tokens(&text).is_none_or(|tokens| tokens.len() <= text.len()));
            prop_assert!(pair(&text).is_none_or(|(key, _)| key.len() <= text.len()));
        }
    }
}
