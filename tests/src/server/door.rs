//! `Door`: the API server of the bed behind a gate. It speaks plain HTTP, so that requests can be held, and tells of every
//! container the same log, which nodes that are played do not have.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests stop at the first surprise")]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::gate::Gate;
use super::kubernetes::kubeconfig;

/// The API server of the bed behind a gate.
pub struct Door {
    gate: Gate,
    proxy: Child,
    port: u16,
    _folder: TempDir,
}

impl Door {
    /// Opens one. Each line of the log begins with its time.
    #[must_use]
    pub fn open(log: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let mut proxy = Command::new(kubectl())
            .args(["--kubeconfig", kubeconfig().to_str().unwrap(), "proxy"])
            .args(["--unix-socket", socket.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It says where it serves as soon as it does.
        BufReader::new(proxy.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        let gate = Gate::start(socket.to_str().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let behind = PathBuf::from(gate.socket());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let behind = behind.clone();
                // Whoever goes away early is gone.
                std::thread::spawn(move || pass(client, &behind, log).ok());
            }
        });
        Self { gate, proxy, port, _folder: folder }
    }

    /// The gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The text of a kubeconfig that leads through the door.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: bed, cluster: {{server: \"http://127.0.0.1:{}\"}}}}]\n\
             users: [{{name: admin, user: {{}}}}]\ncontexts: [{{name: bed, context: {{cluster: bed, user: admin}}}}]\n\
             current-context: bed\n",
            self.port
        )
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.proxy.kill().ok();
        self.proxy.wait().ok();
    }
}

/// The `kubectl` of the bed.
#[must_use]
pub fn kubectl() -> PathBuf {
    let cache = kubeconfig().ancestors().nth(3).unwrap().to_owned();
    let built = cache.read_dir().unwrap().map(|entry| entry.unwrap().path().join("kubectl"));
    built.into_iter().find(|path| path.is_file()).unwrap()
}

/// One request: a connection carries no other, for the gate closes it.
fn pass(mut client: TcpStream, behind: &Path, log: &str) -> io::Result<()> {
    let mut head = Vec::new();
    let mut part = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = client.read(&mut part)?;
        if length == 0 {
            return Ok(());
        }
        head.extend(part.iter().take(length));
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    if line.contains("/log?") {
        write!(client, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n{log}")?;
        return client.shutdown(Shutdown::Both);
    }
    let mut server = UnixStream::connect(behind)?;
    server.write_all(&head)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}
