//! An HTTP server whose answers come late: `server delay 100`, each so many milliseconds later, or `server stall`, which stands still for
//! the last second of about every six. Prints its port. Built by rustc alone, for tests/bench/smoke-test.sh.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
enum Late {
    Always(Duration),
    Stalls(Instant),
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let late = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["delay", millis] => Late::Always(Duration::from_millis(millis.parse().expect("milliseconds"))),
        ["stall"] => Late::Stalls(Instant::now()),
        _ => panic!("`delay MILLISECONDS` or `stall`"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("an address").port());
    for stream in listener.incoming().flatten() {
        thread::spawn(move || serve(stream, late));
    }
}

fn serve(mut stream: TcpStream, late: Late) {
    let body = "{\"ok\": true}";
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    while read(&mut stream) {
        thread::sleep(wait(late));
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Whether a request came, which has no body.
fn read(stream: &mut TcpStream) -> bool {
    let (mut head, mut part) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(count) if 0 < count => head.extend_from_slice(&part[..count]),
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

/// Not quite every six seconds, so that requests every 50 ms do not meet each pause at the same place of it.
const EVERY: Duration = Duration::from_millis(6025);

fn wait(late: Late) -> Duration {
    match late {
        Late::Always(time) => time,
        Late::Stalls(start) => {
            let now = start.elapsed();
            let round = u32::try_from(now.as_micros() / EVERY.as_micros()).expect("not for years");
            let now = now - EVERY * round;
            if EVERY - now <= Duration::from_secs(1) { EVERY - now } else { Duration::ZERO }
        }
    }
}
