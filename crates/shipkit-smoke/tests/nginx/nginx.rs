//! An nginx on free ports of this machine, with the certificates that it is given.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use shipkit_core::Outcome;
use shipkit_core::config::Tls;
use shipkit_smoke::{Check, CheckReport, Kind, Options};
use tempfile::TempDir;
use url::Url;

use crate::made::{Issuer, Made, Validity, days};

/// nginx with one server for https and one for http.
pub(crate) struct Nginx {
    child: Child,
    _folder: TempDir,
    /// The root that is trusted.
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) https: Url,
    pub(crate) http: Url,
}

/// What to serve.
pub(crate) struct Site {
    /// In PEM: the certificate and those that are sent along.
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) ca: Option<Vec<u8>>,
    /// Versions as `ssl_protocols` calls them.
    pub(crate) versions: String,
    /// Lines in the server for https.
    pub(crate) lines: String,
    /// Words after `listen`.
    pub(crate) listen: String,
    /// Lines in the server for http; `HTTPS` is the address of the other one.
    pub(crate) http: String,
}

/// Seconds of Unix time.
pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// Thirty days ago until an hour less than sixty days from now.
pub(crate) fn months() -> Validity {
    days(now() - 60 * 60, -30, 60)
}

impl Site {
    /// A certificate for `localhost` that lives for months, with an intermediate one, over TLS 1.2 and 1.3.
    pub(crate) fn fine() -> Self {
        Self::of(&["localhost"], months())
    }

    /// The same for these hosts, at these times.
    pub(crate) fn of(hosts: &[&str], validity: Validity) -> Self {
        let root = Issuer::root("Test Root");
        let middle = root.issuer("Test Middle", days(now(), -400, 400));
        let site = Self::with(&middle.server(hosts, validity));
        Self {
            chain: format!("{}{}", site.chain, middle.certificate.pem()),
            ca: Some(root.certificate.pem().into_bytes()),
            ..site
        }
    }

    /// This certificate alone, which nobody vouches for.
    pub(crate) fn with(made: &Made) -> Self {
        Self {
            chain: made.certificate.pem(),
            key: made.key.serialize_pem(),
            ca: None,
            versions: "TLSv1.2 TLSv1.3".to_owned(),
            lines: String::new(),
            listen: String::new(),
            http: "return 301 HTTPS$request_uri;".to_owned(),
        }
    }

    /// These versions, whatever OpenSSL thinks of them.
    pub(crate) fn speaks(self, versions: &str) -> Self {
        Self { versions: versions.to_owned(), ..self.lines("ssl_ciphers DEFAULT@SECLEVEL=0;") }
    }

    pub(crate) fn lines(self, lines: &str) -> Self {
        Self { lines: format!("{}{lines}", self.lines), ..self }
    }
}

impl Nginx {
    /// Starts it and waits until it listens. Where somebody else took a port meanwhile, it takes other ones.
    pub(crate) fn start(site: &Site) -> Self {
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let folder = tempfile::tempdir().unwrap();
            let ports = free_ports();
            fs::write(folder.path().join("chain.pem"), &site.chain).unwrap();
            fs::write(folder.path().join("key.pem"), &site.key).unwrap();
            fs::write(folder.path().join("nginx.conf"), configuration(folder.path(), site, ports)).unwrap();
            let mut child = command(folder.path()).spawn().unwrap();
            if listens(&mut child, folder.path(), until) {
                let url = |scheme: &str, port: u16| format!("{scheme}://localhost:{port}/").parse().unwrap();
                let (https, http) = (url("https", ports[0]), url("http", ports[1]));
                return Self { child, _folder: folder, ca: site.ca.clone(), https, http };
            }
            let log = fs::read_to_string(folder.path().join("error.log")).unwrap_or_default();
            assert!(log.contains("in use") && Instant::now() < until, "nginx does not start: {log}");
        }
    }

    pub(crate) async fn tls(&self, wanted: Tls) -> Outcome {
        self.ask(&self.https, Kind::Tls(wanted)).await.outcome
    }

    pub(crate) async fn ask(&self, base: &Url, kind: Kind) -> CheckReport {
        let options = Options {
            ca_pem: self.ca.clone(),
            timeout: Duration::from_mins(1),
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(5),
            ..Options::default()
        };
        shipkit_smoke::run(base, vec![Check::new("c", kind)], &options).await.unwrap().checks.remove(0)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn command(folder: &Path) -> Command {
    let program = std::env::var("NGINX_PROGRAM").expect("`scripts/bed up nginx` says where nginx is");
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log"));
    command
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn configuration(folder: &Path, site: &Site, [https, http]: [u16; 2]) -> String {
    let folder = folder.display();
    let Site { versions, lines, listen, http: redirect, .. } = site;
    let redirect = redirect.replace("HTTPS", &format!("https://localhost:{https}"));
    let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {folder}/{what};"))
        .join(" ");
    format!(
        "daemon off; master_process off; pid {folder}/pid; events {{}}
        http {{
          access_log off; {kept}
          server {{
            listen 127.0.0.1:{https} ssl {listen};
            ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;
            ssl_protocols {versions}; {lines}
            location / {{ return 200 ok; }}
          }}
          server {{ listen 127.0.0.1:{http}; {redirect} }}
        }}"
    )
}

/// Two that nobody listens on.
fn free_ports() -> [u16; 2] {
    let listeners = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Whether it listens; it does not once it has ended. A connection would not tell, for somebody else may have the port: it writes
/// its process number when it has its own sockets.
fn listens(child: &mut Child, folder: &Path, until: Instant) -> bool {
    while !folder.join("pid").exists() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < until, "nginx does not listen");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    true
}
