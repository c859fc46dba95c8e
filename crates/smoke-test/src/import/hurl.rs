//! Hurl files: <https://hurl.dev/docs/hurl-file.html>.

mod assert;
mod parse;
mod token;

use std::collections::BTreeSet;

use serde_json::Value;
use shipkit_core::config::Method;

use super::Broken;
use super::draft::{Draft, Part, Term};
use super::note::{Notes, Place};
use super::secret::FORM;
use super::text::{Text, encoded};
use parse::{Body, Entry, Form, Language, Response, Row, Section};

const JSON: &str = "application/json";
/// Options that say how the program shows or stores what it does.
const OF_OUTPUT: [&str; 5] = ["output", "verbose", "verbosity", "very-verbose", "pretty"];
/// Options without which another request would go out, or be answered otherwise.
const OF_REQUEST: [&str; 11] = [
    "aws-sigv4",
    "cert",
    "connect-to",
    "header",
    "key",
    "location",
    "location-trusted",
    "negotiate",
    "netrc",
    "ntlm",
    "unix-socket",
];

/// The requests of a file, and what cannot be taken over of them.
pub(super) fn read(text: &str, file: usize, notes: &mut Notes) -> Result<Vec<Draft>, Broken> {
    let entries = parse::parse(text)?;
    let mut captured = BTreeSet::new();
    let mut drafts = Vec::new();
    for entry in &entries {
        let place = Place { file, line: entry.line };
        match request(entry, place, &captured, notes) {
            Ok(mut draft) => {
                if let Some(response) = &entry.response {
                    expect(&mut draft, response, &captured, notes);
                }
                if draft.statuses.is_any() {
                    notes.tell(place, "nothing says which status is good, so any is, as there");
                }
                captured.extend(draft.captures.iter().map(|(name, _)| name.clone()));
                drafts.push(draft);
            }
            Err(why) => notes.left_out(place, format!("the request: {why}")),
        }
    }
    Ok(drafts)
}

/// What goes out. `Err` where it would not be the same request.
fn request(
    entry: &Entry,
    place: Place,
    captured: &BTreeSet<String>,
    notes: &mut Notes,
) -> Result<Draft, String> {
    let method = Method::ALL.into_iter().find(|method| method.word() == entry.method);
    let method = method.ok_or_else(|| format!("checks have no method `{}`", entry.method))?;
    let mut draft = Draft::new(place, method, entry.url.clone());
    for row in &entry.request.headers {
        let (name, value) = pair(row)?;
        if draft.sends(&name) {
            return Err(format!("it sends `{name}` twice"));
        }
        draft.send.push((name, value));
    }
    for section in &entry.request.sections {
        self::section(&mut draft, section, notes)?;
    }
    if let Some(body) = &entry.request.body {
        if draft.body.is_some() {
            return Err("it has a form and a body".to_owned());
        }
        send(&mut draft, body, captured)?;
    }
    if draft.body.is_some() && method.is_safe() {
        return Err(format!("it is a `{}` with a body", entry.method));
    }
    Ok(draft)
}

fn pair(row: &Row) -> Result<(String, String), String> {
    token::pair(&row.text).ok_or_else(|| format!("line {} is no name with a value", row.line))
}

fn section(draft: &mut Draft, section: &Section, notes: &mut Notes) -> Result<(), String> {
    let pairs = || section.rows.iter().map(pair).collect::<Result<Vec<_>, _>>();
    let encoded_pair = |(name, value): &(String, String)| format!("{}={}", encoded(name), encoded(value));
    match section.name.as_str() {
        "Query" | "QueryStringParams" => {
            pairs()?.iter().for_each(|pair| draft.add_query(&encoded_pair(pair)));
        }
        "Form" | "FormParams" => {
            let pairs = pairs()?;
            for (name, value) in &pairs {
                if Text::read(value).variables().next().is_some() {
                    let place = Place { line: section.line, ..draft.place };
                    notes.tell(
                        place,
                        format!(
                            "the variable in `{name}` of the form goes out as it is, without percent-encoding"
                        ),
                    );
                }
            }
            draft.body = Some(pairs.iter().map(encoded_pair).collect::<Vec<_>>().join("&").into());
            send_type(draft, FORM);
        }
        "Cookies" => {
            let cookies = pairs()?.into_iter().map(|(name, value)| format!("{name}={value}"));
            let cookies = cookies.collect::<Vec<_>>().join("; ");
            draft.send.push(("Cookie".to_owned(), cookies));
        }
        "BasicAuth" => {
            draft.login = pairs()?.into_iter().next().map(|(user, password)| format!("{user}:{password}"));
        }
        "Options" => {
            for row in &section.rows {
                option(draft, row, notes)?;
            }
        }
        "Multipart" | "MultipartFormData" => return Err("its form has several parts with files".to_owned()),
        other => return Err(format!("checks have nothing like `[{other}]`")),
    }
    Ok(())
}

fn option(draft: &mut Draft, row: &Row, notes: &mut Notes) -> Result<(), String> {
    let (name, value) = pair(row)?;
    let place = Place { line: row.line, ..draft.place };
    let is_off = value == "false";
    match (name.as_str(), value.parse::<u64>()) {
        ("retry", Ok(retries)) => draft.retries = Some(retries),
        ("user", _) => draft.login = Some(value),
        ("skip", _) if !is_off => return Err("it is skipped there, too".to_owned()),
        ("max-time", _) => match milliseconds(&value) {
            Some(limit) => draft.within = Some(limit),
            None => notes.left_out(place, "the option `max-time`, whose value is no time"),
        },
        ("variable", _) => return Err("it gives a variable a value by an option".to_owned()),
        (name, _) if OF_REQUEST.contains(&name) && !is_off => {
            return Err(format!("it has the option `{name}`"));
        }
        (name, _) if OF_OUTPUT.contains(&name) || is_off => {
            notes.tell(place, format!("the option `{name}` means nothing here"));
        }
        (name, _) => notes.left_out(place, format!("the option `{name}`")),
    }
    Ok(())
}

/// A time whose unit is a second where none is named.
fn milliseconds(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let factor = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|time| 0 < *time)
}

/// Sends this type, if no other one is said.
fn send_type(draft: &mut Draft, kind: &str) {
    if !draft.sends("content-type") {
        draft.send.push(("Content-Type".to_owned(), kind.to_owned()));
    }
}

fn send(draft: &mut Draft, body: &Body, captured: &BTreeSet<String>) -> Result<(), String> {
    match body.form {
        Form::Json | Form::Text(Language::Json) => match as_json(&body.text, captured) {
            // A text alone would go out as it is, without quotes.
            Some(value) if !value.is_string() => draft.body = Some(value),
            _ => {
                send_type(draft, JSON);
                draft.body = Some(body.text.clone().into());
            }
        },
        Form::Xml | Form::Text(Language::Xml) => {
            send_type(draft, "application/xml");
            draft.body = Some(body.text.clone().into());
        }
        Form::Text(Language::None) => draft.body = Some(body.text.clone().into()),
        Form::Text(Language::Other) => {
            return Err("its body is in a language that checks do not know".to_owned());
        }
        Form::File => return Err("its body is a file".to_owned()),
        Form::Base64 | Form::Hex => {
            let bytes = if body.form == Form::Hex { of_hex(&body.text) } else { of_base64(&body.text) };
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or("its body is not a text")?;
            // It holds no variables, whatever it looks like.
            if text.contains("{{") {
                return Err("its body has braces that would be a variable here".to_owned());
            }
            draft.body = Some(text.into());
        }
    }
    Ok(())
}

/// The value of JSON in which variables stand also where values do. `None` where one of these may be no text: what a check
/// captures has its own type, and what the environment gives is a text.
fn as_json(text: &str, captured: &BTreeSet<String>) -> Option<Value> {
    let (mut json, mut rest, mut is_inside) = (String::new(), text, false);
    while !rest.is_empty() {
        if let Some((inner, after)) =
            rest.strip_prefix("{{").filter(|_| !is_inside).and_then(|rest| rest.split_once("}}"))
        {
            if !captured.contains(inner.trim()) {
                return None;
            }
            json.extend(["\"{{", inner, "}}\""]);
            rest = after;
            continue;
        }
        let mut chars = rest.chars();
        let c = chars.next()?;
        json.push(c);
        match c {
            '"' => is_inside = !is_inside,
            '\\' if is_inside => json.extend(chars.next()),
            _ => {}
        }
        rest = chars.as_str();
    }
    serde_json::from_str(&json).ok()
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

/// RFC 4648 4.
fn of_base64(text: &str) -> Option<Vec<u8>> {
    let digit = |c: char| match c {
        'A'..='Z' => u32::from(c).checked_sub(u32::from('A')),
        'a'..='z' => Some(u32::from(c) - u32::from('a') + 26),
        '0'..='9' => Some(u32::from(c) - u32::from('0') + 52),
        '+' => Some(62),
        '/' => Some(63),
        _ => None,
    };
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let digits: Vec<u32> = text.trim_end_matches('=').chars().map(digit).collect::<Option<_>>()?;
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0_u32, |bits, digit| (bits << 6) | digit) << (6 * (4 - group.len()));
        let count = group.len() * 6 / 8;
        bytes.extend(bits.to_be_bytes().into_iter().skip(1).take(count));
    }
    Some(bytes)
}

/// What the answer has to be.
fn expect(draft: &mut Draft, response: &Response, captured: &BTreeSet<String>, notes: &mut Notes) {
    let here = draft.place;
    let at = move |line: usize| Place { line, ..here };
    let place = at(response.line);
    if response.version != "HTTP" {
        notes.left_out(place, format!("the version `{}` of the answer", response.version));
    }
    if let Some(status) = response.status {
        draft.statuses = draft.statuses.only(|seen| seen == status);
    }
    for row in &response.side.headers {
        let place = at(row.line);
        match pair(row) {
            Ok((name, value)) if Text::read(&value).computed().is_none() => {
                draft.terms.push(Term::one(row.line, Part::Header(name), "equals", value));
            }
            Ok((name, _)) => notes.left_out(place, format!("the header `{name}`, which is computed")),
            Err(why) => notes.left_out(place, why),
        }
    }
    for section in &response.side.sections {
        for row in &section.rows {
            let place = at(row.line);
            let result = match section.name.as_str() {
                "Asserts" => assert::assert(draft, row.line, &row.text, &|name| captured.contains(name))
                    .map_err(|why| format!("`{}`: {why}", assert::shown(&row.text))),
                "Captures" => capture(draft, row),
                other => Err(format!("a line of `[{other}]`, which checks have not")),
            };
            if let Err(why) = result {
                notes.left_out(place, why);
            }
        }
    }
    if let Some(body) = &response.side.body {
        let place = at(body.line);
        match body.form {
            Form::Json | Form::Text(Language::None) => {
                draft.terms.push(Term::one(body.line, Part::Body, "equals", body.text.clone()));
            }
            Form::Xml | Form::Text(_) | Form::Base64 | Form::Hex | Form::File => {
                notes.left_out(place, "the body of the answer");
            }
        }
    }
}

fn capture(draft: &mut Draft, row: &Row) -> Result<(), String> {
    let line = row.text.trim();
    let (name, query) = line.split_once(':').ok_or("it captures nothing")?;
    let name = name.trim();
    let what = assert::capture(query).map_err(|why| format!("`{name}` is not captured: {why}"))?;
    // The later one counts.
    draft.captures.retain(|(known, _)| known != name);
    draft.captures.push((name.to_owned(), what));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bytes_are_read() {
        assert_eq!(of_hex("68 65\n6C6c6f").as_deref(), Some(&b"hello"[..]));
        for (text, bytes) in [("aGVsbG8=", "hello"), ("aGVs", "hel"), ("aGVsbA", "hell"), ("", "")] {
            assert_eq!(of_base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!((of_hex("abc"), of_hex("xy"), of_base64("a*")), (None, None, None));
    }

    #[test]
    fn variables_in_json_are_values_where_their_type_is_known() {
        let captured = BTreeSet::from(["id".to_owned()]);
        let read = |text: &str| as_json(text, &captured);
        assert_eq!(
            read(r#"{"a": {{id}}, "b": "x{{env}}\"{{"}"#),
            Some(json!({"a": "{{id}}", "b": "x{{env}}\"{{"}))
        );
        assert_eq!(read(r#"{"a": {{env}}}"#), None);
        assert_eq!(read("{"), None);
    }

    #[test]
    fn a_time_is_in_seconds_where_no_unit_is_named() {
        let read = |text: &str| milliseconds(text);
        assert_eq!(
            [read("3"), read("250ms"), read("2 s"), read("1m")],
            [Some(3000), Some(250), Some(2000), Some(60_000)]
        );
        assert_eq!([read("0"), read("x"), read("-1"), read("99999999999999999999"), read("1d")], [None; 5]);
    }
}
