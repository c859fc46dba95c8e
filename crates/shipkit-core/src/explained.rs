//! `Explained`: why a rule gave its tags, or gave none. Inputs of `meta` and rules of `shipkit.yml` are shown alike.

use std::fmt;

use serde::Serialize;

use crate::reference::Tag;

/// What one rule came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The rule as it was written, or as it would be written where it is a default.
    pub rule: String,
    /// Where it stands.
    pub place: Place,
    /// The tags that it alone added; empty where it did not apply, or gave what was there already.
    pub tags: Vec<Tag>,
    /// One clause: why it gave these, or none.
    pub because: String,
}

/// Where something that was asked for stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A line of an input, from 1.
    Line {
        /// The input.
        input: &'static str,
        /// The line in it.
        line: usize,
    },
    /// A name that has no lines: a key of the configuration, or a variable.
    Key(String),
    /// Nowhere: it holds because nothing else was said.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { input, line } => write!(f, "line {line} of `{input}`"),
            Self::Key(key) => write!(f, "`{key}`"),
            Self::Default => f.write_str("by default"),
        }
    }
}
