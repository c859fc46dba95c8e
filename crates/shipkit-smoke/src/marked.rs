//! `Marked`: which of several that answer at the same address is meant.

use http::{HeaderName, HeaderValue};
use shipkit_core::Secret;

use crate::class::Class;
use crate::client::{Answer, Ask, Bad};
use crate::error::SmokeError;

/// How a proxy tells requests that are for one of those behind it, and how it says that this one has answered.
#[derive(Debug, Clone)]
pub struct Marked {
    /// The header, of requests and of answers.
    pub header: String,
    /// What it says in requests, so that they go there. It is shown nowhere.
    pub ask: Secret,
    /// What it says in answers from there.
    pub answer: String,
}

/// The same, as HTTP has it.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    header: HeaderName,
    ask: HeaderValue,
    answer: HeaderValue,
}

impl Marks {
    pub(crate) fn of(marked: &Marked) -> Result<Self, SmokeError> {
        let bad = || SmokeError::Header { check: "preview".to_owned(), header: marked.header.clone() };
        let header = HeaderName::try_from(&marked.header).ok();
        let ask = HeaderValue::try_from(marked.ask.reveal()).ok();
        let answer = HeaderValue::try_from(&marked.answer).ok();
        let (header, (mut ask, answer)) = header.zip(ask.zip(answer)).ok_or_else(bad)?;
        ask.set_sensitive(true);
        Ok(Self { header, ask, answer })
    }

    /// The request, for the one that is meant.
    pub(crate) fn on(&self, ask: &Ask) -> Ask {
        let mut ask = ask.clone();
        ask.headers.insert(self.header.clone(), self.ask.clone());
        ask
    }

    /// The answer, if the one that is meant gave it.
    pub(crate) fn checked(&self, answer: Answer) -> Result<Answer, Bad> {
        if answer.headers.get_all(&self.header).iter().any(|said| *said == self.answer) {
            return Ok(answer);
        }
        let detail =
            format!("another answered (status {}), without the header `{}`", answer.status, self.header);
        Err(Bad::new(Class::Elsewhere, detail))
    }
}
