//! `analysis`: a real Prometheus (`scripts/bed up prometheus` fetches it) scrapes an application whose requests are made up, and
//! decides about releases on a real Swarm and in a real cluster.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::evidence::Kind;
use shipkit_tests::soon;
use tempfile::TempDir;

use crate::bed::{Bed, Step, ask_api};
use crate::cluster;
use crate::front::Front;

/// What is served between two scrapes, and how much of it fails.
#[derive(Default)]
struct Traffic {
    good: AtomicU64,
    bad: AtomicU64,
    /// All that was so far.
    sums: [AtomicU64; 2],
}

impl Traffic {
    fn set(&self, good: u64, bad: u64) {
        self.good.store(good, Ordering::SeqCst);
        self.bad.store(bad, Ordering::SeqCst);
    }

    /// One more scrape.
    fn metrics(&self) -> String {
        let add = |sum: &AtomicU64, more: &AtomicU64| {
            let more = more.load(Ordering::SeqCst);
            sum.fetch_add(more, Ordering::SeqCst) + more
        };
        let (good, bad) = (add(&self.sums[0], &self.good), add(&self.sums[1], &self.bad));
        let all = good + bad;
        format!(
            "# TYPE http_requests_total counter\n\
             http_requests_total{{status=\"200\"}} {good}\nhttp_requests_total{{status=\"500\"}} {bad}\n\
             # TYPE http_request_duration_seconds histogram\n\
             http_request_duration_seconds_bucket{{le=\"0.1\"}} {all}\n\
             http_request_duration_seconds_bucket{{le=\"1\"}} {all}\n\
             http_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}\n"
        )
    }
}

/// A Prometheus that scrapes once a second; it ends with this.
pub(crate) struct Prometheus {
    child: Child,
    port: u16,
    traffic: Arc<Traffic>,
    _app: Front,
    _folder: TempDir,
}

impl Prometheus {
    pub(crate) fn start() -> Self {
        Self::with_rules("[]")
    }

    /// The same, which evaluates these alerts once a second.
    fn with_rules(alerts: &str) -> Self {
        let promtool = std::env::var("PROMTOOL").expect("`scripts/bed up prometheus` says where it is");
        let traffic = Arc::new(Traffic::default());
        let scraped = Arc::clone(&traffic);
        let app = Front::start(move |_| (200, scraped.metrics()));
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{}']}}]}}]\n",
            app.host()
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let rules = format!("groups: [{{name: app, rules: {alerts}}}]\n");
        std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
        let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut child = Command::new(Path::new(&promtool).with_file_name("prometheus"))
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address=0.0.0.0:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line.contains("Server is ready")), "Prometheus does not start");
        std::thread::spawn(move || said.for_each(drop));
        Self { child, port, traffic, _app: app, _folder: folder }
    }

    /// From now on this much is served well and badly between two scrapes.
    pub(crate) fn set(&self, good: u64, bad: u64) {
        self.traffic.set(good, bad);
    }

    /// A line of an environment.
    pub(crate) fn line(&self, more: &str) -> String {
        format!("    analysis: {{prometheus: \"http://127.0.0.1:{}\", {more}}}\n", self.port)
    }

    /// Whether this alert fires.
    fn fires(&self, alert: &str) -> bool {
        let (promtool, address) =
            (std::env::var("PROMTOOL").unwrap(), format!("http://127.0.0.1:{}", self.port));
        let query = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
        let asked = Command::new(promtool).args(["query", "instant", &address, &query]).output().unwrap();
        assert!(asked.status.success(), "{asked:?}");
        !asked.stdout.trim_ascii().is_empty()
    }

    fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.end();
    }
}

/// `staging` with this line.
fn with(config: &str, line: &str) -> String {
    config.replacen("    timeout: ", &format!("{line}    timeout: "), 1)
}

fn deploy(bed: &Bed, release: &Digest, line: &str) -> Step {
    let config = with(&bed.config(), line);
    bed.step_of("deploy", &config).input("environment", "staging").input("release", release.as_str())
}

#[test]
fn prometheus_decides_whether_a_release_stays_on_a_swarm() {
    let (mut prometheus, mut bed) = (Prometheus::start(), Bed::new("analysis"));
    let images = [1, 2, 3].map(|digit| bed.image(digit, "good"));
    let [one, two, three] = [1, 2, 3].map(|digit: u8| {
        bed.release(digit, (&images[usize::from(digit) - 1], digit), (&images[usize::from(digit) - 1], digit))
    });
    let line = prometheus.line("window: 5s");

    nothing_begins_while_prometheus_cannot_be_asked(&bed, &one, &prometheus);

    prometheus.set(40, 0);
    let queried = prometheus.line("window: 5s, promql: [{name: scraped, query: up == bool 1}]");
    let run = deploy(&bed, &one, &queried).run().ended(0, "; analysis of 5s: error rate 0% of ");
    assert!(
        run.outputs["cause"].contains(", p95 95ms of ")
            && run.outputs["cause"].ends_with("`scraped` gives 1"),
        "{run:#?}"
    );
    assert!(run.summary.contains("error rate") && run.stderr.contains("analysis: error rate 0%"), "{run:#?}");
    let timings: Value = serde_json::from_str(&run.outputs["timings"]).unwrap();
    assert!(timings["analysisMs"].as_u64() >= Some(5000), "{timings}");
    let details = bed.evidence(&one, Kind::Deployment, "staging").unwrap().details;
    let rate = &details["analysis"]["metrics"][0];
    assert_eq!(
        (&rate["metric"], &rate["value"], &rate["limit"]),
        (&json!("error rate"), &json!("0%"), &json!("5%"))
    );
    assert!(rate["requests"].as_u64() >= Some(59), "{details}");

    // Nothing changes, so nothing is waited for.
    let run = deploy(&bed, &one, &line).run().ended(0, "1.1.0 serves in staging");
    assert!(
        !run.outputs["timings"].contains("analysis") && !run.outputs["cause"].contains("analysis"),
        "{run:#?}"
    );

    prometheus.set(40, 10);
    deploy(&bed, &two, &line).run().ended(1, "rolled back: analysis of 5s: error rate 20% of ");
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);

    prometheus.set(0, 0);
    let run =
        deploy(&bed, &two, &line).run().ended(3, "analysis of 5s: too few requests: 0, and 59 are needed");
    assert!(run.outputs["cause"].contains("; nothing was rolled back"), "{run:#?}");
    assert_eq!(bed.versions(), ["1.2.0", "1.1.0", "1.2.0"]);

    prometheus.set(40, 0);
    gone_in_the_middle(&mut prometheus, &bed, &three);
    assert_eq!(bed.versions(), ["1.3.0", "1.1.0", "1.3.0"]);
}

fn nothing_begins_while_prometheus_cannot_be_asked(bed: &Bed, release: &Digest, prometheus: &Prometheus) {
    let nowhere = "    analysis: {prometheus: \"http://admin:hunter2@127.0.0.1:9/prometheus\"}\n";
    let run = deploy(bed, release, nowhere).run();
    let run = run.ended(3, "Prometheus at `http://127.0.0.1:9/prometheus` cannot be reached");
    assert!(!run.everything().contains("hunter2"), "{run:#?}");
    let wrong = prometheus.line("promql: [{name: a, query: 'sum('}, {name: b, query: 'up[5m]'}]");
    let run = deploy(bed, release, &wrong).run().ended(2, "2 problems: Prometheus cannot run `sum(`: ");
    assert!(run.outputs["cause"].contains("Prometheus cannot run `up[5m]`: it gives a range"), "{run:#?}");
    assert_eq!(bed.services(), Vec::<String>::new());
}

/// The first of two readings has an answer, and the second, which decides, has none.
fn gone_in_the_middle(prometheus: &mut Prometheus, bed: &Bed, release: &Digest) {
    let step = deploy(bed, release, &prometheus.line("window: 10s"));
    let mut child = step.start();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("analysis: ") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "no reading");
    }
    prometheus.end();
    std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
    let run = step.finish(child).ended(3, "analysis of 10s: Prometheus at `http://127.0.0.1:");
    assert_eq!(run.outputs["verdict"], "unreachable");
    assert!(run.outputs["cause"].contains("; nothing was rolled back"), "{run:#?}");
}

#[test]
fn alerts_and_queries_are_checks_of_a_deploy() {
    let prometheus = Prometheus::with_rules(
        "[{alert: Old, expr: vector(1)}, \
          {alert: Failing, expr: 'rate(http_requests_total{status=\"500\"}[3s]) > 0'}]",
    );
    let mut bed = Bed::new("alerts");
    let images = [1, 2].map(|digit| bed.image(digit, "good"));
    let [one, two] = [1, 2].map(|digit: u8| {
        let image = (&images[usize::from(digit) - 1], digit);
        bed.release(digit, image, image)
    });
    prometheus.set(40, 0);
    // Nobody is let in before this is so.
    let is_open = Arc::new(AtomicBool::new(true));
    let (door, stack) = (Arc::clone(&is_open), bed.stack.clone());
    let front = Front::start(move |path| {
        if door.load(Ordering::SeqCst) { ask_api(&stack, path) } else { (503, "closed".to_owned()) }
    });
    let config = with(&bed.config(), &prometheus.line("window: 5s"));
    let own = "    smoke:\n    - {alerts: {job: app}}\n    - {promql: 'sum(rate(http_requests_total[2s]))', expect: {over: 0}}\n";
    let config = config.replacen("    smoke:\n", own, 1);
    let (before, rest) = config.split_once("http://").unwrap();
    let config = format!("{before}http://{}\n{}", front.host(), rest.split_once('\n').unwrap().1);
    let step = |release: &Digest| {
        bed.step_of("deploy", &config).input("environment", "staging").input("release", release.as_str())
    };

    soon("`Old` never fires", || prometheus.fires("Old"));
    let run = step(&one).run().ended(0, "1.1.0 serves in staging");
    assert!(run.stderr.contains("alert `Old` fires as it did before"), "{run:#?}");
    assert!(run.stderr.contains("pass: promql sum(rate"), "{run:#?}");

    is_open.store(false, Ordering::SeqCst);
    let second = step(&two);
    let child = second.start();
    soon("it is never rolled out", || bed.versions()[0] == "1.2.0");
    prometheus.set(40, 10);
    soon("`Failing` never fires", || prometheus.fires("Failing"));
    is_open.store(true, Ordering::SeqCst);
    let run = second.finish(child).ended(1, "rolled back: ");
    assert!(run.outputs["cause"].contains("alert `Failing` fires"), "{run:#?}");
    assert_eq!(bed.versions(), ["1.1.0", "1.1.0", "1.1.0"]);
}

/// An address of this machine that others could reach, as the API server insists on.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent.
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip()
}

/// A Service that leads to a port of this machine. The API server sends requests only to addresses of pods, so there is one
/// that nobody ever runs.
fn stand_in(shop: &cluster::Shop, port: u16) {
    let (address, namespace) = (own_address(), shop.namespace.name());
    let pod = json!({"kind": "Pod", "name": "prometheus", "namespace": namespace});
    let ports = json!([{"name": "web", "port": port}]);
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "prometheus"},
         "spec": {"ports": [{"name": "web", "port": 9090, "targetPort": port}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "prometheus"},
         "spec": {"schedulerName": "nobody", "containers": [{"name": "prometheus", "image": "prometheus"}]}},
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "prometheus"},
         "subsets": [{"addresses": [{"ip": address, "targetRef": pod}], "ports": ports}]},
    ]});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), objects.to_string()).unwrap();
    shop.kubectl(&["apply", "--filename", file.path().to_str().unwrap()]);
    let status = json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}}).to_string();
    shop.kubectl(&[
        "patch",
        "pod",
        "prometheus",
        "--subresource",
        "status",
        "--type",
        "merge",
        "--patch",
        &status,
    ]);
}

#[test]
fn prometheus_in_a_cluster_is_asked_through_its_api_server() {
    let (prometheus, shop) = (Prometheus::start(), cluster::Shop::new("dp-analysis"));
    let (one, two) = (shop.release(1, None), shop.release(2, None));
    stand_in(&shop, prometheus.port);
    let service = format!("service://{}/prometheus:9090", shop.namespace.name());
    let config = with(&shop.config(), &format!("    analysis: {{prometheus: \"{service}\", window: 5s}}\n"));
    let deploy = |release: &Digest| cluster::step_as("deploy", &config).input("release", release.as_str());

    let user = shop.user_of("role.yaml", "shipkit");
    let refused =
        format!("these credentials may not, in namespace `{}`: get services/proxy", shop.namespace.name());
    deploy(&one).input("kubeconfig", &user).run().ended(3, &refused);

    prometheus.set(40, 0);
    deploy(&one).run().ended(0, "; analysis of 5s: error rate 0% of ");
    prometheus.set(40, 10);
    deploy(&two).run().ended(1, "rolled back: analysis of 5s: error rate 20% of ");
    assert_eq!(shop.versions(), ["1.1.0", "1.1.0"]);
}
