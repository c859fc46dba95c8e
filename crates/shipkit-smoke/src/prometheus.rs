//! `Prometheus`: instant queries over its HTTP API.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use shipkit_core::config::Method;
use shipkit_core::prometheus::{PrometheusError, Samples, read};
use tokio::time::Instant;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::client::{Ask, Client, Reuse};
use crate::error::SmokeError;

/// How long one answer may take.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A Prometheus at an address.
#[derive(Debug, Clone)]
pub struct Prometheus {
    client: Client,
    /// Where queries go, with what the address has of a user and a password: never shown.
    query: Url,
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
        let mut query: Url = address.parse().map_err(|_may_quote_a_password| bad())?;
        let mut at = query.clone();
        at.set_username("").and_then(|()| at.set_password(None)).map_err(|()| bad())?;
        let at = at.as_str().trim_end_matches('/').to_owned();
        query.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(["api", "v1", "query"]);
        Ok(Self { client: Client::new(None, Reuse::Allowed, TIME_LIMIT)?, query, at })
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
        let seconds = TIME_LIMIT.as_secs();
        let form = Serializer::new(String::new())
            .append_pair("query", query)
            .append_pair("timeout", &format!("{seconds}s"))
            .finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let ask = Ask { method: Method::Post, url: self.query.clone(), headers, body: Some(form) };
        let answer = self.client.ask(&ask, Instant::now() + TIME_LIMIT).await;
        let answer =
            answer.map_err(|bad| PrometheusError::Unreachable { at: self.at.clone(), reason: bad.detail })?;
        if !answer.is_whole {
            return Err(PrometheusError::TooLarge { query: query.to_owned() });
        }
        read(&self.at, query, answer.status, &answer.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept_and_a_password_is_never_shown() {
        let prometheus = Prometheus::new("https://admin:hunter2@host/prometheus/").unwrap();
        assert_eq!(prometheus.query.as_str(), "https://admin:hunter2@host/prometheus/api/v1/query");
        assert_eq!(prometheus.address(), "https://host/prometheus");
        assert_eq!(Prometheus::new("http://host:9090").unwrap().query.path(), "/api/v1/query");
        let error = Prometheus::new("http://admin:hunter2@[x").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
