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

/// Where in JSON a value is expected.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Keys and numbers of entries with dots between them. A whole key with dots in it wins over steps.
    Dotted(String),
    /// A `JSONPath` query.
    Path(JsonPath),
}

impl Place {
    /// What begins with `$` is a `JSONPath`.
    pub(crate) fn read(text: &str) -> Result<Self, NotAPath> {
        if text.starts_with('$') { text.parse().map(Self::Path) } else { Ok(Self::Dotted(text.to_owned())) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dotted(path) => f.write_str(path),
            Self::Path(path) => path.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::path::Path;

    /// Whether a case of the suite comes out as it says: a query that is none is refused; otherwise the values are those of one of
    /// the results, which differ only where the order of keys is free.
    fn is_kept(case: &Value) -> bool {
        let query = case["selector"].as_str().unwrap().parse::<JsonPath>();
        if case["invalid_selector"] == true {
            return query.is_err();
        }
        let Ok(query) = query else { return false };
        let found = Value::from(query.find(&case["document"]).into_iter().cloned().collect::<Vec<_>>());
        match case["results"].as_array() {
            Some(results) => results.contains(&found),
            None => case["result"] == found,
        }
    }

    #[test]
    fn the_compliance_suite_of_rfc_9535_is_kept() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/jsonpath/cts.json");
        let text = std::fs::read(&file).unwrap_or_else(|error| {
            panic!(
                "the cases of JSONPath are missing: run `scripts/fetch-jsonpath-cases` ({}: {error})",
                file.display()
            )
        });
        let suite: Value = serde_json::from_slice(&text).unwrap();
        let cases = suite["tests"].as_array().unwrap();
        let broken: Vec<&Value> =
            cases.iter().filter(|case| !is_kept(case)).map(|case| &case["name"]).collect();
        assert!(broken.is_empty(), "{} of {}: {broken:?}", broken.len(), cases.len());
        assert!(600 < cases.len(), "{} cases are not all", cases.len());
        // Written past the test runner, which swallows what passing tests print.
        writeln!(std::io::stderr(), "cases of RFC 9535: {}", cases.len()).unwrap();
    }

    #[test]
    fn what_begins_with_a_dollar_sign_is_a_jsonpath() {
        assert!(matches!(Place::read("$.a"), Ok(Place::Path(_))));
        assert!(matches!(Place::read("a.$"), Ok(Place::Dotted(_))));
        let error = Place::read("$.a[").unwrap_err().to_string();
        assert!(error.starts_with("`$.a[` is no JSONPath (RFC 9535): "), "{error}");
    }
}
