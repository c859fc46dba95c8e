//! `JsonPath`: places in JSON (RFC 9535).

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A `JSONPath` query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath {
    text: String,
    query: serde_json_path::JsonPath,
}

/// A text that is no `JSONPath` query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no JSONPath (RFC 9535): {why}")]
pub(crate) struct NotAPath {
    text: String,
    why: String,
}

impl FromStr for JsonPath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match serde_json_path::JsonPath::parse(text) {
            Ok(query) => Ok(Self { text: text.to_owned(), query }),
            Err(error) => Err(NotAPath { text: text.to_owned(), why: error.to_string() }),
        }
    }
}

impl JsonPath {
    /// The values at all places that it names (the nodelist, RFC 9535 2.1.2).
    pub(crate) fn find<'a>(&self, body: &'a Value) -> Vec<&'a Value> {
        self.query.query(body).all()
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
