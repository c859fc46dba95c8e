//! A real Prometheus, whose program `scripts/bed up prometheus` fetches beside promtool.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::fixture::{Server, nobody};

/// A Prometheus that scrapes an application as job `app` five times a second, and nobody as job `gone`; it ends with this.
pub(crate) struct Prometheus {
    pub(crate) client: shipkit_smoke::Prometheus,
    process: Child,
    _folder: TempDir,
}

/// The program beside which Prometheus lies.
pub(crate) fn promtool() -> String {
    std::env::var("PROMTOOL").expect("`scripts/bed up prometheus` says where it is")
}

impl Prometheus {
    /// Starts one with these rules, and waits until it has scraped the application.
    pub(crate) async fn start(app: &Server, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let gone = nobody().await;
        let gone = gone.as_str().trim_start_matches("http://").trim_end_matches('/');
        let (host, port) = (app.url.host_str().unwrap(), app.url.port().unwrap());
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs:\n\
             - {{job_name: app, static_configs: [{{targets: ['{host}:{port}']}}]}}\n\
             - {{job_name: gone, static_configs: [{{targets: ['{gone}']}}]}}\n"
        );
        std::fs::write(path("prometheus.yml"), config).unwrap();
        std::fs::write(path("rules.yml"), rules).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new(Path::new(&promtool()).with_file_name("prometheus"))
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line.contains("Server is ready")), "Prometheus does not start");
        std::thread::spawn(move || said.for_each(drop));
        let url: Url = format!("http://127.0.0.1:{port}").parse().unwrap();
        let client = shipkit_smoke::Prometheus::new(url.as_str()).unwrap();
        let prometheus = Self { client, process, _folder: folder };
        prometheus.until("up{job=\"app\"} == 1").await;
        prometheus
    }

    /// Waits until a query gives something.
    pub(crate) async fn until(&self, query: &str) {
        let until = Instant::now() + Duration::from_mins(1);
        while self.client.ask(query).await.unwrap().samples.is_empty() {
            assert!(Instant::now() < until, "`{query}` gives nothing");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a rule cannot be evaluated.
    pub(crate) async fn until_failed(&self) {
        let until = Instant::now() + Duration::from_mins(1);
        while self.client.rules().await.unwrap().iter().all(|rule| rule.health != "err") {
            assert!(Instant::now() < until, "every rule can be evaluated");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
