//! `Difference`: how one field differs between two states of an object, in words that people may read.
//!
//! Numbers, truth values and images are shown. All other texts are only named, wherever they stand: any of them may be a secret, not
//! just the value of an environment variable, but also an argument, a header of a probe or an annotation.

use std::fmt;

use serde_json::Value;

use crate::reference::ImageName;

/// How many differences of one object are named.
const NAMED: usize = 10;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What people call it, or where it is: as in `spec.template.spec.containers[api].image`.
    pub field: String,
    /// How.
    pub how: How,
}

/// How a field differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// It is something else, and may be a secret.
    Changed,
    /// It is something else that may be shown.
    Becomes {
        /// What it was.
        from: String,
        /// What it is.
        to: String,
    },
}

impl How {
    /// How a value differs from the one before, if at least one of the two is there.
    #[must_use]
    pub fn of(before: Option<&Value>, now: Option<&Value>) -> Self {
        match (before, now) {
            (None, _) => Self::Added,
            (_, None) => Self::Removed,
            (Some(before), Some(now)) => match (shown(before), shown(now)) {
                (Some(from), Some(to)) => Self::Becomes { from, to },
                (_, _) => Self::Changed,
            },
        }
    }

    /// The same of a field that names an image, which is shown if it is one.
    #[must_use]
    pub fn of_image(before: Option<&Value>, now: Option<&Value>) -> Self {
        let image = |value: Option<&Value>| {
            let text = value?.as_str()?;
            text.parse::<ImageName>().ok().map(|_image| text.to_owned())
        };
        match (image(before), image(now)) {
            (Some(from), Some(to)) => Self::Becomes { from, to },
            (_, _) => Self::of(before, now),
        }
    }
}

/// A value that cannot be a secret.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Differences of one object in a list, cut where they are many.
#[must_use]
pub fn named(differences: &[Difference]) -> String {
    let named: Vec<_> = differences.iter().take(NAMED).map(ToString::to_string).collect();
    match differences.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// What is said of something that somebody has changed since a release was deployed there; `None` if nobody has.
#[must_use]
pub fn drift(of: &str, version: &str, differences: &[Difference]) -> Option<String> {
    (!differences.is_empty()).then(|| format!("`{of}` is not as {version} left it: {}", named(differences)))
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.how {
            How::Added => write!(f, "{} added", self.field),
            How::Removed => write!(f, "{} removed", self.field),
            How::Changed => write!(f, "{} changed", self.field),
            How::Becomes { from, to } => write!(f, "{} {from} -> {to}", self.field),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(how: How) -> String {
        Difference { field: "a".to_owned(), how }.to_string()
    }

    #[test]
    fn only_what_cannot_be_a_secret_is_shown() {
        let of = |before: &Value, now: &Value| told(How::of(Some(before), Some(now)));
        assert_eq!(of(&json!(1), &json!(2.5)), "a 1 -> 2.5");
        assert_eq!(of(&json!(false), &json!(true)), "a false -> true");
        for hidden in [json!("s3cret"), json!(["s3cret"]), json!({"s3cret": 1}), Value::Null] {
            assert_eq!(of(&json!(1), &hidden), "a changed");
            assert_eq!(of(&hidden, &json!(1)), "a changed");
            assert_eq!(told(How::of(None, Some(&hidden))), "a added");
            assert_eq!(told(How::of(Some(&hidden), None)), "a removed");
        }
    }

    #[test]
    fn an_image_is_shown_and_what_stands_in_its_place_is_not() {
        let of = |before: Option<&str>, now: Option<&str>| {
            let (before, now) = (before.map(|text| json!(text)), now.map(|text| json!(text)));
            told(How::of_image(before.as_ref(), now.as_ref()))
        };
        let by_digest = format!("registry.example/shop/api@sha256:{}", "a".repeat(64));
        assert_eq!(of(Some("api:1"), Some(&by_digest)), format!("a api:1 -> {by_digest}"));
        assert_eq!(of(Some("api:1"), Some("user:pass@host/a b")), "a changed");
        assert_eq!(
            (of(None, Some("api")), of(Some("api"), None)),
            ("a added".to_owned(), "a removed".to_owned())
        );
    }

    #[test]
    fn a_sentence_names_so_many() {
        let one = |number: usize| Difference { field: number.to_string(), how: How::Added };
        let many: Vec<Difference> = (0..12).map(one).collect();
        assert_eq!(drift("api", "1", &[]), None);
        assert_eq!(drift("api", "1", &[one(0)]).as_deref(), Some("`api` is not as 1 left it: 0 added"));
        assert!(drift("api", "1", &many).unwrap().ends_with(", 9 added and 2 more"));
    }
}
