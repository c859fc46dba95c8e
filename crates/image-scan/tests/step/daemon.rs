//! Images of a Docker engine, which is played here; the real one is in `real`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::thread;

use serde_json::json;
use shipkit_core::Digest;
use shipkit_tests::step::Done;

use crate::bench::{Bench, good};
use crate::saved::{classic, layer};

/// An engine that has this archive under `api:1`, and sends so much of it. Only to that it answers.
fn engine(bench: &Bench, archive: Vec<u8>, sent: usize) -> String {
    let socket = bench.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let id = Digest::of(b"id");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(line)) = lines.next() else { continue };
            lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).for_each(drop);
            let path = line.split(' ').nth(1).unwrap_or_default();
            let (status, body, sent) = if path == "/images/api:1/json" {
                let body = json!({"Id": id, "RepoTags": ["api:1"]}).to_string().into_bytes();
                let length = body.len();
                ("200 OK", body, length)
            } else if path == format!("/images/{id}/get") {
                ("200 OK", archive.clone(), sent)
            } else {
                ("404 Not Found", b"{}".to_vec(), 2)
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            // Whoever asked may have seen enough.
            drop(stream.write_all(&body[..sent]));
        }
    });
    format!("unix://{}", socket.display())
}

fn archive() -> Vec<u8> {
    let package = layer("app/node_modules/ws/package.json", br#"{"name": "ws", "version": "8.17.0"}"#);
    classic(&[(&["api:1"], good(), &[&package])])
}

fn scan(bench: &Bench, host: &str, name: &str) -> Done {
    bench.step(&[("INPUT_DAEMON", name), ("DOCKER_HOST", host), ("INPUT_JSON", "true")])
}

#[test]
fn an_image_of_the_engine_is_judged() {
    let (bench, archive) = (Bench::new(), archive());
    let host = engine(&bench, archive.clone(), archive.len());
    let done = scan(&bench, &host, "api:1");
    assert_eq!(done.exit, Some(0), "{done:#?}");
    assert!(done.stdout.contains("\"ws\"") && done.stdout.contains("api:1"), "{}", done.stdout);
    scan(&bench, &host, "web:1").check(2, "has no image `web:1`");
}

#[test]
fn an_image_that_breaks_off_is_never_a_pass() {
    for part in [1, 2, 3] {
        let (bench, archive) = (Bench::new(), archive());
        let sent = archive.len() * part / 4;
        let host = engine(&bench, archive, sent);
        let done = scan(&bench, &host, "api:1");
        assert_eq!((done.exit, done.output("verdict")), (Some(3), "inconclusive"), "{done:#?}");
    }
}

#[test]
fn who_cannot_be_asked_is_named() {
    let bench = Bench::new();
    scan(&bench, "tcp://127.0.0.1:2375", "api:1").check(2, "only an engine at a socket of this machine");
    let nowhere = format!("unix://{}", bench.path().join("none.sock").display());
    scan(&bench, &nowhere, "api:1").check(3, "cannot be asked");
    for name in ["../x", "a b", "a?b", "/"] {
        scan(&bench, &nowhere, name).check(2, "is no name of an image");
    }
}
