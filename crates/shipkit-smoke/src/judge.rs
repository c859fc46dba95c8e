//! Judging answers: what an answer means, without asking for it.

use std::time::Duration;

use http::HeaderMap;
use http::header::AsHeaderName;
use serde_json::Value;
use shipkit_core::config::Statuses;

use crate::check::Wanted;
use crate::class::Class;
use crate::client::{Answer, BODY_LIMIT, Bad};
use crate::cookies;
use crate::expected::Expected;
use crate::html::{Elements, Page};
use crate::json_path::Place;
use crate::matcher::{Cut, Matchers};
use crate::secrets::Secrets;

/// Where services put their commit.
const REVISION_KEYS: [&str; 5] = ["commit", "revision", "git_sha", "gitSha", "sha"];
/// Where these keys stand: at the top, or one level down.
const GROUPS: [&str; 3] = ["build", "git", "info"];

/// How many things a sentence names.
const NAMED: usize = 5;

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
    status(answer.status, &Statuses::successful())
}

/// What the answer says about the release that gave it. Only JSON counts: a page that answers every path is no version.
pub(crate) fn said(answer: &Answer) -> Result<Said, Bad> {
    status(answer.status, &Statuses::successful())?;
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
pub(crate) fn expected(answer: &Answer, expected: &Expected) -> Result<(), Bad> {
    let Expected {
        status: wanted,
        headers,
        json: values,
        html,
        body,
        schema,
        within,
        p95: _,
        max_regress: _,
        errors: _,
        secrets,
    } = expected;
    status(answer.status, wanted).map_err(|bad| with_location(bad, &answer.headers, secrets))?;
    let cut = |text: &str| short(&secrets.hide(text));
    // A text stands in no quotes.
    let bare = |text: &str| serde_json::from_str::<String>(text).unwrap_or_else(|_other| text.to_owned());
    let plain = |text: &str| cut(&bare(text));
    let without_values = |text: &str| cut(&cookies::hidden(&answer.headers, &bare(text)));
    let mut wrong = Vec::new();
    for (name, matchers) in headers {
        let cut: Cut<'_> = if name.eq_ignore_ascii_case("set-cookie") { &without_values } else { &plain };
        wrong.extend(header(&answer.headers, name, matchers.as_ref(), cut));
    }
    if !values.is_empty() || schema.is_some() {
        let body = json(answer)?;
        wrong.extend(values.iter().filter_map(|(place, matchers)| value(&body, place, matchers, &cut)));
        wrong.extend(schema.as_ref().and_then(|schema| schema.wrong(&body, &cut)));
    }
    if !html.is_empty() {
        let page = page(answer)?;
        for (elements, matchers) in html {
            wrong.extend(in_page(&page, elements, matchers, &plain));
        }
    }
    wrong.extend(body.as_ref().and_then(|matchers| in_body(answer, matchers, &plain)));
    if !wrong.is_empty() {
        return Err(Bad::new(Class::Body, wrong.join("; ")));
    }
    match within {
        Some(limit) if *limit < answer.took => Err(slow(answer.took, *limit)),
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

/// The first of several things that a sentence names, and how many more there are.
pub(crate) fn list(parts: &[String]) -> String {
    let first = parts.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match parts.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn slow(took: Duration, limit: Duration) -> Bad {
    Bad::new(Class::Timeout, format!("it answered after {took:.1?}, not within {limit:?}"))
}

/// Whether the status is one of those that are wanted.
pub(crate) fn status(seen: u16, wanted: &Statuses) -> Result<(), Bad> {
    if wanted.allow(seen) {
        return Ok(());
    }
    let is_usual = *wanted == Statuses::successful();
    let detail = if is_usual { format!("status {seen}") } else { format!("status {seen}, not {wanted}") };
    Err(Bad::new(Class::Status(seen), detail))
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
fn header(headers: &HeaderMap, name: &str, wanted: Option<&Matchers>, cut: Cut<'_>) -> Option<String> {
    let joined = joined(headers, name).map(Value::from);
    let wrong = match wanted {
        Some(matchers) => matchers.wrong(joined.as_ref(), cut),
        None if joined.is_none() => Some("is missing".to_owned()),
        None => None,
    };
    wrong.map(|wrong| format!("header `{name}` {wrong}"))
}

/// All lines of a header as one value (RFC 9110 5.3).
pub(crate) fn joined(headers: &HeaderMap, name: impl AsHeaderName) -> Option<String> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn value(body: &Value, place: &Place, wanted: &Matchers, cut: Cut<'_>) -> Option<String> {
    let wrong = match place {
        Place::Dotted(path) => wanted.wrong(at(body, path), cut),
        Place::Path(path) => wanted.wrong_with_all(&path.find(body), cut),
    };
    wrong.map(|wrong| format!("`{place}` {wrong}"))
}

fn page(answer: &Answer) -> Result<Page, Bad> {
    if !answer.is_whole {
        return Err(Bad::new(Class::Body, format!("the body is larger than {BODY_LIMIT} bytes")));
    }
    Page::read(&answer.body).map_err(|why| Bad::new(Class::Body, why))
}

fn in_page(page: &Page, elements: &Elements, wanted: &Matchers, cut: Cut<'_>) -> Option<String> {
    let found = match elements.find(page) {
        Ok(found) => found,
        Err(why) => return Some(why),
    };
    let wrong = wanted.wrong_with_all(&found.iter().collect::<Vec<_>>(), cut)?;
    Some(format!("`{elements}` {wrong}"))
}

/// Of a body that was not read to its end, only what is in it can be told.
fn in_body(answer: &Answer, wanted: &Matchers, cut: Cut<'_>) -> Option<String> {
    if !answer.is_whole && wanted.needs_all() {
        return Some(format!("the body is larger than {BODY_LIMIT} bytes"));
    }
    let part = if answer.is_whole { "the body" } else { "the first MiB of the body" };
    wanted.wrong_with_body(&answer.body, cut).map(|wrong| format!("{part} {wrong}"))
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
}
