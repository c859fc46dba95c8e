//! `Values`: what the variables of a check stand for, and the request with them in place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shipkit_core::Secret;
use url::Url;

use super::asked::address;
use crate::capture::{Captured, secret};
use crate::check::{Check, Expect, Http};
use crate::client::{self, Ask};
use crate::error::SmokeError;
use crate::secrets::Secrets;
use crate::variable::{Unfilled, as_part, fill, fill_in, shown};

/// A request with what its answer has to be.
pub(super) struct Request<'a> {
    pub(super) ask: Ask,
    pub(super) expect: Expect,
    pub(super) http: &'a Http,
    /// What was put in, which its answer may say again.
    pub(super) secrets: Secrets,
}

/// What variables stand for: what was captured, or else what the check brings.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) captured: &'a Captured,
    pub(super) own: &'a BTreeMap<String, Secret>,
}

impl Values<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        let own = || self.own.get(name).map(|secret| Value::from(secret.reveal()));
        self.captured.get(name).cloned().or_else(own)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| shown(&value))
    }
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
    let text = |text: &String| fill(text, &|name| values.text(name)).map_err(unfilled);
    let value = |value: &Value| fill_in(value, &|name| values.get(name)).map_err(unfilled);
    let sent = http.headers.iter().map(|(name, sent)| Ok((name.clone(), text(sent)?)));
    let sent: BTreeMap<String, String> = sent.collect::<Result<_, SmokeError>>()?;
    let mut headers = client::headers(&check.name, &sent)?;
    let body = http.body.as_ref().map(value).transpose()?.map(|body| match (&http.body, body) {
        // A text goes out as it is, a number in place of a text as well.
        (Some(Value::String(_)), body) => shown(&body),
        (_, body) => {
            let json = http::HeaderValue::from_static("application/json");
            headers.entry(http::header::CONTENT_TYPE).or_insert(json);
            body.to_string()
        }
    });
    let expected = &http.expect;
    let wanted = expected
        .headers
        .iter()
        .map(|(name, wanted)| Ok((name.clone(), wanted.as_ref().map(text).transpose()?)));
    let json = expected.json.iter().map(|(path, wanted)| Ok((path.clone(), value(wanted)?)));
    let expect = Expect {
        headers: wanted.collect::<Result<_, SmokeError>>()?,
        json: json.collect::<Result<_, SmokeError>>()?,
        body: expected.body.as_ref().map(text).transpose()?,
        ..expected.clone()
    };
    let url = url(base, check, http, values)?;
    let captured: Vec<Secret> = values.captured.values().filter_map(secret).collect();
    let secrets = Secrets::of(http.variables.values().chain(&captured));
    Ok(Request { ask: Ask { method: http.method, url, headers, body }, expect, http, secrets })
}

/// Where a check asks, with values in place of variables. Each stays one part of the path: who gave it does not say where to ask.
pub(super) fn url(base: &Url, check: &Check, http: &Http, values: Values<'_>) -> Result<Url, SmokeError> {
    let names = http.names().map_err(|why| unfilled(check, why))?;
    let bad = |name: &&String| {
        http.path.contains(&format!("${{{name}}}"))
            && values.text(name).is_some_and(|text| as_part(&text).is_none())
    };
    if let Some(name) = names.iter().find(bad) {
        return Err(SmokeError::Part { check: check.name.clone(), name: name.clone() });
    }
    let path = fill(&http.path, &|name| values.text(name).and_then(|text| as_part(&text)));
    let path = path.map_err(|why| unfilled(check, why))?;
    address(base, &path, check).map_err(|mut error| {
        // With what was put in, it is nobody's to see.
        if let SmokeError::Address { address, .. } = &mut error {
            address.clone_from(&http.path);
        }
        error
    })
}

fn unfilled(check: &Check, why: Unfilled) -> SmokeError {
    let (name, line) = (check.name.clone(), check.line);
    match why {
        Unfilled::Broken => SmokeError::Broken { check: name, line },
        Unfilled::Unknown(variable) => SmokeError::Variable { check: name, line, variable },
    }
}
