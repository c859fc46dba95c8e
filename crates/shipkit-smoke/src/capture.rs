//! `Capture`: what of an answer later checks use.

use std::collections::BTreeMap;

use serde_json::Value;
use shipkit_core::Secret;

use crate::check::Capture;
use crate::class::Class;
use crate::client::{Answer, Bad};
use crate::json_path::JsonPath;
use crate::judge;
use crate::variable::shown;

/// What is longer is no token and no name.
const LONGEST: usize = 16 * 1024;

/// What was captured, by name: texts, numbers and truth values.
pub(crate) type Captured = BTreeMap<String, Value>;

/// What can be captured of an answer, and what is wrong with the rest.
pub(crate) fn capture(answer: &Answer, wanted: &BTreeMap<String, Capture>) -> (Captured, Result<(), Bad>) {
    let mut captured = Captured::new();
    let mut wrong = Vec::new();
    let body = judge::json(answer);
    for (name, place) in wanted {
        let found = match place {
            Capture::Header(header) => in_header(answer, header),
            Capture::Json(path) => {
                body.as_ref().map_err(|bad| bad.detail.clone()).and_then(|body| in_json(body, path))
            }
        };
        match found {
            Ok(value) if shown(&value).len() <= LONGEST => {
                captured.insert(name.clone(), value);
            }
            Ok(_) => wrong.push(format!("`{name}` is longer than {LONGEST} bytes")),
            Err(why) => wrong.push(format!("`{name}` cannot be captured: {why}")),
        }
    }
    let result = if wrong.is_empty() { Ok(()) } else { Err(Bad::new(Class::Body, wrong.join("; "))) };
    (captured, result)
}

/// What was captured, as a secret. A truth value is none: it would star out every `true`.
pub(crate) fn secret(value: &Value) -> Option<Secret> {
    (!value.is_boolean()).then(|| Secret::from(shown(value)))
}

/// The value of the first line of a header.
fn in_header(answer: &Answer, name: &str) -> Result<Value, String> {
    let line = answer.headers.get(name).ok_or_else(|| format!("header `{name}` is missing"))?;
    let text = line.to_str().map_err(|_not_ascii| format!("header `{name}` is no text"))?;
    Ok(Value::from(text))
}

/// The one value at a place.
fn in_json(body: &Value, path: &str) -> Result<Value, String> {
    let path = path.parse::<JsonPath>().map_err(|error| error.to_string())?;
    let found = path.find(body);
    match found.as_slice() {
        [] => Err(format!("`{path}` is missing")),
        [value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))] => Ok((*value).clone()),
        [_] => Err(format!("`{path}` is no text, number or truth value")),
        several => Err(format!("`{path}` is there {} times", several.len())),
    }
}
