//! `Request`: what a check sends and expects, with values in place of variables.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use serde_json::Value;
use shipkit_core::Secret;
use url::Url;

use super::asked::address;
use crate::capture::{Captured, secret};
use crate::check::{Check, Http};
use crate::client::{self, Ask};
use crate::error::SmokeError;
use crate::expected::Expected;
use crate::matcher::Unread;
use crate::secrets::Secrets;
use crate::variable::{Unfilled, Values, as_part, fill, shown};

/// A request with what its answer has to be.
pub(super) struct Request<'a> {
    pub(super) ask: Ask,
    pub(super) expected: Expected,
    pub(super) http: &'a Http,
}

/// A name where a value will be, for what is shown: of characters that stand in an address as they are.
fn mark(name: &str) -> String {
    format!("~{name}~")
}

/// Values that stand for themselves.
pub(super) fn marks<'a>(names: impl IntoIterator<Item = &'a String>) -> Captured {
    names.into_iter().map(|name| (name.clone(), Value::from(mark(name)))).collect()
}

/// What is shown, with variables as they were written.
pub(super) fn unmarked(text: &str, names: &BTreeSet<String>) -> String {
    names.iter().fold(text.to_owned(), |text, name| text.replace(&mark(name), &format!("${{{name}}}")))
}

/// The address and the request of a check, with values in place of variables.
pub(super) fn request<'a>(
    base: &Url,
    check: &Check,
    http: &'a Http,
    values: Values<'_>,
) -> Result<Request<'a>, SmokeError> {
    let unfilled = |why| unfilled(check, why);
    let mut headers = sent(check, &http.headers, values)?;
    let body = http.body.as_ref().map(|body| values.value(body)).transpose().map_err(unfilled)?.map(|body| {
        match (&http.body, body) {
            // A text goes out as it is, a number in place of a text as well.
            (Some(Value::String(_)), body) => shown(&body),
            (_, body) => {
                let json = http::HeaderValue::from_static("application/json");
                headers.entry(http::header::CONTENT_TYPE).or_insert(json);
                body.to_string()
            }
        }
    });
    let url = url(base, check, http, values)?;
    let captured: Vec<Secret> = values.captured.values().filter_map(secret).collect();
    let secrets = Secrets::of(http.variables.values().chain(&captured));
    let expected = Expected::read(&http.expect, values, secrets).map_err(|why| unread(check, why))?;
    Ok(Request { ask: Ask { method: http.method, url, headers, body }, expected, http })
}

/// The headers that are sent, with values in place of variables.
pub(super) fn sent(
    check: &Check,
    headers: &BTreeMap<String, String>,
    values: Values<'_>,
) -> Result<HeaderMap, SmokeError> {
    let text = |text: &String| values.text(text).map_err(|why| unfilled(check, why));
    let sent = headers.iter().map(|(name, sent)| Ok((name.clone(), text(sent)?)));
    let sent: BTreeMap<String, String> = sent.collect::<Result<_, SmokeError>>()?;
    client::headers(&check.name, &sent)
}

/// Where a check asks, with values in place of variables. Each stays one part of the path: who gave it does not say where to ask.
pub(super) fn url(base: &Url, check: &Check, http: &Http, values: Values<'_>) -> Result<Url, SmokeError> {
    let names = http.names().map_err(|why| unfilled(check, why))?;
    let bad = |name: &&String| {
        http.path.contains(&format!("${{{name}}}"))
            && values.text_of(name).is_some_and(|text| as_part(&text).is_none())
    };
    if let Some(name) = names.iter().find(bad) {
        return Err(SmokeError::Part { check: check.name.clone(), name: name.clone() });
    }
    let path = fill(&http.path, &|name| values.text_of(name).and_then(|text| as_part(&text)));
    let path = path.map_err(|why| unfilled(check, why))?;
    address(base, &path, check).map_err(|error| {
        // With what was put in, it is nobody's to see.
        let SmokeError::Address { check, why, .. } = error else { return error };
        SmokeError::Address { check, address: http.path.clone(), why }
    })
}

/// Why it is not clear what is expected.
pub(super) fn unread(check: &Check, why: Unread) -> SmokeError {
    match why {
        Unread::Unfilled(why) => unfilled(check, why),
        Unread::Wrong(why) => SmokeError::Expected { check: check.name.clone(), line: check.line, why },
    }
}

fn unfilled(check: &Check, why: Unfilled) -> SmokeError {
    let (name, line) = (check.name.clone(), check.line);
    match why {
        Unfilled::Broken => SmokeError::Broken { check: name, line },
        Unfilled::Unknown(variable) => SmokeError::Variable { check: name, line, variable },
    }
}
