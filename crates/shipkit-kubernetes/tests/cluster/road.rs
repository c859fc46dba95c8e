//! `Road`: the way to the API server, which can be cut and mended; and rollouts that lose it.

use std::collections::BTreeSet;
use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use shipkit_core::exit::ExitCode;
use shipkit_core::rollout::Next;
use shipkit_core::rollout::workload::Seen;
use shipkit_core::{Hint as _, Secret};
use shipkit_kubernetes::{Access, Cluster, ClusterError};
use shipkit_tests::server::door::Door;
use shipkit_tests::server::kubernetes::{Fate, kubeconfig};

use crate::bed::{Bed, DEADLINE, image, place, release, three};

/// A port that leads to the API server as long as the road is not cut.
struct Road {
    port: u16,
    is_cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Road {
    fn build(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_cut, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let road = Self { port, is_cut: Arc::clone(&is_cut), open: Arc::clone(&open) };
        let server = server.to_owned();
        std::thread::spawn(move || {
            for inside in listener.incoming().map_while(Result::ok) {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let outside = TcpStream::connect(&server).unwrap();
                for (mut from, mut to) in [both(&inside, &outside), both(&outside, &inside)] {
                    open.lock().unwrap().push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        // It ends when either side or the road does.
                        copy(&mut from, &mut to).ok();
                        to.shutdown(Shutdown::Both).ok();
                    });
                }
            }
        });
        road
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

fn both(from: &TcpStream, to: &TcpStream) -> (TcpStream, TcpStream) {
    (from.try_clone().unwrap(), to.try_clone().unwrap())
}

/// The same namespace, over a road.
fn over_a_road(bed: &Bed) -> (Road, Cluster) {
    let good = std::fs::read_to_string(kubeconfig()).unwrap();
    let (before, after) = good.split_once("https://").unwrap();
    let (server, after) = after.split_once('"').unwrap();
    let road = Road::build(server);
    let text = format!("{before}https://127.0.0.1:{}\"{after}", road.port);
    let access = Access::Text { text: Secret::new(text), context: None };
    let cluster = bed.namespace.wait(Cluster::connect(&access, place(bed.namespace.name(), &["api"], &[])));
    (road, cluster.unwrap())
}

/// A rollout whose road is cut when its first pod is seen, and what is done then.
fn cut_in_the_middle(
    name: &str,
    deadline: Duration,
    then: impl FnOnce(&Bed, &Road) + Send,
) -> (Bed, Result<Next, ClusterError>) {
    let bed = Bed::new(name, &["api"]);
    bed.namespace.will(image("one").digest.as_str(), Fate::Unready);
    let (road, cluster) = over_a_road(&bed);
    let applied = bed.apply(&release("1", 1, &[("api", "one")])).pop().unwrap();
    let (begun, seen) = mpsc::channel();
    let next = std::thread::scope(|scope| {
        let (bed, road) = (&bed, &road);
        scope.spawn(move || {
            seen.recv().unwrap();
            road.cut();
            then(bed, road);
        });
        let show = |seen: &Seen| {
            if !seen.pods.is_empty() {
                // The other side listens once.
                begun.send(()).ok();
            }
        };
        bed.namespace.wait(cluster.rollout(&applied, deadline, show))
    });
    (bed, next)
}

#[test]
fn a_rollout_goes_on_when_the_api_server_comes_back() {
    let (bed, next) = cut_in_the_middle("mended", DEADLINE, |bed, road| {
        bed.namespace.will(image("one").digest.as_str(), Fate::Ready);
        road.mend();
    });
    assert_eq!(next.unwrap(), Next::Done);
    assert_eq!(bed.shown()[0].3, three("one"));
}

#[test]
fn a_rollout_that_cannot_be_seen_at_its_deadline_is_unknown_and_no_failure() {
    let (_bed, next) = cut_in_the_middle("cut", Duration::from_secs(4), |_, _| {});
    let error = next.unwrap_err();
    assert!(matches!(error, ClusterError::NoAnswer { .. }), "{error:?}");
    assert_eq!(error.exit_code(), ExitCode::Unknown);
}

/// How many requests it takes to see that so many workloads have arrived.
fn requests(count: usize) -> usize {
    let names: Vec<String> = (0..count).map(|number| format!("app-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bed = Bed::new(&format!("follow-{count}"), &names);
    let pairs: Vec<_> = names.iter().map(|name| (*name, "one")).collect();
    let applied = bed.apply(&release("1", 1, &pairs));
    let all: Vec<_> = applied.iter().collect();
    let door = Door::open("");
    let access = Access::Text { text: door.kubeconfig().into(), context: None };
    let cluster = bed.namespace.wait(Cluster::connect(&access, place(bed.namespace.name(), &names, &[])));
    let mut shown = BTreeSet::new();
    let show = |place, _: &Seen| {
        shown.insert(place);
    };
    let ended = bed.namespace.wait(cluster.unwrap().rollouts(&all, DEADLINE, show)).unwrap();
    assert_eq!((ended, shown.len()), (None, count));
    door.gate().requests()
}

#[test]
fn to_follow_many_workloads_takes_as_many_requests_as_to_follow_one() {
    let (one, many) = (requests(1), requests(6));
    // A watch that the API server ends is begun again.
    assert!(many <= one + 2, "{one} for one and {many} for six");
}

#[test]
fn one_of_many_that_crashes_is_told_while_the_others_are_waited_for() {
    let bed = Bed::new("crash-many", &["api", "db", "web"]);
    bed.namespace.will(image("bad").digest.as_str(), Fate::Crash(3));
    bed.namespace.will(image("slow").digest.as_str(), Fate::Unready);
    let applied = bed.apply(&release("1", 1, &[("api", "slow"), ("db", "bad"), ("web", "slow")]));
    let all: Vec<_> = applied.iter().collect();
    let ended = bed.namespace.wait(bed.cluster.rollouts(&all, DEADLINE, |_, _| {})).unwrap();
    let Some((place, Next::RollBack { cause })) = ended else { panic!("{ended:?}") };
    assert_eq!(applied[place].service(), "db");
    assert!(cause.starts_with("`db` keeps failing: container `db` of pod `db-"), "{cause}");
}
