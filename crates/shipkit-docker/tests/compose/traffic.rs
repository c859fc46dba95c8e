//! What visitors notice of a rollout: 200 requests a second through a proxy, on new connections and kept ones.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread::scope;
use std::time::Duration;

use shipkit_core::target::Replacement;
use shipkit_smoke::WatchReport;
use shipkit_tests::container::docker;
use shipkit_tests::server::sshd::until;
use shipkit_tests::traffic::check_lossless;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::block_in_place;

use crate::bed::{API, Bed, KAMAL, TRAEFIK, patient, replaced, service};

/// One test at a time: a machine that is busy with the others' requests loses some by itself.
static QUIET: Mutex<()> = Mutex::const_new(());

/// A request of which a part was sent.
struct Begun {
    stream: BufReader<TcpStream>,
}

impl Begun {
    fn send(bed: &Bed, text: &str) -> Self {
        let mut stream = TcpStream::connect((bed.url().host_str().unwrap(), 80)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(text.replace('\n', "\r\n").as_bytes()).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends the rest, and gives the first line of the answer that has this in it.
    fn end(&mut self, text: &str, expected: &str) -> String {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
        let mut lines = (&mut self.stream).lines().map_while(Result::ok);
        lines.find(|line| line.contains(expected)).unwrap_or_else(|| panic!("no {expected}"))
    }
}

async fn watched<T>(bed: &Bed, happens: impl Future<Output = T>) -> (T, WatchReport) {
    shipkit_tests::traffic::watched(bed.url(), happens).await
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_traefik_nothing_is_lost_there_and_back() {
    let _quiet = QUIET.lock().await;
    let mut bed = Bed::traefik("traefik");
    let hasty = API.replace("stop_grace_period: 1s", "stop_grace_period: 100ms");
    bed.write(&[("api", &hasty), ("edge", TRAEFIK)]);
    let (one, two, bad) = (bed.good("1"), bed.good("2"), bed.image("3", &["/container", "exit", "7"]));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    until("Traefik has its first file", || bed.answer().contains('1')).await;
    // Others write there, too: Traefik looks at its folder every two seconds at most.
    let others = "while :; do date > /etc/traefik/shipkit/others.txt; sleep 0.1; done";
    docker(&["exec", "--detach", &bed.id("edge"), "sh", "-c", others]);
    let second = bed.release(vec![service("api", &two)]);
    let (_, report) = watched(&bed, Box::pin(bed.deploy(&second))).await;
    check_lossless(&report, &["1", "2"]);
    let third = bed.release(vec![service("api", &bad)]);
    let ((cause, _), report) = watched(&bed, Box::pin(bed.fail(&third))).await;
    assert!(cause.contains("exit code 7"), "{cause}");
    check_lossless(&report, &["2"]);
    let (_, report) = watched(&bed, Box::pin(bed.rollback())).await;
    check_lossless(&report, &["1", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_kamal_proxy_nothing_is_lost_there_and_back() {
    let _quiet = QUIET.lock().await;
    let mut bed = Bed::kamal("kamal");
    let hasty = API.replace("stop_grace_period: 1s", "stop_grace_period: 100ms");
    bed.write(&[("api", &hasty), ("edge", KAMAL)]);
    let (one, two, bad) = (bed.good("1"), bed.good("2"), bed.image("3", &["/container", "exit", "7"]));
    let first = bed.release(vec![service("api", &one)]);
    bed.deploy(&first).await;
    let second = bed.release(vec![service("api", &two)]);
    let (_, report) = watched(&bed, Box::pin(bed.deploy(&second))).await;
    check_lossless(&report, &["1", "2"]);
    let third = bed.release(vec![service("api", &bad)]);
    let ((cause, _), report) = watched(&bed, Box::pin(bed.fail(&third))).await;
    assert!(cause.contains("exit code 7"), "{cause}");
    check_lossless(&report, &["2"]);
    let (_, report) = watched(&bed, Box::pin(bed.rollback())).await;
    check_lossless(&report, &["1", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_before_a_shift_ends_where_it_began() {
    let (traefik, kamal) = (Bed::traefik("begun-traefik"), Bed::kamal("begun-kamal"));
    traefik.write(&[("api", &patient()), ("edge", TRAEFIK)]);
    kamal.write(&[("api", &patient()), ("edge", KAMAL)]);
    for mut bed in [Bed::keeping("begun"), traefik, kamal] {
        let keeps_upgrades = bed.project.proxy.as_ref().unwrap().kind.file().is_some();
        let way = Replacement::BlueGreen { bake: Duration::ZERO };
        let (one, two) = (bed.good("1"), bed.good("2"));
        let first = bed.release(vec![replaced(service("api", &one), way)]);
        bed.deploy(&first).await;
        until("the first release answers", || bed.answer().contains('1')).await;
        let before = bed.conf();
        let mut upload =
            Begun::send(&bed, "POST / HTTP/1.1\nhost: x\nconnection: close\ncontent-length: 3\n\na");
        let mut upgrade =
            Begun::send(&bed, "GET /echo HTTP/1.1\nhost: x\nconnection: upgrade\nupgrade: echo\n\n");
        assert_eq!(upgrade.end("", "101"), "HTTP/1.1 101 Switching Protocols");
        assert_eq!(upgrade.end("before\n", "before"), "1 before");
        let second = bed.release(vec![replaced(service("api", &two), way)]);
        let (bed, runtime) = (&bed, Handle::current());
        let shifted = || {
            runtime.block_on(until("the traffic goes elsewhere", || bed.conf() != before));
            runtime.block_on(until("the second release answers", || bed.answer().contains('2')));
            if keeps_upgrades {
                assert_eq!(upgrade.end("after\n", "after"), "1 after");
            } else {
                // kamal-proxy ends what is no request any more when it switches.
                assert_eq!(upgrade.stream.read(&mut [0]).unwrap(), 0);
            }
            assert_eq!(upload.end("bc", "version"), "{\"version\":\"1\"}");
        };
        // On a thread of its own: asking the engine takes the time that the deploy needs.
        block_in_place(|| {
            scope(|threads| {
                threads.spawn(shifted);
                runtime.block_on(bed.deploy(&second));
            });
        });
        bed.check_containers("api", &[(&two, "running", 2), (&one, "exited", 2)]);
    }
}
