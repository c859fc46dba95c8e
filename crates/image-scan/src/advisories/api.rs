//! `Api`: the service of OSV, version 1 of its interface. It is told which packages an image has, in which versions.

mod batch;
mod transport;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use transport::{Ask, Transport};
use url::Url;

use super::{AdvisoriesError, Known};
use crate::osv::{Package, Record};
use batch::{Answer, Query, Request};

/// The most queries that the service takes at once.
const QUERIES: usize = 1000;
/// How many batches are on their way at once.
const BATCHES: usize = 4;
/// How many records are fetched at once.
const RECORDS: usize = 16;
/// The most pages of the answer to one query: a page has a thousand records, or none.
const PAGES: usize = 100;
/// The most records about the packages of one image.
const MOST: usize = 50_000;

/// The service at an address.
#[derive(Debug, Clone)]
pub struct Api {
    transport: Transport,
    pace: Pace,
}

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// For all answers together.
    total: Duration,
    /// For one answer.
    each: Duration,
    /// After the first failure; it doubles with each.
    pause: Duration,
}

impl Api {
    /// Where the service is.
    pub const ADDRESS: &str = "https://api.osv.dev";

    /// The service at this address, which is [`ADDRESS`](Self::ADDRESS) or a mirror of it: `https`, or `http` on this machine.
    ///
    /// # Errors
    /// When it is no such address.
    pub fn new(address: &str) -> Result<Self, AdvisoriesError> {
        let pace = Pace {
            total: Duration::from_mins(3),
            each: Duration::from_mins(1),
            pause: Duration::from_millis(500),
        };
        Self::with_pace(address, pace)
    }

    fn with_pace(address: &str, pace: Pace) -> Result<Self, AdvisoriesError> {
        let base = base(address).ok_or_else(|| AdvisoriesError::Address(address.to_owned()))?;
        Ok(Self { transport: Transport::new(base)?, pace })
    }

    /// What it has about packages.
    pub(super) async fn about(&self, packages: &[Package<'_>]) -> Result<Known, AdvisoriesError> {
        let deadline = Instant::now() + self.pace.total;
        let asking = async {
            let ids = self.ids(packages, deadline).await?;
            let fetching = stream::iter(ids).map(|id| self.record(id, deadline));
            fetching.buffered(RECORDS).try_collect::<Vec<_>>().await
        };
        let asked = tokio::time::timeout_at(deadline, asking).await;
        let mut records = asked.map_err(|_elapsed| AdvisoriesError::Late(self.pace.total))??;
        records.retain(|record| record.withdrawn.is_none());
        Ok(Known { records, unread: Vec::new() })
    }

    /// The ids of the records about packages, in their order.
    async fn ids(
        &self,
        packages: &[Package<'_>],
        deadline: Instant,
    ) -> Result<BTreeSet<String>, AdvisoriesError> {
        let mut queries: Vec<_> = packages.iter().map(Query::of).collect();
        queries.sort();
        queries.dedup();
        let mut ids = BTreeSet::new();
        for _ in 0..PAGES {
            if queries.is_empty() {
                return Ok(ids);
            }
            let batches: Vec<Vec<Query>> = queries.chunks(QUERIES).map(<[Query]>::to_vec).collect();
            let asking = stream::iter(batches).map(|batch| self.batch(batch, deadline));
            let answers: Vec<_> = asking.buffered(BATCHES).try_collect().await?;
            queries = Vec::new();
            for (found, more) in answers {
                ids.extend(found);
                queries.extend(more);
            }
            if MOST < ids.len() {
                return Err(refused("more records than an image has"));
            }
        }
        Err(refused("pages without an end"))
    }

    /// The ids that one page has for each of these queries, and the queries for the next page.
    async fn batch(
        &self,
        queries: Vec<Query>,
        deadline: Instant,
    ) -> Result<(Vec<String>, Vec<Query>), AdvisoriesError> {
        let no_json =
            |error: serde_json::Error| AdvisoriesError::Answer { what: BATCH, why: error.to_string() };
        let body = serde_json::to_vec(&Request { queries: &queries }).map_err(no_json)?;
        let ask = Ask { path: &["querybatch"], body: Some(body), what: BATCH };
        let answer = self.transport.ask(ask, self.pace, deadline).await?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(no_json)?;
        answer.of(queries).map_err(refused)
    }

    async fn record(&self, id: String, deadline: Instant) -> Result<Record, AdvisoriesError> {
        let what = "show a record";
        let answer = |why: String| AdvisoriesError::Answer { what, why };
        let ask = Ask { path: &["vulns", &id], body: None, what };
        let json = self.transport.ask(ask, self.pace, deadline).await?;
        let record = Record::parse(&json).map_err(|error| answer(format!("`{id}`: {error}")))?;
        if record.id == id {
            Ok(record)
        } else {
            Err(answer(format!("`{id}` was asked for, and `{:.80}` came", record.id)))
        }
    }
}

const BATCH: &str = "look for packages";

fn refused(why: &'static str) -> AdvisoriesError {
    AdvisoriesError::Answer { what: BATCH, why: why.to_owned() }
}

/// What paths are put behind.
fn base(address: &str) -> Option<Url> {
    let url = Url::parse(address).ok()?;
    let is_here = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    let is_allowed = url.scheme() == "https" || url.scheme() == "http" && is_here;
    let is_plain = url.username().is_empty() && url.password().is_none();
    (is_allowed && is_plain && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

#[cfg(test)]
mod tests;
