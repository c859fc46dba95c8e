//! `Attributes`: what the fields of a record say, as `key=value` or as bare words.

use std::collections::BTreeMap;

use crate::explained::Place;

use super::csv::Record;
use super::error::{MetaError, Problem};

/// The attributes of one entry.
#[derive(Debug)]
pub(super) struct Attributes {
    place: Place,
    /// The fields without a key.
    pub(super) bare: Vec<String>,
    named: BTreeMap<String, String>,
}

impl Attributes {
    /// Reads the fields of a record. Keys are the same in lower and upper case.
    ///
    /// # Errors
    /// When a key stands there twice.
    pub(super) fn of(record: &Record) -> Result<Self, MetaError> {
        let mut found = Self { place: record.place.clone(), bare: Vec::new(), named: BTreeMap::new() };
        for field in &record.fields {
            match pair(&field.text) {
                None => found.bare.push(field.text.trim().to_owned()),
                Some((key, value)) => {
                    if found.named.insert(key.clone(), value).is_some() {
                        return Err(Problem::Twice(key).at(&record.place));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether no attribute is left.
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The value of an attribute, which is then no longer there.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.named.remove(key)
    }

    /// Whether this attribute is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.named.contains_key(key)
    }

    /// Adds an attribute that was given without its name.
    ///
    /// # Errors
    /// When it is there already.
    pub(super) fn add(&mut self, key: &str, value: String, place: &Place) -> Result<(), MetaError> {
        match self.named.insert(key.to_owned(), value) {
            Some(_) => Err(Problem::Twice(key.to_owned()).at(place)),
            None => Ok(()),
        }
    }

    /// Refuses what nobody took.
    ///
    /// # Errors
    /// When an attribute is left.
    pub(super) fn finish(self, what: &'static str, known: &[&str]) -> Result<(), MetaError> {
        match self.named.into_keys().next() {
            Some(left) => Err(Problem::unknown(what, &left, known).at(&self.place)),
            None => Ok(()),
        }
    }
}

/// `key=value`; a text that begins with `=` or with an expression has no key.
pub(super) fn pair(field: &str) -> Option<(String, String)> {
    let (key, value) = field.split_once('=')?;
    let key = key.trim();
    (!key.is_empty() && !key.contains("{{")).then(|| (key.to_lowercase(), value.trim().to_owned()))
}

/// `true` or `false`.
pub(super) fn flag(name: &'static str, text: &str, place: &Place) -> Result<bool, MetaError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Problem::Value { name, found: other.to_owned(), wanted: "`true` or `false`" }.at(place)),
    }
}
