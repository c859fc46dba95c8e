//! Visitors: 200 requests a second, on new connections and kept ones, while something happens to what they visit.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests stop at the first surprise")]

use std::collections::BTreeSet;

use shipkit_smoke::{Connections, WatchOptions, WatchReport, watch};
use tokio::sync::oneshot;
use url::Url;

/// Asks while something happens.
pub async fn watched<T>(url: Url, happens: impl Future<Output = T>) -> (T, WatchReport) {
    let (stop, stopped) = oneshot::channel::<()>();
    let options = WatchOptions {
        rate: 200,
        duration: None,
        connections: Connections::Both,
        reads_revision: true,
        ..WatchOptions::new(url)
    };
    let asking = tokio::spawn(watch(options, stopped));
    let done = happens.await;
    stop.send(()).unwrap();
    (done, asking.await.unwrap().unwrap())
}

/// Every request was answered, and by these revisions.
#[track_caller]
pub fn check_lossless(report: &WatchReport, revisions: &[&str]) {
    assert_eq!((report.failed, report.answered), (0, report.scheduled), "{report:#?}");
    let seen: BTreeSet<&str> = report.revisions.iter().map(|seen| seen.revision.as_str()).collect();
    assert_eq!(seen, revisions.iter().copied().collect(), "{report:#?}");
}
