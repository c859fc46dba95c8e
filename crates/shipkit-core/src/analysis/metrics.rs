//! The metrics of HTTP servers: which there are, what is asked of them, and what the answers mean.

use std::time::Duration;

use crate::prometheus::{Sample, Samples};

/// Counters of requests, those first that say most plainly what they count.
pub const COUNTERS: [&str; 5] = [
    "http_requests_total",
    "http_server_requests_total",
    "http_request_duration_seconds_count",
    "http_server_request_duration_seconds_count",
    "http_server_requests_seconds_count",
];

/// Histograms of response times in seconds.
pub const HISTOGRAMS: [&str; 3] =
    ["http_request_duration_seconds", "http_server_request_duration_seconds", "http_server_requests_seconds"];

/// Labels that say the status.
pub const STATUS_LABELS: [&str; 5] =
    ["status", "status_code", "code", "http_status_code", "http_response_status_code"];

/// The label that says of which namespace of a cluster something is.
const NAMESPACE: &str = "namespace";

/// What an application is measured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// The counter of its requests and the label that says their status, or why there is none.
    counter: Result<(&'static str, &'static str), String>,
    /// The histogram of its response times, or why there is none.
    histogram: Result<&'static str, String>,
    /// What only series of this environment have.
    selector: String,
}

impl Metrics {
    /// What finds out which there are.
    #[must_use]
    pub fn question() -> String {
        let buckets = HISTOGRAMS.map(|name| format!("{name}_bucket"));
        let names: Vec<_> = COUNTERS.into_iter().chain(buckets.iter().map(String::as_str)).collect();
        let labels = STATUS_LABELS.join(", ");
        format!("count by (__name__, {NAMESPACE}, {labels}) ({{__name__=~\"{}\"}})", names.join("|"))
    }

    /// Takes them from the answer. In a cluster only those of `namespace` count, if series say of which they are.
    #[must_use]
    pub fn of(answer: &Samples, namespace: Option<&str>) -> Self {
        let says = |sample: &&Sample| sample.labels.contains_key(NAMESPACE);
        let namespace = namespace.filter(|_| answer.samples.iter().any(|one| says(&one)));
        let is_ours = |sample: &&Sample| {
            namespace.is_none_or(|ours| sample.labels.get(NAMESPACE).is_some_and(|its| its == ours))
        };
        let ours: Vec<&Sample> = answer.samples.iter().filter(is_ours).collect();
        let named = |name: &str| {
            let name = name.to_owned();
            ours.iter().filter(move |one| one.labels.get("__name__") == Some(&name))
        };
        let label_of = |name: &'static str| {
            let mut labels = STATUS_LABELS.into_iter();
            labels.find(|label| named(name).any(|one| one.labels.contains_key(*label)))
        };
        let place = namespace.map(|ours| format!(" in namespace `{ours}`")).unwrap_or_default();
        let counter = COUNTERS.into_iter().find_map(|name| Some((name, label_of(name)?)));
        let counter = counter.ok_or_else(|| {
            COUNTERS.into_iter().find(|name| named(name).next().is_some()).map_or_else(
                || format!("Prometheus has no counter of requests{place}; looked for {}", list(&COUNTERS)),
                |name| format!("`{name}` has no label for the status; looked for {}", list(&STATUS_LABELS)),
            )
        });
        let histogram = HISTOGRAMS.into_iter().find(|name| named(&format!("{name}_bucket")).next().is_some());
        let histogram = histogram.ok_or_else(|| {
            format!("Prometheus has no histogram of response times{place}; looked for {}", list(&HISTOGRAMS))
        });
        let selector = namespace.map(|ours| format!("{{{NAMESPACE}=\"{ours}\"}}")).unwrap_or_default();
        Self { counter, histogram, selector }
    }

    /// What asks for the requests since `since` by their status, and the label that then says it.
    ///
    /// # Errors
    /// With why that cannot be asked.
    pub fn requests(&self, since: Duration) -> Result<(String, &'static str), String> {
        let (name, label) = self.counter.clone()?;
        Ok((format!("sum by ({label}) (increase({name}{}[{}]))", self.selector, range(since)), label))
    }

    /// What asks for the response times since `since`.
    ///
    /// # Errors
    /// With why that cannot be asked.
    pub fn times(&self, since: Duration) -> Result<String, String> {
        let name = self.histogram.clone()?;
        Ok(format!("sum by (le) (increase({name}_bucket{}[{}]))", self.selector, range(since)))
    }
}

/// Prometheus takes no range of nothing.
fn range(since: Duration) -> String {
    format!("{}ms", since.as_millis().max(1000))
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// How many requests there were, and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Those with a status of 500 to 599.
    pub failed: f64,
    /// All of them.
    pub all: f64,
}

impl Share {
    /// Counts what `label` says; `None` where nothing is said.
    #[must_use]
    pub fn of(answer: &Samples, label: &str) -> Option<Self> {
        if answer.samples.is_empty() {
            return None;
        }
        let sum = |samples: &mut dyn Iterator<Item = &Sample>| samples.map(|one| one.value).sum();
        // `503`, or `5xx` where an application keeps no more of it.
        let has_failed = |one: &&Sample| {
            one.labels.get(label).is_some_and(|status| status.len() == 3 && status.starts_with('5'))
        };
        let failed = sum(&mut answer.samples.iter().filter(has_failed));
        Some(Self { failed, all: sum(&mut answer.samples.iter()) })
    }
}

/// A response time that 95 of 100 requests did not exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// As Prometheus estimates it: evenly within a bucket of the histogram.
    About(f64),
    /// Somewhere above the last bucket that has an end.
    Above(f64),
}

/// Response times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// How many requests were measured.
    pub requests: f64,
    /// Their 95th percentile, in seconds.
    pub p95: Quantile,
}

impl Times {
    /// Reads the buckets of a histogram; `None` where there are none, or nothing is in them.
    #[must_use]
    pub fn of(answer: &Samples) -> Option<Self> {
        let bucket = |sample: &Sample| Some((sample.labels.get("le")?.parse::<f64>().ok()?, sample.value));
        let mut buckets: Vec<_> = answer.samples.iter().filter_map(bucket).collect();
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (last, requests) = *buckets.last()?;
        // Without `+Inf` it is no whole histogram. What is not a number is not more than nothing either.
        if last != f64::INFINITY || requests.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
            return None;
        }
        let rank = 0.95 * requests;
        let (mut start, mut below) = (0.0, 0.0);
        for (end, upto) in buckets {
            if rank <= upto {
                let p95 = if end == f64::INFINITY {
                    Quantile::Above(start)
                } else {
                    Quantile::About(start + (end - start) * (rank - below) / (upto - below))
                };
                return Some(Self { requests, p95 });
            }
            // Increases are estimates, and one bucket may seem to have less than the one below.
            (start, below) = (end, upto.max(below));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(samples: &[(&[(&str, &str)], f64)]) -> Samples {
        let one = |(labels, value): &(&[(&str, &str)], f64)| Sample {
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            value: *value,
        };
        Samples { samples: samples.iter().map(one).collect(), warnings: Vec::new() }
    }

    #[test]
    fn what_there_is_is_found_whatever_the_status_is_called() {
        for label in STATUS_LABELS {
            let found = answer(&[(&[("__name__", "http_requests_total"), (label, "200")], 1.0)]);
            let (query, by) = Metrics::of(&found, None).requests(Duration::from_secs(5)).unwrap();
            assert_eq!(query, format!("sum by ({label}) (increase(http_requests_total[5000ms]))"));
            assert_eq!(by, label);
        }
        let found = answer(&[
            (&[("__name__", "http_requests_total")], 1.0),
            (&[("__name__", "http_request_duration_seconds_count"), ("code", "200")], 1.0),
            (&[("__name__", "http_request_duration_seconds_bucket"), ("code", "200")], 9.0),
        ]);
        let metrics = Metrics::of(&found, None);
        let (query, _) = metrics.requests(Duration::from_mins(1)).unwrap();
        assert_eq!(query, "sum by (code) (increase(http_request_duration_seconds_count[60000ms]))");
        let times = metrics.times(Duration::ZERO).unwrap();
        assert_eq!(times, "sum by (le) (increase(http_request_duration_seconds_bucket[1000ms]))");
    }

    #[test]
    fn what_is_missing_is_said_with_the_names_that_were_tried() {
        let none = Metrics::of(&Samples::default(), None);
        let counter = none.requests(Duration::ZERO).unwrap_err();
        assert!(
            counter.starts_with("Prometheus has no counter of requests; looked for `http_requests_total`")
        );
        let histogram = none.times(Duration::ZERO).unwrap_err();
        assert!(histogram.ends_with("`http_server_requests_seconds`"), "{histogram}");
        let bare = answer(&[(&[("__name__", "http_requests_total")], 1.0)]);
        let bare = Metrics::of(&bare, None).requests(Duration::ZERO).unwrap_err();
        assert!(bare.starts_with("`http_requests_total` has no label for the status; looked for `status`"));
    }

    #[test]
    fn in_a_cluster_only_what_is_of_the_namespace_counts_if_that_is_said() {
        let other =
            answer(&[(&[("__name__", "http_requests_total"), ("code", "200"), ("namespace", "b")], 1.0)]);
        assert!(Metrics::of(&other, Some("a")).requests(Duration::ZERO).is_err());
        assert!(Metrics::of(&other, None).requests(Duration::ZERO).is_ok());
        let (query, _) = Metrics::of(&other, Some("b")).requests(Duration::ZERO).unwrap();
        assert_eq!(query, "sum by (code) (increase(http_requests_total{namespace=\"b\"}[1000ms]))");
        let silent = answer(&[(&[("__name__", "http_requests_total"), ("code", "200")], 1.0)]);
        let (query, _) = Metrics::of(&silent, Some("a")).requests(Duration::ZERO).unwrap();
        assert_eq!(query, "sum by (code) (increase(http_requests_total[1000ms]))");
    }

    #[test]
    fn failed_is_what_the_server_is_to_blame_for() {
        let all = answer(&[
            (&[("code", "200")], 70.0),
            (&[("code", "404")], 10.0),
            (&[("code", "503")], 15.0),
            (&[("code", "5xx")], 5.0),
            (&[("code", "50")], 0.0),
        ]);
        assert_eq!(Share::of(&all, "code"), Some(Share { failed: 20.0, all: 100.0 }));
        assert_eq!(Share::of(&all, "status"), Some(Share { failed: 0.0, all: 100.0 }));
        assert_eq!(Share::of(&Samples::default(), "code"), None);
    }

    #[test]
    fn the_percentile_is_that_of_prometheus_and_above_the_last_bucket_it_is_not_known() {
        let of = |buckets: &[(&str, f64)]| {
            let samples = buckets.iter().map(|(le, value)| Sample {
                labels: [("le".to_owned(), (*le).to_owned())].into(),
                value: *value,
            });
            Times::of(&Samples { samples: samples.collect(), warnings: Vec::new() })
        };
        let about = |requests, p95| Some(Times { requests, p95: Quantile::About(p95) });
        assert_eq!(of(&[("0.1", 90.0), ("0.5", 100.0), ("+Inf", 100.0)]), about(100.0, 0.1 + 0.4 * 0.5));
        // Buckets come in the order of their names.
        assert_eq!(of(&[("+Inf", 100.0), ("1", 100.0), ("0.5", 0.0)]), about(100.0, 0.975));
        let above = Some(Times { requests: 100.0, p95: Quantile::Above(0.5) });
        assert_eq!(of(&[("0.1", 10.0), ("0.5", 94.0), ("+Inf", 100.0)]), above);
        assert_eq!(of(&[("0.1", 100.0)]), None);
        assert_eq!(of(&[("+Inf", 0.0)]), None);
        assert_eq!(of(&[("0.1", f64::NAN), ("+Inf", f64::NAN)]), None);
        assert_eq!(of(&[]), None);
    }
}
