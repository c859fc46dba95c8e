//! Judging answers: what an answer means, without asking for it.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use crate::check::{Expect, Wanted};
use crate::class::Class;
use crate::client::{Answer, BODY_LIMIT, Bad};
use crate::secrets::Secrets;

/// Where services put their commit.
const REVISION_KEYS: [&str; 5] = ["commit", "revision", "git_sha", "gitSha", "sha"];
/// Where these keys stand: at the top, or one level down.
const GROUPS: [&str; 3] = ["build", "git", "info"];

/// What a service says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) revision: Option<String>,
    pub(crate) version: Option<String>,
}

impl Said {
    /// What to call it: the revision, shortened, or the version.
    pub(crate) fn name(&self) -> String {
        self.revision.as_ref().or(self.version.as_ref()).map(|name| short(name)).unwrap_or_default()
    }
}

/// Whether an answer is a sign of being ready: 200 to 299.
pub(crate) fn ready(answer: &Answer) -> Result<(), Bad> {
    status(answer.status, None)
}

/// What the answer says about the release that gave it. Only JSON counts: a page that answers every path is no version.
pub(crate) fn said(answer: &Answer) -> Result<Said, Bad> {
    status(answer.status, None)?;
    let body = json(answer)?;
    let places = || std::iter::once(Some(&body)).chain(GROUPS.iter().map(|group| body.get(group))).flatten();
    let find = |keys: &[&str]| {
        let values = places().flat_map(|place| keys.iter().filter_map(|key| place.get(key)?.as_str()));
        values
            .map(str::trim)
            .find(|text| !text.is_empty())
            .map(|text| text.chars().take(128).collect::<String>())
    };
    let said = Said { revision: find(&REVISION_KEYS), version: find(&["version"]) };
    if said.revision.is_none() && said.version.is_none() {
        return Err(Bad::new(Class::Body, "the JSON names no `commit`, `revision`, `git_sha` or `version`"));
    }
    Ok(said)
}

/// Whether what a service says is what was shipped.
pub(crate) fn is_wanted(said: &Said, wanted: &Wanted) -> Result<(), Bad> {
    let differs = |what: &str, said: &str, wanted: &str| {
        Bad::new(Class::Body, format!("it says {what} `{}`, not `{}`", short(said), short(wanted)))
    };
    match (&said.revision, &wanted.revision, &said.version, &wanted.version) {
        (Some(said), Some(wanted), ..) if is_same_commit(said, wanted) => Ok(()),
        (Some(said), Some(wanted), ..) => Err(differs("revision", said, wanted)),
        (.., Some(said), Some(wanted)) if bare(said) == bare(wanted) => Ok(()),
        (.., Some(said), Some(wanted)) => Err(differs("version", said, wanted)),
        (_, Some(wanted), ..) => {
            let detail = format!(
                "it says a version `{}` and no revision to compare with `{}`",
                said.name(),
                short(wanted)
            );
            Err(Bad::new(Class::Body, detail))
        }
        (.., Some(wanted)) => {
            let detail = format!(
                "it says a revision `{}` and no version to compare with `{}`",
                said.name(),
                short(wanted)
            );
            Err(Bad::new(Class::Body, detail))
        }
        (_, None, _, None) => Err(Bad::new(Class::Body, "nothing to compare with")),
    }
}

/// Whether everything that is expected holds; all that does not is named.
pub(crate) fn expected(answer: &Answer, expect: &Expect, secrets: &Secrets) -> Result<(), Bad> {
    status(answer.status, expect.status).map_err(|bad| with_location(bad, &answer.headers, secrets))?;
    let cut = |text: &str| short(&secrets.hide(text));
    let mut wrong = Vec::new();
    for (name, value) in &expect.headers {
        wrong.extend(header(&answer.headers, name, value.as_deref(), &cut).err());
    }
    if !expect.json.is_empty() {
        let body = json(answer)?;
        wrong.extend(expect.json.iter().filter_map(|(path, wanted)| value(&body, path, wanted, &cut).err()));
    }
    if let Some(text) = &expect.body
        && !String::from_utf8_lossy(&answer.body).contains(text.as_str())
    {
        let part = if answer.is_whole { "the body" } else { "the first MiB of the body" };
        wrong.push(format!("{part} does not hold `{}`", cut(text)));
    }
    if !wrong.is_empty() {
        return Err(Bad::new(Class::Body, wrong.join("; ")));
    }
    match expect.within {
        Some(limit) if limit < answer.took => Err(slow(answer.took, limit)),
        Some(_) | None => Ok(()),
    }
}

/// At most a hundred characters of a foreign text.
pub(crate) fn short(text: &str) -> String {
    let mut cut: String = text.chars().take(100).collect();
    if cut.len() < text.len() {
        cut.push_str("...");
    }
    cut
}

fn slow(took: Duration, limit: Duration) -> Bad {
    Bad::new(Class::Timeout, format!("it answered after {took:.1?}, not within {limit:?}"))
}

fn status(seen: u16, wanted: Option<u16>) -> Result<(), Bad> {
    match wanted {
        Some(wanted) if seen == wanted => Ok(()),
        None if (200..300).contains(&seen) => Ok(()),
        Some(wanted) => Err(Bad::new(Class::Status(seen), format!("status {seen}, not {wanted}"))),
        None => Err(Bad::new(Class::Status(seen), format!("status {seen}"))),
    }
}

/// A redirect is not followed; where it leads often tells what is wrong.
fn with_location(bad: Bad, headers: &HeaderMap, secrets: &Secrets) -> Bad {
    match headers.get("location") {
        Some(to) => {
            let to = short(&secrets.hide(&String::from_utf8_lossy(to.as_bytes())));
            Bad { detail: format!("{} (to `{to}`)", bad.detail), ..bad }
        }
        None => bad,
    }
}

pub(crate) fn json(answer: &Answer) -> Result<Value, Bad> {
    if !answer.is_whole {
        return Err(Bad::new(Class::Body, format!("the body is larger than {BODY_LIMIT} bytes")));
    }
    serde_json::from_slice(&answer.body).map_err(|_not_json| {
        let kind = answer.headers.get("content-type").map(|kind| String::from_utf8_lossy(kind.as_bytes()));
        let kind = kind.map_or_else(|| "no media type".to_owned(), |kind| format!("`{}`", short(&kind)));
        Bad::new(Class::Body, format!("the answer is no JSON ({kind})"))
    })
}

/// All lines of one header are one list (RFC 9110 5.3).
fn header(
    headers: &HeaderMap,
    name: &str,
    wanted: Option<&str>,
    cut: &dyn Fn(&str) -> String,
) -> Result<(), String> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    let joined = lines.join(", ");
    match wanted {
        _ if lines.is_empty() => Err(format!("header `{name}` is missing")),
        Some(wanted) if joined != wanted => {
            Err(format!("header `{name}` is `{}`, not `{wanted}`", cut(&joined)))
        }
        Some(_) | None => Ok(()),
    }
}

fn value(body: &Value, path: &str, wanted: &Value, cut: &dyn Fn(&str) -> String) -> Result<(), String> {
    match at(body, path) {
        Some(seen) if is_equal(seen, wanted) => Ok(()),
        Some(seen) => Err(format!("`{path}` is `{}`, not `{wanted}`", cut(&seen.to_string()))),
        None => Err(format!("`{path}` is missing")),
    }
}

/// The value at a dotted path; a whole key with dots in it wins over steps.
fn at<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(found) = body.get(path) {
        return Some(found);
    }
    path.split('.').try_fold(body, |place, step| match place {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        Value::Object(fields) => fields.get(step),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// Numbers are equal by value: `1` and `1.0` are one number in JSON. Whole numbers are compared exactly, because large
/// ones do not fit into a float.
fn is_equal(seen: &Value, wanted: &Value) -> bool {
    let is_fraction = seen.is_f64() || wanted.is_f64();
    match (seen.as_f64(), wanted.as_f64()) {
        (Some(seen), Some(wanted)) if is_fraction => seen.total_cmp(&wanted).is_eq(),
        _ => seen == wanted,
    }
}

/// Services often say a short commit; fewer than seven digits name nothing.
fn is_same_commit(said: &str, wanted: &str) -> bool {
    let (said, wanted) = (said.to_ascii_lowercase(), wanted.to_ascii_lowercase());
    let shorter = said.len().min(wanted.len());
    said == wanted || (7 <= shorter && (said.starts_with(&wanted) || wanted.starts_with(&said)))
}

fn bare(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(revision: Option<&str>, version: Option<&str>, wanted: &str, is_good: bool) {
        let said = Said { revision: revision.map(str::to_owned), version: version.map(str::to_owned) };
        let judged = is_wanted(&said, &Wanted::from_text(wanted));
        assert_eq!(judged.is_ok(), is_good, "{said:?} for {wanted}: {judged:?}");
    }

    #[test]
    fn a_short_commit_names_a_release_and_a_shorter_one_names_nothing() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        check(Some(commit), None, commit, true);
        check(Some("0123456"), None, commit, true);
        check(Some("012345"), None, commit, false);
        check(Some("0123457"), None, commit, false);
        check(Some(&commit.to_uppercase()), None, commit, true);
    }

    #[test]
    fn a_version_is_compared_with_a_version_and_never_with_a_commit() {
        check(None, Some("1.4.0"), "v1.4.0", true);
        check(None, Some("1.4.0"), "1.4.0-rc.1", false);
        check(Some("abcdef0"), Some("1.4.0"), "1.4.0", true);
        check(Some("abcdef0"), None, "1.4.0", false);
        check(None, Some("1.4.0"), "abcdef0", false);
    }

    #[test]
    fn values_are_found_by_dotted_paths() {
        let body = json!({"a": {"b": [{"c": 1}]}, "x.y": true});
        assert_eq!(at(&body, "a.b.0.c"), Some(&json!(1)));
        assert_eq!(at(&body, "x.y"), Some(&json!(true)));
        assert_eq!(at(&body, "a.b.1.c"), None);
        assert_eq!(at(&body, "a.b.c"), None);
    }

    #[test]
    fn numbers_are_equal_by_value_and_whole_ones_exactly() {
        assert!(is_equal(&json!(1), &json!(1.0)));
        assert!(!is_equal(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
        assert!(!is_equal(&json!("1"), &json!(1)));
    }
}
