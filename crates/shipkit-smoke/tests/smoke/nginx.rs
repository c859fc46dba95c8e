//! A real nginx, whose program `scripts/bed up nginx` fetches.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;
use url::Url;

/// An nginx with one server, which ends with this.
pub(crate) struct Nginx {
    pub(crate) url: Url,
    process: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts one with this in its `http` block and that in its server, and waits until it listens. Where somebody else took the
    /// port meanwhile, it takes another one.
    pub(crate) async fn start(http: &str, server: &str) -> Self {
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let folder = tempfile::tempdir().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let at = |name: &str| folder.path().join(name).display().to_string();
            std::fs::write(at("nginx.conf"), configuration(at, port, http, server)).unwrap();
            let program = std::env::var("NGINX_PROGRAM").expect("`scripts/bed up nginx` says where it is");
            let mut process =
                Command::new(program).args(["-e", &at("log"), "-c", &at("nginx.conf")]).spawn().unwrap();
            // It is written when nginx has its own sockets.
            let listens = folder.path().join("pid");
            while !listens.exists() && process.try_wait().unwrap().is_none() {
                assert!(Instant::now() < until, "nginx does not listen");
                sleep(Duration::from_millis(10)).await;
            }
            if listens.exists() {
                let url = format!("http://127.0.0.1:{port}").parse().unwrap();
                return Self { url, process, _folder: folder };
            }
            let log = std::fs::read_to_string(at("log")).unwrap_or_default();
            assert!(log.contains("in use") && Instant::now() < until, "nginx does not start: {log}");
        }
    }
}

/// One process, so that nothing stays when it is killed.
fn configuration(at: impl Fn(&str) -> String, port: u16, http: &str, server: &str) -> String {
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = kinds.map(|kind| format!("{kind}_temp_path {};\n", at(kind))).concat();
    format!(
        "daemon off; master_process off; pid {}; error_log {} crit;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
         {http}\nserver {{\nlisten 127.0.0.1:{port};\n{server}\n}}\n}}\n",
        at("pid"),
        at("log")
    )
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
