//! `Asked`: a check with everything that can be known before anything is sent.

use url::Url;

use super::filled;
use super::operations::Operations;
use super::question::{Question, Rest};
use crate::capture::Captured;
use crate::check::{Check, Kind};
use crate::error::SmokeError;
use crate::graph::{Graph, Tangle};
use crate::prometheus::Prometheus;
use crate::variable::Values;

/// The stages of a run in order.
pub(super) const STAGES: [Stage; 5] =
    [Stage::Ready, Stage::Release, Stage::Rest, Stage::Measured, Stage::Burst];

/// When a check is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Ready,
    Release,
    Rest,
    /// After those that are quick: what Prometheus has measured takes its time.
    Measured,
    /// After all others, which would be refused, too.
    Burst,
}

/// A check, and the question in it.
pub(super) struct Asked<'a> {
    pub(super) check: &'a Check,
    /// What is asked, or asked first; with marks in place of variables.
    pub(super) url: Url,
    pub(super) question: Question<'a>,
}

/// Resolves every address and header, as far as nothing has to be captured for it.
pub(super) fn prepare<'a>(
    base: &Url,
    checks: impl IntoIterator<Item = &'a Check, IntoIter: Clone>,
    prometheus: Option<&'a Prometheus>,
) -> Result<Vec<Asked<'a>>, SmokeError> {
    let checks = checks.into_iter();
    let later = filled::marks(checks.clone().flat_map(Check::captures));
    let asked = |check: &'a Check| {
        let (url, question) = Question::of(base, check, &later, prometheus)?;
        Ok(Asked { check, url, question })
    };
    checks.map(asked).collect()
}

/// Who waits for whom.
pub(super) fn graph(checks: &[Check]) -> Result<Graph, SmokeError> {
    let name = |number: &usize| checks.get(*number).map(|check| check.name.as_str()).unwrap_or_default();
    Graph::of(checks).map_err(|tangle| match tangle {
        Tangle::Twice { name: captured, first, second } => SmokeError::CapturedTwice {
            check: name(&second).to_owned(),
            line: checks.get(second).and_then(|check| check.line),
            name: captured,
            other: name(&first).into(),
        },
        Tangle::Circle(circle) => {
            let round = circle.iter().chain(circle.first());
            SmokeError::Circle(
                round.map(|number| format!("`{}`", name(number))).collect::<Vec<_>>().join(" needs "),
            )
        }
    })
}

/// A path lies below the path of the base address: `https://example.com/shop` and `/health` make `/shop/health`.
pub(crate) fn address(base: &Url, path: &str, check: &Check) -> Result<Url, SmokeError> {
    let bad = |why: &dyn std::fmt::Display| SmokeError::Address {
        check: check.name.clone(),
        address: path.to_owned(),
        why: why.to_string(),
    };
    let whole = if path.starts_with('/') && !path.starts_with("//") {
        let mut root = base.clone();
        root.set_query(None);
        root.set_fragment(None);
        format!("{}{path}", root.as_str().trim_end_matches('/'))
    } else {
        path.to_owned()
    };
    let url = Url::parse(&whole).map_err(|error| bad(&error))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(bad(&format!("`{other}` is not http or https"))),
    }
}

/// A URL without user name and password.
pub(crate) fn harmless(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for addresses that have no host, which have no password either.
    url.set_password(None).ok();
    url.set_username("").ok();
    url
}

impl Asked<'_> {
    /// The question again, with what was captured, if it needs any of it.
    pub(super) fn filled(&self, base: &Url, captured: &Captured) -> Option<Result<Rest<'_>, SmokeError>> {
        let names = self.check.names();
        if !names.iter().any(|name| captured.contains_key(name)) {
            return None;
        }
        if let Kind::Openapi(api) = &self.check.kind {
            let values = Values { captured, own: &api.variables };
            return Some(Operations::of(base, self.check, api, values).map(Rest::Operations));
        }
        let Kind::Http(http) = &self.check.kind else { return None };
        let values = Values { captured, own: &http.variables };
        Some(filled::request(base, self.check, http, values).map(|request| Rest::Http(Box::new(request))))
    }
}
