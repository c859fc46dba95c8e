//! `MetaError`: what cannot be meant, where it stands, and the nearest thing that can.

use crate::exit::ExitCode;
use crate::explained::Place;
use crate::hint::Hint;
use crate::reference::BadName;

/// An input that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct MetaError {
    /// Where it stands.
    pub place: Place,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A word that is none of those that can stand there.
    #[error("unknown {what} `{found}`")]
    Unknown {
        /// What kind of word: `type`, `attribute of type=raw`, ...
        what: &'static str,
        /// The word.
        found: String,
        /// The words that can stand there.
        known: Vec<String>,
    },
    /// An attribute that has to be there.
    #[error("`{of}` needs the attribute `{attribute}`")]
    Missing {
        /// The attribute.
        attribute: &'static str,
        /// What needs it.
        of: &'static str,
    },
    /// An attribute that stands there more than once.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// A value of another kind.
    #[error("`{name}` is `{found}`, and not {wanted}")]
    Value {
        /// What has the value.
        name: &'static str,
        /// The value.
        found: String,
        /// What it should be, with its article.
        wanted: &'static str,
    },
    /// The whole of an input or variable, or one item of it, is of another kind.
    #[error("`{found}` is not {wanted}")]
    Not {
        /// What it is.
        found: String,
        /// What it should be, with its article.
        wanted: &'static str,
    },
    /// Something that is no `key=value`.
    #[error("`{0}` has no `=`")]
    NoEquals(String),
    /// A quote that is opened and never closed.
    #[error("a `\"` is never closed")]
    Unclosed,
    /// A quote in the middle of an attribute.
    #[error("a `\"` stands inside `{0}`")]
    QuoteInside(String),
    /// `onlatest` before anything that it could be about.
    #[error("`onlatest` stands before the `prefix` or `suffix` that it is about")]
    OnLatest,
    /// An image without a name.
    #[error("an image has no name")]
    NoName,
    /// An entry with attributes for several images.
    #[error("`{0}` is a second name: an entry with attributes is about one image")]
    SecondName(String),
    /// A name that no image has.
    #[error(transparent)]
    Image(BadName),
    /// An expression that cannot be read.
    #[error("`{expression}` {wrong}")]
    Expression {
        /// The expression, with its braces.
        expression: String,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// A regular expression that cannot be used.
    #[error("the pattern `{pattern}` {wrong}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// A text of which no tag can be made.
    #[error("`{0}` makes no tag: nothing of it may stand in one")]
    Nothing(String),
    /// A tag that is too long.
    #[error("`{tag}` has {length} characters, and a tag has at most 128")]
    TooLong {
        /// What would be the tag.
        tag: String,
        /// How long it is.
        length: usize,
    },
}

impl Problem {
    /// At this place.
    pub(super) fn at(self, place: &Place) -> MetaError {
        MetaError { place: place.clone(), problem: self }
    }

    /// An unknown word beside these known ones.
    pub(super) fn unknown(what: &'static str, found: &str, known: &[&str]) -> Self {
        let known = known.iter().map(|word| (*word).to_owned()).collect();
        Self::Unknown { what, found: found.to_owned(), known }
    }
}

impl Hint for MetaError {
    fn hint(&self) -> Option<String> {
        match &self.problem {
            Problem::Unknown { found, known, .. } => Some(nearest(found, known)),
            Problem::Unclosed => {
                Some("close it at the end of the attribute; inside quotes `\"\"` is one `\"`".to_owned())
            }
            Problem::QuoteInside(_) => {
                Some("quote the whole attribute, as in `\"value=a,b\"`; inside use `'`".to_owned())
            }
            Problem::Image(BadName::Tagged(_)) => {
                Some("leave only the name; what follows the `:` or `@` belongs into `tags`".to_owned())
            }
            Problem::Nothing(_) => Some("give it a `prefix` or another `value`".to_owned()),
            Problem::TooLong { .. } => {
                Some("it is never cut, because two builds could then share it: name it by `type=sha`, or shorten what it is made of".to_owned())
            }
            Problem::SecondName(_) => Some("give every image a line of its own".to_owned()),
            Problem::Missing { .. }
            | Problem::Twice(_)
            | Problem::Value { .. }
            | Problem::Not { .. }
            | Problem::NoEquals(_)
            | Problem::OnLatest
            | Problem::NoName
            | Problem::Image(
                BadName::UpperCase { .. } | BadName::Repository(_) | BadName::Tag(_) | BadName::Image(_),
            )
            | Problem::Expression { .. }
            | Problem::Pattern { .. } => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// The known word that was probably meant, else the known ones, unless they are too many to be read.
fn nearest(found: &str, known: &[String]) -> String {
    let lower = found.to_lowercase();
    let near = known.iter().map(|word| (strsim::jaro_winkler(&lower, &word.to_lowercase()), word));
    let best = near.filter(|(score, _)| 0.8 < *score).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None if known.len() <= 20 => {
            let listed: Vec<_> = known.iter().map(|word| format!("`{word}`")).collect();
            format!("it is one of {}", listed.join(", "))
        }
        None => "look it up in the IANA list, where it is spelt like `Europe/Berlin`".to_owned(),
    }
}
