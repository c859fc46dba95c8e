//! `Front`: the API server of the bed behind somebody who lets in by tokens of his own, as a cloud's cluster does.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use shipkit_tests::server::door::Door;

use crate::bed::DEADLINE;

#[derive(Default)]
struct Inside {
    good: BTreeSet<String>,
    seen: Vec<String>,
    refused: usize,
    open: Vec<TcpStream>,
}

/// What the front and its threads share: who comes in, and a bell for each request.
type Shared = Arc<(Mutex<Inside>, Condvar)>;

pub(crate) struct Front {
    port: u16,
    shared: Shared,
    _door: Door,
}

impl Front {
    /// Lets in whoever has one of these tokens; `k8s-aws-v1.` stands for all that begin so.
    pub(crate) fn open(good: &[&str]) -> Self {
        let door = Door::open("");
        let inside = door.kubeconfig();
        let (_, server) = inside.split_once("http://").unwrap();
        let server = server.split_once('"').unwrap().0.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared::default();
        let threads = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (server, shared) = (server.clone(), Arc::clone(&threads));
                // Whoever goes away early is gone.
                std::thread::spawn(move || pass(client, &server, &shared).ok());
            }
        });
        let front = Self { port, shared, _door: door };
        front.only(good);
        front
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on only these are let in, and whoever is in has to come again.
    pub(crate) fn only(&self, good: &[&str]) {
        let mut inside = self.shared.0.lock().unwrap();
        inside.good = good.iter().map(|&token| token.to_owned()).collect();
        for stream in inside.open.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Waits until somebody came with this token.
    pub(crate) fn wait_for(&self, token: &str) {
        let inside = self.shared.0.lock().unwrap();
        let is_missing = |inside: &mut Inside| !inside.seen.iter().any(|seen| seen == token);
        let (inside, waited) = self.shared.1.wait_timeout_while(inside, DEADLINE, is_missing).unwrap();
        drop(inside);
        assert!(!waited.timed_out(), "nobody came with `{token}`");
    }

    /// The tokens of all requests, and how many of these were refused.
    pub(crate) fn seen(&self) -> (Vec<String>, usize) {
        let inside = self.shared.0.lock().unwrap();
        (inside.seen.clone(), inside.refused)
    }
}

/// One request: a connection carries no other, for the door closes it.
fn pass(mut client: TcpStream, server: &str, shared: &Shared) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut part = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = client.read(&mut part)?;
        if length == 0 {
            return Ok(());
        }
        head.extend(&part[..length]);
    }
    let at = head.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    let (lines, rest) = (String::from_utf8_lossy(&head[..at]).into_owned(), &head[at..]);
    let (mine, others): (Vec<&str>, Vec<&str>) =
        lines.split("\r\n").partition(|line| line.to_lowercase().starts_with("authorization:"));
    let token = mine.first().and_then(|line| line.split_once("Bearer ")).map(|(_, token)| token.to_owned());
    let token = token.unwrap_or_default();
    {
        let mut inside = shared.0.lock().unwrap();
        let is_good = inside
            .good
            .iter()
            .any(|good| *good == token || good == "k8s-aws-v1." && token.starts_with(good.as_str()));
        inside.seen.push(token);
        shared.1.notify_all();
        if !is_good {
            inside.refused += 1;
            let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}"#;
            let length = status.len();
            write!(
                client,
                "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                            connection: close\r\n\r\n{status}"
            )?;
            return client.shutdown(Shutdown::Both);
        }
        inside.open.push(client.try_clone()?);
    }
    let mut server = TcpStream::connect(server)?;
    server.write_all(others.join("\r\n").as_bytes())?;
    server.write_all(rest)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
    copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}
