//! A real nginx, whose program `scripts/bed up nginx` fetches.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::Duration;

use shipkit_core::Verdict;
use shipkit_smoke::{Check, Options};
use tempfile::TempDir;
use url::Url;

/// An nginx with one server, which ends with this.
pub(crate) struct Nginx {
    pub(crate) url: Url,
    process: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts one with this in its `http` block and that in its server, and waits until it answers.
    pub(crate) async fn start(http: &str, server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = kinds.map(|kind| format!("{kind}_temp_path {};\n", at(kind))).concat();
        // One process, so that nothing stays when it is killed.
        let config = format!(
            "daemon off; master_process off; pid {}; error_log stderr crit;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
             {http}\nserver {{\nlisten 127.0.0.1:{port};\nlocation = /up {{ return 204; }}\n{server}\n}}\n}}\n",
            at("pid")
        );
        std::fs::write(at("nginx.conf"), config).unwrap();
        let program = std::env::var("NGINX_PROGRAM").expect("`scripts/bed up nginx` says where it is");
        let process = Command::new(program).args(["-e", "stderr", "-c", &at("nginx.conf")]).spawn().unwrap();
        let url: Url = format!("http://127.0.0.1:{port}").parse().unwrap();
        let nginx = Self { url: url.clone(), process, _folder: folder };
        let options = Options { deadline: Duration::from_mins(1), successes: 1, ..Options::default() };
        let report = shipkit_smoke::run(&url, vec![Check::ready(["/up"])], &options).await.unwrap();
        assert_eq!(report.outcome.verdict, Verdict::Pass, "{report:?}");
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
