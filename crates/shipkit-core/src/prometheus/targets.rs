//! `Target`: what Prometheus scrapes (`/api/v1/targets` of its HTTP API).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::{PrometheusError, data, short};
use crate::analysis::query;

/// One thing that is scraped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The job that it belongs to.
    pub job: String,
    /// Its address, mostly.
    pub instance: String,
    /// Whether the last scrape went well: `up`, `down`, or `unknown` before the first.
    pub health: String,
    /// What went wrong with it.
    pub error: String,
    /// How often it is scraped; `None` if that is not said.
    pub interval: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTargets {
    active_targets: Vec<RawTarget>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTarget {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    health: String,
    #[serde(default)]
    last_error: String,
    #[serde(default)]
    scrape_interval: String,
}

/// Reads what `at` has answered to the question for its targets.
///
/// # Errors
/// When it says that it cannot, or is not Prometheus.
pub fn targets(at: &str, status: u16, body: &[u8]) -> Result<Vec<Target>, PrometheusError> {
    let (RawTargets { active_targets }, _) = data(at, "/api/v1/targets", status, body)?;
    let target = |raw: RawTarget| {
        let label = |name: &str| raw.labels.get(name).cloned().unwrap_or_default();
        Target {
            job: label("job"),
            instance: label("instance"),
            interval: query::duration(&raw.scrape_interval),
            error: short(&raw.last_error),
            health: raw.health,
        }
    };
    Ok(active_targets.into_iter().map(target).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_how_it_is_and_how_often_it_is_asked() {
        let body = r#"{"status":"success","data":{"activeTargets":[
            {"labels":{"job":"api","instance":"a:1","x":"y"},"health":"down","lastError":"refused","scrapeInterval":"1m30s"},
            {"health":"up"}],"droppedTargets":[]}}"#;
        let read = targets("http://p", 200, body.as_bytes()).unwrap();
        let text = |text: &str| text.to_owned();
        let interval = Some(Duration::from_secs(90));
        let first = Target {
            job: text("api"),
            instance: text("a:1"),
            health: text("down"),
            error: text("refused"),
            interval,
        };
        assert_eq!(read[0], first);
        assert_eq!((read[1].job.as_str(), read[1].interval), ("", None));
        for (status, body) in
            [(404, "404 page not found"), (200, "<html>"), (200, r#"{"data":{}}"#), (200, "{}")]
        {
            let error = targets("http://p", status, body.as_bytes()).unwrap_err();
            assert!(matches!(error, PrometheusError::Foreign { .. }), "{status} {body}: {error}");
        }
    }
}
