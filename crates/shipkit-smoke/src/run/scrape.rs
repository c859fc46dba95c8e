//! Reads the metrics that an application shows, and sees whether they grow.

use std::cmp::Ordering;

use futures_util::{StreamExt as _, stream};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use url::Url;

use super::Session;
use crate::class::Class;
use crate::client::{Ask, Bad};
use crate::exposition::{Exposition, Fault, Format, Selector};
use crate::judge::{self, short};

/// What Prometheus itself asks for, but for its binary format.
const FORMATS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
/// What is read of an exposition.
const LIMIT: usize = 8 * 1024 * 1024;
/// How many requests should make something grow.
pub(crate) const REQUESTS: usize = 10;
/// How often it is read until the instance answers that has answered before.
const READS: usize = 20;

/// What is read, and what must be in it.
pub(super) struct Scrape {
    pub(super) ask: Ask,
    /// What is asked for so that something grows.
    pub(super) by: Url,
    pub(super) series: Vec<Selector>,
    pub(super) grows: Vec<Selector>,
}

/// What was read once.
struct Read {
    told: String,
    process: Option<u64>,
    sums: Vec<f64>,
}

impl Scrape {
    /// The question for the metrics at an address.
    pub(super) fn ask(url: Url) -> Ask {
        Ask { headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(FORMATS))]), ..Ask::get(url) }
    }

    /// What an answer says about that.
    fn read(&self, format: Format, body: &[u8]) -> Result<Read, Bad> {
        let wrong = |why: String| Bad::new(Class::Body, why);
        let read = Exposition::read(format, body);
        let read = read.map_err(|Fault { line, why }| wrong(format!("line {line}: {why}")))?;
        let missing = |wanted: &&Selector| read.sum(wanted).is_none();
        let missing: Vec<_> = self.series.iter().chain(&self.grows).filter(missing).collect();
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|wanted| format!("`{}`", wanted.text())).collect();
            return Err(wrong(format!("there is no series {}", names.join(", "))));
        }
        let sums = self.grows.iter().filter_map(|wanted| read.sum(wanted)).collect();
        Ok(Read { told: read.told(), process: read.process(), sums })
    }

    /// Whether all grew that should.
    fn grown(&self, before: &Read, after: &Read) -> Result<String, Bad> {
        let all = self.grows.iter().zip(before.sums.iter().zip(&after.sums));
        // What is not a number has not grown either.
        let still = all.filter(|(_, (before, after))| before.partial_cmp(after) != Some(Ordering::Less));
        let still: Vec<_> = still
            .map(|(wanted, (before, after))| {
                format!(
                    "`{}` does not grow: {before}, and {after} after {REQUESTS} requests to `{}`",
                    wanted.text(),
                    self.by.path()
                )
            })
            .collect();
        if !still.is_empty() {
            return Err(Bad::new(Class::Body, still.join("; ")));
        }
        let names: Vec<_> = self.grows.iter().map(|wanted| format!("`{}`", wanted.text())).collect();
        Ok(format!("{}; {} grows", after.told, names.join(", ")))
    }
}

impl Session<'_> {
    /// One attempt: reads once, and where something should grow, sends requests and reads again.
    pub(super) async fn scrape(&self, scrape: &Scrape) -> Result<String, Bad> {
        let before = self.read(scrape).await?;
        if scrape.grows.is_empty() {
            return Ok(before.told);
        }
        let by = Ask::get(scrape.by.clone());
        let requests = (0..REQUESTS).map(|_| self.send(&by, self.options.timeout));
        let answers: Vec<_> = stream::iter(requests).buffered(REQUESTS).collect().await;
        let answers: Result<Vec<_>, Bad> = answers.into_iter().collect();
        answers.map_err(|bad| Bad { detail: format!("`{}`: {}", scrape.by.path(), bad.detail), ..bad })?;
        // Each of several instances counts for itself.
        for _ in 0..READS {
            let after = self.read(scrape).await?;
            if after.process == before.process {
                return scrape.grown(&before, &after);
            }
        }
        let detail = format!("the instance that was read first does not answer {READS} more times");
        Err(Bad::new(Class::Elsewhere, detail))
    }

    async fn read(&self, scrape: &Scrape) -> Result<Read, Bad> {
        let end = Instant::now() + self.options.timeout;
        let answer = self.sender.client.ask_up_to(LIMIT, &scrape.ask, end).await?;
        judge::ready(&answer)?;
        let kind = answer.headers.get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()));
        let kind = kind.unwrap_or_default();
        let wrong = |why: String| Bad::new(Class::Body, why);
        let format = Format::of(&kind).ok_or_else(|| {
            wrong(format!("the media type `{}` is none that Prometheus reads: `text/plain` or `application/openmetrics-text`", short(&kind)))
        })?;
        if !answer.is_whole {
            return Err(wrong(format!("there is more than {} MiB of it", LIMIT >> 20)));
        }
        scrape.read(format, &answer.body)
    }
}
