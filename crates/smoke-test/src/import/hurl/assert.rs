//! One line of `[Asserts]`: what is asked of an answer, and what it has to be.

use serde_json::{Map, Number, Value};

use super::super::draft::{Draft, Part, Term};
use super::super::json;
use super::super::text::{Text, escaped};
use super::token::{Token, tokens};

/// What `isUuid` takes (RFC 9562 4).
const UUID: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

/// What is looked at.
enum Query {
    Status,
    Duration,
    Header(String),
    Body,
    Bytes,
    /// How many bytes the body has.
    Size,
    Sha256,
    Json(String),
    /// How many entries there are at a path.
    Count(String),
}

/// A value to compare with.
struct Wanted {
    value: Value,
    /// A variable alone, which can be of any type.
    is_variable: bool,
    is_regex: bool,
}

/// Adds what the line says to the draft. `is_captured` knows the names that requests before have captured.
pub(super) fn assert(
    draft: &mut Draft,
    line: usize,
    text: &str,
    is_captured: &dyn Fn(&str) -> bool,
) -> Result<(), String> {
    let tokens = tokens(text).ok_or("the line has a text without an end")?;
    let mut words = tokens.into_iter();
    let mut query = query(&mut words)?;
    let mut word = loop {
        match words.next() {
            Some(Token::Word(word)) => match filtered(query, &word, &mut words) {
                Filtered::Yes(narrower) => query = narrower,
                Filtered::No(same) => {
                    query = same;
                    break word;
                }
                Filtered::Unknown(why) => return Err(why),
            },
            _ => return Err("there is nothing to compare with".to_owned()),
        }
    };
    let is_opposite = word == "not";
    if is_opposite {
        word = match words.next() {
            Some(Token::Word(word)) => word,
            _ => return Err("there is nothing to compare with".to_owned()),
        };
    }
    let wanted = words.next().map(wanted).transpose()?;
    if words.next().is_some() {
        return Err("there is more on the line than is known".to_owned());
    }
    match query {
        Query::Status => status(draft, &word, is_opposite, wanted.as_ref()),
        Query::Duration => duration(draft, &word, is_opposite, wanted.as_ref()),
        Query::Header(_)
        | Query::Body
        | Query::Bytes
        | Query::Size
        | Query::Sha256
        | Query::Json(_)
        | Query::Count(_) => {
            let term = term(line, &query, &word, wanted.as_ref(), is_captured)?;
            draft.terms.push(if is_opposite { term.opposite() } else { term });
            Ok(())
        }
    }
}

/// A `JSONPath` or a header, as `capture` has them.
pub(super) fn capture(text: &str) -> Result<Value, String> {
    let tokens = tokens(text).ok_or("the line has a text without an end")?;
    let tokens = match tokens.as_slice() {
        [rest @ .., Token::Word(last)] if last == "redact" => rest,
        all => all,
    };
    match tokens {
        [Token::Word(word), Token::Quoted(path)] if word == "jsonpath" => Ok(Value::from(literal(path)?)),
        [Token::Word(word), Token::Quoted(name)] if word == "header" => {
            Ok(Value::from(Map::from_iter([("header".to_owned(), Value::from(literal(name)?))])))
        }
        _ => Err("only `jsonpath` and `header` without filters can be captured".to_owned()),
    }
}

/// What stands in a key of a check cannot have variables.
fn literal(text: &str) -> Result<&str, String> {
    let text_ = Text::read(text);
    if text_.variables().next().is_some() || text_.computed().is_some() {
        return Err("a variable stands where checks have none".to_owned());
    }
    Ok(text)
}

fn query(words: &mut impl Iterator<Item = Token>) -> Result<Query, String> {
    let Some(Token::Word(word)) = words.next() else { return Err("nothing is asked".to_owned()) };
    let mut argument = || match words.next() {
        Some(Token::Quoted(text)) => Ok(literal(&text)?.to_owned()),
        _ => Err(format!("`{word}` has no text behind it")),
    };
    match word.as_str() {
        "status" => Ok(Query::Status),
        "duration" => Ok(Query::Duration),
        "body" => Ok(Query::Body),
        "sha256" => Ok(Query::Sha256),
        "bytes" => Ok(Query::Bytes),
        "header" => Ok(Query::Header(argument()?)),
        "jsonpath" => Ok(Query::Json(argument()?)),
        other => Err(format!("checks do not look at `{other}`")),
    }
}

enum Filtered {
    Yes(Query),
    /// The word is no filter.
    No(Query),
    Unknown(String),
}

/// A query narrowed by a filter.
fn filtered(query: Query, word: &str, words: &mut impl Iterator<Item = Token>) -> Filtered {
    match (query, word) {
        (Query::Json(path), "count") => Filtered::Yes(Query::Count(path)),
        (Query::Json(path), "first" | "last" | "nth") => {
            let number = match (word, words) {
                ("first", _) => Some(0),
                ("last", _) => Some(-1),
                (_, words) => match words.next() {
                    Some(Token::Word(number)) => number.parse().ok(),
                    _ => None,
                },
            };
            match number.and_then(|number| json::entry(&path, number)) {
                Some(path) => Filtered::Yes(Query::Json(path)),
                None => Filtered::Unknown(format!("`{word}` of several places")),
            }
        }
        (Query::Bytes, "count") => Filtered::Yes(Query::Size),
        (Query::Bytes, _) => Filtered::Unknown("of bytes only their `count` is known".to_owned()),
        (query @ Query::Header(_), "toInt" | "toFloat") => Filtered::Yes(query),
        (query, word) => {
            let is_filter = word.starts_with("to")
                || word.ends_with("code")
                || word.ends_with("Now")
                || [
                    "count",
                    "nth",
                    "first",
                    "last",
                    "regex",
                    "replace",
                    "replaceRegex",
                    "split",
                    "format",
                    "dateFormat",
                    "jsonpath",
                    "xpath",
                    "location",
                    "htmlEscape",
                    "htmlUnescape",
                    "urlQueryParam",
                ]
                .contains(&word);
            if is_filter { Filtered::Unknown(format!("the filter `{word}`")) } else { Filtered::No(query) }
        }
    }
}

fn wanted(token: Token) -> Result<Wanted, String> {
    let (mut is_variable, mut is_regex) = (false, false);
    let value = match token {
        Token::Quoted(text) => Value::from(text),
        Token::Regex(pattern) => {
            is_regex = true;
            Value::from(pattern)
        }
        Token::Variable(text) => {
            is_variable = true;
            Value::from(text)
        }
        Token::Bytes(kind, text) if kind == "hex" => Value::from(text.replace(' ', "")),
        Token::Bytes(kind, _) => return Err(format!("bytes in `{kind}`")),
        Token::Word(word) => match word.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            number => Value::from(
                number
                    .parse::<Number>()
                    .map_err(|_no_number| format!("`{number}` is no value that is known"))?,
            ),
        },
    };
    if let Some(computed) = value.as_str().and_then(|text| Text::read(text).computed().map(str::to_owned)) {
        return Err(format!("`{{{{{computed}}}}}` is a new value each time"));
    }
    Ok(Wanted { value, is_variable, is_regex })
}

/// A comparison of whole numbers.
fn compares(word: &str, is_opposite: bool, number: i64) -> Result<impl Fn(i64) -> bool, String> {
    let word = match word {
        "==" | "!=" | "<" | "<=" | ">" | ">=" => word.to_owned(),
        other => return Err(format!("`{other}` of a number")),
    };
    Ok(move |seen: i64| {
        let holds = match word.as_str() {
            "==" => seen == number,
            "!=" => seen != number,
            "<" => seen < number,
            "<=" => seen <= number,
            ">" => number < seen,
            _ => number <= seen,
        };
        holds != is_opposite
    })
}

fn status(draft: &mut Draft, word: &str, is_opposite: bool, wanted: Option<&Wanted>) -> Result<(), String> {
    let number =
        wanted.and_then(|wanted| wanted.value.as_i64()).ok_or("the status is compared with no number")?;
    let holds = compares(word, is_opposite, number)?;
    let statuses = draft.statuses.only(|status| holds(i64::from(status)));
    if statuses.value().is_err() {
        return Err("the statuses that are good are no short list".to_owned());
    }
    draft.statuses = statuses;
    Ok(())
}

fn duration(draft: &mut Draft, word: &str, is_opposite: bool, wanted: Option<&Wanted>) -> Result<(), String> {
    let limit = wanted.and_then(|wanted| wanted.value.as_u64()).filter(|limit| 0 < *limit);
    match (word, limit) {
        ("<" | "<=", Some(limit)) if !is_opposite => {
            draft.within = Some(draft.within.map_or(limit, |known| known.min(limit)));
            Ok(())
        }
        _ => Err("a time can only be less than a number of milliseconds".to_owned()),
    }
}

fn term(
    line: usize,
    query: &Query,
    word: &str,
    wanted: Option<&Wanted>,
    is_captured: &dyn Fn(&str) -> bool,
) -> Result<Term, String> {
    let of = part(query, word)?;
    let one = |word: &str, value: Value| Ok(Term::one(line, of.clone(), word, value));
    if let Query::Size = query {
        return one("size", number_of(word, wanted)?);
    }
    if let Query::Count(_) = query {
        return one("count", number_of(word, wanted)?);
    }
    if let Query::Sha256 = query {
        let hash = wanted.and_then(|wanted| wanted.value.as_str()).filter(|_| word == "==");
        return one("sha256", hash.ok_or("a hash can only be equal to one in `hex`")?.into());
    }
    let Some(wanted) = wanted else { return without_value(line, of, word) };
    let text =
        || wanted.value.as_str().filter(|_| !wanted.is_regex).ok_or(format!("`{word}` of what is no text"));
    let is_text = matches!(query, Query::Header(_) | Query::Body);
    let value = if is_text && !wanted.value.is_string() {
        Value::from(wanted.value.to_string())
    } else {
        wanted.value.clone()
    };
    match word {
        "==" | "!=" if wanted.is_regex => Err("a pattern in place of a value".to_owned()),
        "==" | "!=" => {
            let name = Text::read(value.as_str().unwrap_or_default()).only_variable().map(str::to_owned);
            let is_loose = !is_text && wanted.is_variable && !name.is_some_and(|name| is_captured(&name));
            // A variable of the environment is a text here and may be a number there.
            let equal = if is_loose {
                Term::one(line, of, "matches", format!("^{}$", value.as_str().unwrap_or_default()))
            } else {
                Term::one(line, of, "equals", value)
            };
            Ok(if word == "==" { equal } else { equal.opposite() })
        }
        "contains" | "includes" => one("contains", value),
        "startsWith" => one("matches", format!("^{}", escaped(text()?)).into()),
        "endsWith" => one("matches", format!("{}$", escaped(text()?)).into()),
        "matches" => {
            let pattern = wanted.value.as_str().ok_or("a pattern is no text")?;
            // There a variable is a part of the pattern, and here it stands for itself.
            one("matches", literal(pattern)?.into())
        }
        "<" | "<=" | ">" | ">=" => ordered(line, of, word, wanted, !is_text),
        other => Err(format!("`{other}`")),
    }
}

/// Where the value is that is compared.
fn part(query: &Query, word: &str) -> Result<Part, String> {
    Ok(match query {
        Query::Header(name) => Part::Header(name.clone()),
        Query::Body | Query::Bytes | Query::Size | Query::Sha256 | Query::Status | Query::Duration => {
            Part::Body
        }
        Query::Json(path) if word == "exists" || json::is_singular(path) => Part::Json(match word {
            "isEmpty" => json::counted(path).unwrap_or_else(|| path.clone()),
            _ => path.clone(),
        }),
        Query::Json(_) => {
            return Err("what several places are compared with, which is a list there".to_owned());
        }
        // Of several places it is known how many there are, of one what is in it.
        Query::Count(path) => Part::Json(json::counted(path).unwrap_or_else(|| path.clone())),
    })
}

fn without_value(line: usize, of: Part, word: &str) -> Result<Term, String> {
    let of_type = |name: &str| Ok(Term::one(line, of.clone(), "type", name));
    match word {
        "exists" => Ok(Term::one(line, of, "exists", true)),
        "isEmpty" if of == Part::Body => Ok(Term::one(line, of, "exists", false)),
        "isEmpty" => Ok(Term::one(line, of, "count", 0)),
        "isBoolean" => of_type("boolean"),
        "isInteger" => of_type("integer"),
        "isList" => of_type("array"),
        "isNumber" => of_type("number"),
        "isObject" => of_type("object"),
        "isString" => of_type("string"),
        "isFloat" => with(Term::one(line, of, "type", "number"), "matches", "[.e]".into()),
        "isUuid" => with(Term::one(line, of, "type", "string"), "matches", UUID.into()),
        other => Err(format!("`{other}`")),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it ends functions that can fail")]
fn with(mut term: Term, word: &str, value: Value) -> Result<Term, String> {
    term.matchers.insert(word.to_owned(), value);
    Ok(term)
}

/// A number, or what it has to be like.
fn number_of(word: &str, wanted: Option<&Wanted>) -> Result<Value, String> {
    let number = wanted.and_then(|wanted| wanted.value.as_u64());
    let number = number.ok_or("a number is compared with none")?;
    let over = |number: u64| Map::from_iter([("over".to_owned(), Value::from(number))]).into();
    let under = |number: u64| Map::from_iter([("under".to_owned(), Value::from(number))]).into();
    match word {
        "==" => Ok(Value::from(number)),
        "!=" => Ok(Map::from_iter([("not".to_owned(), Value::from(number))]).into()),
        ">" => Ok(over(number)),
        "<" => Ok(under(number)),
        "<=" => Ok(under(number.saturating_add(1))),
        ">=" if number == 0 => Err("there are always 0 or more".to_owned()),
        ">=" => Ok(over(number - 1)),
        other => Err(format!("`{other}` of a number")),
    }
}

/// A number in JSON has to be one; what a header has is a text in any case.
fn ordered(line: usize, of: Part, word: &str, wanted: &Wanted, is_json: bool) -> Result<Term, String> {
    let number = Value::from(wanted.value.as_number().cloned().ok_or("what is ordered is no number")?);
    let limit = |word: &str| Map::from_iter([(word.to_owned(), number.clone())]);
    let mut term = Term { line, of, matchers: Map::new() };
    if is_json {
        term.matchers.insert("type".to_owned(), "number".into());
    }
    match word {
        ">" => term.matchers.extend(limit("over")),
        "<" => term.matchers.extend(limit("under")),
        ">=" => drop(term.matchers.insert("not".to_owned(), limit("under").into())),
        _ => drop(term.matchers.insert("not".to_owned(), limit("over").into())),
    }
    Ok(term)
}

/// What the line asks, for people: without values, which may be secret.
pub(super) fn shown(text: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    for token in tokens(text).unwrap_or_default() {
        match token {
            Token::Word(word) if shown.len() < 4 => shown.push(word),
            // Of the query, such as a path.
            Token::Quoted(text) if shown.len() == 1 => shown.push(format!("\"{text}\"")),
            Token::Word(_) | Token::Quoted(_) | Token::Regex(_) | Token::Variable(_) | Token::Bytes(..) => {
                break;
            }
        }
    }
    shown.join(" ")
}
