//! Reads a Hurl file line by line: what stands where, without what it means.

use super::super::{Broken, MOST};
use super::token::one_line;

/// A request, and what is said of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) request: Side,
    pub(super) response: Option<Response>,
}

/// What is said of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) line: usize,
    /// Such as `HTTP/2`; `HTTP` is any.
    pub(super) version: String,
    /// `None` is any.
    pub(super) status: Option<u16>,
    pub(super) side: Side,
}

/// What stands below the first line of a request or an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) headers: Vec<Row>,
    pub(super) sections: Vec<Section>,
    pub(super) body: Option<Body>,
}

/// What stands below a `[Name]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
}

/// A line as it stands, or several where a text in it goes over lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) text: String,
}

/// A body as it stands, without what marks its begin and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) line: usize,
    pub(super) form: Form,
    pub(super) text: String,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Xml,
    /// A text, of this language where one is named.
    Text(Language),
    Base64,
    Hex,
    File,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    None,
    Json,
    Xml,
    /// Such as `GraphQL`.
    Other,
}

/// The mark around texts of several lines.
const FENCE: &str = "```";

/// All requests of a file.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, Broken> {
    let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let mut reader = Reader { lines, next: 0 };
    let mut entries = Vec::new();
    while let Some((line, text)) = reader.peek() {
        let (method, url) = first_line(text).ok_or_else(|| {
            Broken::at(line, "a method and an address are expected, such as `GET https://example.com`")
        })?;
        if entries.len() == MOST {
            return Err(Broken::at(line, format!("there are more than {MOST} requests")));
        }
        reader.next += 1;
        let request = reader.side()?;
        let response = reader.response()?;
        entries.push(Entry { line, method: method.to_owned(), url, request, response });
    }
    Ok(entries)
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Reader<'a> {
    /// The next line that says something, with its number.
    fn peek(&mut self) -> Option<(usize, &'a str)> {
        loop {
            let text = self.lines.get(self.next)?.trim();
            if !text.is_empty() && !text.starts_with('#') {
                return Some((self.next + 1, text));
            }
            self.next += 1;
        }
    }

    fn response(&mut self) -> Result<Option<Response>, Broken> {
        let Some((line, text)) = self.peek() else { return Ok(None) };
        let Some((version, status)) = status_line(text) else { return Ok(None) };
        let status = match status {
            "*" => None,
            digits => {
                let number = digits.parse().ok().filter(|status| (100..1000).contains(status));
                Some(number.ok_or_else(|| Broken::at(line, "a status or `*` is expected behind `HTTP`"))?)
            }
        };
        self.next += 1;
        let side = self.side()?;
        Ok(Some(Response { line, version: version.to_owned(), status, side }))
    }

    /// Everything up to the next first line.
    fn side(&mut self) -> Result<Side, Broken> {
        let mut side = Side::default();
        while let Some((line, text)) = self.peek() {
            if status_line(text).is_some() || first_line(text).is_some() {
                break;
            }
            if let Some(name) = section(text) {
                self.next += 1;
                let rows = Vec::new();
                side.sections.push(Section { line, name: name.to_owned(), rows });
            } else if let Some(body) = self.body(line, text)? {
                if side.body.is_some() {
                    return Err(Broken::at(line, "there is a second body"));
                }
                side.body = Some(body);
            } else if side.body.is_some() {
                return Err(Broken::at(line, "a request is expected behind the body"));
            } else {
                let row = self.row(line)?;
                match side.sections.last_mut() {
                    Some(section) => section.rows.push(row),
                    None if text.contains(':') => side.headers.push(row),
                    None => return Err(Broken::at(line, "this is no header, no section and no body")),
                }
            }
        }
        Ok(side)
    }

    /// A line of a section or a header, with those that belong to a text in it.
    fn row(&mut self, line: usize) -> Result<Row, Broken> {
        let mut text = String::new();
        loop {
            let more = self.lines.get(self.next).ok_or_else(|| Broken::at(line, "the text has no end"))?;
            self.next += 1;
            text.push_str(more);
            if text.matches(FENCE).count().is_multiple_of(2) {
                return Ok(Row { line, text });
            }
            text.push('\n');
        }
    }

    fn body(&mut self, line: usize, text: &'a str) -> Result<Option<Body>, Broken> {
        let ended = |form: Form, rest: &str| {
            let end = rest.split_once(';').map(|(inner, _)| inner.trim().to_owned());
            let text = end.ok_or_else(|| Broken::at(line, "the body has no `;` at its end"))?;
            Ok(Some(Body { line, form, text }))
        };
        for (word, form) in [("base64,", Form::Base64), ("hex,", Form::Hex), ("file,", Form::File)] {
            if let Some(rest) = text.strip_prefix(word) {
                // What is written in hexadecimal digits may go over lines, too.
                let mut all = rest.to_owned();
                self.next += 1;
                while !all.contains(';') {
                    let Some(more) = self.lines.get(self.next) else { break };
                    all.push_str(more.trim());
                    self.next += 1;
                }
                return ended(form, &all);
            }
        }
        if text.starts_with(FENCE) {
            return self.fenced(line).map(Some);
        }
        if text.starts_with('`') {
            self.next += 1;
            let (text, _) = one_line(text).ok_or_else(|| Broken::at(line, "the text has no end"))?;
            return Ok(Some(Body { line, form: Form::Text(Language::None), text }));
        }
        if text.starts_with('<') {
            return Ok(Some(self.xml(line)));
        }
        let is_scalar = |text: &str| matches!(text, "true" | "false" | "null") || text.parse::<f64>().is_ok();
        if text.starts_with(['{', '[', '"']) && !text.starts_with("{{") || is_scalar(text) {
            return self.json(line).map(Some);
        }
        Ok(None)
    }

    fn fenced(&mut self, line: usize) -> Result<Body, Broken> {
        let mut all = self.row(line)?.text;
        let inner = all.trim().strip_prefix(FENCE).and_then(|text| text.split_once(FENCE));
        let inner = inner.map(|(inner, _)| inner.to_owned());
        all = inner.ok_or_else(|| Broken::at(line, "the text has no end"))?;
        // The language, if one is named, ends with its line; what follows on the same line is the text.
        let (head, rest) = all.split_once('\n').unwrap_or(("", &all));
        let form = Form::Text(match head.split(',').next().unwrap_or_default().trim() {
            "" => Language::None,
            "json" => Language::Json,
            "xml" => Language::Xml,
            _ => Language::Other,
        });
        Ok(Body { line, form, text: rest.to_owned() })
    }

    /// XML has no mark at its end: it ends where something else begins.
    fn xml(&mut self, line: usize) -> Body {
        let mut all: Vec<&str> = Vec::new();
        while let Some(text) = self.lines.get(self.next) {
            let trimmed = text.trim();
            let is_next = status_line(trimmed).is_some() || first_line(trimmed).is_some();
            let last = all.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty());
            let is_comment = trimmed.starts_with('#') && last.is_some_and(|last| last.ends_with('>'));
            if is_next || is_comment {
                break;
            }
            all.push(text);
            self.next += 1;
        }
        Body { line, form: Form::Xml, text: all.join("\n").trim_end().to_owned() }
    }

    /// JSON ends where its brackets do.
    fn json(&mut self, line: usize) -> Result<Body, Broken> {
        let (mut all, mut depth, mut state) = (String::new(), 0_usize, InJson::Outside);
        loop {
            let text = self.lines.get(self.next).ok_or_else(|| Broken::at(line, "the JSON has no end"))?;
            self.next += 1;
            for (start, c) in text.char_indices() {
                state = match (state, c) {
                    (InJson::Text, '\\') => InJson::Escape,
                    (InJson::Text, '"') => InJson::Outside,
                    (InJson::Text | InJson::Escape, _) | (InJson::Outside, '"') => InJson::Text,
                    (InJson::Outside, _) => {
                        depth = match c {
                            '{' | '[' => depth + 1,
                            '}' | ']' => depth.saturating_sub(1),
                            _ => depth,
                        };
                        InJson::Outside
                    }
                };
                if depth == 0 && state == InJson::Outside && matches!(c, '}' | ']' | '"') {
                    let (inner, rest) = text.split_at_checked(start + c.len_utf8()).unwrap_or((text, ""));
                    let rest = rest.trim();
                    if !rest.is_empty() && !rest.starts_with('#') {
                        return Err(Broken::at(self.next, "something stands behind the JSON"));
                    }
                    all.push_str(inner);
                    return Ok(Body { line, form: Form::Json, text: all.trim().to_owned() });
                }
            }
            all.push_str(text);
            if depth == 0 && state == InJson::Outside {
                return Ok(Body { line, form: Form::Json, text: all.trim().to_owned() });
            }
            all.push('\n');
        }
    }
}

/// Where in JSON a character stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InJson {
    Outside,
    Text,
    Escape,
}

/// The method and the address of a request.
fn first_line(text: &str) -> Option<(&str, String)> {
    let (method, rest) = text.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
    let is_address = ["http://", "https://", "{{"].iter().any(|start| rest.starts_with(start));
    (is_method && is_address).then(|| (method, address(rest)))
}

/// Up to what is no part of an address; in a variable there may be anything.
fn address(text: &str) -> String {
    let mut address = String::new();
    let mut rest = text;
    while let Some((before, after)) =
        rest.split_once("{{").filter(|(before, _)| !before.contains([' ', '\t', '#']))
    {
        let Some((inner, after)) = after.split_once("}}") else { break };
        address.extend([before, "{{", inner, "}}"]);
        rest = after;
    }
    address.push_str(rest.split([' ', '\t', '#']).next().unwrap_or_default());
    address
}

/// The version and the status of an answer.
fn status_line(text: &str) -> Option<(&str, &str)> {
    let (version, rest) = text.split_once([' ', '\t'])?;
    let is_version = matches!(version, "HTTP" | "HTTP/1.0" | "HTTP/1.1" | "HTTP/2" | "HTTP/3");
    is_version.then(|| (version, rest.split('#').next().unwrap_or_default().trim()))
}

/// The name of a section. JSON such as `[true]` is none.
fn section(text: &str) -> Option<&str> {
    let text = text.split_once('#').map_or(text, |(text, _)| text).trim();
    let name = text.strip_prefix('[')?.strip_suffix(']')?;
    let is_name =
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = r#"# Login
POST {{ host }}/login  # comment
Content-Type: application/json
[Options]
retry: 3
{
  "user": "a}b", # no comment in JSON
  "n": {{n}}
}

HTTP/1.1 201
X-A: b
[Captures]
token: jsonpath "$.token"
[Asserts]
body == ```
two
lines
```
header "x" == "y" # why

GET https://a.example/x?y=1
HTTP *
`one`
DELETE https://a.example/y
base64,aGVs
bG8=;
PUT https://a.example/z
```json
{"a": 1}
```
HTTP 204
PATCH https://a.example/xml
<a>
  <b/>
</a>

# end
HTTP 200
<ok/>
"#;

    #[test]
    fn everything_is_found_where_it_stands() {
        let text = FILE.replace(", # no comment in JSON", ",");
        let entries = parse(&text).unwrap();
        let lines: Vec<_> = entries.iter().map(|entry| (entry.line, entry.method.as_str())).collect();
        assert_eq!(lines, [(2, "POST"), (22, "GET"), (25, "DELETE"), (28, "PUT"), (33, "PATCH")]);
        let [login, get, delete, put, patch] = entries.as_slice() else { panic!() };
        assert_eq!(login.url, "{{ host }}/login");
        assert_eq!(login.request.headers[0].text, "Content-Type: application/json");
        assert_eq!(login.request.body.as_ref().unwrap().text, "{\n  \"user\": \"a}b\",\n  \"n\": {{n}}\n}");
        let response = login.response.as_ref().unwrap();
        assert_eq!((response.version.as_str(), response.status), ("HTTP/1.1", Some(201)));
        let asserts = &response.side.sections[1];
        let rows: Vec<_> = asserts.rows.iter().map(|row| (row.line, row.text.as_str())).collect();
        assert_eq!(rows, [(16, "body == ```\ntwo\nlines\n```"), (20, "header \"x\" == \"y\" # why")]);
        assert_eq!(get.response.as_ref().unwrap().side.body.as_ref().unwrap().text, "one");
        let body = delete.request.body.as_ref().unwrap();
        assert_eq!((body.form, body.text.as_str()), (Form::Base64, "aGVsbG8="));
        let body = put.request.body.as_ref().unwrap();
        assert_eq!((body.form, body.text.as_str()), (Form::Text(Language::Json), "{\"a\": 1}\n"));
        assert_eq!(patch.request.body.as_ref().unwrap().text, "<a>\n  <b/>\n</a>");
        assert_eq!(patch.response.as_ref().unwrap().side.body.as_ref().unwrap().text, "<ok/>");
    }

    #[test]
    fn what_is_no_hurl_file_is_told_with_its_line() {
        for (text, line) in [
            ("hello", 1),
            ("# a\n\nname: x", 3),
            ("GET http://a\nwhat is this", 2),
            ("GET http://a\nHTTP 2000", 2),
            ("GET http://a\nHTTP abc", 2),
            ("GET http://a\n{\"a\": 1", 2),
            ("GET http://a\n```\nx", 2),
            ("GET http://a\n{} x", 2),
            ("GET http://a\n{}\n{}", 3),
            ("GET a.example", 1),
        ] {
            assert_eq!(parse(text).map_err(|broken| broken.line), Err(line), "{text}");
        }
        assert_eq!(parse(""), Ok(Vec::new()));
        assert_eq!(parse(&"GET http://a\n".repeat(MOST)).map(|entries| entries.len()), Ok(MOST));
        assert!(parse(&"GET http://a\n".repeat(MOST + 1)).is_err());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in any::<String>(), cut in 0..FILE.len(), at in 0..FILE.len()) {
            // Both are read to their end, whatever comes of it.
            prop_assert!(parse(&text).ok().is_none_or(|entries| entries.len() <= text.len()));
            let part = FILE.get(..cut).unwrap_or_default();
            let mixed = format!("{part}{text}{}", FILE.get(at..).unwrap_or_default());
            prop_assert!(parse(&mixed).ok().is_none_or(|entries| entries.len() <= mixed.len()));
        }
    }
}
