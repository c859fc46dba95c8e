//! `Request`: what an HTTP check sends.

use std::collections::BTreeMap;

use serde_json::Value;

/// What an HTTP check sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// How it asks.
    pub method: Method,
    /// Path or address.
    pub url: String,
    /// Headers to send.
    pub send: BTreeMap<String, String>,
    /// The body: JSON, or a text as it is.
    pub body: Option<Value>,
    /// What of the answer later checks use as `${NAME}`, by name.
    pub captures: BTreeMap<String, Capture>,
}

/// Where in an answer something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capture {
    /// In the JSON body, where this `JSONPath` leads (RFC 9535).
    Json(String),
    /// In the header of this name.
    Header(String),
}

/// The methods that checks use (RFC 9110 9.3, RFC 5789 for `PATCH`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    #[default]
    Get,
    /// Reads all but the body.
    Head,
    /// Asks what can be asked.
    Options,
    /// Does what the path is for.
    Post,
    /// Puts what is sent there in place.
    Put,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::Head, Self::Options, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// As HTTP spells it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// As `shipkit.yml` spells it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Options => "options",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// Whether nobody expects it to change anything (RFC 9110 9.2.1), in which case a body has no meaning either.
    #[must_use]
    pub fn is_safe(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Options => true,
            Self::Post | Self::Put | Self::Patch | Self::Delete => false,
        }
    }

    /// Whether to send it twice is as good as once, and gives the same answer (RFC 9110 9.2.2). The second `DELETE` finds nothing.
    #[must_use]
    pub fn repeats(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Options | Self::Put => true,
            Self::Post | Self::Patch | Self::Delete => false,
        }
    }
}
