//! What visitors notice of a rollout: 200 requests a second through nginx, on new connections and kept ones.

use std::collections::BTreeSet;
use std::time::Duration;

use shipkit_core::target::Replacement;
use shipkit_smoke::{Connections, WatchOptions, WatchReport, watch};
use tokio::sync::{Mutex, oneshot};

use crate::bed::{Bed, replaced, service};

/// One test at a time: a machine that is busy with the others' requests loses some by itself.
static QUIET: Mutex<()> = Mutex::const_new(());

/// Asks while something happens.
async fn watched<T>(bed: &Bed, happens: impl Future<Output = T>) -> (T, WatchReport) {
    let (stop, stopped) = oneshot::channel::<()>();
    let options = WatchOptions {
        rate: 200,
        duration: None,
        connections: Connections::Both,
        reads_revision: true,
        ..WatchOptions::new(bed.url())
    };
    let asking = tokio::spawn(watch(options, stopped));
    let done = happens.await;
    stop.send(()).unwrap();
    (done, asking.await.unwrap().unwrap())
}

#[track_caller]
fn check_lossless(report: &WatchReport, versions: &[&str]) {
    assert_eq!((report.failed, report.answered), (0, report.scheduled), "{report:#?}");
    let seen: BTreeSet<&str> = report.revisions.iter().map(|seen| seen.revision.as_str()).collect();
    assert_eq!(seen, versions.iter().copied().collect(), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_first_loses_nothing_there_and_back() {
    let _quiet = QUIET.lock().await;
    let mut bed = Bed::keeping("lossless");
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let second = bed.release(vec![service("api", &two)]);
    let (_, report) = watched(&bed, Box::pin(bed.deploy(&second))).await;
    check_lossless(&report, &["1", "2"]);
    let (_, report) = watched(&bed, Box::pin(bed.rollback())).await;
    check_lossless(&report, &["1", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blue_green_shifts_once_loses_nothing_and_bakes() {
    let _quiet = QUIET.lock().await;
    let mut bed = Bed::keeping("bluegreen");
    let (one, two) = (bed.good("1"), bed.good("2"));
    let way = Replacement::BlueGreen { bake: Duration::from_secs(4) };
    let first = bed.release(vec![replaced(service("api", &one), way)]);
    bed.deploy(&first).await;
    let second = bed.release(vec![replaced(service("api", &two), way)]);
    let (steps, report) = watched(&bed, Box::pin(bed.deploy(&second))).await;
    check_lossless(&report, &["1", "2"]);
    let kinds: Vec<&str> = steps.iter().filter_map(|step| step.split(" `").next()).collect();
    assert_eq!(
        kinds,
        ["start 2 in the preview slot", "verify", "send the traffic to", "stop and keep", "done"]
    );
    let last_of_the_old = report.revisions.iter().find(|seen| seen.revision == "1").unwrap().last;
    let first_of_the_new = report.revisions.iter().find(|seen| seen.revision == "2").unwrap().first;
    let mixed = last_of_the_old.saturating_sub(first_of_the_new);
    assert!(mixed < Duration::from_secs(1), "both answered for {mixed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recreate_has_a_gap() {
    let _quiet = QUIET.lock().await;
    let mut bed = Bed::keeping("recreate");
    let (one, two) = (bed.good("1"), bed.good("2"));
    let first = bed.release(vec![replaced(service("api", &one), Replacement::Recreate)]);
    bed.deploy(&first).await;
    let second = bed.release(vec![replaced(service("api", &two), Replacement::Recreate)]);
    let (steps, report) = watched(&bed, Box::pin(bed.deploy(&second))).await;
    assert_eq!(steps[0], "send the traffic to nobody");
    assert!(0 < report.failed && 0 < report.answered, "{report:#?}");
    assert!(report.failures.contains_key("status 502"), "{report:#?}");
    bed.check_containers("api", &[(&two, "running", 2), (&one, "exited", 2)]);
}
