//! `Draft`: a check on its way. Its texts still have variables as Hurl and Postman write them.

use serde_json::{Map, Value};
use shipkit_core::config::Method;

use super::note::Place;
use super::status::{Allowed, Unwritten};
use super::text::Text;

/// A request, and what is expected of its answer.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) place: Place,
    pub(super) name: Option<String>,
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) send: Vec<(String, String)>,
    /// `user:password`.
    pub(super) login: Option<String>,
    /// A secret by what it is for, whatever its name: that name, and the secret.
    pub(super) key: Option<(String, String)>,
    /// A text goes out as it is, anything else as JSON.
    pub(super) body: Option<Value>,
    pub(super) statuses: Allowed,
    pub(super) terms: Vec<Term>,
    /// In milliseconds.
    pub(super) within: Option<u64>,
    /// By name a `JSONPath`, or a mapping with `header`.
    pub(super) captures: Vec<(String, Value)>,
    pub(super) retries: Option<u64>,
}

/// Something that the answer must have.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub(super) line: usize,
    /// Of what.
    pub(super) of: Part,
    /// Matchers, as `shipkit.yml` has them.
    pub(super) matchers: Map<String, Value>,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The lines of a header.
    Header(String),
    /// What this key of `expect.json` finds.
    Json(String),
    Body,
}

impl Draft {
    /// One that asks, and expects nothing yet.
    pub(super) fn new(place: Place, method: Method, url: String) -> Self {
        Self {
            place,
            name: None,
            method,
            url,
            send: Vec::new(),
            login: None,
            key: None,
            body: None,
            statuses: Allowed::any(),
            terms: Vec::new(),
            within: None,
            captures: Vec::new(),
            retries: None,
        }
    }

    /// Whether a header is sent.
    pub(super) fn sends(&self, name: &str) -> bool {
        self.send.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Adds one parameter to the query.
    pub(super) fn add_query(&mut self, pair: &str) {
        let (url, fragment) = match self.url.split_once('#') {
            Some((url, fragment)) => (url.to_owned(), format!("#{fragment}")),
            None => (self.url.clone(), String::new()),
        };
        let lead = match url.split_once('?') {
            None => "?",
            Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        self.url = format!("{url}{lead}{pair}{fragment}");
    }

    /// The texts of what is sent.
    pub(super) fn sent(&self) -> Vec<&str> {
        let headers = self.send.iter().map(|(_, value)| value.as_str());
        let mut texts: Vec<&str> = headers.chain([self.url.as_str()]).collect();
        if let Some(body) = &self.body {
            collect(body, &mut texts);
        }
        texts
    }

    /// The first computed value in what is sent.
    pub(super) fn computed(&self) -> Option<String> {
        self.sent().into_iter().find_map(|text| Text::read(text).computed().map(str::to_owned))
    }

    /// The names in what is sent.
    pub(super) fn names_sent(&self) -> Vec<String> {
        self.sent().into_iter().flat_map(names).collect()
    }

    /// Changes every text but those that are keys.
    pub(super) fn change(&mut self, change: &dyn Fn(&str) -> String) {
        self.url = change(&self.url);
        for (_, value) in &mut self.send {
            *value = change(value);
        }
        if let Some(body) = &mut self.body {
            change_in(body, change);
        }
        for term in &mut self.terms {
            for value in term.matchers.values_mut() {
                change_in(value, change);
            }
        }
    }
}

impl Term {
    /// One matcher.
    pub(super) fn one(line: usize, of: Part, word: &str, value: impl Into<Value>) -> Self {
        Self { line, of, matchers: Map::from_iter([(word.to_owned(), value.into())]) }
    }

    /// The opposite, where something is there.
    #[must_use]
    pub(super) fn opposite(self) -> Self {
        let matchers = match self.matchers.iter().collect::<Vec<_>>().as_slice() {
            [(word, Value::Bool(is_wanted))] if *word == "exists" => {
                Map::from_iter([("exists".to_owned(), Value::from(!is_wanted))])
            }
            [(word, value)] if *word == "equals" && !value.is_object() => {
                Map::from_iter([("not".to_owned(), (*value).clone())])
            }
            _ => Map::from_iter([("not".to_owned(), Value::from(self.matchers.clone()))]),
        };
        Self { matchers, ..self }
    }

    /// The names in its values.
    pub(super) fn names(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for value in self.matchers.values() {
            collect(value, &mut texts);
        }
        texts.into_iter().flat_map(names).collect()
    }
}

/// The names in a text.
fn names(text: &str) -> Vec<String> {
    Text::read(text).variables().map(str::to_owned).collect()
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn change_in(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| change_in(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| change_in(field, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A check as it stands in `shipkit.yml`, and what cannot stand there, with its line.
pub(super) fn written(draft: &Draft, path: &str) -> (Map<String, Value>, Vec<(usize, String)>) {
    let mut check = Map::new();
    let mut left = Vec::new();
    if let Some(name) = &draft.name {
        check.insert("name".to_owned(), name.clone().into());
    }
    check.insert(draft.method.key().to_owned(), path.into());
    let send = draft.send.iter().map(|(name, value)| (name.clone(), Value::from(value.clone())));
    put(&mut check, "send", send.collect());
    if let Some(body) = &draft.body {
        check.insert("body".to_owned(), body.clone());
    }
    put(&mut check, "capture", draft.captures.iter().cloned().collect());
    let (mut headers, mut json, mut body) = (Map::new(), Map::new(), Vec::new());
    for term in &draft.terms {
        match &term.of {
            Part::Header(name) => add(&mut headers, name, term),
            Part::Body => body.push(term.matchers.clone()),
            Part::Json(path) => {
                if let Err(why) = add_once(&mut json, path, term) {
                    left.push((term.line, why));
                }
            }
        }
    }
    let headers = headers.into_iter().map(|(name, value)| (name, listed(value, "equals"))).collect();
    put(&mut check, "headers", headers);
    let mut expect = Map::new();
    match draft.statuses.value() {
        Ok(Some(status)) => drop(expect.insert("status".to_owned(), status)),
        Ok(None) => {}
        Err(Unwritten::None) => left.push((draft.place.line, "the statuses: no status is good".to_owned())),
        Err(Unwritten::Many) => {
            left.push((draft.place.line, "the statuses: they are no short list".to_owned()));
            expect.insert("status".to_owned(), Value::from(vec!["1xx", "2xx", "3xx", "4xx", "5xx"]));
        }
    }
    let json: Map<String, Value> =
        json.into_iter().map(|(path, value)| (path, plain(value, "equals"))).collect();
    put(&mut expect, "json", json);
    if !body.is_empty() {
        expect.insert("body".to_owned(), listed(merged(body), "contains"));
    }
    if let Some(within) = draft.within {
        expect.insert("within".to_owned(), format!("{within}ms").into());
    }
    match expect.iter().collect::<Vec<_>>().as_slice() {
        [(key, status)] if *key == "status" && status.is_number() => {
            check.insert("expect".to_owned(), (*status).clone());
        }
        _ => put(&mut check, "expect", expect),
    }
    if let Some(retries) = draft.retries {
        check.insert("retries".to_owned(), retries.into());
    }
    (check, left)
}

fn put(into: &mut Map<String, Value>, key: &str, fields: Map<String, Value>) {
    if !fields.is_empty() {
        into.insert(key.to_owned(), fields.into());
    }
}

/// Adds matchers to those of a header, in any spelling of its name.
fn add(headers: &mut Map<String, Value>, name: &str, term: &Term) {
    let known = headers.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
    let slot =
        headers.entry(known.unwrap_or_else(|| name.to_owned())).or_insert_with(|| Value::Array(Vec::new()));
    let before = slot.as_array().cloned().unwrap_or_default();
    let before = before.into_iter().filter_map(|one| one.as_object().cloned());
    *slot = merged(before.chain([term.matchers.clone()]).collect());
}

/// A list of mappings, as few as say all of it: in one mapping each word can stand once.
fn merged(all: Vec<Map<String, Value>>) -> Value {
    let mut merged: Vec<Map<String, Value>> = Vec::new();
    for matchers in all {
        match merged.iter_mut().find(|known| fits(known, &matchers)) {
            Some(known) => known.extend(matchers),
            None => merged.push(matchers),
        }
    }
    Value::from(merged.into_iter().map(Value::from).collect::<Vec<_>>())
}

fn fits(known: &Map<String, Value>, matchers: &Map<String, Value>) -> bool {
    matchers.iter().all(|(word, value)| known.get(word).is_none_or(|there| there == value))
}

/// The same path can be spelt in several ways, each of which is a key of its own.
fn add_once(json: &mut Map<String, Value>, path: &str, term: &Term) -> Result<(), String> {
    for spelling in super::json::spellings(path) {
        match json.get_mut(&spelling).map(|there| there.as_object_mut()) {
            None => {
                json.insert(spelling, term.matchers.clone().into());
                return Ok(());
            }
            Some(Some(known)) if fits(known, &term.matchers) => {
                known.extend(term.matchers.clone());
                return Ok(());
            }
            Some(_) => {}
        }
    }
    Err(format!("a further `{}` of `{path}`", term.matchers.keys().cloned().collect::<Vec<_>>().join("`, `")))
}

/// A list of one is its entry.
fn listed(value: Value, bare: &str) -> Value {
    match value {
        Value::Array(items) => match <[Value; 1]>::try_from(items) {
            Ok([only]) => plain(only, bare),
            Err(items) => Value::from(items.into_iter().map(|one| plain(one, bare)).collect::<Vec<_>>()),
        },
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            other
        }
    }
}

/// A mapping that says what a bare value says, as this value.
fn plain(matchers: Value, bare: &str) -> Value {
    let only = matchers.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.get(bare));
    match only {
        Some(value) if !value.is_object() && !value.is_array() => value.clone(),
        Some(_) | None => matchers,
    }
}
