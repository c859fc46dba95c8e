//! Asks the operations of an API that only read.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use http::HeaderMap;
use shipkit_core::Secret;
use url::Url;

use super::asked::address;
use super::{AT_ONCE, Session, filled};
use crate::capture::secret;
use crate::check::Check;
use crate::class::Class;
use crate::client::{self, Answer, Ask, Bad};
use crate::error::SmokeError;
use crate::judge::{self, short};
use crate::openapi::{Api, Operation};
use crate::page::media_type;
use crate::schema::JsonSchema;
use crate::secrets::Secrets;
use crate::variable::Values;

/// How many of the operations that are not asked are named.
const NAMED: usize = 5;

/// What is asked of an API.
pub(super) struct Operations {
    pub(super) described: Vec<Described>,
    left_out: Vec<String>,
    /// What is not repeated of answers.
    secrets: Secrets,
}

/// An operation with its request, and with what its answers have to be.
pub(super) struct Described {
    template: String,
    ask: Ask,
    answers: BTreeMap<String, Option<JsonSchema>>,
}

impl Operations {
    /// Resolves addresses and reads schemas.
    pub(super) fn of(base: &Url, check: &Check, api: &Api, values: Values<'_>) -> Result<Self, SmokeError> {
        let sent = filled::sent(check, &api.send, values)?;
        let described = api.operations.iter().map(|operation| describe(base, check, operation, &sent));
        let captured: Vec<Secret> = values.captured.values().filter_map(secret).collect();
        let secrets = Secrets::of(api.variables.values().chain(&captured));
        Ok(Self { described: described.collect::<Result<_, _>>()?, left_out: api.left_out.clone(), secrets })
    }

    /// The operations that are not asked.
    pub(super) fn left_out(&self) -> String {
        match self.left_out.as_slice() {
            [] => "there is no operation that only reads".to_owned(),
            all => {
                let more = all.len().saturating_sub(NAMED);
                let more = if more == 0 { String::new() } else { format!(", and {more} more") };
                let named: Vec<_> = all.iter().take(NAMED).map(|one| short(one)).collect();
                format!("left out: {}{more}", named.join(", "))
            }
        }
    }
}

fn describe(
    base: &Url,
    check: &Check,
    operation: &Operation,
    sent: &HeaderMap,
) -> Result<Described, SmokeError> {
    let Operation { template, path, headers, answers } = operation;
    let read = |(status, schema): (&String, &Option<serde_json::Value>)| {
        let bad = |why| SmokeError::Expected {
            check: check.name.clone(),
            line: check.line,
            why: format!("the schema of `GET {template}`, {status}: {why}"),
        };
        Ok((status.clone(), schema.as_ref().map(JsonSchema::read).transpose().map_err(bad)?))
    };
    let mut headers = client::headers(&check.name, headers)?;
    headers.extend(sent.clone());
    Ok(Described {
        template: template.clone(),
        ask: Ask { headers, ..Ask::get(address(base, path, check)?) },
        answers: answers.iter().map(read).collect::<Result<_, SmokeError>>()?,
    })
}

impl Session<'_> {
    /// One example request of each operation, eight at once.
    pub(super) async fn operations(&self, operations: &Operations) -> Result<String, Bad> {
        // In a loop, for with a closure the future of a run could not be sent to another thread.
        let mut asking = Vec::new();
        for described in &operations.described {
            asking.push(self.operation(described, &operations.secrets));
        }
        let found: Vec<Result<(), Bad>> = stream::iter(asking).buffered(AT_ONCE).collect().await;
        let wrong: Vec<Bad> = found.into_iter().filter_map(Result::err).collect();
        let all = operations.described.len();
        let Some(first) = wrong.first() else {
            let rest = if operations.left_out.is_empty() {
                String::new()
            } else {
                format!("; {}", operations.left_out())
            };
            return Ok(format!("{all} operations answer as described{rest}"));
        };
        let details: Vec<_> = wrong.iter().map(|bad| bad.detail.as_str()).collect();
        Err(Bad::new(first.class, format!("{} of {all} operations: {}", wrong.len(), details.join("; "))))
    }

    async fn operation(&self, described: &Described, secrets: &Secrets) -> Result<(), Bad> {
        let Described { template, ask, answers } = described;
        let answer = self.send(ask, self.options.timeout).await;
        let judged = answer.and_then(|answer| as_described(answers, &answer, secrets));
        judged.map_err(|bad| Bad::new(bad.class, format!("`GET {template}`: {}", bad.detail)))
    }
}

/// Whether this answer is described. What says that the service is broken is none, even if it is.
fn as_described(
    answers: &BTreeMap<String, Option<JsonSchema>>,
    answer: &Answer,
    secrets: &Secrets,
) -> Result<(), Bad> {
    let status = answer.status;
    let Some(schema) = Operation::answer(answers, status).filter(|_| status < 500) else {
        let what = if status < 500 { ", which is not described" } else { "" };
        return Err(Bad::new(Class::Status(status), format!("status {status}{what}")));
    };
    let Some(schema) = schema else { return Ok(()) };
    let kind = media_type(answer);
    if kind != "application/json" && !kind.ends_with("+json") {
        return Err(Bad::new(Class::Body, format!("status {status} with `{}`, not JSON", short(&kind))));
    }
    match schema.wrong(&judge::json(answer)?, &|text| short(&secrets.hide(text))) {
        Some(wrong) => Err(Bad::new(Class::Body, wrong)),
        None => Ok(()),
    }
}
