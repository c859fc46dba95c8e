//! Compose's variables in texts: `$NAME`, `${NAME:-default}` and their like.

/// How deep defaults may hold variables with defaults.
const MAX_DEPTH: usize = 16;

/// A piece of a text with variables, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// A variable that is not known yet, or not at all.
    Variable {
        /// Its name.
        name: String,
        /// What the file says where it has no value (`${NAME:?...}`). Then an empty value is none, either.
        message: Option<String>,
    },
}

/// What is known about a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Its value.
    Value(String),
    /// It has one, which will be known later and is not empty.
    Later,
    /// It is not set.
    Unset,
}

/// A text whose variables are not written as Compose wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadTemplate(pub(super) String);

/// What a variable gives, by what stands behind its name.
enum Rule<'a> {
    Value,
    Default { is_empty_unset: bool, text: &'a str },
    Required { is_empty_unset: bool, message: &'a str },
    Other { is_empty_unset: bool, text: &'a str },
}

/// The text with its variables replaced. What is not set and has no default stays a variable; neighbouring texts are one.
pub(super) fn fill(text: &str, look: &dyn Fn(&str) -> Found) -> Result<Vec<Part>, BadTemplate> {
    let mut parts = Vec::new();
    read(text, look, 0, &mut parts)?;
    Ok(parts)
}

fn read(
    text: &str,
    look: &dyn Fn(&str) -> Found,
    depth: usize,
    parts: &mut Vec<Part>,
) -> Result<(), BadTemplate> {
    if MAX_DEPTH < depth {
        return Err(BadTemplate("variables nest more than 16 levels deep".to_owned()));
    }
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        push(parts, before);
        if let Some(after) = after.strip_prefix('$') {
            push(parts, "$");
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let bad = || BadTemplate(format!("`${after}` does not end"));
            let (inside, after) = closed(inner).ok_or_else(bad)?;
            let bad = || BadTemplate(format!("`${{{inside}}}` is not a variable"));
            let (name, rule) = braced(inside).ok_or_else(bad)?;
            apply(name, &rule, look, depth, parts)?;
            rest = after;
        } else {
            let (name, after) = word(after);
            if name.is_empty() {
                push(parts, "$");
            } else {
                apply(name, &Rule::Value, look, depth, parts)?;
            }
            rest = after;
        }
    }
    push(parts, rest);
    Ok(())
}

fn apply(
    name: &str,
    rule: &Rule<'_>,
    look: &dyn Fn(&str) -> Found,
    depth: usize,
    parts: &mut Vec<Part>,
) -> Result<(), BadTemplate> {
    let found = look(name);
    let has_value = |is_empty_unset: bool| match &found {
        Found::Value(text) => !is_empty_unset || !text.is_empty(),
        Found::Later => true,
        Found::Unset => false,
    };
    let depth = depth.saturating_add(1);
    let mut message = None;
    match *rule {
        Rule::Default { is_empty_unset, text } if !has_value(is_empty_unset) => {
            return read(text, look, depth, parts);
        }
        Rule::Other { is_empty_unset, text } => {
            return if has_value(is_empty_unset) { read(text, look, depth, parts) } else { Ok(()) };
        }
        Rule::Required { is_empty_unset, message: text } if !has_value(is_empty_unset) => {
            let mut said = Vec::new();
            read(text, look, depth, &mut said)?;
            message = Some(shown(&said));
        }
        Rule::Value | Rule::Default { .. } | Rule::Required { .. } => {}
    }
    match found {
        Found::Value(text) if message.is_none() => push(parts, &text),
        Found::Value(_) | Found::Later | Found::Unset => {
            parts.push(Part::Variable { name: name.to_owned(), message });
        }
    }
    Ok(())
}

/// The parts as they would be written.
fn shown(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Variable { name, .. } => format!("${{{name}}}"),
    };
    parts.iter().map(part).collect()
}

fn push(parts: &mut Vec<Part>, more: &str) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push_str(more),
        Some(Part::Variable { .. }) | None if more.is_empty() => {}
        Some(Part::Variable { .. }) | None => parts.push(Part::Text(more.to_owned())),
    }
}

/// What is before the brace that closes this one, and what is after it.
fn closed(text: &str) -> Option<(&str, &str)> {
    let mut open = 1_usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => open = open.saturating_add(1),
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            return Some((text.get(..at)?, text.get(at.saturating_add(1)..)?));
        }
        before = c;
    }
    None
}

/// The name at the start and the rest; empty where there is none.
fn word(text: &str) -> (&str, &str) {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return ("", text);
    }
    text.split_at_checked(text.find(|c| !letter(c)).unwrap_or(text.len())).unwrap_or(("", text))
}

fn braced(inside: &str) -> Option<(&str, Rule<'_>)> {
    let (name, rest) = word(inside);
    if name.is_empty() {
        return None;
    }
    if rest.is_empty() {
        return Some((name, Rule::Value));
    }
    let (is_empty_unset, rest) = match rest.strip_prefix(':') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rule = if let Some(text) = rest.strip_prefix('-') {
        Rule::Default { is_empty_unset, text }
    } else if let Some(message) = rest.strip_prefix('?') {
        Rule::Required { is_empty_unset, message }
    } else {
        Rule::Other { is_empty_unset, text: rest.strip_prefix('+')? }
    };
    Some((name, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str) -> Found {
        match name {
            "A" => Found::Value("a".to_owned()),
            "EMPTY" => Found::Value(String::new()),
            "LATER" => Found::Later,
            _ => Found::Unset,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(fill(text, &look).map(|parts| shown(&parts)), Ok(expected.to_owned()), "{text}");
    }

    #[test]
    fn a_variable_gives_its_value_or_what_is_written_for_it() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("x$A-y${A}z", "xa-yaz"),
            ("${A:-d}${A-d}${A:?m}${A?m}", "aaaa"),
            ("${NO:-d}${NO-d}", "dd"),
            ("${EMPTY:-d}|${EMPTY-d}|${EMPTY?m}", "d||"),
            ("${A:+x}${NO:+x}${EMPTY:+x}${EMPTY+y}${NO+y}", "xy"),
            ("${NO:-${A}${NO:-}/${NO-e}}!", "a/e!"),
            ("${NO:-}", ""),
            ("${LATER:-d}.${LATER:+x}", "${LATER}.x"),
            ("$NO/${NO}", "${NO}/${NO}"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn a_dollar_sign_is_itself_when_doubled_or_before_no_name() {
        check("$$A $${A} $-1 5$ $1", "$A ${A} $-1 5$ $1");
        check("$$$A", "$a");
    }

    #[test]
    fn what_has_to_be_set_keeps_its_message() {
        for (text, message) in
            [("${NO:?give $A}", "give a"), ("${EMPTY:?none}", "none"), ("${NO?}", ""), ("${NO?$NO}", "${NO}")]
        {
            let parts = fill(text, &look).unwrap();
            let [Part::Variable { message: found, .. }] = parts.as_slice() else { panic!("{parts:?}") };
            assert_eq!(found.as_deref(), Some(message), "{text}");
        }
    }

    #[test]
    fn what_compose_cannot_read_is_refused() {
        for text in ["${A", "${}", "${A B}", "${1}", "${A/b/c}", "${A:=d}", "${NO:-${A}"] {
            assert!(fill(text, &look).is_err(), "{text}");
        }
        assert!(fill(&format!("{}x{}", "${NO:-".repeat(100_000), "}".repeat(100_000)), &look).is_err());
    }
}
