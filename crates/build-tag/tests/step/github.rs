//! `Api`: as much of GitHub's API as labels need, on the loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// A server that knows one repository and the date of every commit. It ends with the process of the test.
pub(crate) struct Api {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    pub(crate) fn start(repository: Value, committed: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (log, commit) = (Arc::clone(&asked), json!({"commit": {"committer": {"date": committed}}}));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &repository, &commit, &log);
            }
        });
        Self { url, asked }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The paths that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, repository: &Value, commit: &Value, log: &Mutex<Vec<String>>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let head: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    let path = head[0].split(' ').nth(1).unwrap().to_owned();
    let parts: Vec<_> = path.split('/').collect();
    let (status, body) = match parts.as_slice() {
        ["", "repos", _, _] => ("200 OK", repository.to_string()),
        ["", "repos", _, _, "commits", _] => ("200 OK", commit.to_string()),
        _ => ("404 Not Found", json!({"message": "Not Found"}).to_string()),
    };
    log.lock().unwrap().push(path);
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .unwrap();
}
