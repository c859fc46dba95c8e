//! What test scripts usually say, as checks say it.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::super::draft::{Draft, Part, Term};
use super::super::json;
use super::script::Statement;

/// What stands for the JSON of the answer.
const BODIES: [&str; 3] =
    ["pm.response.json()", "JSON.parse(responseBody)", "JSON.parse(pm.response.text())"];
/// Who keeps variables.
const STORES: [&str; 4] = ["pm.environment", "pm.collectionVariables", "pm.globals", "pm.variables"];
/// Statuses by the words of the assertion library.
const WORDS: [(&str, u16, u16); 12] = [
    ("info", 100, 199),
    ("success", 200, 299),
    ("redirection", 300, 399),
    ("clientError", 400, 499),
    ("serverError", 500, 599),
    ("error", 400, 599),
    ("ok", 200, 200),
    ("accepted", 202, 202),
    ("badRequest", 400, 400),
    ("unauthorized", 401, 401),
    ("forbidden", 403, 403),
    ("notFound", 404, 404),
];

/// Types that both know.
const TYPES: [&str; 6] = ["array", "boolean", "null", "number", "object", "string"];

/// What the names of a script stand for: paths in the JSON of the answer.
#[derive(Debug, Default)]
pub(super) struct Idioms {
    paths: BTreeMap<String, String>,
}

/// What is looked at.
enum Subject {
    Status,
    Time,
    Text,
    Header(String),
    Json(String),
    /// How many entries there are at a path.
    Length(String),
}

/// A word of a chain, with what stands in brackets behind it.
#[derive(Debug)]
struct Link<'a> {
    name: &'a str,
    args: Option<&'a str>,
}

impl Idioms {
    /// Adds what a statement says to the draft. `Err` names what is left out.
    pub(super) fn take(&mut self, draft: &mut Draft, statement: &Statement) -> Result<(), String> {
        let text = statement.text.as_str();
        let unknown = || format!("`{}`", head(text));
        if statement.is_block {
            return Err(format!("{}, and all that is in it", unknown()));
        }
        if matches!(text, "'use strict'" | "\"use strict\"") || text.starts_with("console.") {
            return Ok(());
        }
        if let Some((_, inner)) = text.strip_prefix("pm.test(").and_then(|rest| rest.split_once("=>")) {
            let inner = inner.trim().strip_suffix(')').unwrap_or(inner).trim().to_owned();
            return self.take(draft, &Statement { text: inner, ..statement.clone() });
        }
        if let Some(done) = self.declared(text).or_else(|| self.stored(draft, text)) {
            return done.map_err(|why| format!("{}: {why}", unknown()));
        }
        let known =
            self.expected(draft, statement.line, text).or_else(|| of_response(draft, statement.line, text));
        known
            .unwrap_or_else(|| Err(String::new()))
            .map_err(|why: String| if why.is_empty() { unknown() } else { format!("{}: {why}", unknown()) })
    }

    /// `const a = pm.response.json()`, or a part of it.
    fn declared(&mut self, text: &str) -> Option<Result<(), String>> {
        let rest = ["const ", "let ", "var "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
        let (name, value) = rest.split_once('=')?;
        let name = name.trim();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
        let path = self.path(value.trim()).filter(|_| is_name)?;
        self.paths.insert(name.to_owned(), path);
        Some(Ok(()))
    }

    /// `pm.environment.set("token", a.token)`.
    fn stored(&self, draft: &mut Draft, text: &str) -> Option<Result<(), String>> {
        let old = ["postman.setEnvironmentVariable", "postman.setGlobalVariable"];
        let args = STORES.iter().find_map(|store| text.strip_prefix(store)?.strip_prefix(".set"));
        let args = args.or_else(|| old.iter().find_map(|old| text.strip_prefix(old)))?;
        let args = args.trim().strip_prefix('(')?.strip_suffix(')')?;
        let (name, value) = split_args(args)?;
        let Some(name) = quoted(name) else { return Some(Err("the name is no text".to_owned())) };
        let what = match (header_of(value), self.path(value)) {
            (Some(header), _) => Value::from(Map::from_iter([("header".to_owned(), Value::from(header))])),
            (None, Some(path)) => Value::from(path),
            (None, None) => return Some(Err("what is stored is no part of the answer".to_owned())),
        };
        draft.captures.retain(|(known, _)| *known != name);
        draft.captures.push((name, what));
        Some(Ok(()))
    }

    /// `pm.expect(...).to...`.
    fn expected(&self, draft: &mut Draft, line: usize, text: &str) -> Option<Result<(), String>> {
        let (inner, rest) = bracketed(text.strip_prefix("pm.expect")?)?;
        // A second argument is a message.
        let subject = split_args(inner).map_or(inner, |(subject, _)| subject);
        let Some(subject) = self.subject(subject.trim()) else {
            return Some(Err("what is looked at is no part of the answer".to_owned()));
        };
        let links = chain(rest)?;
        Some(expect(draft, line, &subject, &links))
    }

    fn subject(&self, text: &str) -> Option<Subject> {
        match text {
            "pm.response.code" | "pm.response.status" if text.ends_with("code") => {
                return Some(Subject::Status);
            }
            "responseCode.code" => return Some(Subject::Status),
            "pm.response.responseTime" | "responseTime" => return Some(Subject::Time),
            "pm.response.text()" | "responseBody" => return Some(Subject::Text),
            _ => {}
        }
        if let Some(header) = header_of(text) {
            return Some(Subject::Header(header));
        }
        match text.strip_suffix(".length").and_then(|list| self.path(list)) {
            Some(path) => Some(Subject::Length(path)),
            None => self.path(text).map(Subject::Json),
        }
    }

    /// The place in the answer that an expression stands for.
    fn path(&self, text: &str) -> Option<String> {
        let body = BODIES.iter().find_map(|body| Some(("$", text.strip_prefix(body)?)));
        let (start, steps) = body.or_else(|| {
            let end = text.find(['.', '[']).unwrap_or(text.len());
            let (name, steps) = text.split_at_checked(end)?;
            Some((self.paths.get(name)?.as_str(), steps))
        })?;
        let steps = steps.replace("?.", ".");
        let path = format!("{start}{steps}");
        json::is_singular(&path).then_some(path)
    }
}

/// `pm.response.to.have.status(200)`, and of headers.
fn of_response(draft: &mut Draft, line: usize, text: &str) -> Option<Result<(), String>> {
    let links = chain(text.strip_prefix("pm.response")?)?;
    let is_opposite = links.iter().any(|link| link.name == "not");
    let last = links.last()?;
    if !links.iter().any(|link| link.name == "to") {
        return None;
    }
    let args = last.args.map(str::trim);
    match (last.name, args) {
        ("status", Some(status)) => Some(match status.parse::<u16>() {
            Ok(status) => only(draft, |seen| (seen == status) != is_opposite),
            Err(_text) => Err("the status is no number".to_owned()),
        }),
        ("header", Some(args)) => {
            let (name, value) = split_args(args).map_or((args, None), |(name, value)| (name, Some(value)));
            let name = quoted(name)?;
            let term = match value {
                None => Term::one(line, Part::Header(name), "exists", true),
                Some(value) => Term::one(line, Part::Header(name), "equals", quoted(value)?),
            };
            draft.terms.push(if is_opposite { term.opposite() } else { term });
            Some(Ok(()))
        }
        (word, None) => {
            let (_, lo, hi) = WORDS.into_iter().find(|(known, ..)| *known == word)?;
            Some(only(draft, |seen| (lo..=hi).contains(&seen) != is_opposite))
        }
        _ => None,
    }
}

fn only(draft: &mut Draft, holds: impl Fn(u16) -> bool) -> Result<(), String> {
    let statuses = draft.statuses.only(holds);
    if statuses.value().is_err() {
        return Err("the statuses that are good are no short list".to_owned());
    }
    draft.statuses = statuses;
    Ok(())
}

fn expect(draft: &mut Draft, line: usize, subject: &Subject, links: &[Link<'_>]) -> Result<(), String> {
    let is_opposite = links.iter().any(|link| link.name == "not");
    let (last, before) = links.split_last().ok_or("nothing is expected")?;
    if let Some(strange) = before.iter().find(|link| !is_filler(link)) {
        return Err(format!("`{}` on the way", strange.name));
    }
    // A pattern is no value.
    let args = last.args.filter(|_| !matches!(last.name, "match" | "matches"));
    let value = args.map(|args| literal(args.trim()).ok_or("the value is no text, number or variable"));
    let number = || match &value {
        Some(Ok(Value::Number(number))) => number.as_u64().ok_or("the number is not whole"),
        _ => Err("it is no number"),
    };
    match subject {
        Subject::Status => {
            let good = match &value {
                Some(Ok(Value::Array(statuses))) if last.name == "oneOf" => statuses.clone(),
                Some(Ok(status)) if is_equal(last.name) => vec![status.clone()],
                _ => return Err(format!("`{}` of a status", last.name)),
            };
            only(draft, |seen| good.contains(&Value::from(seen)) != is_opposite)
        }
        Subject::Time => {
            let is_below = matches!(last.name, "below" | "lessThan" | "lt" | "most" | "lte") && !is_opposite;
            let limit = number()?;
            if !is_below || limit == 0 {
                return Err("a time can only be below a number of milliseconds".to_owned());
            }
            draft.within = Some(draft.within.map_or(limit, |known| known.min(limit)));
            Ok(())
        }
        Subject::Text | Subject::Header(_) | Subject::Json(_) | Subject::Length(_) => {
            let value = value.transpose()?;
            let term = term(line, subject, last, value)?;
            // `undefined` is what is not there.
            let is_reversed = is_opposite != (last.name == "undefined");
            draft.terms.push(if is_reversed { term.opposite() } else { term });
            Ok(())
        }
    }
}

/// Words that only make a sentence of it.
fn is_filler(link: &Link<'_>) -> bool {
    let words = ["to", "be", "not", "have", "deep", "that", "is", "and", "at", "an", "a"];
    words.contains(&link.name) && link.args.is_none()
}

fn is_equal(word: &str) -> bool {
    matches!(word, "eql" | "equal" | "equals" | "eq" | "eqls")
}

fn term(line: usize, subject: &Subject, last: &Link<'_>, value: Option<Value>) -> Result<Term, String> {
    let one = |word: &str, value: Value| matched(line, subject, last, word, value);
    match (last.name, value) {
        (word, Some(value)) if is_equal(word) => one("equals", value),
        ("include" | "includes" | "contain" | "contains" | "string", Some(value)) if is_part(&value) => {
            one("contains", value)
        }
        ("above" | "greaterThan" | "gt", Some(value)) if value.is_number() => one("over", value),
        ("below" | "lessThan" | "lt", Some(value)) if value.is_number() => one("under", value),
        ("least" | "gte", Some(value)) if value.is_number() => bound(line, subject, "under", value),
        ("most" | "lte", Some(value)) if value.is_number() => bound(line, subject, "over", value),
        ("lengthOf" | "length", Some(count)) if count.is_u64() => match subject {
            Subject::Json(path) => Ok(Term::one(line, entries(path), "count", count)),
            Subject::Text | Subject::Header(_) | Subject::Length(_) | Subject::Status | Subject::Time => {
                Err(format!("`{}` of this", last.name))
            }
        },
        ("a" | "an", Some(Value::String(kind))) if TYPES.contains(&kind.as_str()) => one("type", kind.into()),
        ("match" | "matches", _) => {
            let pattern =
                last.args.and_then(pattern).ok_or("the pattern has something that ours have not")?;
            one("matches", pattern.into())
        }
        ("property", Some(Value::String(name))) => match subject {
            Subject::Json(path) => {
                let path = format!("{path}[{}]", Value::from(name));
                Ok(Term::one(line, Part::Json(path), "exists", true))
            }
            Subject::Text | Subject::Header(_) | Subject::Length(_) | Subject::Status | Subject::Time => {
                Err("`property` of this".to_owned())
            }
        },
        ("true", None) => one("equals", true.into()),
        ("false", None) => one("equals", false.into()),
        ("null", None) => one("equals", Value::Null),
        ("exist" | "undefined", None) => one("exists", true.into()),
        (word, _) => Err(format!("`{word}`")),
    }
}

/// Whether a text or a list can have it as a part.
fn is_part(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

/// Where the entries are counted of what is at a path.
fn entries(path: &str) -> Part {
    Part::Json(json::counted(path).unwrap_or_else(|| path.to_owned()))
}

/// One matcher of what is looked at.
fn matched(
    line: usize,
    subject: &Subject,
    last: &Link<'_>,
    word: &str,
    value: Value,
) -> Result<Term, String> {
    match subject {
        Subject::Length(path) if word == "equals" => Ok(Term::one(line, entries(path), "count", value)),
        Subject::Length(path) if matches!(word, "over" | "under") => {
            let limit = Map::from_iter([(word.to_owned(), value)]);
            Ok(Term::one(line, entries(path), "count", limit))
        }
        Subject::Length(_) => Err(format!("`{}` of a length", last.name)),
        Subject::Header(name) => Ok(Term::one(line, Part::Header(name.clone()), word, value)),
        Subject::Json(path) => Ok(Term::one(line, Part::Json(path.clone()), word, value)),
        Subject::Text | Subject::Status | Subject::Time => Ok(Term::one(line, Part::Body, word, value)),
    }
}

/// At least or at most: not beyond the limit, and a number.
fn bound(line: usize, subject: &Subject, beyond: &str, number: Value) -> Result<Term, String> {
    let limit = Map::from_iter([(beyond.to_owned(), number)]);
    match subject {
        Subject::Json(path) => {
            let mut term = Term::one(line, Part::Json(path.clone()), "not", limit);
            term.matchers.insert("type".to_owned(), "number".into());
            Ok(term)
        }
        Subject::Length(path) => {
            let limit = Map::from_iter([("not".to_owned(), Value::from(limit))]);
            Ok(Term::one(line, entries(path), "count", limit))
        }
        Subject::Text | Subject::Header(_) | Subject::Status | Subject::Time => {
            Err("a limit of what is no number".to_owned())
        }
    }
}

/// The name of the header that is read.
fn header_of(text: &str) -> Option<String> {
    let rest = text
        .strip_prefix("pm.response.headers.get(")
        .or_else(|| text.strip_prefix("postman.getResponseHeader("));
    quoted(rest?.strip_suffix(')')?)
}

/// What stands between the first bracket and its end, and what follows.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let rest = text.trim_start().strip_prefix('(')?;
    let (mut depth, mut quote, mut is_escaped) = (1_usize, None, false);
    for (start, c) in rest.char_indices() {
        match quote {
            Some(mark) => {
                if c == mark && !is_escaped {
                    quote = None;
                }
                is_escaped = c == '\\' && !is_escaped;
            }
            None => match c {
                '"' | '\'' | '`' => quote = Some(c),
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            },
        }
        if depth == 0 {
            return Some((rest.get(..start)?, rest.get(start + c.len_utf8()..)?));
        }
    }
    None
}

/// Two arguments.
fn split_args(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quote) = (0_usize, None);
    for (start, c) in text.char_indices() {
        match quote {
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' | '`' => quote = Some(c),
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => return Some((text.get(..start)?.trim(), text.get(start + 1..)?.trim())),
                _ => {}
            },
        }
    }
    None
}

/// `.to.be.a("string")` in its words.
fn chain(text: &str) -> Option<Vec<Link<'_>>> {
    let mut links = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let after = rest.strip_prefix('.')?;
        let end = after.find(['.', '(', ' ']).unwrap_or(after.len());
        let (name, after) = after.split_at_checked(end)?;
        let (args, after) = if after.trim_start().starts_with('(') {
            bracketed(after).map(|(args, after)| (Some(args), after))?
        } else {
            (None, after)
        };
        links.push(Link { name, args });
        rest = after.trim_start();
    }
    Some(links)
}

/// A text in quotes of any kind, without a value in it.
fn quoted(text: &str) -> Option<String> {
    let text = text.trim();
    let mark = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let inner = text.strip_prefix(mark)?.strip_suffix(mark)?;
    if inner.contains(mark) || inner.contains('\\') || (mark == '`' && inner.contains("${")) {
        return None;
    }
    Some(inner.to_owned())
}

/// A value that is written out, or one of a variable.
fn literal(text: &str) -> Option<Value> {
    let get = STORES.iter().find_map(|store| text.strip_prefix(store)?.strip_prefix(".get("));
    if let Some(name) = get.and_then(|rest| quoted(rest.strip_suffix(')')?)) {
        return Some(Value::from(format!("{{{{{name}}}}}")));
    }
    if let Some(text) = quoted(text) {
        // In a script braces are no variable.
        return (!text.contains("{{")).then(|| Value::from(text));
    }
    if let Ok(number) = text.parse::<Number>() {
        return Some(Value::Number(number));
    }
    let value: Value = serde_json::from_str(text).ok()?;
    (!text.contains("{{")).then_some(value)
}

/// A pattern that means the same here. The flag `i` does, others do not.
fn pattern(text: &str) -> Option<String> {
    let (inner, flags) = text.trim().strip_prefix('/')?.rsplit_once('/')?;
    let flags = match flags {
        "" => "",
        "i" => "(?i)",
        _ => return None,
    };
    (!inner.contains("(?") && !inner.contains("{{")).then(|| format!("{flags}{}", inner.replace("\\/", "/")))
}

/// The beginning of a statement, for people: up to what may be secret.
fn head(text: &str) -> String {
    let end = text.find(['"', '\'', '`']).unwrap_or(text.len());
    let head = text.split_at_checked(end).map_or(text, |(head, _)| head);
    let mut cut: String = head.chars().take(60).collect();
    if cut.len() < text.len() {
        cut.push_str("...");
    }
    cut.split_whitespace().collect::<Vec<_>>().join(" ")
}
