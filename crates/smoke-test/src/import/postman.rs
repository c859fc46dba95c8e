//! Collections of Postman, version 2.1: <https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html>.

mod idiom;
mod script;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use shipkit_core::config::Method;

use super::draft::Draft;
use super::note::{Notes, Place};
use super::secret::{FORM, is_secret};
use super::text::{Text, encoded};
use super::{Broken, MOST};
use idiom::Idioms;

/// How deep folders may lie in each other.
const DEEPEST: usize = 32;

#[derive(Deserialize)]
struct Collection<'a> {
    info: Info,
    #[serde(borrow)]
    item: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    event: Vec<&'a RawValue>,
    #[serde(default)]
    variable: Vec<Value>,
    auth: Option<Value>,
}

#[derive(Deserialize)]
struct Info {
    schema: String,
}

#[derive(Deserialize)]
struct Item<'a> {
    name: Option<String>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(borrow)]
    #[serde(rename = "item")]
    inner: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    event: Vec<&'a RawValue>,
    auth: Option<Value>,
    #[serde(rename = "protocolProfileBehavior")]
    behaviour: Option<Value>,
}

#[derive(Deserialize)]
struct Event<'a> {
    listen: String,
    #[serde(borrow)]
    script: Option<Script<'a>>,
    #[serde(default)]
    disabled: bool,
}

#[derive(Deserialize)]
struct Script<'a> {
    #[serde(borrow)]
    exec: Option<&'a RawValue>,
}

/// The requests of a collection, and what cannot be taken over of them.
pub(super) fn read(text: &str, file: usize, notes: &mut Notes) -> Result<Vec<Draft>, Broken> {
    let collection: Collection<'_> = serde_json::from_str(text)
        .map_err(|error| Broken::at(error.line(), format!("it is no collection of Postman: {error}")))?;
    let schema = &collection.info.schema;
    if !schema.contains("/v2.1.") {
        return Err(Broken::at(1, "it is a collection of another version; Postman exports 2.1 as well"));
    }
    let lines = Lines::of(text);
    let mut reader = Reader { file, lines, notes, drafts: Vec::new(), values: BTreeMap::new() };
    reader.variables(&collection.variable);
    reader.other_scripts(&collection.event, "of the collection");
    reader.items(&collection.item, collection.auth.as_ref(), 0)?;
    let Reader { drafts, values, .. } = reader;
    Ok(drafts.into_iter().map(|draft| with_values(draft, &values)).collect())
}

/// Puts the values of the collection in place of its variables, as long as no request gives them another one.
fn with_values(mut draft: Draft, values: &BTreeMap<String, String>) -> Draft {
    draft.change(&|text| replaced(text, values));
    draft.login = draft.login.map(|login| replaced(&login, values));
    draft.key = draft.key.map(|(name, key)| (name, replaced(&key, values)));
    draft
}

fn replaced(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    // A value may name another variable, and that one the first.
    for _ in 0..4 {
        let names: Vec<String> = Text::read(&text).variables().map(str::to_owned).collect();
        for name in names {
            if let Some(value) = values.get(&name) {
                text = text.replace(&format!("{{{{{name}}}}}"), value);
            }
        }
    }
    text
}

/// Where lines begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(place, _)| place + 1);
        Self { text, starts: std::iter::once(0).chain(starts).collect() }
    }

    /// The line of a part of the text, counted from 1.
    fn line(&self, part: &RawValue) -> usize {
        let place = part.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        self.starts.partition_point(|start| *start <= place)
    }
}

struct Reader<'a, 'n> {
    file: usize,
    lines: Lines<'a>,
    notes: &'n mut Notes,
    drafts: Vec<Draft>,
    /// Of variables of the collection.
    values: BTreeMap<String, String>,
}

impl<'a> Reader<'a, '_> {
    fn place(&self, part: &RawValue) -> Place {
        Place { file: self.file, line: self.lines.line(part) }
    }

    /// Values that stand in the collection. Secret ones are the environment's to give.
    fn variables(&mut self, variables: &[Value]) {
        for variable in variables {
            let name =
                at(variable, "key").as_str().or_else(|| at(variable, "id").as_str()).unwrap_or_default();
            let value = shown(at(variable, "value"));
            let is_hidden = at(variable, "type") == "secret" || is_secret(name);
            if name.is_empty() || value.is_empty() || at(variable, "disabled") == true {
                continue;
            }
            if is_hidden {
                let place = Place { file: self.file, line: 1 };
                self.notes.tell(place, format!("the value of `{name}` in the collection is not repeated: the environment has to give it"));
            } else {
                self.values.insert(name.to_owned(), value);
            }
        }
    }

    /// Scripts that are not those of one request.
    fn other_scripts(&mut self, events: &[&'a RawValue], whose: &str) {
        for raw in events {
            if let Some((listen, lines)) = self.script(raw)
                && lines.iter().any(|(_, text)| !text.trim().is_empty())
            {
                self.notes.left_out(self.place(raw), format!("the `{listen}` script {whose}"));
            }
        }
    }

    fn items(&mut self, items: &[&'a RawValue], auth: Option<&Value>, depth: usize) -> Result<(), Broken> {
        for raw in items {
            let place = self.place(raw);
            let broken = |error: serde_json::Error| {
                Broken::at(place.line, format!("this is no request and no folder: {error}"))
            };
            let item: Item<'a> = serde_json::from_str(raw.get()).map_err(broken)?;
            let auth = item.auth.as_ref().filter(|auth| !auth.is_null()).or(auth);
            if let Some(items) = &item.inner {
                if depth == DEEPEST {
                    return Err(Broken::at(place.line, "folders lie too deep in each other"));
                }
                self.other_scripts(&item.event, "of a folder");
                self.items(items, auth, depth + 1)?;
                continue;
            }
            if self.drafts.len() == MOST {
                return Err(Broken::at(place.line, format!("there are more than {MOST} requests")));
            }
            match self.request(&item, auth, place) {
                Ok(draft) => self.drafts.push(draft),
                Err(why) => self.notes.left_out(place, format!("the request: {why}")),
            }
        }
        Ok(())
    }

    fn request(&mut self, item: &Item<'a>, auth: Option<&Value>, place: Place) -> Result<Draft, String> {
        let raw = item.request.ok_or("there is none")?;
        let request: Value = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
        let word = if request.is_string() { "GET" } else { at(&request, "method").as_str().unwrap_or("GET") };
        let method = Method::ALL.into_iter().find(|method| method.word() == word);
        let method = method.ok_or_else(|| format!("checks have no method `{word}`"))?;
        let mut draft = Draft::new(place, method, address(&request)?);
        draft.name = item.name.clone().filter(|name| !name.trim().is_empty());
        headers(&mut draft, at(&request, "header"))?;
        let own = Some(at(&request, "auth")).filter(|auth| !auth.is_null());
        login(&mut draft, own.or(auth))?;
        // Without being told so, Postman sends no body with these.
        let sends_any =
            item.behaviour.as_ref().is_some_and(|behaviour| at(behaviour, "disableBodyPruning") == true);
        if !method.is_safe() || sends_any {
            body(&mut draft, at(&request, "body"))?;
        }
        if draft.body.is_some() && method.is_safe() {
            return Err(format!("it is a `{word}` with a body"));
        }
        self.scripts(&mut draft, item);
        if draft.statuses.is_any() {
            self.notes.tell(
                place,
                "no test says which status is good, so any is, as there; redirects are not followed here",
            );
        }
        Ok(draft)
    }

    fn scripts(&mut self, draft: &mut Draft, item: &Item<'a>) {
        for raw in &item.event {
            let Some((listen, lines)) = self.script(raw) else { continue };
            if listen != "test" {
                if lines.iter().any(|(_, text)| !text.trim().is_empty() && !text.trim().starts_with("//")) {
                    self.notes.left_out(self.place(raw), format!("the `{listen}` script"));
                }
                continue;
            }
            let mut idioms = Idioms::default();
            for statement in script::statements(&lines) {
                if let Err(why) = idioms.take(draft, &statement) {
                    let place = Place { file: self.file, line: statement.line };
                    self.notes.left_out(place, format!("of the test script: {why}"));
                }
            }
        }
        // A request that gives a variable a new value is what others wait for.
        for (name, _) in &draft.captures {
            self.values.remove(name);
        }
    }

    /// When a script runs, and its lines with their places.
    fn script(&self, raw: &'a RawValue) -> Option<(String, Vec<(usize, String)>)> {
        let event: Event<'a> = serde_json::from_str(raw.get()).ok()?;
        let exec = event.script.filter(|_| !event.disabled)?.exec?;
        let lines = match serde_json::from_str::<Vec<&RawValue>>(exec.get()) {
            Ok(lines) => lines
                .into_iter()
                .map(|line| (self.lines.line(line), serde_json::from_str(line.get()).unwrap_or_default()))
                .collect(),
            Err(_no_list) => {
                let text: String = serde_json::from_str(exec.get()).ok()?;
                text.lines().map(|line| (self.lines.line(exec), line.to_owned())).collect()
            }
        };
        Some((event.listen, lines))
    }
}

/// What stands under a key; nothing, where there is no such key.
fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    static NOTHING: Value = Value::Null;
    value.get(key).unwrap_or(&NOTHING)
}

/// A text as it is, and anything else as JSON; nothing is empty.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// What stands under this key of pairs that are not switched off.
fn pairs(list: &Value) -> Vec<(String, String, &Value)> {
    let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_on = |entry: &&Value| at(entry, "disabled") != true;
    entries
        .iter()
        .filter(is_on)
        .map(|entry| (shown(at(entry, "key")), shown(at(entry, "value")), entry))
        .collect()
}

fn address(request: &Value) -> Result<String, String> {
    let url = if request.is_string() { request } else { at(request, "url") };
    let raw = match url {
        Value::String(raw) => raw.clone(),
        Value::Object(_) => at(url, "raw").as_str().map_or_else(|| assembled(url), str::to_owned),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => String::new(),
    };
    if raw.is_empty() {
        return Err("it has no address".to_owned());
    }
    let (path, query) = raw.split_once('?').map_or((raw.as_str(), None), |(path, query)| (path, Some(query)));
    let values = pairs(at(url, "variable"));
    let (scheme, rest) = path.split_once("://").map_or((None, path), |(scheme, rest)| (Some(scheme), rest));
    let part = |part: &str| match part.strip_prefix(':') {
        Some(name) => {
            let value = values.iter().find(|(key, value, _)| key == name && !value.is_empty());
            value
                .map(|(_, value, _)| encoded(value))
                .ok_or_else(|| format!("its path has `:{name}` without a value"))
        }
        None => Ok(part.to_owned()),
    };
    let path = rest.split('/').map(part).collect::<Result<Vec<_>, _>>()?.join("/");
    // Without a scheme Postman takes http.
    let scheme = match scheme {
        Some(scheme) => format!("{scheme}://"),
        None if path.starts_with("{{") => String::new(),
        None => "http://".to_owned(),
    };
    let query = query.map(|query| format!("?{}", query.replace(' ', "%20"))).unwrap_or_default();
    Ok(format!("{scheme}{path}{query}"))
}

/// An address out of its parts.
fn assembled(url: &Value) -> String {
    let joined = |value: &Value, between: &str| match value {
        Value::Array(parts) => parts
            .iter()
            .map(|part| part.as_str().map_or_else(|| shown(at(part, "value")), str::to_owned))
            .collect::<Vec<_>>()
            .join(between),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            shown(other)
        }
    };
    let scheme = at(url, "protocol").as_str().map(|scheme| format!("{scheme}://")).unwrap_or_default();
    let port = at(url, "port").as_str().map(|port| format!(":{port}")).unwrap_or_default();
    let query: Vec<_> = pairs(at(url, "query"))
        .into_iter()
        .map(|(key, value, _)| format!("{}={}", encoded(&key), encoded(&value)))
        .collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    format!(
        "{scheme}{}{port}/{}{query}",
        joined(at(url, "host"), "."),
        joined(at(url, "path"), "/").trim_start_matches('/')
    )
}

fn headers(draft: &mut Draft, headers: &Value) -> Result<(), String> {
    if headers.as_str().is_some_and(|text| !text.trim().is_empty()) {
        return Err("its headers are one text".to_owned());
    }
    for (name, value, _) in pairs(headers) {
        if draft.sends(&name) {
            return Err(format!("it sends `{name}` twice"));
        }
        draft.send.push((name, value));
    }
    Ok(())
}

fn login(draft: &mut Draft, auth: Option<&Value>) -> Result<(), String> {
    let Some(auth) = auth else { return Ok(()) };
    let kind = at(auth, "type").as_str().unwrap_or("noauth");
    let value = |key: &str| {
        let found = pairs(at(auth, kind)).into_iter().find(|(name, ..)| name == key);
        found.map(|(_, value, _)| value).unwrap_or_default()
    };
    match kind {
        "noauth" => {}
        _ if draft.sends("authorization") => {}
        "bearer" => draft.send.push(("Authorization".to_owned(), format!("Bearer {}", value("token")))),
        "basic" => draft.login = Some(format!("{}:{}", value("username"), value("password"))),
        "apikey" => {
            let (name, key) = (value("key"), value("value"));
            draft.key = Some((name.clone(), key.clone())).filter(|(_, key)| !key.is_empty());
            if value("in") == "query" {
                draft.add_query(&format!("{}={}", encoded(&name), encoded(&key)));
            } else {
                draft.send.push((name, key));
            }
        }
        other => return Err(format!("it logs in by `{other}`")),
    }
    Ok(())
}

fn body(draft: &mut Draft, body: &Value) -> Result<(), String> {
    if body.is_null() || at(body, "disabled") == true {
        return Ok(());
    }
    let send_type = |draft: &mut Draft, kind: &str| {
        if !draft.sends("content-type") {
            draft.send.push(("Content-Type".to_owned(), kind.to_owned()));
        }
    };
    match at(body, "mode").as_str() {
        Some("raw") => {
            let text = at(body, "raw").as_str().unwrap_or_default();
            let is_json = at(at(at(body, "options"), "raw"), "language") == "json"
                || draft
                    .send
                    .iter()
                    .any(|(name, value)| name.eq_ignore_ascii_case("content-type") && value.contains("json"));
            if text.is_empty() {
                return Ok(());
            }
            match serde_json::from_str::<Value>(text) {
                Ok(value) if is_json && !value.is_string() => draft.body = Some(value),
                _ => {
                    send_type(draft, if is_json { "application/json" } else { "text/plain" });
                    draft.body = Some(text.into());
                }
            }
        }
        Some("urlencoded") => {
            let pairs = pairs(at(body, "urlencoded")).into_iter();
            let form: Vec<_> =
                pairs.map(|(key, value, _)| format!("{}={}", encoded(&key), encoded(&value))).collect();
            send_type(draft, FORM);
            draft.body = Some(form.join("&").into());
        }
        Some(other) => return Err(format!("its body is of the kind `{other}`")),
        None => {}
    }
    Ok(())
}
