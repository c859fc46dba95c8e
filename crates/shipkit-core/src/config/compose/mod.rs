//! The Compose file beside `shipkit.yml`: its services, written as `shipkit.yml` would have them.
//!
//! Only forms are changed here (short to long, lists to mappings, Compose's durations to ours); whether a service makes
//! sense is for the same rules to judge as everywhere. What has no meaning here is left, and remembered.

mod build;
mod service;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{ConfigError, Problem};
use super::raw::RawService;
use super::template::{BadTemplate, Found, Part, fill};
use super::yaml::{Document, Form, Place, join, plain};
use super::{Needed, dotenv, shape};
use crate::plan::ALWAYS_KNOWN;

/// What helps where a Compose file cannot be understood.
const OTHER_WAYS: &str = "name the services in shipkit.yml, or put what `docker compose config --no-path-resolution` prints in its place";

/// A Compose file and what belongs to it, as they were read.
#[derive(Debug, Clone, Copy)]
pub struct ComposeFile<'a> {
    /// What it is called in errors.
    pub file: &'a str,
    /// What it says.
    pub text: &'a str,
    /// Its folder, relative to the checkout; empty for the checkout itself.
    pub folder: &'a str,
    /// What the file `.env` beside it says, where there is one.
    pub env_file: Option<&'a str>,
}

/// Where the services come from that `shipkit.yml` does not name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compose {
    /// The Compose file, as the caller named it.
    pub file: String,
    /// What it says and has no effect here.
    pub left: Vec<LeftOut>,
}

/// Something in a Compose file that is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The service.
    pub service: String,
    /// The key below it: `deploy.placement`.
    pub key: String,
    /// Whom it matters to.
    pub because: Because,
}

/// Why it matters that something is not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The whole service belongs to a profile.
    Profile,
    /// It says how the image is built.
    Build,
    /// It says how the service runs; there the target's own settings count.
    Run,
    /// It says what runs or where data is: a service without it would be another one.
    Essence,
}

/// What was taken out of a Compose file.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) document: Document,
    pub(super) services: BTreeMap<String, RawService>,
    pub(super) left: Vec<LeftOut>,
    /// What is wrong, though its form is right.
    pub(super) problems: Vec<Problem>,
    dotenv: BTreeMap<String, String>,
}

/// The values of variables.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) variables: &'a dyn Fn(&str) -> Option<String>,
    dotenv: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(expecting = "a mapping with `services`")]
struct RawCompose {
    services: BTreeMap<String, RawService>,
}

/// Takes the services.
pub(super) fn take(
    compose: ComposeFile<'_>,
    variables: &dyn Fn(&str) -> Option<String>,
    needed: Needed<'_>,
) -> Result<Taken, ConfigError> {
    let document = Document::read(compose.file, compose.text, Form::Compose)?;
    let dotenv = compose.env_file.map(|text| dotenv::read(text, variables)).unwrap_or_default();
    let scope = Scope { variables, dotenv: &dotenv };
    let mut translator = Translator {
        from: &document,
        scope,
        folder: compose.folder,
        needed,
        places: document.places.clone(),
        names: BTreeMap::new(),
        problems: Vec::new(),
        left: Vec::new(),
    };
    let value = translator.file();
    let Translator { places, names, problems, left, .. } = translator;
    let document = Document { file: document.file, value, places, names };
    let RawCompose { services } = match shape::read(&document) {
        Ok(raw) => raw,
        // What is not understood comes first: it may be why the rest does not fit.
        Err(problem) => return Err(ConfigError::of(problems).unwrap_or_else(|| problem.into())),
    };
    Ok(Taken { document, services, left, problems, dotenv })
}

impl LeftOut {
    /// Its key path in the Compose file.
    #[must_use]
    pub fn path(&self) -> String {
        format!("services.{}.{}", self.service, self.key)
    }
}

impl Taken {
    /// The values of the variables in the Compose file.
    pub(super) fn scope<'a>(&'a self, variables: &'a dyn Fn(&str) -> Option<String>) -> Scope<'a> {
        Scope { variables, dotenv: &self.dotenv }
    }

    /// Where the services come from.
    pub(super) fn origin(&self) -> Compose {
        Compose { file: self.document.file.clone(), left: self.left.clone() }
    }
}

impl Scope<'_> {
    /// The value; what is set outside of the file `.env` counts more.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.variables)(name).or_else(|| self.dotenv.get(name).cloned())
    }

    /// The text with what is known now.
    pub(super) fn fill(&self, text: &str) -> Result<Vec<Part>, BadTemplate> {
        fill(text, &|name| self.get(name).map_or(Found::Unset, Found::Value))
    }

    /// The same for a build argument, which may name what only the plan knows.
    pub(super) fn fill_argument(&self, text: &str) -> Result<Vec<Part>, BadTemplate> {
        fill(text, &|name| {
            if ALWAYS_KNOWN.contains(&name) {
                return Found::Later;
            }
            self.get(name).map_or(Found::Unset, Found::Value)
        })
    }
}

impl BadTemplate {
    /// What is wrong, and what would be right.
    pub(super) fn words(self) -> (String, &'static str) {
        (self.0, "write `${NAME}` or `${NAME:-default}`, and `$$` for a dollar sign")
    }
}

/// What is said about a variable without a value, and what helps.
pub(super) fn unset(name: &str, message: Option<&str>) -> (String, String) {
    let what = match message {
        Some(text) if !text.is_empty() => format!("the variable `{name}` is not set: {text}"),
        Some(_) | None => format!("the variable `{name}` is not set"),
    };
    (what, format!("set the environment variable `{name}` for this step, or write `${{{name}:-default}}`"))
}

/// Whether a value is wanted now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Build,
    Run,
}

/// Whether Compose itself leaves the service out, unless its profile is asked for.
fn has_profile(service: &Value) -> bool {
    service.get("profiles").and_then(Value::as_array).is_some_and(|profiles| !profiles.is_empty())
}

/// A Compose file while it is written anew.
struct Translator<'a> {
    from: &'a Document,
    scope: Scope<'a>,
    folder: &'a str,
    needed: Needed<'a>,
    places: BTreeMap<String, Place>,
    names: BTreeMap<String, String>,
    problems: Vec<Problem>,
    left: Vec<LeftOut>,
}

impl Translator<'_> {
    fn file(&mut self) -> Value {
        if self.from.has("include") {
            self.refuse("include", "other Compose files are not included", OTHER_WAYS);
        }
        let Some(services) = self.from.value.get("services").filter(|services| !services.is_null()) else {
            return self.from.value.clone();
        };
        let Value::Object(entries) = services else {
            return Value::Object(Map::from_iter([("services".to_owned(), services.clone())]));
        };
        let mut taken = Map::new();
        for (name, value) in entries {
            if has_profile(value) {
                self.left.push(LeftOut {
                    service: name.clone(),
                    key: "profiles".to_owned(),
                    because: Because::Profile,
                });
                continue;
            }
            let value = self.service(name, value);
            taken.insert(name.clone(), value);
        }
        let has_form = entries.values().all(Value::is_object);
        if has_form && !entries.values().any(|service| service.get("build").is_some()) {
            let hint = "give one of them `build`, or name the services in shipkit.yml";
            let problem =
                self.from.key_problem("services", "no service is built here", Some(hint.to_owned()));
            self.problems.push(problem);
        }
        Value::Object(Map::from_iter([("services".to_owned(), Value::Object(taken))]))
    }

    /// What this version does not understand and Compose does.
    fn refuse(&mut self, path: &str, message: &str, hint: &str) {
        self.problems.push(self.from.key_problem(path, message, Some(hint.to_owned())));
    }

    fn wrong(&mut self, path: &str, message: impl Into<String>, hint: &str) {
        self.problems.push(self.from.problem(path, message, Some(hint.to_owned())));
    }

    /// Remembers that what is now at `ours` is at `theirs` in the file.
    fn moved(&mut self, ours: &str, theirs: &str) {
        self.places.insert(ours.to_owned(), self.from.place(theirs));
        self.names.insert(ours.to_owned(), theirs.to_owned());
    }

    /// The text with variables replaced; `None` where one has no value and none is wanted now.
    fn text(&mut self, path: &str, text: &str, when: When) -> Option<String> {
        let parts = match self.scope.fill(text) {
            Ok(parts) => parts,
            Err(bad) => {
                let (message, hint) = bad.words();
                self.wrong(path, message, hint);
                return None;
            }
        };
        let mut whole = String::new();
        for part in parts {
            match part {
                Part::Text(text) => whole.push_str(&text),
                Part::Variable { name, message } => {
                    let is_wanted = match self.needed {
                        Needed::Names => false,
                        Needed::Build => when == When::Build,
                        Needed::Environment(_) => when != When::Build,
                    };
                    if is_wanted {
                        let (message, hint) = unset(&name, message.as_deref());
                        self.wrong(path, message, &hint);
                    }
                    return None;
                }
            }
        }
        Some(whole)
    }

    /// The value with variables replaced in every text of it. Texts without a value are left out.
    fn filled(&mut self, path: &str, value: &Value, when: When) -> Option<Value> {
        match value {
            Value::String(text) => self.text(path, text, when).map(Value::String),
            Value::Array(entries) => {
                let entry = |(index, entry)| self.filled(&format!("{path}[{index}]"), entry, when);
                Some(Value::Array(entries.iter().enumerate().filter_map(entry).collect()))
            }
            Value::Object(entries) => {
                let mut filled = Map::new();
                for (key, entry) in entries.iter().filter(|(_, entry)| !entry.is_null()) {
                    if let Some(entry) = self.filled(&join(path, key), entry, when) {
                        filled.insert(key.clone(), entry);
                    }
                }
                Some(Value::Object(filled))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        }
    }

    /// The same where a number or boolean is meant, which a variable can only give as text.
    fn scalar(&mut self, path: &str, value: &Value, when: When) -> Option<Value> {
        let value = self.filled(path, value, when)?;
        Some(value.as_str().map_or_else(|| value.clone(), plain))
    }

    /// A mapping, or a list of `NAME=value`, as entries: name, path in the file and value.
    fn pairs(&mut self, path: &str, value: &Value) -> Vec<(String, String, Value)> {
        let hint = "write a mapping, or a list of `NAME=value`";
        let mut pairs = Vec::new();
        match value {
            Value::Null => {}
            Value::Object(entries) => {
                let pair = |(name, value): (&String, &Value)| (name.clone(), join(path, name), value.clone());
                pairs.extend(entries.iter().map(pair));
            }
            Value::Array(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    let at = format!("{path}[{index}]");
                    match entry.as_str().map(|text| text.split_once('=').ok_or(text)) {
                        Some(Ok((name, value))) => pairs.push((name.to_owned(), at, value.into())),
                        Some(Err(name)) => pairs.push((name.to_owned(), at, Value::Null)),
                        None => self.wrong(&at, "this is no `NAME=value`", hint),
                    }
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.wrong(path, "neither a mapping nor a list", hint);
            }
        }
        pairs
    }

    /// Variables as a mapping, with what they name not replaced yet. One without a value has that of this step, or is
    /// left out.
    fn variables(&mut self, path: &str, value: &Value, later: &[&str]) -> Value {
        let mut variables = Map::new();
        for (name, at, value) in self.pairs(path, value) {
            let value = if !value.is_null() {
                value
            } else if later.contains(&name.as_str()) {
                format!("${{{name}}}").into()
            } else if let Some(value) = self.scope.get(&name) {
                value.replace('$', "$$").into()
            } else {
                continue;
            };
            self.moved(&join(path, &name), &at);
            variables.insert(name, value);
        }
        Value::Object(variables)
    }

    fn leave(&mut self, service: &str, key: impl Into<String>, because: Because) {
        self.left.push(LeftOut { service: service.to_owned(), key: key.into(), because });
    }
}
