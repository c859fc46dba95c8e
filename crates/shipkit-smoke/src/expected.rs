//! `Expected`: what an answer has to be, ready to be compared with.

use std::time::Duration;

use serde_json::Value;
use shipkit_core::config::Statuses;

use crate::check::Expect;
use crate::html::Elements;
use crate::json_path::Place;
use crate::matcher::{Matchers, Plain, Unread};
use crate::schema::JsonSchema;
use crate::secrets::Secrets;
use crate::variable::Values;

/// What an answer has to be.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) status: Statuses,
    pub(crate) headers: Vec<(String, Option<Matchers>)>,
    pub(crate) json: Vec<(Place, Matchers)>,
    pub(crate) html: Vec<(Elements, Matchers)>,
    pub(crate) body: Option<Matchers>,
    pub(crate) schema: Option<JsonSchema>,
    pub(crate) within: Option<Duration>,
    pub(crate) p95: Option<Duration>,
    pub(crate) max_regress: Option<f64>,
    pub(crate) errors: Option<f64>,
    /// What is not repeated of the answer.
    pub(crate) secrets: Secrets,
}

impl Expected {
    /// Reads what is written, with values in place of variables.
    pub(crate) fn read(expect: &Expect, values: Values<'_>, secrets: Secrets) -> Result<Self, Unread> {
        // Cookies are judged by themselves.
        let Expect {
            status,
            headers,
            json,
            html,
            body,
            schema,
            within,
            p95,
            max_regress,
            errors,
            cookies: _,
        } = expect;
        let about = |what: &str, unread| match unread {
            Unread::Wrong(why) => Unread::Wrong(format!("{what}: {why}")),
            Unread::Unfilled(unfilled) => Unread::Unfilled(unfilled),
        };
        let matchers = |what: &str, written: &Value, plain| {
            Matchers::read(written, plain, values).map_err(|unread| about(what, unread))
        };
        let header = |(name, wanted): (&String, &Option<Value>)| {
            let what = format!("`headers.{name}`");
            Ok((
                name.clone(),
                wanted.as_ref().map(|written| matchers(&what, written, Plain::Text)).transpose()?,
            ))
        };
        let value = |(path, wanted): (&String, &Value)| {
            let place = Place::read(path).map_err(|error| Unread::Wrong(error.to_string()))?;
            Ok((place, matchers(&format!("`expect.json.{path}`"), wanted, Plain::Equal)?))
        };
        let elements = |(selector, wanted): (&String, &Value)| {
            let elements = Elements::read(selector).map_err(Unread::Wrong)?;
            Ok((elements, matchers(&format!("`expect.html.{selector}`"), wanted, Plain::Text)?))
        };
        let schema = schema.as_ref().map(JsonSchema::read).transpose();
        Ok(Self {
            status: status.clone().unwrap_or_else(Statuses::successful),
            headers: headers.iter().map(header).collect::<Result<_, Unread>>()?,
            json: json.iter().map(value).collect::<Result<_, Unread>>()?,
            html: html.iter().map(elements).collect::<Result<_, Unread>>()?,
            body: body.as_ref().map(|written| matchers("`expect.body`", written, Plain::Part)).transpose()?,
            schema: schema.map_err(|why| Unread::Wrong(format!("`expect.schema`: {why}")))?,
            within: *within,
            p95: *p95,
            max_regress: *max_regress,
            errors: *errors,
            secrets,
        })
    }
}
