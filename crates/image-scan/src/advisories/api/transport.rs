//! Asks the service until there is an answer that will not change, or the time is up.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use tokio::time::Instant;
use url::Url;

use super::Pace;
use crate::advisories::AdvisoriesError;

/// One question is asked at most this often.
const TRIES: u32 = 5;
/// The longest pause that is not asked for.
const LONGEST: Duration = Duration::from_secs(10);
/// The most that is read of an answer: the service itself ends at that.
const ANSWER: usize = 32 * 1024 * 1024;

/// A client, and the address that paths are put behind.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    base: Url,
}

/// One question.
pub(super) struct Ask<'text> {
    /// What stands behind `/v1`.
    pub(super) path: &'text [&'text str],
    /// What is sent; nothing is only looked at.
    pub(super) body: Option<Vec<u8>>,
    /// What the service is asked to do, for messages.
    pub(super) what: &'static str,
}

/// Why one try did not work.
struct Failed {
    error: AdvisoriesError,
    again: Again,
}

/// Whether another try may work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Never,
    Later,
    After(Duration),
}

impl Transport {
    pub(super) fn new(base: Url) -> Result<Self, AdvisoriesError> {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| AdvisoriesError::Client(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("shipkit/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| AdvisoriesError::Client(error.into()))?;
        Ok(Self { http, base })
    }

    /// Every question changes nothing, so each may be asked again.
    pub(super) async fn ask(
        &self,
        ask: Ask<'_>,
        pace: Pace,
        deadline: Instant,
    ) -> Result<Vec<u8>, AdvisoriesError> {
        let mut failed = 0;
        loop {
            let once = tokio::time::timeout(pace.each, self.once(&ask)).await;
            let late = |_elapsed| Failed { error: AdvisoriesError::Late(pace.each), again: Again::Later };
            let Failed { error, again } = match once.map_err(late).and_then(|answer| answer) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            failed += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            match pause(again, failed, pace.pause).filter(|pause| *pause < left) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Vec<u8>, Failed> {
        let what = ask.what;
        let unreachable = |error: reqwest::Error| Failed {
            error: AdvisoriesError::Unreachable { what, source: error.without_url().into() },
            again: Again::Later,
        };
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(ask.path);
        }
        let request = match &ask.body {
            Some(body) => self.http.post(url).header("content-type", "application/json").body(body.clone()),
            None => self.http.get(url),
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status != StatusCode::OK {
            let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let again = again(status, header, Timestamp::now());
            return Err(Failed { error: AdvisoriesError::Refused { what, status: status.as_u16() }, again });
        }
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            answer.extend_from_slice(&part);
            if ANSWER < answer.len() {
                let why = format!("more than {ANSWER} bytes");
                return Err(Failed { error: AdvisoriesError::Answer { what, why }, again: Again::Never });
            }
        }
        Ok(answer)
    }
}

/// Whether a refusal may be over soon.
fn again(status: StatusCode, retry_after: Option<&str>, now: Timestamp) -> Again {
    let may_change = status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
    match retry_after.and_then(|value| after(value.trim(), now)) {
        _ if !may_change => Again::Never,
        Some(pause) => Again::After(pause),
        None => Again::Later,
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// How long to wait after so many failures; nothing where there is no next try.
fn pause(again: Again, failed: u32, first: Duration) -> Option<Duration> {
    let grown = first.saturating_mul(1 << failed.saturating_sub(1).min(8)).min(LONGEST);
    match again {
        _ if TRIES <= failed => None,
        Again::Never => None,
        Again::Later => Some(grown),
        Again::After(pause) => Some(pause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_over_soon_is_asked_again() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let check = |status: u16, header, expected| {
            assert_eq!(again(StatusCode::from_u16(status).unwrap(), header, now), expected, "{status}");
        };
        check(500, None, Again::Later);
        check(429, Some("7"), Again::After(Duration::from_secs(7)));
        check(503, Some("Fri, 02 Jan 2026 03:04:15 GMT"), Again::After(Duration::from_secs(10)));
        check(503, Some("Fri, 02 Jan 2026 03:04:00 GMT"), Again::After(Duration::ZERO));
        check(503, Some("soon"), Again::Later);
        for status in [301, 400, 404, 501] {
            check(status, Some("7"), Again::Never);
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let first = Duration::from_secs(2);
        let pauses = (1..=TRIES).map(|failed| pause(Again::Later, failed, first));
        assert_eq!(
            pauses.collect::<Vec<_>>(),
            [2, 4, 8, 10, 0].map(|s| (s > 0).then_some(Duration::from_secs(s)))
        );
        assert_eq!(pause(Again::Never, 1, first), None);
        assert_eq!(pause(Again::After(Duration::from_mins(5)), 1, first), Some(Duration::from_mins(5)));
    }
}
