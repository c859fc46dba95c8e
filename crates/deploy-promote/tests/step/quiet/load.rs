//! Requests that come in while releases replace each other, and what is lost of them.

use std::sync::PoisonError;

use shipkit_core::Digest;
use shipkit_core::evidence::Kind;
use shipkit_core::verdict::Verdict;
use shipkit_smoke::WatchReport;
use shipkit_tests::container::docker;
use shipkit_tests::traffic;

use super::QUIET;
use crate::bed::{Bed, Step, ask_api, commit};
use crate::front::Front;

/// Stays the same while everything behind it is replaced. It asks again every second who `api` is, and sends no request twice.
const EDGE: &str = "events { worker_connections 4096; }
error_log stderr;
http {
    access_log off;
    resolver 127.0.0.11 valid=1s ipv6=off;
    server {
        listen 80;
        location / {
            set $api http://api:8080;
            proxy_next_upstream off;
            proxy_pass $api;
        }
    }
}
";

/// Asks 200 times a second, on new connections and kept ones, while something happens.
pub(crate) fn watched<T>(url: &str, happens: impl FnOnce() -> T) -> (T, WatchReport) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(traffic::watched(url.parse().unwrap(), async { happens() }))
}

/// Every request was answered, and by these revisions.
#[track_caller]
pub(crate) fn check_lossless(report: &WatchReport, revisions: &[u8]) {
    let commits: Vec<String> = revisions.iter().map(|digit| commit(*digit)).collect();
    traffic::check_lossless(report, &commits.iter().map(String::as_str).collect::<Vec<_>>());
}

/// How often three releases replace each other and one goes back: as often as `./soak` asks for, else for so many rollouts.
pub(crate) fn rounds(rollouts: usize) -> usize {
    std::env::var("SHIPKIT_ROLLOUTS").map_or(rollouts, |count| count.parse().unwrap()) / 3
}

/// What its `shipkit.yml` says: two tasks that answer for three seconds longer than they are wanted, since as the first process of a
/// container they hear no signal but the last.
fn config(bed: &Bed, order: &str, replicas: u8) -> String {
    let (before, rest) =
        bed.config().split_once("  api:\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (_, web) = rest.split_once("  web:\n").unwrap();
    format!(
        "{before}  api:\n    build: {{context: api}}\n    depends_on: [db]\n    stop_grace_period: 3s\n\
         \x20   deploy: {{endpoint_mode: dnsrr, replicas: {replicas}, update_config: {{delay: 0s, monitor: 1s, order: {order}}}}}\n\
         \x20   healthcheck: {{test: [CMD, /container, ask], interval: 1s, timeout: 5s, retries: 2}}\n  web:\n{web}"
    )
}

/// A container of nginx in the network of the stack; gives its address.
fn edge(bed: &Bed) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("nginx.conf"), EDGE).unwrap();
    let name = format!("{}-edge", bed.stack);
    docker(&[
        "create",
        "--name",
        &name,
        "--network",
        &bed.stack,
        "--publish",
        "127.0.0.1::80",
        "shipkit-test/nginx:newer",
        "nginx",
        "-g",
        "daemon off;",
    ]);
    docker(&[
        "cp",
        folder.path().join("nginx.conf").to_str().unwrap(),
        &format!("{name}:/etc/nginx/nginx.conf"),
    ]);
    docker(&["start", &name]);
    format!("http://{}/", docker(&["port", &name, "80/tcp"]))
}

fn deploy(bed: &Bed, config: &str, release: &Digest) -> Step {
    bed.step_of("deploy", config).input("environment", "staging").input("release", release.as_str())
}

#[test]
fn a_swarm_replaces_releases_without_a_loss_and_loses_requests_where_it_stops_first() {
    let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
    let mut bed = Bed::new("load");
    let data = bed.image(9, "good");
    let (one, two) = (bed.answering(1, "good"), bed.answering(2, "good"));
    let (first, second) = (bed.release(1, (&one, 1), (&data, 9)), bed.release(2, (&two, 2), (&data, 9)));
    let good = config(&bed, "start-first", 2);
    deploy(&bed, &good, &first).run().ended(0, "1.1.0 serves in staging");
    let url = edge(&bed);

    for _ in 0..rounds(15) {
        for release in [&second, &first, &second] {
            let (run, report) = watched(&url, || deploy(&bed, &good, release).run());
            run.ended(0, "serves in staging");
            check_lossless(&report, &[1, 2]);
        }
        let back = || bed.step_of("rollback", &good).input("environment", "staging").run();
        let (run, report) = watched(&url, back);
        run.ended(0, "1.1.0 serves in staging again");
        check_lossless(&report, &[1, 2]);
    }

    // The same, so that something can be lost.
    let bad = config(&bed, "stop-first", 1);
    let (run, report) = watched(&url, || deploy(&bed, &bad, &second).run());
    run.ended(0, "1.2.0 serves in staging");
    assert_ne!(report.failed, 0, "{report:#?}");
}

#[test]
fn a_rollout_during_which_nobody_is_answered_any_more_goes_back() {
    let mut bed = Bed::new("silent");
    let (one, two) = (bed.image(1, "good"), bed.image(2, "good"));
    let first = bed.release(1, (&one, 1), (&one, 1));
    let stack = bed.stack.clone();
    let front = Front::start(move |path| match ask_api(&stack, path) {
        (200, body) if body.contains(&commit(2)) => (503, body),
        answer => answer,
    });
    let (before, after) =
        bed.config().split_once("url: http://").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let config = format!("{before}url: http://{}\n{after}", front.host());
    // The second of its services takes so long that the first is missed.
    let (services, web) = config.split_once("  web:\n").unwrap();
    let config = format!("{services}  web:\n{}", web.replacen("monitor: 1s", "monitor: 12s", 1));
    deploy(&bed, &config, &first).run().ended(0, "1.1.0 serves in staging");
    let second = bed.release(2, (&two, 2), (&two, 2));
    let run = deploy(&bed, &config, &second).run().ended(1, "rolled back: nobody was answered for ");
    let gap =
        run.outputs["cause"].split("nobody was answered for ").nth(1).unwrap().split(' ').next().unwrap();
    assert!((10_000..60_000).contains(&gap.parse::<u64>().unwrap()), "{run:#?}");
    assert!(run.outputs["cause"].ends_with("; 1.1.0 serves"), "{run:#?}");
    assert!(run.outputs["cause"].contains("status 503"), "{run:#?}");
    let evidence = bed.evidence(&second, Kind::Deployment, "staging").unwrap();
    assert_eq!(evidence.verdict, Verdict::Fail);
    assert!(evidence.details["watch"]["failures"]["status 503"].as_u64() > Some(9), "{evidence:#?}");
}
