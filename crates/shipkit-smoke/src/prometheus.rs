//! `Prometheus`: what its HTTP API (version 1) answers.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use jiff::Timestamp;
use shipkit_core::config::{Analysis, Method};
use shipkit_core::prometheus::{
    PrometheusError, Rule, Samples, ServiceAddress, Target, read, rules, targets,
};
use tokio::time::Instant;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::client::{Answer, Ask, BODY_LIMIT, Client, Reuse};
use crate::error::SmokeError;

/// How long one answer may take.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// What is read of an answer about Prometheus itself, which grows with all that it scrapes.
const STATE_LIMIT: usize = 8 * 1024 * 1024;

/// A Prometheus at an address.
#[derive(Debug, Clone)]
pub struct Prometheus {
    client: Client,
    /// Where its API is, with what the address has of a user and a password: never shown.
    api: Url,
    /// The address without them.
    at: String,
}

impl Prometheus {
    /// Prometheus at `address`: what stands before `/api/v1/query`. Nobody is asked yet.
    ///
    /// # Errors
    /// When that is no address, or no client can be made.
    pub fn new(address: &str) -> Result<Self, SmokeError> {
        let bad = || SmokeError::Prometheus;
        let mut api: Url = address.parse().map_err(|_may_quote_a_password| bad())?;
        let mut at = api.clone();
        at.set_username("").and_then(|()| at.set_password(None)).map_err(|()| bad())?;
        let at = at.as_str().trim_end_matches('/').to_owned();
        api.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(["api", "v1"]);
        Ok(Self { client: Client::new(None, Reuse::Allowed, TIME_LIMIT)?, api, at })
    }

    /// That of an environment, if it has one at an address. Behind a Service of a cluster only those reach it who have the
    /// credentials of the cluster.
    ///
    /// # Errors
    /// As [`Prometheus::new`].
    pub fn of(analysis: Option<&Analysis>) -> Result<Option<Self>, SmokeError> {
        let address = analysis.map(|analysis| &analysis.prometheus);
        let address = address.filter(|address| !address.starts_with(ServiceAddress::SCHEME));
        address.map(|address| Self::new(address)).transpose()
    }

    /// Its address, without a password.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.at
    }

    /// What `query` gives now.
    ///
    /// # Errors
    /// When Prometheus cannot be reached, or cannot answer that.
    pub async fn ask(&self, query: &str) -> Result<Samples, PrometheusError> {
        self.ask_at(None, query).await
    }

    /// What `query` gave at a moment, or gives now.
    ///
    /// # Errors
    /// As [`Prometheus::ask`].
    pub async fn ask_at(&self, moment: Option<Timestamp>, query: &str) -> Result<Samples, PrometheusError> {
        let seconds = TIME_LIMIT.as_secs();
        let timeout = format!("{seconds}s");
        let time = moment.map(|moment| moment.to_string());
        let pairs = [("query", query), ("timeout", timeout.as_str())];
        let pairs = pairs.into_iter().chain(time.as_deref().map(|time| ("time", time)));
        let form = Serializer::new(String::new()).extend_pairs(pairs).finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let ask = Ask { method: Method::Post, url: self.at_path("query"), headers, body: Some(form) };
        let answer = self.answer(query, BODY_LIMIT, &ask).await?;
        read(&self.at, query, answer.status, &answer.body)
    }

    /// What it scrapes now.
    ///
    /// # Errors
    /// When Prometheus cannot be reached, or does not say.
    pub async fn targets(&self) -> Result<Vec<Target>, PrometheusError> {
        let mut url = self.at_path("targets");
        url.set_query(Some("state=active"));
        let answer = self.answer("/api/v1/targets", STATE_LIMIT, &Ask::get(url)).await?;
        targets(&self.at, answer.status, &answer.body)
    }

    /// The rules that it has loaded.
    ///
    /// # Errors
    /// When Prometheus cannot be reached, or does not say.
    pub async fn rules(&self) -> Result<Vec<Rule>, PrometheusError> {
        let answer = self.answer("/api/v1/rules", STATE_LIMIT, &Ask::get(self.at_path("rules"))).await?;
        rules(&self.at, answer.status, &answer.body)
    }

    /// Where a part of its API is.
    pub(crate) fn at_path(&self, path: &str) -> Url {
        let mut url = self.api.clone();
        url.set_path(&format!("{}/{path}", self.api.path()));
        url
    }

    async fn answer(&self, asked: &str, limit: usize, ask: &Ask) -> Result<Answer, PrometheusError> {
        let answer = self.client.ask_up_to(limit, ask, Instant::now() + TIME_LIMIT).await;
        let answer =
            answer.map_err(|bad| PrometheusError::Unreachable { at: self.at.clone(), reason: bad.detail })?;
        if !answer.is_whole {
            return Err(PrometheusError::TooLarge { query: asked.to_owned(), mib: limit >> 20 });
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept_and_a_password_is_never_shown() {
        let prometheus = Prometheus::new("https://admin:hunter2@host/prometheus/").unwrap();
        assert_eq!(
            prometheus.at_path("query").as_str(),
            "https://admin:hunter2@host/prometheus/api/v1/query"
        );
        assert_eq!(prometheus.address(), "https://host/prometheus");
        assert_eq!(Prometheus::new("http://host:9090").unwrap().at_path("query").path(), "/api/v1/query");
        let error = Prometheus::new("http://admin:hunter2@[x").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
